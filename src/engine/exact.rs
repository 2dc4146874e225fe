//! What an exact rollback has to do: the captured operations of every run since the migration was last not
//! applied, the latest first.

use super::inventory::Inventory;
use super::selection::Plan;
use super::steps::unchanged_where_begun;
use crate::capture::registry::{self, CaptureHeader};
use crate::engine::planned::{PlannedMigration, WorkItem};
use crate::error::{Error, Result};
use crate::mongo::server::Server;
use crate::run::capture_key::{CaptureId, CaptureKey};
use crate::run::progress::Progress;
use crate::run::record::Record;
use crate::run::report::{CollectionUndone, Direction, Undone};
use crate::undo::moved;
use crate::undo::operation::UndoOperation;

/// Adds the undo items to every exact migration of the plan. `asked` is true if the user passed `--exact`. It is
/// false if the engine chose an exact rollback because the migration is only partly applied.
///
/// # Errors
/// [`Error::WrongState`] where something was not captured, before anything is done; or the server's.
pub async fn fill(server: &Server, inventory: &Inventory, plan: &mut Plan, asked: bool) -> Result<()> {
    if !plan.steps.iter().any(|step| step.exact) {
        return Ok(());
    }
    let headers = registry::headers(server).await.map_err(Error::server("Reading what was captured"))?;
    for step in plan.steps.iter_mut().filter(|step| step.exact) {
        let record = inventory.find(&step.id)?.record.as_ref();
        let Some(why) = fill_in(server, record, &headers, step).await? else { continue };
        match step.instead.take() {
            Some(script) => *step = PlannedMigration { capture: step.capture, ..*script },
            None if asked || step.resume.is_some() => return Err(refused(step, &why)),
            None => return Err(partly(step, &why)),
        }
    }
    Ok(())
}

/// The refusal of a rollback by script that would undo what was not done.
fn partly(step: &PlannedMigration, why: &str) -> Error {
    let id = &step.id;
    Error::WrongState(format!(
        "{id} ({}) is only partly applied, and what it did cannot be undone exactly: {why}. Its down script would also undo \
         what was not done, so nothing was done. `apply` carries on where it stopped, and what is applied can be rolled back; \
         `rollback {id} --from-file` runs the down script of its file all the same; or undo it by hand and \
         `mark {id} --as rolled_back`.",
        step.name
    ))
}

/// Fills in the tasks of one exact step.
///
/// # Errors
/// As [`fill`].
pub async fn fill_one(
    server: &Server,
    record: Option<&Record>,
    headers: &[CaptureHeader],
    step: &mut PlannedMigration,
) -> Result<()> {
    match fill_in(server, record, headers, step).await? {
        None => Ok(()),
        Some(why) => Err(refused(step, &why)),
    }
}

