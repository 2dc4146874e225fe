//! `insert_documents`: in batches, each in one transaction with its journal entry.

use std::collections::HashMap;

use bson::raw::cstr;
use bson::{RawArrayBuf, RawBson, RawDocumentBuf, Uuid, doc, oid::ObjectId, rawdoc};
use mongodb::ClientSession;

use super::announce::{announce, announce_lost, announce_uncaptured, takes_transactions, weaker};
use super::documents::{look_up, plain};
use super::error::{Failure, OperationError};
use super::write_command::raw;
use crate::capture::by_id::read_by_id;
use crate::capture::documents::{capture_inserted, keep_packs, packed_inserts};
use crate::capture::earlier::{EarlierAttempts, replace};
use crate::error::codes;
use crate::error::server::ServerError;
use crate::model::script::Operation;
use crate::model::script::operation::InsertDocuments;
use crate::mongo::id::{Id, by_id};
use crate::mongo::raw::{Builder, fields, has_zero_timestamp};
use crate::mongo::retry::Retry;
use crate::mongo::server::Server;
use crate::run::capture_key::CaptureKey;
use crate::run::handle::Run;
use crate::run::journal::{Journal, JournalError};
use crate::run::progress::OperationIndex;
use crate::run::progress::{OperationProgress, Position};
use crate::run::report::{Counts, Outcome};
use crate::run::transaction::{Body, send};

/// Documents and bytes of one insert; the server takes 100,000 documents and 48 MB at once.
const INSERT_DOCUMENTS: usize = 1_000;

const INSERT_BYTES: usize = 8 * 1024 * 1024;

