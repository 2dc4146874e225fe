//! Whether there is room for the backup.

use std::path::{Path, PathBuf};

use crate::assessment::names::{ASSESSMENTS, TEACHER_ASSESSMENTS};
use crate::backup::format::directory::absolute;
use crate::error::{Error, Result};
use crate::mongo::server::Server;
use crate::mongo::stats::Stats;

/// Compares the room in the file system of `directory` with the size of the two collections.
///
/// # Errors
/// [`Error::DiskFull`], with both numbers.
pub async fn check(server: &Server, directory: &Path) -> Result<()> {
    let mut needed = 0;
    for name in [ASSESSMENTS, TEACHER_ASSESSMENTS] {
        // Reading the size needs a right that a user of the database may lack; then there is nothing to compare.
        let Ok(size) = Stats::of(server, name).await else { continue };
        needed += u64::try_from(size.bytes).unwrap_or(0);
    }
    let mut place = absolute(directory)?;
    let free = loop {
        // The directory is made by the first backup; until then what it will be in counts.
        if let Ok(found) = rustix::fs::statvfs(&place) {
            break found.f_bavail.saturating_mul(found.f_frsize);
        }
        match place.parent().map(PathBuf::from) {
            Some(parent) => place = parent,
            None => return Ok(()),
        }
    };
    if free >= needed {
        return Ok(());
    }
    Err(Error::DiskFull(format!(
        "There is no room for the backup: the two collections have {}, and {} has {} left. Nothing was changed. Make room there, or \
         name another directory with --backup-dir, then run the command again.",
        megabytes(needed),
        directory.display(),
        megabytes(free)
    )))
}

fn megabytes(bytes: u64) -> String {
    format!("{:.1} MB", bytes as f64 / 1e6)
}
