//! Capturing what an update or a delete does to the documents of a chunk: they are read before and after it,
//! in its transaction, and the difference is written with it. Without a transaction the difference is found and written
//! beforehand ([`beforehand`](super::beforehand)).

use std::collections::HashMap;

use bson::{Document, RawDocumentBuf, oid::ObjectId, rawdoc};
use mongodb::ClientSession;

use super::by_id::read_by_id;
use super::delta::{DocumentChange, difference};
use super::earlier::EarlierAttempts;
use super::kept::{Barred, insert, insert_whole, nest, uncaptured};
use super::pack::Packer;
use crate::error::codes;
use crate::error::server::ServerError;
use crate::mongo::catalog::Collection;
use crate::mongo::id::Id;
use crate::mongo::raw::{Builder, OBJECT_ID, first};
use crate::mongo::server::Server;
use crate::run::capture_key::CaptureKey;
use crate::run::line::{ChunkBody, Selection};
use crate::run::report::Counts;

/// Bytes that the documents of one chunk may have; above it the chunk is cut smaller.
const CHUNK_BYTES: usize = 32 * 1024 * 1024;
/// The same for an operation that must be one transaction.
const WHOLE_BYTES: usize = 256 * 1024 * 1024;

/// A body whose documents can be found beforehand.
pub trait Finds: ChunkBody + Sync {
    /// The collection.
    fn collection(&self) -> &str;
    /// The `find` command for the documents that [`write`](ChunkBody::write) would write.
    fn find(&self, selection: &Selection) -> RawDocumentBuf;
    /// What is done with them.
    fn does(&self) -> Does;
    /// Whether it has a collation of its own.
    fn collated(&self) -> bool;
    /// The `_id` of the document that the last write made because none matched.
    fn upserted(&self) -> Option<Id>;
    /// Whether it makes a document where none matches.
    fn upserts(&self) -> bool;
    /// Gives the document that the next write may make an `_id`, unless the script gives it that one.
    fn pin(&mut self, selection: &Selection, id: Option<Id>);
    /// How to find out what an update makes of documents, or which one it makes; `None` for what is no update.
    fn rehearsal(&self, copies: &str, selection: &Selection, upsert: bool) -> Option<Rehearsal>;
}

/// An update of copies of documents.
pub struct Rehearsal {
    /// The command.
    pub command: RawDocumentBuf,
    /// Whether what it makes of a document depends on the moment: `$$NOW`, `$currentDate`, `$rand`.
    pub momentary: bool,
}

/// What a body does with its documents.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Does {
    /// Changes all of them.
    Update,
    /// Changes the first.
    UpdateOne,
    /// Removes them.
    Delete,
}

/// A body and the capture of what it does.
#[derive(Clone)]
pub struct Capturing<B> {
    pub(super) body: B,
    pub(super) capture_key: CaptureKey,
    /// Whether documents are wrapped: a time-series collection has several with one `_id`, or none.
    pub(super) wrapped: bool,
    /// The collection's collation.
    pub(super) collation: Option<Document>,
    /// What attempts without a transaction captured.
    pub(super) earlier: EarlierAttempts,
    /// Whether no copies of an attempt are left behind.
    pub(super) swept: bool,
}

impl<B: Finds> Capturing<B> {
    /// Captures in `capture_key` what `body` does to documents of a collection.
    pub fn new(body: B, capture_key: CaptureKey, existing: &Collection) -> Self {
        Self {
            body,
            capture_key,
            wrapped: existing.kind == "timeseries",
            collation: existing.options.get_document("collation").ok().cloned(),
            earlier: EarlierAttempts::new(capture_key),
            swept: false,
        }
    }
}

impl<B: Finds> ChunkBody for Capturing<B> {
    async fn write(
        &mut self,
        server: &Server,
        mut session: Option<&mut ClientSession>,
        selection: &Selection,
    ) -> Result<Counts, ServerError> {
        let limit = if selection.along_id { CHUNK_BYTES } else { WHOLE_BYTES };
        if session.is_none() {
            return self.write_beforehand(server, selection, limit).await;
        }
        let find = self.body.find(selection);
        let before = server.read(find, session.as_deref_mut(), limit).await?;
        if self.body.does() == Does::Delete {
            self.keep_whole(server, session.as_deref_mut(), before.iter()).await?;
            let counts = self.body.write(server, session, selection).await?;
            return checked(counts, counts.deleted != count(&before));
        }
        let selection = self.narrowed(selection, &before);
        let counts = self.body.write(server, session.as_deref_mut(), &selection).await?;
        checked(counts, counts.matched != count(&before))?;
        if counts.modified == 0 && counts.upserted == 0 {
            return Ok(counts);
        }
        let after = self.read_after(server, session.as_deref_mut(), &selection, &before, limit).await?;
        let mut packer = Packer::new(self.capture_key, selection.chunk);
        let mut whole = Vec::new();
        let mut changed = 0_i64;
        for (before, after) in pairs(&before, &after) {
            let id = first(after.as_bytes()).ok_or_else(malformed)?;
            match difference(before, after) {
                DocumentChange::None => continue,
                DocumentChange::Fields(delta) => packer.changed(&id, &delta, after),
                DocumentChange::Whole => {
                    packer.replaced(&id, after);
                    whole.push(before);
                }
            }
            changed += 1;
        }
        // Under a collation of its own, one document may be meant by the `_id` of another.
        let another =
            self.body.collated() && self.body.does() == Does::UpdateOne && changed == 0 && counts.modified > 0;
        checked(counts, another)?;
        if let Some(id) = self.body.upserted() {
            let made = read_by_id(server, session.as_deref_mut(), self.body.collection(), [&id], limit).await?;
            for document in &made {
                packer.inserted(&first(document.as_bytes()).ok_or_else(malformed)?, document);
            }
        }
        self.keep_whole(server, session.as_deref_mut(), whole.into_iter()).await?;
        keep_packs(server, session, self.capture_key, &packer.finish()).await?;
        Ok(counts)
    }
}

