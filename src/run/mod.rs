//! A run: everything a writing verb holds from taking the lease to giving it back, and what runs are made
//! of: [`lease`], [`ledger`] and [`history`], [`journal`], [`transaction`], [`chunks`].

pub mod chunks;
mod former_history;
pub mod history;
pub mod id;
pub mod identity;
pub mod journal;
pub mod lease;
pub mod ledger;
pub mod patience;
pub mod progress;
pub mod query;
pub mod record;
pub mod report;
pub mod slot;
pub mod step;
pub mod transaction;
pub mod windows;

use std::time::Duration;

use bson::{Document, doc};
use mongodb::ClientSession;

use self::identity::Identity;
use self::lease::Lease;
use self::patience::Patience;
use self::transaction::{Body, attempt, with_majority, written};
use crate::error::{Error, Result};
use crate::observe::{Kind, Level, Reporter, Stop};
use crate::server::Server;
use crate::server_error::ServerError;

/// A run under the lease. Call [`close`](Self::close) on every path.
#[derive(Debug)]
pub struct Run {
    /// The database.
    pub server: Server,
    /// The session of all its transactions, named in the lease.
    pub session: ClientSession,
    /// The lease.
    pub lease: Lease,
    /// Whom it reports to.
    pub reporter: Reporter,
    /// What asks it to stop.
    pub stop: Stop,
    id: String,
    identity: Identity,
}

impl Run {
    /// Takes the lease for `command`, waiting at most `lock_timeout`.
    ///
    /// # Errors
    /// [`Error::LockHeld`], [`Error::Interrupted`], or the server's.
    pub async fn open(
        server: &Server,
        command: &str,
        lock_timeout: Duration,
        reporter: &Reporter,
        stop: &Stop,
    ) -> Result<Self> {
        let identity = Identity::current();
        let id = Identity::new_run();
        let reporter = reporter.for_run(&id);
        let session = server.session().await.map_err(Error::server("Starting a session"))?;
        let owner = identity.owner(&id, command, session.id());
        let lease = Lease::acquire(server, &identity, &owner, lock_timeout, &reporter, stop).await?;
        let mut run = Self { server: server.clone(), session, lease, reporter, stop: stop.clone(), id, identity };
        if let Err(error) = former_history::bring_over(&mut run).await {
            run.close().await;
            return Err(error);
        }
        Ok(run)
    }

    /// Gives the lease back. A lease that cannot be given back runs out by itself.
    pub async fn close(self) {
        if let Err(e) = self.lease.release().await {
            self.reporter.tell(
                Kind::Warning,
                Level::Warning,
                format!("The lock could not be released ({e}); it ends by itself within 30 s."),
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

    /// Where a run may stop: nothing is under way.
    ///
    /// # Errors
    /// [`Error::LeaseLost`] or [`Error::Interrupted`] where it must.
    pub fn safe_point(&self) -> Result<()> {
        if self.lease.is_lost() {
            return Err(self.lease_lost());
        }
        if self.stop.is_cancelled() {
            return Err(Error::Interrupted("Stopped on request, at a safe point.".to_owned()));
        }
        Ok(())
    }

    /// The error of a run that another has replaced.
    pub fn lease_lost(&self) -> Error {
        Error::LeaseLost(
            "This run no longer holds the lock: it was stopped or cut off for longer than its lease lasts, and another \
             run took over, or the record was changed by hand. Nothing more was written. See `status`."
                .to_owned(),
        )
    }

    /// Writes `guard` and, only where it touched a document, `others`: all or nothing where there are
    /// transactions, in this order where there are none. `Ok(false)` where the guard touched nothing.
    pub async fn write_together(&mut self, guard: Document, others: Vec<Document>) -> Result<bool, ServerError> {
        let mut body = Together { guard, others };
        let never = Stop::new();
        let mut patience = Patience::new(&self.reporter, &never);
        loop {
            let session = self.server.transactions().then_some(&mut self.session);
            match attempt(&self.server, session, &mut body).await {
                Ok(done) => return Ok(done.is_some()),
                Err(e) => match patience.wait(e.clone()).await {
                    Ok(again) => again?,
                    Err(_) => return Err(e),
                },
            }
        }
    }
}

struct Together {
    guard: Document,
    others: Vec<Document>,
}

impl Body for Together {
    type Output = ();

    async fn write(
        &mut self,
        server: &Server,
        mut session: Option<&mut ClientSession>,
    ) -> Result<Option<()>, ServerError> {
        let commands = std::iter::once(&self.guard).chain(&self.others);
        for (at, command) in commands.enumerate() {
            let command = match &session {
                Some(_) => command.clone(),
                None => with_majority(command.clone()),
            };
            let reply = server.run(command, session.as_deref_mut()).await?;
            if at == 0 && written(&reply) == 0 {
                return Ok(None);
            }
        }
        Ok(Some(()))
    }
}
