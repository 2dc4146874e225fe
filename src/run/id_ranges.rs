//! Cutting a collection into windows of `_id`s.
//!
//! The server compares the bounds, across BSON types and by the collection's collation; `_id`s travel as raw
//! bytes and are never decoded.

use std::collections::VecDeque;

use bson::raw::cstr;
use bson::{Document, RawArrayBuf, RawBson, RawDocumentBuf, rawdoc};

use crate::error::codes;
use crate::error::server::ServerError;
use crate::mongo::cursor::DocumentCursor;
use crate::mongo::id::Id;
use crate::mongo::query::{Query, raw};
use crate::mongo::server::Server;
use crate::mongo::stats::Stats;
use crate::observe::Total;

/// Below one match in so many documents, chunks name their documents instead of a range, so that an index
/// on the filter saves reading the rest.
const SPARSE: i64 = 20;
/// Parts of a scope for each worker: a heavy one at the end leaves the others without work.
const PARTS_OF_A_WORKER: usize = 8;
/// Documents that are worth a part of their own.
const PART_DOCUMENTS: usize = 1_000;

/// What to work through.
#[derive(Debug, Clone)]
pub struct Scope {
    /// The collection.
    pub collection: String,
    /// Which of its documents.
    pub filter: RawDocumentBuf,
    /// The operation's hint, for finding them.
    pub hint: Option<bson::Bson>,
    /// Variables that the filter uses.
    pub variables: Option<Document>,
    /// Whether the collection can take part in transactions.
    pub atomic: bool,
    /// Only what lies above the first and not above the second.
    pub bounds: Option<(Id, Id)>,
    /// How many documents each of these stands for, for the size of chunks.
    pub weight: usize,
    /// How many documents there are to be dealt with, where that is not the number that match.
    pub total: Option<i64>,
    /// About how many documents match, where that is known beforehand: then nothing is counted.
    pub expected: Option<i64>,
    /// Whether chunks may be under way at once: what is written in one has nothing to do with the documents of another,
    /// not even through a unique index.
    pub apart: bool,
}

/// A part of the scope.
#[derive(Debug, Clone)]
pub enum IdRange {
    /// `_id` above `after`, up to and with `through`.
    Range {
        /// Everything up to here is done.
        after: Option<Id>,
        /// The last one.
        through: Id,
    },
    /// Exactly these, in ascending order.
    Ids(Vec<Id>),
}

impl IdRange {
    /// The filter that selects `filter`'s documents within the window.
    pub fn select(&self, filter: &RawDocumentBuf) -> RawDocumentBuf {
        let bounds = match self {
            Self::Range { after, through } => within(after.as_ref(), through),
            Self::Ids(ids) => rawdoc! {"_id": Id::any_of(ids)},
        };
        rawdoc! {"$and": [bounds, filter.clone()]}
    }

    /// The filter that selects everything within a range.
    pub fn bounds(&self) -> Option<RawDocumentBuf> {
        match self {
            Self::Range { after, through } => Some(within(after.as_ref(), through)),
            Self::Ids(_) => None,
        }
    }

    /// Its last `_id`.
    pub fn through(&self) -> Option<&Id> {
        match self {
            Self::Range { through, .. } => Some(through),
            Self::Ids(ids) => ids.last(),
        }
    }
}

/// `after < _id <= through`, across types and by the collection's collation.
pub(super) fn within(after: Option<&Id>, through: &Id) -> RawDocumentBuf {
    // Plain comparisons meet one type only, but between two values of these types there is nothing else, and
    // the server checks them faster: chunks take about a tenth less time than with $expr.
    if let Some(after) = after.filter(|after| after.compares_plainly_with(through)) {
        return rawdoc! {"$and": [{"_id": after.keyed("$gt")}, {"_id": through.keyed("$lte")}]};
    }
    let mut both = RawArrayBuf::new();
    if let Some(after) = after {
        both.push(rawdoc! {"$gt": ["$_id", after.keyed("$literal")]});
    }
    both.push(rawdoc! {"$lte": ["$_id", through.keyed("$literal")]});
    rawdoc! {"$expr": {"$and": both}}
}

