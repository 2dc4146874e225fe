//! `unlock`: breaking the lock of a run that is gone.

use bson::{Bson, DateTime, Document, doc};

use super::{CallContext, Engine};
use crate::engine::reports::UnlockReport;
use crate::error::server::ServerError;
use crate::error::{Error, Result};
use crate::holder::Holder;
use crate::mongo::server::Server;
use crate::observe::{Kind, Level, Reporter};
use crate::run::fencing::raise_token_command;
use crate::run::identity::Identity;
use crate::run::lease::read;
use crate::run::sessions::{end_sessions, sessions_of};
use crate::run::transaction::with_majority;
use crate::run::{foreign, history};

/// Breaks the lock if its owner is provably gone, or, with `force`, whoever holds it. Needs no lock.
///
/// # Errors
/// [`Error::LockHeld`] without `force`, [`Error::ForeignLedger`], or the server's.
pub async fn unlock(engine: &Engine, call: &CallContext, force: bool) -> Result<UnlockReport> {
    let server = &engine.server().await?.without_lease();
    foreign::refuse(server).await?;
    let identity = Identity::current();
    let report = break_lock(server, &identity, force, &call.reporter).await?;
    if report.broken {
        let owner = report.owner.as_ref().map_or_else(|| "an unreadable owner".to_owned(), Holder::describe);
        history::note_unlock(server, &identity, &owner).await?;
        call.reporter.tell(Kind::Unlocked, Level::Warning, format!("Broke the lock of {owner}."));
    }
    Ok(report)
}

/// Breaks the lease: whoever holds it, or only one that is provably dead or has expired.
///
/// # Errors
/// [`Error::LockHeld`] where the holder may be alive and `force` is not set.
async fn break_lock(server: &Server, identity: &Identity, force: bool, reporter: &Reporter) -> Result<UnlockReport> {
    let nothing = UnlockReport { broken: false, owner: None };
    let Some(lock) = read(server).await.map_err(Error::server("Reading the lock"))? else {
        return Ok(nothing);
    };
    let holding = Holder::from_lock(&lock);
    if let Some((holder, owner)) = &holding {
        if !force && !holder.expired && !identity.proves_dead(owner) {
            return Err(Error::LockHeld {
                message: format!(
                    "The lock is held and its owner may be alive: {}. `unlock --force` breaks it all the same, and \
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
    let sessions: Vec<Bson> = holding.iter().flat_map(|(_, owner)| sessions_of(owner)).collect();
    // The token first: a run that lives must find its lock broken, not its session. But a transaction that a
    // dead one left open may hold the very documents that carry token and lock; then its session goes first.
    if break_and_fence(server, token).await.is_err() {
        end_sessions(server, sessions, Some(reporter)).await;
        break_and_fence(server, token).await.map_err(Error::server("Breaking the lock"))?;
    } else {
        end_sessions(server, sessions, Some(reporter)).await;
    }
    Ok(UnlockReport { broken: true, owner: holding.map(|(holder, _)| holder) })
}

/// How long writes may wait for a transaction, in milliseconds.
const BLOCKED: i32 = 2_000;

async fn break_and_fence(server: &Server, token: i64) -> Result<(), ServerError> {
    // Neither owner nor expiry is in the filter: whatever lock there is, it is broken.
    let free = doc! {"_id": "lock", "token": token, "expires_at": DateTime::from_millis(0)};
    let mut broken =
        with_majority(doc! {"update": server.names().lock(), "updates": [{"q": {"_id": "lock"}, "u": free}]});
    broken.insert("maxTimeMS", BLOCKED);
    let mut raised = with_majority(raise_token_command(server.names(), token));
    raised.insert("maxTimeMS", BLOCKED);
    server.run(broken, None).await?;
    server.run(raised, None).await.map(drop)
}

/// Whether nobody holds the lock, and the next run can take it.
fn is_free(lock: &Document) -> bool {
    !lock.contains_key("owner")
        && lock.get_i64("token").is_ok()
        && lock.get("retired").is_none_or(|retired| retired.as_array().is_some())
}