/// `insert_documents`.
pub async fn insert(
    run: &mut Run,
    journal: &mut Journal,
    operation: &Operation,
    insert: &InsertDocuments,
    place: OperationIndex,
) -> Result<(), OperationError> {
    let name = &operation.collection;
    let found = look_up(run, name).await?;
    let existing = found.clone().unwrap_or_else(plain);
    let atomic = takes_transactions(run, name, &existing);
    let timeseries = existing.kind == "timeseries";
    let capture_key = super::position::capture_key(journal, operation, place);
    match capture_key {
        // Nothing names one document of a time-series collection.
        Some(capture_key) if timeseries => announce_lost(run, journal, operation, capture_key, place).await?,
        Some(capture_key) => announce(run, journal, operation, capture_key, found.as_ref(), true, place).await?,
        None => announce_uncaptured(run, journal, operation, place).await?,
    }
    let capture_key = capture_key.filter(|_| !timeseries);
    let (mut next, seed, mut progress, mut doubtful) =
        match (&journal.progress.position, journal.progress.operations.get(place.index)) {
            // Where there are no transactions, the last insert may be done without its entry.
            (Some(Position::List { next, seed }), Some(progress)) => (*next, *seed, progress.clone(), !atomic),
            _ => (0, seed(), OperationProgress::new(&operation.fingerprint), false),
        };
    if next == 0 && !progress.begun {
        progress.begun = !atomic;
        let position = Position::List { next, seed };
        journal.note(run, place.index, progress.clone(), Some(position)).await?;
    }
    let total = i64::try_from(insert.documents.len()).unwrap_or(i64::MAX);
    let reporter = run.reporter.clone();
    let stop = run.stop.clone();
    let mut retry = Retry::new(&reporter, &stop);
    let mut earlier = capture_key.filter(|_| !atomic).map(EarlierAttempts::new);
    while next < insert.documents.len() {
        run.safe_point()?;
        let mut body = InsertCommand {
            name,
            insert,
            documents: batch(insert, next, seed)?,
            first: next,
            doubtful: doubtful && !timeseries,
            capture_key,
            chunk: progress.chunks,
            earlier: earlier.as_mut(),
        };
        let end = next + body.documents.len();
        let entry = |counts: Counts| {
            let mut operation = progress.clone();
            operation.begun = true;
            operation.counts += counts;
            operation.chunks += 1;
            (operation, Some(Position::List { next: end, seed }))
        };
        match journal.advance(&mut run.worker(), place.index, atomic, &mut body, entry).await {
            Ok(()) => {
                next = end;
                doubtful = false;
                retry = Retry::new(&reporter, &stop);
                if let Some(operation) = journal.progress.operations.get(place.index) {
                    progress = operation.clone();
                }
                let done = i64::try_from(next).unwrap_or(i64::MAX);
                reporter.progress(place.index + 1, place.operations, done, Some(total));
            }
            Err(JournalError::Server(e)) => {
                if e.is(codes::WRITE_CONFLICT) {
                    progress.conflicts += 1;
                }
                doubtful = !atomic;
                retry.wait(e).await?.map_err(OperationError::from)?;
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

/// What an operation's `_id`s are counted from. The driver numbers all ObjectIds of a process one after the other, so that
/// a count from one of them meets the next; here the five bytes that name the process are the operation's own.
fn seed() -> ObjectId {
    let mut bytes = ObjectId::new().bytes();
    bytes[4..9].copy_from_slice(&Uuid::new().bytes()[..5]);
    ObjectId::from_bytes(bytes)
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
struct InsertCommand<'a> {
    name: &'a str,
    insert: &'a InsertDocuments,
    documents: Vec<RawDocumentBuf>,
    /// Which document of the operation the first one is.
    first: usize,
    /// Whether an earlier attempt may have inserted some of them, without a transaction.
    doubtful: bool,
    /// Where it captures what it inserted.
    capture_key: Option<CaptureKey>,
    /// How many inserts of the operation came before.
    chunk: i64,
    /// What attempts without a transaction captured.
    earlier: Option<&'a mut EarlierAttempts>,
}

impl Body for InsertCommand<'_> {
    type Output = Counts;

    async fn write(
        &mut self,
        server: &Server,
        mut session: Option<&mut ClientSession>,
    ) -> Result<Option<Counts>, ServerError> {
        let inserted = i64::try_from(self.documents.len()).unwrap_or(i64::MAX);
        let counts = Counts { inserted, ..Counts::default() };
        if session.is_none() {
            self.write_beforehand(server).await?;
            return Ok(Some(counts));
        }
        self.send(server, session.as_deref_mut(), &self.documents.iter().enumerate().collect::<Vec<_>>()).await?;
        if let Some(capture_key) = self.capture_key {
            capture_inserted(server, session, self.name, &self.documents, capture_key, self.chunk).await?;
        }
        Ok(Some(counts))
    }
}

/// How often what the server stored is asked for.
const ATTEMPTS: usize = 3;

impl InsertCommand<'_> {
    /// Inserts documents, each with its place in the batch.
    async fn send(
        &self,
        server: &Server,
        session: Option<&mut ClientSession>,
        documents: &[(usize, &RawDocumentBuf)],
    ) -> Result<(), ServerError> {
        if documents.is_empty() {
            return Ok(());
        }
        let mut command = rawdoc! {
            "insert": self.name,
            "documents": documents.iter().map(|(_, document)| (*document).clone()).collect::<RawArrayBuf>(),
            "ordered": self.insert.ordered,
        };
        if let Some(comment) = self.insert.comment.clone().and_then(|comment| RawBson::try_from(comment).ok()) {
            command.append(cstr!("comment"), comment);
        }
        if self.insert.bypass_document_validation {
            command.append(cstr!("bypassDocumentValidation"), true);
        }
        send(server, session, command).await.map(drop).map_err(|mut e| {
            if let Some((at, _)) = e.index.and_then(|index| documents.get(index)) {
                e.message.push_str(&format!(" (documents[{}])", self.first + at));
            }
            e
        })
    }

    /// Without a transaction: what is to be inserted is captured, then inserted. What an earlier attempt inserted is passed
    /// over, whatever somebody has made of it since.
    async fn write_beforehand(&mut self, server: &Server) -> Result<(), ServerError> {
        let mut number = 0;
        if let Some(earlier) = &mut self.earlier {
            number = earlier.begin(server, self.name, self.chunk).await?;
        }
        let stored: Vec<RawDocumentBuf> = self.documents.iter().map(as_stored).collect();
        let existing = if self.doubtful || self.earlier.is_some() {
            let ids: Vec<Id> = stored.iter().filter_map(|document| Id::of_stored(document)).collect();
            by_id(read_by_id(server, None, self.name, &ids, usize::MAX).await?)
        } else {
            HashMap::new()
        };
        let mut missing = Vec::new();
        let mut taken = Vec::new();
        for (at, document) in stored.iter().enumerate() {
            let Some((id, other)) = Id::of_stored(document).and_then(|id| Some((id.clone(), existing.get(&id)?)))
            else {
                missing.push((at, &self.documents[at]));
                continue;
            };
            let captured = self.earlier.as_ref().is_some_and(|earlier| earlier.captured(&id));
            let generated = !self.insert.documents[self.first + at].contains_key("_id");
            if !(captured || generated || (self.doubtful && other == document)) {
                taken.push((at, &self.documents[at]));
            }
        }
        // The server says what prevents it, before anything is written.
        self.send(server, None, &taken).await.map_err(|error| ServerError { written: Some(0), ..error })?;
        let momentary = missing.iter().any(|(at, _)| has_zero_timestamp(stored[*at].as_bytes()));
        if let Some(capture_key) = self.capture_key {
            let packs = packed_inserts(capture_key, number, missing.iter().map(|(at, _)| &stored[*at]))?;
            keep_packs(server, None, capture_key, &packs).await?;
        }
        let ids: Vec<Id> = missing.iter().filter_map(|(at, _)| Id::of_stored(&stored[*at])).collect();
        if let Err(error) = self.send(server, None, &missing).await {
            if error.is_passing() {
                return Err(error);
            }
            let there = read_by_id(server, None, self.name, &ids, usize::MAX).await;
            let written = there.ok().and_then(|there| i64::try_from(there.len()).ok());
            // The captures of those that were not inserted are removed.
            if let Some(earlier) = &mut self.earlier {
                let _ = earlier.begin(server, self.name, self.chunk).await;
            }
            return Err(ServerError { written, ..error });
        }
        let (Some(capture_key), Some(earlier), true) = (self.capture_key, &mut self.earlier, momentary) else {
            return Ok(());
        };
        // The insert is not made again for what the server put into it.
        for _ in 0..ATTEMPTS {
            let there = read_by_id(server, None, self.name, &ids, usize::MAX).await;
            let packs = there.and_then(|there| packed_inserts(capture_key, earlier.number(), &there));
            if let Ok(packs) = packs
                && replace(server, capture_key, number, &packs).await.is_ok()
            {
                break;
            }
        }
        Ok(())
    }
}

/// A document as the server stores it: with `_id` in front.
fn as_stored(document: &RawDocumentBuf) -> RawDocumentBuf {
    let fields = fields(document.as_bytes()).unwrap_or_default();
    let Some(at) = fields.iter().position(|field| field.name == b"_id").filter(|at| *at > 0) else {
        return document.clone();
    };
    let mut stored = Builder::with_capacity(document.as_bytes().len());
    stored.push(&fields[at]);
    fields.iter().enumerate().filter(|(own, _)| *own != at).for_each(|(_, field)| stored.push(field));
    stored.finish()
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn ids_of_different_operations_never_overlap() {
        let mut all = HashSet::new();
        for _ in 0..100 {
            let seed = seed();
            for at in 0..1_000 {
                assert!(all.insert(counted_from(seed, at)));
            }
            assert!(all.insert(ObjectId::new()));
        }
    }

    #[test]
    fn a_document_is_stored_with_its_id_in_front() {
        assert_eq!(as_stored(&rawdoc! {"a": 1, "_id": 2, "b": 3}), rawdoc! {"_id": 2, "a": 1, "b": 3});
        assert_eq!(as_stored(&rawdoc! {"_id": 2, "a": 1}), rawdoc! {"_id": 2, "a": 1});
    }
}
