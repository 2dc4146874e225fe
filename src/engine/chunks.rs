//! The chunked writer: works through a collection by `_id`, one bounded transaction after another, each
//! of which also writes how far it came.
//!
//! - The upper bound is fixed at the start and chunks only move upwards, so no document is met twice,
//!   however the update changes what its own filter matches.
//! - Bounds are compared by the server with `$expr`, which crosses BSON types and follows the
//!   collection's collation; `_id`s travel as raw bytes and are never decoded.
//! - A chunk aims at [`TARGET`]; a conflict with the live application halves it, down to one document.

use std::collections::VecDeque;
use std::time::Duration;

use bson::{Document, RawArrayBuf, RawBson, RawDocumentBuf, doc, rawdoc};
use mongodb::ClientSession;
use tokio::time::Instant;

use super::journal::{Journal, OperationProgress, Position, Refused};
use super::patience::Patience;
use super::report::Counts;
use super::run::Run;
use super::transaction::Body;
use crate::server::{Documents, Server, ServerError, codes};

/// How long a chunk should take: short enough for the application not to notice.
pub const TARGET: Duration = Duration::from_millis(200);
/// The largest chunk. Beyond it a transaction gains nothing and the server's cache suffers.
const LARGEST: usize = 10_000;
/// The first chunk, before anything is known.
const FIRST: usize = 1_000;
/// A first chunk holds no more than this, by the collection's average document size.
const FIRST_BYTES: i64 = 16 * 1024 * 1024;
/// How long one document may stay contended.
const CONTENTION_LIMIT: Duration = Duration::from_secs(120);
/// Below one match in so many documents, chunks name their documents instead of a range, so that an index
/// on the filter saves reading the rest.
const SPARSE: i64 = 20;

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
}

/// A part of the scope.
#[derive(Debug, Clone)]
pub enum Window {
    /// `_id` above `after`, up to and with `through`.
    Range {
        /// Everything up to here is done.
        after: Option<RawBson>,
        /// The last one.
        through: RawBson,
    },
    /// Exactly these, in ascending order.
    Ids(Vec<RawBson>),
}

impl Window {
    /// The filter that selects `filter`'s documents within the window.
    pub fn select(&self, filter: &RawDocumentBuf) -> RawDocumentBuf {
        let bounds = match self {
            Self::Range { after, through } => within(after.as_ref(), through),
            Self::Ids(ids) => rawdoc! {"_id": {"$in": ids.iter().cloned().collect::<RawArrayBuf>()}},
        };
        rawdoc! {"$and": [bounds, filter.clone()]}
    }

    fn through(&self) -> Option<&RawBson> {
        match self {
            Self::Range { through, .. } => Some(through),
            Self::Ids(ids) => ids.last(),
        }
    }
}

/// `after < _id <= through`, across types and by the collection's collation.
fn within(after: Option<&RawBson>, through: &RawBson) -> RawDocumentBuf {
    let mut both = RawArrayBuf::new();
    if let Some(after) = after {
        both.push(rawdoc! {"$gt": ["$_id", {"$literal": after.clone()}]});
    }
    both.push(rawdoc! {"$lte": ["$_id", {"$literal": through.clone()}]});
    rawdoc! {"$expr": {"$and": both}}
}

/// The documents that one write is about.
#[derive(Debug, Clone)]
pub struct Selection {
    /// Selects them.
    pub filter: RawDocumentBuf,
    /// Whether the index on `_id` is the way to them.
    pub along_id: bool,
}

/// What is done to the documents of a selection.
pub trait ChunkBody: Send {
    /// Writes them and says how many.
    fn write(
        &mut self,
        server: &Server,
        session: Option<&mut ClientSession>,
        selection: &Selection,
    ) -> impl Future<Output = Result<Counts, ServerError>> + Send;
}

/// A body with its selection: what one transaction writes.
pub struct Selected<'a, B> {
    /// What is done.
    pub body: &'a mut B,
    /// To which documents.
    pub selection: Selection,
}

impl<B: ChunkBody> Body for Selected<'_, B> {
    type Output = Counts;

    async fn write(
        &mut self,
        server: &Server,
        session: Option<&mut ClientSession>,
    ) -> Result<Option<Counts>, ServerError> {
        self.body.write(server, session, &self.selection).await.map(Some)
    }
}

/// Reads again while the primary is away.
macro_rules! patiently {
    ($patience:expr, $read:expr) => {
        loop {
            match $read.await {
                Ok(value) => break value,
                Err(e) => $patience.wait(e).await?.map_err(Refused::Server)?,
            }
        }
    };
}

