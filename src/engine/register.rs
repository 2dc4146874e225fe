//! Registering a migration that lives in the database only, as the old Python API did.

use bson::DateTime;

use super::{CallContext, Engine};
use crate::engine::reports::RegisterReport;
use crate::error::{Error, Result};
use crate::model::migration::ScriptSource;
use crate::observe::{Kind, Level};
use crate::run::{foreign, registration};

/// Writes a pending record and returns its id: `migration_<unix seconds>`, the next free second where that
/// is taken.
///
/// # Errors
/// [`Error::Invalid`] for scripts that are no migration scripts, [`Error::ForeignLedger`], or the server's.
pub async fn register(
    engine: &Engine,
    call: &CallContext,
    name: &str,
    up_script: &str,
    down_script: &str,
    description: &str,
) -> Result<RegisterReport> {
    if name.trim().is_empty() {
        return Err(Error::Settings("A migration needs a name.".to_owned()));
    }
    let read = |which: &str, text: &str| {
        // The record keeps the text as it was given.
        ScriptSource::from_text(text).map(|read| ScriptSource { text: text.to_owned(), ..read }).map_err(|what| {
            Error::invalid(
                None,
                format!("The {which} script of {name:?} is no migration script: {what}. Scripts are JSON; they are never run as code."),
            )
        })
    };
    let (up, down) = (read("up", up_script)?, read("down", down_script)?);
    let server = engine.server().await?;
    foreign::refuse(server).await?;
    let record = registration::pending(name, description, &up, &down);
    let mut second = DateTime::now().timestamp_millis() / 1000;
    loop {
        let id = format!("migration_{second}");
        if registration::register(server, &id, &record, &call.reporter, &call.stop).await? {
            call.reporter.for_migration(&id).tell(
                Kind::Registered,
                Level::Info,
                format!("Registered {id} ({name}) in the database."),
            );
            return Ok(RegisterReport { id });
        }
        second += 1;
    }
}
