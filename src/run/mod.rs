//! A run of a writing verb, and what runs are made of: [`lease`], [`ledger`] and [`history`], [`journal`],
//! [`transaction`], [`chunks`].

pub mod capture_key;
pub mod chunk_size;
pub mod chunks;
pub mod fencing;
pub mod foreign;
mod former_history;
pub mod handle;
pub mod header;
pub mod history;
pub mod id_ranges;
pub mod identity;
pub mod journal;
mod journal_entry;
pub mod lease;
pub mod ledger;
pub mod line;
mod login;
mod own_collections;
mod pace;
pub mod parts;
pub mod progress;
pub mod record;
pub mod registration;
mod renewal;
pub mod report;
pub mod sessions;
mod shared;
pub mod transaction;
pub mod worker;

use std::time::Duration;

use self::handle::Run;
use self::identity::Identity;
use self::lease::Lease;
use self::worker::Workers;
use crate::error::{Error, Result};
use crate::mongo::retry::{Retry, retry};
use crate::mongo::server::Server;
use crate::observe::{Reporter, Stop};

/// Takes the lease for `command`, waiting at most `lock_timeout`. `workers` is how many chunks of an operation may be
/// under way at once.
///
/// # Errors
/// [`Error::ForeignLedger`], [`Error::WrongState`], [`Error::LockHeld`], [`Error::Interrupted`], or the server's.
pub async fn open(
    server: &Server,
    command: &str,
    lock_timeout: Duration,
    workers: Workers,
    reporter: &Reporter,
    stop: &Stop,
) -> Result<Run> {
    foreign::refuse(server).await?;
    own_collections::refuse_unusable(server).await?;
    let identity = Identity::current();
    let id = Identity::new_run();
    let reporter = reporter.for_run(&id);
    let mut sessions = Vec::new();
    // Without transactions a second worker could not tell what the first has done.
    for _ in 0..if server.transactions() { workers.number() } else { 1 } {
        sessions.push(server.session().await.map_err(Error::server("Starting a session"))?);
    }
    let mut retry = Retry::new(&reporter, stop);
    let login = retry!(retry, login::of(server)).map_err(Error::server("Asking for the database user"))?;
    let uid = login.as_ref().map(|login| login::digest(login));
    let named = sessions.iter().map(|session| {
        let mut named = session.id().clone();
        named.extend(uid.clone().map(|uid| ("uid".to_owned(), uid)));
        named
    });
    let mut owner = identity.owner(&id, command, named.collect());
    owner.extend(login.map(|login| ("login".to_owned(), login.into())));
    let lease = Lease::acquire(server, &identity, &owner, lock_timeout, &reporter, stop).await?;
    let server = lease.guard(server)?;
    let mut run = Run::new(server, sessions, lease, reporter, stop.clone(), id, identity);
    if let Err(error) = former_history::bring_over(&mut run).await {
        run.close().await;
        return Err(error);
    }
    Ok(run)
}
