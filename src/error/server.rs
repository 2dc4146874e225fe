//! What the server's errors mean: each is classified once, here.

use std::fmt;

use bson::Document;
use mongodb::error::{
    ErrorKind, RETRYABLE_ERROR, SYSTEM_OVERLOADED_ERROR, TRANSIENT_TRANSACTION_ERROR,
    UNKNOWN_TRANSACTION_COMMIT_RESULT, WriteFailure,
};

use super::foreign;
use super::rights::Lacking;
use crate::redact::redact;
use crate::sentence::unended;

/// What people are told when a run has lost its lease.
pub const LEASE_LOST: &str = "This run no longer holds the lock: it was stopped or cut off for longer than its lease lasts, and \
    another run took over, or the record was changed by hand. Nothing more was written. See `status`.";

/// Server error codes the engine acts on.
/// Source: `src/mongo/base/error_codes.yml` of the MongoDB server.
pub mod codes {
    #![allow(missing_docs)]
    /// None of the server's: an attempt that learned something and is to be made again at once.
    pub const TRY_AGAIN: i32 = -1;
    /// None of the server's: the proof of the lease touched nothing. Every error that is made of it stops the run.
    pub const LEASE_LOST: i32 = -2;
    pub const UNAUTHORIZED: i32 = 13;
    pub const AUTHENTICATION_FAILED: i32 = 18;
    pub const ILLEGAL_OPERATION: i32 = 20;
    pub const TYPE_MISMATCH: i32 = 14;
    pub const INVALID_BSON: i32 = 22;
    pub const NAMESPACE_NOT_FOUND: i32 = 26;
    pub const INDEX_NOT_FOUND: i32 = 27;
    pub const PATH_NOT_VIABLE: i32 = 28;
    pub const CURSOR_NOT_FOUND: i32 = 43;
    pub const NAMESPACE_EXISTS: i32 = 48;
    pub const MAX_TIME_EXPIRED: i32 = 50;
    pub const CANNOT_CREATE_INDEX: i32 = 67;
    pub const INDEX_OPTIONS_CONFLICT: i32 = 85;
    pub const INDEX_KEY_SPECS_CONFLICT: i32 = 86;
    pub const INVALID_OPTIONS: i32 = 72;
    pub const IMMUTABLE_FIELD: i32 = 66;
    pub const WRITE_CONFLICT: i32 = 112;
    pub const CONFLICTING_OPERATION: i32 = 117;
    pub const DOCUMENT_VALIDATION_FAILURE: i32 = 121;
    pub const NO_SUCH_TRANSACTION: i32 = 251;
    /// The cursor was ended, with its session or by hand.
    pub const CURSOR_KILLED: i32 = 237;
    /// A capped collection was overwritten faster than it was read.
    pub const CAPPED_POSITION_LOST: i32 = 136;
    pub const CANNOT_INDEX_PARALLEL_ARRAYS: i32 = 171;
    /// The collection of a cursor was dropped or renamed, or an index that its plan used.
    pub const QUERY_PLAN_KILLED: i32 = 175;
    pub const LOCK_TIMEOUT: i32 = 24;
    pub const NOT_SUPPORTED_IN_TRANSACTION: i32 = 263;
    pub const SNAPSHOT_TOO_OLD: i32 = 239;
    pub const SNAPSHOT_UNAVAILABLE: i32 = 246;
    pub const COMMAND_NOT_SUPPORTED_ON_VIEW: i32 = 166;
    pub const TRANSACTION_TOO_LARGE: i32 = 257;
    pub const CANNOT_CONVERT_INDEX_TO_UNIQUE: i32 = 359;
    pub const TRANSACTION_TOO_LARGE_FOR_CACHE: i32 = 388;
    pub const BSON_OBJECT_TOO_LARGE: i32 = 10334;
    pub const DUPLICATE_KEY: i32 = 11000;
    pub const INTERRUPTED: i32 = 11601;
    pub const OUT_OF_DISK_SPACE: i32 = 14031;
    /// The language that a document says for a text index is no text, or none that the server knows.
    pub const LANGUAGE_OVERRIDE_TYPE: i32 = 17261;
    pub const LANGUAGE_OVERRIDE_UNSUPPORTED: i32 = 17262;
    /// `min` and `max` leave nothing between them.
    pub const EMPTY_RANGE: i32 = 51175;
    /// The primary changed, or the node is going away or has too much to do: the command was not carried out, or its
    /// result is unknown, and it is worth asking again.
    /// In order: host unreachable, host not found, network timeout, shutdown in progress, no member fits the read
    /// preference, majority reads not yet possible, primary stepped down, exceeded time limit, temporarily unavailable,
    /// too many requests, socket closed, not primary (old form), not primary, interrupted at shutdown, interrupted by a
    /// state change, not primary and no secondary reads, neither.
    pub const PASSING: [i32; 17] =
        [6, 7, 89, 91, 133, 134, 189, 262, 365, 462, 9001, 10058, 10107, 11600, 11602, 13435, 13436];
}

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

/// Code 13 stands for a right that the user lacks, and for there being no user at all.
fn says_login_missing(message: &str) -> bool {
    message.ends_with(" requires authentication")
}

/// The longest message that is passed on, in characters.
const LONGEST_MESSAGE: usize = 1_000;

