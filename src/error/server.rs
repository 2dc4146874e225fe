//! What the server's errors mean: each is classified once, here.

use std::fmt;

use bson::Document;
use mongodb::error::{
    ErrorKind, RETRYABLE_ERROR, SYSTEM_OVERLOADED_ERROR, TRANSIENT_TRANSACTION_ERROR,
    UNKNOWN_TRANSACTION_COMMIT_RESULT, WriteFailure,
};

use super::codes;
use super::foreign;
use super::message::{selection, show, without_documents};
use super::rights::Lacking;
use crate::redact::redact;
use crate::sentence::unended;

/// What people are told when a run has lost its lease.
pub const LEASE_LOST: &str = "This run no longer holds the lock: it was stopped or cut off for longer than its lease lasts, and \
    another run took over, or the record was changed by hand. Nothing more was written. See `status`.";

/// Labels, or names of codes, of a server that has too much to do: it did nothing, and wants to be asked again later.
const OVERLOADED: [&str; 3] = [SYSTEM_OVERLOADED_ERROR, RETRYABLE_ERROR, "TooManyOpenTransactions"];

/// What an error means for whoever may try again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// The server is gone or busy; asking again, later, may well work.
    Passing,
    /// The cursor is lost, what it read so far is not: a new one begins after the last document.
    CursorLost,
    /// Another writer, a session that was ended, or a transaction that ran out of time: another attempt, or a smaller
    /// one, may pass.
    Contended,
    /// More than the server can hold in one transaction, or a command's list of `_id`s in one document: less may pass.
    TooLarge,
    /// Asking again changes nothing.
    Refused,
}

/// What the server, or the way to it, answered.
#[derive(Debug, Clone)]
pub struct ServerError {
    /// The server's error code, where it was the server that answered.
    pub code: Option<i32>,
    /// The server's name for the code.
    pub code_name: String,
    /// The server's words, without secrets.
    pub message: String,
    /// Which of the write's statements it concerns (from 0).
    pub index: Option<usize>,
    /// How many documents were written before it without a transaction, where that is known.
    pub written: Option<i64>,
    /// The transaction was aborted and may be tried again as a whole.
    pub transient_transaction: bool,
    /// The commit may or may not have happened; committing again finds out.
    pub commit_unknown: bool,
    /// The connection failed or no server could be selected.
    pub connection: bool,
    /// The server refused who we are.
    pub authentication: bool,
    /// The server wants a login, and there was none.
    pub login_missing: bool,
    /// The server has too much to do.
    pub overloaded: bool,
    /// The collection that the command was about is one of ours.
    pub ours: bool,
    /// What the user lacks, where the server refused the command for want of rights.
    pub lacking: Option<Box<Lacking>>,
}

impl ServerError {
    /// What it means for whoever may try again.
    pub fn class(&self) -> Class {
        let has = |all: &[i32]| self.code.is_some_and(|code| all.contains(&code));
        if self.authentication {
            Class::Refused
        } else if self.connection || self.commit_unknown || self.overloaded || has(&codes::PASSING) {
            Class::Passing
        } else if has(&[codes::CURSOR_NOT_FOUND, codes::QUERY_PLAN_KILLED, codes::CURSOR_KILLED]) {
            Class::CursorLost
        } else if has(&[
            codes::TRANSACTION_TOO_LARGE,
            codes::TRANSACTION_TOO_LARGE_FOR_CACHE,
            codes::BSON_OBJECT_TOO_LARGE,
        ]) {
            Class::TooLarge
        } else if self.transient_transaction
            || has(&[codes::WRITE_CONFLICT, codes::NO_SUCH_TRANSACTION, codes::INTERRUPTED])
        {
            Class::Contended
        } else {
            Class::Refused
        }
    }

    /// Whether asking again, later, may well work: a lost connection, a changed primary, a lost cursor, a server that
    /// has too much to do, or a majority that could not yet confirm a commit.
    pub fn is_passing(&self) -> bool {
        matches!(self.class(), Class::Passing | Class::CursorLost)
    }

    /// Whether the server refuses one document of a write for what that document is: a unique index, a validator, an index
    /// that cannot hold it. The others may be written without it.
    pub fn refuses_document(&self) -> bool {
        // What may meet any document, and is no fault of this one.
        const OF_ANY: [i32; 8] = [
            codes::UNAUTHORIZED,
            codes::LOCK_TIMEOUT,
            codes::NAMESPACE_NOT_FOUND,
            codes::MAX_TIME_EXPIRED,
            codes::CONFLICTING_OPERATION,
            codes::COMMAND_NOT_SUPPORTED_ON_VIEW,
            codes::NOT_SUPPORTED_IN_TRANSACTION,
            codes::OUT_OF_DISK_SPACE,
        ];
        let own = self.code.is_some_and(|code| code > 0 && !OF_ANY.contains(&code));
        self.index.is_some() && own && self.class() == Class::Refused
    }

    /// Whether the code is `code`.
    pub fn is(&self, code: i32) -> bool {
        self.code == Some(code)
    }

