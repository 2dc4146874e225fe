//! The connection to one database.
//!
//! Everything the engine sends goes through [`Server::run`] or [`Server::find`]: commands are sent as they
//! are built, and every reply is checked for write errors and write concern errors.

mod collect;
mod connect;
mod rights;

use std::future::{Future, IntoFuture};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bson::{Document, RawDocument, RawDocumentBuf, doc};
use mongodb::options::{ClientOptions, RunCommandOptions, SelectionCriteria};
use mongodb::raw_batch_cursor::RawBatchCursor;
use mongodb::{Client, ClientSession, Database};
use tokio::sync::OnceCell;
use tokio_util::sync::CancellationToken;

use crate::error::server::{ServerError, checked};
use crate::mongo::guard::{Guard, WriteAccess};
use crate::mongo::profile::{Profile, Version};
use crate::mongo::retry::{Backoff, Policy};
use crate::mongo::rights::of_command;
use crate::mongo::waiting::Waits;
use crate::names::Names;

/// How long a proof of the lease counts for writes that nobody sees yet.
const PROOF_REUSE: Duration = Duration::from_secs(1);
/// One database of one deployment.
#[derive(Clone, Debug)]
pub struct Server {
    client: Client,
    db: Database,
    options: Arc<ClientOptions>,
    target: String,
    profile: Arc<Profile>,
    /// See [`feature_compatibility`](Self::feature_compatibility).
    compatible: Arc<OnceCell<Option<Version>>>,
    names: Names,
    /// Commands answered so far, on this connection.
    round_trips: Arc<AtomicU64>,
    writes: WriteAccess,
}

impl Server {
    /// What kind of server it is.
    pub fn profile(&self) -> &Profile {
        &self.profile
    }

    /// The version whose features the server's data may use, asked at the first need; `None` where the user may not ask.
    pub async fn feature_compatibility(&self) -> Option<Version> {
        let ask = async {
            let command = doc! {"getParameter": 1, "featureCompatibilityVersion": 1};
            let reply = self.run_admin(command).await.ok()?;
            Version::parse(reply.get_document("featureCompatibilityVersion").ok()?.get_str("version").ok()?)
        };
        *self.compatible.get_or_init(|| ask).await
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

    /// The same connection for a run: each write outside a transaction is sent right after the proof of its lease.
    pub fn guarded(&self, proof: RawDocumentBuf, lost: CancellationToken) -> Self {
        let guard = Guard::new(self.db.clone(), proof, lost);
        Self { writes: WriteAccess::Guarded(Arc::new(guard), Duration::ZERO), ..self.clone() }
    }

    /// A connection of its own, whose work is done by the runtime that this is called in.
    ///
    /// # Errors
    /// The driver's.
    pub fn apart(&self) -> Result<Self, ServerError> {
        let mut options = ClientOptions::clone(&self.options);
        options.min_pool_size = None;
        options.max_pool_size = Some(1);
        let client = Client::with_options(options)?;
        Ok(Self { db: client.database(self.db.name()), client, ..self.clone() })
    }

    /// The same connection of a run, for many writes that nobody sees before a later one is proven: a proof counts
    /// for the writes of the next moment, too.
    pub fn guarded_now_and_then(&self) -> Self {
        let writes = match &self.writes {
            WriteAccess::Guarded(guard, _) => WriteAccess::Guarded(Arc::clone(guard), PROOF_REUSE),
            other => other.clone(),
        };
        Self { writes, ..self.clone() }
    }

    /// The same connection, for the lease itself and for what needs none.
    pub fn without_lease(&self) -> Self {
        Self { writes: WriteAccess::WithoutLease, ..self.clone() }
    }

    /// Whether the deployment has multi-document transactions; a standalone server has not.
    pub fn transactions(&self) -> bool {
        self.profile.transactions()
    }

    /// A new session of this client.
    pub async fn session(&self) -> Result<ClientSession, ServerError> {
        Ok(self.client.start_session().await?)
    }

    /// Runs a command on the database and checks its reply. A write goes past the guard; in a session, its
    /// transaction carries the proof.
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
        let ours = self.is_ours(&command);
        if session.is_none() {
            self.writes.allow(&command).await?;
        }
        let waits = Waits::of(self.database(), &command);
        let needs = of_command(self.database(), &command);
        let mut action = self.db.run_raw_command(self.profile.adapt(command));
        if let Some(session) = session {
            action = action.session(session);
        }
        let answer = waits.during(&self.client, action.into_future()).await;
        self.count_round_trip();
        match answer.map_err(ServerError::from).and_then(checked) {
            Ok(reply) => Ok(reply),
            Err(e) => Err(self.explained(ServerError { ours, ..e }, &needs).await),
        }
    }

