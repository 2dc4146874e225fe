//! The chunked writer: works through a collection by `_id`, one bounded transaction after another, each
//! of which also writes how far it came.
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

use super::chunk_size::{Size, Why};
use super::handle::Run;
use super::id_ranges::{Scope, last_id, matching};
use super::journal::{Journal, JournalError};
use super::progress::{OperationProgress, Position};
use super::report::Counts;
use super::transaction::Body;
use crate::error::server::{Class, ServerError, codes};
use crate::mongo::id::Id;
use crate::mongo::retry::{Backoff, Policy, Retry, retry};
use crate::mongo::server::Server;
use crate::observe::Total;

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

/// Works through `scope` with `body` as operation `index` (from 0) of `operations`, from where the journal
/// says, and leaves the operation's last entry to its caller.
///
/// # Errors
/// [`JournalError::Server`] for what the server refuses for good, [`JournalError::Run`] for a stop or a lost lease.
pub async fn work_through<B: ChunkBody>(
    run: &mut Run,
    journal: &mut Journal,
    index: usize,
    operations: usize,
    hash: &str,
    scope: &Scope,
    body: &mut B,
) -> Result<(), JournalError> {
    let reporter = run.reporter.clone();
    let stop = run.stop.clone();
    let mut retry = Retry::new(&reporter, &stop);
    let (upper, mut progress) = match resume(journal, index) {
        Some((upper, progress)) => (upper, progress),
        None => {
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
            journal
                .note(
                    run,
                    index,
                    progress.clone(),
                    Some(Position::Ids {
                        upper: upper.clone(),
                        after: scope.bounds.as_ref().map(|(after, _)| after.clone()),
                    }),
                )
                .await?;
            (upper, progress)
        }
    };
    let mut matching =
        retry!(retry, matching(&run.server, scope, &upper, after(journal))).map_err(JournalError::Server)?;
    let total = match scope.total {
        Some(total) => Total::Exactly(total),
        None => matching.total(progress.counts.documents()),
    };
    let mut size = Size::new(matching.average_bytes, scope.weight);
    let mut contention = Backoff::new(Policy::CONTENTION);
    loop {
        run.safe_point()?;
        let at = after(journal);
        let next = retry!(retry, matching.windows.next(&run.server, scope, at.as_ref(), &upper, size.documents()))
            .map_err(JournalError::Server)?;
        let Some(window) = next else { return Ok(()) };
        let position = Position::Ids { upper: upper.clone(), after: window.through().cloned() };
        let selection = Selection {
            filter: window.select(&scope.filter),
            along_id: true,
            bounds: window.bounds(),
            documents: size.documents(),
            chunk: progress.chunks,
        };
        let mut selected = Selected { body, selection };
        let entry = |counts: Counts| {
            let mut operation = progress.clone();
            operation.begun = true;
            operation.counts += counts;
            operation.chunks += 1;
            (operation, Some(position.clone()))
        };
        let server = run.server.clone();
        let (before, started) = (server.round_trips(), Instant::now());
        let mut ahead = std::pin::pin!(window.look_ahead(&server, scope, &upper, size.documents()));
        let mut upcoming = None;
        let (result, elapsed) = {
            let mut advance = std::pin::pin!(journal.advance(run, index, scope.atomic, &mut selected, entry));
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
                let round_trips = (server.round_trips() - before).saturating_sub(others);
                size.took(elapsed, round_trips, journal.costs);
                matching.windows.done(&window, upcoming);
                contention.progressed();
                retry.progressed();
                if let Some(operation) = journal.progress.operations.get(index) {
                    progress = operation.clone();
                }
                reporter.chunk(index + 1, operations, progress.counts.documents(), total, size.remark());
                continue;
            }
            Err(JournalError::Server(error)) => error,
            Err(stopped) => return Err(stopped),
        };
        match error.class() {
            // It learned something, and the same chunk is made again at once.
            _ if error.is(codes::TRY_AGAIN) => drop(size.shrink(Why::Conflict)),
            Class::TooLarge if size.shrink(Why::TooLarge) => {}
            Class::Contended => {
                progress.conflicts += 1;
                size.shrink(Why::Conflict);
                // The other writer needs a moment to finish; longer each time, to leave it the field.
                if !contention.wait().await {
                    return Err(JournalError::Server(error));
                }
            }
            _ => {
                // Fewer documents need fewer round trips, of which each may fail.
                if size.shrink(Why::Passing) {
                    retry.progressed();
                }
                retry.wait(error).await?.map_err(JournalError::Server)?;
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

fn resume(journal: &Journal, index: usize) -> Option<(Id, OperationProgress)> {
    let operation = journal.progress.operations.get(index)?;
    match &journal.progress.position {
        Some(Position::Ids { upper, .. }) => Some((upper.clone(), operation.clone())),
        _ => None,
    }
}
