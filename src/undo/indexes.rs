//! Taking back an index that was made or dropped.

use bson::{Bson, Document, RawDocumentBuf, doc};

use super::existing::{definition, plain, same_definition};
use super::way::{Way, operation};
use crate::capture::registry::made_index;
use crate::error::server::ServerError;
use crate::model::script::operation::{Action, CreateIndex, IndexRef};
use crate::mongo::catalog;
use crate::mongo::query::Query;
use crate::mongo::server::Server;
use crate::plural::counted;
use crate::run::report::Undone;
use crate::undo::operation::UndoOperation;

/// How an index that was made is taken back.
pub(super) async fn index_made(server: &Server, undo: &UndoOperation) -> Result<Way, ServerError> {
    let made = undo.entry.get_bool("made").unwrap_or(false);
    if made && unused(server, undo).await? {
        return Ok(Way::Remove { made: with_index(undo) });
    }
    let name = undo.entry.get_str("index").unwrap_or_default();
    if made_index(&undo.entry) == Some(false) {
        return Ok(Way::nothing("the migration did not make the index"));
    }
    // A build outlives the run that asked for it.
    let listed = catalog::indexes(server, &undo.collection).await?;
    let Some(now) = named(listed.iter().map(catalog::specification), name) else {
        return Ok(Way::nothing("the index is gone"));
    };
    Ok(match undo.entry.get_document("after") {
        Ok(after) if *after != now => Way::conflict(format!("the index {name:?} was changed since and stays")),
        _ => {
            let remark = if made { Some(used(server, undo).await?) } else { None };
            Way::Operation(operation(undo, Action::DropIndex(IndexRef::Name(name.to_owned()))), remark)
        }
    })
}

/// What remains in a collection that the server created for this index.
async fn used(server: &Server, undo: &UndoOperation) -> Result<(Undone, String), ServerError> {
    let query = Query { collection: &undo.collection, hint: None, collation: None, variables: None };
    let made_since = query.count(server, RawDocumentBuf::new()).await?;
    let note = format!("{:?} stays: it holds {} made since", undo.collection, counted(made_since, "document"));
    Ok((Undone { made_since, ..Undone::default() }, note))
}

/// Whether a collection that the index was the first thing of holds nothing else.
async fn unused(server: &Server, undo: &UndoOperation) -> Result<bool, ServerError> {
    let Some(now) = definition(server, &undo.collection).await? else { return Ok(true) };
    let found = server.find_all(doc! {"find": &undo.collection, "filter": {}, "limit": 1}).await?;
    Ok(found.is_empty() && same_definition(&now, &with_index(undo)))
}

/// A collection that an index was the first thing of.
fn with_index(undo: &UndoOperation) -> Document {
    let mut made = plain();
    if let (Ok(after), Ok(indexes)) = (undo.entry.get_document("after"), made.get_array_mut("indexes")) {
        indexes.push(Bson::Document(after.clone()));
    }
    made
}

/// How an index that was dropped comes back.
pub(super) async fn index_dropped(server: &Server, undo: &UndoOperation) -> Result<Way, ServerError> {
    let before = undo.entry.get_array("before").ok().and_then(|all| match all.as_slice() {
        [Bson::Document(index)] => Some(index),
        _ => None,
    });
    let Some(before) = before else { return Ok(Way::nothing("there was no such index")) };
    let name = before.get_str("name").unwrap_or_default();
    let Some(collection) = catalog::collection(server, &undo.collection).await? else {
        return Ok(Way::nothing("the collection is gone"));
    };
    // One that is being built may yet fail: making it again waits for that.
    let listed = catalog::indexes(server, &undo.collection).await?;
    Ok(match named(listed.iter(), name) {
        Some(now) if now == *before => Way::nothing("the index exists"),
        Some(_) => Way::conflict(format!("another index {name:?} was made since and stays")),
        None => Way::by(undo, Action::CreateIndex(index_again(before, &collection))),
    })
}

/// The index as `createIndexes` takes it.
pub fn index_again(listed: &Document, collection: &catalog::Collection) -> CreateIndex {
    let mut options = listed.clone();
    for name in ["key", "name", "ns", "background"] {
        options.remove(name);
    }
    // Without a collation an index would get the collection's.
    if collection.options.contains_key("collation") && !options.contains_key("collation") {
        options.insert("collation", doc! {"locale": "simple"});
    }
    CreateIndex {
        keys: listed.get_document("key").cloned().unwrap_or_default(),
        name: listed.get_str("name").unwrap_or_default().to_owned(),
        options,
        commit_quorum: None,
        comment: None,
    }
}

fn named<'a>(indexes: impl Iterator<Item = &'a Document>, name: &str) -> Option<Document> {
    indexes.into_iter().find(|index| index.get_str("name").is_ok_and(|own| own == name)).cloned()
}
