//! What is retained: every run's captures and their sizes.

use std::collections::HashMap;

use bson::doc;

use crate::capture::registry::{self, CaptureHeader};
use crate::engine::reports::{Retained, RetainedRun};
use crate::error::codes;
use crate::error::server::ServerError;
use crate::error::{Error, Result};
use crate::model::number;
use crate::mongo::catalog;
use crate::mongo::server::Server;
use crate::mongo::stats::Stats;
use crate::names::{Form, Names};
use crate::run::handle::Run;
use crate::run::ledger;

/// From so many bytes on a purge is suggested.
const LARGE: i64 = 100_000_000;

/// Measures what is retained.
///
/// # Errors
/// The server's.
pub async fn survey(server: &Server) -> Result<Retained, ServerError> {
    let headers = registry::headers(server).await?;
    if headers.is_empty() {
        return Ok(Retained::default());
    }
    let sizes = sizes(server).await?;
    let runs: Vec<RetainedRun> = headers.iter().map(|header| describe(server.names(), header, &sizes)).collect();
    let registry = sizes.get(&server.names().captures()).map_or(0, |size| size.bytes);
    let bytes = registry + runs.iter().map(|run| run.bytes).sum::<i64>();
    let stats = server.run(doc! {"dbStats": 1}, None).await?;
    let data_bytes = (number::field(&stats, "dataSize").unwrap_or(0) - bytes).max(0);
    Ok(Retained { bytes, data_bytes, large: bytes >= LARGE, runs })
}

/// A run's captures with their size.
pub fn describe(names: &Names, header: &CaptureHeader, sizes: &HashMap<String, Stats>) -> RetainedRun {
    let own = sizes.iter().filter(|(name, _)| header.capture.owns(names, name));
    RetainedRun {
        migration: header.migration.clone(),
        name: header.name.clone(),
        direction: header.direction,
        exact: header.exact,
        at: header.at,
        bytes: own.map(|(_, size)| size.bytes).sum(),
    }
}

/// Removes the headers of a migration's captures that its record does not name and that have no entries. Where there are no
/// transactions, a run that is killed between writing its header and naming it in the record leaves one.
///
/// # Errors
/// [`Error::LeaseLost`], or the server's.
pub async fn remove_unnamed(run: &mut Run, migration: &str) -> Result<()> {
    let failed = || Error::server("Reading what was captured");
    let Some(record) = ledger::read_one(&run.server, migration).await? else { return Ok(()) };
    // An exact rollback's captures are named by its progress alone.
    let mut named = record.captures;
    named.extend(record.progress.map(|progress| progress.capture));
    let mut unnamed = Vec::new();
    for header in registry::headers(&run.server).await.map_err(failed())? {
        let left = header.migration == migration && !named.contains(&Some(header.capture));
        if left && registry::entries(&run.server, header.capture).await.map_err(failed())?.is_empty() {
            unnamed.push(registry::removal(run.server.names(), header.capture));
        }
    }
    if unnamed.is_empty() {
        return Ok(());
    }
    run.write("Removing what a killed run left", unnamed).await
}

/// The sizes of the collections of captures, by name.
///
/// # Errors
/// The server's.
pub async fn sizes(server: &Server) -> Result<HashMap<String, Stats>, ServerError> {
    let names = server.names();
    let (captures, kept) = (escaped(&names.captures()), escaped(&names.kept()));
    let pattern = format!("^({captures}$|{captures}_|{kept})");
    let mut sizes = HashMap::new();
    for name in catalog::names(server, doc! {"name": {"$regex": pattern}}).await? {
        if !matches!(server.names().form(&name), Some(Form::Fixed | Form::OfCapture(_))) {
            continue;
        }
        match Stats::of(server, &name).await {
            // Purged meanwhile.
            Err(e) if e.is(codes::NAMESPACE_NOT_FOUND) => {}
            size => drop(sizes.insert(name, size?)),
        }
    }
    Ok(sizes)
}

/// Escapes a ledger name for a regular expression. The dot is the only special character that such a name can have.
fn escaped(name: &str) -> String {
    name.replace('.', "\\.")
}
