//! A script to run, or captures to undo: a list of tasks, taken through one after the other.

use bson::Document;

use super::capture_key::Slot;
use super::progress::Progress;
use crate::assessment;
use crate::model::script::checks::Checks;
use crate::model::script::{Operation, Script};
use crate::names::Names;

/// What to run, with everything the ledger is to know.
#[derive(Debug, Clone)]
#[allow(missing_docs)]
pub struct Step {
    pub id: String,
    pub name: String,
    pub description: String,
    /// What to do, in order.
    pub tasks: Vec<Task>,
    /// Whether the tasks undo captures.
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
    pub otherwise: Option<String>,
    /// How far an earlier run came.
    pub resume: Option<Progress>,
    /// What must hold before and after.
    pub checks: Checks,
    /// What to run where the captures that this would undo are not whole.
    pub instead: Option<Box<Step>>,
    /// What the record was when this was planned; `None` where there was none.
    pub seen: Option<Document>,
    /// What the record keeps beside, where this is the unification of the assessment model: the captures of its runs add
    /// up, and no script is kept.
    pub assessment: Option<Document>,
}

impl Step {
    /// The command that undoes it.
    pub fn undone_by(&self) -> String {
        match self.assessment {
            Some(_) => "assessment-rollback".to_owned(),
            None => format!("rollback {}", self.id),
        }
    }
}

/// One thing to do.
#[derive(Debug, Clone, PartialEq)]
pub enum Task {
    /// An operation of a script.
    Operation(Box<Operation>),
    /// Undoing what one operation did.
    Undo(Undo),
    /// A part of the unification of the assessment model.
    Assessment(assessment::Task),
}

/// Undoing what one operation did.
#[derive(Debug, Clone, PartialEq)]
pub struct Undo {
    /// Where it was captured.
    pub slot: Slot,
    /// The operation's type.
    pub done: String,
    /// `undo` and the operation's type.
    pub kind: String,
    /// The collection.
    pub collection: String,
    /// Its entry in the registry.
    pub entry: Document,
    /// What a resumed run compares.
    pub hash: String,
}

impl Undo {
    /// Undoing what the entry of `slot` tells of.
    pub fn new(slot: Slot, entry: Document) -> Self {
        let text = |name: &str| entry.get_str(name).unwrap_or_default().to_owned();
        let done = text("type");
        Self {
            slot,
            kind: format!("undo {done}"),
            collection: text("collection"),
            done,
            // Whatever the ledger's name: earlier versions wrote it so.
            hash: format!("undo {}", slot.aside(&Names::default())),
            entry,
        }
    }
}

impl Task {
    /// Its type.
    pub fn kind(&self) -> &str {
        match self {
            Self::Operation(operation) => operation.kind(),
            Self::Undo(undo) => &undo.kind,
            Self::Assessment(task) => task.kind(),
        }
    }

    /// The collection it works on.
    pub fn collection(&self) -> &str {
        match self {
            Self::Operation(operation) => &operation.collection,
            Self::Undo(undo) => &undo.collection,
            Self::Assessment(task) => task.collection(),
        }
    }

    /// What a resumed run compares.
    pub fn hash(&self) -> &str {
        match self {
            Self::Operation(operation) => &operation.fingerprint,
            Self::Undo(undo) => &undo.hash,
            Self::Assessment(task) => &task.hash,
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

/// A script's operations as tasks.
pub fn tasks(script: &Script) -> Vec<Task> {
    script.operations.iter().map(|operation| Task::Operation(Box::new(operation.clone()))).collect()
}
