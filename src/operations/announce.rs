//! Announces a document operation before it starts. The log says whether it is exactly once. The registry of captures
//! gets its entry.

use bson::spec::BinarySubtype;
use bson::{Binary, Document, doc};

use super::error::OperationError;
use crate::capture::registry::RegistryEntry;
use crate::model::script::Operation;
use crate::mongo::catalog::Collection;
use crate::observe::{Kind, Level};
use crate::run::capture_key::CaptureKey;
use crate::run::handle::Run;
use crate::run::journal::Journal;
use crate::run::progress::OperationIndex;
use crate::run::progress::{OperationProgress, Position};

/// Whether the operation is exactly-once; says so where it is not.
pub fn takes_transactions(run: &Run, name: &str, existing: &Collection) -> bool {
    let why = if !run.server.transactions() {
        "the server is a standalone one without transactions"
    } else if !existing.takes_transactions() {
        "capped and time-series collections take part in no transaction"
    } else {
        return true;
    };
    run.reporter.tell(
        Kind::Warning,
        Level::Warning,
        format!(
            "On {name:?} writes are at-least-once: {why}. A run that is killed, or loses an answer, may make its last write \
             again, to documents that were edited in between, whose new values depend on the moment, or that are not captured."
        ),
    );
    false
}

/// The note of an operation that is not exactly-once.
pub fn weaker(atomic: bool) -> Option<String> {
    (!atomic).then(|| "at-least-once: no transactions here".to_owned())
}

/// Makes the operation's entry in the registry of captures, unless it was begun before.
///
/// # Errors
/// [`OperationError`].
pub async fn announce(
    run: &mut Run,
    journal: &mut Journal,
    operation: &Operation,
    capture_key: CaptureKey,
    existing: Option<&Collection>,
    apart: bool,
    place: OperationIndex,
) -> Result<(), OperationError> {
    let mut what = doc! {"made": existing.is_none()};
    if apart {
        // Its undo is then apart, too.
        what.insert("apart", true);
    }
    if let Some(bytes) = existing.and_then(|existing| existing.uuid.clone()) {
        // What it is the same by when somebody renames it.
        what.insert("uuid", Binary { subtype: BinarySubtype::Uuid, bytes });
    }
    if existing.is_some_and(|existing| existing.kind == "timeseries") {
        what.insert("measurements", true);
    }
    enter(run, journal, operation, capture_key, what, place).await
}

async fn enter(
    run: &mut Run,
    journal: &mut Journal,
    operation: &Operation,
    capture_key: CaptureKey,
    what: Document,
    place: OperationIndex,
) -> Result<(), OperationError> {
    if journal.progress.operations.get(place.index).is_some_and(|own| own.begun) {
        return Ok(());
    }
    let mut entry = RegistryEntry::first(capture_key, operation.kind(), &operation.collection, what);
    let progress = OperationProgress::new(&operation.fingerprint);
    Ok(journal.note_with(run, place.index, &mut entry, progress, Some(Position::Whole)).await?)
}

/// Makes the entry of an operation that is not captured, unless it was begun before.
///
/// # Errors
/// [`OperationError`].
pub async fn announce_uncaptured(
    run: &mut Run,
    journal: &mut Journal,
    operation: &Operation,
    place: OperationIndex,
) -> Result<(), OperationError> {
    let begun = journal.progress.operations.get(place.index).is_some_and(|own| own.begun);
    if begun || operation.capture || journal.progress.capture.is_none() {
        return Ok(());
    }
    let mut entry = super::position::uncaptured(journal, operation, place);
    let progress = OperationProgress::new(&operation.fingerprint);
    Ok(journal.note_with(run, place.index, &mut entry, progress, Some(Position::Whole)).await?)
}

/// Notes that an operation on a time-series collection cannot be captured, and says so.
///
/// # Errors
/// [`OperationError`].
pub async fn announce_lost(
    run: &mut Run,
    journal: &mut Journal,
    operation: &Operation,
    capture_key: CaptureKey,
    place: OperationIndex,
) -> Result<(), OperationError> {
    let message = format!(
        "{} on the time-series collection {:?} is not captured: no statement could take it back. An exact rollback will \
         leave it as it is.",
        operation.kind(),
        operation.collection
    );
    run.reporter.tell(Kind::Warning, Level::Warning, message);
    enter(run, journal, operation, capture_key, doc! {"lost": true}, place).await
}