    /// What the engine found, to be treated like the server's `code`.
    pub fn found(code: i32, message: impl Into<String>) -> Self {
        Self {
            code: Some(code),
            code_name: String::new(),
            message: message.into(),
            index: None,
            written: None,
            transient_transaction: false,
            commit_unknown: false,
            connection: false,
            authentication: false,
            login_missing: false,
            overloaded: false,
            ours: false,
            lacking: None,
        }
    }

    /// The lease is another run's.
    pub fn lease_lost() -> Self {
        Self::found(codes::LEASE_LOST, LEASE_LOST)
    }

    /// The error inside a reply, with the reply's labels.
    pub fn from_reply_error(error: &Document, labels: &Document) -> Self {
        let has_label = |name: &str| {
            labels.get_array("errorLabels").is_ok_and(|all| all.iter().any(|label| label.as_str() == Some(name)))
        };
        let mut message = error.get_str("errmsg").unwrap_or_default().to_owned();
        // Code 121 tells the document and the rule only in errInfo.
        if let Ok(info) = error.get_document("errInfo") {
            if let Some(id) = info.get("failingDocumentId") {
                message.push_str(&format!(": document _id {}", show(id)));
            }
            if let Some(details) = info.get("details") {
                message.push_str(&format!(", {}", show(details)));
            }
        }
        let code = error.get_i32("code").ok();
        let code_name = error.get_str("codeName").unwrap_or_default().to_owned();
        Self {
            overloaded: OVERLOADED.iter().any(|name| has_label(name) || code_name == *name),
            login_missing: code == Some(codes::UNAUTHORIZED) && says_login_missing(&message),
            message: redact(unended(&without_documents(code, &message))),
            code,
            code_name,
            index: error.get_i32("index").ok().and_then(|i| usize::try_from(i).ok()),
            written: None,
            transient_transaction: has_label(TRANSIENT_TRANSACTION_ERROR),
            commit_unknown: has_label(UNKNOWN_TRANSACTION_COMMIT_RESULT),
            connection: false,
            authentication: false,
            ours: false,
            lacking: None,
        }
    }
}

impl fmt::Display for ServerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.code {
            Some(codes::LEASE_LOST) => f.write_str(self.message.trim_end_matches('.')),
            Some(code) if self.code_name.is_empty() => write!(f, "{} (code {code})", self.message),
            Some(code) => write!(f, "{} (code {code}, {})", self.message, self.code_name),
            None => f.write_str(&self.message),
        }
    }
}

impl std::error::Error for ServerError {}

impl From<mongodb::error::Error> for ServerError {
    fn from(error: mongodb::error::Error) -> Self {
        let (code, code_name, message) = match error.kind.as_ref() {
            ErrorKind::Command(command) => (Some(command.code), command.code_name.clone(), command.message.clone()),
            // A commit that its session's end or a step-down interrupts.
            ErrorKind::Write(WriteFailure::WriteConcernError(concern)) => {
                (Some(concern.code), concern.code_name.clone(), concern.message.clone())
            }
            ErrorKind::ServerSelection { message, .. } => (None, String::new(), selection(message)),
            other => (None, String::new(), foreign::driver(other)),
        };
        let connection = matches!(
            error.kind.as_ref(),
            ErrorKind::Io(_)
                | ErrorKind::ConnectionPoolCleared { .. }
                | ErrorKind::ServerSelection { .. }
                | ErrorKind::DnsResolve { .. }
        );
        let authentication = matches!(error.kind.as_ref(), ErrorKind::Authentication { .. })
            || code == Some(codes::AUTHENTICATION_FAILED)
            // Where no server could be selected, the driver has what refused the log-in in its text only. The text of
            // other kinds may be the application's.
            || (connection && message.contains("Authentication failed"));
        Self {
            overloaded: OVERLOADED.iter().any(|name| error.contains_label(name) || code_name == *name),
            login_missing: code == Some(codes::UNAUTHORIZED) && says_login_missing(&message),
            message: redact(unended(&without_documents(code, &message))),
            code,
            code_name,
            index: None,
            written: None,
            transient_transaction: error.contains_label(TRANSIENT_TRANSACTION_ERROR),
            commit_unknown: error.contains_label(UNKNOWN_TRANSACTION_COMMIT_RESULT),
            connection,
            authentication,
            ours: false,
            lacking: None,
        }
    }
}

/// A reply with `ok: 1` may still tell of writes that failed.
pub fn checked(reply: Document) -> Result<Document, ServerError> {
    if let Some(error) =
        reply.get_array("writeErrors").ok().and_then(|errors| errors.first()).and_then(|error| error.as_document())
    {
        return Err(ServerError::from_reply_error(error, &reply));
    }
    if let Ok(error) = reply.get_document("writeConcernError") {
        return Err(ServerError::from_reply_error(error, &reply));
    }
    Ok(reply)
}

/// Code 13 means that the user lacks a right, or that there is no user at all.
fn says_login_missing(message: &str) -> bool {
    message.ends_with(" requires authentication")
}

#[cfg(test)]
#[path = "server_tests.rs"]
mod tests;
