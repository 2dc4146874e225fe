//! Reading a collection, or a part of it, through lost connections.
//!
//! A collection is read in natural order, which costs the server half of what a walk along `_id` does. Each reply names
//! the record id of its last document. If the connection is lost, the scan carries on behind that record. It can do so
//! only if the same member still answers ([`Member`]) and still has the record. Otherwise the file is emptied and the
//! collection is read along `_id`, which any member can carry on. A router knows no record ids, so behind one every
//! collection is read along `_id`.
//!
//! A cursor that met an error is never asked again: the server may have moved on, although its reply was lost.

use std::sync::Mutex;
use std::sync::atomic::Ordering;

use bson::raw::RawBsonRef;
use bson::{RawDocument, RawDocumentBuf};
use futures_util::StreamExt;
use mongodb::raw_batch_cursor::RawBatch;

use super::super::meter::Meter;
use super::super::ranges::{self, Range};
use super::error::{DumpError, DumpResult, interrupted, outwait, poisoned};
use super::member::Member;
use super::packing::{Feed, Packing};
use super::sink::Sink;
use crate::error::codes;
use crate::error::server::ServerError;
use crate::mongo::raw as bytes;
use crate::mongo::retry::Retry;
use crate::mongo::server::Server;
use crate::observe::{Kind, Level, Reporter, Stop};

/// What is read of a collection at a time.
#[derive(Debug, Clone)]
pub(super) enum Stretch {
    /// All of it, in natural order.
    Scan,
    /// A range, along `_id`.
    Range(Range),
}

/// How far a scan in natural order has come.
#[derive(Debug, Default)]
struct Place {
    /// Whether any documents came.
    begun: bool,
    /// Behind which record to carry on, where the server told it.
    token: Option<RawDocumentBuf>,
}

impl Place {
    fn pass(&mut self, batch: &RawBatch) {
        if bytes::documents(documents_of(batch)).next().is_none() {
            return;
        }
        self.begun = true;
        let cursor = batch.as_raw_document().get_document("cursor");
        let token = cursor.and_then(|cursor| cursor.get_document("postBatchResumeToken"));
        self.token = token.ok().filter(|token| names_a_record(token)).map(RawDocument::to_owned);
    }
}

/// Whether it is the place of a record: behind the last one it is of none.
fn names_a_record(token: &RawDocument) -> bool {
    token.get("$recordId").is_ok_and(|id| id.is_some_and(|id| id != RawBsonRef::Null))
}

/// The array of a reply's documents.
fn documents_of(batch: &RawBatch) -> &[u8] {
    batch.doc_slices().map_or(&[][..], |documents| documents.as_bytes())
}

/// Reads collections into their files.
pub(super) struct CollectionReader {
    pub(super) server: Server,
    pub(super) reporter: Reporter,
    pub(super) stop: Stop,
    pub(super) packing: Packing,
    pub(super) meter: Meter,
    /// Who answered when that was last asked.
    pub(super) member: Mutex<Option<Member>>,
}

impl CollectionReader {
    /// Reads a part to its end.
    pub(super) async fn read(&self, sink: &Sink, part: Stretch) -> DumpResult<()> {
        let mut feed = self.packing.feed(&sink.entry.name, sink.file()?, sink.entry.capped());
        match part {
            Stretch::Range(range) => self.range(sink, &mut feed, range).await?,
            Stretch::Scan => {
                if !self.scan(sink, &mut feed).await? {
                    self.anew(sink, &mut feed).await?;
                }
            }
        }
        self.meter.add(feed.drain().await?, &self.reporter);
        Ok(())
    }

    /// Reads a collection in natural order. False where that cannot carry on.
    async fn scan(&self, sink: &Sink, feed: &mut Feed) -> DumpResult<bool> {
        let collection = sink.entry.stored_in();
        let mut retry = Retry::new(&self.reporter, &self.stop);
        let mut member = *self.member.lock().map_err(|_| poisoned())?;
        let mut place = Place::default();
        let mut carried_on = false;
        loop {
            let command = match &place.token {
                Some(token) => ranges::natural_behind(&collection, sink.reading, sink.batch, token),
                None => ranges::natural(&self.server, &collection, sink.reading, sink.batch),
            };
            match self.cursor(feed, &mut retry, command, sink.batch, None, |batch| place.pass(batch)).await? {
                Ok(()) if !carried_on => return Ok(true),
                Ok(()) => return Ok(self.member_now(sink, &mut retry).await? == member),
                Err(e) if e.is(codes::KEY_NOT_FOUND) => return Ok(false),
                Err(e) => outwait(&self.server, e, &sink.entry, &mut retry).await?,
            }
            if place.begun && place.token.is_none() {
                return Ok(false);
            }
            let now = self.member_now(sink, &mut retry).await?;
            if !place.begun {
                member = now;
            } else if now.is_none() || now != member {
                return Ok(false);
            } else {
                carried_on = true;
                sink.pieced.store(true, Ordering::Release);
            }
        }
    }

