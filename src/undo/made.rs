//! Removing a collection that the migration made, unless somebody uses it.
//!
//! The server drops no collection on the condition that it is empty. So it is renamed aside first, where nobody else
//! writes: what somebody has inserted until then is seen there, and what is inserted later makes the collection anew.

use bson::spec::BinarySubtype;
use bson::{Binary, Bson, Document, RawDocumentBuf, doc, rawdoc};

use super::existing::{definition, same_definition};
use crate::capture::registry;
use crate::capture::stash::discard_if_empty;
use crate::error::codes;
use crate::error::server::ServerError;
use crate::mongo::catalog;
use crate::mongo::id::Id;
use crate::mongo::query::Query;
use crate::mongo::server::Server;
use crate::plural::counted;
use crate::run::report::Undone;
use crate::run::transaction::{send, with_majority};
use crate::undo::operation::UndoOperation;

/// Drops a collection that the migration made, if it is as it was made and nobody has put anything into it.
/// Otherwise it stays, and its documents are counted as made since, but for `conflicts` that were counted as such.
///
/// # Errors
/// The server's. Made again, it carries on.
pub async fn remove_made(
    server: &Server,
    undo: &UndoOperation,
    made: &Document,
    conflicts: i64,
) -> Result<(Undone, Option<String>), ServerError> {
    let name = undo.collection.as_str();
    let aside = undo.capture_key.aside(server.names());
    // A killed attempt may have got as far as this.
    if catalog::collection(server, &aside).await?.is_some() {
        return settle(server, undo, &aside, conflicts).await;
    }
    let Some(existing) = definition(server, name).await? else {
        return Ok((Undone::default(), Some("gone".to_owned())));
    };
    if existing.get_str("type").is_ok_and(|kind| kind == "view") {
        return Ok((
            Undone { conflicts: 1, ..Undone::default() },
            Some(format!("a view {name:?} exists now, and stays")),
        ));
    }
    if documents(server, name).await? > 0 {
        return stays(server, name, conflicts).await;
    }
    if !same_definition(&existing, made) {
        let note = format!("{name:?} stays, empty: its options or indexes were changed since");
        return Ok((Undone { conflicts: 1, ..Undone::default() }, Some(note)));
    }
    server.rename_collection(name, &aside).await?;
    settle(server, undo, &aside, conflicts).await
}

/// Drops what was renamed aside. Where somebody was faster and has put something into it, that goes back to where it
/// was put.
async fn settle(
    server: &Server,
    undo: &UndoOperation,
    aside: &str,
    conflicts: i64,
) -> Result<(Undone, Option<String>), ServerError> {
    let name = undo.collection.as_str();
    if discard_if_empty(server, aside).await? {
        return Ok((Undone::default(), Some(format!("{name:?} is dropped: the migration had made it"))));
    }
    match server.rename_collection(aside, name).await {
        Ok(()) => return stays(server, name, conflicts).await,
        // Somebody has made it anew.
        Err(e) if e.is(codes::NAMESPACE_EXISTS) => {}
        Err(e) => return Err(e),
    }
    let left = move_back(server, aside, name).await?;
    let (undone, note) = stays(server, name, conflicts).await?;
    if left == 0 && discard_if_empty(server, aside).await? {
        return Ok((undone, note));
    }
    let uuid = catalog::uuid(server, aside).await?;
    let uuid = uuid.map(|bytes| Bson::Binary(Binary { subtype: BinarySubtype::Uuid, bytes }));
    let listed = doc! {"aside": aside, "left": true, "overtaken": true, "uuid": uuid};
    registry::amend(server, undo.capture_key, listed).await?;
    let note = format!(
        "{}; {left} more that were put into it before it was made anew are set aside, because others have taken their place: \
         `undrop {} --to NEW_NAME` brings them back",
        note.unwrap_or_default(),
        undo.capture_key.name()
    );
    Ok((undone, Some(note)))
}

/// Moves the documents of `aside` into `name`, but for those whose place is taken; how many those are. There are few:
/// they were inserted within a moment.
async fn move_back(server: &Server, aside: &str, name: &str) -> Result<i64, ServerError> {
    let merge = doc! {"$merge": {"into": name, "on": "_id", "whenMatched": "keepExisting", "whenNotMatched": "insert"}};
    let merge = doc! {"aggregate": aside, "pipeline": [merge], "cursor": {}, "bypassDocumentValidation": true};
    match server.run(with_majority(merge), None).await {
        // A unique index of the new one bars a document, and the server stops there.
        Err(e) if !e.is(codes::DUPLICATE_KEY) => return Err(e),
        _ => {}
    }
    let mut left = 0;
    let mut there = server.find(rawdoc! {"find": aside}).await?;
    while let Some(document) = there.next().await? {
        let Some(id) = Id::of_stored(&document) else { continue };
        let same = server.find(rawdoc! {"find": name, "filter": id.filter(), "limit": 1}).await?.next().await?;
        if same.is_some_and(|same| same.as_bytes() == document.as_bytes()) {
            send(server, None, rawdoc! {"delete": aside, "deletes": [{"q": id.filter(), "limit": 1}]}).await?;
        } else {
            left += 1;
        }
    }
    Ok(left)
}

async fn documents(server: &Server, name: &str) -> Result<i64, ServerError> {
    Query { collection: name, hint: None, collation: None, variables: None }.count(server, RawDocumentBuf::new()).await
}

async fn stays(server: &Server, name: &str, conflicts: i64) -> Result<(Undone, Option<String>), ServerError> {
    let documents = documents(server, name).await?;
    let made_since = (documents - conflicts).max(0);
    let note = format!("{name:?} stays: it holds {}, {made_since} of them made since", counted(documents, "document"));
    Ok((Undone { made_since, ..Undone::default() }, Some(note)))
}
