//! Who holds the lease: reading the lock document, for people and for runs that wait.

use bson::{DateTime, Document, doc};
use serde::Serialize;

use super::lease::COLLECTION;
use crate::error::{Error, Result};
use crate::server::Server;

/// Who holds the lease, for people.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Holder {
    /// The run's id.
    pub run: String,
    /// What it runs, such as `apply`.
    pub command: String,
    /// Its host.
    pub host: String,
    /// Its process there.
    pub pid: i64,
    /// Who started it.
    pub user: String,
    /// When it took the lease.
    pub since: Option<DateTime>,
    /// When it last renewed it.
    pub renewed_at: Option<DateTime>,
    /// When it ends unless renewed.
    pub expires_at: Option<DateTime>,
    /// Whether it has ended, by the server's clock.
    pub expired: bool,
}

impl Holder {
    /// The holder named in a lock document, with its `owner` as it is.
    pub fn from_lock(lock: &Document) -> Option<(Self, Document)> {
        let owner = lock.get_document("owner").ok()?;
        let text = |name: &str| owner.get_str(name).unwrap_or("unknown").to_owned();
        let date = |name: &str| lock.get_datetime(name).ok().copied();
        let holder = Self {
            run: text("run"),
            command: text("command"),
            host: text("host"),
            pid: owner.get_i64("pid").unwrap_or_default(),
            user: text("user"),
            since: date("acquired_at"),
            renewed_at: date("renewed_at"),
            expires_at: date("expires_at"),
            expired: lock.get_bool("expired").unwrap_or(false),
        };
        Some((holder, owner.clone()))
    }

    /// The owner in words: what, who, where, since when.
    pub fn describe(&self) -> String {
        let since =
            self.since.and_then(|at| at.try_to_rfc3339_string().ok()).unwrap_or_else(|| "an unknown time".to_owned());
        format!("`{}` by {} on host {} (process {}), since {since}", self.command, self.user, self.host, self.pid)
    }
}

/// Who holds the lease, if anybody: read only.
///
/// # Errors
/// The server's.
pub async fn read_holder(server: &Server) -> Result<Option<Holder>> {
    Ok(read(server).await?.and_then(|lock| Holder::from_lock(&lock)).map(|(holder, _)| holder))
}

/// The lock document, with `expired` judged by the server's clock.
///
/// # Errors
/// The server's.
pub async fn read(server: &Server) -> Result<Option<Document>> {
    let command = doc! {
        "aggregate": COLLECTION,
        "pipeline": [
            {"$match": {"_id": "lock"}},
            {"$addFields": {"expired": {"$lte": ["$expires_at", "$$NOW"]}}},
        ],
        "cursor": {},
    };
    let found = server.find_all(command).await.map_err(Error::server("Reading the lock"))?;
    found
        .first()
        .map(|raw| Document::try_from(raw.as_ref()))
        .transpose()
        .map_err(|e| Error::WrongState(format!("The lock document in {COLLECTION} cannot be read: {e}.")))
}
