//! Capturing what an update or a delete does to the documents of a chunk: they are read before and after it,
//! in its transaction, and the difference is written with it.

use std::collections::HashMap;

use bson::{RawArrayBuf, RawDocumentBuf, rawdoc};
use mongodb::ClientSession;

use super::delta::{Change, difference};
use super::pack::Packer;
use crate::raw::{Builder, DOCUMENT, fields, first, has_zero_timestamp};
use crate::run::chunks::{ChunkBody, Selection};
use crate::run::id::Id;
use crate::run::report::Counts;
use crate::run::slot::Slot;
use crate::run::transaction::send;
use crate::server::Server;
use crate::server_error::{ServerError, codes};

/// Bytes that the documents of one chunk may have; above it the chunk is cut smaller.
const CHUNK_BYTES: usize = 32 * 1024 * 1024;
/// The same for an operation that must be one transaction.
const WHOLE_BYTES: usize = 256 * 1024 * 1024;
/// A larger document leaves no room for a wrapper.
const WRAPPABLE: usize = 15 * 1024 * 1024;
/// Bytes of one insert command; the server takes 48 MB.
const INSERT_BYTES: usize = 24 * 1024 * 1024;

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
pub struct Capturing<'a, B> {
    body: &'a mut B,
    slot: Slot,
    /// Whether documents are wrapped: a time-series collection has several with one `_id`, or none.
    wrapped: bool,
}

impl<'a, B: Finds> Capturing<'a, B> {
    /// Captures in `slot` what `body` does.
    pub fn new(body: &'a mut B, slot: Slot, wrapped: bool) -> Self {
        Self { body, slot, wrapped }
    }
}

impl<B: Finds> ChunkBody for Capturing<'_, B> {
    async fn write(
        &mut self,
        server: &Server,
        mut session: Option<&mut ClientSession>,
        selection: &Selection,
    ) -> Result<Counts, ServerError> {
        let atomic = session.is_some();
        let limit = if selection.along_id { CHUNK_BYTES } else { WHOLE_BYTES };
        let find = self.body.find(selection);
        let before = server.read(find, session.as_deref_mut(), limit).await?;
        if self.body.does() == Does::Delete {
            self.keep_whole(server, session.as_deref_mut(), before.iter()).await?;
            let counts = self.body.write(server, session, selection).await?;
            return checked(counts, atomic && counts.deleted != count(&before));
        }
        let selection = self.narrowed(selection, &before);
        let counts = self.body.write(server, session.as_deref_mut(), &selection).await?;
        checked(counts, atomic && counts.matched != count(&before))?;
        if counts.modified == 0 && counts.upserted == 0 {
            return Ok(counts);
        }
        let after = self.read_after(server, session.as_deref_mut(), &selection, &before, limit).await?;
        let mut packer = Packer::new(self.slot, selection.number(atomic));
        let mut whole = Vec::new();
        let mut changed = 0_i64;
        for (before, after) in pairs(&before, &after) {
            let id = first(after.as_bytes()).ok_or_else(malformed)?;
            match difference(before, after) {
                Change::None => continue,
                Change::Fields(delta) => packer.changed(&id, &delta, after),
                Change::Whole => {
                    packer.replaced(&id, after);
                    whole.push(before);
                }
            }
            changed += 1;
        }
        // Under a collation of its own, one document may be meant by the `_id` of another.
        let another =
            self.body.collated() && self.body.does() == Does::UpdateOne && changed == 0 && counts.modified > 0;
        checked(counts, atomic && another)?;
        if let Some(id) = self.body.upserted() {
            let made = read_by_id(server, session.as_deref_mut(), self.body.collection(), [&id], limit).await?;
            for document in &made {
                packer.inserted(&first(document.as_bytes()).ok_or_else(malformed)?, document);
            }
        }
        self.keep_whole(server, session.as_deref_mut(), whole.into_iter()).await?;
        insert(server, session, &self.slot.capture.packs(server.names()), packer.finish().iter(), false).await?;
        Ok(counts)
    }
}

impl<B: Finds> Capturing<'_, B> {
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

    async fn keep_whole<'d>(
        &self,
        server: &Server,
        session: Option<&mut ClientSession>,
        documents: impl Iterator<Item = &'d RawDocumentBuf> + Send,
    ) -> Result<(), ServerError> {
        let collection = self.slot.whole(server.names());
        // Without a transaction an earlier attempt may have kept some of them.
        let again = session.is_none();
        if self.wrapped {
            let wrapped: Vec<RawDocumentBuf> = documents.map(|document| rawdoc! {"d": document.clone()}).collect();
            return insert(server, session, &collection, wrapped.iter(), again).await;
        }
        insert_whole(server, session, &collection, documents, again).await
    }
}

/// The field of a document that is kept wrapped.
const WRAPPED: &[u8] = b"migrations_whole";

