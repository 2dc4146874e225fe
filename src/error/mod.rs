//! The engine's errors: each is the sentence its reader needs, and its variant is what a caller would
//! treat differently.

pub mod codes;
pub mod failure;
pub mod foreign;
pub mod message;
pub mod rights;
pub mod server;

use std::path::{Path, PathBuf};

use self::failure::{CheckFailure, MissingBackup, OperationFailure};
use self::server::ServerError;

/// Result of anything in the engine.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why something could not be done.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    /// A connection string, database name or argument that cannot be used.
    #[error("{0}")]
    Settings(String),

    /// A migration file or script that cannot be read or means nothing.
    #[error("{message}")]
    Invalid {
        /// The file, where it comes from one.
        file: Option<PathBuf>,
        /// The whole sentence, file and position included.
        message: String,
    },

    /// No migration answers to the id, or several do.
    #[error("{0}")]
    Unknown(String),

    /// The migration is not in a state in which this can be done.
    #[error("{0}")]
    WrongState(String),

    /// A script changed after it was applied or begun.
    #[error("{0}")]
    ScriptChanged(String),

    /// The ledger's collection is somebody else's.
    #[error("{0}")]
    ForeignLedger(String),

    /// `--strict-order` refused a migration that sorts before an applied one.
    #[error("{0}")]
    OutOfOrder(String),

    /// Another run holds the lock.
    #[error("{message}")]
    LockHeld {
        /// The whole sentence.
        message: String,
        /// Who holds it.
        owner: Box<crate::holder::Holder>,
    },

    /// This run lost its lease and has stopped.
    #[error("{0}")]
    LeaseLost(String),

    /// No server answers, or it refuses us.
    #[error("{0}")]
    Unavailable(String),

    /// The server refused something outside a migration's operations.
    #[error("{context}: {error}.")]
    Server {
        /// What was being done.
        context: String,
        /// What the server said.
        error: Box<ServerError>,
    },

    /// An operation of a migration failed.
    #[error("{}", .0.message())]
    Operation(Box<OperationFailure>),

    /// A check of a migration, or the end state that its operations ask for, does not hold.
    #[error("{}", .0.message())]
    Check(Box<CheckFailure>),

    /// The run was asked to stop and has, at a safe point.
    #[error("{0}")]
    Interrupted(String),

    /// No backup has this name.
    #[error("{}", .0.message())]
    BackupMissing(Box<MissingBackup>),

    /// A backup is not as it was written, or no backup of ours.
    #[error("{message}")]
    BackupCorrupt {
        /// The file.
        file: PathBuf,
        /// The whole sentence, file included.
        message: String,
    },

    /// The backup is another database's.
    #[error("{0}")]
    OtherDatabase(String),

    /// The server no longer has the state that was being read.
    #[error("{0}")]
    SnapshotLost(String),

    /// A file system is full, or a limit on files is reached.
    #[error("{0}")]
    DiskFull(String),

    /// A backup could not be made, read or restored.
    #[error("{0}")]
    Backup(String),
}

impl Error {
    /// The message in its parts, where it is made of some: what failed, what is done so far, what to do next.
    pub fn parts(&self) -> Option<Vec<String>> {
        match self {
            Self::Operation(failure) => Some(failure.parts()),
            Self::Check(failure) => Some(failure.parts()),
            Self::BackupMissing(missing) => Some(missing.parts()),
            _ => None,
        }
    }

    /// The server cannot be reached or refuses us.
    pub fn unavailable(target: &str, error: &ServerError) -> Self {
        let advice = if error.authentication {
            "The server refuses these credentials; check user, password and authSource in MONGO_URI"
        } else if error.login_missing {
            LOGIN
        } else {
            "Check that the server runs and that MONGO_URI names it, then run the command again"
        };
        Self::Unavailable(format!("Cannot use MongoDB at {target}: {error}. {advice}."))
    }

    /// Something outside a migration's operations failed: `context` says what was being done.
    pub fn server(context: impl Into<String>) -> impl FnOnce(ServerError) -> Self {
        let context = context.into();
        move |error| {
            if error.is(codes::LEASE_LOST) {
                return Self::LeaseLost(error.message);
            }
            if error.is_passing() || error.authentication {
                return Self::Unavailable(format!(
                    "{context}: the server cannot be reached: {error}. Run the same command again when it can. It carries on where it stopped."
                ));
            }
            if error.login_missing {
                return Self::Unavailable(format!("{context}: {error}. {LOGIN}."));
            }
            if error.is(codes::UNAUTHORIZED) {
                let advice =
                    error.lacking.as_ref().map_or_else(|| ASK_FOR_RIGHTS.to_owned(), |lacking| lacking.advice());
                return Self::Unavailable(format!(
                    "{context}: the server does not allow it: {error}. {advice}, then run the command again."
                ));
            }
            Self::Server { context, error: Box::new(error) }
        }
    }

    /// A thread of this program broke off, which is a fault of ours: `what` is the work that it did.
    pub fn broke_off(what: impl std::fmt::Display) -> Self {
        Self::Backup(format!(
            "{what} ended unexpectedly, by a fault of this program. It is as after a kill: run the same command again. If it \
             happens again, report it with what LOG_LEVEL=DEBUG prints."
        ))
    }

    /// A file that cannot be used; `what` is the rest of the sentence.
    pub fn invalid(file: Option<&Path>, what: impl AsRef<str>) -> Self {
        let message = match file {
            Some(path) => format!("{}: {}", path.display(), what.as_ref()),
            None => what.as_ref().to_owned(),
        };
        Self::Invalid { file: file.map(Path::to_path_buf), message }
    }
}

/// What to do where nobody knows which right is missing.
pub const ASK_FOR_RIGHTS: &str = "Grant the user of MONGO_URI the rights that the documentation lists for the command";

const LOGIN: &str = "The server wants a login; put user and password into MONGO_URI";

/// An error together with what had been done when it struck.
#[derive(Debug, thiserror::Error)]
#[error("{error}")]
pub struct Failed<R: std::fmt::Debug> {
    /// What went wrong.
    pub error: Error,
    /// What was done so far.
    pub report: Option<Box<R>>,
}

impl<R: std::fmt::Debug> From<Error> for Failed<R> {
    fn from(error: Error) -> Self {
        Self { error, report: None }
    }
}
