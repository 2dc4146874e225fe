//! The engine's errors: each is the sentence its reader needs, and its variant is what a caller would
//! treat differently.

use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::mongo::errors::{ServerError, codes};

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
    #[error("{}", .0.sentence())]
    Operation(Box<OperationFailure>),

    /// A check of a migration, or the end state that its operations ask for, does not hold.
    #[error("{}", .0.sentence())]
    Check(Box<CheckFailure>),

    /// The run was asked to stop and has, at a safe point.
    #[error("{0}")]
    Interrupted(String),

    /// No backup has this name.
    #[error("{}", .0.sentence())]
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
                    "{context}: the server cannot be reached: {error}. Run the same command again when it can; it carries on where it stopped."
                ));
            }
            if error.login_missing {
                return Self::Unavailable(format!("{context}: {error}. {LOGIN}."));
            }
            if error.is(codes::UNAUTHORIZED) {
                return Self::Unavailable(format!(
                    "{context}: the server does not allow it: {error}. Use a user with the readWrite and dbAdmin roles on the database."
                ));
            }
            Self::Server { context, error: Box::new(error) }
        }
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

/// A backup that was not found: where it was looked for, and what there is.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct MissingBackup {
    /// The name asked for.
    pub name: String,
    /// Where it was looked for.
    pub looked_in: Vec<String>,
    /// The newest names there are, newest first.
    pub newest: Vec<String>,
}

impl MissingBackup {
    /// All of it as sentences.
    pub fn sentence(&self) -> String {
        let there = match self.newest.as_slice() {
            [] => "There are no backups there.".to_owned(),
            names => format!("The newest there: {}.", names.join(", ")),
        };
        format!("There is no backup {:?}. Looked in {}. {there}", self.name, self.looked_in.join(" and in "))
    }
}

const LOGIN: &str = "The server wants a login; put user and password into MONGO_URI";

/// A failed operation: which, why, what is done so far, and what to do next.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct OperationFailure {
    /// The migration's id.
    pub migration: String,
    /// Where its script comes from: a file's path or the database.
    pub source: String,
    /// `up` or `down`.
    pub direction: String,
    /// Number of the operation, from 1.
    pub index: usize,
    /// How many the script has.
    pub operations: usize,
    /// The operation's type.
    pub kind: String,
    /// The collection it works on.
    pub collection: String,
    /// What the server, or the engine, said.
    pub cause: String,
    /// The server's error code.
    pub code: Option<i32>,
    /// What of this script stands in the database.
    pub done: String,
    /// What to do next.
    pub remedy: String,
}

impl OperationFailure {
    /// All of it as sentences.
    pub fn sentence(&self) -> String {
        format!(
            "{}: operation {} of {} ({} on {:?}, {} script) failed: {}. {} {}",
            self.source,
            self.index,
            self.operations,
            self.kind,
            self.collection,
            self.direction,
            self.cause.trim_end_matches('.'),
            self.done,
            self.remedy
        )
    }
}

/// When something was found that does not hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum When {
    /// A check before the migration.
    Before,
    /// A check after it.
    After,
    /// The verification of what its schema operations ask for.
    EndState,
}

impl When {
    /// As reports and records spell it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Before => "before",
            Self::After => "after",
            Self::EndState => "end_state",
        }
    }
}

/// Checks that do not hold: which, what was found, and what to do next.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CheckFailure {
    /// The migration's id.
    pub migration: String,
    /// Where its script comes from: a file's path or the database.
    pub source: String,
    /// When it was found.
    pub when: When,
    /// What does not hold, each a part of a sentence.
    pub failed: Vec<String>,
}

impl CheckFailure {
    /// All of it as sentences.
    pub fn sentence(&self) -> String {
        let (place, remedy) = match self.when {
            When::Before => (
                "before the migration".to_owned(),
                "Nothing was done. Mend what the check is about, or correct the check in the file; then apply again."
                    .to_owned(),
            ),
            When::After => (
                "after the migration".to_owned(),
                format!(
                    "All its operations are done and the migration is marked failed. `rollback {}` undoes exactly what it did; or mend \
                     what the check is about and apply again, which only checks again.",
                    self.migration
                ),
            ),
            When::EndState => (
                "the end state that its operations ask for does not stand".to_owned(),
                format!(
                    "All its operations are done, so somebody has changed this meanwhile; the migration is marked failed. Put it right and \
                     apply again, which only looks again; or `rollback {}` undoes exactly what the migration did.",
                    self.migration
                ),
            ),
        };
        format!("{}: {place}: {}. {remedy}", self.source, self.failed.join("; "))
    }
}

/// What to do about a server error of an operation.
pub fn remedy(code: Option<i32>, kind: &str) -> &'static str {
    match code {
        Some(codes::DUPLICATE_KEY) if kind == "create_index" => {
            "Make the values unique (the message names one), then apply again."
        }
        Some(codes::DUPLICATE_KEY) => {
            "Remove or change the document that has this key, or the operation that would make it twice, then apply again."
        }
        Some(codes::DOCUMENT_VALIDATION_FAILURE) => {
            "Change the operation so that its result meets the collection's validator, or set bypass_document_validation, then apply again."
        }
        Some(codes::INDEX_OPTIONS_CONFLICT | codes::INDEX_KEY_SPECS_CONFLICT) => {
            "Drop the standing index first (drop_index), or ask for the one that stands."
        }
        Some(codes::WRITE_CONFLICT) => {
            "Another client keeps the document in an open transaction; find it with db.currentOp() and end it, then apply again."
        }
        Some(codes::NAMESPACE_NOT_FOUND) => "Create the collection first (create_collection).",
        Some(codes::NAMESPACE_EXISTS) => "Drop or rename the one that stands, or choose another name.",
        Some(codes::UNAUTHORIZED) => {
            "Grant the user of MONGO_URI the readWrite and dbAdmin roles on the database, then apply again."
        }
        Some(codes::CANNOT_CREATE_INDEX) => "Correct the index's keys or options in the file, then apply again.",
        _ => "Mend the cause, then run the same command again: it carries on at this operation.",
    }
}

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
