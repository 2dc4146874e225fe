//! `unlock`: breaking the lock of a run that is gone.

use super::identity::Identity;
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
    let broken = lease::unlock(server, &identity, force, &verb.reporter, &verb.stop).await?;
    if let Some(owner) = &broken {
        let message = format!("Broke the lock of {}.", owner.describe());
        ledger::note_unlock(server, &identity, &owner.describe()).await?;
        verb.reporter.tell(Kind::Unlocked, Level::Warning, message);
    }
    Ok(UnlockReport { broken: broken.is_some(), owner: broken })
}
