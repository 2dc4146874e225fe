//! Removing what a restore replaces.

use super::super::names::STORED_FUNCTIONS;
use super::commands::{self, rename, stuck};
use super::journal;
use crate::error::Result;
use crate::error::codes;
use crate::run::handle::Run;

/// Drops a collection, time-series collection or view, or moves it aside where the server drops no such one; one that is not there is dropped already.
///
/// # Errors
/// [`LeaseLost`](crate::error::Error::LeaseLost) or the server's.
pub async fn drop_collection(run: &mut Run, name: &str) -> Result<()> {
    if name == STORED_FUNCTIONS {
        // The server drops no such collection and lets none be replaced (20), but moves it aside; whatever has a
        // temporary name goes in the end.
        let named =
            journal::read(&run.server).await?.filter(|head| head.names_aside).map(|head| format!("{}_", head.run));
        let aside = format!("{}{}aside", run.server.names().temporary(), named.unwrap_or_default());
        return match rename(run, name, &aside).await? {
            Ok(_) => Ok(()),
            Err(e) if e.is(codes::NAMESPACE_NOT_FOUND) => Ok(()),
            Err(e) => Err(stuck(name, e)),
        };
    }
    commands::drop_collection(run, name).await
}
