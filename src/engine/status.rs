//! `status`: what is applied, pending, rolled back, failed. Reads only.

use bson::{RawDocumentBuf, doc};

use super::Engine;
use super::assessment;
use super::inventory::{Inventory, InventoryEntry};
use super::reports::{ByStatus, MigrationStatus, StatusReport};
use super::retention;
use super::scripts::read_files;
use crate::backup::restore::journal;
use crate::error::{Error, Result};
use crate::names::DEFAULT_LEDGER;
use crate::plural::counted_are;
use crate::run::foreign;
use crate::run::lease;
use crate::run::ledger;
use crate::run::record::{Record, Status};
use crate::run::report::Direction;

/// The state of every migration.
///
/// # Errors
/// [`Error::Invalid`] for a file that cannot be read, or the server's.
pub async fn status(engine: &Engine) -> Result<StatusReport> {
    let files = read_files(engine.migrations_dir())?;
    let server = engine.server().await?;
    let (records, lock, retained, unfinished_restore, unfinished_assessments, foreign_ledger) = tokio::join!(
        ledger::read(server),
        lease::read_holder(server),
        retention::survey(server),
        journal::unfinished(server),
        assessment::unfinished(server),
        foreign::found(server)
    );
    let inventory = Inventory::new(files.migrations, records?);
    let mut by_status = ByStatus::default();
    for entry in &inventory.entries {
        match entry.status() {
            Status::Pending => by_status.pending += 1,
            Status::Applying => by_status.applying += 1,
            Status::Applied => by_status.applied += 1,
            Status::RollingBack => by_status.rolling_back += 1,
            Status::RolledBack => by_status.rolled_back += 1,
            Status::Failed => by_status.failed += 1,
            Status::Other(_) => {}
        }
    }
    Ok(StatusReport {
        database: server.database().to_owned(),
        transactions: server.transactions(),
        total: i64::try_from(inventory.entries.len()).unwrap_or(i64::MAX),
        by_status,
        migrations: inventory.entries.iter().map(describe).collect(),
        ignored: files.ignored,
        lock: lock?,
        retained: retained.map_err(Error::server("Measuring what was captured"))?,
        unfinished_restore: unfinished_restore?,
        unfinished_assessments: unfinished_assessments?,
        foreign_ledger: foreign_ledger?,
    })
}

/// The ledger's documents as they are, by `applied_at`.
///
/// # Errors
/// The server's.
pub async fn records(engine: &Engine) -> Result<Vec<RawDocumentBuf>> {
    ledger::read_raw(engine.server().await?, doc! {"applied_at": 1, "created_at": 1, "_id": 1}).await
}

/// Whether another database of the same server has a ledger, as the old tool and this one write it. One that cannot be read
/// is none.
///
/// # Errors
/// [`Error::Unavailable`] where no server answers.
pub async fn has_ledger(engine: &Engine, database: &str) -> Result<bool> {
    let server = engine.server().await?.with_database(database);
    let filter = doc! {"up_script": {"$type": "string"}};
    let find = doc! {"find": DEFAULT_LEDGER, "filter": filter, "projection": {"_id": 1}, "limit": 1};
    Ok(server.find_all(find).await.is_ok_and(|found| !found.is_empty()))
}

fn describe(entry: &InventoryEntry) -> MigrationStatus {
    let record = entry.record.as_ref();
    let date = |pick: fn(&Record) -> Option<bson::DateTime>| record.and_then(pick);
    MigrationStatus {
        id: entry.id.clone(),
        name: entry.name().to_owned(),
        description: entry
            .file
            .as_ref()
            .map(|file| file.description.clone())
            .or_else(|| record.map(|record| record.description.clone()))
            .unwrap_or_default(),
        status: entry.status().as_str().to_owned(),
        file: entry.file.as_ref().and_then(|file| file.file.as_ref()).map(|path| path.display().to_string()),
        created_at: date(|record| record.created_at),
        applied_at: date(|record| record.applied_at),
        rolled_back_at: date(|record| record.rolled_back_at),
        out_of_order: entry.out_of_order,
        changed: entry.changed(),
        note: note(entry),
        error: record.and_then(|record| record.error.clone()),
    }
}

fn note(entry: &InventoryEntry) -> Option<String> {
    let record = entry.record.as_ref();
    if let Some(problem) = record.and_then(|record| record.problem.as_ref()) {
        return Some(format!("its record cannot be relied on: {problem}; see `mark`"));
    }
    let mut notes = Vec::new();
    if entry.changed() {
        notes.push("its file changed since it was applied".to_owned());
    }
    if entry.out_of_order {
        notes.push("out of order: migrations that sort after it are applied".to_owned());
    }
    if entry.status() == Status::RolledBack {
        notes.push("`apply ID` or `apply --rolled-back` applies it again".to_owned());
    }
    if entry.status() == Status::Pending {
        notes.extend(entry.obstacle().filter(|e| !matches!(e, Error::WrongState(_))).map(|error| error.to_string()));
    }
    if let Some(record) = record {
        notes.extend(resumption(record));
    }
    (!notes.is_empty()).then(|| notes.join("; "))
}

/// How far a begun script is and which command carries it on.
fn resumption(record: &Record) -> Option<String> {
    let command = match record.direction()? {
        Direction::Up => "apply",
        Direction::Down => "rollback",
    };
    if record.failed_check {
        let id = &record.id;
        return Some(format!(
            "all its operations are done: `apply` only checks again, `rollback {id}` undoes exactly what they did"
        ));
    }
    let progress = record.progress.as_ref()?;
    let documents =
        progress.operations.last().filter(|last| last.outcome.is_none()).map_or(0, |last| last.counts.documents());
    let next = progress.finished() + 1;
    Some(match documents {
        0 => format!("`{command}` carries on with operation {next}"),
        _ => {
            format!("`{command}` carries on in operation {next}: {} done", counted_are(documents, "document"))
        }
    })
}