impl<B: Finds> Capturing<B> {
    /// Where one document of several is updated, the one that was read.
    fn narrowed(&self, selection: &Selection, before: &[RawDocumentBuf]) -> Selection {
        let first = before.first().and_then(|document| Id::of_stored(document));
        match first {
            Some(id) if self.body.does() == Does::UpdateOne => {
                Selection { filter: rawdoc! {"$and": [selection.filter.clone(), id.filter()]}, ..selection.clone() }
            }
            _ => selection.clone(),
        }
    }

    async fn read_after(
        &self,
        server: &Server,
        session: Option<&mut ClientSession>,
        selection: &Selection,
        before: &[RawDocumentBuf],
        limit: usize,
    ) -> Result<Vec<RawDocumentBuf>, ServerError> {
        // Growing by the update must not fail what just fitted.
        let limit = limit * 2;
        // Reading the window is faster than naming each document, where there is little else in it.
        if let Some(bounds) = selection.bounds.clone().filter(|_| before.len() * 2 > selection.documents) {
            let find = rawdoc! {"find": self.body.collection(), "filter": bounds, "hint": {"_id": 1}};
            return server.read(find, session, limit).await;
        }
        let ids: Vec<Id> = before.iter().filter_map(|document| Id::of_stored(document)).collect();
        read_by_id(server, session, self.body.collection(), &ids, limit).await
    }

    pub(super) async fn keep_whole<'d>(
        &self,
        server: &Server,
        session: Option<&mut ClientSession>,
        documents: impl Iterator<Item = &'d RawDocumentBuf> + Send,
    ) -> Result<(), ServerError> {
        let collection = self.capture_key.whole(server.names());
        if !self.wrapped {
            return insert_whole(server, session, &collection, documents).await;
        }
        let wrapped: Vec<RawDocumentBuf> = documents.map(measurement).collect();
        insert(server, session, &collection, &wrapped, Barred::Fails).await.map(drop).map_err(uncaptured)
    }
}

/// The field of a measurement that is kept: it may have no `_id`, or that of another.
pub const MEASUREMENT: &[u8] = b"d";

fn measurement(document: &RawDocumentBuf) -> RawDocumentBuf {
    let mut wrapper = Builder::default();
    wrapper.value(OBJECT_ID, b"_id", &ObjectId::new().bytes());
    nest(&mut wrapper, MEASUREMENT, document);
    wrapper.finish()
}

/// Writes packs.
///
/// # Errors
/// The server's.
pub async fn keep_packs(
    server: &Server,
    session: Option<&mut ClientSession>,
    capture_key: CaptureKey,
    packs: &[RawDocumentBuf],
) -> Result<(), ServerError> {
    // Without a transaction an attempt whose answer was lost may have written some of them.
    insert(server, session, &capture_key.capture.packs(server.names()), packs, Barred::Renewed)
        .await
        .map(drop)
        .map_err(uncaptured)
}

/// Each document before with itself after.
pub(super) fn pairs<'a>(
    before: &'a [RawDocumentBuf],
    after: &'a [RawDocumentBuf],
) -> impl Iterator<Item = (&'a RawDocumentBuf, &'a RawDocumentBuf)> {
    // The server stores `_id` in front.
    let key = |document: &'a RawDocumentBuf| first(document.as_bytes()).map(|id| (id.kind, id.value));
    let by_id: HashMap<_, _> = after.iter().filter_map(|document| Some((key(document)?, document))).collect();
    before.iter().filter_map(move |document| Some((document, *by_id.get(&key(document)?)?)))
}

/// Captures documents that were inserted, as the server stored them.
///
/// # Errors
/// The server's.
pub async fn capture_inserted(
    server: &Server,
    mut session: Option<&mut ClientSession>,
    collection: &str,
    documents: &[RawDocumentBuf],
    capture_key: CaptureKey,
    chunk: i64,
) -> Result<(), ServerError> {
    let ids: Vec<Id> = documents.iter().filter_map(|document| Id::of_any(document)).collect();
    let stored = read_by_id(server, session.as_deref_mut(), collection, &ids, WHOLE_BYTES).await?;
    keep_packs(server, session, capture_key, &packed_inserts(capture_key, chunk, &stored)?).await
}

/// The packs of inserted documents.
///
/// # Errors
/// Where one cannot be read.
pub fn packed_inserts<'d>(
    capture_key: CaptureKey,
    chunk: i64,
    documents: impl IntoIterator<Item = &'d RawDocumentBuf>,
) -> Result<Vec<RawDocumentBuf>, ServerError> {
    let mut packer = Packer::new(capture_key, chunk);
    for document in documents {
        packer.inserted(&first(document.as_bytes()).ok_or_else(malformed)?, document);
    }
    Ok(packer.finish())
}

pub(super) fn count(documents: &[RawDocumentBuf]) -> i64 {
    i64::try_from(documents.len()).unwrap_or(i64::MAX)
}

/// Other documents were written than captured: the filter selects others each time it is asked (`$$NOW`,
/// `$rand`). Within a transaction that is tried again, like a conflict.
fn checked(counts: Counts, others: bool) -> Result<Counts, ServerError> {
    let message = "the operation did not write the documents that were captured for it: its filter selects different ones each \
                   time it is asked. \"capture\": false goes without";
    if others { Err(ServerError::found(codes::WRITE_CONFLICT, message)) } else { Ok(counts) }
}

pub(super) fn malformed() -> ServerError {
    ServerError::found(codes::INVALID_BSON, "the server sent a document that cannot be read")
}
