//! The ledger: one document per migration in `migrations`, as the old tool wrote it and more, and the
//! append-only history in `migrations_log`.
//!
//! Records are read with distrust: what somebody edited by hand becomes a [`Record::problem`], never a
//! panic and never a guess.

use bson::{Bson, DateTime, Document, RawDocumentBuf, doc};

use super::journal::Progress;
use super::plan::Step;
use super::report::{Direction, MigrationReport};
use super::run::Run;
use super::transaction::with_majority;
use crate::error::{Error, OperationFailure, Result};
use crate::migration::{Source, checksum};
use crate::server::{Server, codes, show};

/// The collection of records.
pub const COLLECTION: &str = "migrations";
/// The collection of history.
pub const HISTORY: &str = "migrations_log";

/// Where a migration stands.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Status {
    Pending,
    Applying,
    Applied,
    RollingBack,
    RolledBack,
    Failed,
    /// Something a person wrote.
    Other(String),
}

impl Status {
    /// The status as the ledger spells it.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Pending => "pending",
            Self::Applying => "applying",
            Self::Applied => "applied",
            Self::RollingBack => "rolling_back",
            Self::RolledBack => "rolled_back",
            Self::Failed => "failed",
            Self::Other(text) => text,
        }
    }

    fn parse(text: &str) -> Self {
        match text {
            "pending" => Self::Pending,
            "applying" => Self::Applying,
            "applied" => Self::Applied,
            "rolling_back" => Self::RollingBack,
            "rolled_back" => Self::RolledBack,
            "failed" => Self::Failed,
            other => Self::Other(other.to_owned()),
        }
    }
}

/// One migration's document.
#[derive(Debug, Clone, PartialEq)]
#[allow(missing_docs)] // the ledger's own fields
pub struct Record {
    pub id: String,
    pub name: String,
    pub description: String,
    pub status: Status,
    pub up_script: Option<String>,
    pub down_script: Option<String>,
    pub created_at: Option<DateTime>,
    pub applied_at: Option<DateTime>,
    pub rolled_back_at: Option<DateTime>,
    /// How far a begun script is.
    pub progress: Option<Progress>,
    /// Why it failed.
    pub error: Option<String>,
    /// Why the document cannot be relied on.
    pub problem: Option<String>,
}

impl Record {
    /// Reads a document of the ledger, whatever somebody made of it.
    pub fn parse(raw: &RawDocumentBuf) -> Self {
        let text = |name: &str| raw.get_str(name).ok().map(str::to_owned);
        let date = |name: &str| raw.get_datetime(name).ok();
        let mut problem = None;
        let id = match raw.get("_id") {
            Ok(Some(value)) if value.as_str().is_some() => value.as_str().unwrap_or_default().to_owned(),
            Ok(Some(value)) => {
                problem = Some("its _id is no text".to_owned());
                Bson::try_from(value).map_or_else(|_| "unreadable".to_owned(), |value| show(&value))
            }
            _ => {
                problem = Some("its _id cannot be read".to_owned());
                "unreadable".to_owned()
            }
        };
        let status = text("status").map_or_else(|| Status::Other("without status".to_owned()), |s| Status::parse(&s));
        if let Status::Other(other) = &status {
            problem = Some(format!("its status is {other:?}, which means nothing here"));
        }
        let unfinished = matches!(status, Status::Applying | Status::RollingBack | Status::Failed);
        let progress = match raw.get_document("progress") {
            // Left over from a run that somebody ended by hand: without meaning in any other status.
            Ok(progress) if unfinished => match Progress::from_raw(progress) {
                Ok(progress) => Some(progress),
                Err(e) => {
                    problem = Some(format!("its record of progress cannot be read ({e})"));
                    None
                }
            },
            _ => None,
        };
        if progress.is_none() && problem.is_none() && matches!(status, Status::Applying | Status::RollingBack) {
            problem = Some(format!("its status is {:?} but it has no record of progress", status.as_str()));
        }
        Self {
            name: text("name").unwrap_or_else(|| id.clone()),
            description: text("description").unwrap_or_default(),
            up_script: text("up_script"),
            down_script: text("down_script"),
            created_at: date("created_at"),
            applied_at: date("applied_at"),
            rolled_back_at: date("rolled_back_at"),
            error: raw.get_document("error").ok().and_then(|error| error.get_str("message").ok()).map(str::to_owned),
            id,
            status,
            progress,
            problem,
        }
    }

    /// Which script was running, for a record that is applying, rolling back or failed.
    pub fn direction(&self) -> Option<Direction> {
        match (&self.status, &self.progress) {
            (Status::Applying, _) => Some(Direction::Up),
            (Status::RollingBack, _) => Some(Direction::Down),
            (Status::Failed, Some(progress)) => Some(progress.direction),
            (Status::Failed, None) => Some(Direction::Up),
            _ => None,
        }
    }

