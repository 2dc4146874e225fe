//! Something set aside, and where.

use bson::Document;

use crate::engine::reports::Dropped;
use crate::error::Error;
use crate::run::capture_key::CaptureKey;

/// Something set aside, and where.
pub(super) struct Stashed {
    pub(super) entry: Dropped,
    pub(super) capture_key: CaptureKey,
    pub(super) registered: Document,
    /// Whether an exact rollback has undone it.
    pub(super) undone: bool,
    /// Whether nothing is set aside any more: it was brought back.
    pub(super) back: bool,
}

/// The error where nothing is set aside under that name.
pub(super) fn unknown(name: &str) -> Error {
    Error::Unknown(format!("There is nothing to bring back under the name {name:?}. `undrop` lists the names."))
}
