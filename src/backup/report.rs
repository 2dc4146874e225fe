//! What the verbs of backups did, for people and programs.

use bson::DateTime;
use serde::Serialize;

use super::format::manifest::{ClusterTime, Manifest};

/// What `backup` did.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct BackupReport {
    /// The backup's name.
    pub name: String,
    /// Its absolute path.
    pub path: String,
    /// `manual`, `safety` or `assessment`.
    pub kind: String,
    /// The database.
    pub database: String,
    /// When it was begun.
    pub created_at: DateTime,
    /// Collections, views and time-series collections.
    pub collections: i64,
    /// Documents.
    pub documents: i64,
    /// Their size as BSON.
    pub bytes: i64,
    /// The size of the backup's files.
    pub stored_bytes: i64,
    /// `snapshot` or `none`.
    pub consistency: String,
    /// The time that all documents are of, where there is one.
    pub cluster_time: Option<ClusterTime>,
    /// What else there is to say, such as collections that no snapshot covers.
    pub notes: Vec<String>,
    /// Collections that it leaves out: this tool's own but for the records and the history, and the server's.
    pub left_out: Vec<String>,
    /// Collections that it leaves out because somebody asked for that.
    pub excluded: Vec<String>,
    /// How long it took.
    pub seconds: f64,
}

/// One backup of `list`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct BackupSummary {
    /// Its name.
    pub name: String,
    /// `manual`, `safety`, `assessment`, or `old_tool` for a document that the old tool left.
    pub kind: String,
    /// The database.
    pub database: String,
    /// When it was begun.
    pub created_at: DateTime,
    /// The documents' size as BSON.
    pub bytes: i64,
    /// The size of its files.
    pub stored_bytes: i64,
    /// Documents.
    pub documents: i64,
    /// Collections, views and time-series collections.
    pub collections: i64,
    /// `snapshot` or `none`.
    pub consistency: String,
    /// The version of the server it is of, where that is known.
    pub server_version: Option<String>,
    /// Whether it is of the whole database.
    pub full: bool,
    /// Where it is: a directory, or a collection of the database.
    pub location: String,
}

impl BackupSummary {
    /// The summary of a backup of ours.
    pub fn of(name: &str, location: &str, manifest: &Manifest) -> Self {
        Self {
            name: name.to_owned(),
            kind: manifest.kind.as_str().to_owned(),
            database: manifest.database.clone(),
            created_at: manifest.created(),
            bytes: manifest.bytes,
            stored_bytes: manifest.stored_bytes,
            documents: manifest.documents,
            collections: super::format::frames::size(manifest.collections.len()),
            consistency: manifest.consistency.as_str().to_owned(),
            server_version: Some(manifest.server_version.clone()).filter(|it| !it.is_empty()),
            full: manifest.scope == super::format::manifest::BackupScope::Full,
            location: location.to_owned(),
        }
    }
}

/// What `list` found.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ListReport {
    /// The backups, newest first.
    pub backups: Vec<BackupSummary>,
    /// What could not be read, in words.
    pub problems: Vec<String>,
}

/// What `verify` found.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct VerifyReport {
    /// The backup's name.
    pub name: String,
    /// Collections, views and time-series collections.
    pub collections: i64,
    /// Documents read.
    pub documents: i64,
    /// Their size as BSON.
    pub bytes: i64,
    /// The size of the files.
    pub stored_bytes: i64,
    /// What else there is to say.
    pub notes: Vec<String>,
    /// How long it took.
    pub seconds: f64,
}

/// What `prune` did.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PruneReport {
    /// The names of what was removed, newest first.
    pub removed: Vec<String>,
    /// The names of what was old enough but is still needed.
    pub needed: Vec<String>,
    /// How many of that kind are left.
    pub kept: i64,
}

/// What `restore` did.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RestoreReport {
    /// The backup's name, or the directory's.
    pub name: String,
    /// The database that was restored into.
    pub database: String,
    /// The database that the backup is of.
    pub of_database: String,
    /// Collections, views and time-series collections restored.
    pub collections: i64,
    /// Documents restored.
    pub documents: i64,
    /// Their size as BSON.
    pub bytes: i64,
    /// Indexes built, besides those on `_id`.
    pub indexes: i64,
    /// What was dropped because the backup lacks it.
    pub dropped: Vec<String>,
    /// What was left as it was although the backup holds it.
    pub left_alone: Vec<String>,
    /// The backup of what was replaced.
    pub safety_backup: Option<String>,
    /// What became of a restore that had been killed: `none`, `finished`, `undone` or `abandoned`.
    pub earlier: EarlierRestore,
    /// What else there is to say.
    pub notes: Vec<String>,
    /// How long it took.
    pub seconds: f64,
}

/// What became of an unfinished restore.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum EarlierRestore {
    /// There was none.
    None,
    /// Its swap had begun and was taken to its end.
    Finished,
    /// Its swap had not begun: what it had built was removed.
    Undone,
    /// Its swap was given up in the middle.
    Abandoned,
}

/// A restore that was begun and has not ended, for `status`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct UnfinishedRestore {
    /// What it restores.
    pub backup: String,
    /// `building`: the database is as it was. `swapping`: it is neither the old state nor the new one.
    pub phase: String,
    /// When it was begun.
    pub since: Option<DateTime>,
    /// Where it ran.
    pub host: String,
    /// Who ran it.
    pub user: String,
    /// The backup it made of what it replaces.
    pub safety_backup: Option<String>,
}
