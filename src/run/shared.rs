//! Several workers on one operation: each takes one part after another.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use futures_util::future::join_all;

use super::handle::Run;
use super::id_ranges::{Matching, Scope};
use super::journal::{Journal, JournalError};
use super::line::{ChunkBody, Line};
use super::pace::Pace;
use super::parts::{self, Part};
use super::progress::{OperationIndex, OperationProgress, Position};

/// The numbers of a part's chunks begin with the part's, so that no two captures have the same.
const CHUNKS_OF_A_PART: i64 = 1 << 32;

/// Works through the parts, of which `open` is still to be done, with as many workers as the run has. The first failure
/// stops the others after their chunk. Once all parts are done, the journal has their sum and they are removed.
///
/// # Errors
/// As [`work_through`](super::chunks::work_through).
pub async fn in_parts<B: ChunkBody>(
    run: &mut Run,
    journal: &mut Journal,
    place: OperationIndex,
    scope: &Scope,
    body: &B,
    parts: Vec<Part>,
    open: &Matching,
) -> Result<(), JournalError> {
    let Some(upper) = parts.last().and_then(Part::upper).cloned() else { return Ok(()) };
    let hash = journal.progress.operations.get(place.index).map(|own| own.hash.clone()).unwrap_or_default();
    let pace = Pace::new(open, scope, parts::sum(&parts, &hash).counts.documents());
    let waiting: VecDeque<Part> = parts.iter().filter(|part| !part.is_done()).cloned().collect();
    let team = Team { waiting: Mutex::new(waiting), parts: Mutex::new(parts), failure: Mutex::new(None) };
    let stop = run.stop.child_token();
    let workers = run.workers(&stop).into_iter().enumerate().map(|(number, mut worker)| {
        let (mut body, pace, team, journal, stop) = (body.clone(), &pace, &team, &*journal, &stop);
        async move {
            if number > 0 {
                pace.begun().await;
            }
            while let Some(part) = team.next() {
                let Some(upper) = part.upper() else { continue };
                let mut own = journal.of_part(part.key(journal.id()), part.progress.clone());
                let numbers = part.number * CHUNKS_OF_A_PART;
                let line = Line { place, entry: 0, scope, upper, sparse: open.sparse, numbers };
                let mut done = |progress: &OperationProgress| team.note(part.number, progress);
                let ended = line.run_to_end(&mut worker, &mut own, &mut body, pace, &mut done).await;
                if let Err(error) = ended {
                    team.fail(error, own.progress.position);
                    stop.cancel();
                    break;
                }
            }
            // Where it found nothing to do, or failed, nobody must wait for its first chunk.
            pace.begin();
        }
    });
    join_all(workers).await;
    let Team { parts, failure, .. } = team;
    let sum = parts::sum(&parts.into_inner().unwrap_or_else(PoisonError::into_inner), &hash);
    if let Some((error, position)) = failure.into_inner().unwrap_or_else(PoisonError::into_inner) {
        journal.stopped_in_a_part(place.index, sum, position);
        return Err(error);
    }
    let migration = journal.id().to_owned();
    let mut remove = parts::Remove { migration: &migration };
    let position = Position::Ids { upper: upper.clone(), after: Some(upper) };
    Ok(journal.note_with(run, place.index, &mut remove, sum, Some(position)).await?)
}

/// What the workers share besides their pace.
struct Team {
    /// Parts that nobody works on.
    waiting: Mutex<VecDeque<Part>>,
    /// All parts, as far as they are.
    parts: Mutex<Vec<Part>>,
    /// Why the first of them stopped, and where.
    failure: Mutex<Option<(JournalError, Option<Position>)>>,
}

impl Team {
    fn next(&self) -> Option<Part> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).pop_front()
    }

    fn note(&self, number: i64, progress: &OperationProgress) {
        let mut parts = self.parts.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(part) = parts.iter_mut().find(|part| part.number == number) {
            part.progress.operations = vec![progress.clone()];
        }
    }

    fn fail(&self, error: JournalError, position: Option<Position>) {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert((error, position));
    }
}
