//! This file undoes schema changes. It runs the inverse operation if the result of the change is still as the
//! migration left it.

use bson::{Document, doc};

use super::ending::finish;
use super::existing::{definition, same_definition};
use super::made::remove_made;
use super::way::{Way, operation};
use super::{indexes, options};
use crate::error::server::ServerError;
use crate::model::script::operation::Action;
use crate::mongo::catalog;
use crate::mongo::retry::{Retry, retry};
use crate::mongo::server::Server;
use crate::operations::error::OperationError;
use crate::operations::schema::{SchemaChange, change};
use crate::run::capture_key::CaptureKey;
use crate::run::handle::Run;
use crate::run::journal::Journal;
use crate::run::progress::OperationIndex;
use crate::run::report::Undone;
use crate::undo::operation::UndoOperation;

/// Undoes a schema operation; what that removes is captured in `own`. `conflicts` were left in the collection.
pub async fn undo(
    run: &mut Run,
    journal: &mut Journal,
    undo: &UndoOperation,
    own: Option<CaptureKey>,
    conflicts: i64,
    place: OperationIndex,
) -> Result<(), OperationError> {
    // How a killed attempt began it is how it goes on: it may have removed what would be looked for.
    let mut retry = Retry::new(&run.reporter, &run.stop);
    let way = retry!(retry, way(&run.server, undo))?;
    match way {
        Way::Operation(operation, remark) => {
            change(run, journal, &SchemaChange::Operation(&operation), &undo.hash, own, place).await?;
            let Some((counts, why)) = remark else { return Ok(()) };
            finish(run, journal, undo, place, counts, Some(why)).await
        }
        Way::Rebuild { index } => {
            let rebuild = SchemaChange::Rebuild { collection: &undo.collection, index: &index };
            change(run, journal, &rebuild, &undo.hash, own, place).await
        }
        Way::Return { aside, before } => {
            let back = SchemaChange::Return { name: &undo.collection, aside: aside.as_deref(), before: &before };
            change(run, journal, &back, &undo.hash, own, place).await
        }
        Way::Remove { made } => {
            let (counts, note) = retry!(retry, remove_made(&run.server, undo, &made, conflicts))?;
            finish(run, journal, undo, place, counts, note).await
        }
        Way::Not { conflict, why } => {
            let counts = Undone { conflicts: i64::from(conflict), ..Undone::default() };
            finish(run, journal, undo, place, counts, Some(why)).await
        }
    }
}

async fn way(server: &Server, undo: &UndoOperation) -> Result<Way, ServerError> {
    match undo.done.as_str() {
        "create_collection" => created(server, undo).await,
        "drop_collection" => dropped(server, undo).await,
        "create_index" => indexes::index_made(server, undo).await,
        "drop_index" => indexes::index_dropped(server, undo).await,
        "modify_collection" => options::modified(server, undo).await,
        "rename_collection" => renamed(server, undo).await,
        other => Ok(Way::conflict(format!("an entry of the unknown type {other:?}"))),
    }
}

async fn created(server: &Server, undo: &UndoOperation) -> Result<Way, ServerError> {
    if undo.entry.get_document("before").is_ok() {
        return Ok(Way::nothing("it stood before the migration"));
    }
    let Some(now) = definition(server, &undo.collection).await? else {
        // A killed attempt may have renamed it already, and the removal finishes that.
        return Ok(Way::Remove { made: Document::new() });
    };
    let made = undo.entry.get_document("after").cloned().unwrap_or_else(|_| now.clone());
    if now.get_str("type").is_ok_and(|kind| kind == "view") {
        return Ok(if same_definition(&now, &made) {
            Way::by(undo, Action::DropCollection)
        } else {
            Way::conflict("the view was changed since and stays")
        });
    }
    if now.get_str("type").is_ok_and(|kind| kind == "timeseries") {
        return timeseries_made(server, undo).await;
    }
    Ok(Way::Remove { made })
}

/// A time-series collection cannot be renamed aside: it is looked at and dropped.
async fn timeseries_made(server: &Server, undo: &UndoOperation) -> Result<Way, ServerError> {
    let found = server.find_all(doc! {"find": &undo.collection, "filter": {}, "limit": 1}).await?;
    Ok(if found.is_empty() {
        Way::by(undo, Action::DropCollection)
    } else {
        Way::conflict("the time-series collection holds documents and stays")
    })
}

async fn dropped(server: &Server, undo: &UndoOperation) -> Result<Way, ServerError> {
    let Ok(before) = undo.entry.get_document("before") else {
        return Ok(Way::nothing("there was no such collection"));
    };
    let now = definition(server, &undo.collection).await?;
    let Ok(aside) = undo.entry.get_str("aside") else {
        let options = before.get_document("options").cloned().unwrap_or_default();
        return Ok(match now {
            None => Way::by(undo, Action::CreateCollection { options }),
            Some(now) if same_definition(&now, before) => Way::nothing("the view exists"),
            Some(_) => Way::conflict("something else has the view's name"),
        });
    };
    let kept = catalog::collection(server, aside).await?.is_some();
    Ok(match (now, kept) {
        (None, true) => Way::Return { aside: Some(aside.to_owned()), before: before.clone() },
        (None, false) => Way::conflict(format!("{aside:?}, under which it was set aside, is gone")),
        // A killed attempt, of the drop or of this return, may have left its expiry suspended.
        (Some(_), false) => Way::Return { aside: None, before: before.clone() },
        (Some(now), true) if half_returned(&now, before) => {
            Way::Return { aside: Some(aside.to_owned()), before: before.clone() }
        }
        (Some(_), true) => Way::conflict(format!(
            "a collection of this name was made since and stays; `undrop {} --to NEW_NAME` brings the old one back under another name",
            undo.capture_key.name()
        )),
    })
}

/// A time-series collection whose buckets a killed attempt began to bring back.
fn half_returned(now: &Document, before: &Document) -> bool {
    now.get_str("type").is_ok_and(|kind| kind == "timeseries") && same_definition(now, before)
}

async fn renamed(server: &Server, undo: &UndoOperation) -> Result<Way, ServerError> {
    if !undo.entry.get_bool("renames").unwrap_or(false) {
        return Ok(Way::nothing("it was renamed before the migration"));
    }
    let to = undo.entry.get_str("to").unwrap_or_default();
    let source = catalog::collection(server, &undo.collection).await?.is_some();
    let target = catalog::collection(server, to).await?.is_some();
    Ok(match (source, target) {
        (false, true) => {
            let mut back = operation(undo, Action::RenameCollection { to: undo.collection.clone() });
            back.collection = to.to_owned();
            Way::Operation(back, None)
        }
        (true, true) => Way::conflict(format!("both {:?} and {to:?} exist; both stay", undo.collection)),
        (true, false) => Way::nothing("it has its name"),
        (false, false) => Way::nothing("it is gone"),
    })
}
