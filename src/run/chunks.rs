//! The chunked writer: works through a collection by `_id` in bounded transactions, each of which also writes how far it
//! came. Several workers share a large collection: each takes one [part](super::parts) of it after another.
//!
//! - The upper bound is fixed at the start and chunks only move upwards, so no document is met twice,
//!   however the update changes what its own filter matches.
//! - The server compares the bounds, across BSON types and by the collection's collation; `_id`s travel
//!   as raw bytes and are never decoded.
//! - [`chunk_size`](super::chunk_size) says how many documents a chunk has; a conflict with the live application halves
//!   it, down to one document.
//! - The end of the next chunk is looked up while the one before is written.

use bson::RawDocumentBuf;
use mongodb::ClientSession;
use tokio::time::Instant;

use super::chunk_size::Why;
use super::handle::Run;
use super::id_ranges::{IdRanges, Matching, Scope, boundaries, last_id, matching};
use super::journal::{Journal, JournalError};
use super::pace::Pace;
use super::parts::{self, Part};
use super::progress::{OperationIndex, OperationProgress, Position};
use super::report::Counts;
use super::shared::in_parts;
use super::transaction::Body;
use super::worker::Worker;
use crate::error::Result as Outcome;
use crate::error::server::{Class, ServerError, codes};
use crate::mongo::id::Id;
use crate::mongo::retry::{Retry, retry};
use crate::mongo::server::Server;

/// The documents that one write is about.
#[derive(Debug, Clone)]
pub struct Selection {
    /// Selects them.
    pub filter: RawDocumentBuf,
    /// Whether the index on `_id` is the way to them.
    pub along_id: bool,
    /// The part of the collection that they lie in, where that is a range of `_id`s.
    pub bounds: Option<RawDocumentBuf>,
    /// How many documents that part has, about.
    pub documents: usize,
    /// How many chunks of the operation came before.
    pub chunk: i64,
}

impl Selection {
    /// Everything that `filter` selects, at once.
    pub fn whole(filter: RawDocumentBuf) -> Self {
        Self { filter, along_id: false, bounds: None, documents: usize::MAX, chunk: 0 }
    }

    /// A number that grows from chunk to chunk of the operation, also where a chunk may run twice.
    pub fn number(&self, atomic: bool) -> i64 {
        if atomic { self.chunk } else { bson::DateTime::now().timestamp_millis() }
    }
}

/// What is done to the documents of a selection. Each worker has one of its own.
pub trait ChunkBody: Send + Clone {
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

/// Works through `scope` with `body` as the operation at `place`, from where the journal says, and leaves the operation's last entry to its caller.
///
/// # Errors
/// [`JournalError::Server`] for what the server refuses for good, [`JournalError::Run`] for a stop or a lost lease.
pub async fn work_through<B: ChunkBody>(
    run: &mut Run,
    journal: &mut Journal,
    place: OperationIndex,
    hash: &str,
    scope: &Scope,
    body: &mut B,
) -> Result<(), JournalError> {
    let index = place.index;
    let reporter = run.reporter.clone();
    let stop = run.stop.clone();
    let mut retry = Retry::new(&reporter, &stop);
    let begun = journal.progress.operations.get(index).cloned();
    if let (Some(Position::Parts(count)), Some(_)) = (&journal.progress.position, &begun) {
        let found = retry!(retry, parts::read(&run.server, journal.id(), *count)).map_err(JournalError::Server)?;
        let parts = found.ok_or_else(|| JournalError::Run(parts::missing(run.server.names(), journal.id())))?;
        let open = retry!(retry, still_open(&run.server, scope, &parts)).map_err(JournalError::Server)?;
        return in_parts(run, journal, place, scope, body, parts, &open).await;
    }
    let (upper, progress, fresh) = match (&journal.progress.position, begun) {
        (Some(Position::Ids { upper, .. }), Some(progress)) => (upper.clone(), progress, false),
        _ => {
            let upper = match &scope.bounds {
                Some((_, upper)) => upper.clone(),
                None => match retry!(retry, last_id(&run.server, &scope.collection)).map_err(JournalError::Server)? {
                    Some(upper) => upper,
                    None => return Ok(()),
                },
            };
            let mut progress = OperationProgress::new(hash);
            // Without transactions a chunk may be done before its entry is made.
            progress.begun = !scope.atomic;
            (upper, progress, true)
        }
    };
    let after = if fresh { scope.bounds.as_ref().map(|(after, _)| after.clone()) } else { after(journal) };
    let open = retry!(retry, matching(&run.server, scope, &upper, after.clone())).map_err(JournalError::Server)?;
    let wanted = if scope.atomic && scope.apart { open.parts(scope, run.at_once()) } else { 1 };
    if wanted > 1 {
        let bounds = retry!(retry, boundaries(&run.server, scope, after.as_ref(), &upper, wanted));
        let bounds = bounds.map_err(JournalError::Server)?;
        let parts = parts::cut(&journal.progress, &progress, after, upper, bounds);
        make_parts(run, journal, index, progress, &parts).await?;
        return in_parts(run, journal, place, scope, body, parts, &open).await;
    }
    if fresh {
        let position = Position::Ids { upper: upper.clone(), after };
        journal.note(run, index, progress.clone(), Some(position)).await?;
    }
    let pace = Pace::new(&open, scope, progress.counts.documents());
    let line = Line { place, entry: index, scope, upper: &upper, sparse: open.sparse, numbers: 0 };
    line.work_through(&mut run.worker(), journal, body, &pace, &mut |_| {}).await
}

/// What is still to be done in parts of which some are done.
async fn still_open(server: &Server, scope: &Scope, parts: &[Part]) -> Result<Matching, ServerError> {
    let mut open: Option<Matching> = None;
    for part in parts {
        let Some(Position::Ids { upper, after }) = part.progress.position.as_ref().filter(|_| !part.is_done()) else {
            continue;
        };
        let matching = matching(server, scope, upper, after.clone()).await?;
        open = Some(match open {
            None => matching,
            Some(open) => Matching { remaining: open.remaining + matching.remaining, ..open },
        });
    }
    Ok(open.unwrap_or_default())
}

/// Writes the parts into the ledger, and into the record that there are so many.
async fn make_parts(
    run: &mut Run,
    journal: &mut Journal,
    index: usize,
    done: OperationProgress,
    parts: &[Part],
) -> Outcome<()> {
    let migration = journal.id().to_owned();
    let mut make = parts::Make { migration: &migration, token: run.lease.token(), status: journal.status(), parts };
    // What was done before is the first part's now.
    let counted = OperationProgress { begun: done.begun, ..OperationProgress::new(&done.hash) };
    journal.note_with(run, index, &mut make, counted, Some(Position::Parts(parts.len()))).await
}

/// One worker's way through a range of `_id`s.
pub struct Line<'a> {
    /// The operation.
    pub place: OperationIndex,
    /// Its place in the journal that keeps how far this is.
    pub entry: usize,
    /// What the operation works through.
    pub scope: &'a Scope,
    /// The end of the range.
    pub upper: &'a Id,
    /// Whether few of its documents match.
    pub sparse: bool,
    /// What the numbers of its chunks begin with.
    pub numbers: i64,
}

