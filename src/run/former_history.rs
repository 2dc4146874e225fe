//! Moving the history to its collection from the one that earlier versions kept it in.
//!
//! Beanie keeps a history of its own under that name, so only entries of ours are moved. An entry keeps its `_id`: a
//! move that was killed half-way is made again and makes no entry twice.

use bson::{Bson, Document, doc};

use super::handle::Run;
use crate::error::{Error, Result};
use crate::observe::{Kind, Level};

/// Entries that one transaction moves.
const BATCH: i32 = 200;
/// The size at which a transaction is not filled any further.
const BYTES: usize = 4 * 1024 * 1024;

/// Moves every entry of ours. A run continues even if the history cannot be moved.
///
/// # Errors
/// [`Error::LeaseLost`] or [`Error::Interrupted`].
pub async fn bring_over(run: &mut Run) -> Result<()> {
    let Some(former) = run.server.names().former_history() else { return Ok(()) };
    loop {
        match bring_some(run, former).await {
            Ok(true) => run.safe_point()?,
            Ok(false) => return Ok(()),
            Err(error @ Error::LeaseLost(_)) => return Err(error),
            Err(error) => {
                let history = run.server.names().history();
                let message = format!(
                    "The history in {former} could not be moved to {history} ({error}). The next run tries again."
                );
                run.reporter.tell(Kind::Warning, Level::Warning, message);
                return Ok(());
            }
        }
    }
}

/// Moves some entries; whether there were any.
async fn bring_some(run: &mut Run, former: &str) -> Result<bool> {
    let moving = format!("Moving the history out of {former}");
    let find = doc! {"find": former, "filter": of_ours(), "sort": {"_id": 1}, "limit": BATCH};
    let found = run.server.find_all(find).await.map_err(Error::server(moving.clone()))?;
    let (mut puts, mut ids, mut bytes): (Vec<Document>, Vec<Bson>, usize) = (Vec::new(), Vec::new(), 0);
    for raw in &found {
        let Ok(entry) = Document::try_from(raw.as_ref()) else { continue };
        let Some(id) = entry.get("_id").cloned() else { continue };
        bytes += raw.as_bytes().len();
        if bytes > BYTES && !ids.is_empty() {
            break;
        }
        puts.push(doc! {"q": {"_id": {"$eq": id.clone()}}, "u": entry, "upsert": true});
        ids.push(id);
    }
    if ids.is_empty() {
        return Ok(false);
    }
    let put = doc! {"update": run.server.names().history(), "updates": puts};
    let remove = doc! {"delete": former, "deletes": [{"q": {"_id": {"$in": ids}}, "limit": 0}]};
    run.write(&moving, vec![put, remove]).await?;
    Ok(true)
}

/// What every entry of ours has and Beanie's (`ts`, `name`, `is_current`) have not.
fn of_ours() -> Document {
    doc! {
        "event": {"$type": "string"}, "at": {"$type": "date"},
        "host": {"$type": "string"}, "version": {"$type": "string"},
    }
}
