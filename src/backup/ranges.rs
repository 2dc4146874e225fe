//! Ranges over `_id`, so that one large collection is read by several at once.
//!
//! `min` and `max` on the index of `_id` go across BSON types, which `$gte` and `$lt` do not. `max` is exclusive and so
//! is the end that an absent `max` means: a document whose `_id` is MaxKey itself needs a read of its own.

use bson::{Document, RawDocumentBuf, doc, rawdoc};

use super::catalog::{CatalogEntry, CollectionType};
use super::snapshot::ReadMode;
use crate::error::server::ServerError;
use crate::mongo::raw as bytes;
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
            command.append(bson::raw::cstr!("min"), from.clone());
        }
        if let Some(below) = &self.below {
            command.append(bson::raw::cstr!("max"), below.clone());
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

/// Whether a collection is read in its own order, as a whole: a capped one, and buckets where no order of `_id` can be asked
/// for.
pub fn in_own_order(server: &Server, entry: &CatalogEntry) -> bool {
    entry.capped() || (entry.kind == CollectionType::Timeseries && !server.profile().buckets_by_id())
}

/// The command that reads a collection in its own order.
pub fn natural(collection: &str, reading: ReadMode, batch: u32) -> RawDocumentBuf {
    rawdoc! {"find": collection, "hint": {"$natural": 1}, "batchSize": i64::from(batch), "readConcern": reading.concern()}
}

/// How large a reply should be: large enough to be worth a round trip, small enough that those of all tasks together
/// stay small.
const BATCH_BYTES: i64 = 4 * 1024 * 1024;
/// How many documents a reply may have of a collection whose size nobody knows.
const BATCH: u32 = 2_000;

/// How many documents a reply should have.
pub fn batch(size: Stats) -> u32 {
    match size.average() {
        Some(average) if average > 0 => u32::try_from((BATCH_BYTES / average).clamp(16, 200_000)).unwrap_or(BATCH),
        _ => BATCH,
    }
}

/// Asks how large a collection is; `None` where the user may not know.
pub async fn size(server: &Server, entry: &CatalogEntry) -> Option<Stats> {
    Stats::of(server, &entry.stored_in()).await.ok()
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
    let command = doc! {
        "aggregate": entry.stored_in(),
        // Sorted by the server: only it knows the order across types and collations.
        "pipeline": [{"$sample": {"size": parts * DRAWN}}, {"$project": {"_id": 1}}, {"$sort": {"_id": 1}}],
        "cursor": {},
        "readConcern": Document::try_from(reading.concern().as_ref()).map_err(mongodb::error::Error::from)?,
        "allowDiskUse": false,
    };
    let drawn = server.find_all(command).await?;
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
