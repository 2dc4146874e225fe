//! The renewal of a lease: a thread with a runtime and a connection of its own.
//!
//! Nothing that users supply runs there. A callback that blocks every other thread, or a terminal that does not
//! read, delays no renewal.

use std::time::Duration;

use bson::Document;
use tokio_util::sync::CancellationToken;

use crate::error::{Error, Result};
use crate::mongo::retry::Policy;
use crate::mongo::server::Server;

/// How long a lease lasts without renewal.
pub const DURATION: Duration = Duration::from_secs(30);

/// Renewed often enough that two failures in a row lose nothing.
const PAUSE: Duration = Duration::from_secs(8);

/// Renews a lease until it is dropped.
#[derive(Debug)]
pub struct Renewal {
    stop: CancellationToken,
}

impl Renewal {
    /// Sends `command` at intervals, until it touches nothing: then the lease is another's, and `lost` is cancelled.
    ///
    /// # Errors
    /// [`Error::Unavailable`] where the system gives no thread.
    pub fn start(server: &Server, mut command: Document, lost: CancellationToken) -> Result<Self> {
        // For people who look at what the server is doing, and for tests: a proof of the lease looks the same.
        command.insert("comment", "renewal of the lock");
        let stop = CancellationToken::new();
        let (server, stopped) = (server.clone(), stop.clone());
        let failed = |e: std::io::Error| {
            Error::Unavailable(format!(
                "The thread that renews the lock cannot be started: {e}. Nothing was done. The lock ends by itself within {} s.",
                DURATION.as_secs()
            ))
        };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(failed)?;
        let renewing = async move {
            tokio::select! {
                () = stopped.cancelled() => {}
                () = renew(server, command, lost) => {}
            }
        };
        let thread = std::thread::Builder::new().name("lock renewal".to_owned());
        thread.spawn(move || runtime.block_on(renewing)).map_err(failed)?;
        Ok(Self { stop })
    }

    /// Ends it.
    pub fn stop(&self) {
        self.stop.cancel();
    }
}

impl Drop for Renewal {
    fn drop(&mut self) {
        self.stop();
    }
}

async fn renew(server: Server, command: Document, lost: CancellationToken) {
    let mut own = None;
    let mut pause = PAUSE;
    loop {
        tokio::time::sleep(pause).await;
        // Short runs never connect. The driver's tasks run where a connection is made: here.
        let connection = match own.take() {
            Some(connection) => Ok(connection),
            None => server.apart(),
        };
        pause = match connection {
            Ok(connection) => {
                let answer = own.insert(connection).run(command.clone(), None).await;
                match answer {
                    Ok(reply) if reply.get_i32("n").is_ok_and(|it| it == 0) => {
                        lost.cancel();
                        return;
                    }
                    Ok(_) => PAUSE,
                    Err(_) => Policy::RENEWAL.first,
                }
            }
            Err(_) => Policy::RENEWAL.first,
        };
    }
}
