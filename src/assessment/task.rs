//! The tasks of a run of the unification.

use std::sync::Arc;

use super::model::{AssessmentKind, Rules};
use super::names::{ASSESSMENTS, INDEX, OLD_TOOL, TEACHER_ASSESSMENTS};
use super::refusals::Refusals;
use super::{indexes, old_tool, regular, teacher};
use crate::capture::registry::{BRING_OVER, UNIFY};
use crate::operations::error::OperationError;
use crate::run::handle::Run;
use crate::run::journal::Journal;
use crate::run::progress::OperationIndex;

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
        /// Documents that the server refuses.
        refusals: Arc<Refusals>,
        /// About how many there are, where that is known.
        expected: Option<i64>,
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
    pub fn regular(rules: Rules, refusals: Arc<Refusals>, expected: Option<i64>) -> Self {
        Self { part: AssessmentWork::Regular { rules, refusals, expected }, hash: UNIFY.to_owned() }
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
pub async fn execute(
    run: &mut Run,
    journal: &mut Journal,
    task: &AssessmentTask,
    place: OperationIndex,
) -> Result<(), OperationError> {
    match &task.part {
        AssessmentWork::Regular { rules, refusals, expected } => {
            regular::execute(run, journal, *rules, refusals, *expected, &task.hash, place).await
        }
        AssessmentWork::Teacher(how) => teacher::execute(run, journal, how, &task.hash, place).await,
        AssessmentWork::Indexes => indexes::execute(run, journal, &task.hash, place).await,
        AssessmentWork::OldTool { backup, side } => {
            old_tool::execute(run, journal, backup, *side, &task.hash, place).await
        }
    }
}
