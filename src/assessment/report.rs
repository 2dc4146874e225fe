//! What the two verbs did, for people and programs.

use bson::DateTime;
use serde::Serialize;
use serde_json::Value;

/// Documents of one kind that a report lists at most. Their number is exact.
pub const LISTED: usize = 10_000;

/// What `assessment-migrate` did, or would do.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct MigrateReport {
    /// The database.
    pub database: String,
    /// Whether nothing was to be written.
    pub dry_run: bool,
    /// Whether an earlier run had begun it.
    pub resumed: bool,
    /// The backup, where something was to migrate.
    pub backup: Option<BackupTaken>,
    /// Regular assessments.
    pub regular: KindReport,
    /// Teacher assessments.
    pub teacher: KindReport,
    /// Under which `_id` copies are made: `new` or `keep`.
    pub ids: &'static str,
    /// Copies that exist, by their place.
    pub copies: CopiesReport,
    /// With kept `_id`s: results and submissions that will mean, or mean, the copies.
    pub meant: Option<Meant>,
    /// What cannot be mapped, and what the server refuses.
    pub unmapped: Vec<UnmappedDocument>,
    /// Teacher assessments that got a new `_id`.
    pub clashes: Vec<Clash>,
    /// How many these are, also where not all are listed.
    pub clashing: i64,
    /// Documents that the old tool unified, to look at.
    pub reported: Reported,
    /// The indexes.
    pub indexes: Indexes,
    /// What was found in the end.
    pub validation: Validation,
    /// How long it took.
    pub seconds: f64,
}

/// Copies of teacher assessments.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct CopiesReport {
    /// Under the teacher assessment's own `_id`.
    pub kept_ids: i64,
    /// Under another.
    pub new_ids: i64,
}

/// Documents that refer to teacher assessments whose copies get their `_id`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Meant {
    /// In `teacher_assessment_results`.
    pub results: i64,
    /// In `assessment_submissions`.
    pub submissions: i64,
}

/// The backup of the two collections.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct BackupTaken {
    /// Its name.
    pub name: String,
    /// Its absolute path.
    pub path: String,
    /// Documents.
    pub documents: i64,
}

/// What became of one kind of assessment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct KindReport {
    /// Documents that this migration unified, or would unify.
    pub migrated: i64,
    /// Documents that were unified before.
    pub already: i64,
    /// Documents that cannot be mapped, and were left as they are.
    pub unmapped: i64,
    /// Dates that were text.
    pub dates_converted: i64,
    /// Teacher assessments whose `_id` another document has.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub clashes: Option<i64>,
}

/// A document that cannot be mapped, or that the server refuses.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct UnmappedDocument {
    /// Its collection.
    pub collection: String,
    /// Its `_id`, as Extended JSON.
    #[serde(rename = "_id")]
    pub id: Value,
    /// The field in the way; empty where the server refuses the document as a whole.
    pub field: String,
    /// What is wrong with it.
    pub reason: String,
}

/// A teacher assessment whose `_id` another document has.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Clash {
    /// Its `_id`, as Extended JSON.
    #[serde(rename = "_id")]
    pub id: Value,
    /// The copy's `_id`; null in a dry run.
    pub new_id: Value,
    /// References to the `_id`, which now mean the other document.
    pub references: i64,
}

/// Documents to look at.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Reported {
    /// Unified documents without batches beside filled `assigned_batches`.
    pub empty_batches: i64,
    /// Their `_id`s, as Extended JSON.
    pub ids: Vec<Value>,
}

/// The five indexes.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Indexes {
    /// Indexes made, or to be made.
    pub created: Vec<String>,
    /// Indexes that existed already, as wanted.
    pub standing: Vec<String>,
    /// What is in the way of others, in words.
    pub conflicts: Vec<String>,
    /// Which of them have another name, in words.
    pub notes: Vec<String>,
}

/// What was found in the end.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Validation {
    /// Whether everything is as it should be, but for what was accepted.
    pub valid: bool,
    /// Documents in `assessments`.
    pub total: i64,
    /// Unified ones.
    pub unified: i64,
    /// Unified regular assessments.
    pub regular: i64,
    /// Unified copies of teacher assessments.
    pub teacher: i64,
    /// Documents that cannot be mapped, in both collections.
    pub unmapped: i64,
    /// Unified documents without a field of the model, or with one of a wrong type.
    pub missing_fields: i64,
    /// Documents that were added while it ran, left to the next run.
    pub added_meanwhile: i64,
    /// References to assessments.
    pub references: References,
    /// What is wrong, in words.
    pub problems: Vec<String>,
}

/// References of results and submissions to assessments, each `_id` counted once.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct References {
    /// How many assessments are referred to.
    pub distinct: i64,
    /// Found in `assessments`.
    pub found: i64,
    /// Teacher assessments whose copy has another `_id`, or that cannot be mapped: found where they were only.
    pub elsewhere: i64,
    /// Found nowhere, before and now.
    pub dangling: i64,
    /// Found before and not now: none, as originals stay where they are.
    pub lost: i64,
}

/// What `assessment-rollback` did.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct RollbackReport {
    /// The database.
    pub database: String,
    /// Whether there was nothing to undo.
    pub nothing_to_roll_back: bool,
    /// Whether an earlier run had begun it.
    pub resumed: bool,
    /// When what is undone was done.
    pub migrated_at: Option<DateTime>,
    /// Regular assessments.
    pub regular: Restored,
    /// Teacher assessments.
    pub teacher: Restored,
    /// Documents in `assessments` that are newer than the migration, and stay.
    pub kept_newer: i64,
    /// Teacher assessments that got back what was edited in their copies.
    pub carried_back: i64,
    /// Edited copies that stay because their teacher assessment is gone or cannot take the edits.
    pub kept_copies: i64,
    /// The indexes that the migration had made.
    pub indexes_dropped: Vec<String>,
    /// The old tool's backup document that was used.
    pub from_old_backup: Option<String>,
    /// What could not be known.
    pub unknown: Vec<String>,
    /// How long it took.
    pub seconds: f64,
}

/// What became of one kind of assessment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Restored {
    /// As they were before the migration.
    pub restored: i64,
    /// As they were, with what was edited since; regular ones also where that was something that the migration had changed.
    pub restored_with_edits: i64,
    /// Removed by somebody since.
    pub gone: i64,
    /// With something changed since that the migration had changed, too; that stays.
    pub conflicts: i64,
}
