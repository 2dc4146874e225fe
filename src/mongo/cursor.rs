//! The one reader of cursors.
//!
//! A cursor that met an error is never asked again: the server may have moved on although its answer was lost, and
//! what it sent then is missing. It is thrown away, and what happens next depends on the order.
//! - [`Server::walk`] reads in the order of `_id`: a new cursor begins after the last document that was read.
//! - [`Server::find`] reads in any order: before its first reply it begins anew; after that, the error goes to the
//!   caller, who has to begin anew as a whole.
//!
//! In memory are at most two replies, each of at most 16 MB, whatever the size of the documents.

use std::ops::Range;

use bson::raw::{CStr, cstr};
use bson::{RawBson, RawDocument, RawDocumentBuf, rawdoc};
use futures_util::StreamExt;
use mongodb::raw_batch_cursor::{RawBatch, RawBatchCursor};
use tokio::sync::mpsc;

use crate::error::codes;
use crate::error::server::{Class, ServerError};
use crate::mongo::catalog;
use crate::mongo::id::Id;
use crate::mongo::raw;
use crate::mongo::retry::{Backoff, Policy};
use crate::mongo::server::Server;

/// Documents of a cursor.
pub struct DocumentCursor {
    source: ReplySource,
    reply: Reply,
}

/// Where the next reply comes from.
enum ReplySource {
    AsAsked(Box<CursorReading>),
    Ahead(mpsc::Receiver<Answer>),
    Ended,
}

/// `None` after the last reply.
type Answer = Option<Result<Reply, ServerError>>;

impl Server {
    /// Runs a command that answers with a cursor; the documents come as the server stores them, in any order.
    ///
    /// # Errors
    /// The server's.
    pub async fn find(&self, command: RawDocumentBuf) -> Result<DocumentCursor, ServerError> {
        DocumentCursor::open(CursorReading::new(self, command, None)).await
    }

    /// Runs a `find` in the order of `_id`, ascending unless its `sort` says otherwise. Errors of the cursor are
    /// outwaited; one that is returned leaves the reading where it is, and asking for the next document goes on.
    ///
    /// # Errors
    /// The server's.
    pub async fn walk(&self, mut command: RawDocumentBuf) -> Result<DocumentCursor, ServerError> {
        let descending = match command.get_document("sort") {
            Ok(sort) => sort.get_i32("_id").is_ok_and(|direction| direction < 0),
            Err(_) => {
                command.append(cstr!("sort"), rawdoc! {"_id": 1});
                false
            }
        };
        if !matches!(command.get("allowDiskUse"), Ok(Some(_))) {
            command.append(cstr!("allowDiskUse"), true);
        }
        DocumentCursor::open(CursorReading::new(self, command, Some(if descending { "$lt" } else { "$gt" }))).await
    }
}

impl DocumentCursor {
    async fn open(mut reading: CursorReading) -> Result<Self, ServerError> {
        let reply = reading.next().await?.unwrap_or_default();
        Ok(Self { source: ReplySource::AsAsked(Box::new(reading)), reply })
    }

    /// The same documents, with the next reply asked for while one is looked at.
    pub fn ahead(self) -> Self {
        let ReplySource::AsAsked(mut reading) = self.source else { return self };
        let (sender, receiver) = mpsc::channel(1);
        tokio::spawn(async move {
            // A place is taken before a reply is asked for, so that none waits beside the one in the channel. It is
            // refused when nobody looks at them any more.
            while let Ok(place) = sender.reserve().await {
                let answer = reading.next().await.transpose();
                let last = answer.is_none();
                place.send(answer);
                if last {
                    return;
                }
            }
        });
        Self { source: ReplySource::Ahead(receiver), reply: self.reply }
    }

    /// The next document, or `None` at the end.
    ///
    /// # Errors
    /// The server's. In the order of `_id`, asking again goes on.
    pub async fn next(&mut self) -> Result<Option<RawDocumentBuf>, ServerError> {
        loop {
            if let Some(document) = self.reply.take_next() {
                return Ok(Some(document.to_owned()));
            }
            match self.source.next().await? {
                Some(reply) => self.reply = reply,
                None => return Ok(None),
            }
        }
    }

    /// What is left of a reply, or the next one whole; `None` at the end.
    ///
    /// # Errors
    /// As [`next`](Self::next).
    pub async fn next_reply(&mut self) -> Result<Option<Reply>, ServerError> {
        if !self.reply.is_empty() {
            return Ok(Some(std::mem::take(&mut self.reply)));
        }
        self.source.next().await
    }
}

impl ReplySource {
    async fn next(&mut self) -> Result<Option<Reply>, ServerError> {
        match self {
            Self::AsAsked(reading) => reading.next().await,
            Self::Ahead(receiver) => {
                // Without the last one, the reading has broken off, and what was read is not all.
                let broken = || Some(Err(ServerError::found(codes::INTERRUPTED, "reading ahead ended unexpectedly")));
                let answer = receiver.recv().await.unwrap_or_else(broken);
                if answer.is_none() {
                    *self = Self::Ended;
                }
                answer.transpose()
            }
            Self::Ended => Ok(None),
        }
    }
}

/// A server's reply, of which documents are taken one after the other.
#[derive(Default)]
pub struct Reply {
    batch: Option<RawBatch>,
    /// What is left of it.
    rest: Range<usize>,
}

