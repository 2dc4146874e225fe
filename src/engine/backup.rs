//! `backup`: writes a backup. Takes no lease and needs read rights only.

use std::path::Path;

use bson::doc;

use super::{CallContext, Engine};
use crate::backup::dump::attempt::DumpRequest;
use crate::backup::dump::dump;
use crate::backup::format::manifest::{BackupKind, BackupScope, Consistency};
use crate::backup::report::BackupReport;
use crate::error::{Error, Result};
use crate::observe::{self, Level};

/// What to back up, and how.
#[derive(Debug, Clone, Default)]
pub struct BackupOptions {
    /// These collections only; none means all.
    pub collections: Option<Vec<String>>,
    /// `snapshot` (the default) or `none`.
    pub consistency: Option<String>,
    /// Whether the server's snapshot window stays as it is, however long the backup takes: nothing is set there.
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
    let scope = match options.collections {
        None => BackupScope::Full,
        Some(names) if names.is_empty() => {
            return Err(Error::Settings("A backup of no collections would hold nothing; name some.".to_owned()));
        }
        Some(names) => BackupScope::Collections(names),
    };
    let server = engine.server().await?;
    call.reporter.tell(
        observe::Kind::BackupStarted,
        Level::Info,
        format!("Backing up {} into {}.", server.target(), directory.display()),
    );
    match &scope {
        BackupScope::Collections(names) => exist(server, names).await?,
        // A rehearsal may be on a database that does not exist yet.
        BackupScope::Full if !options.only_reading => any(server).await?,
        BackupScope::Full => {}
    }
    let request = DumpRequest { kind: BackupKind::Manual, scope, consistency, raise_window: !options.only_reading };
    dump(server, directory, &request, &call.reporter, &call.stop).await
}

/// The name of a database that is misspelt must not give an empty backup either.
async fn any(server: &crate::mongo::server::Server) -> Result<()> {
    let command = doc! {"listCollections": 1, "nameOnly": true, "cursor": {}};
    let found = server.find_all(command).await.map_err(Error::server("Reading the catalog"))?;
    if !found.is_empty() {
        return Ok(());
    }
    Err(Error::Backup(format!(
        "There is nothing to back up: the database {} does not exist on {}, or has no collection. No backup was made. \
         Check the name (--db, DB_NAME) and the server (--uri, MONGO_URI).",
        server.database(),
        server.target()
    )))
}

/// A name that is misspelt must not give an empty backup.
async fn exist(server: &crate::mongo::server::Server, names: &[String]) -> Result<()> {
    let there = crate::backup::catalog::list(server, |name| names.iter().any(|it| it == name)).await?;
    let missing: Vec<&str> =
        names.iter().filter(|name| !there.iter().any(|it| it.name == **name)).map(String::as_str).collect();
    if missing.is_empty() {
        return Ok(());
    }
    Err(Error::Settings(format!(
        "{} has no collection {} that a backup could hold.",
        server.target(),
        missing.join(", ")
    )))
}
