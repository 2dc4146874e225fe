//! A rollback that was done by a run that was killed before it could say so.

use super::inventory::Inventory;
use super::selection::RunOptions;
use crate::error::Result;
use crate::holder::Holder;
use crate::model::source::Directory;
use crate::mongo::server::Server;
use crate::run::ledger;
use crate::run::record::Status;
use crate::run::report::{Direction, MigrationOutcome, MigrationReport, Overreaches};

/// The report of the rollback that was asked for by id, if `holder` did it, the run that the lease named before this one
/// took it: it was killed between its last write to the ledger and the end, and this is the same command again. Any other
/// migration that is rolled back already is not applied, and to roll it back is a mistake.
///
/// # Errors
/// The server's.
pub async fn rolled_back(
    server: &Server,
    files: &Directory,
    wanted: &RunOptions,
    holder: Option<&Holder>,
) -> Result<Option<MigrationReport>> {
    let RunOptions::Rollback(options) = wanted else { return Ok(None) };
    let Some(id) = &options.id else { return Ok(None) };
    let inventory = Inventory::new(files.migrations.clone(), ledger::read(server).await?);
    let entry = inventory.find(id)?;
    let Some(record) = entry.record.as_ref().filter(|record| record.status == Status::RolledBack) else {
        return Ok(None);
    };
    if record.run.is_none() || holder.map(|holder| &holder.run) != record.run.as_ref() {
        return Ok(None);
    }
    Ok(Some(MigrationReport {
        id: entry.id.clone(),
        name: entry.name().to_owned(),
        direction: Direction::Down,
        outcome: MigrationOutcome::RolledBack,
        resumed: true,
        exact: options.exact,
        seconds: 0.0,
        operations: Vec::new(),
        undone: Vec::new(),
        overreach: Overreaches::default(),
        error: None,
    }))
}
