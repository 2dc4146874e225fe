//! Operations on documents: in chunks over `_id` where that means the same, else in one transaction.

use bson::raw::{CStr, cstr};
use bson::{Bson, Document, RawArrayBuf, RawBson, RawDocumentBuf, doc, oid::ObjectId, rawdoc};
use mongodb::ClientSession;
use tokio::time::Instant;

use super::catalog::{self, Collection, same_collation};
use super::{Failure, Halt, Place};
use crate::engine::chunks::{ChunkBody, Scope, Selected, Selection, work_through};
use crate::engine::journal::{Journal, OperationProgress, Position, Refused};
use crate::engine::patience::Patience;
use crate::engine::report::{Counts, Outcome};
use crate::engine::run::Run;
use crate::engine::transaction::{Body, written};
use crate::observe::{Kind, Level};
use crate::script::Operation;
use crate::script::operation::{DeleteDocuments, InsertDocuments, UpdateDocuments};
use crate::server::{Server, ServerError, codes};

/// Documents and bytes of one insert; the server takes 100,000 documents and 48 MB at once.
const INSERT_DOCUMENTS: usize = 1_000;
const INSERT_BYTES: usize = 8 * 1024 * 1024;

/// `update_documents`.
pub async fn update(
    run: &mut Run,
    journal: &mut Journal,
    operation: &Operation,
    update: &UpdateDocuments,
    place: Place,
) -> Result<(), Halt> {
    let mut body = Update::new(&operation.collection, update)?;
    let whole_because = if update.upsert {
        Some("upsert")
    } else if !update.multi {
        Some("multi: false")
    } else {
        must_be_whole(&update.filter)
    };
    let request = Request {
        operation,
        filter: &update.filter,
        collation: update.collation.as_ref(),
        hint: update.hint.clone(),
        variables: update.variables.clone(),
        whole_because,
        creates: update.upsert,
        place,
    };
    write(run, journal, request, &mut body).await
}

/// `delete_documents`.
pub async fn delete(
    run: &mut Run,
    journal: &mut Journal,
    operation: &Operation,
    delete: &DeleteDocuments,
    place: Place,
) -> Result<(), Halt> {
    let mut body = Delete::new(&operation.collection, delete)?;
    let request = Request {
        operation,
        filter: &delete.filter,
        collation: delete.collation.as_ref(),
        hint: delete.hint.clone(),
        variables: None,
        whole_because: must_be_whole(&delete.filter),
        creates: false,
        place,
    };
    write(run, journal, request, &mut body).await
}

/// What an update or delete asks for, as far as running it goes.
struct Request<'a> {
    operation: &'a Operation,
    filter: &'a Document,
    collation: Option<&'a Document>,
    hint: Option<Bson>,
    variables: Option<Document>,
    /// Why it cannot be cut into chunks.
    whole_because: Option<&'static str>,
    /// Whether it may make the collection.
    creates: bool,
    place: Place,
}

async fn write<B: ChunkBody>(
    run: &mut Run,
    journal: &mut Journal,
    request: Request<'_>,
    body: &mut B,
) -> Result<(), Halt> {
    let Place { index, operations } = request.place;
    let name = &request.operation.collection;
    let standing = look_up(run, name).await?;
    let hash = &request.operation.fingerprint;
    let Some(standing) = standing.or_else(|| request.creates.then(plain)) else {
        let mut progress = OperationProgress::new(hash);
        progress.outcome = Some(Outcome::Done);
        progress.note = Some("there is no such collection, so no document matches".to_owned());
        return Ok(journal.note(run, index, progress, None).await?);
    };
    let atomic = takes_transactions(run, name, &standing);
    let foreign_collation = request.collation.is_some()
        && !same_collation(request.collation, standing.options.get_document("collation").ok());
    let whole_because = if standing.kind == "timeseries" {
        Some("a time-series collection")
    } else if foreign_collation {
        Some("a collation other than the collection's")
    } else {
        request.whole_because
    };
    if let Some(why) = whole_because {
        return in_one_go(run, journal, hash, body, request.filter, why, atomic, request.place).await;
    }
    let scope = Scope {
        collection: name.clone(),
        filter: raw(request.filter)?,
        hint: request.hint,
        variables: request.variables,
        atomic,
    };
    work_through(run, journal, index, operations, hash, &scope, body).await?;
    let mut progress = journal.progress.operations.get(index).cloned().unwrap_or_else(|| OperationProgress::new(hash));
    progress.outcome = Some(Outcome::Done);
    progress.note = weaker(atomic);
    Ok(journal.note(run, index, progress, None).await?)
}

