//! What a writing verb holds from taking the lease to giving it back.

use bson::{Document, doc};
use mongodb::ClientSession;

use super::identity::Identity;
use super::lease::Lease;
use super::renewal::DURATION;
use super::transaction::{Body, attempt, with_majority};
use super::worker::Worker;
use crate::error::codes;
use crate::error::server::ServerError;
use crate::error::{Error, Result};
use crate::mongo::reply::written;
use crate::mongo::retry::{Retry, retry};
use crate::mongo::server::Server;
use crate::observe::{Kind, Level, Reporter, Stop};

/// A run under the lease. Call [`close`](Self::close) on every path.
#[derive(Debug)]
pub struct Run {
    /// The database. Each write outside a transaction is sent right after a proof of the lease.
    pub server: Server,
    /// The sessions of its workers, one at least, named in the lease.
    sessions: Vec<ClientSession>,
    /// The lease.
    pub lease: Lease,
    /// The reporter of progress and warnings.
    pub reporter: Reporter,
    /// What asks it to stop.
    pub stop: Stop,
    id: String,
    identity: Identity,
}

impl Run {
    /// A run under `lease`, known by `id`, with a session for each worker.
    pub(super) fn new(
        server: Server,
        sessions: Vec<ClientSession>,
        lease: Lease,
        reporter: Reporter,
        stop: Stop,
        id: String,
        identity: Identity,
    ) -> Self {
        Self { server, sessions, lease, reporter, stop, id, identity }
    }

    /// Gives the lease back. A lease that cannot be given back runs out by itself.
    pub async fn close(self) {
        if let Err(e) = self.lease.release().await {
            self.reporter.tell(
                Kind::Warning,
                Level::Warning,
                format!("The lock could not be released ({e}); it ends by itself within {} s.", DURATION.as_secs()),
            );
        } else {
            self.reporter.tell(Kind::LockReleased, Level::Debug, "Released the lock.");
        }
    }

    /// Who this run is, for records and history.
    pub fn entry(&self) -> Document {
        doc! {
            "run": &self.id,
            "host": &self.identity.host,
            "pid": i64::from(self.identity.pid),
            "user": &self.identity.user,
            "version": env!("CARGO_PKG_VERSION"),
        }
    }

    /// The first worker.
    pub fn worker(&mut self) -> Worker<'_> {
        let (server, lease, reporter, stop) = (self.server.clone(), &self.lease, &self.reporter, &self.stop);
        Worker { server, session: &mut self.sessions[0], lease, reporter, stop }
    }

    /// All workers, each with a session of its own, and stopped by `stop`.
    pub fn workers<'r>(&'r mut self, stop: &'r Stop) -> Vec<Worker<'r>> {
        let (server, lease, reporter) = (&self.server, &self.lease, &self.reporter);
        let workers = self.sessions.iter_mut();
        workers.map(|session| Worker { server: server.counted_apart(), session, lease, reporter, stop }).collect()
    }

    /// How many chunks of an operation may be under way at once.
    pub fn at_once(&self) -> usize {
        self.sessions.len()
    }

    /// Where a run may stop: nothing is under way.
    ///
    /// # Errors
    /// [`Error::LeaseLost`] or [`Error::Interrupted`] where it must.
    pub fn safe_point(&self) -> Result<()> {
        self.lease.safe_point(&self.stop)
    }

    /// The error of a run that another has replaced.
    pub fn lease_lost(&self) -> Error {
        self.lease.lost()
    }

    /// Proves the lease.
    ///
    /// # Errors
    /// [`Error::LeaseLost`], or the server's.
    pub async fn prove(&mut self) -> Result<()> {
        self.write("Proving the lock", Vec::new()).await
    }

    /// Writes `commands` under a proven lease: in one transaction with the proof where there are transactions, else
    /// each right after a proof. After a lost answer they are sent again, so each must be one that may be done twice.
    /// `doing` says what they do, for errors.
    ///
    /// # Errors
    /// [`Error::LeaseLost`], or the server's.
    pub async fn write(&mut self, doing: &str, commands: Vec<Document>) -> Result<()> {
        self.write_if(doing, commands.into_iter().map(Statement::may).collect()).await.map(drop)
    }

    /// [`write`](Self::write) with statements that must touch a document: where one of them touches none, nothing is
    /// written (without transactions: nothing from there on) and the answer is `false`.
    ///
    /// # Errors
    /// As [`write`](Self::write).
    pub async fn write_if(&mut self, doing: &str, statements: Vec<Statement>) -> Result<bool> {
        let proof = self.lease.proof();
        let mut body = Together { proof, statements, lost: false };
        let never = Stop::new();
        let reporter = self.reporter.clone();
        let mut retry = Retry::new(&reporter, &never);
        let written = retry!(retry, self.attempt(&mut body)).map_err(Error::server(doing))?;
        match written {
            Some(()) => Ok(true),
            None if body.lost => Err(self.lease_lost()),
            None => Ok(false),
        }
    }

    /// Runs `body` once: in a transaction where there are transactions.
    ///
    /// # Errors
    /// The server's.
    pub async fn attempt<B: Body>(&mut self, body: &mut B) -> Result<Option<B::Output>, ServerError> {
        let session = self.server.transactions().then_some(&mut self.sessions[0]);
        attempt(&self.server, session, body).await
    }
}

/// A command of a write.
#[derive(Debug, Clone)]
pub struct Statement {
    command: Document,
    must: bool,
}

impl Statement {
    /// One that need not touch a document.
    pub fn may(command: Document) -> Self {
        Self { command, must: false }
    }

    /// A command that must touch a document. If it touches none, the commands after it are not sent.
    pub fn must(command: Document) -> Self {
        Self { command, must: true }
    }
}

struct Together {
    proof: Document,
    statements: Vec<Statement>,
    lost: bool,
}

impl Body for Together {
    type Output = ();

    async fn write(
        &mut self,
        server: &Server,
        mut session: Option<&mut ClientSession>,
    ) -> Result<Option<()>, ServerError> {
        // Without a transaction the connection sends the proof, before each statement.
        if session.is_some() || self.statements.is_empty() {
            let reply = server.run(self.proof.clone(), session.as_deref_mut()).await?;
            self.lost = written(&reply) == 0;
            if self.lost {
                return Ok(None);
            }
        }
        for Statement { command, must } in &self.statements {
            let command = match &session {
                Some(_) => command.clone(),
                None => with_majority(command.clone()),
            };
            let touched = match server.run(command, session.as_deref_mut()).await {
                // The document is there, and not as the statement wants it.
                Err(e) if *must && e.is(codes::DUPLICATE_KEY) => 0,
                answer => written(&answer?),
            };
            if *must && touched == 0 {
                return Ok(None);
            }
        }
        Ok(Some(()))
    }
}
