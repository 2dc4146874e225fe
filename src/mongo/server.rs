//! The connection to one database.
//!
//! Everything the engine sends goes through [`Server::run`] or [`Server::find`]: commands are sent as they
//! are built, and every reply is checked for write errors and write concern errors.

use std::future::{Future, IntoFuture};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bson::raw::cstr;
use bson::{Document, RawDocument, RawDocumentBuf, doc, rawdoc};
use futures_util::StreamExt;
use mongodb::error::ErrorKind;
use mongodb::options::{
    ClientOptions, RunCommandOptions, SelectionCriteria, ServerAddress, ServerApi, ServerApiVersion,
};
use mongodb::raw_batch_cursor::{RawBatch, RawBatchCursor};
use mongodb::{Client, ClientSession, Database};
use tokio::net::TcpStream;
use tokio::sync::OnceCell;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::error::{Error, Result};
use crate::mongo::errors::{ServerError, codes};
use crate::mongo::guard::{Guard, Writes};
use crate::mongo::profile::{Profile, Topology, Version};
use crate::mongo::retry::{Backoff, Policy};
use crate::mongo::waiting::Waits;
use crate::names::Names;
use crate::redact::describe_target;

pub use crate::mongo::cursor::Documents;

/// Documents of one reply where all of them are wanted: the server ends it at 16 MB.
const REPLY: i32 = 10_000_000;
/// How long a proof of the lease counts for writes that nobody sees yet.
const PROOF_REUSE: Duration = Duration::from_secs(1);
/// How long every host must refuse connections before that is the answer.
const REFUSED: Duration = Duration::from_millis(1_500);
/// How long a first connection may take before anybody looks whether it is refused.
const UNCONCERNED: Duration = Duration::from_millis(500);
/// How long a primary may take to make sure that it is one, in milliseconds.
const CERTAINTY_MILLISECONDS: i32 = 15_000;

/// See [`split_server_api`].
const SERVER_API_OPTION: &str = "x-server-api=";
/// Options that the driver's complaints may name; the longer ones first where one begins another.
const OPTIONS: [&str; 30] = [
    "appName",
    "authMechanismProperties",
    "authMechanism",
    "authSource",
    "compressors",
    "connectTimeoutMS",
    "directConnection",
    "heartbeatFrequencyMS",
    "loadBalanced",
    "localThresholdMS",
    "maxConnecting",
    "maxIdleTimeMS",
    "maxStalenessSeconds",
    "readConcernLevel",
    "readPreferenceTags",
    "readPreference",
    "replicaSet",
    "retryReads",
    "retryWrites",
    "serverMonitoringMode",
    "serverSelectionTimeoutMS",
    "srvMaxHosts",
    "srvServiceName",
    "tlsAllowInvalidCertificates",
    "tlsCAFile",
    "tlsCertificateKeyFilePassword",
    "tlsCertificateKeyFile",
    "tlsInsecure",
    "wTimeoutMS",
    "zlibCompressionLevel",
];

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
    writes: Writes,
}

impl Server {
    /// How long a first connection may take, unless the URI says otherwise: people wait for it.
    const SELECTION_TIMEOUT: Duration = Duration::from_secs(10);