/// The greatest `_id` of a collection.
pub async fn last_id(server: &Server, collection: &str) -> Result<Option<Id>, ServerError> {
    let command = rawdoc! {
        "find": collection, "filter": {}, "projection": {"_id": 1}, "sort": {"_id": -1}, "limit": 1, "singleBatch": true,
    };
    Ok(server.find(command).await?.next().await?.and_then(|document| Id::of(&document)))
}

/// What is still to be done, and how to cut it.
#[derive(Debug, Default)]
pub struct Matching {
    /// About how many documents match: nothing is decided by it but how to cut.
    pub remaining: i64,
    /// Whether they were counted one by one.
    pub counted: bool,
    /// The collection's average document size.
    pub average_bytes: i64,
    /// Whether they are few among many others.
    pub sparse: bool,
}

impl Matching {
    /// How many documents there are in all, with those that are `done`.
    pub fn total(&self, done: i64) -> Total {
        let total = done + self.remaining;
        if self.counted { Total::Exactly(total) } else { Total::About(total.max(done)) }
    }

    /// In how many parts so many workers share it.
    pub fn parts(&self, scope: &Scope, workers: usize) -> usize {
        // Each part of a sparse scope reads the filter's whole index.
        let most = if self.sparse { workers } else { workers * PARTS_OF_A_WORKER };
        let documents = usize::try_from(self.remaining).unwrap_or(0).saturating_mul(scope.weight);
        if workers < 2 { 1 } else { most.min(documents / PART_DOCUMENTS) }
    }
}

/// Counts what is left of `scope` between `after` and `upper`, and decides how to cut it.
///
/// # Errors
/// The server's.
pub async fn matching(server: &Server, scope: &Scope, upper: &Id, after: Option<Id>) -> Result<Matching, ServerError> {
    let rest = IdRange::Range { after, through: upper.clone() };
    // From the start, the filter alone says it, so that its own index serves.
    let filter = match &rest {
        IdRange::Range { after: None, .. } => scope.filter.clone(),
        _ => rest.select(&scope.filter),
    };
    let counted = filter.iter().next().is_some();
    let query = Query {
        collection: &scope.collection,
        hint: scope.hint.as_ref(),
        collation: None,
        variables: scope.variables.as_ref(),
    };
    let remaining = match scope.expected {
        Some(expected) => expected,
        None => query.estimate(server, filter).await?,
    };
    // Reading the size needs a right that a user of the database may lack; it is only for the first chunk.
    let size = Stats::of(server, &scope.collection).await.ok();
    let documents = size.map_or(remaining, |size| size.documents);
    // Both ways find every document, however wrong these numbers are.
    let sparse = counted && remaining.saturating_mul(SPARSE) < documents;
    Ok(Matching { remaining, counted, average_bytes: size.and_then(Stats::average).unwrap_or(1), sparse })
}

/// How the scope is cut.
pub enum IdRanges {
    /// By walking the `_id` index.
    Ranges {
        /// What was looked up already.
        upcoming: Option<Upcoming>,
    },
    /// By asking for the `_id`s that match, in order. What is lost on the way goes on after the last one read.
    Listed {
        /// Where they come from.
        cursor: Option<Box<DocumentCursor>>,
        /// Read and not yet done.
        ready: VecDeque<Id>,
    },
}

/// Where a range ends.
pub struct Upcoming {
    after: Id,
    documents: usize,
    through: Id,
}

impl IdRange {
    /// Looks up where the range after this one ends, of so many documents; `None` where there is none, or nothing to be
    /// looked up.
    pub async fn look_ahead(&self, server: &Server, scope: &Scope, upper: &Id, documents: usize) -> Option<Upcoming> {
        let Self::Range { through: after, .. } = self else { return None };
        if after == upper {
            return None;
        }
        let found = boundary(server, &scope.collection, Some(after), upper, documents).await.ok()?;
        Some(Upcoming { after: after.clone(), documents, through: found.unwrap_or_else(|| upper.clone()) })
    }
}

impl IdRanges {
    /// For documents that are few among many others, or not.
    pub fn new(sparse: bool) -> Self {
        match sparse {
            true => Self::Listed { cursor: None, ready: VecDeque::new() },
            false => Self::Ranges { upcoming: None },
        }
    }

