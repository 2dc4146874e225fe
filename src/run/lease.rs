//! One writer at a time: a lease in a collection beside the ledger.
//!
//! The lease is one document, judged by the server's clock, [`DURATION`] long and renewed while the run
//! lives. Each taking raises its fencing token. Who takes over from an owner that did not release ends
//! that owner's server session, so that its open transaction blocks nobody, and raises the token in the
//! records of unfinished migrations: every write of a run carries its token in its filter, so a run that
//! wakes up after losing its lease writes nothing more.

use std::time::Duration;

use bson::{Bson, DateTime, Document, RawDocumentBuf, doc};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::fencing::fence;
use super::identity::Identity;
use super::renewal::{DURATION, Renewal};
use super::sessions::{end_sessions, sessions_of};
use super::transaction::with_majority;
use crate::error::codes;
use crate::error::server::{LEASE_LOST, ServerError};
use crate::error::{Error, Result};
use crate::holder::Holder;
use crate::mongo::retry::{Retry, retry};
use crate::mongo::server::Server;
use crate::names::Names;
use crate::observe::{Kind, Level, Reporter, Stop};

/// How often a waiting run looks again.
const POLL: Duration = Duration::from_millis(200);

/// The lease of a run. [`release`](Self::release) gives it back; dropped, it runs out.
#[derive(Debug)]
pub struct Lease {
    server: Server,
    run: String,
    token: i64,
    lost: CancellationToken,
    renewal: Renewal,
}

impl Lease {
    /// Takes the lease, waiting for its holder at most `timeout`.
    ///
    /// # Errors
    /// [`Error::LockHeld`] naming the holder when the time is over; [`Error::Interrupted`] when stopped.
    pub async fn acquire(
        server: &Server,
        identity: &Identity,
        owner: &Document,
        timeout: Duration,
        reporter: &Reporter,
        stop: &Stop,
    ) -> Result<Self> {
        let server = &server.without_lease();
        let run = owner.get_str("run").unwrap_or_default().to_owned();
        let deadline = Instant::now() + timeout;
        let mut told = false;
        loop {
            let existing = read_patiently(server, reporter, stop).await?;
            let mut holding = existing.as_ref().and_then(Holder::from_lock);
            let over = match &holding {
                None => Some(String::new()),
                Some((holder, owner)) => give_up_owner(server, identity, holder, owner, reporter).await,
            };
            if let Some(dead_run) = over {
                let lock = try_take(server, owner, &dead_run, reporter, stop).await?;
                holding = Holder::from_lock(&lock);
                match &holding {
                    None => return Err(unreadable(server, lock)),
                    Some((holder, _)) if holder.run == run => {
                        return Self::taken(server, run, &lock, reporter, stop).await;
                    }
                    // Somebody else was faster.
                    Some(_) => {}
                }
            }
            let Some((holder, _)) = holding else { continue };
            let now = Instant::now();
            if now >= deadline {
                return Err(held(holder, timeout));
            }
            if !told {
                told = true;
                reporter.tell(
                    Kind::LockWaiting,
                    Level::Warning,
                    format!("Waiting up to {} s for the lock: {}.", timeout.as_secs_f64(), holder.describe()),
                );
            }
            tokio::select! {
                () = tokio::time::sleep(POLL.min(deadline - now)) => {}
                () = stop.cancelled() => {
                    return Err(Error::Interrupted("Stopped while waiting for the lock; nothing was done.".to_owned()));
                }
            }
        }
    }

    /// What is to be done right after taking the lease, before anything else is written.
    async fn taken(server: &Server, run: String, lock: &Document, reporter: &Reporter, stop: &Stop) -> Result<Self> {
        let token = lock.get_i64("token").unwrap_or_default();
        reporter.tell(Kind::LockTaken, Level::Debug, format!("Holding the lock (token {token})."));
        let retired = lock.get_array("retired").cloned().unwrap_or_default();
        if !retired.is_empty() {
            fence(server, &run, token, retired, reporter, stop).await?;
        }
        let lost = CancellationToken::new();
        let renewal =
            Renewal::start(server, with_majority(renewal_command(server.names(), &run, token)), lost.clone())?;
        Ok(Self { server: server.clone(), run, token, lost, renewal })
    }

