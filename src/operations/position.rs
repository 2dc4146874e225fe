//! Which operation of a script it is, where it captures, and how it found or left things.

use bson::doc;

use crate::capture::registry::RegistryEntry;
use crate::model::script::Operation;
use crate::run::capture_key::CaptureKey;
use crate::run::journal::Journal;
use crate::run::progress::OperationIndex;
use crate::run::report::Outcome;

/// How a schema operation found or left things.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settled {
    /// What it did.
    pub outcome: Outcome,
    /// What else there is to say.
    pub note: Option<String>,
}

impl Settled {
    pub(super) fn done() -> Self {
        Self { outcome: Outcome::Done, note: None }
    }

    pub(super) fn existing(note: impl Into<String>) -> Self {
        Self { outcome: Outcome::Standing, note: Some(note.into()) }
    }

    pub(super) fn absent(note: impl Into<String>) -> Self {
        Self { outcome: Outcome::Absent, note: Some(note.into()) }
    }
}

/// Where an operation captures what it does, if it does.
pub(super) fn capture_key(journal: &Journal, operation: &Operation, place: OperationIndex) -> Option<CaptureKey> {
    journal.progress.capture.filter(|_| operation.capture).map(|capture| capture.capture_key(place.index))
}

/// The entry of an operation that is not captured within a run that is: it says so.
pub(super) fn uncaptured(journal: &Journal, operation: &Operation, place: OperationIndex) -> RegistryEntry {
    match journal.progress.capture.filter(|_| !operation.capture) {
        Some(capture) => {
            let capture_key = capture.capture_key(place.index);
            RegistryEntry::first(capture_key, operation.kind(), &operation.collection, doc! {"uncaptured": true})
        }
        None => RegistryEntry::none(),
    }
}
