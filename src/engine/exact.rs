//! What an exact rollback has to do: the captured operations of every run since the migration was last not
//! applied, the latest first.

use super::inventory::Inventory;
use super::plan::{Plan, unchanged_where_begun};
use crate::capture::registry::{self, Header};
use crate::error::{Error, Result};
use crate::run::progress::Progress;
use crate::run::record::Record;
use crate::run::report::{CollectionUndone, Undone};
use crate::run::slot::{Capture, Slot};
use crate::run::step::{Step, Task, Undo};
use crate::server::Server;
use crate::undo::moved;

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
        if let Err(why) = fill_one(server, record, &headers, step).await {
            match step.instead.take() {
                Some(script) if matches!(why, Error::WrongState(_)) => {
                    *step = Step { capture: step.capture, ..*script }
                }
                _ => return Err(why),
            }
        }
    }
    Ok(())
}

/// Fills in the tasks of one exact step.
///
/// # Errors
/// As [`fill`].
pub async fn fill_one(server: &Server, record: Option<&Record>, headers: &[Header], step: &mut Step) -> Result<()> {
    let captures = record.map(|record| record.captures.as_slice()).unwrap_or_default();
    if let Some(why) = missing(captures, headers) {
        return Err(refused(step, &why));
    }
    // An assessment task that was only announced has captured nothing, and undoing that does nothing. Left out, it would be
    // missed by a run that carries on: the record then no longer says how far the migration came.
    let all = step.assessment.is_some();
    for capture in captures.iter().rev().flatten() {
        let entries = registry::entries(server, *capture).await;
        let entries = entries.map_err(Error::server("Reading what was captured"))?;
        for (slot, entry) in entries.into_iter().rev().filter(|(slot, _)| all || begun(record, *slot)) {
            if entry.get_bool("uncaptured").unwrap_or(false) {
                let why = format!("its operation {} was not captured (\"capture\": false)", slot.operation + 1);
                return Err(refused(step, &why));
            }
            if entry.get_bool("lost").unwrap_or(false) && step.resume.is_none() {
                let why = format!(
                    "its operation {} wrote to the time-series collection {:?}, where nothing names one document, so what \
                     it wrote cannot be taken back",
                    slot.operation + 1,
                    entry.get_str("collection").unwrap_or_default()
                );
                return Err(refused(step, &why));
            }
            step.tasks.push(Task::Undo(Undo::new(slot, entry)));
        }
    }
    *step = unchanged_where_begun(step.clone())?;
    Ok(())
}

/// Refuses what cannot be undone because a collection was moved since by what has not been undone itself.
///
/// # Errors
/// [`Error::WrongState`], or the server's.
pub async fn refuse_moved(server: &Server, step: &Step) -> Result<()> {
    if !step.exact || step.resume.is_some() {
        return Ok(());
    }
    let reading = || Error::server("Reading what was captured");
    let headers = registry::headers(server).await.map_err(reading())?;
    match moved::refused(server, &step.tasks, &headers).await.map_err(reading())? {
        Some(why) => Err(refused(step, &why)),
        None => Ok(()),
    }
}

fn refused(step: &Step, why: &str) -> Error {
    if step.assessment.is_some() {
        return Error::WrongState(format!(
            "The assessment migration cannot be rolled back: {why}. Nothing was done. `restore` brings back the backup that \
             it made, without what was written since."
        ));
    }
    Error::WrongState(format!(
        "{} ({}) cannot be rolled back exactly: {why}. Nothing was done. `rollback {}` runs its down script.",
        step.id, step.name, step.id
    ))
}

/// Whether the operation may have done anything: the last one of an unfinished script may have been announced only.
fn begun(record: Option<&Record>, slot: Slot) -> bool {
    let progress = record.and_then(|record| record.progress.as_ref()).filter(|own| own.capture == Some(slot.capture));
    let own = progress.and_then(|progress| progress.operations.get(usize::try_from(slot.operation).ok()?));
    own.is_none_or(|own| own.begun || own.outcome.is_some())
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
