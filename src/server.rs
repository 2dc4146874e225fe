//! The connection to one database, and what its errors mean.
//!
//! Everything the engine sends goes through [`Server::run`] or [`Server::find`]: commands are sent as they
//! are built, every reply is checked for write errors and write concern errors, and every error is
//! classified once, here.

use std::fmt;
use std::time::Duration;

use bson::{Document, RawDocumentBuf, doc};
use futures_util::StreamExt;
use mongodb::error::{ErrorKind, TRANSIENT_TRANSACTION_ERROR, UNKNOWN_TRANSACTION_COMMIT_RESULT};
use mongodb::options::ClientOptions;
use mongodb::{Client, ClientSession, Database};

use crate::error::{Error, Result};
use crate::redact::{describe_target, redact};

/// Server error codes the engine acts on.
/// Source: `src/mongo/base/error_codes.yml` of the MongoDB server.
pub mod codes {
    #![allow(missing_docs)]
    pub const UNAUTHORIZED: i32 = 13;
    pub const AUTHENTICATION_FAILED: i32 = 18;
    pub const NAMESPACE_NOT_FOUND: i32 = 26;
    pub const INDEX_NOT_FOUND: i32 = 27;
    pub const NAMESPACE_EXISTS: i32 = 48;
    pub const CANNOT_CREATE_INDEX: i32 = 67;
    pub const INDEX_OPTIONS_CONFLICT: i32 = 85;
    pub const INDEX_KEY_SPECS_CONFLICT: i32 = 86;
    pub const WRITE_CONFLICT: i32 = 112;
    pub const DOCUMENT_VALIDATION_FAILURE: i32 = 121;
    pub const NO_SUCH_TRANSACTION: i32 = 251;
    pub const OPERATION_NOT_SUPPORTED_IN_TRANSACTION: i32 = 263;
    pub const DUPLICATE_KEY: i32 = 11000;
    /// The primary changed, or the node is going away: the command was not carried out, or its
    /// result is unknown, and it is worth asking the next primary.
    /// In order: host unreachable, host not found, network timeout, shutdown in progress, primary stepped
    /// down, exceeded time limit, socket closed, not primary (old form), not primary, interrupted at
    /// shutdown, interrupted by a state change, not primary and no secondary reads, neither.
    pub const PASSING: [i32; 13] = [6, 7, 89, 91, 189, 262, 9001, 10058, 10107, 11600, 11602, 13435, 13436];
    pub const COMMAND_NOT_FOUND: i32 = 59;
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
    /// Which of the statements' documents it concerns (from 0), for inserts.
    pub index: Option<usize>,
    /// The transaction was aborted and may be tried again as a whole.
    pub transient_transaction: bool,
    /// The commit may or may not have happened; committing again finds out.
    pub commit_unknown: bool,
    /// The connection failed or no server could be selected.
    pub connection: bool,
    /// The server refused who we are.
    pub authentication: bool,
}

impl ServerError {
    /// Whether asking again, later, may well work: a lost connection or a changed primary.
    pub fn is_passing(&self) -> bool {
        !self.authentication && (self.connection || self.code.is_some_and(|code| codes::PASSING.contains(&code)))
    }

    /// Whether the code is `code`.
    pub fn is(&self, code: i32) -> bool {
        self.code == Some(code)
    }

    fn from_reply_error(error: &Document, labels: &Document) -> Self {
        let has_label = |name: &str| {
            labels.get_array("errorLabels").is_ok_and(|all| all.iter().any(|label| label.as_str() == Some(name)))
        };
        let mut message = error.get_str("errmsg").unwrap_or_default().to_owned();
        // Code 121 tells the document only in errInfo.
        if let Some(id) = error.get_document("errInfo").ok().and_then(|info| info.get("failingDocumentId")) {
            message.push_str(&format!(" (document _id {})", show(id)));
        }
        Self {
            code: error.get_i32("code").ok(),
            code_name: error.get_str("codeName").unwrap_or_default().to_owned(),
            message: redact(&message),
            index: error.get_i32("index").ok().and_then(|i| usize::try_from(i).ok()),
            transient_transaction: has_label(TRANSIENT_TRANSACTION_ERROR),
            commit_unknown: has_label(UNKNOWN_TRANSACTION_COMMIT_RESULT),
            connection: false,
            authentication: false,
        }
    }
}

impl fmt::Display for ServerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.code {
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
            other => (None, String::new(), other.to_string()),
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
            // The driver wraps a refused log-in into the server selection or I/O error's text.
            || message.contains("Authentication failed");
        Self {
            code,
            code_name,
            message: redact(&message),
            index: None,
            transient_transaction: error.contains_label(TRANSIENT_TRANSACTION_ERROR),
            commit_unknown: error.contains_label(UNKNOWN_TRANSACTION_COMMIT_RESULT),
            connection,
            authentication,
        }
    }
}

/// A value as relaxed Extended JSON, short enough for a message.
pub fn show(value: &bson::Bson) -> String {
    let text = value.clone().into_relaxed_extjson().to_string();
    match text.char_indices().nth(400) {
        Some((cut, _)) => format!("{}…", &text[..cut]),
        None => text,
    }
}

