//! Reading many collections at one time of the cluster.
//!
//! Outside transactions, from MongoDB 5.0 on, any number of reads over any number of connections can be `atClusterTime`.
//! The time is taken from the first such read. Capped collections refuse it (246), standalone servers know none.

use bson::{RawDocumentBuf, Timestamp, doc, rawdoc};

use super::catalog::{CatalogEntry, CollectionType};
use super::format::manifest::{ClusterTime, Consistency};
use crate::error::server::ServerError;
use crate::mongo::server::Server;

/// How documents are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReadMode {
    /// As of this time.
    At(Timestamp),
    /// As they are, once a majority of the replica set has them.
    Majority,
    /// As they are, on a standalone server.
    Local,
}

impl ReadMode {
    /// The read concern that says so.
    pub fn concern(self) -> RawDocumentBuf {
        match self {
            Self::At(time) => rawdoc! {"level": "snapshot", "atClusterTime": time},
            Self::Majority => rawdoc! {"level": "majority"},
            Self::Local => rawdoc! {"level": "local"},
        }
    }

    /// The time, as manifests have it.
    pub fn cluster_time(self) -> Option<ClusterTime> {
        match self {
            Self::At(time) => Some(ClusterTime { seconds: time.time.into(), increment: time.increment.into() }),
            Self::Majority | Self::Local => None,
        }
    }

    /// How far what is read so is one state.
    pub fn consistency(self) -> Consistency {
        match self {
            Self::At(_) => Consistency::Snapshot,
            Self::Majority | Self::Local => Consistency::None,
        }
    }

    /// How to read `entry` where everything else is read so.
    pub fn of(self, entry: &CatalogEntry) -> Self {
        match self {
            Self::At(_) if entry.capped() => Self::Majority,
            other => other,
        }
    }
}

/// Takes the time: of the first of `entries` that a snapshot can read. `None` where there is no such collection, and
/// so nothing to be of one time.
///
/// # Errors
/// The server's.
pub async fn take(server: &Server, entries: &[CatalogEntry]) -> Result<Option<Timestamp>, ServerError> {
    let Some(first) = entries.iter().find(|entry| entry.kind != CollectionType::View && !entry.capped()) else {
        return Ok(None);
    };
    let command = doc! {
        "find": first.stored_in(),
        "projection": {"_id": 1},
        "limit": 1,
        "singleBatch": true,
        "readConcern": {"level": "snapshot"},
    };
    let reply = server.run(command, None).await?;
    Ok(reply.get_document("cursor").ok().and_then(|cursor| cursor.get_timestamp("atClusterTime").ok()))
}
