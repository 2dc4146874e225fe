//! The engine: one public function per verb, and what they share.
//!
//! Deciding is separate from doing: [`selection`] turns files and records into a plan, and [`scripts`] runs
//! the plan, under the lease and entry by entry of the journal.

pub mod assessment;
pub mod backup;
pub mod backups;
pub mod check;
pub mod compare;
mod end_state;
mod exact;
pub mod inventory;
pub mod mark;
mod migration_report;
mod one_migration;
mod overreach;
mod own;
pub mod plan;
pub mod planned;
mod planning;
pub mod purge;
pub mod register;
pub mod reports;
pub mod restore;
mod retention;
mod rights;
pub mod scripts;
pub mod selection;
pub mod status;
pub mod undrop;
mod unfinished;
pub mod unlock;
mod unreported;
mod verify;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::OnceCell;

use crate::capture::stash;
use crate::error::{Error, Result};
use crate::mongo::retry::{Retry, retry};
use crate::mongo::server::Server;
use crate::names::Names;
use crate::observe::{Kind, Level, Observer, Reporter, Stop};
use crate::run::worker::Workers;
use crate::run::{self, handle::Run};

/// The server's own databases: never a target.
const REFUSED_DATABASES: [&str; 3] = ["admin", "local", "config"];

/// One database and one migrations directory. Connects at first use.
#[derive(Debug)]
pub struct Engine {
    uri: String,
    database: String,
    migrations_dir: Option<PathBuf>,
    names: Names,
    server: OnceCell<Server>,
}

/// The reporter of one call of a verb, and what stops the call.
#[derive(Debug, Clone)]
pub struct CallContext {
    /// The reporter of progress and warnings.
    pub reporter: Reporter,
    /// What asks it to stop at a safe point.
    pub stop: Stop,
    /// How many chunks of one operation are under way at once.
    pub workers: Workers,
}

impl CallContext {
    /// A verb that reports to `observer` and stops on `stop`.
    pub fn new(observer: Arc<dyn Observer>, stop: Stop) -> Self {
        Self { reporter: Reporter::new(observer), stop, workers: Workers::default() }
    }
}

impl Engine {
    /// An engine for `database` behind `uri`, with the ledger named by `names`. Without `migrations_dir` it knows the
    /// database's records only.
    ///
    /// # Errors
    /// [`Error::Settings`] for a URI that is none and for a database that is refused as a target.
    pub fn new(uri: &str, database: &str, migrations_dir: Option<PathBuf>, names: Names) -> Result<Self> {
        if !uri.starts_with("mongodb://") && !uri.starts_with("mongodb+srv://") {
            return Err(Error::Settings(
                "The connection string must have the scheme mongodb or mongodb+srv.".to_owned(),
            ));
        }
        check_database(database)?;
        Ok(Self { uri: uri.to_owned(), database: database.to_owned(), migrations_dir, names, server: OnceCell::new() })
    }

    /// The migrations directory.
    pub fn migrations_dir(&self) -> Option<&Path> {
        self.migrations_dir.as_deref()
    }

    /// The database's name.
    pub fn database(&self) -> &str {
        &self.database
    }

    /// The connection, made at first use.
    ///
    /// # Errors
    /// As [`Server::connect`].
    pub async fn server(&self) -> Result<&Server> {
        self.server.get_or_try_init(|| Server::connect(&self.uri, &self.database, self.names.clone())).await
    }
}

/// Takes the lease for a verb that works on migrations, and ends what a killed run has left half done.
///
/// # Errors
/// As [`run::open`].
async fn start(server: &Server, command: &str, lock_timeout: Duration, call: &CallContext) -> Result<Run> {
    let run = run::open(server, command, lock_timeout, call.workers, &call.reporter, &call.stop).await?;
    let message = match resume_expiry(&run, call).await {
        Ok(resumed) if resumed.is_empty() => return Ok(run),
        Ok(resumed) => format!(
            "The TTL of {} is active again: an earlier run had suspended it and was stopped.",
            resumed.join(", ")
        ),
        Err(error @ (Error::LeaseLost(_) | Error::Interrupted(_))) => {
            run.close().await;
            return Err(error);
        }
        Err(error) => error.to_string(),
    };
    run.reporter.tell(Kind::Warning, Level::Warning, message);
    Ok(run)
}

async fn resume_expiry(run: &Run, call: &CallContext) -> Result<Vec<String>> {
    let mut retry = Retry::new(&call.reporter, &call.stop);
    retry!(retry, stash::resume_left(&run.server)).map_err(Error::server("Resuming the expiry of a collection"))
}

/// Refuses what cannot be a target.
///
/// # Errors
/// [`Error::Settings`].
pub fn check_database(database: &str) -> Result<()> {
    if REFUSED_DATABASES.contains(&database) {
        return Err(Error::Settings(format!(
            "{database:?} is the server's own database and no target for migrations; name yours with DB_NAME or --db."
        )));
    }
    // Source: MongoDB manual, "Naming Restrictions".
    if database.is_empty() || database.len() > 63 || database.contains(['/', '\\', '.', ' ', '"', '$', '\0']) {
        return Err(Error::Settings(format!(
            "{database:?} cannot be a database's name: it must have 1 to 63 bytes, without / \\ . \" $ and spaces."
        )));
    }
    Ok(())
}
