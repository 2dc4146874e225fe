//! One attempt at a dump.

use std::path::Path;
use std::sync::Arc;

use time::OffsetDateTime;

use crate::backup::format::manifest::{BackupKind, BackupScope, Consistency};
use crate::error::Result;
use crate::mongo::server::Server;
use crate::observe::{Reporter, Stop};

/// Ends the dump where it was asked to stop.
///
/// # Errors
/// [`Interrupted`](crate::error::Error::Interrupted).
pub(super) fn stopped(stop: &Stop) -> Result<()> {
    if stop.is_cancelled() {
        return Err(super::error::interrupted());
    }
    Ok(())
}

/// One attempt.
pub(super) struct Dump<'a> {
    pub(super) server: &'a Server,
    pub(super) directory: &'a Path,
    pub(super) request: &'a DumpRequest,
    pub(super) reporter: &'a Reporter,
    pub(super) stop: &'a Stop,
    pub(super) began: OffsetDateTime,
}

/// What to write.
#[derive(Debug, Clone)]
pub struct DumpRequest {
    /// The purpose of the backup: manual, safety or assessment.
    pub kind: BackupKind,
    /// What is backed up.
    pub scope: BackupScope,
    /// Whether everything must be of one time where the server can do that.
    pub consistency: Consistency,
    /// Whether the server's snapshot window may be raised when the dump takes long.
    pub raise_window: bool,
    /// Who sees what is written.
    pub onlooker: Option<Arc<dyn Onlooker>>,
}

/// Sees the documents that a dump writes, so that they are read once for both.
pub trait Onlooker: std::fmt::Debug + Send + Sync {
    /// Sees documents of a collection: each once in an attempt, in any order, from several threads at once.
    fn see(&self, collection: &str, documents: &mut (dyn Iterator<Item = &[u8]> + Send));

    /// The dump starts over, and each document is seen again.
    fn start_over(&self);
}
