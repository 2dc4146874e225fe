//! A migration that is to be run: a script, or captures to undo, as a list of work items, one after the other.

use bson::Document;

use crate::assessment;
use crate::model::script::checks::Checks;
use crate::model::script::{Operation, Script};
use crate::run::capture_key::CaptureId;
use crate::run::header::MigrationHeader;
use crate::run::progress::Progress;
use crate::undo::operation::UndoOperation;

/// What to run, with everything the ledger is to know.
#[derive(Debug, Clone, Default)]
#[allow(missing_docs)]
pub struct PlannedMigration {
    pub id: String,
    pub name: String,
    pub description: String,
    /// What to do, in order.
    pub items: Vec<WorkItem>,
    /// Whether the items undo captures.
    pub exact: bool,
    /// Whether what it does is captured, where it has not begun yet.
    pub capture: bool,
    /// The scripts as the ledger keeps them.
    pub up_text: String,
    pub down_text: Option<String>,
    pub checksum: Option<String>,
    /// Where the script comes from, for messages.
    pub origin: String,
    /// What else can be done where it fails, as a sentence.
    pub alternatives: Option<String>,
    /// How far an earlier run came.
    pub resume: Option<Progress>,
    /// What must hold before and after.
    pub checks: Checks,
    /// The script to run instead if the captures are incomplete.
    pub fallback: Option<Box<PlannedMigration>>,
    /// What the record was when this was planned; `None` where there was none.
    pub seen: Option<Document>,
    /// What the record keeps beside, where this is the unification of the assessment model: the captures of its runs add
    /// up, and no script is kept.
    pub assessment: Option<Document>,
}

impl PlannedMigration {
    /// The command that undoes it.
    pub fn undone_by(&self) -> String {
        match self.assessment {
            Some(_) => "assessment-rollback".to_owned(),
            None => format!("rollback {}", self.id),
        }
    }

    /// What the ledger is to keep of it.
    pub fn header(&self) -> MigrationHeader<'_> {
        MigrationHeader {
            id: &self.id,
            name: &self.name,
            description: &self.description,
            up_text: &self.up_text,
            down_text: self.down_text.as_deref(),
            checksum: self.checksum.as_deref(),
            checks: &self.checks,
            exact: self.exact,
            resumed: self.resume.is_some(),
            seen: self.seen.as_ref(),
            assessment: self.assessment.as_ref(),
        }
    }

    /// The captures that it undoes, one after the other.
    pub fn undoes(&self) -> Vec<&UndoOperation> {
        self.items
            .iter()
            .filter_map(|item| match item {
                WorkItem::Undo(undo) => Some(undo),
                WorkItem::Operation(_) | WorkItem::Assessment(_) => None,
            })
            .collect()
    }

    /// The runs whose captures it undoes.
    pub fn undone_captures(&self) -> Vec<CaptureId> {
        let mut captures: Vec<CaptureId> = self.undoes().into_iter().map(|undo| undo.capture_key.capture).collect();
        captures.dedup();
        captures
    }
}

/// One thing to do.
#[derive(Debug, Clone, PartialEq)]
pub enum WorkItem {
    /// An operation of a script.
    Operation(Box<Operation>),
    /// Undoing what one operation did.
    Undo(UndoOperation),
    /// A part of the unification of the assessment model.
    Assessment(assessment::task::AssessmentTask),
}

impl WorkItem {
    /// Its type.
    pub fn kind(&self) -> &str {
        match self {
            Self::Operation(operation) => operation.kind(),
            Self::Undo(undo) => &undo.kind,
            Self::Assessment(item) => item.kind(),
        }
    }

    /// The collection it works on.
    pub fn collection(&self) -> &str {
        match self {
            Self::Operation(operation) => &operation.collection,
            Self::Undo(undo) => &undo.collection,
            Self::Assessment(item) => item.collection(),
        }
    }

    /// What a resumed run compares.
    pub fn hash(&self) -> &str {
        match self {
            Self::Operation(operation) => &operation.fingerprint,
            Self::Undo(undo) => &undo.hash,
            Self::Assessment(item) => &item.hash,
        }
    }

    /// Whether what it does is to be captured.
    pub fn captures(&self) -> bool {
        match self {
            Self::Operation(operation) => operation.capture,
            Self::Undo(_) | Self::Assessment(_) => true,
        }
    }
}

/// A script's operations as work items.
pub fn work_items(script: &Script) -> Vec<WorkItem> {
    script.operations.iter().map(|operation| WorkItem::Operation(Box::new(operation.clone()))).collect()
}
