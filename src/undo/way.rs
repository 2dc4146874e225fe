//! How a change of the schema is taken back.

use bson::Document;

use crate::model::script::Operation;
use crate::model::script::operation::Action;
use crate::run::report::Undone;
use crate::undo::operation::UndoOperation;

/// How an operation is taken back.
pub(super) enum Way {
    /// Another operation undoes it. The text is a note for the report.
    Operation(Box<Operation>, Option<(Undone, String)>),
    /// An index is dropped and built as it was: `collMod` cannot make it so.
    Rebuild { index: Document },
    /// A collection set aside returns.
    Return {
        /// `None` where it still has its name.
        aside: Option<String>,
        before: Document,
    },
    /// What the migration made is removed, if nobody uses it.
    Remove { made: Document },
    /// Not at all: there is nothing to take back, or somebody has changed it since.
    Not { conflict: bool, why: String },
}

impl Way {
    pub(super) fn by(undo: &UndoOperation, action: Action) -> Self {
        Self::Operation(operation(undo, action), None)
    }

    pub(super) fn nothing(why: impl Into<String>) -> Self {
        Self::Not { conflict: false, why: why.into() }
    }

    pub(super) fn conflict(why: impl Into<String>) -> Self {
        Self::Not { conflict: true, why: why.into() }
    }
}

pub(super) fn operation(undo: &UndoOperation, action: Action) -> Box<Operation> {
    let collection = undo.collection.clone();
    Box::new(Operation { collection, action, capture: true, fingerprint: undo.hash.clone() })
}
