//! One captured operation that is to be undone.

use bson::Document;

use crate::names::Names;
use crate::run::capture_key::CaptureKey;

/// Undoing what one operation did.
#[derive(Debug, Clone, PartialEq)]
pub struct UndoOperation {
    /// Where it was captured.
    pub capture_key: CaptureKey,
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

impl UndoOperation {
    /// Makes the undo of the operation that the entry of `capture_key` describes.
    pub fn new(capture_key: CaptureKey, entry: Document) -> Self {
        let text = |name: &str| entry.get_str(name).unwrap_or_default().to_owned();
        let done = text("type");
        Self {
            capture_key,
            kind: format!("undo {done}"),
            collection: text("collection"),
            done,
            // Whatever the ledger's name: earlier versions wrote it so.
            hash: format!("undo {}", capture_key.aside(&Names::default())),
            entry,
        }
    }
}
