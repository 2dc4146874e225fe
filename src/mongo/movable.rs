//! Whether a collection can be renamed, set aside or replaced: the server refuses it for some, and for others it loses
//! what made them what they are. Whoever needs it asks before anything is written.

use bson::{Bson, Document, doc};

use super::catalog::Collection;
use super::profile::BUCKETS;
use super::server::Server;
use crate::error::codes;
use crate::error::server::ServerError;

/// What the names of the collections begin with in which the server keeps what belongs to an encrypted one.
const COMPANIONS: &str = "enxcol_.";
/// Whoever may do this on the cluster may rename encrypted collections. Source: `rename_collection.cpp` of the server.
const RENAMES_ENCRYPTED: &str = "setUserWriteBlockMode";

/// Why an encrypted collection is refused, as the end of a sentence.
pub const ENCRYPTED: &str = "it is encrypted (encryptedFields), and the server lets only administrators rename it";
/// Why a sharded collection is refused, as the end of a sentence.
pub const SHARDED: &str = "it is sharded, and what takes its place by a rename is not";
/// What to do about a drop of what cannot be set aside.
pub const DROP_INSTEAD: &str =
    "Write \"capture\": false into this operation to drop it for good, then run the same command again.";
/// What to do about a rename of what cannot be renamed.
pub const RENAME_INSTEAD: &str =
    "Let an administrator run this migration, or copy the documents by the application, which can decrypt them.";

/// Whether a collection is encrypted (Queryable Encryption), or belongs to one that is.
pub fn encrypted(name: &str, options: &Document) -> bool {
    options.contains_key("encryptedFields") || name.starts_with(COMPANIONS)
}

/// Whether the user may rename encrypted collections, which administrators may.
///
/// # Errors
/// The server's.
pub async fn may_rename_encrypted(server: &Server) -> Result<bool, ServerError> {
    let status = server.run_admin(doc! {"connectionStatus": 1, "showPrivileges": true}).await?;
    let Ok(info) = status.get_document("authInfo") else { return Ok(false) };
    let list = |name: &str| info.get_array(name).map(Vec::as_slice).unwrap_or_default();
    // A server that asks nobody who they are lets everybody.
    let granted = |privilege: &Document| {
        let resource = privilege.get_document("resource");
        let cluster = resource
            .is_ok_and(|it| it.get_bool("cluster").unwrap_or(false) || it.get_bool("anyResource").unwrap_or(false));
        let actions = privilege.get_array("actions").map(Vec::as_slice).unwrap_or_default();
        cluster && actions.iter().any(|it| matches!(it.as_str(), Some(RENAMES_ENCRYPTED | "anyAction")))
    };
    let privileges = list("authenticatedUserPrivileges");
    Ok(list("authenticatedUsers").is_empty() || privileges.iter().filter_map(Bson::as_document).any(granted))
}

/// Whether a collection is sharded. Only the router of a cluster knows; elsewhere none is.
///
/// # Errors
/// The server's: a user may lack the right `collStats`.
pub async fn sharded(server: &Server, name: &str, kind: &str) -> Result<bool, ServerError> {
    if !server.profile().sharded() || kind == "view" {
        return Ok(false);
    }
    let stored = match kind {
        "timeseries" if !server.profile().raw_data() => format!("{BUCKETS}{name}"),
        _ => name.to_owned(),
    };
    match server.run(doc! {"collStats": stored}, None).await {
        Ok(stats) => Ok(stats.get_bool("sharded").unwrap_or(false)),
        Err(e) if e.is(codes::NAMESPACE_NOT_FOUND) => Ok(false),
        Err(e) => Err(e),
    }
}

/// Why a collection cannot be renamed, as the end of a sentence; `None` where it can.
///
/// # Errors
/// The server's.
pub async fn bars_rename(server: &Server, name: &str, found: &Collection) -> Result<Option<&'static str>, ServerError> {
    Ok((encrypted(name, &found.options) && !may_rename_encrypted(server).await?).then_some(ENCRYPTED))
}

/// Why a collection cannot be set aside, as the end of a sentence; `None` where it can.
///
/// # Errors
/// The server's.
pub async fn bars_stash(server: &Server, name: &str, found: &Collection) -> Result<Option<&'static str>, ServerError> {
    match bars_rename(server, name, found).await? {
        None if sharded(server, name, &found.kind).await? => Ok(Some(SHARDED)),
        barred => Ok(barred),
    }
}