/// Works through `scope` with `body` as operation `index` (from 0) of `operations`, from where the journal
/// says, and leaves the operation's last entry to its caller.
///
/// # Errors
/// [`Refused::Server`] for what the server refuses for good, [`Refused::Run`] for a stop or a lost lease.
pub async fn work_through<B: ChunkBody>(
    run: &mut Run,
    journal: &mut Journal,
    index: usize,
    operations: usize,
    hash: &str,
    scope: &Scope,
    body: &mut B,
) -> Result<(), Refused> {
    let reporter = run.reporter.clone();
    let stop = run.stop.clone();
    let mut patience = Patience::new(&reporter, &stop);
    let (upper, mut progress) = match resume(journal, index) {
        Some((upper, progress)) => (upper, progress),
        None => {
            let Some(upper) = patiently!(patience, last_id(&run.server, &scope.collection)) else {
                return Ok(());
            };
            let mut progress = OperationProgress::new(hash);
            // Without transactions a chunk may be done before its entry is made.
            progress.begun = !scope.atomic;
            journal
                .note(run, index, progress.clone(), Some(Position::Ids { upper: upper.clone(), after: None }))
                .await?;
            (upper, progress)
        }
    };
    let mut matching = patiently!(patience, matching(&run.server, scope, &upper, after(journal)));
    if matching.remaining == 0 {
        return Ok(());
    }
    let total = progress.counts.documents() + matching.remaining;
    let mut size = Size::new(matching.average_bytes);
    let mut contended_since: Option<Instant> = None;
    loop {
        run.safe_point()?;
        let at = after(journal);
        let next =
            patiently!(patience, matching.windows.next(&run.server, scope, at.as_ref(), &upper, size.documents()));
        let Some(window) = next else { return Ok(()) };
        let started = Instant::now();
        let position = Position::Ids { upper: upper.clone(), after: window.through().cloned() };
        let selection = Selection { filter: window.select(&scope.filter), along_id: true };
        let mut selected = Selected { body, selection };
        let entry = |counts: Counts| {
            let mut operation = progress.clone();
            operation.begun = true;
            operation.counts += counts;
            operation.chunks += 1;
            (operation, Some(position.clone()))
        };
        match journal.advance(run, index, scope.atomic, &mut selected, entry).await {
            Ok(()) => {
                size.took(started.elapsed());
                matching.windows.done(&window);
                contended_since = None;
                patience = Patience::new(&reporter, &stop);
                if let Some(operation) = journal.progress.operations.get(index) {
                    progress = operation.clone();
                }
                reporter.progress(index + 1, operations, progress.counts.documents(), Some(total));
            }
            Err(Refused::Server(e)) if is_contention(&e) => {
                progress.conflicts += 1;
                size.halve();
                let since = *contended_since.get_or_insert_with(Instant::now);
                if since.elapsed() > CONTENTION_LIMIT {
                    return Err(Refused::Server(e));
                }
                // The other writer needs a moment to finish; longer each time, to leave it the field.
                let pause = Duration::from_millis(u64::from(progress.conflicts.clamp(1, 50).unsigned_abs() as u32));
                tokio::time::sleep(pause).await;
            }
            Err(Refused::Server(e)) => {
                patience.wait(e).await?.map_err(Refused::Server)?;
                matching.windows.start_over();
            }
            Err(stopped) => return Err(stopped),
        }
    }
}

/// Another writer, or the transaction ran out of time: a smaller chunk may pass.
fn is_contention(error: &ServerError) -> bool {
    error.is(codes::WRITE_CONFLICT)
        || error.is(codes::NO_SUCH_TRANSACTION)
        || (error.transient_transaction && !error.is_passing())
}

fn after(journal: &Journal) -> Option<RawBson> {
    match &journal.progress.position {
        Some(Position::Ids { after, .. }) => after.clone(),
        _ => None,
    }
}

fn resume(journal: &Journal, index: usize) -> Option<(RawBson, OperationProgress)> {
    let operation = journal.progress.operations.get(index)?;
    match &journal.progress.position {
        Some(Position::Ids { upper, .. }) => Some((upper.clone(), operation.clone())),
        _ => None,
    }
}