/// One statement over everything that matches, in one transaction with its journal entry.
#[allow(clippy::too_many_arguments)]
async fn in_one_go<B: ChunkBody>(
    run: &mut Run,
    journal: &mut Journal,
    hash: &str,
    body: &mut B,
    filter: &Document,
    why: &str,
    atomic: bool,
    place: Place,
) -> Result<(), Halt> {
    let mut progress = OperationProgress::new(hash);
    progress.begun = !atomic;
    journal.note(run, place.index, progress.clone(), Some(Position::Whole)).await?;
    let mut whole = Selected { body, selection: Selection { filter: raw(filter)?, along_id: false } };
    let reporter = run.reporter.clone();
    let stop = run.stop.clone();
    let mut patience = Patience::new(&reporter, &stop);
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
        let error = match journal.advance(run, place.index, atomic, &mut whole, entry).await {
            Ok(()) => return Ok(()),
            Err(Refused::Server(e)) => e,
            Err(stopped) => return Err(stopped.into()),
        };
        let lifetime = transaction_lifetime(&run.server).await;
        if atomic
            && started.elapsed() >= lifetime
            && (error.is(codes::NO_SUCH_TRANSACTION) || error.transient_transaction)
        {
            return Err(Halt::Failed(Failure {
                cause: format!(
                    "{why} needs one transaction, and this one did not finish within the server's limit of {} s: {error}",
                    lifetime.as_secs()
                ),
                code: error.code,
                remedy: Some(
                    "Narrow the filter and split the operation, add an index that its filter can use, or raise the server's \
                     transactionLifetimeLimitSeconds for the maintenance window; then apply again."
                        .to_owned(),
                ),
            }));
        }
        if error.is(codes::WRITE_CONFLICT) {
            progress.conflicts += 1;
        }
        patience.wait(error).await?.map_err(Halt::from)?;
    }
}

/// `insert_documents`.
pub async fn insert(
    run: &mut Run,
    journal: &mut Journal,
    operation: &Operation,
    insert: &InsertDocuments,
    place: Place,
) -> Result<(), Halt> {
    let name = &operation.collection;
    let standing = look_up(run, name).await?.unwrap_or_else(plain);
    let atomic = takes_transactions(run, name, &standing);
    let (mut next, seed, mut progress, mut doubtful) =
        match (&journal.progress.position, journal.progress.operations.get(place.index)) {
            // Where there are no transactions, the last insert may be done without its entry.
            (Some(Position::List { next, seed }), Some(progress)) => (*next, *seed, progress.clone(), !atomic),
            _ => (0, ObjectId::new(), OperationProgress::new(&operation.fingerprint), false),
        };
    if next == 0 && !progress.begun {
        progress.begun = !atomic;
        let position = Position::List { next, seed };
        journal.note(run, place.index, progress.clone(), Some(position)).await?;
    }
    let total = i64::try_from(insert.documents.len()).unwrap_or(i64::MAX);
    let reporter = run.reporter.clone();
    let stop = run.stop.clone();
    let mut patience = Patience::new(&reporter, &stop);
    while next < insert.documents.len() {
        run.safe_point()?;
        let mut body = Insert {
            name,
            insert,
            documents: batch(insert, next, seed)?,
            first: next,
            doubtful: doubtful && standing.kind != "timeseries",
        };
        let end = next + body.documents.len();
        let entry = |counts: Counts| {
            let mut operation = progress.clone();
            operation.begun = true;
            operation.counts += counts;
            operation.chunks += 1;
            (operation, Some(Position::List { next: end, seed }))
        };
        match journal.advance(run, place.index, atomic, &mut body, entry).await {
            Ok(()) => {
                next = end;
                doubtful = false;
                patience = Patience::new(&reporter, &stop);
                if let Some(operation) = journal.progress.operations.get(place.index) {
                    progress = operation.clone();
                }
                let done = i64::try_from(next).unwrap_or(i64::MAX);
                reporter.progress(place.index + 1, place.operations, done, Some(total));
            }
            Err(Refused::Server(e)) => {
                if e.is(codes::WRITE_CONFLICT) {
                    progress.conflicts += 1;
                }
                doubtful = !atomic;
                patience.wait(e).await?.map_err(Halt::from)?;
            }
            Err(stopped) => return Err(stopped.into()),
        }
    }
    progress.outcome = Some(Outcome::Done);
    progress.note = weaker(atomic);
    Ok(journal.note(run, place.index, progress, None).await?)
}