/// Fills in the tasks, or says why not all that was done can be undone.
async fn fill_in(
    server: &Server,
    record: Option<&Record>,
    headers: &[CaptureHeader],
    step: &mut PlannedMigration,
) -> Result<Option<String>> {
    if step.assessment.is_none() && record.is_some_and(nothing_done) {
        return Ok(None);
    }
    let captures = record.map(|record| record.captures.as_slice()).unwrap_or_default();
    if let Some(why) = missing(captures, headers) {
        return Ok(Some(why));
    }
    // An assessment task that was only announced has captured nothing, and undoing that does nothing. Left out, it would be
    // missed by a run that carries on: the record then no longer says how far the migration came.
    let all = step.assessment.is_some();
    for capture in captures.iter().rev().flatten() {
        let entries = registry::entries(server, *capture).await;
        let entries = entries.map_err(Error::server("Reading what was captured"))?;
        for (slot, entry) in entries.into_iter().rev().filter(|(slot, _)| all || begun(record, *slot)) {
            if entry.get_bool("uncaptured").unwrap_or(false) {
                return Ok(Some(format!("its operation {} was not captured (\"capture\": false)", slot.operation + 1)));
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
            step.items.push(WorkItem::Undo(UndoOperation::new(slot, entry)));
        }
    }
    *step = unchanged_where_begun(step.clone())?;
    Ok(None)
}

/// Whether the up script was begun and none of its operations has done anything.
fn nothing_done(record: &Record) -> bool {
    let begun = record.progress.as_ref().filter(|progress| progress.direction == Direction::Up);
    begun.is_some_and(|progress| progress.clone().settled().operations.is_empty())
}

/// Refuses the rollback if a later run has moved a collection and that run has not been undone.
///
/// # Errors
/// [`Error::WrongState`], or the server's.
pub async fn refuse_moved(server: &Server, step: &PlannedMigration) -> Result<()> {
    if !step.exact || step.resume.is_some() {
        return Ok(());
    }
    let reading = || Error::server("Reading what was captured");
    let headers = registry::headers(server).await.map_err(reading())?;
    match moved::refused(server, &undos(std::slice::from_ref(step)), &headers).await.map_err(reading())? {
        Some(why) => Err(refused(step, &why)),
        None => Ok(()),
    }
}

/// Returns the first migration that [`refuse_moved`] would refuse, with its position and the error. The migrations
/// before it count as undone. The check ends at the first down script, because its effect is not known.
///
/// # Errors
/// The server's.
pub async fn foresee_moved(server: &Server, plan: &Plan) -> Result<Option<(usize, Error)>> {
    let reading = || Error::server("Reading what was captured");
    let exact = plan.steps.iter().take_while(|step| step.exact).count();
    if exact == 0 {
        return Ok(None);
    }
    let headers = registry::headers(server).await.map_err(reading())?;
    for (at, step) in plan.steps[..exact].iter().enumerate().filter(|(_, step)| step.resume.is_none()) {
        // Those before it are undone then: together they are like one.
        if let Some(why) = moved::refused(server, &undos(&plan.steps[..=at]), &headers).await.map_err(reading())? {
            return Ok(Some((at, refused(step, &why))));
        }
    }
    Ok(None)
}

/// What these steps undo, one after the other.
fn undos(steps: &[PlannedMigration]) -> Vec<&UndoOperation> {
    let tasks = steps.iter().flat_map(|step| &step.items);
    tasks.filter_map(|task| if let WorkItem::Undo(undo) = task { Some(undo) } else { None }).collect()
}

fn refused(step: &PlannedMigration, why: &str) -> Error {
    if step.assessment.is_some() {
        return Error::WrongState(format!(
            "The assessment migration cannot be rolled back: {why}. Nothing was done. `restore` brings back the backup that \
             it made, without what was written since."
        ));
    }
    let or_script = match step.down_text {
        Some(_) => format!(" `rollback {}` runs its down script, if the migration is applied.", step.id),
        None => String::new(),
    };
    Error::WrongState(format!(
        "{} ({}) cannot be rolled back exactly: {why}. Nothing was done.{or_script}",
        step.id, step.name
    ))
}

/// Whether the operation may have done anything: the last one of an unfinished script may have been announced only.
fn begun(record: Option<&Record>, slot: CaptureKey) -> bool {
    let progress = record.and_then(|record| record.progress.as_ref()).filter(|own| own.capture == Some(slot.capture));
    let own = progress.and_then(|progress| progress.operations.get(usize::try_from(slot.operation).ok()?));
    own.is_none_or(|own| own.begun || own.outcome.is_some())
}

/// Returns why the captures are incomplete, or `None` if they are complete.
fn missing(captures: &[Option<CaptureId>], headers: &[CaptureHeader]) -> Option<String> {
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
pub fn by_collection(step: &PlannedMigration, progress: &Progress) -> Vec<CollectionUndone> {
    let mut all: Vec<CollectionUndone> = Vec::new();
    for (task, done) in step.items.iter().zip(&progress.operations) {
        let at = all.iter().position(|one| one.collection == task.collection()).unwrap_or_else(|| {
            all.push(CollectionUndone { collection: task.collection().to_owned(), documents: Undone::default() });
            all.len() - 1
        });
        all[at].documents += done.counts.undone;
    }
    all
}
