//! Operations on documents: in chunks over `_id` where that means the same, else in one transaction.

use bson::{Bson, Document};

use super::announce::{announce, announce_lost, announce_uncaptured, takes_transactions, weaker};
use super::apart::update_is_apart;
use super::culprit;
use super::error::{Failure, OperationError};
use super::in_one_go::{delete_in_one_go, in_one_go, in_one_go_because, update_in_one_go};
use super::statements::{Delete, Update};
use super::write_command::raw;
use crate::capture::documents::{Capturing, Does, Finds};
use crate::error::codes;
use crate::model::script::Operation;
use crate::model::script::operation::{DeleteDocuments, UpdateDocuments};
use crate::mongo::catalog::{self, Collection};
use crate::mongo::query::Query;
use crate::mongo::retry::{Retry, retry};
use crate::run::chunks::work_through;
use crate::run::handle::Run;
use crate::run::id_ranges::{IdRange, Scope};
use crate::run::journal::Journal;
use crate::run::line::{ChunkBody, Selected, Selection};
use crate::run::progress::OperationIndex;
use crate::run::progress::{OperationProgress, Position};
use crate::run::report::Outcome;

/// `update_documents`.
pub async fn update(
    run: &mut Run,
    journal: &mut Journal,
    operation: &Operation,
    update: &UpdateDocuments,
    place: OperationIndex,
) -> Result<(), OperationError> {
    let mut body = Update::new(&operation.collection, update)?;
    let request = DocumentsRequest {
        operation,
        update: Some(update),
        filter: &update.filter,
        collation: update.collation.as_ref(),
        hint: update.hint.clone(),
        variables: update.variables.clone(),
        whole_because: update_in_one_go(update),
        creates: update.upsert,
        place,
    };
    match write(run, journal, request, &mut body).await {
        Err(OperationError::Failed(failure)) => {
            Err(OperationError::Failed(named(run, journal, operation, update, failure).await))
        }
        ended => ended,
    }
}

/// Errors that name the document, or that are not about the pipeline.
const TOLD: [i32; 5] = [
    codes::DOCUMENT_VALIDATION_FAILURE,
    codes::DUPLICATE_KEY,
    codes::TRANSACTION_TOO_LARGE,
    codes::BSON_OBJECT_TOO_LARGE,
    codes::COMMAND_NOT_SUPPORTED_ON_VIEW,
];

/// The failure of an update, with the document that its pipeline fails on.
async fn named(
    run: &Run,
    journal: &Journal,
    operation: &Operation,
    update: &UpdateDocuments,
    mut failure: Failure,
) -> Failure {
    let Bson::Array(stages) = &update.update else { return failure };
    if failure.remedy.is_some() || failure.code.is_none_or(|code| TOLD.contains(&code)) {
        return failure;
    }
    let Ok(mut filter) = raw(&update.filter) else { return failure };
    let position = journal.stopped_at.as_ref().or(journal.progress.position.as_ref());
    if let Some(Position::Ids { upper, after }) = position {
        filter = IdRange::Range { after: after.clone(), through: upper.clone() }.select(&filter);
    }
    let query = Query {
        collection: &operation.collection,
        hint: None,
        collation: update.collation.as_ref(),
        variables: update.variables.as_ref(),
    };
    let looked = tokio::select! {
        () = run.stop.cancelled() => return failure,
        looked = culprit::find(&run.server, &query, &filter, stages) => looked,
    };
    if let Ok(Some(culprit)) = looked {
        failure.cause = format!("the pipeline fails on the document _id {}: {}", culprit.id, failure.cause);
    }
    failure
}

/// `delete_documents`.
pub async fn delete(
    run: &mut Run,
    journal: &mut Journal,
    operation: &Operation,
    delete: &DeleteDocuments,
    place: OperationIndex,
) -> Result<(), OperationError> {
    let mut body = Delete::new(&operation.collection, delete)?;
    let request = DocumentsRequest {
        operation,
        update: None,
        filter: &delete.filter,
        collation: delete.collation.as_ref(),
        hint: delete.hint.clone(),
        variables: None,
        whole_because: delete_in_one_go(delete),
        creates: false,
        place,
    };
    write(run, journal, request, &mut body).await
}

/// What an update or delete asks for, as far as running it goes.
struct DocumentsRequest<'a> {
    operation: &'a Operation,
    /// What an update does; a delete has nothing that could meet another document.
    update: Option<&'a UpdateDocuments>,
    filter: &'a Document,
    collation: Option<&'a Document>,
    hint: Option<Bson>,
    variables: Option<Document>,
    /// Why it cannot be cut into chunks.
    whole_because: Option<&'static str>,
    /// Whether it may make the collection.
    creates: bool,
    place: OperationIndex,
}

