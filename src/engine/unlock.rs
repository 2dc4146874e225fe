//! `unlock`: breaking the lock of a run that is gone.

use bson::{Bson, DateTime, Document, doc};

use super::{Engine, Verb};
use crate::error::{Error, Result};
use crate::holder::Holder;
use crate::observe::{Kind, Level, Reporter, Stop};
use crate::run::history;
use crate::run::identity::Identity;
use crate::run::lease::{COLLECTION, end_sessions, raise_token, read};
use crate::run::report::UnlockReport;
use crate::server::Server;

/// Breaks the lock if its owner is provably gone, or, with `force`, whoever holds it. Needs no lock.
///
/// # Errors
/// [`Error::LockHeld`](crate::error::Error::LockHeld) without `force`, or the server's.
pub async fn unlock(engine: &Engine, verb: &Verb, force: bool) -> Result<UnlockReport> {
    let server = engine.server().await?;
    let identity = Identity::current();
    let report = break_lock(server, &identity, force, &verb.reporter, &verb.stop).await?;
    if report.broken {
        let owner = report.owner.as_ref().map_or_else(|| "an unreadable owner".to_owned(), Holder::describe);
        history::note_unlock(server, &identity, &owner).await?;
        verb.reporter.tell(Kind::Unlocked, Level::Warning, format!("Broke the lock of {owner}."));
    }
    Ok(report)
}

/// Breaks the lease: whoever holds it, or only one that is provably dead or has expired.
///
/// # Errors
/// [`Error::LockHeld`] where the holder may be alive and `force` is not set.
async fn break_lock(
    server: &Server,
    identity: &Identity,
    force: bool,
    reporter: &Reporter,
    stop: &Stop,
) -> Result<UnlockReport> {
    let nothing = UnlockReport { broken: false, owner: None };
    let Some(lock) = read(server).await.map_err(Error::server("Reading the lock"))? else {
        return Ok(nothing);
    };
    let holding = Holder::from_lock(&lock);
    if let Some((holder, owner)) = &holding {
        if !force && !holder.expired && !identity.proves_dead(owner) {
            return Err(Error::LockHeld {
                message: format!(
                    "The lock is held and its owner may be alive: {}. `unlock --force` breaks it all the same; \
                     that run then stops at its next write.",
                    holder.describe()
                ),
                owner: Box::new(holder.clone()),
            });
        }
    } else if !force || is_free(&lock) {
        return Ok(nothing);
    }
    // A token that cannot be read may have been any; no counter comes near the clock.
    let token = lock.get_i64("token").map_or_else(|_| DateTime::now().timestamp_millis(), |token| token + 1);
    let sessions: Vec<Bson> = holding.iter().filter_map(|(_, owner)| owner.get("session").cloned()).collect();
    // First, since its open transaction may hold the lock document itself.
    end_sessions(server, sessions, reporter).await;
    // Neither owner nor expiry in the filter: what stands is broken, whatever it is.
    server
        .run(
            doc! {
                "update": COLLECTION,
                "updates": [{
                    "q": {"_id": "lock"},
                    "u": {"_id": "lock", "token": token, "expires_at": DateTime::from_millis(0)},
                }],
                "writeConcern": {"w": "majority"},
            },
            None,
        )
        .await
        .map_err(Error::server("Breaking the lock"))?;
    raise_token(server, token, reporter, stop).await?;
    Ok(UnlockReport { broken: true, owner: holding.map(|(holder, _)| holder) })
}

/// Whether nobody holds the lock, and the next run can take it.
fn is_free(lock: &Document) -> bool {
    !lock.contains_key("owner")
        && lock.get_i64("token").is_ok()
        && lock.get("retired").is_none_or(|retired| retired.as_array().is_some())
}