    /// The next `documents` or so above `after`; `None` at the end. Asked again, it gives the same or, with
    /// a smaller number, the first part of it.
    pub async fn next(
        &mut self,
        server: &Server,
        scope: &Scope,
        after: Option<&Id>,
        upper: &Id,
        documents: usize,
    ) -> Result<Option<IdRange>, ServerError> {
        match self {
            Self::Ranges { upcoming } => {
                if after == Some(upper) {
                    return Ok(None);
                }
                // A chunk that has just become much larger is looked up anew.
                let fits = |known: &Upcoming| {
                    Some(&known.after) == after && known.documents <= documents && known.documents * 2 > documents
                };
                let through = match upcoming.take().filter(fits) {
                    Some(known) => known.through,
                    None => boundary(server, &scope.collection, after, upper, documents)
                        .await?
                        .unwrap_or_else(|| upper.clone()),
                };
                Ok(Some(IdRange::Range { after: after.cloned(), through }))
            }
            Self::Listed { cursor, ready } => {
                let cursor = match cursor {
                    Some(cursor) => cursor,
                    None => cursor.insert(Box::new(list(server, scope, after, upper).await?)),
                };
                while ready.len() < documents {
                    match cursor.next().await? {
                        Some(document) => ready.extend(Id::of(&document)),
                        None => break,
                    }
                }
                let ids: Vec<Id> = ready.iter().take(documents).cloned().collect();
                Ok((!ids.is_empty()).then_some(IdRange::Ids(ids)))
            }
        }
    }

    /// Takes note that the window is done, and of what comes next.
    pub fn done(&mut self, window: &IdRange, next: Option<Upcoming>) {
        match (self, window) {
            (Self::Listed { ready, .. }, IdRange::Ids(ids)) => drop(ready.drain(..ids.len().min(ready.len()))),
            (Self::Ranges { upcoming }, _) => *upcoming = next,
            _ => {}
        }
    }
}

/// The `documents`-th `_id` above `after`, or `None` where `upper` comes first. Reads keys only.
async fn boundary(
    server: &Server,
    collection: &str,
    after: Option<&Id>,
    upper: &Id,
    documents: usize,
) -> Result<Option<Id>, ServerError> {
    // `min` is inclusive, so the walk begins at `after` itself where that document still stands, and behind
    // it where the chunk has deleted it: two keys are read and the right one taken.
    let skip = i64::try_from(documents.saturating_sub(1)).unwrap_or(i64::MAX);
    let mut command = rawdoc! {
        "find": collection,
        "filter": {},
        "projection": {"_id": 1},
        "hint": {"_id": 1},
        // The router of a sharded cluster merges what the shards answer in any order unless it is told one.
        "sort": {"_id": 1},
        "max": upper.document(),
        "skip": skip,
        "limit": if after.is_some() { 2 } else { 1 },
        "singleBatch": true,
    };
    if let Some(after) = after {
        command.append(cstr!("min"), after.document());
    }
    let mut found = match server.find(command).await {
        Err(e) if e.is(codes::EMPTY_RANGE) => return Ok(None),
        found => found?,
    };
    let first = found.next().await?.and_then(|document| Id::of(&document));
    let second = found.next().await?.and_then(|document| Id::of(&document));
    Ok(match (first, second) {
        (Some(first), _) if documents == 1 && Some(&first) != after => Some(first),
        (_, Some(second)) => Some(second),
        (Some(first), None) if Some(&first) != after => Some(first),
        _ => None,
    })
}

/// A cursor over the `_id`s that match, in ascending order.
async fn list(server: &Server, scope: &Scope, after: Option<&Id>, upper: &Id) -> Result<DocumentCursor, ServerError> {
    let rest = IdRange::Range { after: after.cloned(), through: upper.clone() };
    let mut command = rawdoc! {
        "find": scope.collection.as_str(),
        "filter": rest.select(&scope.filter),
        "projection": {"_id": 1},
    };
    if let Some(hint) = scope.hint.clone().and_then(|hint| RawBson::try_from(hint).ok()) {
        command.append(cstr!("hint"), hint);
    }
    if let Some(variables) = &scope.variables {
        command.append(cstr!("let"), raw(variables)?);
    }
    server.walk(command).await
}
