//! `insert_documents`: in batches, each in one transaction with its journal entry.

use bson::raw::cstr;
use bson::{RawArrayBuf, RawBson, RawDocumentBuf, doc, oid::ObjectId, rawdoc};
use mongodb::ClientSession;

use super::announce::{announce, announce_lost, announce_uncaptured, takes_transactions, weaker};
use super::documents::{look_up, plain};
use super::statements::raw;
use super::{Failure, Halt, Place};
use crate::capture::documents::capture_inserted;
use crate::run::Run;
use crate::run::chunks::Selection;
use crate::run::journal::{Journal, Refused};
use crate::run::patience::Patience;
use crate::run::progress::{OperationProgress, Position};
use crate::run::report::{Counts, Outcome};
use crate::run::slot::Slot;
use crate::run::transaction::{Body, send};
use crate::script::Operation;
use crate::script::operation::InsertDocuments;
use crate::server::Server;
use crate::server_error::{ServerError, codes};

/// Documents and bytes of one insert; the server takes 100,000 documents and 48 MB at once.
const INSERT_DOCUMENTS: usize = 1_000;

const INSERT_BYTES: usize = 8 * 1024 * 1024;

/// `insert_documents`.
pub async fn insert(
    run: &mut Run,
    journal: &mut Journal,
    operation: &Operation,
    insert: &InsertDocuments,
    place: Place,
) -> Result<(), Halt> {
    let name = &operation.collection;
    let found = look_up(run, name).await?;
    let made = found.is_none();
    let standing = found.unwrap_or_else(plain);
    let atomic = takes_transactions(run, name, &standing);
    let timeseries = standing.kind == "timeseries";
    let slot = super::slot(journal, operation, place);
    match slot {
        // Nothing names one document of a time-series collection.
        Some(slot) if timeseries => announce_lost(run, journal, operation, slot, place).await?,
        Some(slot) => announce(run, journal, operation, slot, made, place).await?,
        None => announce_uncaptured(run, journal, operation, place).await?,
    }
    let slot = slot.filter(|_| !timeseries);
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
            doubtful: doubtful && !timeseries,
            slot,
            chunk: Selection { chunk: progress.chunks, ..Selection::whole(RawDocumentBuf::new()) }.number(atomic),
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

/// One `insert` command.
struct Insert<'a> {
    name: &'a str,
    insert: &'a InsertDocuments,
    documents: Vec<RawDocumentBuf>,
    /// Which document of the operation the first one is.
    first: usize,
    /// Whether an earlier attempt may have inserted some of them, without a transaction.
    doubtful: bool,
    /// Where it captures what it inserted.
    slot: Option<Slot>,
    /// The capture's number of this insert.
    chunk: i64,
}

impl Body for Insert<'_> {
    type Output = Counts;

    async fn write(
        &mut self,
        server: &Server,
        mut session: Option<&mut ClientSession>,
    ) -> Result<Option<Counts>, ServerError> {
        let mut documents = self.documents.clone();
        if self.doubtful {
            documents = missing(server, self.name, documents).await?;
        }
        let inserted = i64::try_from(self.documents.len()).unwrap_or(i64::MAX);
        let counts = Counts { inserted, ..Counts::default() };
        if documents.is_empty() {
            return self.capture(server, session, counts).await;
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
        send(server, session.as_deref_mut(), command).await.map_err(|mut e| {
            if let Some(index) = e.index {
                e.message.push_str(&format!(" (documents[{}])", self.first + index));
            }
            e
        })?;
        self.capture(server, session, counts).await
    }
}

impl Insert<'_> {
    async fn capture(
        &self,
        server: &Server,
        session: Option<&mut ClientSession>,
        counts: Counts,
    ) -> Result<Option<Counts>, ServerError> {
        if let Some(slot) = self.slot {
            capture_inserted(server, session, self.name, &self.documents, slot, self.chunk).await?;
        }
        Ok(Some(counts))
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
    let mut found = server.walk(rawdoc! {"find": collection, "filter": {"_id": {"$in": ids}}}).await?;
    let mut standing = Vec::new();
    while let Some(document) = found.next().await? {
        standing.push(document);
    }
    Ok(documents.into_iter().filter(|document| !standing.contains(document)).collect())
}
