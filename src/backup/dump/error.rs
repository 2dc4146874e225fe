//! Why an attempt at a dump came to nothing, and what an error of a read means for it.

use super::super::catalog::{self, CatalogEntry};
use crate::error::codes;
use crate::error::server::ServerError;
use crate::error::{Error, Result};
use crate::mongo::retry::{Policy, Retry, retry};
use crate::mongo::server::Server;

/// Why an attempt came to nothing.
pub enum DumpError {
    /// It may well succeed when tried again.
    Again(String),
    /// It did not.
    Failed(Error),
}

impl From<Error> for DumpError {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

/// The outcome of an attempt.
pub type DumpResult<T> = std::result::Result<T, DumpError>;

pub(super) fn poisoned() -> Error {
    Error::broke_off("A part of the backup")
}

pub(super) fn interrupted() -> Error {
    Error::Interrupted("Stopped; nothing remains of the backup.".to_owned())
}

/// What an error of a read means: wait and read on, start over, or give up.
pub(super) async fn outwait(
    server: &Server,
    error: ServerError,
    entry: &CatalogEntry,
    retry: &mut Retry<'_>,
) -> DumpResult<()> {
    let collection = &entry.name;
    match error.code {
        Some(codes::SNAPSHOT_TOO_OLD) => Err(DumpError::Failed(Error::SnapshotLost(format!(
            "No backup was made: the server gave up the snapshot while {collection:?} was read ({error}). Grant the user of \
             MONGO_URI the role clusterAdmin, so that the backup can raise minSnapshotHistoryWindowInSeconds. Or raise that parameter \
             by hand. Or run `backup --consistency none`, whose collections are not all from the same time."
        )))),
        Some(codes::SNAPSHOT_UNAVAILABLE) => Err(pending(&error).await),
        // A plan is also killed with an index, or when an indexed field first holds an array.
        Some(codes::QUERY_PLAN_KILLED) if !stands(server, entry, retry).await? => {
            Err(DumpError::Again(format!("{collection:?} was dropped or renamed")))
        }
        Some(codes::CAPPED_POSITION_LOST) => {
            Err(DumpError::Again(format!("{collection:?} is capped and was overwritten faster than it was read")))
        }
        _ => Ok(retry.wait(error).await?.map_err(Error::server(format!("Reading {collection:?}")))?),
    }
}

/// Whether the collection that is read is still the one of its name.
async fn stands(server: &Server, entry: &CatalogEntry, retry: &mut Retry<'_>) -> Result<bool> {
    let listed = retry!(retry, catalog::list_all(server, |name| name == entry.name));
    let found = listed.map_err(Error::server("Reading the catalog"))?;
    Ok(found.iter().any(|it| it.uuid == entry.uuid))
}

/// The catalog changed so recently that no majority has it yet.
pub async fn pending(error: &ServerError) -> DumpError {
    tokio::time::sleep(Policy::SNAPSHOT.first).await;
    DumpError::Again(format!("a collection was created or indexed just now ({error})"))
}
