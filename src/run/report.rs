//! What a verb did, for people and programs.

use serde::ser::{SerializeMap, Serializer};
use serde::{Deserialize, Serialize};

use crate::model::source::Ignored;

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
    /// Of an exact rollback.
    #[serde(skip_serializing_if = "Undone::is_nothing")]
    pub undone: Undone,
    /// Of the unification of the assessment model.
    #[serde(skip_serializing_if = "Mapped::is_nothing")]
    pub mapped: Mapped,
}

/// Documents that the unification of the assessment model dealt with.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Mapped {
    /// Unified before.
    pub already: i64,
    /// Left as they are: they cannot be mapped.
    pub unmapped: i64,
    /// Dates that were text.
    pub dates_converted: i64,
    /// Copies whose `_id` was taken.
    pub clashes: i64,
    /// Bytes by which the assessments' collection has grown.
    pub grown: i64,
    /// Of its rollback: teacher assessments that got back what was edited in their copies.
    pub carried_back: i64,
    /// Of its rollback: edited copies that stay.
    pub kept_copies: i64,
}

impl Mapped {
    /// Whether there is nothing to tell.
    pub fn is_nothing(&self) -> bool {
        *self == Self::default()
    }
}

impl std::ops::AddAssign for Mapped {
    fn add_assign(&mut self, other: Self) {
        self.already += other.already;
        self.unmapped += other.unmapped;
        self.dates_converted += other.dates_converted;
        self.clashes += other.clashes;
        self.grown += other.grown;
        self.carried_back += other.carried_back;
        self.kept_copies += other.kept_copies;
    }
}

/// Documents an exact rollback dealt with.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Undone {
    /// As they were before the migration.
    pub restored: i64,
    /// As they were before, with what was changed in other fields since.
    pub restored_with_edits: i64,
    /// Removed by somebody since; they stay so.
    pub gone: i64,
    /// Made by somebody since, in a collection that the migration had made; they stay.
    pub made_since: i64,
    /// With a field, or as a whole, changed since in what the migration had changed; that stays.
    pub conflicts: i64,
}

impl Undone {
    /// Whether there is nothing to tell.
    pub fn is_nothing(&self) -> bool {
        *self == Self::default()
    }

    fn documents(&self) -> i64 {
        self.restored + self.restored_with_edits + self.gone + self.conflicts
    }
}

impl std::ops::AddAssign for Undone {
    fn add_assign(&mut self, other: Self) {
        self.restored += other.restored;
        self.restored_with_edits += other.restored_with_edits;
        self.gone += other.gone;
        self.made_since += other.made_since;
        self.conflicts += other.conflicts;
    }
}

impl Counts {
    /// Documents written or found as they should be: how far the operation is.
    pub fn documents(&self) -> i64 {
        // What the unification copies has been matched in the other collection.
        let inserted = if self.matched > 0 { 0 } else { self.inserted };
        self.matched + inserted + self.deleted + self.undone.documents()
    }
}

impl std::ops::AddAssign for Counts {
    fn add_assign(&mut self, other: Self) {
        self.matched += other.matched;
        self.modified += other.modified;
        self.inserted += other.inserted;
        self.deleted += other.deleted;
        self.upserted += other.upserted;
        self.undone += other.undone;
        self.mapped += other.mapped;
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
    /// Whether captures were undone instead of running the script.
    pub exact: bool,
    /// The operations this run reached.
    pub operations: Vec<OperationReport>,
    /// Of an exact rollback: what became of the documents, collection by collection.
    pub undone: Vec<CollectionUndone>,
    /// Of a rollback by script: documents that the down script was to change and the up script had not touched.
    #[serde(flatten)]
    pub overreach: Overreaches,
    /// Why it failed.
    pub error: Option<String>,
}

impl MigrationReport {
    /// A report of a migration none of whose operations ran.
    pub fn new(id: String, name: String, direction: Direction, outcome: MigrationOutcome) -> Self {
        Self {
            id,
            name,
            direction,
            outcome,
            resumed: false,
            seconds: 0.0,
            exact: false,
            operations: Vec::new(),
            undone: Vec::new(),
            overreach: Overreaches::default(),
            error: None,
        }
    }
}

/// What an exact rollback did in one collection.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CollectionUndone {
    /// The collection.
    pub collection: String,
    /// Its documents.
    #[serde(flatten)]
    pub documents: Undone,
}

/// Documents that an operation of a down script was to change although the up script had not touched them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Overreach {
    /// The operation's number, from 1.
    pub index: i64,
    /// The collection.
    pub collection: String,
    /// How many; `None` where nothing was captured that would tell.
    pub documents: Option<i64>,
}

/// The overreach of a down script, operation by operation.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Overreaches(pub Vec<Overreach>);

impl Serialize for Overreaches {
    /// Under `overreach`, and for one release also under its old name `beyond`, until 0.2.0.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut keys = serializer.serialize_map(Some(2))?;
        keys.serialize_entry("overreach", &self.0)?;
        keys.serialize_entry("beyond", &self.0)?;
        keys.end()
    }
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
    /// Rolled back migrations that `apply` without an id left as they are.
    pub passed_over: Vec<String>,
    /// Files in the migrations directory that are none.
    pub ignored: Vec<Ignored>,
}