    /// The fingerprint of its scripts; `None` for those that cannot be read.
    pub fn checksum(&self) -> Option<String> {
        let up = Source::from_text(self.up_script.as_deref()?).ok()?;
        let down = match self.down_script.as_deref().filter(|text| !text.is_empty()) {
            Some(text) => Some(Source::from_text(text).ok()?),
            None => None,
        };
        Some(checksum(&up.script, down.as_ref().map(|down| &down.script)))
    }
}

/// Every record, by `created_at`.
///
/// # Errors
/// The server's.
pub async fn read(server: &Server) -> Result<Vec<Record>> {
    let mut records: Vec<Record> =
        read_raw(server, doc! {"created_at": 1, "_id": 1}).await?.iter().map(Record::parse).collect();
    for record in records.iter_mut().filter(|record| record.problem.is_some()) {
        record.progress = None;
    }
    Ok(records)
}

/// The documents as they are.
///
/// # Errors
/// The server's.
pub async fn read_raw(server: &Server, sort: Document) -> Result<Vec<RawDocumentBuf>> {
    server
        .find_all(doc! {"find": COLLECTION, "filter": {}, "sort": sort, "readConcern": {"level": "local"}})
        .await
        .map_err(Error::server("Reading the ledger"))
}

/// One record.
///
/// # Errors
/// The server's.
pub async fn read_one(server: &Server, id: &str) -> Result<Option<Record>> {
    let found = server
        .find_all(doc! {"find": COLLECTION, "filter": {"_id": id}, "limit": 1})
        .await
        .map_err(Error::server("Reading the ledger"))?;
    Ok(found.first().map(Record::parse))
}

/// Writes that a migration's script begins, or is carried on, in one transaction with the proof of the
/// lease.
///
/// # Errors
/// [`Error::LeaseLost`], or the server's.
pub async fn begin(run: &mut Run, step: &Step, direction: Direction) -> Result<()> {
    let status = match direction {
        Direction::Up => Status::Applying,
        Direction::Down => Status::RollingBack,
    };
    let mut set = doc! {
        "status": status.as_str(),
        "token": run.lease.token(),
        "run": run.entry(),
    };
    if step.resume.is_none() {
        set.insert("progress", Progress::fresh(direction));
    }
    if direction == Direction::Up {
        set.insert("name", &step.name);
        set.insert("description", &step.description);
        set.insert("up_script", &step.up_text);
        set.insert("down_script", &step.down_text);
        set.insert("checksum", &step.checksum);
    }
    let update = doc! {
        "update": COLLECTION,
        "updates": [{
            "q": {"_id": &step.id},
            "u": {
                "$set": set,
                "$unset": {"error": ""},
                "$setOnInsert": {"created_at": DateTime::now(), "applied_at": null, "rolled_back_at": null},
            },
            "upsert": true,
        }],
    };
    let proof = run.lease.proof();
    if run.write_together(proof, vec![update]).await.map_err(Error::server("Writing the ledger"))? {
        Ok(())
    } else {
        Err(run.lease_lost())
    }
}

/// Writes that a migration's script has run, in one transaction with its history.
///
/// # Errors
/// [`Error::LeaseLost`], or the server's.
pub async fn finish(run: &mut Run, id: &str, direction: Direction, report: &MigrationReport) -> Result<()> {
    let (status, date) = match direction {
        Direction::Up => (Status::Applied, "applied_at"),
        Direction::Down => (Status::RolledBack, "rolled_back_at"),
    };
    let mut set = doc! {"status": status.as_str(), "duration_ms": milliseconds(report.seconds)};
    if direction == Direction::Up {
        set.insert("rolled_back_at", Bson::Null);
    }
    let update = doc! {"$set": set, "$unset": {"progress": "", "error": ""}, "$currentDate": {date: true}};
    close(run, id, direction, update, status.as_str(), report, None).await
}

/// Writes that a migration's script failed, in one transaction with its history.
///
/// # Errors
/// [`Error::LeaseLost`], or the server's.
pub async fn fail(
    run: &mut Run,
    id: &str,
    direction: Direction,
    failure: &OperationFailure,
    report: &MigrationReport,
) -> Result<()> {
    let error = doc! {
        "message": failure.sentence(),
        "operation": i64::try_from(failure.index).unwrap_or_default(),
        "code": failure.code,
        "at": DateTime::now(),
    };
    let update = doc! {"$set": {"status": "failed", "error": error.clone()}};
    close(run, id, direction, update, "failed", report, Some(error)).await
}

async fn close(
    run: &mut Run,
    id: &str,
    direction: Direction,
    update: Document,
    event: &str,
    report: &MigrationReport,
    error: Option<Document>,
) -> Result<()> {
    let begun = match direction {
        Direction::Up => "applying",
        Direction::Down => "rolling_back",
    };
    let guard = doc! {
        "update": COLLECTION,
        "updates": [{"q": {"_id": id, "token": run.lease.token(), "status": begun}, "u": update}],
    };
    let entry = history_entry(run, id, event, Some(report), error);
    let written = run.write_together(guard, vec![entry]).await.map_err(Error::server("Writing the ledger"))?;
    if written {
        return Ok(());
    }
    // A commit whose answer was lost may have happened: nobody else writes this status with this token.
    match read_one(&run.server, id).await? {
        Some(record) if record.status.as_str() == event && !run.lease.is_lost() => Ok(()),
        _ => Err(run.lease_lost()),
    }
}

