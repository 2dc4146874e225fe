//! Where a collection is now. Its UUID stays with it when it is renamed, also when it is renamed aside.

use std::collections::HashSet;

use bson::{Bson, Document};

use crate::capture::registry::{self, CaptureHeader};
use crate::error::server::ServerError;
use crate::mongo::catalog;
use crate::mongo::server::Server;
use crate::run::capture_key::CaptureId;
use crate::undo::operation::UndoOperation;

/// What the collection that an operation worked on is called now; `None` where it is not known, or gone.
///
/// # Errors
/// The server's.
pub async fn name_now(server: &Server, undo: &UndoOperation) -> Result<Option<String>, ServerError> {
    let Some(uuid) = uuid(&undo.entry) else { return Ok(None) };
    Ok(catalog::name_of(server, uuid).await?.filter(|name| !name.starts_with(&server.names().kept())))
}

/// Why these operations, the latest first, cannot be undone before something that happened later is.
///
/// # Errors
/// The server's.
pub async fn refused(
    server: &Server,
    undos: &[&UndoOperation],
    headers: &[CaptureHeader],
) -> Result<Option<String>, ServerError> {
    let own: HashSet<CaptureId> = undos.iter().map(|undo| undo.capture_key.capture).collect();
    let mut seen = HashSet::new();
    for undo in undos.iter().copied() {
        let Some(uuid) = uuid(&undo.entry) else { continue };
        if !seen.insert(bytes(uuid)) {
            continue;
        }
        // What it dropped is where `undrop` brought it.
        if undo.done == "drop_collection" {
            continue;
        }
        let was = left_as(undo);
        let now = catalog::name_of(server, uuid).await?;
        if now.as_deref() == Some(was) {
            continue;
        }
        let aside = now.as_deref().is_some_and(|now| now.starts_with(&server.names().kept()));
        let later = later(server, headers, &own, uuid).await?;
        let name = &undo.collection;
        match (now, later) {
            (Some(now), _) if aside && own.iter().any(|own| own.owns(server.names(), &now)) => {}
            (Some(_), later) if aside => {
                let by = later.map_or_else(|| "another run".to_owned(), |(by, _)| by);
                return Ok(Some(format!(
                    "the collection {name:?} that it worked on was dropped by {by}; roll that back first, or bring the \
                     collection back with `undrop`"
                )));
            }
            // Time-series collections are copied aside.
            (None, Some((by, "drop_collection"))) => {
                return Ok(Some(format!(
                    "the collection {name:?} that it worked on was dropped by {by}; roll that back first"
                )));
            }
            (Some(now), later) if undos.iter().any(|other| moves(other) && same(other, uuid)) => {
                let by = later.map_or_else(String::new, |(by, _)| format!(" by {by}"));
                return Ok(Some(format!(
                    "the collection that it left as {was:?} was renamed{by}, and is {now:?} now; undo that first"
                )));
            }
            _ => {}
        }
    }
    Ok(None)
}

/// What an operation left its collection as.
fn left_as(undo: &UndoOperation) -> &str {
    let to = match undo.done.as_str() {
        "rename_collection" if undo.entry.get_bool("renames").unwrap_or(false) => undo.entry.get_str("to").ok(),
        _ => None,
    };
    to.unwrap_or(&undo.collection)
}

/// Whether the operation itself gave the collection another name.
pub fn moves(undo: &UndoOperation) -> bool {
    matches!(undo.done.as_str(), "rename_collection" | "drop_collection")
}

fn uuid(entry: &Document) -> Option<&Bson> {
    entry.get("uuid").filter(|uuid| matches!(uuid, Bson::Binary(_)))
}

fn bytes(uuid: &Bson) -> Vec<u8> {
    if let Bson::Binary(uuid) = uuid { uuid.bytes.clone() } else { Vec::new() }
}

fn same(undo: &UndoOperation, other: &Bson) -> bool {
    uuid(&undo.entry) == Some(other)
}

/// The run, not among `own` and not undone, that moved the collection last: who it was, and what it did.
async fn later(
    server: &Server,
    headers: &[CaptureHeader],
    own: &HashSet<CaptureId>,
    uuid: &Bson,
) -> Result<Option<(String, &'static str)>, ServerError> {
    for header in headers.iter().rev().filter(|header| !own.contains(&header.capture) && !header.undone) {
        for (_, entry) in registry::entries(server, header.capture).await?.into_iter().rev() {
            let did = match entry.get_str("type") {
                Ok("drop_collection") => "drop_collection",
                Ok("rename_collection") => "rename_collection",
                _ => continue,
            };
            if entry.get("uuid") == Some(uuid) {
                return Ok(Some((format!("{} ({})", header.migration, header.name), did)));
            }
        }
    }
    Ok(None)
}