/// A server's message without the documents that it quotes: what is stored of an error, in the ledger, in backups and
/// in logs, must not hold the application's data.
fn without_documents(code: Option<i32>, message: &str) -> String {
    // "not authorized on shop to execute command { insert: \"users\", documents: [ … ], lsid: …, signature: … }"
    if let Some((before, command)) = message.split_once(" to execute command {") {
        let name: String = command.trim_start().chars().take_while(|it| it.is_ascii_alphanumeric()).collect();
        let collection = command.trim_start()[name.len()..].strip_prefix(": \"").and_then(|it| it.split('"').next());
        let collection = collection.map(|it| format!(" on {it:?}")).unwrap_or_default();
        return format!("{before} to execute the command {name}{collection}");
    }
    // "Cannot create field 'b' in element {a: …}"
    if code == Some(codes::PATH_NOT_VIABLE)
        && let Some((before, element)) = message.split_once(" in element {")
    {
        let name = element.split(':').next().unwrap_or_default();
        return format!("{before} in element {name:?}, which is no document");
    }
    match message.char_indices().nth(LONGEST_MESSAGE) {
        Some((cut, _)) => format!("{}…", &message[..cut]),
        None => message.to_owned(),
    }
}

/// The driver's account of a server selection that failed, without the internals it prints along: each
/// server and why it could not be used.
fn selection(message: &str) -> String {
    let servers: Vec<String> = message
        .split("{ Address: ")
        .skip(1)
        .filter_map(|server| {
            let address = server.split([',', ' ']).next()?;
            let error = server.split_once("Error: Kind: ")?.1;
            let error = error.split_once(", labels:").map_or(error, |(error, _)| error);
            Some(format!("{address}: {}", unended(error.trim_start_matches("I/O error: "))))
        })
        .collect();
    if servers.is_empty() { message.to_owned() } else { format!("no server can be used ({})", servers.join("; ")) }
}

/// A value as relaxed Extended JSON, short enough for a message.
pub fn show(value: &bson::Bson) -> String {
    let text = value.clone().into_relaxed_extjson().to_string();
    match text.char_indices().nth(400) {
        Some((cut, _)) => format!("{}…", &text[..cut]),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_selection_names_servers_and_reasons_only() {
        let driver = "Server selection timeout: No available servers. Topology: { Type: Unknown, Servers: [ \
            { Address: db1:1, Type: Unknown, Error: Kind: I/O error: Connection refused (os error 111), labels: {\"X\"}, \
            source: None, server response: None }, { Address: db2:2, Type: Unknown, Error: Kind: Authentication failed., labels: {} } ] }";
        assert_eq!(
            selection(driver),
            "no server can be used (db1:1: Connection refused (os error 111); db2:2: Authentication failed)"
        );
        assert_eq!(selection("something else"), "something else");
    }

    #[test]
    fn errors_are_classified_by_code_and_label() {
        let class = |code: i32| ServerError::found(code, "").class();
        for code in [91, 133, 134, 365, 462, 10107] {
            assert_eq!(class(code), Class::Passing, "{code}");
        }
        for code in [43, 175, 237] {
            assert_eq!(class(code), Class::CursorLost, "{code}");
        }
        for code in [112, 251, 11601] {
            assert_eq!(class(code), Class::Contended, "{code}");
        }
        for code in [257, 388, 10334] {
            assert_eq!(class(code), Class::TooLarge, "{code}");
        }
        assert_eq!(class(11000), Class::Refused);
        for label in ["SystemOverloadedError", "RetryableError", "TooManyOpenTransactions"] {
            let labels = bson::doc! {"errorLabels": [label]};
            let error = ServerError::from_reply_error(&bson::doc! {"code": 1, "errmsg": "busy"}, &labels);
            assert_eq!(error.class(), Class::Passing, "{label}");
        }
    }

    #[test]
    fn what_a_document_says_classifies_nothing() {
        let reply = bson::doc! {"code": 11000, "errmsg": "E11000 dup key: { title: \"Authentication failed\" }"};
        let error = ServerError::from_reply_error(&reply, &bson::doc! {});
        assert!(!error.authentication);
        assert_eq!(error.class(), Class::Refused);
    }

    #[test]
    fn a_message_quotes_no_document() {
        let message = "not authorized on shop to execute command { insert: \"users\", documents: [ { name: \"Ada\" } ], \
            lsid: { id: UUID(\"x\") } }";
        let error = ServerError::from_reply_error(&bson::doc! {"code": 13, "errmsg": message}, &bson::doc! {});
        assert_eq!(error.message, "not authorized on shop to execute the command insert on \"users\"");
        assert!(!error.login_missing);
        let message = "Cannot create field 'b' in element {a: \"secret\"}";
        let error = ServerError::from_reply_error(&bson::doc! {"code": 28, "errmsg": message}, &bson::doc! {});
        assert!(!error.message.contains("secret"), "{error}");
        let long = "x".repeat(5_000);
        let error = ServerError::from_reply_error(&bson::doc! {"code": 2, "errmsg": long}, &bson::doc! {});
        assert!(error.message.chars().count() <= LONGEST_MESSAGE + 1);
        let message = "command find requires authentication";
        let error = ServerError::from_reply_error(&bson::doc! {"code": 13, "errmsg": message}, &bson::doc! {});
        assert!(error.login_missing);
    }
}
