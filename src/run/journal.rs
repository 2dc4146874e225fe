//! The journal: how far a migration's script is, kept in its record and written in the very transaction
//! that does the work.
//!
//! Every entry moves `progress.seq` from one number to the next and carries the fencing token in its
//! filter. So an entry is made once or not at all, and a run that has lost its lease makes none.

use std::time::{Duration, Instant};

use bson::{Bson, Document, doc};

use super::chunk_size::Costs;
use super::handle::Run;
use super::journal_entry::{EntryPlace, JournalEntry, Made, NoWork};
use super::parts;
use super::progress::{OperationProgress, Position, Progress};
use super::report::Direction;
use super::transaction::{Body, attempt, send};
use super::worker::Worker;
use crate::error::codes;
use crate::error::server::ServerError;
use crate::error::{Error, Result};
use crate::mongo::reply::written;
use crate::mongo::retry::{Retry, retry};
use crate::mongo::server::Server;
use crate::observe::Stop;

/// The journal of the migration under way, or of a part of one of its operations.
#[derive(Debug)]
pub struct Journal {
    /// The migration.
    id: String,
    /// The `_id` of the document in the ledger that keeps it.
    key: Bson,
    /// How far it is: what the record says.
    pub progress: Progress,
    /// What the last entry took.
    pub costs: Costs,
    /// Where an operation stopped that several workers shared.
    pub stopped_at: Option<Position>,
}

/// Why an entry was not made.
#[derive(Debug)]
pub enum JournalError {
    /// The server refused the work; nothing was written, where there are transactions.
    Server(ServerError),
    /// The run cannot go on.
    Run(Error),
}

impl From<Error> for JournalError {
    fn from(error: Error) -> Self {
        Self::Run(error)
    }
}

impl Journal {
    /// The journal of a migration that [`ledger::begin`](super::ledger::begin) has written.
    pub fn new(id: &str, progress: Progress) -> Self {
        Self { id: id.to_owned(), key: id.into(), progress, costs: Costs::default(), stopped_at: None }
    }

    /// The journal of a part of one operation, kept in the ledger's document `key`.
    pub fn of_part(&self, key: Bson, progress: Progress) -> Self {
        Self { id: self.id.clone(), key, progress, costs: Costs::default(), stopped_at: None }
    }

