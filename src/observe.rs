//! What a run tells while it works, and how it is asked to stop.

use std::sync::Arc;

use bson::DateTime;
use serde::Serialize;

use crate::plural::{counted, number};

/// Asks a run to stop at its next safe point: after the chunk or operation under way.
pub type Stop = tokio_util::sync::CancellationToken;

/// How much an event matters; the names are those of Python's logging.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// For whoever follows every step.
    Debug,
    /// The course of the run.
    Info,
    /// Something to look at.
    Warning,
    /// Something failed.
    Error,
}

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs)] // the names say it
pub enum Kind {
    LockWaiting,
    LockTaken,
    LockTakenOver,
    LockReleased,
    MigrationStarted,
    Surveyed,
    StepStarted,
    OperationStarted,
    Progress,
    OperationFinished,
    MigrationApplied,
    MigrationRolledBack,
    MigrationFailed,
    MigrationInterrupted,
    Marked,
    Unlocked,
    Registered,
    Purged,
    Undropped,
    BackupStarted,
    BackupFinished,
    RestoreStarted,
    RestoreFinished,
    BackupRemoved,
    Retrying,
    Waiting,
    Warning,
}

/// One event of a run.
#[derive(Debug, Clone, Serialize)]
pub struct Event {
    /// What happened.
    pub kind: Kind,
    /// How much it matters.
    pub level: Level,
    /// A sentence for people.
    pub message: String,
    /// When, by this machine's clock, in UTC.
    pub at: DateTime,
    /// The run's id, once it holds the lock.
    pub run: Option<String>,
    /// The migration's id.
    pub migration: Option<String>,
    /// Number of the operation under way, from 1.
    pub index: Option<u32>,
    /// How many operations the script has.
    pub operations: Option<u32>,
    /// Documents dealt with so far by the operation under way.
    pub documents: Option<i64>,
    /// How many it expects to deal with, where that is known.
    pub total: Option<i64>,
    /// Bytes of documents dealt with so far, by backups and restores.
    pub bytes: Option<i64>,
    /// How many bytes it expects to deal with, where that is known.
    pub total_bytes: Option<i64>,
    /// Whether `total` is an estimate.
    pub total_is_estimate: bool,
    /// Why the operation under way is slow, where that is known.
    pub remark: Option<&'static str>,
}

/// How far the reading or writing of documents is.
#[derive(Debug, Clone, Copy)]
pub struct Transfer {
    /// Documents so far.
    pub documents: i64,
    /// Of how many.
    pub total: Option<i64>,
    /// Bytes so far.
    pub bytes: i64,
    /// Of how many.
    pub total_bytes: Option<i64>,
}

/// How many documents an operation expects to deal with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Total {
    /// They were counted.
    Exactly(i64),
    /// The server's own account of the collection says so, which may be wrong.
    About(i64),
}

/// Receives events. Called from the run itself, so it must not block for long.
pub trait Observer: Send + Sync {
    /// Takes one event.
    fn notify(&self, event: &Event);
}

/// Nobody listens.
#[derive(Debug)]
pub struct Silent;

impl Observer for Silent {
    fn notify(&self, _: &Event) {}
}

/// What one verb reports to: the observer, with the run's id and the migration under way filled in.
#[derive(Clone)]
pub struct Reporter {
    observer: Arc<dyn Observer>,
    run: Option<String>,
    migration: Option<String>,
}

impl Reporter {
    /// A reporter to `observer`.
    pub fn new(observer: Arc<dyn Observer>) -> Self {
        Self { observer, run: None, migration: None }
    }

    /// The same, speaking for a run.
    pub fn for_run(&self, run: &str) -> Self {
        Self { run: Some(run.to_owned()), ..self.clone() }
    }

    /// The same, speaking of a migration.
    pub fn for_migration(&self, id: &str) -> Self {
        Self { migration: Some(id.to_owned()), ..self.clone() }
    }

    /// Tells that something happened.
    pub fn tell(&self, kind: Kind, level: Level, message: impl Into<String>) {
        self.observer.notify(&self.event(kind, level, message.into()));
    }

    /// Passes on what another reporter told.
    pub fn pass_on(&self, event: &Event) {
        self.observer.notify(event);
    }

    /// Tells how far an operation is.
    pub fn progress(&self, index: usize, operations: usize, documents: i64, total: Option<i64>) {
        let message = match total {
            Some(total) => {
                format!("Operation {index} of {operations}: {} of {}.", number(documents), counted(total, "document"))
            }
            None => format!("Operation {index} of {operations}: {}.", counted(documents, "document")),
        };
        self.observer.notify(&Event {
            index: u32::try_from(index).ok(),
            operations: u32::try_from(operations).ok(),
            documents: Some(documents),
            total,
            ..self.event(Kind::Progress, Level::Debug, message)
        });
    }

    /// Tells that a chunk of an operation is done, and how far the operation is.
    pub fn chunk(&self, index: usize, operations: usize, documents: i64, total: Total, remark: Option<&'static str>) {
        let (most, about) = match total {
            Total::Exactly(most) => (most, ""),
            Total::About(most) => (most, "about "),
        };
        let remark_text = remark.map(|remark| format!("; {remark}")).unwrap_or_default();
        let message = format!(
            "Operation {index} of {operations}: {} of {about}{}{remark_text}.",
            number(documents),
            counted(most, "document")
        );
        self.observer.notify(&Event {
            index: u32::try_from(index).ok(),
            operations: u32::try_from(operations).ok(),
            documents: Some(documents),
            total: Some(most),
            total_is_estimate: !about.is_empty(),
            remark,
            ..self.event(Kind::Progress, Level::Debug, message)
        });
    }

    /// Tells how far a backup, a verification or a restore is; `what` says which.
    pub fn transfer(&self, what: &str, transfer: Transfer) {
        self.observer.notify(&Event {
            documents: Some(transfer.documents),
            total: transfer.total,
            bytes: Some(transfer.bytes),
            total_bytes: transfer.total_bytes,
            ..self.event(Kind::Progress, Level::Debug, what.to_owned())
        });
    }

    /// Tells of an operation that starts or has finished.
    pub fn operation(&self, kind: Kind, index: usize, operations: usize, message: String) {
        self.observer.notify(&Event {
            index: u32::try_from(index).ok(),
            operations: u32::try_from(operations).ok(),
            ..self.event(kind, Level::Info, message)
        });
    }

    fn event(&self, kind: Kind, level: Level, message: String) -> Event {
        Event {
            kind,
            level,
            message,
            at: DateTime::now(),
            run: self.run.clone(),
            migration: self.migration.clone(),
            index: None,
            operations: None,
            documents: None,
            total: None,
            bytes: None,
            total_bytes: None,
            total_is_estimate: false,
            remark: None,
        }
    }
}

impl std::fmt::Debug for Reporter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reporter").field("run", &self.run).finish_non_exhaustive()
    }
}
