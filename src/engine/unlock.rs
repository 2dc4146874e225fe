//! `unlock`: breaking the lock of a run that is gone.

use super::identity::Identity;
use super::lease::Holder;
use super::report::UnlockReport;
use super::{Engine, Verb, lease, ledger};
use crate::error::Result;
use crate::observe::{Kind, Level};

/// Breaks the lock if its owner is provably gone, or, with `force`, whoever holds it. Needs no lock.
///
/// # Errors
/// [`Error::LockHeld`](crate::error::Error::LockHeld) without `force`, or the server's.
pub async fn unlock(engine: &Engine, verb: &Verb, force: bool) -> Result<UnlockReport> {
    let server = engine.server().await?;
    let identity = Identity::current();
    let report = lease::unlock(server, &identity, force, &verb.reporter, &verb.stop).await?;
    if report.broken {
        let owner = report.owner.as_ref().map_or_else(|| "an unreadable owner".to_owned(), Holder::describe);
        ledger::note_unlock(server, &identity, &owner).await?;
        verb.reporter.tell(Kind::Unlocked, Level::Warning, format!("Broke the lock of {owner}."));
    }
    Ok(report)
}
