//! The chunked writer: works through a collection by `_id`, one bounded transaction after another, each
//! of which also writes how far it came.
//!
//! - The upper bound is fixed at the start and chunks only move upwards, so no document is met twice,
//!   however the update changes what its own filter matches.
//! - The server compares the bounds, across BSON types and by the collection's collation; `_id`s travel
//!   as raw bytes and are never decoded.
//! - A chunk aims at [`TARGET`]; a conflict with the live application halves it, down to one document.

use std::time::Duration;

use bson::RawDocumentBuf;
use mongodb::ClientSession;
use tokio::time::Instant;

use super::Run;
use super::id::Id;
use super::journal::{Journal, Refused};
use super::patience::{Patience, patiently};
use super::progress::{OperationProgress, Position};
use super::report::Counts;
use super::transaction::Body;
use super::windows::{Scope, last_id, matching};
use crate::server::Server;
use crate::server_error::{ServerError, codes};

/// How long a chunk should take: short enough for the application not to notice.
pub const TARGET: Duration = Duration::from_millis(200);
/// The largest chunk. Beyond it a transaction gains nothing and the server's cache suffers.
const LARGEST: usize = 20_000;
/// The first chunk, before anything is known.
const FIRST: usize = 1_000;
/// A first chunk holds no more than this, by the collection's average document size.
const FIRST_BYTES: i64 = 16 * 1024 * 1024;
/// How long one document may stay contended.
const CONTENTION_LIMIT: Duration = Duration::from_secs(120);

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
            let upper = match &scope.bounds {
                Some((_, upper)) => upper.clone(),
                None => match patiently!(patience, last_id(&run.server, &scope.collection)).map_err(Refused::Server)? {
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
        patiently!(patience, matching(&run.server, scope, &upper, after(journal))).map_err(Refused::Server)?;
    if matching.remaining == 0 {
        return Ok(());
    }
    let total = scope.total.unwrap_or(progress.counts.documents() + matching.remaining);
    let mut size = Size::new(matching.average_bytes, scope.weight);
    let mut contended_since: Option<Instant> = None;
    loop {
        run.safe_point()?;
        let at = after(journal);
        let next =
            patiently!(patience, matching.windows.next(&run.server, scope, at.as_ref(), &upper, size.documents()))
                .map_err(Refused::Server)?;
        let Some(window) = next else { return Ok(()) };
        let started = Instant::now();
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
            Err(Refused::Server(e)) if e.is(codes::TRY_AGAIN) || (is_too_large(&e) && size.documents() > 1) => {
                size.halve()
            }
            Err(Refused::Server(e)) if is_contention(&e) => {
                progress.conflicts += 1;
                size.halve();
                let since = *contended_since.get_or_insert_with(Instant::now);
                if since.elapsed() > CONTENTION_LIMIT {
                    return Err(Refused::Server(e));
                }
                // The other writer needs a moment to finish; longer each time, to leave it the field.
                tokio::time::sleep(Duration::from_millis(progress.conflicts.clamp(1, 50).unsigned_abs())).await;
            }
            Err(Refused::Server(e)) => {
                patience.wait(e).await?.map_err(Refused::Server)?;
            }
            Err(stopped) => return Err(stopped),
        }
    }
}

/// Another writer, a session that was ended, or a transaction that ran out of time: a smaller chunk, or just
/// another attempt, may pass. Whose lease was broken meanwhile is told so by the journal's guard.
fn is_contention(error: &ServerError) -> bool {
    [codes::WRITE_CONFLICT, codes::NO_SUCH_TRANSACTION, codes::INTERRUPTED].iter().any(|code| error.is(*code))
        || (error.transient_transaction && !error.is_passing())
}

/// More than the server can hold in one transaction, or a command's list of `_id`s in one document.
fn is_too_large(error: &ServerError) -> bool {
    [codes::TRANSACTION_TOO_LARGE, codes::TRANSACTION_TOO_LARGE_FOR_CACHE, codes::BSON_OBJECT_TOO_LARGE]
        .iter()
        .any(|code| error.is(*code))
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

/// How many documents the next chunk has.
#[derive(Debug)]
struct Size {
    documents: usize,
    largest: usize,
}

impl Size {
    fn new(average_bytes: i64, weight: usize) -> Self {
        let fitting = usize::try_from(FIRST_BYTES / average_bytes.max(1)).unwrap_or(FIRST);
        Self { documents: fitting.clamp(1, (FIRST / weight).max(1)), largest: (LARGEST / weight).max(1) }
    }

    fn documents(&self) -> usize {
        self.documents
    }

    /// Aims at [`TARGET`], by at most four times more or half as many: one slow chunk is not the rule.
    fn took(&mut self, elapsed: Duration) {
        let ratio = TARGET.as_secs_f64() / elapsed.as_secs_f64().max(0.001);
        let wanted = self.documents as f64 * ratio.clamp(0.5, 4.0);
        self.documents = (wanted.ceil() as usize).clamp(1, self.largest);
    }

    fn halve(&mut self) {
        self.documents = (self.documents / 2).max(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chunk_finds_its_size() {
        let mut size = Size::new(350, 1);
        assert_eq!(size.documents(), FIRST);
        for _ in 0..20 {
            size.took(Duration::from_millis(20));
        }
        assert_eq!(size.documents(), LARGEST);
        for _ in 0..40 {
            size.took(Duration::from_secs(5));
        }
        assert_eq!(size.documents(), 1);
        assert_eq!(Size::new(16 * 1024 * 1024, 1).documents(), 1);
        let mut size = Size::new(0, 1);
        for _ in 0..40 {
            size.halve();
        }
        assert_eq!(size.documents(), 1);
    }
}
