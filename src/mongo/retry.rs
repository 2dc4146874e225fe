//! What is tried again, how often and for how long: every rule has its name here.
//!
//! [`ServerError::class`](crate::error::server::ServerError::class) says what an error means. A [`Policy`] says how long
//! an attempt that failed is repeated, [`Backoff`] counts by it, and [`Retry`] is what a run waits with: it tells people
//! what it waits for, and ends when it is asked to stop.

use std::time::Duration;

use tokio::time::Instant;

use crate::error::server::{Class, ServerError};
use crate::error::{Error, Result};
use crate::observe::{Kind, Level, Reporter, Stop};

/// How often and for how long something is tried again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Policy {
    /// The most attempts that may fail in a row.
    pub attempts: u32,
    /// How long they may fail, counted from the first failure since the last progress.
    pub limit: Duration,
    /// The pause after the first failure; each further one is twice as long.
    pub first: Duration,
    /// The longest pause.
    pub longest: Duration,
}

const ALWAYS: u32 = u32::MAX;
const FOREVER: Duration = Duration::MAX;

impl Policy {
    /// The commands of a run. An election takes about twelve seconds, a restart of the server a minute.
    pub const RUN: Self = Self::lasting(Duration::from_secs(120), Duration::from_millis(50), Duration::from_secs(2));
    /// A read outside a run's own retries: reading twice harms nobody. Each attempt waits for a primary as long as the
    /// connection's settings say.
    pub const READ: Self = Self::times(5, Duration::from_millis(200));
    /// A commit whose answer was lost. After this the journal is asked whether it happened.
    pub const COMMIT: Self =
        Self::lasting(Duration::from_secs(20), Duration::from_millis(100), Duration::from_millis(100));
    /// A chunk that meets another writer, who needs a moment to finish.
    pub const CONTENTION: Self =
        Self::lasting(Duration::from_secs(120), Duration::from_millis(1), Duration::from_millis(50));
    /// The renewal of a lease, as long as the run lives. A lease lasts long enough for two failures in a row.
    pub const RENEWAL: Self = Self::lasting(FOREVER, Duration::from_secs(2), Duration::from_secs(2));
    /// A backup whose collections are created, dropped or indexed while it is made.
    pub const BACKUP: Self = Self::times(5, Duration::ZERO);
    /// A snapshot of a catalog that changed so recently that no majority has it yet.
    pub const SNAPSHOT: Self = Self::times(5, Duration::from_secs(1));
    /// The copy of a time-series collection that somebody writes to.
    pub const COPY: Self = Self::times(3, Duration::ZERO);

    const fn lasting(limit: Duration, first: Duration, longest: Duration) -> Self {
        Self { attempts: ALWAYS, limit, first, longest }
    }

    const fn times(attempts: u32, pause: Duration) -> Self {
        Self { attempts, limit: FOREVER, first: pause, longest: pause }
    }
}

/// Counts failures by a policy.
#[derive(Debug, Clone)]
pub struct Backoff {
    policy: Policy,
    failures: u32,
    since: Option<Instant>,
    pause: Duration,
}

impl Backoff {
    /// Nothing has failed yet.
    pub fn new(policy: Policy) -> Self {
        Self { policy, failures: 0, since: None, pause: policy.first }
    }

    /// Something went well: counting begins anew.
    pub fn progressed(&mut self) {
        *self = Self::new(self.policy);
    }

    /// How many attempts have failed since the last progress.
    pub fn failures(&self) -> u32 {
        self.failures
    }

    /// After a failure: how long to wait before the next attempt; `None` where there is to be none.
    pub fn again(&mut self) -> Option<Duration> {
        self.again_at(Instant::now())
    }

    fn again_at(&mut self, now: Instant) -> Option<Duration> {
        self.failures = self.failures.saturating_add(1);
        let since = *self.since.get_or_insert(now);
        if self.failures >= self.policy.attempts || now.duration_since(since) > self.policy.limit {
            return None;
        }
        let pause = self.pause;
        self.pause = (self.pause * 2).min(self.policy.longest);
        Some(pause)
    }

