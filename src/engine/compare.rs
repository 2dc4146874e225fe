//! `compare`: what differs between the database and another one of the same server; and a copy of the database to
//! compare with later. For rehearsals and for testing migrations: no command of its own.

use std::path::Path;
use std::time::Duration;

use bson::doc;

use super::{CallContext, Engine, check_database};
use crate::analysis::compare::report::Comparison;
use crate::analysis::compare::report::Hashes;
use crate::backup::dump::attempt::DumpRequest;
use crate::backup::dump::dump;
use crate::backup::format::manifest::{BackupKind, BackupScope, Consistency};
use crate::backup::restore::plan::Choice;
use crate::backup::restore::{self, Restoring};
use crate::backup::{store, verify};
use crate::error::codes;
use crate::error::{Error, Result};
use crate::mongo::profile::Topology;
use crate::names::{OLD_ASSESSMENT_BACKUP, OLD_BACKUPS};
use crate::run::worker::Workers;
use crate::run::{self, handle::Run};

/// What differs between `before`, a database of the same server, and the engine's. `known` are the hashes of `before`
/// that an earlier comparison reported, where it is as it was.
///
/// # Errors
/// [`Error::Settings`] for a database that is refused, [`Error::Interrupted`], or the server's.
pub async fn compare(engine: &Engine, call: &CallContext, before: &str, known: Option<Hashes>) -> Result<Comparison> {
    check_database(before)?;
    let server = engine.server().await?;
    crate::analysis::compare::compare(&server.with_database(before), server, known, &call.stop).await
}

/// Brings the database `into` of the same server to the state of the engine's: of `collections` or of all. A backup in
/// `directory` is the way; it is left there.
///
/// # Errors
/// The sizes of a backup and of a restore.
pub async fn copy(
    engine: &Engine,
    call: &CallContext,
    into: &str,
    directory: &Path,
    collections: Option<Vec<String>>,
) -> Result<()> {
    check_other(engine, into)?;
    let server = engine.server().await?;
    let scope = collections.map_or(BackupScope::Full, BackupScope::Collections);
    let request = DumpRequest {
        kind: BackupKind::Manual,
        scope,
        consistency: Consistency::None,
        raise_window: false,
        onlooker: None,
    };
    let written = dump(server, directory, &request, &call.reporter, &call.stop).await?;
    let mut source = store::find(directory, &written.name, None, engine.database()).await?;
    verify::verify(&mut source, &call.reporter, &call.stop).await?;
    let target = server.with_database(into);
    let restoring = Restoring { choice: Choice::default(), safety: None };
    let mut run = run::open(&target, "copy", Duration::from_secs(10), Workers::ONE, &call.reporter, &call.stop).await?;
    let result = match drop_old_backups(&run, &source.scope).await {
        Ok(()) => restore::restore(&mut run, &source, &restoring).await.map(drop),
        Err(error) => Err(error),
    };
    run.close().await;
    result
}

/// Drops what a restore leaves alone where it exists: in a copy it must be the same, too.
async fn drop_old_backups(run: &Run, scope: &BackupScope) -> Result<()> {
    for name in [OLD_BACKUPS, OLD_ASSESSMENT_BACKUP].into_iter().filter(|it| scope.includes(it)) {
        match run.server.run(doc! {"drop": name}, None).await {
            Err(e) if !e.is(codes::NAMESPACE_NOT_FOUND) => return Err(Error::server(format!("Dropping {name:?}"))(e)),
            _ => {}
        }
    }
    Ok(())
}

/// Drops `database` of the same server, which must not be the engine's own: a copy that has served its purpose.
///
/// # Errors
/// [`Error::Settings`] for a database that is refused, or the server's.
pub async fn drop_copy(engine: &Engine, database: &str) -> Result<()> {
    check_other(engine, database)?;
    let server = engine.server().await?.with_database(database);
    server
        .without_lease()
        .run(doc! {"dropDatabase": 1, "writeConcern": {"w": "majority"}}, None)
        .await
        .map(drop)
        .map_err(Error::server(format!("Dropping the database {database}")))
}

/// The version of the server.
///
/// # Errors
/// As [`Engine::server`].
pub async fn server_version(engine: &Engine) -> Result<Option<String>> {
    Ok(Some(engine.server().await?.profile().version_text.clone()))
}

/// The version and the kind of deployment of the server, as in `MongoDB 6.0.5, replica set rs0, primary db1:27017`.
///
/// # Errors
/// The server's.
pub async fn describe_server(engine: &Engine) -> Result<String> {
    let server = engine.server().await?;
    let profile = server.profile();
    let topology = match &profile.topology {
        Topology::Standalone => "standalone server".to_owned(),
        Topology::Sharded => "sharded cluster".to_owned(),
        Topology::ReplicaSet(set) => {
            let hello = server.run_admin(doc! {"hello": 1}).await.map_err(Error::server("Asking for the primary"))?;
            match hello.get_str("primary") {
                Ok(primary) => format!("replica set {set}, primary {primary}"),
                Err(_) => format!("replica set {set}, no primary known"),
            }
        }
    };
    let compatible = server.feature_compatibility().await.filter(|it| profile.version.behind(*it));
    let compatible = compatible.map_or_else(String::new, |it| format!(" (feature compatibility {}.{})", it.0, it.1));
    Ok(format!("MongoDB {}{compatible}, {topology}", profile.version_text))
}

fn check_other(engine: &Engine, database: &str) -> Result<()> {
    check_database(database)?;
    if database == engine.database() {
        return Err(Error::Settings(format!("The copy of {database:?} needs another name.")));
    }
    Ok(())
}