    /// The fencing token of this taking.
    pub fn token(&self) -> i64 {
        self.token
    }

    /// Whether another run is known to have taken over.
    pub fn is_lost(&self) -> bool {
        self.lost.is_cancelled()
    }

    /// Where its run may stop: nothing is under way.
    ///
    /// # Errors
    /// [`Error::LeaseLost`] or [`Error::Interrupted`] where it must.
    pub fn safe_point(&self, stop: &Stop) -> Result<()> {
        if self.is_lost() {
            return Err(self.lost());
        }
        if stop.is_cancelled() {
            return Err(Error::Interrupted("Stopped on request, at a safe point.".to_owned()));
        }
        Ok(())
    }

    /// The error of a run that another has replaced.
    pub fn lost(&self) -> Error {
        Error::LeaseLost(LEASE_LOST.to_owned())
    }

    /// `server` for this run: it proves the lease right before each write outside a transaction.
    pub fn guard(&self, server: &Server) -> Result<Server> {
        let proof = RawDocumentBuf::try_from(&with_majority(self.proof()))
            .map_err(|e| Error::server("Taking the lock")(mongodb::error::Error::from(e).into()))?;
        Ok(server.guarded(proof, self.lost.clone()))
    }

    /// The command that proves and renews the lease, to be sent inside a transaction with what needs the
    /// proof: it touches no document where the lease is not ours any more.
    pub fn proof(&self) -> Document {
        renewal_command(self.server.names(), &self.run, self.token)
    }

    /// Gives the lease back.
    ///
    /// # Errors
    /// The server's; the lease then runs out by itself.
    pub async fn release(self) -> Result<(), ServerError> {
        self.renewal.stop();
        self.server
            .run(
                doc! {
                    "update": self.server.names().lock(),
                    "updates": [{
                        "q": {"_id": "lock", "owner.run": &self.run, "token": self.token},
                        "u": {"$unset": {"owner": ""}, "$set": {"expires_at": DateTime::from_millis(0)}},
                    }],
                    "writeConcern": {"w": "majority"},
                },
                None,
            )
            .await
            .map(drop)
    }
}

fn held(holder: Holder, timeout: Duration) -> Error {
    let until = holder
        .expires_at
        .and_then(|at| at.try_to_rfc3339_string().ok())
        .map(|at| format!(" If that process is gone, the lease ends by itself at {at} (server time)."))
        .unwrap_or_default();
    Error::LockHeld {
        message: format!(
            "Another run holds the lock: {}. Waited {} s. Nothing was done. Wait for it to finish, or raise \
             --lock-timeout.{until} `unlock --force` breaks the lock of a run that is known to be gone.",
            holder.describe(),
            timeout.as_secs_f64()
        ),
        owner: Box::new(holder),
    }
}

/// Where the owner is provably dead or its lease has run out: ends its session and returns its run, if dead.
/// The session goes first: the transaction that a killed run left open may hold the lock document itself.
async fn give_up_owner(
    server: &Server,
    identity: &Identity,
    holder: &Holder,
    owner: &Document,
    reporter: &Reporter,
) -> Option<String> {
    let dead = identity.proves_dead(owner);
    if !dead && !holder.expired {
        return None;
    }
    let why = if dead { "that process is dead" } else { "its lease has run out" };
    let message = format!("Taking over the lock of {}: {why}.", holder.describe());
    reporter.tell(Kind::LockTakenOver, Level::Warning, message);
    end_sessions(server, sessions_of(owner), Some(reporter)).await;
    Some(if dead { holder.run.clone() } else { String::new() })
}

fn unreadable(server: &Server, lock: Document) -> Error {
    Error::WrongState(format!(
        "The lock document in {} cannot be read: {}. Remove it with `unlock --force`.",
        server.names().lock(),
        crate::error::message::show(&Bson::Document(lock))
    ))
}

