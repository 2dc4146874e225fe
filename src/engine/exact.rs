//! What an exact rollback has to do: the captured operations of every run since the migration was last not
//! applied, the latest first.

use super::inventory::Inventory;
use super::planning::unchanged_where_begun;
use super::selection::Plan;
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
pub async fn add_undo_items(server: &Server, inventory: &Inventory, plan: &mut Plan, asked: bool) -> Result<()> {
    if !plan.migrations.iter().any(|planned| planned.exact) {
        return Ok(());
    }
    let headers = registry::headers(server).await.map_err(Error::server("Reading what was captured"))?;
    for planned in plan.migrations.iter_mut().filter(|planned| planned.exact) {
        let record = inventory.find(&planned.id)?.record.as_ref();
        let Some(why) = find_undo_items(server, record, &headers, planned).await? else { continue };
        match planned.fallback.take() {
            Some(script) => *planned = PlannedMigration { capture: planned.capture, ..*script },
            None if asked || planned.resume.is_some() => return Err(refused(planned, &why)),
            None => return Err(partly(planned, &why)),
        }
    }
    Ok(())
}

/// The refusal of a rollback by script that would undo what was not done.
fn partly(planned: &PlannedMigration, why: &str) -> Error {
    let id = &planned.id;
    Error::WrongState(format!(
        "{id} ({}) is only partly applied, and what it did cannot be undone exactly: {why}. Its down script would also undo \
         what was not done, so nothing was done. `apply` carries on where it stopped, and what is applied can be rolled back; \
         `rollback {id} --from-file` runs the down script of its file all the same; or undo it by hand and \
         `mark {id} --as rolled_back`.",
        planned.name
    ))
}

/// Fills in the tasks of one exact step.
///
/// # Errors
/// As [`add_undo_items`].
pub async fn add_undo_items_to(
    server: &Server,
    record: Option<&Record>,
    headers: &[CaptureHeader],
    planned: &mut PlannedMigration,
) -> Result<()> {
    match find_undo_items(server, record, headers, planned).await? {
        None => Ok(()),
        Some(why) => Err(refused(planned, &why)),
    }
}

/// Fills in the tasks, or says why not all that was done can be undone.
async fn find_undo_items(
    server: &Server,
    record: Option<&Record>,
    headers: &[CaptureHeader],
    planned: &mut PlannedMigration,
) -> Result<Option<String>> {
    if planned.assessment.is_none() && record.is_some_and(nothing_done) {
        return Ok(None);
    }
    let captures = record.map(|record| record.captures.as_slice()).unwrap_or_default();
    if let Some(why) = missing(captures, headers) {
        return Ok(Some(why));
    }
    // An assessment task that was only announced has captured nothing, and undoing that does nothing. Left out, it would be
    // missed by a run that carries on: the record then no longer says how far the migration came.
    let all = planned.assessment.is_some();
    for capture in captures.iter().rev().flatten() {
        let entries = registry::entries(server, *capture).await;
        let entries = entries.map_err(Error::server("Reading what was captured"))?;
        for (capture_key, entry) in
            entries.into_iter().rev().filter(|(capture_key, _)| all || begun(record, *capture_key))
        {
            if entry.get_bool("uncaptured").unwrap_or(false) {
                return Ok(Some(format!(
                    "its operation {} was not captured (\"capture\": false)",
                    capture_key.operation + 1
                )));
            }
            if entry.get_bool("lost").unwrap_or(false) && planned.resume.is_none() {
                let why = format!(
                    "its operation {} wrote to the time-series collection {:?}, where nothing names one document, so what \
                     it wrote cannot be taken back",
                    capture_key.operation + 1,
                    entry.get_str("collection").unwrap_or_default()
                );
                return Err(refused(planned, &why));
            }
            planned.items.push(WorkItem::Undo(UndoOperation::new(capture_key, entry)));
        }
    }
    *planned = unchanged_where_begun(planned.clone())?;
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
pub async fn refuse_moved(server: &Server, planned: &PlannedMigration) -> Result<()> {
    if !planned.exact || planned.resume.is_some() {
        return Ok(());
    }
    let reading = || Error::server("Reading what was captured");
    let headers = registry::headers(server).await.map_err(reading())?;
    match moved::refused(server, &undos(std::slice::from_ref(planned)), &headers).await.map_err(reading())? {
        Some(why) => Err(refused(planned, &why)),
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
    let exact = plan.migrations.iter().take_while(|planned| planned.exact).count();
    if exact == 0 {
        return Ok(None);
    }
    let headers = registry::headers(server).await.map_err(reading())?;
    for (at, planned) in plan.migrations[..exact].iter().enumerate().filter(|(_, planned)| planned.resume.is_none()) {
        // Those before it are undone then: together they are like one.
        if let Some(why) = moved::refused(server, &undos(&plan.migrations[..=at]), &headers).await.map_err(reading())? {
            return Ok(Some((at, refused(planned, &why))));
        }
    }
    Ok(None)
}

/// What these steps undo, one after the other.
fn undos(migrations: &[PlannedMigration]) -> Vec<&UndoOperation> {
    let items = migrations.iter().flat_map(|planned| &planned.items);
    items.filter_map(|item| if let WorkItem::Undo(undo) = item { Some(undo) } else { None }).collect()
}

fn refused(planned: &PlannedMigration, why: &str) -> Error {
    if planned.assessment.is_some() {
        return Error::WrongState(format!(
            "The assessment migration cannot be rolled back: {why}. Nothing was done. `restore` brings back the backup that \
             it made, without what was written since."
        ));
    }
    let or_script = match planned.down_text {
        Some(_) => format!(" `rollback {}` runs its down script, if the migration is applied.", planned.id),
        None => String::new(),
    };
    Error::WrongState(format!(
        "{} ({}) cannot be rolled back exactly: {why}. Nothing was done.{or_script}",
        planned.id, planned.name
    ))
}

/// Whether the operation may have done anything: the last one of an unfinished script may have been announced only.
fn begun(record: Option<&Record>, capture_key: CaptureKey) -> bool {
    let progress =
        record.and_then(|record| record.progress.as_ref()).filter(|own| own.capture == Some(capture_key.capture));
    let own = progress.and_then(|progress| progress.operations.get(usize::try_from(capture_key.operation).ok()?));
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
pub fn by_collection(planned: &PlannedMigration, progress: &Progress) -> Vec<CollectionUndone> {
    let mut all: Vec<CollectionUndone> = Vec::new();
    for (item, done) in planned.items.iter().zip(&progress.operations) {
        let at = all.iter().position(|one| one.collection == item.collection()).unwrap_or_else(|| {
            all.push(CollectionUndone { collection: item.collection().to_owned(), documents: Undone::default() });
            all.len() - 1
        });
        all[at].documents += done.counts.undone;
    }
    all
}
