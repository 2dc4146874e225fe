//! `purge`: freeing what was captured.

use std::time::Duration;

use bson::{DateTime, Document, RawArrayBuf, doc, rawdoc};
use mongodb::ClientSession;

use super::inventory::Inventory;
use super::retention::{describe, sizes};
use super::scripts::read_files;
use super::{CallContext, Engine, start};
use crate::capture::left;
use crate::capture::registry::{self, CaptureHeader};
use crate::engine::reports::PurgeReport;
use crate::error::codes;
use crate::error::server::ServerError;
use crate::error::{Error, Failed, Result};
use crate::mongo::reply::written;
use crate::mongo::retry::{Retry, retry};
use crate::mongo::server::Server;
use crate::observe::{Kind, Level};
use crate::plural::number;
use crate::run::handle::Run;
use crate::run::history;
use crate::run::ledger;
use crate::run::record::Status;
use crate::run::transaction::{Body, with_majority};

/// Frees what was captured: of migration `id` or of all, and only what is `older_than` by the server's clock.
/// What an unfinished migration captured stays.
///
/// # Errors
/// [`Error::Unknown`] for an `id` of which nothing is known, [`Error::LockHeld`], or the server's, with what
/// was freed before.
pub async fn purge(
    engine: &Engine,
    call: &CallContext,
    id: Option<&str>,
    older_than: Option<Duration>,
    lock_timeout: Duration,
) -> Result<PurgeReport, Failed<PurgeReport>> {
    let files = read_files(engine.migrations_dir())?;
    let server = engine.server().await?;
    let mut run = start(server, "purge", lock_timeout, call).await?;
    let mut report = PurgeReport::default();
    let result = async {
        let records = ledger::read(server).await?;
        let headers = registry::headers(server).await.map_err(reading())?;
        let inventory = Inventory::new(files.migrations, records);
        let chosen = choose(&mut run, &inventory, headers, id, older_than).await?;
        for header in chosen {
            // Who names the migration has decided about what could not be brought back.
            let left = id.is_none() && left::any(server, header.capture).await.map_err(reading())?;
            if left {
                let sizes = sizes(server).await.map_err(reading())?;
                report.left.push(describe(server.names(), &header, &sizes));
                continue;
            }
            free(&mut run, &header, &mut report).await?;
        }
        Ok(())
    }
    .await;
    run.close().await;
    match result {
        Ok(()) => Ok(report),
        Err(error) => Err(Failed { error, report: Some(Box::new(report)) }),
    }
}

fn reading() -> impl FnOnce(ServerError) -> Error {
    Error::server("Reading what was captured")
}

async fn choose(
    run: &mut Run,
    inventory: &Inventory,
    headers: Vec<CaptureHeader>,
    id: Option<&str>,
    older_than: Option<Duration>,
) -> Result<Vec<CaptureHeader>> {
    let wanted = match id {
        None => None,
        Some(id) => match inventory.find(id) {
            Ok(entry) => Some(entry.id.clone()),
            // Of a migration whose file and record are gone.
            Err(_) if headers.iter().any(|header| header.migration == id) => Some(id.to_owned()),
            Err(unknown) => return Err(unknown),
        },
    };
    let before = match older_than {
        None => None,
        Some(age) => {
            let reply = run.server.run(doc! {"hello": 1}, None).await.map_err(reading())?;
            let now = reply.get_datetime("localTime").copied().unwrap_or_else(|_| DateTime::now());
            let age = i64::try_from(age.as_millis()).unwrap_or(i64::MAX);
            Some(now.timestamp_millis().saturating_sub(age))
        }
    };
    let old_enough = |header: &CaptureHeader| match (before, header.at) {
        (Some(before), Some(at)) => at.timestamp_millis() < before,
        (Some(_), None) => false,
        (None, _) => true,
    };
    Ok(headers
        .into_iter()
        .filter(|header| wanted.as_ref().is_none_or(|id| header.migration == *id) && old_enough(header))
        .collect())
}

