//! `backups`: lists, verifies and prunes them.

use std::path::Path;
use std::time::Instant;

use bson::{Bson, doc};

use super::inventory::Inventory;
use super::reports::PendingReport;
use super::scripts::read_files;
use super::{CallContext, Engine};
use crate::backup::format::directory::{absolute, remove_backup};
use crate::backup::format::files::blocking;
use crate::backup::format::frames::size;
use crate::backup::format::manifest::BackupKind;
use crate::backup::format::reader::FileDocuments;
use crate::backup::format::trust;
use crate::backup::report::{ListReport, PruneReport, VerifyReport};
use crate::backup::restore::journal;
use crate::backup::{old_tool, store, verify};
use crate::error::{Error, Result};
use crate::mongo::server::Server;
use crate::observe::{self, Level};
use crate::plural::counted_were;
use crate::run::record::{Record, Status};

/// Every backup in `directory`, and those that the old tool left in the database; newest first. Without a server only
/// the former, with a word about it.
///
/// # Errors
/// The file system's.
pub async fn list(engine: &Engine, directory: &Path) -> Result<ListReport> {
    let ListReport { mut backups, mut problems } = stored(directory).await?;
    let old = match engine.server().await {
        Ok(server) => old_tool::list(server).await,
        Err(e) => Err(e),
    };
    match old {
        Ok(old) => backups.extend(old),
        Err(e) => problems.push(format!("Backups that the old tool left in the database are not listed. {e}")),
    }
    backups.sort_by(|a, b| (b.created_at, &b.name).cmp(&(a.created_at, &a.name)));
    Ok(ListReport { backups, problems })
}

/// Every backup in `directory`, newest first.
///
/// # Errors
/// The file system's.
pub async fn stored(directory: &Path) -> Result<ListReport> {
    let parent = directory.to_owned();
    let (stored, unreadable) = blocking(move || store::list(&parent)).await?;
    Ok(ListReport {
        backups: stored.iter().map(store::Stored::summary).collect(),
        problems: unreadable
            .into_iter()
            .map(|(_, error)| error.to_string())
            .chain(store::warnings(&stored))
            .chain(trust::notes(directory))
            .collect(),
    })
}

/// What is pending by the ledger in the backup `name` of `database`. No server is asked, and of the backup only the
/// ledger is read.
///
/// # Errors
/// [`Error::BackupMissing`], [`Error::BackupCorrupt`], [`Error::Invalid`] for a migration file.
pub async fn pending(
    directory: &Path,
    name: &str,
    database: &str,
    migrations_dir: Option<&Path>,
    ledger: &str,
) -> Result<PendingReport> {
    let files = read_files(migrations_dir)?;
    let source = store::find(directory, name, None, database).await?;
    let kept = source.parts.into_iter().find(|part| part.entry.name == ledger).and_then(|part| part.data);
    let records = match kept {
        None => Vec::new(),
        Some(data) => blocking(move || FileDocuments::read_all(&data)).await?,
    };
    let inventory = Inventory::new(files.migrations, records.iter().map(Record::parse).collect());
    let pending = inventory
        .entries
        .iter()
        .filter(|entry| !matches!(entry.status(), Status::Applied | Status::RolledBack))
        .map(|entry| entry.id.clone())
        .collect();
    Ok(PendingReport { pending, ignored: files.ignored })
}

/// Reads a whole backup and compares it with its manifest. A server is asked only for a backup of the old tool.
///
/// # Errors
/// [`Error::BackupMissing`], [`Error::BackupCorrupt`].
pub async fn verify(engine: &Engine, call: &CallContext, directory: &Path, name: &str) -> Result<VerifyReport> {
    let began = Instant::now();
    let mut source = match store::find(directory, name, None, engine.database()).await {
        Err(missing @ Error::BackupMissing(_)) => match engine.server().await {
            Ok(server) => store::find(directory, name, Some(server), engine.database()).await?,
            // What the directory has is all that can be said.
            Err(_) => return Err(missing),
        },
        found => found?,
    };
    let written = verify::verify(&mut source, &call.reporter, &call.stop).await?;
    let stored = source.parts.iter().filter_map(|part| match &part.data {
        Some(crate::backup::format::reader::Data::Zstd(_, stored)) => Some(stored.bytes),
        _ => None,
    });
    Ok(VerifyReport {
        name: source.name,
        collections: size(source.parts.len()),
        documents: written.documents,
        bytes: written.bytes,
        stored_bytes: stored.sum::<i64>() + source.files.iter().map(|(_, stored)| stored.bytes).sum::<i64>(),
        notes: source.notes,
        seconds: began.elapsed().as_secs_f64(),
    })
}

/// Removes all but the `keep` newest backups of this database of one kind, but none that a record still needs.
///
/// # Errors
/// [`Error::Settings`] for a kind that there is none of, the server's, or the file system's.
pub async fn prune(
    engine: &Engine,
    call: &CallContext,
    directory: &Path,
    keep: usize,
    kind: &str,
) -> Result<PruneReport> {
    let kind = match kind {
        "manual" => BackupKind::Manual,
        "safety" => BackupKind::Safety,
        other => {
            return Err(Error::Settings(format!(
                "Backups that can be pruned are manual or safety ones, not {other:?}."
            )));
        }
    };
    if keep == 0 {
        return Err(Error::Settings(
            "Keeping 0 backups would remove all of them. Keep at least 1, and delete the last one by hand if you must."
                .to_owned(),
        ));
    }
    let needed_names = needed(engine.server().await?).await?;
    let parent = directory.to_owned();
    let (stored, _) = blocking(move || store::list(&parent)).await?;
    for warning in store::warnings(&stored) {
        call.reporter.tell(observe::Kind::Warning, Level::Warning, warning);
    }
    let of_kind = stored.iter().filter(|it| it.manifest.kind == kind && it.manifest.database == engine.database());
    // One that is dated in the future would stay the newest for ever, and real ones would go instead.
    let of_kind = of_kind.filter(|it| !it.manifest.is_of_the_future());
    let mut report = PruneReport { removed: Vec::new(), needed: Vec::new(), kept: 0 };
    for (at, backup) in of_kind.enumerate() {
        if at < keep {
            report.kept += 1;
        } else if needed_names.contains(&backup.name) {
            report.needed.push(backup.name.clone());
            report.kept += 1;
        } else {
            if call.stop.is_cancelled() {
                let removed = counted_were(report.removed.len(), "backup");
                return Err(Error::Interrupted(format!("Stopped on request. {removed} removed.")));
            }
            let (parent, name) = (absolute(directory)?, backup.name.clone());
            blocking(move || remove_backup(&parent, &name)).await?;
            let message = format!("Removed the backup {}.", backup.path.display());
            call.reporter.tell(observe::Kind::BackupRemoved, Level::Info, message);
            report.removed.push(backup.name.clone());
        }
    }
    Ok(report)
}

/// The names of backups that a migration's record or an unfinished restore refers to.
async fn needed(server: &Server) -> Result<Vec<String>> {
    let command = doc! {"distinct": server.names().ledger(), "key": "backup", "query": {"backup": {"$type": "string"}}};
    let reply = server.run(command, None).await.map_err(Error::server("Looking for records that need a backup"))?;
    let values = reply.get_array("values").cloned().unwrap_or_default();
    let mut names: Vec<String> = values
        .into_iter()
        .filter_map(|it| match it {
            Bson::String(name) => Some(name),
            _ => None,
        })
        .collect();
    if let Some(unfinished) = journal::unfinished(server).await? {
        names.push(unfinished.backup);
        names.extend(unfinished.safety_backup);
    }
    Ok(names)
}