/// The greatest `_id` of a collection.
async fn last_id(server: &Server, collection: &str) -> Result<Option<RawBson>, ServerError> {
    let command = rawdoc! {
        "find": collection, "filter": {}, "projection": {"_id": 1}, "sort": {"_id": -1}, "limit": 1, "singleBatch": true,
    };
    Ok(server.find(command).await?.next().await?.and_then(|document| id_of(&document)))
}

fn id_of(document: &RawDocumentBuf) -> Option<RawBson> {
    document.get("_id").ok().flatten().map(RawBson::from)
}

/// What is still to be done, and how to cut it.
struct Matching {
    remaining: i64,
    average_bytes: i64,
    windows: Windows,
}

async fn matching(
    server: &Server,
    scope: &Scope,
    upper: &RawBson,
    after: Option<RawBson>,
) -> Result<Matching, ServerError> {
    let rest = Window::Range { after, through: upper.clone() };
    // What is behind is done, but counting it in lets the filter's own index serve.
    let filter = match &rest {
        Window::Range { after: None, .. } => scope.filter.clone(),
        _ => rest.select(&scope.filter),
    };
    let remaining = count(server, scope, filter).await?;
    let size = server
        .find_all(
            doc! {"aggregate": &scope.collection, "pipeline": [{"$collStats": {"storageStats": {}}}], "cursor": {}},
        )
        .await
        // Reading the size needs a right that a user of the database may lack; it is only for the first chunk.
        .ok()
        .and_then(|found| found.into_iter().next());
    let stat = |name: &str| {
        let stats = size.as_ref()?.get_document("storageStats").ok()?;
        let value = stats.get(name).ok()??;
        value.as_i64().or_else(|| value.as_i32().map(i64::from)).or_else(|| value.as_f64().map(|n| n as i64))
    };
    let documents = stat("count").unwrap_or(remaining);
    let windows = if remaining.saturating_mul(SPARSE) < documents {
        Windows::Listed { cursor: None, ready: VecDeque::new() }
    } else {
        Windows::Ranges
    };
    Ok(Matching { remaining, average_bytes: stat("avgObjSize").unwrap_or(1), windows })
}

async fn count(server: &Server, scope: &Scope, filter: RawDocumentBuf) -> Result<i64, ServerError> {
    // `count` takes filters that a pipeline refuses ($where); only a pipeline takes variables.
    let mut command = match &scope.variables {
        None => rawdoc! {"count": scope.collection.as_str(), "query": filter},
        Some(variables) => {
            let mut command = rawdoc! {
                "aggregate": scope.collection.as_str(), "pipeline": [{"$match": filter}, {"$count": "n"}], "cursor": {},
            };
            command.append(bson::raw::cstr!("let"), raw(variables)?);
            command
        }
    };
    if let Some(hint) = scope.hint.clone().and_then(|hint| RawBson::try_from(hint).ok()) {
        command.append(bson::raw::cstr!("hint"), hint);
    }
    if scope.variables.is_none() {
        let reply = server.run_raw(command, None).await?;
        return Ok(super::transaction::written(&reply));
    }
    let counted = server.find(command).await?.next().await?;
    Ok(counted.and_then(|document| document.get_i32("n").ok()).map_or(0, i64::from))
}

fn raw(document: &Document) -> Result<RawDocumentBuf, ServerError> {
    RawDocumentBuf::try_from(document).map_err(|e| ServerError::from(mongodb::error::Error::from(e)))
}

/// How the scope is cut.
enum Windows {
    /// By walking the `_id` index.
    Ranges,
    /// By asking once for the `_id`s that match, in order.
    Listed { cursor: Option<Box<Documents>>, ready: VecDeque<RawBson> },
}

impl Windows {
    /// The next `documents` or so above `after`; `None` at the end. Asked again, it gives the same or, with
    /// a smaller number, the first part of it.
    async fn next(
        &mut self,
        server: &Server,
        scope: &Scope,
        after: Option<&RawBson>,
        upper: &RawBson,
        documents: usize,
    ) -> Result<Option<Window>, ServerError> {
        match self {
            Self::Ranges => {
                if after == Some(upper) {
                    return Ok(None);
                }
                let through = boundary(server, &scope.collection, after, upper, documents).await?;
                Ok(Some(Window::Range { after: after.cloned(), through: through.unwrap_or_else(|| upper.clone()) }))
            }
            Self::Listed { cursor, ready } => {
                if cursor.is_none() {
                    ready.clear();
                    *cursor = Some(Box::new(list(server, scope, after, upper).await?));
                }
                if let Some(cursor) = cursor {
                    while ready.len() < documents {
                        match cursor.next().await? {
                            Some(document) => ready.extend(id_of(&document)),
                            None => break,
                        }
                    }
                }
                let ids: Vec<RawBson> = ready.iter().take(documents).cloned().collect();
                Ok((!ids.is_empty()).then_some(Window::Ids(ids)))
            }
        }
    }

