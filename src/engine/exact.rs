//! What an exact rollback has to do: the captured operations of every run since the migration was last not
//! applied, the latest first.

use super::inventory::Inventory;
use super::plan::{Plan, unchanged_where_begun};
use crate::capture::registry::{self, Header};
use crate::error::{Error, Result};
use crate::run::progress::Progress;
use crate::run::report::{CollectionUndone, Undone};
use crate::run::slot::Capture;
use crate::run::step::{Step, Task, Undo};
use crate::server::Server;

/// Fills in the tasks of the plan's exact steps.
///
/// # Errors
/// [`Error::WrongState`] where something was not captured, before anything is done; or the server's.
pub async fn fill(server: &Server, inventory: &Inventory, plan: &mut Plan) -> Result<()> {
    if !plan.steps.iter().any(|step| step.exact) {
        return Ok(());
    }
    let headers = registry::headers(server).await.map_err(Error::server("Reading what was captured"))?;
    for step in plan.steps.iter_mut().filter(|step| step.exact) {
        let record = inventory.find(&step.id)?.record.as_ref();
        let captures = record.map(|record| record.captures.as_slice()).unwrap_or_default();
        if let Some(why) = missing(captures, &headers) {
            return Err(Error::WrongState(format!(
                "{} ({}) cannot be rolled back exactly: {why}. Nothing was done. `rollback {}` runs its down script.",
                step.id, step.name, step.id
            )));
        }
        for capture in captures.iter().rev().flatten() {
            let entries = registry::entries(server, *capture).await;
            let entries = entries.map_err(Error::server("Reading what was captured"))?;
            step.tasks.extend(entries.into_iter().rev().map(|(slot, entry)| Task::Undo(Undo::new(slot, entry))));
        }
        *step = unchanged_where_begun(step.clone())?;
    }
    Ok(())
}

/// Why not all that was done is captured.
fn missing(captures: &[Option<Capture>], headers: &[Header]) -> Option<String> {
    if captures.is_empty() {
        return Some("nothing was captured when it was applied (by the old tool, or marked by hand)".to_owned());
    }
    for capture in captures {
        let Some(capture) = capture else { return Some("a run of it captured nothing (--no-capture)".to_owned()) };
        let Some(header) = headers.iter().find(|header| header.capture == *capture) else {
            return Some("what was captured has been purged".to_owned());
        };
        if header.purging {
            return Some("what was captured is being purged".to_owned());
        }
        if let Some(operation) = header.uncaptured.first() {
            return Some(format!(
                "operation {operation} of its {} script was not captured (\"capture\": false)",
                header.direction.as_str()
            ));
        }
    }
    None
}

/// What became of the documents, collection by collection.
pub fn by_collection(step: &Step, progress: &Progress) -> Vec<CollectionUndone> {
    let mut all: Vec<CollectionUndone> = Vec::new();
    for (task, done) in step.tasks.iter().zip(&progress.operations) {
        let at = all.iter().position(|one| one.collection == task.collection()).unwrap_or_else(|| {
            all.push(CollectionUndone { collection: task.collection().to_owned(), documents: Undone::default() });
            all.len() - 1
        });
        all[at].documents += done.counts.undone;
    }
    all
}
