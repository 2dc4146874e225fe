//! Files that must be on the disk when somebody is told so.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

use rustix::fs::OFlags;
use rustix::io::Errno;

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

/// Opens a regular file to read it. A symbolic link, a pipe or a device in a backup's directory is none of its files, and
/// reading one may never end.
///
/// # Errors
/// The file system's, and [`io::ErrorKind::InvalidInput`] for what is no regular file.
pub fn open_regular(path: &Path) -> io::Result<File> {
    let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits();
    let file = match OpenOptions::new().read(true).custom_flags(flags.cast_signed()).open(path) {
        Err(e) if e.raw_os_error() == Some(Errno::LOOP.raw_os_error()) => Err(no_file("a symbolic link")),
        other => other,
    }?;
    if file.metadata()?.is_file() { Ok(file) } else { Err(no_file("no regular file")) }
}

fn no_file(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, format!("it is {what}"))
}

/// Reads a regular file of at most `limit` bytes.
///
/// # Errors
/// As [`open_regular`], and [`io::ErrorKind::FileTooLarge`].
pub fn read_small(path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    let file = open_regular(path)?;
    if file.metadata()?.len() > limit {
        let message = format!("it is larger than the {} MB that such a file may have", limit / 1_000_000);
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, message));
    }
    let mut bytes = Vec::new();
    file.take(limit).read_to_end(&mut bytes)?;
    Ok(bytes)
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
        Err(_) => Err(Error::broke_off("A part of the work")),
    }
}
