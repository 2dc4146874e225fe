//! What an exact rollback could not bring back of deleted documents: somebody has made others in their place, a unique
//! index bars them, or their collection is gone. They are all there is of them, so they stay listed, and are not
//! purged with the rest, until somebody decides.

use bson::{RawArrayBuf, doc, rawdoc};
use mongodb::ClientSession;

use super::by_id::lists;
use super::registry;
use crate::error::server::ServerError;
use crate::mongo::id::Id;
use crate::mongo::server::Server;
use crate::names::{LEFT, Names};
use crate::run::capture_key::{CaptureId, CaptureKey};
use crate::run::transaction::send;

/// Statements of one command.
const STATEMENTS: usize = 1_000;

/// The field of an operation's entry that says that there are some.
const FIELD: &str = "left";

/// The collection of their `_id`s.
pub fn collection(names: &Names, capture_key: CaptureKey) -> String {
    capture_key.part(names, LEFT)
}

/// Notes documents that were not brought back, in the transaction that did not.
///
/// # Errors
/// The server's.
pub async fn note(
    server: &Server,
    mut session: Option<&mut ClientSession>,
    capture_key: CaptureKey,
    ids: &[Id],
) -> Result<(), ServerError> {
    if ids.is_empty() {
        return Ok(());
    }
    registry::mark(server, session.as_deref_mut(), capture_key, doc! {"$set": {FIELD: true}}).await?;
    for ids in ids.chunks(STATEMENTS) {
        let statements: RawArrayBuf =
            ids.iter().map(|id| rawdoc! {"q": id.filter(), "u": {"$set": {"left": true}}, "upsert": true}).collect();
        let update = rawdoc! {"update": collection(server.names(), capture_key), "updates": statements};
        send(server, session.as_deref_mut(), update).await?;
    }
    Ok(())
}

/// Takes note that these are back. When none is left, the operation's entry no longer says so.
///
/// # Errors
/// The server's.
pub async fn forget(server: &Server, capture_key: CaptureKey, ids: &[Id]) -> Result<(), ServerError> {
    for ids in lists(&ids.iter().collect::<Vec<_>>()) {
        let delete = rawdoc! {"q": {"_id": Id::any_of(ids.iter().copied())}, "limit": 0};
        send(server, None, rawdoc! {"delete": collection(server.names(), capture_key), "deletes": [delete]}).await?;
    }
    let find = rawdoc! {"find": collection(server.names(), capture_key), "filter": {}, "limit": 1, "singleBatch": true};
    if server.read(find, None, usize::MAX).await?.is_empty() {
        registry::mark(server, None, capture_key, doc! {"$unset": {FIELD: ""}}).await?;
    }
    Ok(())
}

/// Whether an operation's entry says that something is left.
pub fn has(entry: &bson::Document) -> bool {
    entry.get_bool(FIELD).unwrap_or(false)
}

/// Whether something is left of what a run captured.
///
/// # Errors
/// The server's.
pub async fn any(server: &Server, capture: CaptureId) -> Result<bool, ServerError> {
    Ok(registry::entries(server, capture).await?.iter().any(|(_, entry)| has(entry)))
}
