//! Rolling back what the old tool did, from the backup document that it left.

use crate::ops::{Halt, Place};
use crate::run::Run;
use crate::run::journal::Journal;
use crate::server::Server;
use crate::server_error::ServerError;

/// The backup document.
#[derive(Debug)]
pub struct Backup {
    /// Its `_id` as text.
    pub id: String,
}

impl Backup {
    /// What could not be known, in words.
    pub fn unknown(&self) -> Vec<String> {
        Vec::new()
    }
}

/// The latest one, unless a rollback has used it.
pub async fn find(_server: &Server, _used: Option<&str>) -> Result<Option<Backup>, ServerError> {
    Ok(None)
}

/// The task.
pub async fn carry_out(
    _run: &mut Run,
    _journal: &mut Journal,
    _backup: &Backup,
    _hash: &str,
    _place: Place,
) -> Result<(), Halt> {
    Ok(())
}
