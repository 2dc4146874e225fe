//! Operations on documents: in chunks over `_id` where that means the same, else in one transaction.

use bson::{Bson, Document, doc};
use tokio::time::Instant;

use super::announce::{announce, announce_lost, announce_uncaptured, takes_transactions, weaker};
use super::apart::update_is_apart;
use super::culprit;
use super::error::{Failure, OperationError};
use super::statements::{Delete, Update, raw};
use crate::capture::documents::{Capturing, Does, Finds};
use crate::error::server::codes;
use crate::model::equivalence::same_collation;
use crate::model::script::Operation;
use crate::model::script::operation::{DeleteDocuments, UpdateDocuments};
use crate::mongo::catalog::{self, Collection};
use crate::mongo::query::Query;
use crate::mongo::retry::{Retry, retry};
use crate::mongo::server::Server;
use crate::run::chunks::work_through;
use crate::run::handle::Run;
use crate::run::id_ranges::{IdRange, Scope};
use crate::run::journal::{Journal, JournalError};
use crate::run::line::{ChunkBody, Selected, Selection};
use crate::run::progress::OperationIndex;
use crate::run::progress::{OperationProgress, Position};
use crate::run::report::{Counts, Outcome};

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
    let standing = look_up(run, name).await?;
    let found = standing.clone();
    let hash = &request.operation.fingerprint;
    let Some(standing) = standing.or_else(|| request.creates.then(plain)) else {
        let mut progress = OperationProgress::new(hash);
        progress.outcome = Some(Outcome::Done);
        progress.note = Some("there is no such collection, so no document matches".to_owned());
        return Ok(journal.note(run, index, progress, None).await?);
    };
    if standing.kind == "view" {
        return Err(OperationError::Failed(is_a_view(name)));
    }
    let atomic = takes_transactions(run, name, &standing);
    let whole_because = in_one_go_because(&standing, request.collation, request.whole_because);
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
            apart,
        })),
    };
    let timeseries = standing.kind == "timeseries";
    let slot = super::position::slot(journal, request.operation, request.place);
    let undoable = !timeseries || body.does() == Does::Delete;
    if let Some(slot) = slot.filter(|_| !undoable) {
        announce_lost(run, journal, request.operation, slot, request.place).await?;
    }
    announce_uncaptured(run, journal, request.operation, request.place).await?;
    match slot.filter(|_| undoable) {
        None => execute(run, journal, &request, how, atomic, body).await,
        Some(slot) => {
            announce(run, journal, request.operation, slot, found.as_ref(), apart, request.place).await?;
            let mut capturing = Capturing::new(body.clone(), slot, &standing);
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

/// One write, in one transaction with its journal entry; `why` it cannot be cut.
///
/// # Errors
/// [`OperationError`].
pub async fn in_one_go<B: ChunkBody>(
    run: &mut Run,
    journal: &mut Journal,
    hash: &str,
    mut whole: Selected<'_, B>,
    why: &str,
    atomic: bool,
    place: OperationIndex,
) -> Result<(), OperationError> {
    let mut progress = OperationProgress::new(hash);
    progress.begun = !atomic;
    journal.note(run, place.index, progress.clone(), Some(Position::Whole)).await?;
    let reporter = run.reporter.clone();
    let stop = run.stop.clone();
    let mut retry = Retry::new(&reporter, &stop);
    loop {
        run.safe_point()?;
        let started = Instant::now();
        let entry = |counts: Counts| {
            let mut done = progress.clone();
            done.begun = true;
            done.outcome = Some(Outcome::Done);
            done.counts = counts;
            done.chunks = 1;
            done.note = weaker(atomic);
            (done, None)
        };
        let error = match journal.advance(&mut run.worker(), place.index, atomic, &mut whole, entry).await {
            Ok(()) => return Ok(()),
            Err(JournalError::Server(e)) => e,
            Err(stopped) => return Err(stopped.into()),
        };
        let lifetime = transaction_lifetime(&run.server).await;
        if atomic
            && started.elapsed() >= lifetime
            && (error.is(codes::NO_SUCH_TRANSACTION) || error.transient_transaction)
        {
            return Err(OperationError::Failed(Failure {
                written: None,
                cause: format!(
                    "{why} needs one transaction, and this one did not finish within the server's limit of {} s: {error}",
                    lifetime.as_secs()
                ),
                code: error.code,
                remedy: Some(
                    "Narrow the filter and split the operation, add an index that its filter can use, or raise the server's \
                     transactionLifetimeLimitSeconds for the maintenance window. Then apply again."
                        .to_owned(),
                ),
            }));
        }
        if error.is(codes::TRANSACTION_TOO_LARGE) {
            return Err(OperationError::Failed(Failure {
                written: None,
                cause: format!("{why} needs one transaction, with what it captures: {error}"),
                code: error.code,
                remedy: Some(
                    "Narrow the filter and split the operation, or write \"capture\": false into it to capture nothing. Then apply again."
                        .to_owned(),
                ),
            }));
        }
        if error.is(codes::WRITE_CONFLICT) {
            progress.conflicts += 1;
        }
        retry.wait(error).await?.map_err(OperationError::from)?;
    }
}

/// The collection, if there is one.
///
/// # Errors
/// [`OperationError`].
pub async fn look_up(run: &Run, name: &str) -> Result<Option<Collection>, OperationError> {
    let mut retry = Retry::new(&run.reporter, &run.stop);
    Ok(retry!(retry, catalog::collection(&run.server, name))?)
}

/// A collection that does not stand yet.
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

/// Why an update cannot be cut into chunks, whatever its collection.
pub fn update_in_one_go(update: &UpdateDocuments) -> Option<&'static str> {
    if update.upsert {
        Some("upsert")
    } else if !update.multi {
        Some("multi: false")
    } else {
        must_be_whole(&update.filter)
    }
}

/// Why a delete cannot be cut into chunks, whatever its collection.
pub fn delete_in_one_go(delete: &DeleteDocuments) -> Option<&'static str> {
    must_be_whole(&delete.filter)
}

/// Why an operation on documents cannot be cut into chunks: its `own` reason, or the collection's.
pub fn in_one_go_because(
    standing: &Collection,
    collation: Option<&Document>,
    own: Option<&'static str>,
) -> Option<&'static str> {
    if standing.kind == "timeseries" {
        Some("a time-series collection")
    } else if collation.is_some() && !same_collation(collation, standing.options.get_document("collation").ok()) {
        Some("a collation other than the collection's")
    } else {
        own
    }
}

/// Why a filter cannot be combined with bounds on `_id`.
fn must_be_whole(filter: &Document) -> Option<&'static str> {
    filter.iter().find_map(|(key, value)| match key.as_str() {
        "$text" => Some("$text"),
        "$near" | "$nearSphere" => Some("$near"),
        _ => in_value(value),
    })
}

fn in_value(value: &Bson) -> Option<&'static str> {
    match value {
        Bson::Document(document) => must_be_whole(document),
        Bson::Array(items) => items.iter().find_map(in_value),
        _ => None,
    }
}

/// How long the server lets a transaction live.
async fn transaction_lifetime(server: &Server) -> std::time::Duration {
    // A user of the database may lack the right to ask; then the server's default.
    let seconds = server
        .run_admin(doc! {"getParameter": 1, "transactionLifetimeLimitSeconds": 1})
        .await
        .ok()
        .and_then(|reply| reply.get_i32("transactionLifetimeLimitSeconds").ok())
        .and_then(|seconds| u64::try_from(seconds).ok())
        .unwrap_or(60);
    std::time::Duration::from_secs(seconds)
}
