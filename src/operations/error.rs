//! Why an operation did not finish.

use crate::error::Error;
use crate::error::codes;
use crate::error::server::ServerError;
use crate::run::journal::JournalError;

/// Why an operation did not finish.
#[derive(Debug)]
pub enum OperationError {
    /// It failed: the migration has failed.
    Failed(Failure),
    /// The run must stop; the migration can be carried on.
    Stopped(Error),
}

/// Why an operation failed.
#[derive(Debug, Clone)]
pub struct Failure {
    /// What the server, or the engine, said.
    pub cause: String,
    /// The server's error code.
    pub code: Option<i32>,
    /// What to do, where that is more than the code tells.
    pub remedy: Option<String>,
    /// How many documents were written before it without a transaction, where that is known.
    pub written: Option<i64>,
}

impl Failure {
    /// A failure the engine found.
    pub fn found(cause: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { cause: cause.into(), code: None, remedy: Some(remedy.into()), written: None }
    }
}

impl From<ServerError> for Failure {
    fn from(error: ServerError) -> Self {
        // Nobody must be sent to remove a document that the tool itself has written.
        let own = error.ours && error.is(codes::DUPLICATE_KEY);
        let remedy = own.then(|| {
            "Run the same command again: it reads its record and carries on from there. Remove nothing. If this happens \
             again, report it as a defect."
                .to_owned()
        });
        let remedy = remedy.or_else(|| {
            let advice = error.lacking.as_ref()?.advice();
            Some(format!("{advice}, then run the same command again: it carries on at this operation."))
        });
        Self { cause: error.to_string(), code: error.code, remedy, written: error.written }
    }
}

impl From<Failure> for OperationError {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

impl From<ServerError> for OperationError {
    fn from(error: ServerError) -> Self {
        if error.is_passing() || error.authentication || error.is(codes::LEASE_LOST) {
            return Self::Stopped(Error::server("The migration had to stop")(error));
        }
        Self::Failed(error.into())
    }
}

impl From<Error> for OperationError {
    fn from(error: Error) -> Self {
        Self::Stopped(error)
    }
}

impl From<JournalError> for OperationError {
    fn from(refused: JournalError) -> Self {
        match refused {
            JournalError::Server(error) => error.into(),
            JournalError::Run(error) => Self::Stopped(error),
        }
    }
}

/// A schema operation that failed, or a server that is gone for now.
#[derive(Debug)]
pub enum SchemaError {
    /// The server's answer.
    Server(ServerError),
    /// What the engine found.
    Found(Failure),
}

impl From<ServerError> for SchemaError {
    fn from(error: ServerError) -> Self {
        Self::Server(error)
    }
}

impl From<Failure> for SchemaError {
    fn from(failure: Failure) -> Self {
        Self::Found(failure)
    }
}

impl From<SchemaError> for OperationError {
    fn from(error: SchemaError) -> Self {
        match error {
            SchemaError::Server(error) => error.into(),
            SchemaError::Found(failure) => Self::Failed(failure),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_is_sent_to_remove_what_the_tool_has_written() {
        let advice = |ours: bool| {
            let error = ServerError { ours, ..ServerError::found(codes::DUPLICATE_KEY, "E11000 duplicate key error") };
            let failure = Failure::from(error);
            failure.remedy.unwrap_or_else(|| crate::error::failure::remedy(failure.code, "update_documents").to_owned())
        };
        assert!(advice(false).contains("Remove or change the document"));
        assert!(!advice(true).contains("Remove or change"));
        assert!(advice(true).contains("Run the same command again"));
    }
}
