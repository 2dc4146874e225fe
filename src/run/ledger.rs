//! The ledger: one document per migration, as the old tool wrote it and more.
//!
//! Records are read with distrust: what somebody edited by hand becomes a [`Record::problem`], never a
//! panic and never a guess.

use bson::{Bson, DateTime, Document, RawDocumentBuf, doc, oid::ObjectId};

use super::capture_key::{CaptureId, HEADER};
use super::handle::{Run, Statement};
use super::header::MigrationHeader;
use super::progress::Progress;
use super::record::{ASSESSMENT, Record, Status};
use super::report::{Direction, MigrationReport};
use super::{foreign, history, parts};
use crate::error::failure::{CheckFailure, OperationFailure};
use crate::error::{Error, Result};
use crate::mongo::server::Server;
use crate::names::Names;

pub(super) const WRITING: &str = "Writing the ledger";
/// How often the ledger is read before documents that it lacks are missing.
const READS: usize = 3;

/// Every record, by `created_at`.
///
/// # Errors
/// The server's.
pub async fn read(server: &Server) -> Result<Vec<Record>> {
    let mut attempts = 0;
    let mut records = loop {
        let mut records: Vec<Record> =
            read_raw(server, doc! {"created_at": 1, "_id": 1}).await?.iter().map(|raw| record(server, raw)).collect();
        let mut whole = true;
        for record in &mut records {
            whole &= add_up(server, record).await?;
        }
        // A run may have ended the operation between the two reads.
        attempts += 1;
        if whole || attempts == READS {
            break records;
        }
    };
    for record in records.iter_mut().filter(|record| record.problem.is_some()) {
        record.progress = None;
    }
    Ok(records)
}

/// Fills in what the parts of a record's unfinished operation did; false where they are not there.
///
/// # Errors
/// The server's.
pub async fn add_up(server: &Server, record: &mut Record) -> Result<bool> {
    let Some(progress) = &mut record.progress else { return Ok(true) };
    let whole = parts::add_up(server, &record.id, progress).await?;
    if !whole {
        record.problem.get_or_insert_with(|| parts::problem(server.names()));
    }
    Ok(whole)
}

/// The documents of migrations as they are.
///
/// # Errors
/// The server's.
pub async fn read_raw(server: &Server, sort: Document) -> Result<Vec<RawDocumentBuf>> {
    server
        // The unification of the assessment model is no migration, and what another tool wrote is no record.
        .find_all(doc! {
            "find": server.names().ledger(), "filter": {"$and": [{"kind": {"$nin": [ASSESSMENT, parts::KIND]}}, foreign::of_ours()]}, "sort": sort,
            "readConcern": {"level": "local"},
        })
        .await
        .map_err(Error::server("Reading the ledger"))
}

fn record(server: &Server, raw: &RawDocumentBuf) -> Record {
    Record { ledger: server.names().ledger().to_owned(), ..Record::parse(raw) }
}

/// One record, as a majority has it.
///
/// # Errors
/// The server's.
pub async fn read_one(server: &Server, id: &str) -> Result<Option<Record>> {
    let found = server
        .find_certain(doc! {"find": server.names().ledger(), "filter": {"_id": id}, "limit": 1})
        .await
        .map_err(Error::server("Reading the ledger"))?;
    let Some(mut record) = found.first().map(|raw| record(server, raw)) else { return Ok(None) };
    add_up(server, &mut record).await?;
    Ok(Some(record))
}

/// Writes that a migration's script begins with `fresh` progress, or is carried on, in one transaction with
/// the proof of the lease and with the `header` of what it captures. The record must still be the one that the
/// step was planned from: another run may have applied the migration meanwhile.
///
/// # Errors
/// [`Error::LeaseLost`], [`Error::WrongState`] for a record that was changed meanwhile, or the server's.
pub async fn begin(
    run: &mut Run,
    migration: &MigrationHeader<'_>,
    direction: Direction,
    fresh: &Progress,
    header: Option<Document>,
) -> Result<()> {
    let status = match direction {
        Direction::Up => Status::Applying,
        Direction::Down => Status::RollingBack,
    };
    let mut set = doc! {
        "status": status.as_str(),
        "token": run.lease.token(),
        "run": run.entry(),
    };
    let mut add = Document::new();
    if !migration.resumed {
        set.insert("progress", fresh.fresh());
        // The captures of every run since the migration was last not applied; null for one without.
        let capture = fresh.capture.map_or(Bson::Null, |capture| Bson::ObjectId(capture.0));
        match (direction, migration.exact) {
            (Direction::Up, _) if migration.assessment.is_some() => drop(add.insert("captures", capture)),
            (Direction::Up, _) => drop(set.insert("captures", [capture])),
            (Direction::Down, false) => drop(add.insert("captures", capture)),
            (Direction::Down, true) => {}
        }
    }
    if let Some(fields) = migration.assessment {
        set.insert("name", migration.name);
        set.extend(fields.clone());
    } else if direction == Direction::Up {
        set.insert("name", migration.name);
        set.insert("description", migration.description);
        set.insert("up_script", migration.up_text);
        set.insert("down_script", migration.down_text);
        set.insert("checksum", migration.checksum);
        if !migration.checks.is_empty() {
            set.insert("checks", &migration.checks.text);
        }
    }
    let mut unset = doc! {"error": ""};
    if direction == Direction::Up && migration.checks.is_empty() {
        unset.insert("checks", "");
    }
    let mut change = doc! {
        "$set": set,
        "$unset": unset,
        "$setOnInsert": {"created_at": DateTime::now(), "applied_at": null, "rolled_back_at": null},
    };
    if !add.is_empty() {
        // After a lost answer it is sent again.
        change.insert("$addToSet", add);
    }
    let planned = migration.seen.cloned().unwrap_or_else(|| doc! {"status": null, "token": null});
    let own = doc! {"status": status.as_str(), "token": run.lease.token()};
    let update = doc! {
        "update": run.server.names().ledger(),
        "updates": [{
            "q": {"_id": migration.id, "$or": [planned, own]},
            "u": change,
            "upsert": migration.seen.is_none(),
        }],
    };
    // The header first: where there are no transactions, a record must not name captures without one.
    let header = header.into_iter().map(Statement::may);
    // What the parts of an operation say counts for the script that began it only.
    let parts = match migration.resumed {
        true => parts::taking(run.server.names(), migration.id, run.lease.token()),
        false => parts::removal(run.server.names(), migration.id),
    };
    let parts = run.server.transactions().then(|| Statement::may(parts));
    let statements = header.chain([Statement::must(update)]).chain(parts);
    if run.write_if(WRITING, statements.collect()).await? {
        return Ok(());
    }
    Err(Error::WrongState(format!(
        "The record of {} in the ledger was changed by hand after this run had planned what to do. Nothing was done. See `status`, \
         then run the command again.",
        migration.id
    )))
}

