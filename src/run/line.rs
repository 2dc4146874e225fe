//! One worker's way through a range of `_id`s, one chunk after another.

use bson::RawDocumentBuf;
use mongodb::ClientSession;
use tokio::time::Instant;

use super::chunk_size::Why;
use super::id_ranges::{IdRanges, Scope};
use super::journal::{Journal, JournalError};
use super::pace::Pace;
use super::progress::{OperationIndex, OperationProgress, Position};
use super::report::Counts;
use super::transaction::Body;
use super::worker::Worker;
use crate::error::codes;
use crate::error::server::{Class, ServerError};
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
    /// [`JournalError::Server`] for what the server refuses for good, [`JournalError::Run`] for a stop or a lost lease.
    pub async fn run_to_end<B: ChunkBody>(
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

/// Where the work goes on, by the journal.
pub(super) fn after(journal: &Journal) -> Option<Id> {
    match &journal.progress.position {
        Some(Position::Ids { after, .. }) => after.clone(),
        _ => None,
    }
}