    /// Connects and asks what kind of deployment it is. `names` are those of the tool's own collections there.
    /// The connection only reads, until [`guarded`](Self::guarded) or [`without_lease`](Self::without_lease) says
    /// otherwise.
    ///
    /// # Errors
    /// [`Error::Settings`] for a URI that cannot be read, [`Error::Unavailable`] where no server
    /// answers, it refuses the credentials, or it is older than [`Version::OLDEST`].
    pub async fn connect(uri: &str, database: &str, names: Names) -> Result<Self> {
        let (uri, server_api) = split_server_api(uri);
        let target = describe_target(&uri, database);
        let mut options = ClientOptions::parse(&uri).await.map_err(|e| unreadable(e, &target))?;
        options.server_api = server_api;
        // Who says how long to wait for a server knows of one that is about to start.
        let refused = refused_everywhere(options.server_selection_timeout.is_none().then(|| options.hosts.clone()));
        options.server_selection_timeout.get_or_insert(Self::SELECTION_TIMEOUT);
        options.connect_timeout.get_or_insert(Self::SELECTION_TIMEOUT);
        options.app_name.get_or_insert_with(|| format!("edulearn_migrate {}", env!("CARGO_PKG_VERSION")));
        // Reading stale data or not waiting for a write would break the ledger's promises: every command says
        // itself what it needs.
        options.selection_criteria = None;
        options.read_concern = None;
        options.write_concern = None;
        let client = Client::with_options(options.clone()).map_err(|e| unreadable(e, &target))?;
        let db = client.database(database);
        let mut server = Self {
            client,
            db,
            options: Arc::new(options),
            target,
            // Until the server has said what it is.
            profile: Arc::new(Profile {
                version_text: String::new(),
                version: Version::OLDEST,
                topology: Topology::Standalone,
            }),
            compatible: Arc::default(),
            names,
            round_trips: Arc::default(),
            writes: Writes::Refused,
        };
        let hello = tokio::select! {
            hello = server.run(doc! {"hello": 1}, None) => hello,
            error = refused => Err(error),
        };
        let hello = hello.map_err(|e| Error::unavailable(&server.target, &e))?;
        let build = server.ask(rawdoc! {"buildInfo": 1}).await.map_err(|e| Error::unavailable(&server.target, &e))?;
        let profile = Profile::of(&hello, &build)
            .ok_or_else(|| Error::Unavailable(format!("The server at {} does not tell its version.", server.target)))?;
        if profile.version < Version::OLDEST {
            return Err(Error::Unavailable(format!(
                "The server at {} is MongoDB {}, and edulearn_migrate needs MongoDB {}.{} or newer: nothing was written.",
                server.target,
                profile.version_text,
                Version::OLDEST.0,
                Version::OLDEST.1
            )));
        }
        server.profile = Arc::new(profile);
        Ok(server)
    }

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
        Self { writes: Writes::Guarded(Arc::new(guard), Duration::ZERO), ..self.clone() }
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
            Writes::Guarded(guard, _) => Writes::Guarded(Arc::clone(guard), PROOF_REUSE),
            other => other.clone(),
        };
        Self { writes, ..self.clone() }
    }

    /// The same connection, for the lease itself and for what needs none.
    pub fn without_lease(&self) -> Self {
        Self { writes: Writes::WithoutLease, ..self.clone() }
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
        let mut action = self.db.run_raw_command(self.profile.adapt(command));
        if let Some(session) = session {
            action = action.session(session);
        }
        let answer = waits.during(&self.client, action.into_future()).await;
        self.count_round_trip();
        answer.map_err(ServerError::from).and_then(checked).map_err(|e| ServerError { ours, ..e })
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
        let answer = self.db.run_raw_command(self.profile.adapt(command)).await;
        self.count_round_trip();
        let reply = answer?;
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
        let admin = self.client.database("admin");
        let action = admin.run_raw_command(raw);
        checked(waits.during(&self.client, action.into_future()).await?)
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
        let mut action = self.db.run_raw_cursor_command(self.profile.adapt(command));
        if let Some(documents) = documents {
            action = action.batch_size(documents);
        }
        waits
            .during(&self.client, action.batch().into_future())
            .await
            .map_err(|e| ServerError { ours, ..ServerError::from(e) })
    }

    /// [`batches_of`](Self::batches_of) with replies as large as the server makes them.
    pub(crate) async fn batches(&self, command: RawDocumentBuf) -> Result<RawBatchCursor, ServerError> {
        self.batches_of(command, None).await
    }

    /// [`find_all`](Self::find_all) for one document by its `_id`, from a primary that has made sure that it
    /// still is one: what a deposed primary shows may yet be undone.
    pub async fn find_certain(&self, mut command: Document) -> Result<Vec<RawDocumentBuf>, ServerError> {
        if !self.profile.transactions() {
            return self.find_all(command).await;
        }
        command.insert("readConcern", doc! {"level": "linearizable"});
        command.insert("maxTimeMS", CERTAINTY_MILLISECONDS);
        let mut backoff = Backoff::new(Policy::READ);
        loop {
            match self.find_all(command.clone()).await {
                // A primary cut off from the others cannot make sure and runs into the time limit.
                Err(e) if e.is(codes::MAX_TIME_EXPIRED) => {
                    if !backoff.wait().await {
                        return Err(ServerError { connection: true, ..e });
                    }
                }
                answer => return answer,
            }
        }
    }

    /// All documents of a `find`, within a session's transaction if there is one, as the server stores them, in as
    /// few replies as there can be. More than `limit` bytes of them are an error like a transaction's that is too
    /// large, unless it is a single document.
    pub async fn read(
        &self,
        mut command: RawDocumentBuf,
        session: Option<&mut ClientSession>,
        limit: usize,
    ) -> Result<Vec<RawDocumentBuf>, ServerError> {
        command.append(cstr!("batchSize"), REPLY);
        let Some(session) = session else {
            return self.collect(command, limit).await;
        };
        let ours = self.is_ours(&command);
        let marked = |e: mongodb::error::Error| ServerError { ours, ..ServerError::from(e) };
        let action = self.db.run_raw_cursor_command(self.profile.adapt(command));
        let mut read = Read { documents: Vec::new(), bytes: 0, limit };
        let mut cursor = action.session(&mut *session).batch().await.map_err(marked)?;
        let mut batches = cursor.stream(session);
        while let Some(batch) = batches.next().await {
            self.count_round_trip();
            read.take(&batch.map_err(marked)?)?;
        }
        Ok(read.documents)
    }

    /// All documents of a cursor command.
    pub async fn find_all(&self, command: Document) -> Result<Vec<RawDocumentBuf>, ServerError> {
        let raw = RawDocumentBuf::try_from(&command).map_err(|e| ServerError::from(mongodb::error::Error::from(e)))?;
        self.collect(raw, usize::MAX).await
    }

    /// [`find_all`](Self::find_all) for a command that is built already.
    pub async fn read_all(&self, command: RawDocumentBuf) -> Result<Vec<RawDocumentBuf>, ServerError> {
        self.collect(command, usize::MAX).await
    }

    /// Reads a cursor to its end, from the start again where it is lost.
    async fn collect(&self, command: RawDocumentBuf, limit: usize) -> Result<Vec<RawDocumentBuf>, ServerError> {
        let mut backoff = Backoff::new(Policy::READ);
        loop {
            match self.collect_once(command.clone(), limit).await {
                Err(e) if e.is_passing() && backoff.wait().await => {}
                answer => return answer,
            }
        }
    }

    async fn collect_once(&self, command: RawDocumentBuf, limit: usize) -> Result<Vec<RawDocumentBuf>, ServerError> {
        let ours = self.is_ours(&command);
        let mut read = Read { documents: Vec::new(), bytes: 0, limit };
        let mut batches = self.batches(command).await?;
        while let Some(batch) = batches.next().await {
            self.count_round_trip();
            read.take(&batch.map_err(|e| ServerError { ours, ..ServerError::from(e) })?)?;
        }
        Ok(read.documents)
    }
}

