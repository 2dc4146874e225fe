//! The names of the unification: collections, its record, and the types of its tasks.

/// The collection of regular assessments, and of all of them afterwards.
pub const ASSESSMENTS: &str = "assessments";
/// The collection of teacher assessments.
pub const TEACHER_ASSESSMENTS: &str = "teacher_assessments";
/// The `_id` of its record in the ledger.
pub const RECORD: &str = "assessment_model";
/// Its name in messages.
pub const NAME: &str = "assessment model unification";
/// The type of the task that makes the indexes.
pub const INDEX: &str = "create_indexes";
/// The type of the task that undoes what the old tool did.
pub const OLD_TOOL: &str = "undo_old_tool";
