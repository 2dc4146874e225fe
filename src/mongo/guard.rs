//! The guard of a run's writes.
//!
//! A transaction carries the proof of the lease, or the fencing token, in one of its own statements. Schema
//! commands and writes outside a transaction cannot, so the connection of a run sends the proof right before each
//! of them. A connection without a guard refuses to write at all.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bson::{RawBsonRef, RawDocument, RawDocumentBuf};
use mongodb::Database;
use tokio_util::sync::CancellationToken;

use crate::error::codes;
use crate::error::server::{ServerError, checked};

/// Who may write through a connection.
#[derive(Clone, Debug)]
pub enum WriteAccess {
    /// Nobody: the connection is for reading.
    Refused,
    /// The lease itself and what needs no lease: `unlock`, and registering a migration.
    WithoutLease,
    /// A run, with a proof before each write. A proof that is at most this old counts for the next write, too.
    Guarded(Arc<Guard>, Duration),
}

/// The proof that a run holds its lease.
#[derive(Debug)]
pub struct Guard {
    db: Database,
    proof: RawDocumentBuf,
    lost: CancellationToken,
    proven: Mutex<Option<Instant>>,
}

impl Guard {
    /// A guard that proves the lease by the command `proof` on `db` and cancels `lost` when that touches nothing.
    pub fn new(db: Database, proof: RawDocumentBuf, lost: CancellationToken) -> Self {
        Self { db, proof, lost, proven: Mutex::new(None) }
    }

    /// Proves the lease, unless that was done within `reuse`.
    async fn prove(&self, reuse: Duration) -> Result<(), ServerError> {
        if self.lost.is_cancelled() {
            return Err(ServerError::lease_lost());
        }
        let proven = *self.proven.lock().unwrap_or_else(PoisonError::into_inner);
        if proven.is_some_and(|at| at.elapsed() < reuse) {
            return Ok(());
        }
        // The time before it is sent: the answer may come late.
        let at = Instant::now();
        let reply = checked(self.db.run_raw_command(self.proof.clone()).await?)?;
        if reply.get_i32("n").is_ok_and(|touched| touched == 0) {
            self.lost.cancel();
            return Err(ServerError::lease_lost());
        }
        *self.proven.lock().unwrap_or_else(PoisonError::into_inner) = Some(at);
        Ok(())
    }
}

impl WriteAccess {
    /// Lets `command`, which no transaction carries, be sent: at once if it only reads, else after the proof of
    /// the lease.
    ///
    /// # Errors
    /// [`ServerError::lease_lost`], or the server's answer to the proof.
    pub async fn allow(&self, command: &RawDocument) -> Result<(), ServerError> {
        if only_reads(command) {
            return Ok(());
        }
        match self {
            Self::WithoutLease => Ok(()),
            Self::Guarded(guard, reuse) => guard.prove(*reuse).await,
            Self::Refused => Err(ServerError::found(
                codes::ILLEGAL_OPERATION,
                format!("the command {:?} was to be sent without the lock; report this as a defect", name(command)),
            )),
        }
    }
}

/// Commands that change neither data nor its definition. Whatever is not listed counts as a write.
const READS: [&str; 19] = [
    "find",
    "count",
    "distinct",
    "explain",
    "listCollections",
    "listIndexes",
    "dbStats",
    "collStats",
    "dbHash",
    "hello",
    "ping",
    "buildInfo",
    "hostInfo",
    "serverStatus",
    "connectionStatus",
    "getParameter",
    "replSetGetStatus",
    "killSessions",
    "killAllSessionsByPattern",
];

fn name(command: &RawDocument) -> &str {
    command.iter().next().and_then(Result::ok).map_or("", |(name, _)| name.as_str())
}

fn only_reads(command: &RawDocument) -> bool {
    match name(command) {
        "aggregate" => !command.get_array("pipeline").is_ok_and(|pipeline| {
            pipeline.into_iter().flatten().filter_map(RawBsonRef::as_document).any(|stage| {
                let stage = name(stage);
                stage == "$out" || stage == "$merge"
            })
        }),
        // A member's settings, not the database: how long a backup may read its snapshot.
        "setParameter" => true,
        name => READS.contains(&name),
    }
}

#[cfg(test)]
mod tests {
    use bson::rawdoc;

    use super::*;

    #[test]
    fn what_is_not_known_to_read_is_a_write() {
        for command in [
            rawdoc! {"find": "c"},
            rawdoc! {"aggregate": "c", "pipeline": [{"$match": {}}, {"$group": {"_id": 1}}]},
            rawdoc! {"listCollections": 1},
        ] {
            assert!(only_reads(&command), "{command:?}");
        }
        for command in [
            rawdoc! {"insert": "c"},
            rawdoc! {"create": "c"},
            rawdoc! {"createIndexes": "c"},
            rawdoc! {"renameCollection": "d.c"},
            rawdoc! {"aggregate": "c", "pipeline": [{"$match": {}}, {"$out": "d"}]},
            rawdoc! {"somethingNew": 1},
            rawdoc! {},
        ] {
            assert!(!only_reads(&command), "{command:?}");
        }
    }

    #[tokio::test]
    async fn a_connection_without_a_guard_does_not_write() {
        assert!(WriteAccess::Refused.allow(&rawdoc! {"find": "c"}).await.is_ok());
        assert!(WriteAccess::Refused.allow(&rawdoc! {"drop": "c"}).await.is_err());
        assert!(WriteAccess::WithoutLease.allow(&rawdoc! {"drop": "c"}).await.is_ok());
    }
}
