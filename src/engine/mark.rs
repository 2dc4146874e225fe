//! `mark`: setting a migration's state by hand.

use std::time::Duration;

use super::inventory::Inventory;
use super::scripts::read_files;
use super::{CallContext, Engine, start};
use crate::engine::reports::MarkReport;
use crate::error::{Error, Result};
use crate::observe::{Kind, Level};
use crate::run::record::Status;
use crate::run::{ledger, registration};

/// Sets the state of migration `id` to `applied`, `pending` or `rolled_back`, running nothing.
///
/// # Errors
/// [`Error::Settings`] for another state, [`Error::Unknown`], [`Error::LockHeld`], or the server's.
pub async fn mark(
    engine: &Engine,
    call: &CallContext,
    id: &str,
    state: &str,
    lock_timeout: Duration,
) -> Result<MarkReport> {
    let status = match state {
        "applied" => Status::Applied,
        "pending" => Status::Pending,
        "rolled_back" => Status::RolledBack,
        other => {
            return Err(Error::Settings(format!(
                "A migration can be marked as applied, pending or rolled_back, not as {other:?}."
            )));
        }
    };
    let files = read_files(engine.migrations_dir())?;
    let server = engine.server().await?;
    let mut run = start(server, "mark", lock_timeout, call).await?;
    let result = async {
        let inventory = Inventory::new(files.migrations, ledger::read(server).await?);
        let entry = inventory.find(id)?;
        entry.addressable()?;
        let before = entry.status().as_str().to_owned();
        registration::mark(&mut run, &entry.plan_mark().header(), &before, &status).await?;
        let report = MarkReport {
            id: entry.id.clone(),
            name: entry.name().to_owned(),
            before,
            after: status.as_str().to_owned(),
        };
        run.reporter.for_migration(&report.id).tell(
            Kind::Marked,
            Level::Info,
            format!("Marked {} ({}) as {}; it was {}.", report.id, report.name, report.after, report.before),
        );
        Ok(report)
    }
    .await;
    run.close().await;
    result
}