async fn free(run: &mut Run, header: &CaptureHeader, report: &mut PurgeReport) -> Result<()> {
    run.safe_point()?;
    let freeing = || Error::server(format!("Freeing what {} captured", header.migration));
    let reporter = run.reporter.clone();
    let stop = run.stop.clone();
    let mut retry = Retry::new(&reporter, &stop);
    let sizes = retry!(retry, sizes(&run.server)).map_err(freeing())?;
    let names = run.server.names().clone();
    let mut retained = describe(&names, header, &sizes);
    retained.bytes = header.purged.unwrap_or(retained.bytes);
    let mut marking = Marking { proof: run.lease.proof(), header, bytes: retained.bytes, lost: false };
    match retry!(retry, run.attempt(&mut marking)).map_err(freeing())? {
        Some(Marked::Freed) => {}
        Some(Marked::Needed) => {
            // Read by a run that still is the one that may say so.
            run.prove().await?;
            report.kept.push(retained);
            return Ok(());
        }
        None => return Err(run.lease_lost()),
    }
    for name in sizes.keys().filter(|name| header.capture.owns(&names, name)) {
        run.safe_point()?;
        let dropped = retry!(retry, run.server.run(with_majority(doc! {"drop": name}), None));
        // Dropped already, by an attempt whose answer was lost.
        if dropped.as_ref().is_err_and(|e| e.is(codes::NAMESPACE_NOT_FOUND)) {
            continue;
        }
        dropped.map_err(freeing())?;
    }
    let mut entry = history::document(run, &header.migration, "purged");
    entry.insert("bytes", retained.bytes);
    if !run.server.transactions() {
        // Killed between the two, the next purge notes the same.
        entry.insert("_id", header.capture.0);
    }
    let noted = history::append(&run.server, entry);
    run.write(history::WRITING, vec![noted, registry::removal(&names, header.capture)]).await?;
    let message = format!("Purged what {} captured ({} bytes).", header.migration, number(retained.bytes));
    run.reporter.for_migration(&header.migration).tell(Kind::Purged, Level::Info, message);
    report.bytes += retained.bytes;
    report.purged.push(retained);
    Ok(())
}

/// Marks a run's captures as being freed, under a proven lease and only where no record needs them: one transaction
/// where there are transactions.
struct Marking<'a> {
    proof: Document,
    header: &'a CaptureHeader,
    bytes: i64,
    lost: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Marked {
    /// From now on nothing relies on them.
    Freed,
    /// A migration that is half applied or half rolled back may need them to go back.
    Needed,
}

impl Body for Marking<'_> {
    type Output = Marked;

    async fn write(
        &mut self,
        server: &Server,
        mut session: Option<&mut ClientSession>,
    ) -> Result<Option<Marked>, ServerError> {
        if session.is_some() {
            self.lost = written(&server.run(self.proof.clone(), session.as_deref_mut()).await?) == 0;
            if self.lost {
                return Ok(None);
            }
        }
        let capture = self.header.capture.0;
        let finished = [Status::Pending, Status::Applied, Status::RolledBack];
        let needing = rawdoc! {
            "find": server.names().ledger(),
            "filter": {
                "_id": self.header.migration.as_str(),
                "status": {"$nin": finished.iter().map(Status::as_str).collect::<RawArrayBuf>()},
                "$or": [{"captures": capture}, {"progress.capture": capture}],
            },
            "projection": {"_id": 1},
            "limit": 1,
        };
        if !server.read(needing, session.as_deref_mut(), usize::MAX).await?.is_empty() {
            return Ok(Some(Marked::Needed));
        }
        let mark = registry::removal_begins(server.names(), self.header.capture, self.bytes);
        let mark = if session.is_some() { mark } else { with_majority(mark) };
        server.run(mark, session).await?;
        Ok(Some(Marked::Freed))
    }
}
