//! The connection to one database.
//!
//! Everything the engine sends goes through [`Server::run`] or [`Server::find`]: commands are sent as they
//! are built, and every reply is checked for write errors and write concern errors.

use std::sync::Arc;
use std::time::Duration;

use bson::{Document, RawDocumentBuf, doc};
use futures_util::StreamExt;
use mongodb::options::{ClientOptions, RunCommandOptions, SelectionCriteria};
use mongodb::raw_batch_cursor::{RawBatch, RawBatchCursor};
use mongodb::{Client, ClientSession, Database};
use tokio::sync::mpsc;

use crate::error::{Error, Result};
use crate::names::Names;
use crate::redact::describe_target;
use crate::server_error::{ServerError, codes};

/// How often a read is tried. Each attempt waits for a primary as long as the connection's settings say.
const READ_ATTEMPTS: u32 = 5;
const READ_PAUSE: Duration = Duration::from_millis(200);
/// Documents of one reply, after a cursor's first: those of one reply are in memory twice, and 16 MB are the server's limit.
const REPLY: u32 = 1_000;
/// How long a primary may take to make sure that it is one, in milliseconds.
const CERTAINTY_MILLISECONDS: i32 = 15_000;

/// One database of one deployment.
#[derive(Clone, Debug)]
pub struct Server {
    client: Client,
    db: Database,
    target: String,
    transactions: bool,
    names: Names,
}

impl Server {
    /// How long a first connection may take, unless the URI says otherwise: people wait for it.
    const SELECTION_TIMEOUT: Duration = Duration::from_secs(10);

    /// Connects and asks what kind of deployment it is. `names` are those of the tool's own collections there.
    ///
    /// # Errors
    /// [`Error::Settings`] for a URI that cannot be read, [`Error::Unavailable`] where no server
    /// answers or it refuses the credentials.
    pub async fn connect(uri: &str, database: &str, names: Names) -> Result<Self> {
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
        let mut server = Self { client, db, target, transactions: false, names };
        let hello = server.run(doc! {"hello": 1}, None).await.map_err(|e| Error::unavailable(&server.target, &e))?;
        // Transactions need a replica set (`setName`) or a mongos (`msg: isdbgrid`).
        server.transactions = hello.contains_key("setName") || hello.get_str("msg").is_ok_and(|it| it == "isdbgrid");
        Ok(server)
    }

    /// The database's name.
    pub fn database(&self) -> &str {
        self.db.name()
    }

    /// The names of the tool's own collections.
    pub fn names(&self) -> &Names {
        &self.names
    }

    /// Hosts and database, for messages.
    pub fn target(&self) -> &str {
        &self.target
    }

