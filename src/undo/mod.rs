//! This room undoes captures by the three-way rule. A value that the migration wrote and nobody has changed since
//! goes back. A later change stays and is counted.
//!
//! An undo runs like an operation: under the lease, journalled, in chunks of one transaction each, and what it
//! takes away is captured in turn. Operations are undone in reverse order, each document of one in reverse
//! order too, so that each step produces a state that existed before. A unique index that accepted the states on the
//! way there accepts them on the way back.

mod attempts;
pub(crate) mod decision;
mod deleted;
pub(crate) mod documents;
mod edits;
pub mod ending;
pub mod existing;
mod foresee;
pub mod indexes;
mod made;
pub mod moved;
pub mod operation;
mod options;
pub mod read_budget;
pub(crate) mod recapture;
pub mod schema;
mod way;
pub mod writes;

use bson::Document;

use self::ending::finish;
use self::existing::plain;
pub use self::foresee::foresee;
use self::made::remove_made;
use crate::capture::registry::RegistryEntry;
use crate::capture::registry::{BRING_OVER, UNIFY};
use crate::error::server::ServerError;
use crate::mongo::catalog;
use crate::mongo::retry::{Retry, retry};
use crate::mongo::server::Server;
use crate::operations::error::OperationError;
use crate::run::capture_key::{CaptureId, CaptureKey};
use crate::run::handle::Run;
use crate::run::journal::Journal;
use crate::run::progress::OperationIndex;
use crate::run::progress::{OperationProgress, Position};
use crate::run::report::Undone;
use crate::undo::operation::UndoOperation;

/// Undoes one operation, from where the journal says.
///
/// # Errors
/// [`OperationError`].
pub async fn execute(
    run: &mut Run,
    journal: &mut Journal,
    undo: &UndoOperation,
    undone: &[&UndoOperation],
    place: OperationIndex,
) -> Result<(), OperationError> {
    let Some(begun) = begin(run, journal, undo, undone, place).await? else { return Ok(()) };
    let BegunUndo { undo, own, oldest, .. } = &begun;
    let (own, oldest) = (*own, *oldest);
    match undo.done.as_str() {
        "update_documents" | "insert_documents" | UNIFY => {
            documents::undo(run, journal, undo, own, oldest, place).await?;
        }
        "delete_documents" => deleted::undo(run, journal, undo, own, oldest, place).await?,
        _ => {
            let conflicts = conflicts_in(journal, undone, &begun.name);
            return schema::undo(run, journal, undo, own, conflicts, place).await;
        }
    }
    end(run, journal, &begun, undone, place).await
}

/// An operation whose undoing has begun.
#[derive(Debug)]
pub struct BegunUndo {
    /// The operation, with the name that its collection has today.
    pub undo: UndoOperation,
    /// Where its undoing is captured.
    pub own: Option<CaptureKey>,
    /// The captures of the oldest operation that is undone with it.
    pub oldest: CaptureId,
    /// The name that its collection had.
    name: String,
}

/// Begins the undoing of an operation; `None` where it cannot be undone, which then is noted.
///
/// # Errors
/// [`OperationError`].
pub async fn begin(
    run: &mut Run,
    journal: &mut Journal,
    undo: &UndoOperation,
    undone: &[&UndoOperation],
    place: OperationIndex,
) -> Result<Option<BegunUndo>, OperationError> {
    let undone_before = &undone[..place.index.min(undone.len())];
    let own = journal.progress.capture.map(|capture| capture.capture_key(place.index));
    if let Some(own) = own {
        announce(run, journal, undo, own, place).await?;
    }
    let mut retry = Retry::new(&run.reporter, &run.stop);
    if let Some(why) = retry!(retry, barred(&run.server, undone_before, undo))? {
        let counts = Undone { conflicts: 1, ..Undone::default() };
        finish(run, journal, undo, place, counts, Some(why)).await?;
        return Ok(None);
    }
    let oldest = undone.last().map_or(undo.capture_key.capture, |oldest| oldest.capture_key.capture);
    // A collection that was renamed since is still the one that the operation worked on.
    let name = undo.collection.as_str();
    let now = retry!(retry, moved::name_now(&run.server, undo))?.filter(|_| !moved::moves(undo));
    let elsewhere = now.filter(|now| now != name).map(|now| UndoOperation { collection: now, ..undo.clone() });
    Ok(Some(BegunUndo { undo: elsewhere.unwrap_or_else(|| undo.clone()), own, oldest, name: name.to_owned() }))
}

/// Ends the undoing of an operation on documents: removes a collection that it made, and notes what was done.
///
/// # Errors
/// [`OperationError`].
pub async fn end(
    run: &mut Run,
    journal: &mut Journal,
    begun: &BegunUndo,
    undone: &[&UndoOperation],
    place: OperationIndex,
) -> Result<(), OperationError> {
    let undo = &begun.undo;
    let mut counts = Undone::default();
    let mut note = None;
    if undo.entry.get_bool("made").unwrap_or(false) {
        let conflicts = conflicts_in(journal, undone, &begun.name);
        let mut retry = Retry::new(&run.reporter, &run.stop);
        (counts, note) = retry!(retry, remove_made(&run.server, undo, &plain(), conflicts))?;
    }
    finish(run, journal, undo, place, counts, note).await
}

/// Returns why the operation cannot be undone at all. It may not be captured. Or the migration dropped or renamed its
/// collection, that could not be undone, and the name now belongs to another collection.
async fn barred(
    server: &Server,
    undone_before: &[&UndoOperation],
    undo: &UndoOperation,
) -> Result<Option<String>, ServerError> {
    if undo.entry.get_bool("lost").unwrap_or(false) {
        let why = "it was not captured: nothing names one document of a time-series collection";
        return Ok(Some(why.to_owned()));
    }
    for other in undone_before {
        if other.collection != undo.collection {
            continue;
        }
        let left = match other.done.as_str() {
            "drop_collection" => other.entry.get_str("aside").ok(),
            "rename_collection" if other.entry.get_bool("renames").unwrap_or(false) => other.entry.get_str("to").ok(),
            _ => None,
        };
        if let Some(left) = left
            && catalog::collection(server, left).await?.is_some()
        {
            return Ok(Some(format!("the collection that it worked on is {left:?} and could not be taken back")));
        }
    }
    Ok(None)
}

/// Documents of a collection that were left as somebody had changed them.
fn conflicts_in(journal: &Journal, undone: &[&UndoOperation], collection: &str) -> i64 {
    let own = journal.progress.operations.iter().zip(undone).filter(|(_, undo)| undo.collection == collection);
    own.map(|(done, _)| done.counts.undone.conflicts).sum()
}

/// Makes the undo's own entry in the registry of captures, unless it was begun before.
async fn announce(
    run: &mut Run,
    journal: &mut Journal,
    undo: &UndoOperation,
    own: CaptureKey,
    place: OperationIndex,
) -> Result<(), OperationError> {
    let done = undo.done.as_str();
    let writes = matches!(done, "update_documents" | "insert_documents" | "delete_documents" | UNIFY | BRING_OVER);
    if !writes || journal.progress.operations.get(place.index).is_some_and(|existing| existing.begun) {
        return Ok(());
    }
    let mut entry = RegistryEntry::first(own, &undo.kind, &undo.collection, Document::new());
    let progress = OperationProgress::new(&undo.hash);
    Ok(journal.note_with(run, place.index, &mut entry, progress, Some(Position::Whole)).await?)
}
