//! How long a run outwaits a server that is gone: a lost connection or a changing primary is no failure
//! of the migration.

use std::time::Duration;

use tokio::time::Instant;

use crate::error::{Error, Result};
use crate::observe::{Kind, Level, Reporter, Stop};
use crate::server_error::ServerError;

/// How long an unreachable primary is awaited, from the first error on. An election takes about twelve
/// seconds; a restart of the server, a minute.
const LIMIT: Duration = Duration::from_secs(120);
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// Makes an attempt again and again while `$patience` says so; the answer is its last result. Returns from the
/// surrounding function when asked to stop meanwhile.
///
/// A macro, for what an attempt borrows: an asynchronous closure could not be sent to another thread.
macro_rules! patiently {
    ($patience:expr, $attempt:expr) => {
        loop {
            match $attempt.await {
                Ok(value) => break Ok(value),
                Err(error) => {
                    if let Err(error) = $patience.wait(error).await? {
                        break Err(error);
                    }
                }
            }
        }
    };
}
pub(crate) use patiently;

/// Patience for one command: call [`wait`](Self::wait) with each error and try again while it says so.
pub struct Patience<'a> {
    reporter: &'a Reporter,
    stop: &'a Stop,
    since: Option<Instant>,
    pause: Duration,
}

impl<'a> Patience<'a> {
    /// Full patience.
    pub fn new(reporter: &'a Reporter, stop: &'a Stop) -> Self {
        Self { reporter, stop, since: None, pause: FIRST_PAUSE }
    }

    /// After an error: `Ok(Ok(()))` once it is time to try again, `Ok(Err(error))` where trying again is
    /// of no use.
    ///
    /// # Errors
    /// [`Error::Interrupted`] when asked to stop meanwhile.
    pub async fn wait(&mut self, error: ServerError) -> Result<Result<(), ServerError>> {
        if !error.is_passing() && !error.transient_transaction {
            return Ok(Err(error));
        }
        let first = self.since.is_none();
        let since = *self.since.get_or_insert_with(Instant::now);
        if since.elapsed() > LIMIT {
            return Ok(Err(error));
        }
        if first && error.is_passing() {
            self.reporter.tell(
                Kind::Retrying,
                Level::Warning,
                format!("The server cannot be used just now ({error}); trying again for up to {} s.", LIMIT.as_secs()),
            );
        }
        tokio::select! {
            () = tokio::time::sleep(self.pause) => {}
            () = self.stop.cancelled() => {
                return Err(Error::Interrupted(format!(
                    "Stopped while the server could not be used ({error}). Run the same command again to carry on."
                )));
            }
        }
        self.pause = (self.pause * 2).min(LONGEST_PAUSE);
        Ok(Ok(()))
    }
}