    fn done(&mut self, window: &Window) {
        if let (Self::Listed { ready, .. }, Window::Ids(ids)) = (self, window) {
            ready.drain(..ids.len().min(ready.len()));
        }
    }

    /// The connection was lost, and an open cursor with it.
    fn start_over(&mut self) {
        if let Self::Listed { cursor, .. } = self {
            *cursor = None;
        }
    }
}

/// The `documents`-th `_id` above `after`, or `None` where `upper` comes first. Reads keys only.
async fn boundary(
    server: &Server,
    collection: &str,
    after: Option<&RawBson>,
    upper: &RawBson,
    documents: usize,
) -> Result<Option<RawBson>, ServerError> {
    // `min` is inclusive, so the walk begins at `after` itself where that document still stands, and behind
    // it where the chunk has deleted it: two keys are read and the right one taken.
    let skip = i64::try_from(documents.saturating_sub(1)).unwrap_or(i64::MAX);
    let mut command = rawdoc! {
        "find": collection,
        "filter": {},
        "projection": {"_id": 1},
        "hint": {"_id": 1},
        "max": {"_id": upper.clone()},
        "skip": skip,
        "limit": if after.is_some() { 2 } else { 1 },
        "singleBatch": true,
    };
    if let Some(after) = after {
        command.append(bson::raw::cstr!("min"), rawdoc! {"_id": after.clone()});
    }
    let mut found = server.find(command).await?;
    let first = found.next().await?.and_then(|document| id_of(&document));
    let second = found.next().await?.and_then(|document| id_of(&document));
    Ok(match (first, second) {
        (Some(first), _) if documents == 1 && Some(&first) != after => Some(first),
        (_, Some(second)) => Some(second),
        (Some(first), None) if Some(&first) != after => Some(first),
        _ => None,
    })
}

/// A cursor over the `_id`s that match, in ascending order.
async fn list(
    server: &Server,
    scope: &Scope,
    after: Option<&RawBson>,
    upper: &RawBson,
) -> Result<Documents, ServerError> {
    let rest = Window::Range { after: after.cloned(), through: upper.clone() };
    let mut command = rawdoc! {
        "find": scope.collection.as_str(),
        "filter": rest.select(&scope.filter),
        "projection": {"_id": 1},
        "sort": {"_id": 1},
        "allowDiskUse": true,
        "noCursorTimeout": false,
    };
    if let Some(hint) = scope.hint.clone().and_then(|hint| RawBson::try_from(hint).ok()) {
        command.append(bson::raw::cstr!("hint"), hint);
    }
    if let Some(variables) = &scope.variables {
        command.append(bson::raw::cstr!("let"), raw(variables)?);
    }
    server.find(command).await
}

/// How many documents the next chunk has.
#[derive(Debug)]
struct Size(usize);

impl Size {
    fn new(average_bytes: i64) -> Self {
        let fitting = usize::try_from(FIRST_BYTES / average_bytes.max(1)).unwrap_or(FIRST);
        Self(fitting.clamp(1, FIRST))
    }

    fn documents(&self) -> usize {
        self.0
    }

    /// Aims at [`TARGET`], at most doubling or halving at a time: one slow chunk is not the rule.
    fn took(&mut self, elapsed: Duration) {
        let ratio = TARGET.as_secs_f64() / elapsed.as_secs_f64().max(0.001);
        let wanted = self.0 as f64 * ratio.clamp(0.5, 2.0);
        self.0 = (wanted.ceil() as usize).clamp(1, LARGEST);
    }

    fn halve(&mut self) {
        self.0 = (self.0 / 2).max(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chunk_finds_its_size() {
        let mut size = Size::new(350);
        assert_eq!(size.documents(), FIRST);
        for _ in 0..20 {
            size.took(Duration::from_millis(20));
        }
        assert_eq!(size.documents(), LARGEST);
        for _ in 0..40 {
            size.took(Duration::from_secs(5));
        }
        assert_eq!(size.documents(), 1);
        assert_eq!(Size::new(16 * 1024 * 1024).documents(), 1);
        let mut size = Size::new(0);
        for _ in 0..40 {
            size.halve();
        }
        assert_eq!(size.documents(), 1);
    }
}
