//! Files that must be on the disk when somebody is told so.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

use crate::error::{Error, Result};

/// The error for something that the file system refused; `doing` continues "Cannot".
pub fn failed(doing: &str, path: &Path) -> impl FnOnce(io::Error) -> Error {
    let message = format!("Cannot {doing} {}", path.display());
    move |error| {
        let what = match error.raw_os_error() {
            Some(code) => io::Error::from_raw_os_error(code).to_string(),
            None => error.to_string(),
        };
        if is_full(&error) {
            Error::DiskFull(format!(
                "{message}: {what}. Make room there, or name another directory with --backup-dir, then run the command again; \
                 nothing remains of what was being written."
            ))
        } else {
            Error::Backup(format!("{message}: {what}."))
        }
    }
}

fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge)
}

/// A new file that only its owner can read.
///
/// # Errors
/// The file system's.
pub fn create(path: &Path) -> Result<File> {
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).map_err(failed("create", path))
}

/// Writes a whole new file and makes sure that it is on the disk.
///
/// # Errors
/// The file system's.
pub fn write_synced(path: &Path, bytes: &[u8]) -> Result<()> {
    let mut file = create(path)?;
    file.write_all(bytes).and_then(|()| file.sync_all()).map_err(failed("write", path))
}

/// Makes sure that the names in a directory are on the disk.
///
/// # Errors
/// The file system's.
pub fn sync_directory(path: &Path) -> Result<()> {
    File::open(path).and_then(|directory| directory.sync_all()).map_err(failed("sync the directory", path))
}

/// Makes a directory that only its owner can enter.
///
/// # Errors
/// The file system's.
pub fn make_directory(path: &Path) -> Result<()> {
    std::fs::DirBuilder::new().mode(0o700).create(path).map_err(failed("make the directory", path))
}

/// [`make_directory`] with its parents, where they are not there.
///
/// # Errors
/// The file system's.
pub fn make_directories(path: &Path) -> Result<()> {
    std::fs::DirBuilder::new().mode(0o700).recursive(true).create(path).map_err(failed("make the directory", path))
}

/// Runs blocking work beside the asynchronous.
///
/// # Errors
/// The work's own.
pub async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(e) => Err(Error::Backup(format!("A part of the work ended unexpectedly: {e}."))),
    }
}