async fn read_patiently(server: &Server, reporter: &Reporter, stop: &Stop) -> Result<Option<Document>> {
    let mut retry = Retry::new(reporter, stop);
    retry!(retry, read(server)).map_err(Error::server("Reading the lock"))
}

/// Takes the lease if it is free, expired, or `dead_run`'s, and returns the lock as it then stands.
async fn try_take(
    server: &Server,
    owner: &Document,
    dead_run: &str,
    reporter: &Reporter,
    stop: &Stop,
) -> Result<Document> {
    let duration = i64::try_from(DURATION.as_millis()).unwrap_or(i64::MAX);
    // The clock is the server's, so the decision must be the server's too: a pipeline update. With $expr
    // and $$NOW in an upsert's filter the server refuses (224).
    let free = doc! {"$or": [
        {"$not": ["$owner"]},
        {"$lte": ["$expires_at", "$$NOW"]},
        {"$eq": ["$owner.run", {"$literal": dead_run}]},
    ]};
    let taken = doc! {
        "_id": "lock",
        // What somebody has edited by hand: a token that cannot be read may have been any, and no counter comes near
        // the clock.
        "token": {"$add": [
            {"$convert": {"input": "$token", "to": "long", "onNull": 0_i64, "onError": {"$toLong": "$$NOW"}}},
            1_i64,
        ]},
        "owner": {"$literal": owner.clone()},
        "acquired_at": "$$NOW",
        "renewed_at": "$$NOW",
        "expires_at": {"$add": ["$$NOW", duration]},
        // Sessions of owners that never released, until somebody has ended them.
        "retired": {"$concatArrays": [
            {"$cond": [{"$isArray": "$retired"}, "$retired", []]},
            {"$cond": [{"$eq": [{"$type": "$owner.session"}, "object"]}, ["$owner.session"], []]},
            {"$cond": [{"$isArray": "$owner.sessions"}, "$owner.sessions", []]},
        ]},
    };
    let command = doc! {
        "findAndModify": server.names().lock(),
        "query": {"_id": "lock"},
        "update": [{"$replaceWith": {"$cond": [free, taken, "$$ROOT"]}}],
        "upsert": true,
        "new": true,
        "writeConcern": {"w": "majority"},
    };
    let mut retry = Retry::new(reporter, stop);
    loop {
        match server.run(command.clone(), None).await {
            Ok(reply) => return Ok(reply.get_document("value").cloned().unwrap_or_default()),
            // Two runs made the document at once.
            Err(e) if e.is(codes::DUPLICATE_KEY) => {}
            Err(e) => retry.wait(e).await?.map_err(Error::server("Taking the lock"))?,
        }
    }
}

fn renewal_command(names: &Names, run: &str, token: i64) -> Document {
    let duration = i64::try_from(DURATION.as_millis()).unwrap_or(i64::MAX);
    doc! {
        "update": names.lock(),
        "updates": [{
            "q": {"_id": "lock", "owner.run": run, "token": token},
            "u": [{"$set": {"renewed_at": "$$NOW", "expires_at": {"$add": ["$$NOW", duration]}}}],
        }],
    }
}

/// Who holds the lease, if anybody: read only.
///
/// # Errors
/// The server's.
pub async fn read_holder(server: &Server) -> Result<Option<Holder>> {
    let lock = read(server).await.map_err(Error::server("Reading the lock"))?;
    Ok(lock.and_then(|lock| Holder::from_lock(&lock)).map(|(holder, _)| holder))
}

/// The lock document, with `expired` judged by the server's clock.
///
/// # Errors
/// The server's.
pub async fn read(server: &Server) -> Result<Option<Document>, ServerError> {
    let command = doc! {
        "aggregate": server.names().lock(),
        "pipeline": [
            {"$match": {"_id": "lock"}},
            {"$addFields": {"expired": {"$lte": ["$expires_at", "$$NOW"]}}},
        ],
        "cursor": {},
    };
    let found = server.find_all(command).await?;
    let lock = found.first().map(|raw| Document::try_from(raw.as_ref())).transpose();
    Ok(lock.map_err(mongodb::error::Error::from)?)
}
