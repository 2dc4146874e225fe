//! `backup`: writes a backup. Takes no lease and needs read rights only.

use std::path::Path;

use bson::doc;

use super::{CallContext, Engine};
use crate::backup::dump::attempt::DumpRequest;
use crate::backup::dump::dump;
use crate::backup::format::manifest::{BackupKind, BackupScope, Consistency};
use crate::backup::format::{space, trust};
use crate::backup::report::BackupReport;
use crate::error::{Error, Result};
use crate::mongo::catalog;
use crate::mongo::server::Server;
use crate::observe::{self, Level};

/// What to back up, and how.
#[derive(Debug, Clone, Default)]
pub struct BackupOptions {
    /// These collections only; none means all.
    pub collections: Option<Vec<String>>,
    /// All collections but these.
    pub exclude: Option<Vec<String>>,
    /// `snapshot` (the default) or `none`.
    pub consistency: Option<String>,
    /// If true, the backup sets no server parameter, even if it outlasts the snapshot window.
    pub only_reading: bool,
}

/// Writes a backup of the database into `directory`, which is made where it is not there.
///
/// # Errors
/// [`Error::Settings`], [`Error::WrongState`] while a restore is unfinished, and those of [`dump`].
pub async fn backup(
    engine: &Engine,
    call: &CallContext,
    directory: &Path,
    options: BackupOptions,
) -> Result<BackupReport> {
    let consistency = match options.consistency.as_deref() {
        None | Some("snapshot") => Consistency::Snapshot,
        Some("none") => Consistency::None,
        Some(other) => {
            return Err(Error::Settings(format!("The consistency of a backup is snapshot or none, not {other:?}.")));
        }
    };
    let scope = match (options.collections, options.exclude) {
        (Some(_), Some(_)) => {
            return Err(Error::Settings("Name the collections to back up or those to leave out, not both.".to_owned()));
        }
        (Some(names), None) if names.is_empty() => {
            return Err(Error::Settings("A backup of no collections would hold nothing; name some.".to_owned()));
        }
        (Some(names), None) => BackupScope::Collections(names),
        (None, Some(names)) if !names.is_empty() => BackupScope::Except(names),
        (None, _) => BackupScope::Full,
    };
    let server = engine.server().await?;
    call.reporter.tell(
        observe::Kind::BackupStarted,
        Level::Info,
        format!("Backing up {} into {}.", server.target(), directory.display()),
    );
    let mut passed_over = Vec::new();
    match &scope {
        BackupScope::Collections(names) => refuse_absent(server, names).await?,
        BackupScope::Except(names) => passed_over = absent(&all_names(server).await?, names),
        // A rehearsal may be on a database that does not exist yet.
        BackupScope::Full if !options.only_reading => drop(all_names(server).await?),
        BackupScope::Full => {}
    }
    let raise_window = !options.only_reading;
    let request = DumpRequest { kind: BackupKind::Manual, scope, consistency, raise_window, onlooker: None };
    let warning = if matches!(request.scope, BackupScope::Collections(_)) {
        None
    } else {
        space::warning(server, directory).await
    };
    if let Some(warning) = &warning {
        call.reporter.tell(observe::Kind::Warning, Level::Warning, format!("{warning}."));
    }
    let mut report = dump(server, directory, &request, &call.reporter, &call.stop).await?;
    report.notes.extend(passed_over.iter().map(|name| format!("{name:?} is excluded and does not exist")));
    report.notes.extend(trust::notes(directory));
    Ok(report)
}

/// The names of all collections. The name of a database that is misspelt must not give an empty backup either.
async fn all_names(server: &Server) -> Result<Vec<String>> {
    let found = catalog::names(server, doc! {}).await.map_err(Error::server("Reading the catalog"))?;
    if !found.is_empty() {
        return Ok(found);
    }
    Err(Error::Backup(format!(
        "There is nothing to back up: the database {} does not exist on {}, or has no collection. No backup was made. \
         Check the name (--db, DB_NAME) and the server (--uri, MONGO_URI).",
        server.database(),
        server.target()
    )))
}

/// A name that is misspelt must not give an empty backup.
async fn refuse_absent(server: &Server, names: &[String]) -> Result<()> {
    let there = crate::backup::catalog::list(server, |name| names.iter().any(|it| it == name)).await?;
    let there: Vec<String> = there.into_iter().map(|it| it.name).collect();
    let absent = absent(&there, names);
    if absent.is_empty() {
        return Ok(());
    }
    Err(Error::Settings(format!(
        "{} has no collection {} that a backup could hold. No backup was made. Check the names after --collections.",
        server.target(),
        absent.join(", ")
    )))
}

fn absent(there: &[String], names: &[String]) -> Vec<String> {
    names.iter().filter(|name| !there.contains(name)).cloned().collect()
}