impl Line<'_> {
    /// Works through the range with `body`, from where the journal says. `done` hears how far it is after each chunk.
    ///
    /// # Errors
    /// As [`work_through`].
    pub async fn work_through<B: ChunkBody>(
        &self,
        worker: &mut Worker<'_>,
        journal: &mut Journal,
        body: &mut B,
        pace: &Pace,
        done: &mut (dyn FnMut(&OperationProgress) + Send),
    ) -> Result<(), JournalError> {
        let Self { place, entry: index, scope, upper, .. } = *self;
        let mut windows = IdRanges::new(self.sparse);
        let mut retry = Retry::new(worker.reporter, worker.stop);
        let Some(mut progress) = journal.progress.operations.get(index).cloned() else { return Ok(()) };
        loop {
            pace.ready().await;
            worker.lease.safe_point(worker.stop)?;
            let at = after(journal);
            let documents = pace.documents();
            let next = retry!(retry, windows.next(&worker.server, scope, at.as_ref(), upper, documents))
                .map_err(JournalError::Server)?;
            let Some(window) = next else { return Ok(()) };
            let position = Position::Ids { upper: upper.clone(), after: window.through().cloned() };
            let selection = Selection {
                filter: window.select(&scope.filter),
                along_id: true,
                bounds: window.bounds(),
                documents,
                chunk: self.numbers + progress.chunks,
            };
            let mut selected = Selected { body, selection };
            let before = progress.counts.documents();
            let entry = |counts: Counts| {
                let mut operation = progress.clone();
                operation.begun = true;
                operation.counts += counts;
                operation.chunks += 1;
                (operation, Some(position.clone()))
            };
            let server = worker.server.clone();
            let (round_trips, started) = (server.round_trips(), Instant::now());
            let mut ahead = std::pin::pin!(window.look_ahead(&server, scope, upper, documents));
            let mut upcoming = None;
            let (result, elapsed) = {
                let mut advance = std::pin::pin!(journal.advance(worker, index, scope.atomic, &mut selected, entry));
                let mut looking = true;
                loop {
                    tokio::select! {
                        result = &mut advance => break (result, started.elapsed()),
                        found = &mut ahead, if looking => (upcoming, looking) = (found, false),
                    }
                }
            };
            let error = match result {
                Ok(()) => {
                    let others = u64::from(upcoming.is_some());
                    let round_trips = (server.round_trips() - round_trips).saturating_sub(others);
                    windows.done(&window, upcoming);
                    retry.progressed();
                    if let Some(operation) = journal.progress.operations.get(index) {
                        progress = operation.clone();
                    }
                    done(&progress);
                    pace.took(elapsed, round_trips, journal.costs, progress.counts.documents() - before);
                    pace.report(worker.reporter, place);
                    continue;
                }
                Err(JournalError::Server(error)) => error,
                Err(stopped) => return Err(stopped),
            };
            match error.class() {
                // It learned something, and the same chunk is made again at once.
                _ if error.is(codes::TRY_AGAIN) => drop(pace.shrink(Why::Conflict)),
                Class::TooLarge if pace.shrink(Why::TooLarge) => {}
                Class::Contended => {
                    progress.conflicts += 1;
                    pace.shrink(Why::Conflict);
                    if !pace.give_way().await {
                        return Err(JournalError::Server(error));
                    }
                }
                _ => {
                    // Fewer documents need fewer round trips, of which each may fail.
                    if pace.shrink(Why::Passing) {
                        retry.progressed();
                    }
                    retry.wait(error).await?.map_err(JournalError::Server)?;
                }
            }
        }
    }
}

fn after(journal: &Journal) -> Option<Id> {
    match &journal.progress.position {
        Some(Position::Ids { after, .. }) => after.clone(),
        _ => None,
    }
}
