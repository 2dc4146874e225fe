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

use super::handle::Run;
use super::id_ranges::{Matching, Scope, last_id, matching};
use super::journal::{Journal, JournalError};
use super::line::{ChunkBody, Line, after};
use super::pace::Pace;
use super::parts::{self, Part};
use super::progress::{OperationIndex, OperationProgress, Position};
use super::shared::in_parts;
use crate::error::Result as Outcome;
use crate::error::server::ServerError;
use crate::mongo::retry::{Retry, retry};
use crate::mongo::server::Server;

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
        let bounds = retry!(retry, parts::boundaries(&run.server, scope, after.as_ref(), &upper, wanted));
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
    line.run_to_end(&mut run.worker(), journal, body, &pace, &mut |_| {}).await
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
