//! Connecting, and what is said of a connection string that cannot be used.

use std::sync::Arc;
use std::time::Duration;

use bson::{doc, rawdoc};
use mongodb::Client;
use mongodb::error::ErrorKind;
use mongodb::options::{ClientOptions, ServerApi, ServerApiVersion, Tls};

use super::Server;
use crate::error::server::ServerError;
use crate::error::{Error, Result};
use crate::mongo::connecting::Watch;
use crate::mongo::guard::WriteAccess;
use crate::mongo::profile::{Profile, Topology, Version};
use crate::mongo::{credentials, tls_files};
use crate::names::Names;
use crate::redact::describe_target;

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
        if let Some(Tls::Enabled(tls)) = &mut options.tls {
            tls_files::check(tls)?;
        }
        let named = options.credential.as_mut().map(credentials::prepare).transpose()?.flatten();
        // Who says how long to wait for a server knows of one that is about to start.
        let patient = options.server_selection_timeout.is_some();
        options.server_selection_timeout.get_or_insert(Self::SELECTION_TIMEOUT);
        options.connect_timeout.get_or_insert(Self::SELECTION_TIMEOUT);
        options.app_name.get_or_insert_with(|| format!("edulearn_migrate {}", env!("CARGO_PKG_VERSION")));
        // Reading stale data or not waiting for a write would break the ledger's promises: every command says
        // itself what it needs.
        options.selection_criteria = None;
        options.read_concern = None;
        options.write_concern = None;
        let watch = Watch::of(&mut options);
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
            writes: WriteAccess::Refused,
        };
        let hello = tokio::select! {
            hello = server.run(doc! {"hello": 1}, None) => hello,
            failure = watch.failure(&server.options, patient) => return Err(failure.error(&server.target)),
        };
        let hello =
            hello.map_err(|e| match watch.last(&server.options).filter(|_| e.connection && !e.authentication) {
                Some(failure) => failure.error(&server.target),
                None => Error::unavailable(&server.target, &e),
            })?;
        let build = server.ask(rawdoc! {"buildInfo": 1}).await.map_err(|e| Error::unavailable(&server.target, &e))?;
        let profile = Profile::of(&hello, &build).ok_or_else(|| {
            Error::Unavailable(format!("The server at {} does not report its version.", server.target))
        })?;
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
        if let Some(named) = named {
            credentials::compare(&server, &named).await?;
        }
        Ok(server)
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
        ErrorKind::InvalidTlsConfig { message, .. } if message.contains("decrypt") => {
            return Error::Settings(
                "The password that tlsCertificateKeyFilePassword gives does not open the key in the file of tlsCertificateKeyFile."
                    .to_owned(),
            );
        }
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