    /// Waits for the next attempt; false where there is to be none.
    pub async fn wait(&mut self) -> bool {
        match self.again() {
            Some(pause) => {
                tokio::time::sleep(pause).await;
                true
            }
            None => false,
        }
    }
}

/// Makes an attempt again and again while `$retry` says so; the answer is its last result. Returns from the
/// surrounding function when asked to stop meanwhile.
///
/// A macro, for what an attempt borrows: an asynchronous closure could not be sent to another thread.
macro_rules! retry {
    ($retry:expr, $attempt:expr) => {
        loop {
            match $attempt.await {
                Ok(value) => break Ok(value),
                Err(error) => {
                    if let Err(error) = $retry.wait(error).await? {
                        break Err(error);
                    }
                }
            }
        }
    };
}
pub(crate) use retry;

/// A run's retries by [`Policy::RUN`]: call [`wait`](Self::wait) with each error and try again while it says so.
pub struct Retry<'a> {
    reporter: &'a Reporter,
    stop: &'a Stop,
    backoff: Backoff,
}

impl<'a> Retry<'a> {
    /// Nothing has failed yet.
    pub fn new(reporter: &'a Reporter, stop: &'a Stop) -> Self {
        Self { reporter, stop, backoff: Backoff::new(Policy::RUN) }
    }

    /// Something went well: counting begins anew.
    pub fn progressed(&mut self) {
        self.backoff.progressed();
    }

    /// After an error: `Ok(Ok(()))` once it is time to try again, `Ok(Err(error))` where trying again is
    /// of no use.
    ///
    /// # Errors
    /// [`Error::Interrupted`] when asked to stop meanwhile.
    pub async fn wait(&mut self, error: ServerError) -> Result<Result<(), ServerError>> {
        let class = error.class();
        if matches!(class, Class::TooLarge | Class::Refused) {
            return Ok(Err(error));
        }
        let first = self.backoff.failures() == 0;
        let Some(pause) = self.backoff.again() else { return Ok(Err(error)) };
        if first && class == Class::Passing {
            let limit = Policy::RUN.limit.as_secs();
            self.reporter.tell(
                Kind::Retrying,
                Level::Warning,
                format!("The server cannot be used just now ({error}); trying again for up to {limit} s."),
            );
        }
        tokio::select! {
            () = tokio::time::sleep(pause) => Ok(Ok(())),
            () = self.stop.cancelled() => Err(Error::Interrupted(format!(
                "Stopped while the server could not be used ({error}). Run the same command again to carry on."
            ))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_and_attempts_end() {
        let mut backoff = Backoff::new(Policy::RUN);
        let pauses: Vec<u128> = (0..8).filter_map(|_| backoff.again()).map(|pause| pause.as_millis()).collect();
        assert_eq!(pauses, [50, 100, 200, 400, 800, 1600, 2000, 2000]);
        backoff.progressed();
        assert_eq!(backoff.again(), Some(Duration::from_millis(50)));
        let mut backoff = Backoff::new(Policy::READ);
        assert_eq!((0..9).filter_map(|_| backoff.again()).count(), 4, "the fifth failure is the last");
    }

    #[test]
    fn giving_up_counts_from_the_last_progress() {
        let mut backoff = Backoff::new(Policy::COMMIT);
        let mut now = Instant::now();
        for _ in 0..3 {
            assert!(backoff.again_at(now).is_some());
            now += Policy::COMMIT.limit;
            assert!(backoff.again_at(now).is_some());
            backoff.progressed();
        }
        assert!(backoff.again_at(now).is_some());
        now += Policy::COMMIT.limit + Duration::from_millis(1);
        assert!(backoff.again_at(now).is_none());
    }
}