impl Reply {
    fn of(batch: RawBatch) -> Result<Self, ServerError> {
        let array = batch.doc_slices()?.as_bytes();
        // The elements come after the length.
        let from = array.as_ptr() as usize - batch.as_raw_document().as_bytes().as_ptr() as usize + 4;
        let to = (from + array.len()).saturating_sub(4);
        Ok(Self { rest: from..to, batch: Some(batch) })
    }

    fn left(&self) -> &[u8] {
        let bytes = self.batch.as_ref().map_or(&[][..], |batch| batch.as_raw_document().as_bytes());
        bytes.get(self.rest.clone()).unwrap_or_default()
    }

    fn is_empty(&self) -> bool {
        raw::elements_of(self.left()).next().is_none()
    }

    /// The next document.
    pub fn take_next(&mut self) -> Option<&RawDocument> {
        let (length, left) = {
            let mut elements = raw::elements_of(self.left());
            let value = elements.find(|element| element.kind == raw::DOCUMENT)?.value;
            (value.len(), elements.left())
        };
        // Its bytes are the last of what was just passed over.
        let end = self.rest.end - left;
        self.rest.start = end;
        let bytes = self.batch.as_ref()?.as_raw_document().as_bytes();
        RawDocument::from_bytes(bytes.get(end - length..end)?).ok()
    }

    /// The last document of those that are left.
    fn last(&self) -> Option<&[u8]> {
        raw::elements_of(self.left()).filter(|element| element.kind == raw::DOCUMENT).last().map(|last| last.value)
    }
}

/// A command that answers with a cursor, and how far its documents were read.
struct CursorReading {
    server: Server,
    command: RawDocumentBuf,
    /// How what comes after a document compares with it, where they come in the order of `_id`.
    beyond: Option<&'static str>,
    cursor: Option<RawBatchCursor>,
    /// The `_id` of the last document read.
    last: Option<Id>,
    /// Whether a reply was passed on.
    begun: bool,
    ended: bool,
    backoff: Backoff,
}

impl CursorReading {
    fn new(server: &Server, command: RawDocumentBuf, beyond: Option<&'static str>) -> Self {
        let backoff = Backoff::new(Policy::READ);
        Self { server: server.clone(), command, beyond, cursor: None, last: None, begun: false, ended: false, backoff }
    }

    /// The next reply.
    async fn next(&mut self) -> Result<Option<Reply>, ServerError> {
        loop {
            let error = match self.ask().await {
                Ok(Some(reply)) => {
                    if self.beyond.is_some() {
                        self.last = reply.last().and_then(id_of).or(self.last.take());
                    }
                    self.begun = true;
                    self.backoff.progressed();
                    return Ok(Some(reply));
                }
                Ok(None) => {
                    self.ended = true;
                    self.cursor = None;
                    return Ok(None);
                }
                Err(error) => error,
            };
            self.cursor = None;
            let anew = self.beyond.is_some() || !self.begun;
            let outwaited = match error.class() {
                Class::Passing => true,
                // A cursor is also lost with an index. Looking for the collection reads a cursor, too.
                Class::CursorLost if error.is(codes::QUERY_PLAN_KILLED) => {
                    let (server, command) = (self.server.clone(), self.command.clone());
                    let name = command.get_str("find").unwrap_or_default();
                    Box::pin(catalog::collection(&server, name)).await?.is_some()
                }
                Class::CursorLost => true,
                _ => false,
            };
            if !anew || !outwaited || !self.backoff.wait().await {
                self.backoff.progressed();
                return Err(error);
            }
        }
    }

    async fn ask(&mut self) -> Result<Option<Reply>, ServerError> {
        if self.ended {
            return Ok(None);
        }
        let cursor = match &mut self.cursor {
            Some(cursor) => cursor,
            None if self.begun && self.beyond.is_none() => {
                return Err(ServerError::found(codes::CURSOR_NOT_FOUND, "the cursor was lost"));
            }
            None => self.cursor.insert(self.server.batches(self.rest()).await?),
        };
        let Some(batch) = cursor.next().await else { return Ok(None) };
        self.server.count_round_trip();
        Ok(Some(Reply::of(batch?)?))
    }

    /// The command for what comes after the last document.
    fn rest(&self) -> RawDocumentBuf {
        let (Some(beyond), Some(last)) = (self.beyond, &self.last) else { return self.command.clone() };
        let beyond = <&CStr>::try_from(beyond).unwrap_or(cstr!("$gt"));
        let mut compared = RawDocumentBuf::new();
        let both: bson::RawArrayBuf = [RawBson::from("$_id"), last.keyed("$literal").into()].into_iter().collect();
        compared.append(beyond, both);
        let mut rest = RawDocumentBuf::new();
        let mut filter = rawdoc! {"$expr": compared};
        for element in self.command.iter_elements().flatten() {
            let name = element.key();
            let Ok(value) = RawBson::try_from(element) else { continue };
            match (name.as_str(), value) {
                ("filter", RawBson::Document(own)) => filter = rawdoc! {"$and": [filter, own]},
                (_, value) => rest.append(name, value),
            }
        }
        rest.append(cstr!("filter"), filter);
        rest
    }
}

/// The `_id` of a document, also where a projection has nothing else.
fn id_of(document: &[u8]) -> Option<Id> {
    raw::get(document, "_id").as_ref().and_then(Id::from_element)
}