/// The documents of one insert from `next` on, each with an `_id`.
fn batch(insert: &InsertDocuments, next: usize, seed: ObjectId) -> Result<Vec<RawDocumentBuf>, Failure> {
    let mut documents = Vec::new();
    let mut bytes = 0;
    for (at, document) in insert.documents.iter().enumerate().skip(next).take(INSERT_DOCUMENTS) {
        let document = if document.contains_key("_id") {
            raw(document)?
        } else {
            let mut with_id = doc! {"_id": counted_from(seed, at)};
            with_id.extend(document.clone());
            raw(&with_id)?
        };
        bytes += document.as_bytes().len();
        if bytes > INSERT_BYTES && !documents.is_empty() {
            break;
        }
        documents.push(document);
    }
    Ok(documents)
}

/// The `at`-th ObjectId after `seed`: a resumed run gives a document the `_id` that the killed one gave it.
fn counted_from(seed: ObjectId, at: usize) -> ObjectId {
    let mut bytes = seed.bytes();
    let counter = u32::from_be_bytes([0, bytes[9], bytes[10], bytes[11]]);
    let counted = counter.wrapping_add(u32::try_from(at).unwrap_or(u32::MAX)).to_be_bytes();
    bytes[9..12].copy_from_slice(&counted[1..]);
    ObjectId::from_bytes(bytes)
}

async fn look_up(run: &Run, name: &str) -> Result<Option<Collection>, Halt> {
    let mut patience = Patience::new(&run.reporter, &run.stop);
    loop {
        match catalog::collection(&run.server, name).await {
            Ok(found) => return Ok(found),
            Err(e) => patience.wait(e).await?.map_err(Halt::from)?,
        }
    }
}

/// A collection that does not stand yet.
fn plain() -> Collection {
    Collection { kind: "collection".to_owned(), options: Document::new() }
}

/// Whether the operation is exactly-once; says so where it is not.
fn takes_transactions(run: &Run, name: &str, standing: &Collection) -> bool {
    let why = if !run.server.transactions() {
        "the server is a standalone one without transactions"
    } else if !standing.takes_transactions() {
        "capped and time-series collections take part in no transaction"
    } else {
        return true;
    };
    run.reporter.tell(
        Kind::Warning,
        Level::Warning,
        format!("On {name:?} writes are at-least-once: {why}. A run that is killed may repeat its last write."),
    );
    false
}