    /// The same connection to another database.
    pub fn with_database(&self, database: &str) -> Self {
        Self {
            db: self.client.database(database),
            target: self.target.replacen(&format!("/{}", self.db.name()), &format!("/{database}"), 1),
            ..self.clone()
        }
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

    /// Renames a collection, which must not meet another of the new name.
    pub async fn rename_collection(&self, from: &str, to: &str) -> Result<(), ServerError> {
        let namespace = |name: &str| format!("{}.{name}", self.database());
        let command = doc! {
            "renameCollection": namespace(from), "to": namespace(to), "writeConcern": {"w": "majority"},
        };
        self.run_admin(command).await.map(drop)
    }

    /// Runs a command on the `admin` database.
    pub async fn run_admin(&self, command: Document) -> Result<Document, ServerError> {
        checked(self.client.database("admin").run_command(command).await?)
    }

    /// Runs a command on the `admin` database of one member of the replica set, named as `hello` names it in `me`.
    pub async fn run_admin_on(&self, member: &str, command: Document) -> Result<Document, ServerError> {
        let member = member.to_owned();
        let options = RunCommandOptions::builder()
            .selection_criteria(SelectionCriteria::Predicate(Arc::new(move |server| {
                server.address().to_string() == member
            })))
            .build();
        checked(self.client.database("admin").run_command(command).with_options(options).await?)
    }

    /// Runs a command that answers with a cursor; the server's replies come whole, each of at most `documents` or 16 MB.
    pub async fn batches(&self, command: RawDocumentBuf, documents: u32) -> Result<RawBatchCursor, ServerError> {
        Ok(self.db.run_raw_cursor_command(command).batch_size(documents).batch().await?)
    }

    /// Runs a command that answers with a cursor; the documents come as the server stores them.
    /// Asked again where the connection or the primary is lost: reading twice harms nobody.
    pub async fn find(&self, command: RawDocumentBuf) -> Result<Documents, ServerError> {
        let mut attempts = 1;
        loop {
            match self
                .db
                .run_raw_cursor_command(command.clone())
                .batch_size(REPLY)
                .batch()
                .await
                .map_err(ServerError::from)
            {
                Ok(cursor) => return Ok(Documents::of(Replies::AsAsked(Box::new(cursor)))),
                Err(e) if e.is_passing() && attempts < READ_ATTEMPTS => attempts += 1,
                Err(e) => return Err(e),
            }
            tokio::time::sleep(READ_PAUSE).await;
        }
    }

    /// [`find_all`](Self::find_all) for one document by its `_id`, from a primary that has made sure that it
    /// still is one: what a deposed primary shows may yet be undone.
    pub async fn find_certain(&self, mut command: Document) -> Result<Vec<RawDocumentBuf>, ServerError> {
        if !self.transactions {
            return self.find_all(command).await;
        }
        command.insert("readConcern", doc! {"level": "linearizable"});
        command.insert("maxTimeMS", CERTAINTY_MILLISECONDS);
        let mut attempts = 1;
        loop {
            match self.find_all(command.clone()).await {
                // A primary cut off from the others cannot make sure and runs into the time limit.
                Err(e) if e.is(codes::MAX_TIME_EXPIRED) && attempts < READ_ATTEMPTS => attempts += 1,
                Err(e) if e.is(codes::MAX_TIME_EXPIRED) => return Err(ServerError { connection: true, ..e }),
                answer => return answer,
            }
        }
    }

    /// All documents of a cursor command, within a session's transaction if there is one, as the server stores
    /// them. More than `limit` bytes of them are an error like a transaction's that is too large, unless it is
    /// a single document.
    pub async fn read(
        &self,
        command: RawDocumentBuf,
        session: Option<&mut ClientSession>,
        limit: usize,
    ) -> Result<Vec<RawDocumentBuf>, ServerError> {
        let action = self.db.run_raw_cursor_command(command).batch_size(REPLY);
        let mut read = Read { documents: Vec::new(), bytes: 0, limit };
        match session {
            None => {
                let mut batches = action.batch().await?;
                while let Some(batch) = batches.next().await {
                    read.take(&batch?)?;
                }
            }
            Some(session) => {
                let mut cursor = action.session(&mut *session).batch().await?;
                let mut batches = cursor.stream(session);
                while let Some(batch) = batches.next().await {
                    read.take(&batch?)?;
                }
            }
        }
        Ok(read.documents)
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
    replies: Replies,
    batch: std::vec::IntoIter<RawDocumentBuf>,
}

/// Where a cursor's next reply comes from.
enum Replies {
    AsAsked(Box<RawBatchCursor>),
    Ahead(mpsc::Receiver<Reply>),
    Ended,
}

/// A reply's documents; `None` after the last one.
type Reply = Option<Result<Vec<RawDocumentBuf>, ServerError>>;

impl Documents {
    fn of(replies: Replies) -> Self {
        Self { replies, batch: Vec::new().into_iter() }
    }

    /// The same documents, with the next reply asked for while one is looked at: three of them may be in memory.
    pub fn ahead(mut self) -> Self {
        let (sender, receiver) = mpsc::channel(1);
        tokio::spawn(async move {
            loop {
                let reply = self.replies.next().await;
                let last = reply.is_none();
                // Nobody looks at them any more.
                if sender.send(reply).await.is_err() || last {
                    return;
                }
            }
        });
        Self::of(Replies::Ahead(receiver))
    }

    /// The next document, or `None` at the end.
    pub async fn next(&mut self) -> Result<Option<RawDocumentBuf>, ServerError> {
        loop {
            if let Some(document) = self.batch.next() {
                return Ok(Some(document));
            }
            let Some(reply) = self.replies.next().await else {
                return Ok(None);
            };
            self.batch = reply?.into_iter();
        }
    }
}

impl Replies {
    async fn next(&mut self) -> Reply {
        match self {
            Self::AsAsked(cursor) => {
                let mut read = Read { documents: Vec::new(), bytes: 0, limit: usize::MAX };
                let taken = cursor.next().await?.map_err(ServerError::from).and_then(|batch| read.take(&batch));
                Some(taken.map(|()| read.documents))
            }
            Self::Ahead(receiver) => {
                // Without the last one, the reading has broken off, and what was read is not all.
                let broken = || Some(Err(ServerError::found(codes::INTERRUPTED, "reading ahead ended unexpectedly")));
                let reply = receiver.recv().await.unwrap_or_else(broken);
                if reply.is_none() {
                    *self = Self::Ended;
                }
                reply
            }
            Self::Ended => None,
        }
    }
}

/// Documents read so far.
struct Read {
    documents: Vec<RawDocumentBuf>,
    bytes: usize,
    limit: usize,
}

impl Read {
    fn take(&mut self, batch: &RawBatch) -> Result<(), ServerError> {
        for slice in batch.doc_slices()? {
            let value = slice.map_err(mongodb::error::Error::from)?;
            let Some(document) = value.as_document() else { continue };
            self.bytes += document.as_bytes().len();
            if self.bytes > self.limit && !self.documents.is_empty() {
                let message = format!("the documents have more than {} MB together", self.limit / 1_000_000);
                return Err(ServerError::found(codes::TRANSACTION_TOO_LARGE, message));
            }
            self.documents.push(document.to_owned());
        }
        Ok(())
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
