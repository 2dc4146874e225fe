//! Whether there is room for the backup.

use std::path::{Path, PathBuf};

use bson::{RawDocumentBuf, doc};

use crate::assessment::{ASSESSMENTS, TEACHER_ASSESSMENTS};
use crate::backup::format::directory::absolute;
use crate::error::{Error, Result};
use crate::mongo::server::Server;

/// Compares the room in the file system of `directory` with the size of the two collections.
///
/// # Errors
/// [`Error::DiskFull`], with both numbers.
pub async fn check(server: &Server, directory: &Path) -> Result<()> {
    let mut needed = 0;
    for name in [ASSESSMENTS, TEACHER_ASSESSMENTS] {
        let pipeline = [doc! {"$collStats": {"storageStats": {}}}];
        let command = doc! {"aggregate": name, "pipeline": pipeline.to_vec(), "cursor": {}};
        // Reading the size needs a right that a user of the database may lack; then there is nothing to compare.
        let Ok(found) = server.find_all(command).await else { continue };
        needed += found.first().map_or(0, size);
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

fn size(stats: &RawDocumentBuf) -> u64 {
    let Ok(storage) = stats.get_document("storageStats") else { return 0 };
    let Ok(Some(value)) = storage.get("size") else { return 0 };
    let whole = value.as_i64().or_else(|| value.as_i32().map(i64::from));
    let whole = whole.or_else(|| value.as_f64().map(|bytes| bytes as i64));
    whole.and_then(|bytes| u64::try_from(bytes).ok()).unwrap_or(0)
}

fn megabytes(bytes: u64) -> String {
    format!("{:.1} MB", bytes as f64 / 1e6)
}
