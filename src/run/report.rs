//! What a verb did, for people and programs.

use bson::DateTime;
use serde::{Deserialize, Serialize};

use crate::backup::report::UnfinishedRestore;
use crate::holder::Holder;
use crate::source::Ignored;

/// Which script of a migration runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Direction {
    /// Applying.
    Up,
    /// Rolling back.
    Down,
}

impl Direction {
    /// `up` or `down`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Up => "up",
            Self::Down => "down",
        }
    }
}

/// Documents an operation dealt with.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[allow(missing_docs)] // the server's own words
pub struct Counts {
    pub matched: i64,
    pub modified: i64,
    pub inserted: i64,
    pub deleted: i64,
    pub upserted: i64,
}

impl Counts {
    /// Documents written or found as they should be: how far the operation is.
    pub fn documents(&self) -> i64 {
        self.matched + self.inserted + self.deleted
    }
}

impl std::ops::AddAssign for Counts {
    fn add_assign(&mut self, other: Self) {
        self.matched += other.matched;
        self.modified += other.modified;
        self.inserted += other.inserted;
        self.deleted += other.deleted;
        self.upserted += other.upserted;
    }
}

/// How an operation ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// It did what it says.
    Done,
    /// What it asks for stood already.
    Standing,
    /// What it takes away was absent already.
    Absent,
    /// It failed.
    Failed,
    /// It was stopped at a safe point.
    Interrupted,
}

/// One operation of a run.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct OperationReport {
    /// Its number, from 1.
    pub index: i64,
    /// Its type.
    #[serde(rename = "type")]
    pub kind: String,
    /// The collection it works on.
    pub collection: String,
    /// How it ended.
    pub outcome: Outcome,
    /// Documents, over all runs that worked on it.
    #[serde(flatten)]
    pub counts: Counts,
    /// How many transactions it took, or writes where there are none.
    pub chunks: i64,
    /// How often a chunk had to be tried again because the application wrote the same documents.
    pub conflicts: i64,
    /// How long this run worked on it.
    pub seconds: f64,
    /// What else there is to say.
    pub note: Option<String>,
}

/// How a migration's run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs)]
pub enum MigrationOutcome {
    Applied,
    AlreadyApplied,
    RolledBack,
    Failed,
    Interrupted,
}

/// One migration of a run.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct MigrationReport {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Which of its scripts ran.
    pub direction: Direction,
    /// How it ended.
    pub outcome: MigrationOutcome,
    /// Whether an earlier run had begun it.
    pub resumed: bool,
    /// How long this run worked on it.
    pub seconds: f64,
    /// The operations this run reached.
    pub operations: Vec<OperationReport>,
    /// Why it failed.
    pub error: Option<String>,
}

/// What `apply` or `rollback` did.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RunReport {
    /// The database.
    pub database: String,
    /// Which scripts ran.
    pub direction: Direction,
    /// The migrations, in the order they ran.
    pub migrations: Vec<MigrationReport>,
    /// Files in the migrations directory that are none.
    pub ignored: Vec<Ignored>,
}

/// One migration in `status`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct MigrationStatus {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// What it is for.
    pub description: String,
    /// Its status, as the ledger has it; `pending` where the ledger has none.
    pub status: String,
    /// The file it comes from.
    pub file: Option<String>,
    /// When the ledger's record was made.
    pub created_at: Option<DateTime>,
    /// When it was applied last.
    pub applied_at: Option<DateTime>,
    /// When it was rolled back last.
    pub rolled_back_at: Option<DateTime>,
    /// Whether it is pending although one that sorts after it is applied.
    pub out_of_order: bool,
    /// Whether its file says something else than what was applied.
    pub changed: bool,
    /// What else there is to say.
    pub note: Option<String>,
    /// Why it failed.
    pub error: Option<String>,
}

/// What `status` tells.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct StatusReport {
    /// The database.
    pub database: String,
    /// Whether the server has transactions; without them large operations are at-least-once.
    pub transactions: bool,
    /// All migrations, whatever their state.
    pub total: i64,
    /// How many are in each state.
    #[serde(flatten)]
    pub by_status: ByStatus,
    /// The migrations in the order they apply.
    pub migrations: Vec<MigrationStatus>,
    /// Files in the migrations directory that are none.
    pub ignored: Vec<Ignored>,
    /// Who holds the lock.
    pub lock: Option<Holder>,
    /// A restore that was begun and has not ended.
    pub unfinished_restore: Option<UnfinishedRestore>,
}

/// Numbers of migrations in each state.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[allow(missing_docs)]
pub struct ByStatus {
    pub applied: i64,
    pub pending: i64,
    pub rolled_back: i64,
    pub failed: i64,
    pub applying: i64,
    pub rolling_back: i64,
}

/// What `mark` did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct MarkReport {
    /// The migration's id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Its status before.
    pub before: String,
    /// Its status now.
    pub after: String,
}

/// What `unlock` did.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct UnlockReport {
    /// Whether there was a lock to break.
    pub broken: bool,
    /// Who held it.
    pub owner: Option<Holder>,
}

/// What `register` did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RegisterReport {
    /// The new migration's id.
    pub id: String,
}