    /// The migration.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The status of the record meanwhile.
    pub fn status(&self) -> &'static str {
        match self.progress.direction {
            Direction::Up => "applying",
            Direction::Down => "rolling_back",
        }
    }

    /// Takes note that operation `index` has come so far in its parts, and where one of them stopped.
    pub fn stopped_in_a_part(&mut self, index: usize, sum: OperationProgress, position: Option<Position>) {
        if let Some(own) = self.progress.operations.get_mut(index) {
            *own = OperationProgress { note: own.note.clone(), ..sum };
        }
        self.stopped_at = position;
    }

    /// Makes one entry without other work: operation `index` (from 0) now stands as `operation` and
    /// `position` say.
    ///
    /// # Errors
    /// [`Error::LeaseLost`], or the server's.
    pub async fn note(
        &mut self,
        run: &mut Run,
        index: usize,
        operation: OperationProgress,
        position: Option<Position>,
    ) -> Result<()> {
        self.note_with(run, index, &mut NoWork, operation, position).await
    }

    /// [`note`](Self::note) together with a small piece of work that may be repeated: in one transaction where
    /// there are transactions, else right before it.
    ///
    /// # Errors
    /// As [`note`](Self::note).
    pub async fn note_with<W: Body<Output = ()>>(
        &mut self,
        run: &mut Run,
        index: usize,
        work: &mut W,
        operation: OperationProgress,
        position: Option<Position>,
    ) -> Result<()> {
        let atomic = W::WRITES && run.server.transactions();
        // Once the work is done it must be recorded, however long the primary is away.
        let stop = if operation.outcome.is_some() { Stop::new() } else { run.stop.clone() };
        let reporter = run.reporter.clone();
        let mut retry = Retry::new(&reporter, &stop);
        loop {
            let entry = |()| (operation.clone(), position.clone());
            match self.advance(&mut run.worker(), index, atomic, work, entry).await {
                Ok(()) => return Ok(()),
                Err(JournalError::Run(e)) => return Err(e),
                Err(JournalError::Server(e)) => retry.wait(e).await?.map_err(Error::server("Writing the ledger"))?,
            }
        }
    }

    /// Does `work` and makes its entry: in one transaction if `atomic`, else one after the other. Tried
    /// once: the caller decides what to do about a conflict. Whatever is returned, it is known whether the entry is
    /// made: where an answer was lost, the record is asked until it answers.
    ///
    /// # Errors
    /// [`JournalError`].
    pub async fn advance<W: Body>(
        &mut self,
        worker: &mut Worker<'_>,
        index: usize,
        atomic: bool,
        work: &mut W,
        mut entry: impl FnMut(W::Output) -> Made + Send,
    ) -> Result<(), JournalError>
    where
        W::Output: Copy,
    {
        let place = EntryPlace {
            key: self.key.clone(),
            token: worker.lease.token(),
            status: self.status(),
            seq: self.progress.seq,
            index,
        };
        if !atomic {
            let Some(output) = work.write(&worker.server, None).await.map_err(JournalError::Server)? else {
                return Err(JournalError::Run(worker.lease.lost()));
            };
            return self.enter_alone(worker, &place, entry(output)).await;
        }
        let mut body = JournalEntry { work, make: entry, entry_place: &place, made: None, costs: Costs::default() };
        let result = attempt(&worker.server, Some(worker.session), &mut body).await;
        let costs = body.costs;
        match (result, body.made.take()) {
            (Ok(Some(())), Some(made)) => {
                self.costs = costs;
                self.take_over(index, made);
                Ok(())
            }
            // The guard did not hold: another run's token, or our own entry of an attempt whose answer was lost.
            (Ok(_), _) if self.was_made(worker).await? => Ok(()),
            (Ok(_), _) => Err(JournalError::Run(worker.lease.lost())),
            // A commit whose answer is lost may have happened, and then a later attempt meets what it wrote.
            (Err(e), _) if (e.commit_unknown || e.is(codes::DUPLICATE_KEY)) && self.was_made(worker).await? => Ok(()),
            (Err(e), _) => Err(JournalError::Server(e)),
        }
    }

    /// Makes an entry without a transaction. Its work is done and stays: only the entry is tried again.
    async fn enter_alone(&mut self, worker: &Worker<'_>, place: &EntryPlace, made: Made) -> Result<(), JournalError> {
        let command = place.command(&worker.server, &made).map_err(JournalError::Server)?;
        let never = Stop::new();
        let mut retry = Retry::new(worker.reporter, &never);
        loop {
            let began = Instant::now();
            match send(&worker.server, None, command.clone()).await {
                Ok(reply) if written(&reply) > 0 => {
                    self.costs = Costs { entry: began.elapsed(), commit: Duration::ZERO };
                    self.take_over(place.index, made);
                    return Ok(());
                }
                Ok(_) if self.was_made(worker).await? => return Ok(()),
                Ok(_) => return Err(JournalError::Run(worker.lease.lost())),
                // The work must not be repeated because its entry is missing: the run stops.
                Err(e) => retry.wait(e).await?.map_err(|e| match e.is_passing() {
                    true => JournalError::Run(Error::server("Writing the ledger")(e)),
                    false => JournalError::Server(e),
                })?,
            }
        }
    }

    fn take_over(&mut self, index: usize, (operation, position): Made) {
        self.progress.seq += 1;
        self.progress.operations.truncate(index);
        self.progress.operations.push(operation);
        self.progress.position = position;
    }

    /// Whether the record already holds the next entry, made by this very run; takes it over if so. Asked until it
    /// answers: nothing may be tried again before that.
    async fn was_made(&mut self, worker: &Worker<'_>) -> Result<bool, JournalError> {
        let mut retry = Retry::new(worker.reporter, worker.stop);
        let next = doc! {"progress.seq": self.progress.seq + 1};
        let recorded = retry!(retry, self.recorded(&worker.server, worker.lease.token(), next.clone())).map_err(|e| {
            JournalError::Run(Error::Unavailable(format!(
                "Whether the last write of {} was made is not known, because the server cannot be used: {e}. Run the same \
                 command again when it can: it reads the record first and carries on from there.",
                self.id
            )))
        })?;
        let Some(progress) = recorded else { return Ok(false) };
        self.progress =
            progress.map_err(|e| Error::WrongState(format!("The record of {} cannot be read: {e}.", self.id)))?;
        Ok(true)
    }

    /// Takes over what the record says, where it can be read: what people are told of a failure must not be older.
    pub async fn reread(&mut self, run: &Run) {
        if let Ok(Some(Ok(mut progress))) = self.recorded(&run.server, run.lease.token(), doc! {}).await
            && matches!(parts::add_up(&run.server, &self.id, &mut progress).await, Ok(true))
        {
            self.progress = progress;
        }
    }

    /// The progress in the record, if it is this run's and meets the condition.
    async fn recorded(
        &self,
        server: &Server,
        token: i64,
        condition: Document,
    ) -> Result<Option<Result<Progress, String>>, ServerError> {
        let mut filter = doc! {"_id": &self.key, "token": token};
        filter.extend(condition);
        let record = server
            .find_certain(doc! {
                "find": server.names().ledger(),
                "filter": filter,
                "projection": {"progress": 1},
                "limit": 1,
            })
            .await?;
        let progress = record.first().and_then(|record| record.get_document("progress").ok());
        Ok(progress.map(Progress::from_raw))
    }
}
