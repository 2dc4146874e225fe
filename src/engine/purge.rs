//! `purge`: freeing what was captured.

use std::time::Duration;

use bson::{DateTime, doc};

use super::apply::read_files;
use super::inventory::Inventory;
use super::retention::{describe, sizes};
use super::{Engine, Verb};
use crate::assessment;
use crate::capture::left;
use crate::capture::registry::{self, Header};
use crate::engine::reports::PurgeReport;
use crate::error::{Error, Failed, Result};
use crate::observe::{Kind, Level};
use crate::run::Run;
use crate::run::history;
use crate::run::ledger;
use crate::run::record::{Record, Status};
use crate::run::transaction::with_majority;

/// Frees what was captured: of migration `id` or of all, and only what is `older_than` by the server's clock.
/// What an unfinished migration captured stays.
///
/// # Errors
/// [`Error::Unknown`] for an `id` of which nothing is known, [`Error::LockHeld`], or the server's, with what
/// was freed before.
pub async fn purge(
    engine: &Engine,
    verb: &Verb,
    id: Option<&str>,
    older_than: Option<Duration>,
    lock_timeout: Duration,
) -> Result<PurgeReport, Failed<PurgeReport>> {
    let files = read_files(engine.migrations_dir())?;
    let server = engine.server().await?;
    let mut run = Run::open(server, "purge", lock_timeout, &verb.reporter, &verb.stop).await?;
    let mut report = PurgeReport::default();
    let result = async {
        let mut records = ledger::read(server).await?;
        let headers = registry::headers(server).await.map_err(reading())?;
        let inventory = Inventory::new(files.migrations, records.clone());
        // No migration, but half done it needs its captures like one.
        records.extend(ledger::read_one(server, assessment::RECORD).await?);
        let chosen = choose(&mut run, &inventory, headers, id, older_than).await?;
        for header in chosen {
            // Who names the migration has decided about what could not be brought back.
            let left = id.is_none() && left::any(server, header.capture).await.map_err(reading())?;
            if left {
                let sizes = sizes(server).await.map_err(reading())?;
                report.left.push(describe(server.names(), &header, &sizes));
                continue;
            }
            free(&mut run, &header, needed(&records, &header), &mut report).await?;
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

fn reading() -> impl FnOnce(crate::server_error::ServerError) -> Error {
    Error::server("Reading what was captured")
}

async fn choose(
    run: &mut Run,
    inventory: &Inventory,
    headers: Vec<Header>,
    id: Option<&str>,
    older_than: Option<Duration>,
) -> Result<Vec<Header>> {
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
    let old_enough = |header: &Header| match (before, header.at) {
        (Some(before), Some(at)) => at.timestamp_millis() < before,
        (Some(_), None) => false,
        (None, _) => true,
    };
    Ok(headers
        .into_iter()
        .filter(|header| wanted.as_ref().is_none_or(|id| header.migration == *id) && old_enough(header))
        .collect())
}

/// Whether a migration that is half applied or half rolled back may need it to go back.
fn needed(records: &[Record], header: &Header) -> bool {
    records.iter().any(|record| {
        let unfinished =
            matches!(record.status, Status::Applying | Status::RollingBack | Status::Failed | Status::Other(_));
        let own = record.progress.as_ref().and_then(|progress| progress.capture) == Some(header.capture);
        record.id == header.migration && unfinished && (own || record.captures.contains(&Some(header.capture)))
    })
}

async fn free(run: &mut Run, header: &Header, needed: bool, report: &mut PurgeReport) -> Result<()> {
    run.safe_point()?;
    let freeing = || Error::server(format!("Freeing what {} captured", header.migration));
    let sizes = sizes(&run.server).await.map_err(freeing())?;
    let retained = describe(run.server.names(), header, &sizes);
    if needed {
        report.kept.push(retained);
        return Ok(());
    }
    let names = run.server.names().clone();
    registry::begin_removal(&run.server, header.capture).await.map_err(freeing())?;
    for name in sizes.keys().filter(|name| header.capture.owns(&names, name)) {
        run.safe_point()?;
        run.server.run(with_majority(doc! {"drop": name}), None).await.map_err(freeing())?;
    }
    registry::remove(&run.server, header.capture).await.map_err(freeing())?;
    let mut entry = history::document(run, &header.migration, "purged");
    entry.insert("bytes", retained.bytes);
    run.write(history::WRITING, vec![history::append(&run.server, entry)]).await?;
    let message = format!("Purged what {} captured ({} bytes).", header.migration, retained.bytes);
    run.reporter.for_migration(&header.migration).tell(Kind::Purged, Level::Info, message);
    report.bytes += retained.bytes;
    report.purged.push(retained);
    Ok(())
}