fn weaker(atomic: bool) -> Option<String> {
    (!atomic).then(|| "at-least-once: no transactions here".to_owned())
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

fn raw(document: &Document) -> Result<RawDocumentBuf, Failure> {
    RawDocumentBuf::try_from(document)
        .map_err(|e| Failure::found(format!("a document cannot be encoded: {e}"), "Correct it in the file."))
}

fn raw_value(value: &Bson) -> Result<RawBson, Failure> {
    RawBson::try_from(value.clone())
        .map_err(|e| Failure::found(format!("a value cannot be encoded: {e}"), "Correct it in the file."))
}

impl From<Failure> for Halt {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

/// The `update` command of an operation, all but its filter.
struct Update {
    collection: String,
    update: RawBson,
    multi: bool,
    /// `upsert`, `arrayFilters`, `collation`, `hint` of the statement.
    statement: Vec<(&'static CStr, RawBson)>,
    /// `let`, `comment`, `bypassDocumentValidation` of the command.
    command: Vec<(&'static CStr, RawBson)>,
    hinted: bool,
}

impl Update {
    fn new(collection: &str, update: &UpdateDocuments) -> Result<Self, Failure> {
        let mut statement = Vec::new();
        if update.upsert {
            statement.push((cstr!("upsert"), RawBson::Boolean(true)));
        }
        if let Some(filters) = &update.array_filters {
            let filters = filters.iter().map(raw).collect::<Result<Vec<_>, _>>()?;
            statement.push((cstr!("arrayFilters"), RawBson::Array(filters.into_iter().collect::<RawArrayBuf>())));
        }
        push_document(&mut statement, cstr!("collation"), update.collation.as_ref())?;
        push_value(&mut statement, cstr!("hint"), update.hint.as_ref())?;
        let mut command = Vec::new();
        push_document(&mut command, cstr!("let"), update.variables.as_ref())?;
        push_value(&mut command, cstr!("comment"), update.comment.as_ref())?;
        if update.bypass_document_validation {
            command.push((cstr!("bypassDocumentValidation"), RawBson::Boolean(true)));
        }
        Ok(Self {
            collection: collection.to_owned(),
            update: raw_value(&update.update)?,
            multi: update.multi,
            statement,
            command,
            hinted: update.hint.is_some(),
        })
    }
}

impl ChunkBody for Update {
    async fn write(
        &mut self,
        server: &Server,
        session: Option<&mut ClientSession>,
        selection: &Selection,
    ) -> Result<Counts, ServerError> {
        let mut statement = rawdoc! {"q": selection.filter.clone(), "u": self.update.clone(), "multi": self.multi};
        append_all(&mut statement, &self.statement);
        hint_along_id(&mut statement, selection, self.hinted);
        let mut command = rawdoc! {"update": self.collection.as_str(), "updates": [statement]};
        append_all(&mut command, &self.command);
        let reply = send(server, session, command).await?;
        let upserted = reply.get_array("upserted").map_or(0, |all| i64::try_from(all.len()).unwrap_or(i64::MAX));
        Ok(Counts {
            matched: written(&reply) - upserted,
            modified: reply.get_i32("nModified").map_or(0, i64::from),
            upserted,
            ..Counts::default()
        })
    }
}

/// The `delete` command of an operation, all but its filter.
struct Delete {
    collection: String,
    statement: Vec<(&'static CStr, RawBson)>,
    command: Vec<(&'static CStr, RawBson)>,
    hinted: bool,
}

impl Delete {
    fn new(collection: &str, delete: &DeleteDocuments) -> Result<Self, Failure> {
        let mut statement = Vec::new();
        push_document(&mut statement, cstr!("collation"), delete.collation.as_ref())?;
        push_value(&mut statement, cstr!("hint"), delete.hint.as_ref())?;
        let mut command = Vec::new();
        push_value(&mut command, cstr!("comment"), delete.comment.as_ref())?;
        Ok(Self { collection: collection.to_owned(), statement, command, hinted: delete.hint.is_some() })
    }
}

impl ChunkBody for Delete {
    async fn write(
        &mut self,
        server: &Server,
        session: Option<&mut ClientSession>,
        selection: &Selection,
    ) -> Result<Counts, ServerError> {
        let mut statement = rawdoc! {"q": selection.filter.clone(), "limit": 0};
        append_all(&mut statement, &self.statement);
        hint_along_id(&mut statement, selection, self.hinted);
        let mut command = rawdoc! {"delete": self.collection.as_str(), "deletes": [statement]};
        append_all(&mut command, &self.command);
        let reply = send(server, session, command).await?;
        Ok(Counts { deleted: written(&reply), ..Counts::default() })
    }
}

/// One `insert` command.
struct Insert<'a> {
    name: &'a str,
    insert: &'a InsertDocuments,
    documents: Vec<RawDocumentBuf>,
    /// Which document of the operation the first one is.
    first: usize,
    /// Whether an earlier attempt may have inserted some of them, without a transaction.
    doubtful: bool,
}

impl Body for Insert<'_> {
    type Output = Counts;

    async fn write(
        &mut self,
        server: &Server,
        session: Option<&mut ClientSession>,
    ) -> Result<Option<Counts>, ServerError> {
        let mut documents = self.documents.clone();
        if self.doubtful {
            documents = missing(server, self.name, documents).await?;
        }
        let inserted = i64::try_from(self.documents.len()).unwrap_or(i64::MAX);
        let counts = Counts { inserted, ..Counts::default() };
        if documents.is_empty() {
            return Ok(Some(counts));
        }
        let mut command = rawdoc! {
            "insert": self.name,
            "documents": documents.into_iter().collect::<RawArrayBuf>(),
            "ordered": self.insert.ordered,
        };
        if let Some(comment) = self.insert.comment.clone().and_then(|comment| RawBson::try_from(comment).ok()) {
            command.append(cstr!("comment"), comment);
        }
        if self.insert.bypass_document_validation {
            command.append(cstr!("bypassDocumentValidation"), true);
        }
        match send(server, session, command).await {
            Ok(_) => Ok(Some(counts)),
            Err(mut e) => {
                if let Some(index) = e.index {
                    e.message.push_str(&format!(" (documents[{}])", self.first + index));
                }
                Err(e)
            }
        }
    }
}

/// Those of `documents` that do not stand in the collection exactly as they are.
async fn missing(
    server: &Server,
    collection: &str,
    documents: Vec<RawDocumentBuf>,
) -> Result<Vec<RawDocumentBuf>, ServerError> {
    let ids: RawArrayBuf =
        documents.iter().filter_map(|document| document.get("_id").ok().flatten().map(RawBson::from)).collect();
    let mut found = server.find(rawdoc! {"find": collection, "filter": {"_id": {"$in": ids}}}).await?;
    let mut standing = Vec::new();
    while let Some(document) = found.next().await? {
        standing.push(document);
    }
    Ok(documents.into_iter().filter(|document| !standing.contains(document)).collect())
}

fn append_all(document: &mut RawDocumentBuf, fields: &[(&'static CStr, RawBson)]) {
    for (key, value) in fields {
        document.append(*key, value.clone());
    }
}

/// Ranges are walked along `_id`, whatever index the planner would rather use; a hint of the operation's
/// own wins.
fn hint_along_id(statement: &mut RawDocumentBuf, selection: &Selection, hinted: bool) {
    if selection.along_id && !hinted {
        statement.append(cstr!("hint"), rawdoc! {"_id": 1});
    }
}

fn push_value(
    fields: &mut Vec<(&'static CStr, RawBson)>,
    key: &'static CStr,
    value: Option<&Bson>,
) -> Result<(), Failure> {
    if let Some(value) = value {
        fields.push((key, raw_value(value)?));
    }
    Ok(())
}

fn push_document(
    fields: &mut Vec<(&'static CStr, RawBson)>,
    key: &'static CStr,
    document: Option<&Document>,
) -> Result<(), Failure> {
    if let Some(document) = document {
        fields.push((key, RawBson::Document(raw(document)?)));
    }
    Ok(())
}

async fn send(
    server: &Server,
    session: Option<&mut ClientSession>,
    mut command: RawDocumentBuf,
) -> Result<Document, ServerError> {
    if session.is_none() {
        command.append(cstr!("writeConcern"), rawdoc! {"w": "majority"});
    }
    server.run_raw(command, session).await
}