    /// Who answers now. Scans that begin later take it for theirs.
    async fn member_now(&self, sink: &Sink, retry: &mut Retry<'_>) -> DumpResult<Option<Member>> {
        loop {
            match Member::now(&self.server).await {
                Ok(now) => {
                    *self.member.lock().map_err(|_| poisoned())? = now;
                    return Ok(now);
                }
                Err(e) => outwait(&self.server, e, &sink.entry, retry).await?,
            }
        }
    }

    /// Throws away what was written of a collection, and reads it along `_id`.
    async fn anew(&self, sink: &Sink, feed: &mut Feed) -> DumpResult<()> {
        let name = &sink.entry.name;
        if ranges::in_own_order(&self.server, &sink.entry) || self.packing.is_seen() {
            return Err(DumpError::Again(format!("the connection was lost while {name:?} was read")));
        }
        let message =
            format!("The connection was lost, and the server cannot carry on with {name:?}: reading it anew.");
        self.reporter.tell(Kind::Retrying, Level::Warning, message);
        self.meter.add(feed.begin_anew().await?, &self.reporter);
        self.range(sink, feed, Range::ALL).await
    }

    /// Reads one range, carrying on behind the last document after a lost connection.
    async fn range(&self, sink: &Sink, feed: &mut Feed, mut range: Range) -> DumpResult<()> {
        let collection = sink.entry.stored_in();
        let mut retry = Retry::new(&self.reporter, &self.stop);
        // The last `_id` read, which is the first that a resumed range reads.
        let mut last: Option<RawDocumentBuf> = None;
        let last_of = |batch: &RawBatch| bytes::documents(documents_of(batch)).last().and_then(bytes::id_of);
        loop {
            let command = range.command(&collection, sink.reading, sink.batch);
            let skip = last.clone();
            let pass = |batch: &RawBatch| last = last_of(batch).or(last.take());
            match self.cursor(feed, &mut retry, command, sink.batch, skip, pass).await? {
                Ok(()) => break,
                // Carrying on behind the very last document.
                Err(e) if e.is(codes::EMPTY_RANGE) => break,
                Err(e) => outwait(&self.server, e, &sink.entry, &mut retry).await?,
            }
            if last.is_some() {
                range.from.clone_from(&last);
            }
        }
        while range.misses_the_greatest() {
            let command = ranges::greatest(&collection, sink.reading);
            match self.cursor(feed, &mut retry, command, sink.batch, last.clone(), |_| ()).await? {
                Ok(()) => break,
                Err(e) => outwait(&self.server, e, &sink.entry, &mut retry).await?,
            }
        }
        Ok(())
    }

    /// Reads a cursor to its end. The server's errors are the inner ones. `pass` sees every reply.
    async fn cursor(
        &self,
        feed: &mut Feed,
        retry: &mut Retry<'_>,
        command: RawDocumentBuf,
        batch: u32,
        mut skip: Option<RawDocumentBuf>,
        mut pass: impl FnMut(&RawBatch) + Send,
    ) -> DumpResult<std::result::Result<(), ServerError>> {
        let mut cursor = match self.server.batches_of(command, Some(batch)).await {
            Ok(cursor) => cursor,
            Err(e) => return Ok(Err(e)),
        };
        loop {
            let next = tokio::select! {
                next = cursor.next() => next,
                () = self.stop.cancelled() => return Err(interrupted().into()),
            };
            match next {
                None => return Ok(Ok(())),
                Some(Err(e)) => return Ok(Err(e.into())),
                Some(Ok(batch)) => {
                    retry.progressed();
                    pass(&batch);
                    self.meter.add(feed.give(batch, skip.take()).await?, &self.reporter);
                }
            }
        }
    }
}
