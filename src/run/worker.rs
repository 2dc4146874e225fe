//! What works on one chunk at a time, and how many of them a run has.

use mongodb::ClientSession;

use super::lease::Lease;
use crate::error::{Error, Result};
use crate::mongo::server::Server;
use crate::observe::{Reporter, Stop};

/// How many chunks of one operation are under way at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Workers(usize);

impl Workers {
    /// One after the other.
    pub const ONE: Self = Self(1);
    /// The most there can be.
    pub const MOST: usize = 8;

    /// So many.
    ///
    /// # Errors
    /// [`Error::Settings`] for fewer than 1 or more than [`Workers::MOST`].
    pub fn new(number: usize) -> Result<Self> {
        match number {
            1..=Self::MOST => Ok(Self(number)),
            _ => Err(Error::Settings(format!("The number of workers must be from 1 to {}, not {number}.", Self::MOST))),
        }
    }

    /// The number.
    pub fn number(self) -> usize {
        self.0
    }
}

impl Default for Workers {
    fn default() -> Self {
        Self(2)
    }
}

/// A connection, and a session for its transactions.
#[derive(Debug)]
pub struct Worker<'r> {
    /// The database.
    pub server: Server,
    /// The session of its transactions.
    pub session: &'r mut ClientSession,
    /// The run's lease.
    pub lease: &'r Lease,
    /// Whom the run reports to.
    pub reporter: &'r Reporter,
    /// What asks the run to stop.
    pub stop: &'r Stop,
}