/// Ends once every host has refused connections for a while: then nobody listens there, and waiting is of no use. Without
/// hosts it never ends.
async fn refused_everywhere(hosts: Option<Vec<ServerAddress>>) -> ServerError {
    tokio::time::sleep(UNCONCERNED).await;
    let mut refused_since = Instant::now();
    while let Some(hosts) = &hosts {
        for host in hosts {
            let ServerAddress::Tcp { host, port } = host else { return std::future::pending().await };
            match TcpStream::connect((host.as_str(), port.unwrap_or(27017))).await {
                Err(error) if error.kind() == std::io::ErrorKind::ConnectionRefused => {}
                _ => refused_since = Instant::now(),
            }
        }
        if refused_since.elapsed() >= REFUSED {
            let all = hosts.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
            return ServerError::unreachable(format!("connection refused by {all}"));
        }
        tokio::time::sleep(REFUSED / 8).await;
    }
    std::future::pending().await
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

/// Takes out of a connection string the option by which `options.py` hands over a declared server API, for which
/// connection strings have none.
fn split_server_api(uri: &str) -> (String, Option<ServerApi>) {
    let Some((base, query)) = uri.split_once('?') else { return (uri.to_owned(), None) };
    let (declared, others): (Vec<&str>, Vec<&str>) =
        query.split('&').partition(|option| option.starts_with(SERVER_API_OPTION));
    let api = (!declared.is_empty()).then(|| ServerApi::builder().version(ServerApiVersion::V1).build());
    (if others.is_empty() { base.to_owned() } else { format!("{base}?{}", others.join("&")) }, api)
}

/// The error for a connection string that the driver refuses. Its own words may quote the string, and what they quote may be
/// part of a password: of them only the name of an option is taken.
fn unreadable(error: mongodb::error::Error, target: &str) -> Error {
    let words = match error.kind.as_ref() {
        ErrorKind::InvalidArgument { message, .. } => message.to_lowercase(),
        ErrorKind::InvalidTlsConfig { message, .. } => {
            return Error::Settings(format!("TLS cannot be used as the connection string asks for it: {message}."));
        }
        ErrorKind::DnsResolve { .. } => return Error::unavailable(target, &ServerError::from(error)),
        _ => String::new(),
    };
    let named = OPTIONS.iter().find(|name| words.contains(&name.to_lowercase()));
    let which = named.map_or_else(String::new, |name| format!(" because of its option {name}"));
    Error::Settings(format!(
        "The connection string cannot be used{which}. It is not shown here because it may hold a password. In the user name and \
         the password, the characters : / ? # [ ] @ % must be escaped (%40 stands for @)."
    ))
}

/// A reply with `ok: 1` may still tell of writes that failed.
pub(crate) fn checked(reply: Document) -> Result<Document, ServerError> {
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
