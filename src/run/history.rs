//! The history, append-only. Who, where, what, when, how long, counts per operation, errors.

use std::time::Duration;

use bson::{DateTime, Document, doc, oid::ObjectId};

use super::handle::Run;
use super::identity::Identity;
use super::report::MigrationReport;
use super::transaction::with_majority;
use crate::error::{Error, Result};
use crate::model::number::cut;
use crate::mongo::server::Server;

/// What a run was doing, for errors about the history.
pub const WRITING: &str = "Writing the history";

/// How long a note may take once the run is asked to stop: the ledger is right without it.
const GRACE: Duration = Duration::from_secs(5);

/// Notes in the history that a run stopped at a safe point. A run that is asked to stop does not wait for a server that
/// is gone.
///
/// # Errors
/// The server's, or [`Error::Interrupted`]; the ledger is right without it.
pub async fn note_interruption(run: &mut Run, id: &str, report: &MigrationReport, why: &str) -> Result<()> {
    let entry = entry(run, id, "interrupted", Some(report), Some(doc! {"message": why}));
    let stop = run.stop.clone();
    let stopped = async {
        stop.cancelled().await;
        tokio::time::sleep(GRACE).await;
    };
    let note = vec![append(&run.server, entry)];
    tokio::select! {
        written = run.write(WRITING, note) => written,
        () = stopped => Err(Error::Interrupted("Stopped while the server could not be used.".to_owned())),
    }
}

/// Notes something that concerns no single migration.
///
/// # Errors
/// The server's.
pub async fn note_unlock(server: &Server, identity: &Identity, owner: &str) -> Result<()> {
    let entry = doc! {
        "event": "unlocked",
        "at": DateTime::now(),
        "host": &identity.host,
        "user": &identity.user,
        "version": env!("CARGO_PKG_VERSION"),
        "owner": owner,
    };
    let command = with_majority(append(server, entry));
    server.without_lease().run(command, None).await.map(drop).map_err(Error::server(WRITING))
}

/// What a run did to a migration.
pub fn entry(run: &Run, id: &str, event: &str, report: Option<&MigrationReport>, error: Option<Document>) -> Document {
    let mut entry = document(run, id, event);
    if let Some(report) = report {
        entry.insert("name", &report.name);
        entry.insert("direction", report.direction.as_str());
        entry.insert("exact", report.exact);
        entry.insert("resumed", report.resumed);
        entry.insert("duration_ms", milliseconds(report.seconds));
        if let Ok(operations) = bson::serialize_to_bson(&report.operations) {
            entry.insert("operations", operations);
        }
    }
    if let Some(error) = error {
        entry.insert("error", error);
    }
    entry
}

/// What every note about a migration says.
pub fn document(run: &Run, id: &str, event: &str) -> Document {
    let mut entry = run.entry();
    entry.insert("migration", id);
    entry.insert("event", event);
    entry.insert("at", DateTime::now());
    entry
}

/// The command that appends a note. Sent again after a lost answer, it finds that the note is there.
pub fn append(server: &Server, entry: Document) -> Document {
    let id = entry.get_object_id("_id").unwrap_or_else(|_| ObjectId::new());
    let mut note = doc! {"_id": id};
    note.extend(entry);
    let once = doc! {"$cond": [{"$gt": ["$event", null]}, "$$ROOT", {"$literal": note}]};
    doc! {
        "update": server.names().history(),
        "updates": [{"q": {"_id": id}, "u": [{"$replaceWith": once}], "upsert": true}],
    }
}

/// Whole milliseconds, for the database.
pub fn milliseconds(seconds: f64) -> i64 {
    cut(seconds * 1000.0)
}