async fn write<B: Finds>(
    run: &mut Run,
    journal: &mut Journal,
    request: DocumentsRequest<'_>,
    body: &mut B,
) -> Result<(), OperationError> {
    let OperationIndex { index, .. } = request.place;
    let name = &request.operation.collection;
    let existing = look_up(run, name).await?;
    let found = existing.clone();
    let hash = &request.operation.fingerprint;
    let Some(existing) = existing.or_else(|| request.creates.then(plain)) else {
        let mut progress = OperationProgress::new(hash);
        progress.outcome = Some(Outcome::Done);
        progress.note = Some("there is no such collection, so no document matches".to_owned());
        return Ok(journal.note(run, index, progress, None).await?);
    };
    if existing.kind == "view" {
        return Err(OperationError::Failed(is_a_view(name)));
    }
    let atomic = takes_transactions(run, name, &existing);
    let whole_because = in_one_go_because(&existing, request.collation, request.whole_because);
    let apart = match request.update.filter(|_| atomic && whole_because.is_none()) {
        Some(update) => {
            let mut retry = Retry::new(&run.reporter, &run.stop);
            retry!(retry, update_is_apart(&run.server, name, update))?
        }
        None => true,
    };
    let how = match whole_because {
        Some(why) => Chunking::InOneGo(why),
        None => Chunking::InChunks(Box::new(Scope {
            collection: name.clone(),
            filter: raw(request.filter)?,
            hint: request.hint.clone(),
            variables: request.variables.clone(),
            atomic,
            bounds: None,
            weight: 1,
            total: None,
            expected: None,
            apart,
        })),
    };
    let timeseries = existing.kind == "timeseries";
    let capture_key = super::position::capture_key(journal, request.operation, request.place);
    let undoable = !timeseries || body.does() == Does::Delete;
    if let Some(capture_key) = capture_key.filter(|_| !undoable) {
        announce_lost(run, journal, request.operation, capture_key, request.place).await?;
    }
    announce_uncaptured(run, journal, request.operation, request.place).await?;
    match capture_key.filter(|_| undoable) {
        None => execute(run, journal, &request, how, atomic, body).await,
        Some(capture_key) => {
            announce(run, journal, request.operation, capture_key, found.as_ref(), apart, request.place).await?;
            let mut capturing = Capturing::new(body.clone(), capture_key, &existing);
            execute(run, journal, &request, how, atomic, &mut capturing).await
        }
    }
}

/// Whether an operation may be cut into chunks.
enum Chunking {
    InChunks(Box<Scope>),
    /// Not, for this reason.
    InOneGo(&'static str),
}

async fn execute<B: ChunkBody>(
    run: &mut Run,
    journal: &mut Journal,
    request: &DocumentsRequest<'_>,
    how: Chunking,
    atomic: bool,
    body: &mut B,
) -> Result<(), OperationError> {
    let index = request.place.index;
    let hash = &request.operation.fingerprint;
    let scope = match how {
        Chunking::InChunks(scope) => scope,
        Chunking::InOneGo(why) => {
            let selection = Selection::whole(raw(request.filter)?);
            return in_one_go(run, journal, hash, Selected { body, selection }, why, atomic, request.place).await;
        }
    };
    work_through(run, journal, request.place, hash, &scope, body).await?;
    let mut progress = journal.progress.operations.get(index).cloned().unwrap_or_else(|| OperationProgress::new(hash));
    progress.outcome = Some(Outcome::Done);
    progress.note = weaker(atomic);
    Ok(journal.note(run, index, progress, None).await?)
}

/// The collection, if there is one.
///
/// # Errors
/// [`OperationError`].
pub async fn look_up(run: &Run, name: &str) -> Result<Option<Collection>, OperationError> {
    let mut retry = Retry::new(&run.reporter, &run.stop);
    Ok(retry!(retry, catalog::collection(&run.server, name))?)
}

/// A collection that does not exist yet.
pub(super) fn plain() -> Collection {
    Collection { kind: "collection".to_owned(), options: Document::new(), uuid: None }
}

/// The failure of an operation on documents of a view.
pub fn is_a_view(name: &str) -> Failure {
    Failure {
        written: None,
        cause: format!("{name:?} is a view, and documents cannot be written through it"),
        code: Some(codes::COMMAND_NOT_SUPPORTED_ON_VIEW),
        remedy: Some("Write to the collection that the view shows.".to_owned()),
    }
}