/// Notes in the history that a run stopped at a safe point.
///
/// # Errors
/// The server's; the ledger is right without it.
pub async fn note_interruption(run: &mut Run, id: &str, report: &MigrationReport, why: &str) -> Result<()> {
    let entry = history_entry(run, id, "interrupted", Some(report), Some(doc! {"message": why}));
    let proof = run.lease.proof();
    run.write_together(proof, vec![entry]).await.map_err(Error::server("Writing the history")).map(drop)
}

/// Sets a migration's state by hand, in one transaction with its history.
///
/// # Errors
/// [`Error::LeaseLost`], or the server's.
pub async fn mark(run: &mut Run, step: &Step, before: &str, status: &Status) -> Result<()> {
    let mut current_date = Document::new();
    let mut set = doc! {"status": status.as_str(), "token": run.lease.token()};
    match status {
        Status::Applied => {
            current_date.insert("applied_at", true);
            set.insert("rolled_back_at", Bson::Null);
        }
        Status::RolledBack => {
            current_date.insert("rolled_back_at", true);
        }
        _ => {}
    }
    let scripts = doc! {
        "name": &step.name,
        "description": &step.description,
        "up_script": &step.up_text,
        "down_script": &step.down_text,
        "checksum": &step.checksum,
    };
    let mut on_insert = doc! {"created_at": DateTime::now()};
    // Marked as applied, the file's scripts are what stands in the database from now on.
    if *status == Status::Applied && step.checksum.is_some() {
        set.extend(scripts);
    } else {
        on_insert.extend(scripts);
    }
    let mut update = doc! {
        "$set": set,
        "$unset": {"progress": "", "error": ""},
        "$setOnInsert": on_insert,
    };
    if !current_date.is_empty() {
        update.insert("$currentDate", current_date);
    }
    let command = doc! {
        "update": COLLECTION,
        "updates": [{"q": {"_id": &step.id}, "u": update, "upsert": true}],
    };
    let mut entry = history_document(run, &step.id, "marked");
    entry.insert("before", before);
    entry.insert("after", status.as_str());
    let entry = insert_history(entry);
    let proof = run.lease.proof();
    if run.write_together(proof, vec![command, entry]).await.map_err(Error::server("Writing the ledger"))? {
        Ok(())
    } else {
        Err(run.lease_lost())
    }
}

/// Registers a migration that has no file. `Ok(false)` where the id is taken.
///
/// # Errors
/// The server's.
pub async fn register(
    server: &Server,
    id: &str,
    name: &str,
    description: &str,
    up: &Source,
    down: &Source,
) -> Result<bool> {
    let record = doc! {
        "_id": id,
        "name": name,
        "description": description,
        "up_script": &up.text,
        "down_script": &down.text,
        "checksum": checksum(&up.script, Some(&down.script)),
        "created_at": DateTime::now(),
        "applied_at": null,
        "rolled_back_at": null,
        "status": "pending",
    };
    let command = with_majority(doc! {"insert": COLLECTION, "documents": [record]});
    match server.run(command, None).await {
        Ok(_) => Ok(true),
        Err(e) if e.is(codes::DUPLICATE_KEY) => Ok(false),
        Err(e) => Err(Error::server("Registering the migration")(e)),
    }
}

/// Notes something that concerns no single migration.
///
/// # Errors
/// The server's.
pub async fn note_unlock(server: &Server, identity: &super::identity::Identity, owner: &str) -> Result<()> {
    let entry = doc! {
        "event": "unlocked",
        "at": DateTime::now(),
        "host": &identity.host,
        "user": &identity.user,
        "version": env!("CARGO_PKG_VERSION"),
        "owner": owner,
    };
    server.run(with_majority(insert_history(entry)), None).await.map(drop).map_err(Error::server("Writing the history"))
}

fn history_entry(
    run: &Run,
    id: &str,
    event: &str,
    report: Option<&MigrationReport>,
    error: Option<Document>,
) -> Document {
    let mut entry = history_document(run, id, event);
    if let Some(report) = report {
        entry.insert("name", &report.name);
        entry.insert("direction", report.direction.as_str());
        entry.insert("resumed", report.resumed);
        entry.insert("duration_ms", milliseconds(report.seconds));
        if let Ok(operations) = bson::serialize_to_bson(&report.operations) {
            entry.insert("operations", operations);
        }
    }
    if let Some(error) = error {
        entry.insert("error", error);
    }
    insert_history(entry)
}

fn history_document(run: &Run, id: &str, event: &str) -> Document {
    let mut entry = run.entry();
    entry.insert("migration", id);
    entry.insert("event", event);
    entry.insert("at", DateTime::now());
    entry
}

fn insert_history(entry: Document) -> Document {
    doc! {"insert": HISTORY, "documents": [entry]}
}

fn milliseconds(seconds: f64) -> i64 {
    (seconds * 1000.0) as i64
}
