//! Records of the ledger that no script wrote: of migrations without a file, and states that somebody set by hand.

use bson::{Bson, DateTime, Document, doc};

use super::handle::Run;
use super::header::MigrationHeader;
use super::ledger::WRITING;
use super::record::Status;
use super::transaction::with_majority;
use super::{history, parts};
use crate::error::codes;
use crate::error::{Error, Result};
use crate::model::migration::{ScriptSource, checksum};
use crate::mongo::retry::{Retry, retry};
use crate::mongo::server::Server;
use crate::observe::{Reporter, Stop};

/// Sets a migration's state by hand, in one transaction with its history.
///
/// # Errors
/// [`Error::LeaseLost`], or the server's.
pub async fn mark(run: &mut Run, migration: &MigrationHeader<'_>, before: &str, status: &Status) -> Result<()> {
    let mut current_date = Document::new();
    let mut set = doc! {"status": status.as_str(), "token": run.lease.token()};
    match status {
        Status::Applied => {
            current_date.insert("applied_at", true);
            set.insert("rolled_back_at", Bson::Null);
        }
        Status::RolledBack => {
            current_date.insert("rolled_back_at", true);
        }
        _ => {}
    }
    let scripts = doc! {
        "name": migration.name,
        "description": migration.description,
        "up_script": migration.up_text,
        "down_script": migration.down_text,
        "checksum": migration.checksum,
    };
    let mut on_insert = doc! {"created_at": DateTime::now()};
    // Marked as applied, the file's scripts are what stands in the database from now on.
    if *status == Status::Applied && migration.checksum.is_some() {
        set.extend(scripts);
    } else {
        on_insert.extend(scripts);
    }
    let mut update = doc! {
        "$set": set,
        "$unset": {"progress": "", "error": ""},
        "$setOnInsert": on_insert,
    };
    if !current_date.is_empty() {
        update.insert("$currentDate", current_date);
    }
    let command = doc! {
        "update": run.server.names().ledger(),
        "updates": [{"q": {"_id": migration.id}, "u": update, "upsert": true}],
    };
    let mut entry = history::document(run, migration.id, "marked");
    entry.insert("before", before);
    entry.insert("after", status.as_str());
    let parts = parts::removal(run.server.names(), migration.id);
    run.write(WRITING, vec![command, parts, history::append(&run.server, entry)]).await
}

/// The record of a migration that has no file, to be [registered](register).
pub fn pending(name: &str, description: &str, up: &ScriptSource, down: &ScriptSource) -> Document {
    doc! {
        "name": name,
        "description": description,
        "up_script": &up.text,
        "down_script": &down.text,
        "checksum": checksum(&up.script, Some(&down.script)),
        "created_at": DateTime::now(),
        "applied_at": null,
        "rolled_back_at": null,
        "status": "pending",
    }
}

/// Registers a migration that has no file. `Ok(false)` where the id is taken by another: an insert whose answer was lost
/// is sent again, and then finds its own record.
///
/// # Errors
/// The server's, or [`Error::Interrupted`].
pub async fn register(server: &Server, id: &str, record: &Document, reporter: &Reporter, stop: &Stop) -> Result<bool> {
    let failed = || Error::server("Registering the migration");
    let server = server.without_lease();
    let mut whole = doc! {"_id": id};
    whole.extend(record.clone());
    let insert = with_majority(doc! {"insert": server.names().ledger(), "documents": [whole]});
    let mut retry = Retry::new(reporter, stop);
    match retry!(retry, server.run(insert.clone(), None)) {
        Ok(_) => return Ok(true),
        Err(e) if e.is(codes::DUPLICATE_KEY) => {}
        Err(e) => return Err(failed()(e)),
    }
    // Somebody may have applied it meanwhile: what then changes is not compared.
    let mut own = doc! {"_id": id};
    for name in ["name", "created_at", "up_script", "down_script", "checksum"] {
        own.insert(name, doc! {"$eq": record.get(name)});
    }
    let find = doc! {"find": server.names().ledger(), "filter": own, "limit": 1, "projection": {"_id": 1}};
    let found = retry!(retry, server.find_all(find.clone())).map_err(failed())?;
    Ok(!found.is_empty())
}
