//! A collection of the ledger's name that belongs to somebody else.
//!
//! Other migration tools and applications use the name `migrations`, too. Where the collection holds documents and none
//! of them is a record of ours, nothing is written beside them.

use bson::{Document, RawDocumentBuf, doc};

use super::parts;
use super::record::ASSESSMENT;
use crate::error::{Error, Result};
use crate::mongo::server::Server;

/// Names of fields that a message shows of a document.
const SHOWN: usize = 8;

/// What tells a record of ours, also one that the old tool wrote or somebody edited, from any other document.
pub fn of_ours() -> Document {
    doc! {"$or": [
        {"up_script": {"$exists": true}},
        {"kind": {"$in": [ASSESSMENT, parts::KIND]}},
        {"_id": {"$regex": "^migration_[0-9]"}},
    ]}
}

/// What the ledger's collection holds, in a sentence, if that is somebody else's. Reads only.
///
/// # Errors
/// The server's.
pub async fn found(server: &Server) -> Result<Option<String>> {
    // In this order: a first record that another run makes meanwhile must not be taken for somebody else's.
    let Some(other) = one(server, doc! {"$nor": [of_ours()]}).await? else { return Ok(None) };
    if one(server, of_ours()).await?.is_some() {
        return Ok(None);
    }
    let names: Vec<String> =
        other.iter().filter_map(|field| field.ok().map(|(name, _)| name.as_str().to_owned())).collect();
    let more = if names.len() > SHOWN { ", …" } else { "" };
    let fields = names.iter().take(SHOWN).cloned().collect::<Vec<_>>().join(", ");
    Ok(Some(format!(
        "The collection {:?} of {} holds documents of another tool or of an application, and no record of ours. One of them has \
         the fields {fields}{more}. Give this tool a ledger of its own with --ledger NAME (EDULEARN_LEDGER, in Python ledger=), \
         such as --ledger edulearn_migrations, in every command from now on.",
        server.names().ledger(),
        server.database(),
    )))
}

/// Refuses to write where the ledger's collection is somebody else's.
///
/// # Errors
/// [`Error::ForeignLedger`], or the server's.
pub async fn refuse(server: &Server) -> Result<()> {
    match found(server).await? {
        None => Ok(()),
        Some(what) => Err(Error::ForeignLedger(format!("{what} Nothing was written."))),
    }
}

async fn one(server: &Server, filter: Document) -> Result<Option<RawDocumentBuf>> {
    let find = doc! {"find": server.names().ledger(), "filter": filter, "limit": 1};
    let found = server.find_all(find).await.map_err(Error::server("Reading the ledger"))?;
    Ok(found.into_iter().next())
}
