//! What a backup asks for: whole collections in natural order, or ranges over `_id`, where a router knows no order but that.
//!
//! A large collection is cut into ranges, so that several read it at once.
//! `min` and `max` on the index of `_id` go across BSON types, which `$gte` and `$lt` do not. `max` is exclusive and so
//! is the end that an absent `max` means: a document whose `_id` is MaxKey itself needs a read of its own.

use std::time::Duration;

use bson::raw::cstr;
use bson::{Document, RawDocument, RawDocumentBuf, doc, rawdoc};

use super::catalog::{CatalogEntry, CollectionType};
use super::snapshot::ReadMode;
use crate::error::server::ServerError;
use crate::mongo::raw as bytes;
use crate::mongo::sample::Sample;
use crate::mongo::server::Server;
use crate::mongo::stats::Stats;

/// How much of a collection one range is about.
const RANGE_BYTES: i64 = 48 * 1024 * 1024;
/// Keys drawn for each boundary: ranges come out within some tenths of each other.
const DRAWN: i64 = 40;
const MOST: i64 = 256;

/// Documents with `from <= _id < below`, in the order of `_id`; an absent bound is the end of the collection.
#[derive(Debug, Clone, PartialEq)]
pub struct Range {
    /// The first, as `{_id: …}`.
    pub from: Option<RawDocumentBuf>,
    /// What comes after the last.
    pub below: Option<RawDocumentBuf>,
}

impl Range {
    /// The whole collection.
    pub const ALL: Self = Self { from: None, below: None };

    /// The command that reads it. The index brings its order, but the router of a sharded cluster merges what the shards
    /// answer in any order unless it is told one.
    pub fn command(&self, collection: &str, reading: ReadMode, batch: u32) -> RawDocumentBuf {
        let mut command = rawdoc! {"find": collection, "hint": {"_id": 1}, "sort": {"_id": 1}, "batchSize": i64::from(batch), "readConcern": reading.concern()};
        if let Some(from) = &self.from {
            command.append(cstr!("min"), from.clone());
        }
        if let Some(below) = &self.below {
            command.append(cstr!("max"), below.clone());
        }
        command
    }

    /// Whether a document whose `_id` is MaxKey belongs to it and [`command`](Self::command) does not read it.
    pub fn misses_the_greatest(&self) -> bool {
        self.from.is_some() && self.below.is_none()
    }
}

/// The command that reads the document whose `_id` is MaxKey.
pub fn greatest(collection: &str, reading: ReadMode) -> RawDocumentBuf {
    rawdoc! {"find": collection, "filter": {"_id": {"$eq": bson::RawBson::MaxKey}}, "readConcern": reading.concern()}
}

/// Whether a collection can be read in natural order only, as a whole: a capped one, and buckets where no order of `_id`
/// can be asked for.
pub fn in_own_order(server: &Server, entry: &CatalogEntry) -> bool {
    entry.capped() || (entry.kind == CollectionType::Timeseries && !server.profile().buckets_by_id())
}

/// The command that reads a collection in natural order. Each reply says behind which record the next begins; the router
/// of a sharded cluster knows no records.
pub fn natural(server: &Server, collection: &str, reading: ReadMode, batch: u32) -> RawDocumentBuf {
    let mut command = rawdoc! {"find": collection, "hint": {"$natural": 1}, "batchSize": i64::from(batch), "readConcern": reading.concern()};
    if !server.profile().sharded() {
        command.append(cstr!("$_requestResumeToken"), true);
    }
    command
}

/// The command that reads what comes behind a record in natural order. The server refuses it where it does not know the
/// record (211).
pub fn natural_behind(collection: &str, reading: ReadMode, batch: u32, record: &RawDocument) -> RawDocumentBuf {
    rawdoc! {
        "find": collection, "hint": {"$natural": 1}, "batchSize": i64::from(batch), "readConcern": reading.concern(),
        "$_requestResumeToken": true, "$_resumeAfter": record.to_owned(),
    }
}

/// How large a reply should be, in bytes. While the server makes one the last is compressed: small replies keep both at
/// work, and the processor's caches hold them.
const NEAR: i64 = 1024 * 1024;
/// The same for a server that is far away. There the way costs more than the reply.
const FAR: i64 = 8 * 1024 * 1024;
/// How long a server that is near takes at most to answer, also on a busy machine.
const NEAR_ANSWER: Duration = Duration::from_millis(20);
/// How many documents a reply may have of a collection whose size nobody knows.
const BATCH: u32 = 2_000;

/// How many documents a reply should have; `answer` is how long the server takes to answer.
pub fn batch(size: Stats, answer: Duration) -> u32 {
    let bytes = if answer > NEAR_ANSWER { FAR } else { NEAR };
    match size.average() {
        Some(average) if average > 0 => u32::try_from((bytes / average).clamp(16, 200_000)).unwrap_or(BATCH),
        _ => BATCH,
    }
}

/// Cuts a collection of this size.
///
/// # Errors
/// The server's.
pub async fn cut(
    server: &Server,
    entry: &CatalogEntry,
    reading: ReadMode,
    size: Stats,
) -> Result<Vec<Range>, ServerError> {
    let parts = (size.bytes / RANGE_BYTES).min(MOST);
    if parts < 2 {
        return Ok(vec![Range::ALL]);
    }
    let sample = Sample {
        collection: &entry.stored_in(),
        size: parts * DRAWN,
        filter: rawdoc! {"_id": {"$exists": true}},
        whole: true,
        concern: Some(reading.concern()),
    };
    let drawn = sample.draw(server).await?;
    let step = drawn.len().div_ceil(usize::try_from(parts).unwrap_or(1)).max(1);
    let mut bounds: Vec<RawDocumentBuf> =
        drawn.iter().skip(step).step_by(step).filter_map(|it| bytes::id_of(it.as_bytes())).collect();
    // $sample may draw a document twice.
    bounds.dedup();
    let mut ranges = Vec::with_capacity(bounds.len() + 1);
    let mut from = None;
    for bound in bounds {
        ranges.push(Range { from: from.take(), below: Some(bound.clone()) });
        from = Some(bound);
    }
    ranges.push(Range { from, below: None });
    Ok(ranges)
}

/// How many documents the collection has, counted one by one.
///
/// # Errors
/// The server's.
pub async fn count(server: &Server, collection: &str, reading: ReadMode) -> Result<i64, ServerError> {
    let command = doc! {
        "aggregate": collection,
        "pipeline": [{"$count": "n"}],
        "cursor": {},
        "readConcern": Document::try_from(reading.concern().as_ref()).map_err(mongodb::error::Error::from)?,
    };
    let found = server.find_all(command).await?;
    let count =
        found.first().map(|it| Document::try_from(it.as_ref())).transpose().map_err(mongodb::error::Error::from)?;
    Ok(count.map_or(0, |it| it.get_i64("n").ok().or_else(|| it.get_i32("n").ok().map(i64::from)).unwrap_or(0)))
}