    /// [`run_raw`](Self::run_raw) for a command that only reads: asking twice harms nobody.
    pub async fn ask(&self, command: RawDocumentBuf) -> Result<Document, ServerError> {
        let mut backoff = Backoff::new(Policy::READ);
        loop {
            match self.run_raw(command.clone(), None).await {
                Err(e) if e.is_passing() && backoff.wait().await => {}
                answer => return answer,
            }
        }
    }

    /// Whether a command is about a collection of the tool's own.
    fn is_ours(&self, command: &RawDocument) -> bool {
        let first = command.iter().flatten().next();
        first.and_then(|(_, value)| value.as_str()).is_some_and(|name| self.names.owns(name))
    }

    /// Does `work`, and tells what is waited for where it takes long.
    pub(crate) async fn telling<T>(&self, waits: Waits, work: impl Future<Output = T>) -> T {
        waits.during(&self.client, work).await
    }

    /// The same connection with a count of round trips of its own.
    pub fn counted_apart(&self) -> Self {
        Self { round_trips: Arc::default(), ..self.clone() }
    }

    /// How many commands were answered so far.
    pub fn round_trips(&self) -> u64 {
        self.round_trips.load(Ordering::Relaxed)
    }

    /// Counts a command that was answered.
    pub(crate) fn count_round_trip(&self) {
        self.round_trips.fetch_add(1, Ordering::Relaxed);
    }

    /// Runs a write, of which the server may refuse some documents: the errors of those.
    pub async fn write_what_can_be(&self, command: RawDocumentBuf) -> Result<Vec<ServerError>, ServerError> {
        let ours = self.is_ours(&command);
        self.writes.allow(&command).await?;
        let needs = of_command(self.database(), &command);
        let answer = self.db.run_raw_command(self.profile.adapt(command)).await;
        self.count_round_trip();
        let reply = match answer.map_err(ServerError::from) {
            Ok(reply) => reply,
            Err(e) => return Err(self.explained(e, &needs).await),
        };
        let refused: Vec<ServerError> = reply
            .get_array("writeErrors")
            .into_iter()
            .flatten()
            .filter_map(|error| {
                Some(ServerError { ours, ..ServerError::from_reply_error(error.as_document()?, &reply) })
            })
            .collect();
        if refused.is_empty() {
            checked(reply)?;
        } else if let Ok(error) = reply.get_document("writeConcernError") {
            return Err(ServerError::from_reply_error(error, &reply));
        }
        Ok(refused)
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
        let raw = RawDocumentBuf::try_from(&command).map_err(|e| ServerError::from(mongodb::error::Error::from(e)))?;
        self.writes.allow(&raw).await?;
        let waits = Waits::of("admin", &raw);
        let needs = of_command("admin", &raw);
        let admin = self.client.database("admin");
        let action = admin.run_raw_command(raw);
        match waits.during(&self.client, action.into_future()).await.map_err(ServerError::from).and_then(checked) {
            Ok(reply) => Ok(reply),
            Err(e) => Err(self.explained(e, &needs).await),
        }
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

    /// Runs a command that answers with a cursor; the server's replies come whole, each of at most 16 MB, or of fewer
    /// documents where the command says so for the first one and `documents` for the others.
    pub(crate) async fn batches_of(
        &self,
        command: RawDocumentBuf,
        documents: Option<u32>,
    ) -> Result<RawBatchCursor, ServerError> {
        let ours = self.is_ours(&command);
        let waits = Waits::of(self.database(), &command);
        let needs = of_command(self.database(), &command);
        let mut action = self.db.run_raw_cursor_command(self.profile.adapt(command));
        if let Some(documents) = documents {
            action = action.batch_size(documents);
        }
        match waits.during(&self.client, action.batch().into_future()).await {
            Ok(batches) => Ok(batches),
            Err(e) => Err(self.explained(ServerError { ours, ..ServerError::from(e) }, &needs).await),
        }
    }

    /// [`batches_of`](Self::batches_of) with replies as large as the server makes them.
    pub(crate) async fn batches(&self, command: RawDocumentBuf) -> Result<RawBatchCursor, ServerError> {
        self.batches_of(command, None).await
    }
}