/// Writes that a migration's script has run, in one transaction with its history, where the entry is to be `note`. An exact
/// rollback has undone the captures `undone`.
///
/// # Errors
/// [`Error::LeaseLost`], or the server's.
pub async fn finish(
    run: &mut Run,
    migration: &MigrationHeader<'_>,
    direction: Direction,
    note: ObjectId,
    report: &MigrationReport,
    undone: &[CaptureId],
) -> Result<()> {
    let (status, date) = match direction {
        Direction::Up => (Status::Applied, "applied_at"),
        Direction::Down => (Status::RolledBack, "rolled_back_at"),
    };
    let mut set = doc! {"status": status.as_str(), "duration_ms": history::milliseconds(report.seconds)};
    if direction == Direction::Up {
        set.insert("rolled_back_at", Bson::Null);
    }
    let mut unset = doc! {"progress": "", "error": ""};
    if migration.exact {
        // They are undone; what they hold stays until it is purged.
        unset.insert("captures", "");
    }
    let update = doc! {"$set": set, "$unset": unset, "$currentDate": {date: true}};
    let undone = if migration.exact { mark_undone(run.server.names(), undone) } else { None };
    let mut entry = history::entry(run, migration.id, status.as_str(), Some(report), None);
    // In a transaction the entry is made with the record, once; its own `_id` then says when.
    if !run.server.transactions() {
        entry.insert("_id", note);
    }
    close(run, migration.id, direction, update, status.as_str(), entry, undone).await
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
        "message": failure.message(),
        "operation": i64::try_from(failure.index).unwrap_or_default(),
        "code": failure.code,
        "at": DateTime::now(),
    };
    fail_with(run, id, direction, error, report).await
}

/// Writes that all operations of a migration's up script are done and that what must hold afterwards does not.
///
/// # Errors
/// [`Error::LeaseLost`], or the server's.
pub async fn fail_check(run: &mut Run, failure: &CheckFailure, report: &MigrationReport) -> Result<()> {
    let error = doc! {"message": failure.message(), "check": failure.when.as_str(), "at": DateTime::now()};
    fail_with(run, &failure.migration, Direction::Up, error, report).await
}

async fn fail_with(
    run: &mut Run,
    id: &str,
    direction: Direction,
    error: Document,
    report: &MigrationReport,
) -> Result<()> {
    let update = doc! {"$set": {"status": "failed", "error": error.clone()}};
    let entry = history::entry(run, id, "failed", Some(report), Some(error));
    close(run, id, direction, update, "failed", entry, None).await
}

/// Notes in the registry of captures which of them an exact rollback has undone.
fn mark_undone(names: &Names, captures: &[CaptureId]) -> Option<Document> {
    let headers: Vec<Document> = captures.iter().map(|capture| doc! {"run": capture.0, "op": HEADER}).collect();
    (!headers.is_empty()).then(|| {
        let mark = doc! {"q": {"_id": {"$in": headers}}, "u": {"$set": {"undone": true}}, "multi": true};
        doc! {"update": names.captures(), "updates": [mark]}
    })
}

/// Ends what [`begin`] began, together with its `entry` in the history and one `other` write.
async fn close(
    run: &mut Run,
    id: &str,
    direction: Direction,
    update: Document,
    event: &str,
    entry: Document,
    other: Option<Document>,
) -> Result<()> {
    let begun = match direction {
        Direction::Up => "applying",
        Direction::Down => "rolling_back",
    };
    let token = run.lease.token();
    let closing = Statement::must(doc! {
        "update": run.server.names().ledger(),
        "updates": [{"q": {"_id": id, "token": token, "status": begun}, "u": update}],
    });
    let others = std::iter::once(history::append(&run.server, entry)).chain(other).map(Statement::may);
    // Without transactions the record comes last: a run that is killed before it closes the migration again, with the
    // same entry, and one that is killed after it has written everything.
    let statements: Vec<Statement> = match run.server.transactions() {
        true => std::iter::once(closing).chain(others).collect(),
        false => others.chain([closing]).collect(),
    };
    if run.write_if(WRITING, statements).await? {
        return Ok(());
    }
    // It was written, and the answer was lost: nobody else writes this status with this token.
    let closed =
        doc! {"find": run.server.names().ledger(), "filter": {"_id": id, "token": token, "status": event}, "limit": 1};
    match run.server.find_certain(closed).await.map_err(Error::server("Reading the ledger"))?.is_empty() {
        false => Ok(()),
        true => Err(run.lease_lost()),
    }
}
