//! What the verbs beside `apply` and `rollback` answer.

use bson::DateTime;
use serde::Serialize;

use crate::backup::report::UnfinishedRestore;
use crate::holder::Holder;
use crate::model::source::Ignored;
use crate::run::report::Direction;

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
    /// What was captured and is still kept.
    pub retained: Retained,
    /// A restore that was begun and has not ended.
    pub unfinished_restore: Option<UnfinishedRestore>,
    /// What a killed `assessment-migrate` or `assessment-rollback` left to be carried on, in words.
    pub unfinished_assessments: Option<String>,
    /// What the ledger's collection holds, where it is somebody else's.
    pub foreign_ledger: Option<String>,
}

/// What was captured and is still kept.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Retained {
    /// Its size in bytes, before the server's compression.
    pub bytes: i64,
    /// The size of the database's other data in bytes, before compression.
    pub data_bytes: i64,
    /// Whether a purge is worth a thought: it is 100 MB or more.
    pub large: bool,
    /// Run by run, oldest first.
    pub runs: Vec<RetainedRun>,
}

/// What one run captured.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RetainedRun {
    /// The migration.
    pub migration: String,
    /// Its name.
    pub name: String,
    /// Which of its scripts ran.
    pub direction: Direction,
    /// Whether it undid captures instead of running a script.
    pub exact: bool,
    /// When it began, by the server's clock.
    pub at: Option<DateTime>,
    /// Its size in bytes, before the server's compression.
    pub bytes: i64,
}

/// What `check` found.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CheckReport {
    /// The database.
    pub database: String,
    /// Everything that a pipeline should stop at.
    pub findings: Vec<CheckFinding>,
    /// Files in the migrations directory that are none.
    pub ignored: Vec<Ignored>,
}

/// Something that a pipeline should stop at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CheckFinding {
    /// What it is.
    pub kind: FindingKind,
    /// The migration it is about.
    pub migration: Option<String>,
    /// The migration's name.
    pub name: Option<String>,
    /// What there is to say.
    pub message: String,
}

/// What a finding of `check` is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum FindingKind {
    /// Not applied yet.
    Pending,
    /// Its file says something else than what was applied.
    Changed,
    /// It failed.
    Failed,
    /// Half applied, half rolled back, or half restored.
    Unfinished,
    /// Its record cannot be relied on.
    Unreadable,
    /// Another run holds the lock.
    Held,
    /// Rolled back, and passed over by `apply`.
    RolledBack,
    /// The ledger's collection is somebody else's.
    ForeignLedger,
    /// The migrations directory holds no migration.
    NoFiles,
}

/// What `purge` did.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct PurgeReport {
    /// What was freed, oldest first.
    pub purged: Vec<RetainedRun>,
    /// What was not: migrations that are half applied or half rolled back need it.
    pub kept: Vec<RetainedRun>,
    /// What was not: an exact rollback could not bring all of it back, and no migration was named.
    pub left: Vec<RetainedRun>,
    /// Bytes freed, before the server's compression.
    pub bytes: i64,
}

/// Something that was set aside and can be brought back.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Dropped {
    /// The name to ask for it by.
    pub name: String,
    /// The migration that took it away.
    pub migration: String,
    /// Which of its scripts did.
    pub direction: Direction,
    /// `collection`, `time-series collection`, `view`, `index` or `documents`.
    pub kind: String,
    /// The collection that it is, or was in.
    pub collection: String,
    /// The index's name.
    pub index: Option<String>,
    /// How many documents it has.
    pub documents: Option<i64>,
    /// Its size in bytes, before the server's compression.
    pub bytes: Option<i64>,
    /// When the run began, by the server's clock.
    pub at: Option<DateTime>,
}

/// What `undrop` did.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct UndropReport {
    /// What was brought back.
    pub entry: Dropped,
    /// The collection that it is, or is in, now.
    pub to: String,
    /// Documents brought back, of those that were deleted.
    pub documents: Option<i64>,
    /// Documents passed over, because others have their place.
    pub standing: Option<i64>,
    /// Documents passed over, because a unique index bars them.
    pub barred: Option<i64>,
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

/// What is pending by the ledger in a backup.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PendingReport {
    /// The ids, in the order in which `apply` would take them.
    pub pending: Vec<String>,
    /// Files in the migrations directory that are no migrations.
    pub ignored: Vec<Ignored>,
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
