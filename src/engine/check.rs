//! `check`: whether a pipeline may go on. Nothing pending, changed, failed, unfinished or held. Reads only.

use super::Engine;
use super::assessment;
use super::inventory::{Inventory, InventoryEntry};
use super::reports::{CheckFinding, CheckReport, FindingKind};
use super::scripts::read_files;
use crate::backup::restore::journal;
use crate::error::Result;
use crate::run::foreign;
use crate::run::lease;
use crate::run::ledger;
use crate::run::record::Status;

/// What there is to stop at. With `allow_rolled_back`, rolled-back migrations are not findings.
///
/// # Errors
/// [`Error::Invalid`](crate::error::Error::Invalid) for a file that cannot be read, or the server's.
pub async fn check(engine: &Engine, allow_rolled_back: bool) -> Result<CheckReport> {
    let files = read_files(engine.migrations_dir())?;
    let server = engine.server().await?;
    let (records, lock, restore, foreign) = tokio::join!(
        ledger::read(server),
        lease::read_holder(server),
        journal::unfinished(server),
        foreign::found(server)
    );
    let no_files = files.migrations.is_empty();
    let inventory = Inventory::new(files.migrations, records?);
    let mut findings: Vec<CheckFinding> = inventory.entries.iter().filter_map(of_entry).collect();
    if !allow_rolled_back {
        findings.extend(inventory.passed_over().map(|entry| CheckFinding {
            kind: FindingKind::RolledBack,
            migration: Some(entry.id.clone()),
            name: Some(entry.name().to_owned()),
            message: format!(
                "rolled back, so `apply` passes over it; `apply {}` or `apply --rolled-back` applies it again",
                entry.id
            ),
        }));
    }
    findings.extend(foreign?.map(|message| CheckFinding::of_database(FindingKind::ForeignLedger, message)));
    if let Some(directory) = engine.migrations_dir().filter(|_| no_files) {
        let message = format!("there is no migration file in {}", directory.display());
        findings.push(CheckFinding::of_database(FindingKind::NoFiles, message));
    }
    if let Some(restore) = restore? {
        let message = format!("a restore of {} was begun; `restore --finish` finishes it", restore.backup);
        findings.push(CheckFinding::of_database(FindingKind::Unfinished, message));
    }
    let assessment = assessment::unfinished(server).await?;
    findings.extend(assessment.map(|message| CheckFinding::of_database(FindingKind::Unfinished, message)));
    // One that has run out holds nobody up: the next run takes over.
    if let Some(holder) = lock?.filter(|holder| !holder.expired) {
        let message = format!("the lock is held: {}", holder.describe());
        findings.push(CheckFinding::of_database(FindingKind::Held, message));
    }
    Ok(CheckReport { database: server.database().to_owned(), findings, ignored: files.ignored })
}

impl CheckFinding {
    /// One that is about no single migration.
    fn of_database(kind: FindingKind, message: String) -> Self {
        Self { kind, migration: None, name: None, message }
    }
}

fn of_entry(entry: &InventoryEntry) -> Option<CheckFinding> {
    let record = entry.record.as_ref();
    let (kind, message) = if let Some(problem) = record.and_then(|record| record.problem.as_deref()) {
        (FindingKind::Unreadable, format!("its record cannot be relied on: {problem}; see `mark`"))
    } else {
        match entry.status() {
            Status::Applied if entry.changed() => {
                (FindingKind::Changed, "its file changed since it was applied".to_owned())
            }
            Status::Applied | Status::RolledBack => return None,
            Status::Pending if entry.out_of_order => {
                (FindingKind::Pending, "not applied, although migrations that sort after it are".to_owned())
            }
            Status::Pending => (FindingKind::Pending, "not applied".to_owned()),
            Status::Applying => (FindingKind::Unfinished, "half applied; `apply` carries on".to_owned()),
            Status::RollingBack => (FindingKind::Unfinished, "half rolled back; `rollback` carries on".to_owned()),
            Status::Failed => {
                let why = record.and_then(|record| record.error.clone()).unwrap_or_else(|| "it failed".to_owned());
                let why = if entry.file.is_none() { format!("{why} {}", entry.ways_out()) } else { why };
                (FindingKind::Failed, why)
            }
            Status::Other(status) => (FindingKind::Unreadable, format!("its status is {status:?}")),
        }
    };
    Some(CheckFinding { kind, migration: Some(entry.id.clone()), name: Some(entry.name().to_owned()), message })
}