/// Keeps documents whole, under their own `_id`s. One that the server would change on insert is wrapped.
///
/// # Errors
/// The server's.
pub async fn insert_whole<'d>(
    server: &Server,
    session: Option<&mut ClientSession>,
    collection: &str,
    documents: impl Iterator<Item = &'d RawDocumentBuf> + Send,
    again: bool,
) -> Result<(), ServerError> {
    let kept: Vec<RawDocumentBuf> = documents.map(wrapped).collect();
    insert(server, session, collection, kept.iter(), again).await
}

fn wrapped(document: &RawDocumentBuf) -> RawDocumentBuf {
    let id = first(document.as_bytes()).filter(|_| has_zero_timestamp(document.as_bytes()));
    match id {
        Some(id) if document.as_bytes().len() < WRAPPABLE => {
            let mut wrapper = Builder::default();
            wrapper.push(&id);
            wrapper.document(WRAPPED, document.as_bytes());
            wrapper.finish()
        }
        _ => document.clone(),
    }
}

/// A document that [`insert_whole`] kept.
pub fn unwrapped(kept: RawDocumentBuf) -> RawDocumentBuf {
    let inner = match fields(kept.as_bytes()).as_deref() {
        Some([_, only]) if only.name == WRAPPED && only.kind == DOCUMENT => only.value.to_vec(),
        _ => return kept,
    };
    RawDocumentBuf::from_bytes(inner).unwrap_or(kept)
}

/// Each document before with itself after.
fn pairs<'a>(
    before: &'a [RawDocumentBuf],
    after: &'a [RawDocumentBuf],
) -> impl Iterator<Item = (&'a RawDocumentBuf, &'a RawDocumentBuf)> {
    // The server stores `_id` in front.
    let key = |document: &'a RawDocumentBuf| first(document.as_bytes()).map(|id| (id.kind, id.value));
    let by_id: HashMap<_, _> = after.iter().filter_map(|document| Some((key(document)?, document))).collect();
    before.iter().filter_map(move |document| Some((document, *by_id.get(&key(document)?)?)))
}

/// The documents with these `_id`s.
///
/// # Errors
/// The server's.
pub async fn read_by_id<'a>(
    server: &Server,
    session: Option<&mut ClientSession>,
    collection: &str,
    ids: impl IntoIterator<Item = &'a Id>,
    limit: usize,
) -> Result<Vec<RawDocumentBuf>, ServerError> {
    let find = rawdoc! {"find": collection, "filter": {"_id": Id::any_of(ids)}, "hint": {"_id": 1}};
    server.read(find, session, limit).await
}

/// Inserts documents in commands that the server takes; `again` passes over those that stand already.
///
/// # Errors
/// The server's.
pub async fn insert<'d>(
    server: &Server,
    mut session: Option<&mut ClientSession>,
    collection: &str,
    documents: impl Iterator<Item = &'d RawDocumentBuf> + Send,
    again: bool,
) -> Result<(), ServerError> {
    let mut batch = RawArrayBuf::new();
    let mut bytes = 0;
    let mut documents = documents.peekable();
    while let Some(document) = documents.next() {
        batch.push(document.clone());
        bytes += document.as_bytes().len();
        let next = documents.peek().map_or(0, |next| next.as_bytes().len());
        if next > 0 && bytes + next <= INSERT_BYTES {
            continue;
        }
        bytes = 0;
        let command = rawdoc! {
            "insert": collection, "documents": std::mem::take(&mut batch), "ordered": false,
            "bypassDocumentValidation": true,
        };
        match send(server, session.as_deref_mut(), command).await {
            Err(e) if again && e.is(codes::DUPLICATE_KEY) => {}
            other => drop(other?),
        }
    }
    Ok(())
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
    slot: Slot,
    chunk: i64,
) -> Result<(), ServerError> {
    let ids: Vec<Id> = documents.iter().filter_map(|document| Id::of_any(document)).collect();
    let stored = read_by_id(server, session.as_deref_mut(), collection, &ids, WHOLE_BYTES).await?;
    let mut packer = Packer::new(slot, chunk);
    for document in &stored {
        packer.inserted(&first(document.as_bytes()).ok_or_else(malformed)?, document);
    }
    insert(server, session, &slot.capture.packs(server.names()), packer.finish().iter(), false).await
}

fn count(documents: &[RawDocumentBuf]) -> i64 {
    i64::try_from(documents.len()).unwrap_or(i64::MAX)
}

/// Other documents were written than captured: the filter selects others each time it is asked (`$$NOW`,
/// `$rand`). Within a transaction that is tried again, like a conflict.
fn checked(counts: Counts, others: bool) -> Result<Counts, ServerError> {
    let message = "the operation did not write the documents that were captured for it: its filter selects others each \
                   time it is asked. \"capture\": false goes without";
    if others { Err(ServerError::found(codes::WRITE_CONFLICT, message)) } else { Ok(counts) }
}

fn malformed() -> ServerError {
    ServerError::found(codes::INVALID_BSON, "the server sent a document that cannot be read")
}
