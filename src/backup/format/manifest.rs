//! The manifest: what a backup holds, and the checksums that say so.
//!
//! `manifest.json` is JSON whose first member is the SHA-256 of every byte behind its line, so that the manifest
//! vouches for itself as it does for the other files.

use std::collections::HashSet;
use std::path::Path;

use bson::DateTime;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::files::read_small;
use crate::backup::names::is_plain_file;
use crate::error::{Error, Result, foreign};
use crate::hex::hex;

/// The manifest's file.
pub const FILE: &str = "manifest.json";
/// What this is, for whoever finds the file.
const FORMAT: &str = "edulearn_migrate backup";
/// The largest manifest, in bytes: it holds the catalog of every collection.
const LARGEST: u64 = 512_000_000;
/// How far the clock of another host may be ahead, in milliseconds.
const CLOCKS: i64 = 10 * 60 * 1000;
/// Raised when an older version could misread what a newer one writes.
const VERSION: i64 = 1;

/// What a backup was made for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum BackupKind {
    /// Somebody asked for it.
    Manual,
    /// A restore made it of what it replaced.
    Safety,
    /// The assessment migration made it.
    Assessment,
}

impl BackupKind {
    /// As manifests have it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Manual => "manual",
            Self::Safety => "safety",
            Self::Assessment => "assessment",
        }
    }
}

/// Which collections a backup is about: a restore brings these to the backup's state, and no others.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum BackupScope {
    /// The whole database.
    Full,
    /// These; one that the backup does not hold did not exist.
    Collections(Vec<String>),
    /// The whole database but these, of which it knows nothing.
    Except(Vec<String>),
}

impl BackupScope {
    /// What it leaves out although it is of the whole database.
    pub fn excluded(&self) -> &[String] {
        match self {
            Self::Except(names) => names,
            Self::Full | Self::Collections(_) => &[],
        }
    }

    /// Whether a collection is in it.
    pub fn includes(&self, collection: &str) -> bool {
        match self {
            Self::Full => true,
            Self::Collections(names) => names.iter().any(|name| name == collection),
            Self::Except(names) => names.iter().all(|name| name != collection),
        }
    }
}

/// How far the documents are one state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Consistency {
    /// As of the manifest's cluster time.
    Snapshot,
    /// As they were when each was read.
    None,
}

impl Consistency {
    /// As manifests have it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Snapshot => "snapshot",
            Self::None => "none",
        }
    }
}

/// A time of the cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClusterTime {
    /// Seconds since 1970.
    pub seconds: i64,
    /// Which operation of that second.
    pub increment: i64,
}

/// A file as it is stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredFile {
    /// Its name in the backup's directory.
    pub name: String,
    /// Its size.
    pub bytes: i64,
    /// SHA-256 of it, in hexadecimal.
    pub sha256: String,
}

/// One collection, view or time-series collection.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CollectionManifest {
    /// Its name.
    pub name: String,
    /// `collection`, `view` or `timeseries`.
    #[serde(rename = "type")]
    pub kind: String,
    /// How far its documents are of the backup's cluster time.
    pub consistency: Consistency,
    /// How many documents (of a time-series collection: buckets).
    pub documents: i64,
    /// Their size as BSON.
    pub bytes: i64,
    /// Documents, compressed; views have none.
    pub data: Option<StoredFile>,
    /// Options and indexes as mongodump writes them.
    pub metadata: StoredFile,
    /// Options and indexes as the server answered, as BSON in base64: what a restore uses.
    pub catalog: String,
}

/// What a backup holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    format: String,
    version: i64,
    /// The version of this tool.
    pub tool_version: String,
    /// What it was made for.
    pub kind: BackupKind,
    /// What it is about.
    pub scope: BackupScope,
    /// The database.
    pub database: String,
    /// When it was begun, in UTC, as RFC 3339.
    pub created_at: String,
    /// Where this tool ran.
    pub host: String,
    /// The server's version.
    pub server_version: String,
    /// Whether all documents are of one time.
    pub consistency: Consistency,
    /// That time.
    pub cluster_time: Option<ClusterTime>,
    /// All documents.
    pub documents: i64,
    /// Their size as BSON.
    pub bytes: i64,
    /// The size of all files but this.
    pub stored_bytes: i64,
    /// By name.
    pub collections: Vec<CollectionManifest>,
}

/// What a manifest says of a backup as a whole.
#[derive(Debug, Clone)]
pub struct Heading {
    /// What it was made for.
    pub kind: BackupKind,
    /// What it is about.
    pub scope: BackupScope,
    /// The database.
    pub database: String,
    /// When it was begun.
    pub created_at: String,
    /// The server's version.
    pub server_version: String,
    /// Whether all documents are of one time.
    pub consistency: Consistency,
    /// That time.
    pub cluster_time: Option<ClusterTime>,
}

