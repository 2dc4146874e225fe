//! Bringing back a collection, a time-series collection or a view.
//!
//! The entry of the registry notes first where it returns to, and afterwards that it has: a run that was killed
//! is carried on by the same command, and one that had ended is not taken for a mistake.

use bson::{Document, doc, oid::ObjectId};

use super::stashed::Stashed;
use crate::capture::{registry, schema, stash};
use crate::error::server::ServerError;
use crate::error::{Error, Result};
use crate::mongo::retry::{Retry, retry};
use crate::mongo::server::Server;
use crate::run::capture_key::CaptureKey;
use crate::run::handle::Run;
use crate::undo::existing::{definition, same_definition};

/// What the entry notes while it returns.
const RETURNING: &str = "returning";
/// What the entry notes once it is back.
const RETURNED: &str = "returned";

/// Whether it was brought back, or a run was killed that did so.
pub fn noted(registered: &Document) -> bool {
    registered.contains_key(RETURNING) || registered.contains_key(RETURNED)
}

/// Brings it back as `target`. The answer is the `_id` that its note in the history is to have; `None` where it was brought
/// back, and noted, before.
///
/// # Errors
/// [`Error::WrongState`] where something else has the name, [`Error::Unknown`] where it is back under another name, or
/// the server's.
pub async fn bring_back(run: &mut Run, found: &Stashed, target: &str) -> Result<Option<ObjectId>> {
    let failed = || Error::server(format!("Bringing back {}", found.entry.name));
    let before = found.registered.get_document("before").cloned().unwrap_or_default();
    let (reporter, stop) = (run.reporter.clone(), run.stop.clone());
    let mut retry = Retry::new(&reporter, &stop);
    let returning =
        found.registered.get_document(RETURNING).ok().filter(|to| to.get_str("to").is_ok_and(|to| to == target));
    let note = returning.and_then(|to| to.get_object_id("note").ok()).unwrap_or_default();
    let begun = returning.is_some() || found.registered.get_str(RETURNED).is_ok_and(|to| to == target);
    let place = retry!(retry, look(&run.server, found, &before, target)).map_err(failed())?;
    match place {
        Occupant::Free if !found.back => {}
        Occupant::Ours if begun => {}
        Occupant::Free | Occupant::Ours if found.back => return Err(super::stashed::unknown(&found.entry.name)),
        _ => {
            return Err(Error::WrongState(format!(
                "{target:?} exists, and nothing is overwritten. `undrop {} --to NEW_NAME` brings the {} back under another name.",
                found.entry.name, found.entry.kind
            )));
        }
    }
    if returning.is_none() && matches!(place, Occupant::Ours) {
        return Ok(None);
    }
    if found.back {
        return Ok(Some(note));
    }
    run.safe_point()?;
    let returns = doc! {RETURNING: {"to": target, "note": note}};
    let unchanged = (RETURNED, found.registered.get(RETURNED));
    let noted = retry!(retry, registry::amend_unchanged(&run.server, found.capture_key, unchanged, returns.clone()));
    if !noted.map_err(failed())? {
        return Err(run.lease_lost());
    }
    let returned = match found.registered.get_str("aside") {
        Ok(aside) => retry!(retry, stash::bring_back(&run.server, aside, target, &before)),
        Err(_) => retry!(retry, stash::make_again(&run.server, target, &before)),
    };
    returned.map_err(failed())?;
    Ok(Some(note))
}

/// The command that notes that it is back.
pub fn returned(server: &Server, capture_key: CaptureKey, target: &str) -> Document {
    registry::change(
        server.names(),
        capture_key,
        doc! {"$set": {RETURNED: target}, "$unset": {RETURNING: "", "left": ""}},
    )
}

/// What has the name that it is to return to.
enum Occupant {
    Free,
    /// It itself, or as much of it as a killed run had made.
    Ours,
    Taken,
}

async fn look(server: &Server, found: &Stashed, before: &Document, target: &str) -> Result<Occupant, ServerError> {
    let Some(there) = definition(server, target).await? else { return Ok(Occupant::Free) };
    let renamed = before.get_str("type").map_or(true, |kind| kind == "collection");
    let ours = if renamed {
        found.registered.get("uuid") == Some(&schema::uuid(server, target).await?)
    } else {
        same_definition(&there, before)
    };
    Ok(if ours { Occupant::Ours } else { Occupant::Taken })
}
