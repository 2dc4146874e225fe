//! `restore`: brings a database to the state of a backup.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::{CallContext, Engine, check_database};
use crate::backup::format::files::blocking;
use crate::backup::format::manifest::BackupScope;
use crate::backup::format::space;
use crate::backup::mongodump::listing::Opening;
use crate::backup::report::{EarlierRestore, RestoreReport};
use crate::backup::restore::plan::Choice;
use crate::backup::restore::{self, Restoring};
use crate::backup::source::BackupSource;
use crate::backup::{mongodump, store, verify};
use crate::error::{Error, Result};
use crate::mongo::server::Server;
use crate::run::{self, worker::Workers};

/// What to restore.
#[derive(Debug, Clone)]
pub enum RestoreSource {
    /// The backup of this name, in the backup directory or in the old tool's collection.
    Name(String),
    /// What mongodump wrote: a directory, an archive, or one collection's file.
    Mongodump(PathBuf),
    /// Nothing: only take a restore that was killed to its end.
    Unfinished,
    /// Nothing: only give up a restore that was killed.
    Abandoned,
}

/// How to restore.
#[derive(Debug, Clone, Default)]
pub struct RestoreOptions {
    /// These collections only.
    pub collections: Option<Vec<String>>,
    /// All collections but these, which stay as they are.
    pub exclude: Vec<String>,
    /// Whether no indexes are built besides those on `_id`.
    pub no_indexes: bool,
    /// Whether collections that the backup lacks stay.
    pub keep_extra: bool,
    /// Whether collections that a dump of mongodump lacks go: a dump may hold only some.
    pub drop_extra: bool,
    /// Whether what is replaced is not saved first.
    pub no_safety_backup: bool,
    /// Whether the backup may be another database's.
    pub allow_different_db: bool,
    /// The database to restore into, instead of the engine's.
    pub into: Option<String>,
}

/// Restores, under the lease of the database that is restored into. Backups are looked for in `directory`, and the
/// safety backup goes there.
///
/// # Errors
/// [`Error::BackupMissing`], [`Error::BackupCorrupt`] and [`Error::OtherDatabase`] before anything is written; those of
/// [`restore::restore`] after.
pub async fn restore(
    engine: &Engine,
    call: &CallContext,
    directory: &Path,
    from: RestoreSource,
    options: RestoreOptions,
    lock_timeout: Duration,
) -> Result<RestoreReport> {
    if options.collections.is_some() && !options.exclude.is_empty() {
        return Err(Error::Settings("Name the collections to restore or those to leave out, not both.".to_owned()));
    }
    let target = options.into.as_deref().unwrap_or(engine.database());
    check_database(target)?;
    let source = match &from {
        RestoreSource::Name(name) => {
            crate::backup::names::check(name)?;
            Some(store::find(directory, name, Some(engine.server().await?), engine.database()).await?)
        }
        RestoreSource::Mongodump(path) => Some(dump(engine, call, path, directory, options.drop_extra).await?),
        RestoreSource::Unfinished | RestoreSource::Abandoned => None,
    };
    let server = engine.server().await?.with_database(target);
    let source = match source {
        Some(mut source) => {
            let consent = options.allow_different_db || options.into.is_some();
            if source.database != target && !consent {
                return Err(other_database(&source, &server));
            }
            space::refuse_full_server(&server, source.stored_bytes()).await?;
            verify::verify(&mut source, &call.reporter, &call.stop).await?;
            Some(source)
        }
        None => None,
    };
    let choice = Choice {
        collections: options.collections,
        exclude: options.exclude,
        keep_extra: options.keep_extra,
        no_indexes: options.no_indexes,
    };
    let restoring = Restoring { choice, safety: (!options.no_safety_backup).then_some(directory) };
    let mut run = run::open(&server, "restore", lock_timeout, Workers::ONE, &call.reporter, &call.stop).await?;
    let result = match &source {
        Some(source) => restore::restore(&mut run, source, &restoring).await,
        None if matches!(from, RestoreSource::Abandoned) => {
            restore::abandon::abandon(&mut run).await.map(|(earlier, notes)| nothing_new(&server, earlier, notes))
        }
        None => restore::recover(&mut run).await.map(|earlier| nothing_new(&server, earlier, Vec::new())),
    };
    run.close().await;
    result
}

async fn dump(engine: &Engine, call: &CallContext, path: &Path, room: &Path, drop_extra: bool) -> Result<BackupSource> {
    let (path, room, database) = (path.to_owned(), room.to_owned(), engine.database().to_owned());
    let (reporter, stop) = (call.reporter.clone(), call.stop.clone());
    let mut source = blocking(move || {
        mongodump::open(&Opening { path: &path, database: &database, room: &room, reporter: &reporter, stop: &stop })
    })
    .await?;
    if drop_extra {
        source.scope = BackupScope::Full;
    }
    Ok(source)
}

fn other_database(source: &BackupSource, server: &Server) -> Error {
    Error::OtherDatabase(format!(
        "{} is a backup of the database {}, not of {}. --allow-different-db restores it there all the same. --into restores into \
         the database that it names.",
        source.name,
        source.database,
        server.target()
    ))
}

/// The report of a run that only ended an earlier restore.
fn nothing_new(server: &Server, earlier: EarlierRestore, notes: Vec<String>) -> RestoreReport {
    RestoreReport {
        name: String::new(),
        database: server.database().to_owned(),
        of_database: server.database().to_owned(),
        collections: 0,
        documents: 0,
        bytes: 0,
        indexes: 0,
        dropped: Vec::new(),
        left_alone: Vec::new(),
        safety_backup: None,
        earlier,
        notes,
        seconds: 0.0,
    }
}
