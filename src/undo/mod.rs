//! Undoing what was captured, by the three-way rule: what is still as the migration left it goes back to what
//! it was; what somebody has changed, made or removed since stays, and is counted.
//!
//! An undo runs like an operation: under the lease, journalled, in chunks of one transaction each, and what it
//! takes away is captured in turn. Operations are undone in reverse order, each document of one in reverse
//! order too, so that every step meets a state that has been before: unique indexes are met on the way back
//! as they were on the way there.

mod copies;
mod deleted;
pub(crate) mod documents;
mod edits;
mod foresee;
pub mod indexes;
mod made;
pub mod moved;
pub mod operation;
mod options;
mod portions;
pub mod schema;
pub mod writes;

use bson::{Document, doc, rawdoc};

pub use self::foresee::foresee;
use self::made::remove_made;
use crate::assessment::names::{BRING_OVER, UNIFY};
use crate::capture::registry::RegistryEntry;
use crate::error::server::{ServerError, codes};
use crate::mongo::catalog;
use crate::mongo::id::Id;
use crate::mongo::retry::{Retry, retry};
use crate::mongo::server::Server;
use crate::operations::{OperationError, OperationIndex, SchemaError};
use crate::run::capture_key::CaptureKey;
use crate::run::handle::Run;
use crate::run::journal::Journal;
use crate::run::progress::{OperationProgress, Position};
use crate::run::report::{Counts, Outcome, Undone};
use crate::undo::operation::UndoOperation;

/// Undoes one operation, from where the journal says.
///
/// # Errors
/// [`OperationError`].
pub async fn carry_out(
    run: &mut Run,
    journal: &mut Journal,
    undo: &UndoOperation,
    undone: &[&UndoOperation],
    place: OperationIndex,
) -> Result<(), OperationError> {
    let undone_before = &undone[..place.index.min(undone.len())];
    let own = journal.progress.capture.map(|capture| capture.slot(place.index));
    if let Some(own) = own {
        announce(run, journal, undo, own, place).await?;
    }
    let mut retry = Retry::new(&run.reporter, &run.stop);
    if let Some(why) = retry!(retry, barred(&run.server, undone_before, undo))? {
        let counts = Undone { conflicts: 1, ..Undone::default() };
        return finish(run, journal, undo, place, counts, Some(why)).await;
    }
    let oldest = undone.last().map_or(undo.slot.capture, |oldest| oldest.slot.capture);
    // A collection that was renamed since is still the one that the operation worked on.
    let name = undo.collection.as_str();
    let now = retry!(retry, moved::name_now(&run.server, undo))?.filter(|_| !moved::moves(undo));
    let elsewhere = now.filter(|now| now != name).map(|now| UndoOperation { collection: now, ..undo.clone() });
    let undo = elsewhere.as_ref().unwrap_or(undo);
    match undo.done.as_str() {
        "update_documents" | "insert_documents" | UNIFY => {
            documents::undo(run, journal, undo, own, oldest, place).await?;
        }
        BRING_OVER => copies::undo(run, journal, undo, own, place).await?,
        "delete_documents" => deleted::undo(run, journal, undo, own, oldest, place).await?,
        _ => {
            let conflicts = conflicts_in(journal, undone, name);
            return schema::undo(run, journal, undo, own, conflicts, place).await;
        }
    }
    let mut counts = Undone::default();
    let mut note = None;
    if undo.entry.get_bool("made").unwrap_or(false) {
        let conflicts = conflicts_in(journal, undone, name);
        let mut retry = Retry::new(&run.reporter, &run.stop);
        (counts, note) = retry!(retry, remove_made(&run.server, undo, &plain(), conflicts))?;
    }
    finish(run, journal, undo, place, counts, note).await
}

/// Why it cannot be undone at all: it was not captured, or what stands under the collection's name is another one,
/// because the migration dropped or renamed the one that it worked on and that could not be taken back.
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
    if !writes || journal.progress.operations.get(place.index).is_some_and(|standing| standing.begun) {
        return Ok(());
    }
    let mut entry = RegistryEntry::first(own, &undo.kind, &undo.collection, Document::new());
    let progress = OperationProgress::new(&undo.hash);
    Ok(journal.note_with(run, place.index, &mut entry, progress, Some(Position::Whole)).await?)
}

/// Makes the journal's last entry of an undo.
async fn finish(
    run: &mut Run,
    journal: &mut Journal,
    undo: &UndoOperation,
    place: OperationIndex,
    counts: Undone,
    note: Option<String>,
) -> Result<(), OperationError> {
    let standing = journal.progress.operations.get(place.index).cloned();
    let mut progress = standing.unwrap_or_else(|| OperationProgress::new(&undo.hash));
    progress.outcome = Some(Outcome::Done);
    progress.counts += Counts { undone: counts, ..Counts::default() };
    progress.note = note;
    Ok(journal.note(run, place.index, progress, None).await?)
}

/// A collection as the server makes one at the first insert.
fn plain() -> Document {
    doc! {"type": "collection", "options": {}, "indexes": [{"v": 2, "key": {"_id": 1}, "name": "_id_"}]}
}

/// A collection or view with its options and indexes.
///
/// # Errors
/// The server's.
pub(crate) async fn standing(server: &Server, name: &str) -> Result<Option<Document>, ServerError> {
    Ok(crate::capture::schema::standing(server, name).await?.as_document().cloned())
}

/// Whether a collection's kind, options and indexes mean the same.
pub(crate) fn same_standing(a: &Document, b: &Document) -> bool {
    let options = |of: &Document| catalog::Collection {
        kind: of.get_str("type").unwrap_or_default().to_owned(),
        options: of.get_document("options").cloned().unwrap_or_default(),
        uuid: None,
    };
    let (one, other) = (options(a), options(b));
    let indexes = |of: &Document| {
        let mut listed: Vec<Document> =
            of.get_array("indexes").into_iter().flatten().filter_map(|index| index.as_document().cloned()).collect();
        listed.sort_by_key(|index| index.get_str("name").unwrap_or_default().to_owned());
        listed
    };
    one.kind == other.kind && catalog::difference(&one.options, &other).is_none() && indexes(a) == indexes(b)
}

impl From<SchemaError> for OperationError {
    fn from(error: SchemaError) -> Self {
        match error {
            SchemaError::Server(error) => error.into(),
            SchemaError::Found(failure) => Self::Failed(failure),
        }
    }
}

/// A unique value that somebody else has taken since: the next attempt goes without it.
fn taken(error: &ServerError) -> bool {
    error.is(codes::DUPLICATE_KEY)
}

/// Tells the chunked writer to try a smaller chunk again, with what was learned.
fn again(error: &ServerError) -> ServerError {
    ServerError::found(codes::TRY_AGAIN, error.message.clone())
}

/// Where packs of one operation lie among a run's.
fn bounds(slot: CaptureKey) -> Option<(Id, Id)> {
    let id = |place: i64| Id::of(&rawdoc! {"_id": {"o": slot.operation, "s": place}});
    Some((id(i64::MIN)?, id(i64::MAX)?))
}
