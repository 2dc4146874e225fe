//! Who holds the lease, in words.

use bson::{DateTime, Document};
use serde::Serialize;

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