/// One database of one deployment.
#[derive(Clone, Debug)]
pub struct Server {
    client: Client,
    db: Database,
    target: String,
    transactions: bool,
}

impl Server {
    /// How long a first connection may take, unless the URI says otherwise: people wait for it.
    const SELECTION_TIMEOUT: Duration = Duration::from_secs(10);

    /// Connects and asks what kind of deployment it is.
    ///
    /// # Errors
    /// [`Error::Settings`] for a URI that cannot be read, [`Error::Unavailable`] where no server
    /// answers or it refuses the credentials.
    pub async fn connect(uri: &str, database: &str) -> Result<Self> {
        let mut options = ClientOptions::parse(uri).await.map_err(|e| {
            let error = ServerError::from(e);
            if error.connection {
                Error::unavailable(&describe_target(uri, database), &error)
            } else {
                Error::Settings(format!("The connection string cannot be used: {error}."))
            }
        })?;
        options.server_selection_timeout.get_or_insert(Self::SELECTION_TIMEOUT);
        options.connect_timeout.get_or_insert(Self::SELECTION_TIMEOUT);
        options.app_name.get_or_insert_with(|| format!("edulearn_migrate {}", env!("CARGO_PKG_VERSION")));
        // Reading stale data or not waiting for a write would break the ledger's promises: every command says
        // itself what it needs.
        options.selection_criteria = None;
        options.read_concern = None;
        options.write_concern = None;
        let target = describe_target(uri, database);
        let client = Client::with_options(options)
            .map_err(|e| Error::Settings(format!("The connection string cannot be used: {}.", ServerError::from(e))))?;
        let db = client.database(database);
        let mut server = Self { client, db, target, transactions: false };
        let hello = server.run(doc! {"hello": 1}, None).await.map_err(|e| Error::unavailable(&server.target, &e))?;
        // Transactions need a replica set (`setName`) or a mongos (`msg: isdbgrid`).
        server.transactions = hello.contains_key("setName") || hello.get_str("msg").is_ok_and(|it| it == "isdbgrid");
        Ok(server)
    }

    /// The database's name.
    pub fn database(&self) -> &str {
        self.db.name()
    }

    /// Hosts and database, for messages.
    pub fn target(&self) -> &str {
        &self.target
    }

    /// Whether the deployment has multi-document transactions; a standalone server has not.
    pub fn transactions(&self) -> bool {
        self.transactions
    }

    /// A new session of this client.
    pub async fn session(&self) -> Result<ClientSession, ServerError> {
        Ok(self.client.start_session().await?)
    }

    /// Runs a command on the database and checks its reply.
    pub async fn run(&self, command: Document, session: Option<&mut ClientSession>) -> Result<Document, ServerError> {
        let raw = RawDocumentBuf::try_from(&command).map_err(|e| ServerError::from(mongodb::error::Error::from(e)))?;
        self.run_raw(raw, session).await
    }

    /// [`run`](Self::run) for a command that is built already.
    pub async fn run_raw(
        &self,
        command: RawDocumentBuf,
        session: Option<&mut ClientSession>,
    ) -> Result<Document, ServerError> {
        let mut action = self.db.run_raw_command(command);
        if let Some(session) = session {
            action = action.session(session);
        }
        checked(action.await?)
    }

    /// Runs a command on the `admin` database.
    pub async fn run_admin(&self, command: Document) -> Result<Document, ServerError> {
        checked(self.client.database("admin").run_command(command).await?)
    }

    /// Runs a command that answers with a cursor; the documents come as the server stores them.
    pub async fn find(&self, command: RawDocumentBuf) -> Result<Documents, ServerError> {
        let cursor = self.db.run_raw_cursor_command(command).batch().await?;
        Ok(Documents { cursor, batch: Vec::new().into_iter() })
    }

    /// All documents of a cursor command.
    pub async fn find_all(&self, command: Document) -> Result<Vec<RawDocumentBuf>, ServerError> {
        let raw = RawDocumentBuf::try_from(&command).map_err(|e| ServerError::from(mongodb::error::Error::from(e)))?;
        let mut documents = self.find(raw).await?;
        let mut all = Vec::new();
        while let Some(document) = documents.next().await? {
            all.push(document);
        }
        Ok(all)
    }
}

/// Documents of a cursor, one server reply in memory at a time.
pub struct Documents {
    cursor: mongodb::raw_batch_cursor::RawBatchCursor,
    batch: std::vec::IntoIter<RawDocumentBuf>,
}

impl Documents {
    /// The next document, or `None` at the end.
    pub async fn next(&mut self) -> Result<Option<RawDocumentBuf>, ServerError> {
        loop {
            if let Some(document) = self.batch.next() {
                return Ok(Some(document));
            }
            let Some(batch) = self.cursor.next().await else {
                return Ok(None);
            };
            let mut documents = Vec::new();
            for slice in batch?.doc_slices()? {
                let value = slice.map_err(mongodb::error::Error::from)?;
                if let Some(document) = value.as_document() {
                    documents.push(document.to_owned());
                }
            }
            self.batch = documents.into_iter();
        }
    }
}

/// A reply with `ok: 1` may still tell of writes that failed.
fn checked(reply: Document) -> Result<Document, ServerError> {
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