impl Manifest {
    /// The manifest of these collections.
    pub fn new(heading: Heading, mut collections: Vec<CollectionManifest>) -> Self {
        collections.sort_by(|a, b| a.name.cmp(&b.name));
        let sum = |of: fn(&CollectionManifest) -> i64| collections.iter().map(of).sum();
        Self {
            format: FORMAT.to_owned(),
            version: VERSION,
            tool_version: env!("CARGO_PKG_VERSION").to_owned(),
            kind: heading.kind,
            scope: heading.scope,
            database: heading.database,
            created_at: heading.created_at,
            host: crate::run::identity::Identity::current().host,
            server_version: heading.server_version,
            consistency: heading.consistency,
            cluster_time: heading.cluster_time,
            documents: sum(|it| it.documents),
            bytes: sum(|it| it.bytes),
            stored_bytes: sum(|it| it.metadata.bytes + it.data.as_ref().map_or(0, |data| data.bytes)),
            collections,
        }
    }

    /// When it was begun.
    pub fn created(&self) -> DateTime {
        DateTime::parse_rfc3339_str(&self.created_at).unwrap_or(DateTime::from_millis(0))
    }

    /// Whether it was begun later than now, as far as clocks can be trusted: one that says so was made by a host whose clock
    /// was wrong, or changed since.
    pub fn is_of_the_future(&self) -> bool {
        self.created().timestamp_millis() > DateTime::now().timestamp_millis() + CLOCKS
    }

    /// The file's content.
    pub fn to_bytes(&self) -> Vec<u8> {
        let json = serde_json::to_string_pretty(self).unwrap_or_default();
        // Without the opening brace, which comes before the checksum.
        let rest = format!("{}\n", &json[1..]);
        let mut bytes = format!("{OPENING}{}{CLOSING}", hex(&Sha256::digest(rest.as_bytes()))).into_bytes();
        bytes.extend_from_slice(rest.as_bytes());
        bytes
    }

    /// Reads what [`to_bytes`](Self::to_bytes) wrote.
    ///
    /// # Errors
    /// [`Error::BackupCorrupt`] naming `file`.
    pub fn from_bytes(bytes: &[u8], file: &Path) -> Result<Self> {
        let corrupt = |what: &str| corrupt(file, what);
        let rest = bytes
            .strip_prefix(OPENING.as_bytes())
            .ok_or_else(|| corrupt("it is no manifest of a backup, or damaged"))?;
        let (sum, rest) = rest.split_at_checked(64).ok_or_else(|| corrupt("it is cut off"))?;
        let rest = rest.strip_prefix(CLOSING.as_bytes()).ok_or_else(|| corrupt("it is damaged"))?;
        if sum != hex(&Sha256::digest(rest)).as_bytes() {
            return Err(corrupt("its checksum does not match: it was changed after it was written"));
        }
        let json = [b"{", rest].concat();
        #[derive(Deserialize)]
        struct Header {
            format: String,
            version: i64,
        }
        let header: Header = serde_json::from_slice(&json).map_err(|e| corrupt(&foreign::json(&e)))?;
        if header.format != FORMAT || header.version > VERSION {
            return Err(corrupt(&format!(
                "it is of format {:?}, version {}, which this version of edulearn_migrate cannot read",
                header.format, header.version
            )));
        }
        let manifest: Self = serde_json::from_slice(&json).map_err(|e| corrupt(&foreign::json(&e)))?;
        let stored = manifest.collections.iter().flat_map(|it| it.data.iter().chain([&it.metadata]));
        if let Some(odd) = stored.map(|stored| &stored.name).find(|name| !is_plain_file(name)) {
            return Err(corrupt(&format!("it names a file outside the backup, {odd:?}")));
        }
        let names = manifest.collections.iter().map(|it| it.name.as_str());
        let stored = manifest.collections.iter().flat_map(|it| it.data.iter().chain([&it.metadata]));
        if let Some(twice) = occurs_twice(names).or_else(|| occurs_twice(stored.map(|stored| stored.name.as_str()))) {
            return Err(corrupt(&format!("it lists {twice:?} twice")));
        }
        Ok(manifest)
    }

    /// Reads the manifest of the backup in `directory`.
    ///
    /// # Errors
    /// [`Error::BackupCorrupt`].
    pub fn read(directory: &Path) -> Result<Self> {
        let file = directory.join(FILE);
        let bytes = read_small(&file, LARGEST).map_err(|e| corrupt(&file, &format!("it cannot be read ({e})")))?;
        Self::from_bytes(&bytes, &file)
    }
}

fn occurs_twice<'a>(mut names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let mut seen = HashSet::new();
    names.find(|name| !seen.insert(*name))
}

const OPENING: &str = "{\n  \"sha256\": \"";
const CLOSING: &str = "\",";

/// The error for a file of a backup that is not as it was written.
pub fn corrupt(file: &Path, what: &str) -> Error {
    Error::BackupCorrupt {
        file: file.to_owned(),
        message: format!("The backup cannot be trusted: {}: {what}. Nothing was written.", file.display()),
    }
}

#[cfg(test)]
#[path = "manifest_tests.rs"]
mod tests;
