//! A run of a writing verb, and what runs are made of: [`lease`], [`ledger`] and [`history`], [`journal`],
//! [`transaction`], [`chunks`].

pub mod capture_key;
pub mod chunk_size;
pub mod chunks;
pub mod foreign;
mod former_history;
pub mod handle;
pub mod header;
pub mod history;
pub mod id_ranges;
pub mod identity;
pub mod journal;
pub mod lease;
pub mod ledger;
mod login;
mod own_collections;
pub mod progress;
pub mod record;
mod renewal;
pub mod report;
pub mod transaction;

use std::time::Duration;

use self::handle::Run;
use self::identity::Identity;
use self::lease::Lease;
use crate::error::{Error, Result};
use crate::mongo::retry::{Retry, retry};
use crate::mongo::server::Server;
use crate::observe::{Reporter, Stop};

/// Takes the lease for `command`, waiting at most `lock_timeout`.
///
/// # Errors
/// [`Error::ForeignLedger`], [`Error::WrongState`], [`Error::LockHeld`], [`Error::Interrupted`], or the server's.
pub async fn open(
    server: &Server,
    command: &str,
    lock_timeout: Duration,
    reporter: &Reporter,
    stop: &Stop,
) -> Result<Run> {
    foreign::refuse(server).await?;
    own_collections::refuse_unusable(server).await?;
    let identity = Identity::current();
    let id = Identity::new_run();
    let reporter = reporter.for_run(&id);
    let session = server.session().await.map_err(Error::server("Starting a session"))?;
    let mut retry = Retry::new(&reporter, stop);
    let login = retry!(retry, login::of(server)).map_err(Error::server("Asking for the database user"))?;
    let mut session_id = session.id().clone();
    if let Some(login) = &login {
        session_id.insert("uid", login::digest(login));
    }
    let mut owner = identity.owner(&id, command, &session_id);
    owner.extend(login.map(|login| ("login".to_owned(), login.into())));
    let lease = Lease::acquire(server, &identity, &owner, lock_timeout, &reporter, stop).await?;
    let server = lease.guard(server)?;
    let mut run = Run::new(server, session, lease, reporter, stop.clone(), id, identity);
    if let Err(error) = former_history::bring_over(&mut run).await {
        run.close().await;
        return Err(error);
    }
    Ok(run)
}
