//! The unification of the assessment model: regular assessments are brought to one model in place, teacher
//! assessments are brought into their collection, five indexes are made, and the result is validated.
//!
//! [`model`] is the table of fields, sources and defaults; [`mapping`] applies it to one document, [`unified`] makes of that
//! an update or a copy; neither knows a server, and both see values as [`values`] does.
//! [`regular`] and [`teacher`] are the two tasks of a run, taken through by the same journal and chunks as the
//! operations of a migration and captured alike; the second one is taken back with [`carry_back`], the first one
//! is undone like any update. [`survey`] finds out beforehand what there is to do, [`validate`] afterwards what stands.
//! [`copies`] knows which document is whose copy and [`ids`] under which `_id` a copy goes; [`constraints`] asks beforehand what the
//! server would refuse, and [`refusals`] keeps what it has refused.
//! [`old_tool`] rolls back what the old tool did, from the backup document that it left.

mod ahead;
pub(crate) mod base;
pub(crate) mod carry_back;
pub mod constraints;
pub mod copies;
mod dates;
pub mod ids;
pub mod indexes;
pub(crate) mod mapping;
pub(crate) mod model;
pub mod old_tool;
pub mod references;
pub mod refusals;
mod regular;
pub mod report;
pub mod survey;
pub mod teacher;
mod text_index;
mod unified;
pub mod validate;
pub(crate) mod values;

use std::sync::Arc;

use crate::operations::{OperationError, OperationIndex};
use crate::run::handle::Run;
use crate::run::journal::Journal;
use model::{AssessmentKind, Rules};
use refusals::Refusals;

/// The collection of regular assessments, and of all of them afterwards.
pub const ASSESSMENTS: &str = "assessments";
/// The collection of teacher assessments.
pub const TEACHER_ASSESSMENTS: &str = "teacher_assessments";
/// The `_id` of its record in the ledger.
pub const RECORD: &str = "assessment_model";
/// Its name in messages.
pub const NAME: &str = "assessment model unification";
/// The type of the task on regular assessments, in the journal and in the registry of captures.
pub const UNIFY: &str = "unify_assessments";
/// The type of the task on teacher assessments.
pub const BRING_OVER: &str = "bring_over_teacher_assessments";
/// The type of the task that makes the indexes.
pub const INDEX: &str = "create_indexes";
/// The type of the task that undoes what the old tool did.
pub const OLD_TOOL: &str = "undo_old_tool";

/// One task of a run.
#[derive(Debug, Clone)]
pub struct AssessmentTask {
    /// Which.
    pub part: AssessmentWork,
    /// What a resumed run compares.
    pub hash: String,
}

/// Which task.
#[derive(Debug, Clone)]
pub enum AssessmentWork {
    /// Regular assessments, in place.
    Regular {
        /// The mapping.
        rules: Rules,
        /// Those that the server refuses.
        refusals: Arc<Refusals>,
    },
    /// Teacher assessments, into the others' collection.
    Teacher(teacher::CopyOptions),
    /// Making the indexes.
    Indexes,
    /// Undoing what the old tool did to one kind of assessment.
    OldTool {
        /// What it left.
        backup: Arc<old_tool::Backup>,
        /// Which kind.
        side: AssessmentKind,
    },
}

impl PartialEq for AssessmentTask {
    fn eq(&self, other: &Self) -> bool {
        self.hash == other.hash
    }
}

impl AssessmentTask {
    /// The task on regular assessments.
    pub fn regular(rules: Rules, refusals: Arc<Refusals>) -> Self {
        Self { part: AssessmentWork::Regular { rules, refusals }, hash: UNIFY.to_owned() }
    }

    /// The task on teacher assessments.
    pub fn teacher(how: teacher::CopyOptions) -> Self {
        Self { part: AssessmentWork::Teacher(how), hash: BRING_OVER.to_owned() }
    }

    /// The task that makes the indexes, the last of its run.
    pub fn indexes() -> Self {
        Self { part: AssessmentWork::Indexes, hash: INDEX.to_owned() }
    }

    /// The task that undoes what the old tool did to one kind of assessment.
    pub fn old_tool(backup: Arc<old_tool::Backup>, side: AssessmentKind) -> Self {
        Self {
            hash: format!("{OLD_TOOL} {} {}", backup.id, side.source()),
            part: AssessmentWork::OldTool { backup, side },
        }
    }

    /// Its type.
    pub fn kind(&self) -> &'static str {
        match self.part {
            AssessmentWork::Regular { .. } => UNIFY,
            AssessmentWork::Teacher(_) => BRING_OVER,
            AssessmentWork::Indexes => INDEX,
            AssessmentWork::OldTool { .. } => OLD_TOOL,
        }
    }

    /// The collection that it works through.
    pub fn collection(&self) -> &'static str {
        match self.part {
            AssessmentWork::Regular { .. } | AssessmentWork::Indexes | AssessmentWork::OldTool { .. } => ASSESSMENTS,
            AssessmentWork::Teacher(_) => TEACHER_ASSESSMENTS,
        }
    }
}

/// Carries out a task, from where the journal says.
///
/// # Errors
/// [`OperationError`].
pub async fn carry_out(
    run: &mut Run,
    journal: &mut Journal,
    task: &AssessmentTask,
    place: OperationIndex,
) -> Result<(), OperationError> {
    match &task.part {
        AssessmentWork::Regular { rules, refusals } => {
            regular::carry_out(run, journal, *rules, refusals, &task.hash, place).await
        }
        AssessmentWork::Teacher(how) => teacher::carry_out(run, journal, how, &task.hash, place).await,
        AssessmentWork::Indexes => indexes::carry_out(run, journal, &task.hash, place).await,
        AssessmentWork::OldTool { backup, side } => {
            old_tool::carry_out(run, journal, backup, *side, &task.hash, place).await
        }
    }
}

/// An `_id` as Extended JSON.
pub fn shown_id(id: &crate::mongo::id::Id) -> serde_json::Value {
    crate::mongo::raw::first(id.as_bytes()).map_or(serde_json::Value::Null, |id| values::shown(&id))
}
