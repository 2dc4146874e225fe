//! The journal: how far a migration's script is, kept in its record and written in the very transaction
//! that does the work.
//!
//! Every entry moves `progress.seq` from one number to the next and carries the fencing token in its
//! filter. So an entry is made once or not at all, and a run that has lost its lease makes none.

use bson::{RawDocumentBuf, doc, rawdoc};
use mongodb::ClientSession;

use super::Run;
use super::patience::Patience;
use super::progress::{OperationProgress, Position, Progress};
use super::report::Direction;
use super::transaction::{Body, attempt, send, written};
use crate::error::{Error, Result};
use crate::observe::Stop;
use crate::server::Server;
use crate::server_error::ServerError;

/// The journal of the migration under way.
#[derive(Debug)]
pub struct Journal {
    id: String,
    /// How far it is: what the record says.
    pub progress: Progress,
}

/// Why an entry was not made.
#[derive(Debug)]
pub enum Refused {
    /// The server refused the work; nothing was written, where there are transactions.
    Server(ServerError),
    /// The run cannot go on.
    Run(Error),
}

impl From<Error> for Refused {
    fn from(error: Error) -> Self {
        Self::Run(error)
    }
}

impl Journal {
    /// The journal of a migration that [`ledger::begin`] has written.
    pub fn new(id: &str, progress: Progress) -> Self {
        Self { id: id.to_owned(), progress }
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
        let mut patience = Patience::new(&reporter, &stop);
        loop {
            let entry = |()| (operation.clone(), position.clone());
            match self.advance(run, index, atomic, work, entry).await {
                Ok(()) => return Ok(()),
                Err(Refused::Run(e)) => return Err(e),
                Err(Refused::Server(e)) => patience.wait(e).await?.map_err(Error::server("Writing the ledger"))?,
            }
        }
    }

    /// Does `work` and makes its entry: in one transaction if `atomic`, else one after the other. Tried
    /// once: the caller decides what to do about a conflict.
    ///
    /// # Errors
    /// [`Refused`].
    pub async fn advance<W: Body>(
        &mut self,
        run: &mut Run,
        index: usize,
        atomic: bool,
        work: &mut W,
        entry: impl FnMut(W::Output) -> (OperationProgress, Option<Position>) + Send,
    ) -> Result<(), Refused>
    where
        W::Output: Copy,
    {
        let mut body = Entry {
            work,
            make: entry,
            id: &self.id,
            token: run.lease.token(),
            status: match self.progress.direction {
                Direction::Up => "applying",
                Direction::Down => "rolling_back",
            },
            seq: self.progress.seq,
            index,
            made: None,
        };
        let session = atomic.then_some(&mut run.session);
        let result = attempt(&run.server, session, &mut body).await;
        match (result, body.made.take()) {
            (Ok(Some(())), Some((operation, position))) => {
                self.progress.seq += 1;
                self.progress.operations.truncate(index);
                self.progress.operations.push(operation);
                self.progress.position = position;
                Ok(())
            }
            // The guard did not hold: another run's token, or our own entry of an attempt whose answer was lost.
            (Ok(_), _) if self.was_made(run).await? => Ok(()),
            (Ok(_), _) => Err(Refused::Run(run.lease_lost())),
            // A commit whose answer is lost may have happened.
            (Err(e), _) if e.commit_unknown && self.was_made(run).await? => Ok(()),
            (Err(e), _) => Err(Refused::Server(e)),
        }
    }

    /// Whether the record already holds the next entry, made by this very run; takes it over if so.
    async fn was_made(&mut self, run: &Run) -> Result<bool, Refused> {
        let record = run
            .server
            .find_certain(doc! {
                "find": run.server.names().ledger(),
                "filter": {"_id": &self.id, "token": run.lease.token(), "progress.seq": self.progress.seq + 1},
                "projection": {"progress": 1},
                "limit": 1,
            })
            .await
            .map_err(Refused::Server)?;
        let Some(progress) = record.first().and_then(|record| record.get_document("progress").ok()) else {
            return Ok(false);
        };
        self.progress = Progress::from_raw(progress)
            .map_err(|e| Error::WrongState(format!("The record of {} cannot be read: {e}.", self.id)))?;
        Ok(true)
    }
}

struct NoWork;

impl Body for NoWork {
    type Output = ();
    const WRITES: bool = false;

    async fn write(&mut self, _: &Server, _: Option<&mut ClientSession>) -> Result<Option<()>, ServerError> {
        Ok(Some(()))
    }
}

/// Work and its entry, as one transaction's body.
struct Entry<'a, W: Body, F> {
    work: &'a mut W,
    make: F,
    id: &'a str,
    token: i64,
    status: &'static str,
    seq: i64,
    index: usize,
    made: Option<(OperationProgress, Option<Position>)>,
}

impl<W, F> Body for Entry<'_, W, F>
where
    W: Body,
    W::Output: Copy,
    F: FnMut(W::Output) -> (OperationProgress, Option<Position>) + Send,
{
    type Output = ();

    async fn write(
        &mut self,
        server: &Server,
        mut session: Option<&mut ClientSession>,
    ) -> Result<Option<()>, ServerError> {
        let Some(output) = self.work.write(server, session.as_deref_mut()).await? else {
            return Ok(None);
        };
        let (operation, position) = (self.make)(output);
        let document = bson::serialize_to_raw_document_buf(&operation)
            .map_err(|e| ServerError::from(mongodb::error::Error::from(e)))?;
        let slot = format!("progress.operations.{}", self.index);
        let slot = <&bson::raw::CStr>::try_from(slot.as_str())
            .map_err(|e| ServerError::from(mongodb::error::Error::from(e)))?
            .to_owned();
        let mut set = rawdoc! {"progress.seq": self.seq + 1};
        set.append(&slot, document);
        let mut change = RawDocumentBuf::new();
        match &position {
            Some(position) => {
                set.append(bson::raw::cstr!("progress.position"), position.to_raw());
                change.append(bson::raw::cstr!("$set"), set);
            }
            None => {
                change.append(bson::raw::cstr!("$set"), set);
                change.append(bson::raw::cstr!("$unset"), rawdoc! {"progress.position": ""});
            }
        }
        let command = rawdoc! {
            "update": server.names().ledger(),
            "updates": [{
                "q": {"_id": self.id, "token": self.token, "status": self.status, "progress.seq": self.seq},
                "u": change,
            }],
        };
        self.made = Some((operation, position));
        let reply = send(server, session, command).await?;
        Ok((written(&reply) > 0).then_some(()))
    }
}
