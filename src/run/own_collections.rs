//! Whether the collections that this tool keeps its state in can hold it: plain collections, without a size and a
//! validator. Checked before a run does anything, for a run that has done its work must be able to record it.

use bson::{RawDocumentBuf, doc};

use crate::error::{Error, Result};
use crate::mongo::server::Server;

/// Refuses a run whose state could not be kept.
///
/// # Errors
/// [`Error::WrongState`] naming the collection and what is the matter with it, or the server's.
pub async fn refuse_unusable(server: &Server) -> Result<()> {
    let names = server.names();
    let ours = [names.ledger().to_owned(), names.lock(), names.history(), names.captures(), names.restore_journal()];
    let command = doc! {"listCollections": 1, "filter": {"name": {"$in": &ours[..]}}, "cursor": {}};
    let found = server.find_all(command).await.map_err(Error::server("Reading the catalog"))?;
    let Some((name, what, way_out)) = found.iter().find_map(unusable) else { return Ok(()) };
    Err(Error::WrongState(format!(
        "The collection {name:?} of {} {what}, and this tool keeps its state in it. {way_out}, or choose other names with --ledger \
         NAME (EDULEARN_LEDGER). Nothing was done.",
        server.database()
    )))
}

fn unusable(found: &RawDocumentBuf) -> Option<(String, String, &'static str)> {
    let name = found.get_str("name").ok()?.to_owned();
    let kind = found.get_str("type").unwrap_or_default();
    let away = "Rename it or drop it if nobody needs it";
    if kind != "collection" {
        return Some((name, format!("is a {kind}"), away));
    }
    let options = found.get_document("options").ok()?;
    if options.get_bool("capped").unwrap_or(false) {
        return Some((name, "is capped".to_owned(), away));
    }
    let validator = options.get_document("validator").is_ok_and(|it| !it.is_empty());
    let asks = options.get_str("validationLevel").ok() != Some("off")
        && options.get_str("validationAction").ok() != Some("warn");
    (validator && asks).then(|| (name, "has a validator".to_owned(), "Take the validator away with collMod"))
}
