//! The directory a backup is written into before it is one.
//!
//! `.partial-<id>` holds the files, and beside it `.partial-<id>.lock`, locked (`flock`) while its writer lives. The
//! next run of the same host removes what a dead one left, and nothing else. Removing a backup goes the other way: it
//! is renamed to `.removed-<name>` first, so that half of one is never seen.

use std::fs::File;
use std::io::{ErrorKind, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use time::macros::format_description;

use super::files;
use crate::backup::names::PREFIX;
use crate::error::{Error, Result};
use crate::run::identity::Identity;

const PARTIAL: &str = ".partial-";
const REMOVED: &str = ".removed-";
const LOCK: &str = ".lock";
/// The largest file of a few words, in bytes.
pub const LARGEST_NOTE: u64 = 64_000;

/// Who writes; the content of the lock file.
#[derive(Debug, Serialize, Deserialize)]
struct Owner {
    host: String,
    pid: u32,
}

/// A backup being written. Dropped unpublished, it is removed.
#[derive(Debug)]
pub struct Partial {
    parent: PathBuf,
    path: PathBuf,
    lock_path: PathBuf,
    // Held, not used: closing it unlocks.
    _lock: File,
}

/// What a dead run left: its directory, while its lock is held by us.
#[derive(Debug)]
pub struct Leftover {
    /// The directory; it may not be there.
    pub path: PathBuf,
    lock_path: PathBuf,
    _lock: File,
}

impl Leftover {
    /// Removes it.
    ///
    /// # Errors
    /// The file system's.
    pub fn remove(self) -> Result<()> {
        remove_tree(&self.path)?;
        remove_file(&self.lock_path)
    }
}

/// What dead runs of this host left in `parent`. What was already condemned is removed on the way.
///
/// # Errors
/// The file system's.
pub fn leftovers(parent: &Path) -> Result<Vec<Leftover>> {
    let mut found = Vec::new();
    for name in entries(parent)? {
        let path = parent.join(&name);
        if name.starts_with(REMOVED) && is_directory(&path) {
            remove_tree(&path)?;
        } else if let Some(id) = name.strip_prefix(PARTIAL).and_then(|rest| rest.strip_suffix(LOCK)) {
            found.extend(dead(parent, id, path)?);
        }
    }
    Ok(found)
}

/// The leftover behind a lock file, where its writer is dead and was this host's.
fn dead(parent: &Path, id: &str, lock_path: PathBuf) -> Result<Option<Leftover>> {
    let lock = match files::open_regular(&lock_path) {
        Ok(lock) => lock,
        // Its writer has just finished, or another user's is none of ours.
        // Nor is what is no regular file.
        Err(e) if matches!(e.kind(), ErrorKind::NotFound | ErrorKind::PermissionDenied | ErrorKind::InvalidInput) => {
            return Ok(None);
        }
        Err(e) => return Err(files::failed("open", &lock_path)(e)),
    };
    if flock(&lock, FlockOperation::NonBlockingLockExclusive).is_err() {
        return Ok(None);
    }
    let path = parent.join(format!("{PARTIAL}{id}"));
    let owner =
        files::read_small(&lock_path, LARGEST_NOTE).ok().and_then(|bytes| serde_json::from_slice::<Owner>(&bytes).ok());
    let ours = match owner {
        Some(owner) => owner.host == Identity::current().host,
        // Killed between making the lock file and writing it: the directory comes after that.
        None => !path.exists(),
    };
    Ok(ours.then_some(Leftover { path, lock_path, _lock: lock }))
}

impl Partial {
    /// A new one in `parent`, which is made where it is not there.
    ///
    /// # Errors
    /// The file system's.
    pub fn create(parent: &Path) -> Result<Self> {
        files::make_directories(parent)?;
        loop {
            let id = Identity::new_run();
            let lock_path = parent.join(format!("{PARTIAL}{id}{LOCK}"));
            let mut lock = files::create(&lock_path)?;
            let locked = flock(&lock, FlockOperation::NonBlockingLockExclusive).is_ok();
            // Another run took the new file, not yet locked, for a leftover.
            if !locked || lock.metadata().map_or(0, |it| it.nlink()) == 0 {
                continue;
            }
            let identity = Identity::current();
            let owner = serde_json::to_vec(&Owner { host: identity.host, pid: identity.pid }).unwrap_or_default();
            let path = parent.join(format!("{PARTIAL}{id}"));
            let partial = Self {
                parent: parent.to_owned(),
                path,
                lock_path: lock_path.clone(),
                _lock: lock.try_clone().map_err(files::failed("lock", &lock_path))?,
            };
            lock.write_all(&owner).map_err(files::failed("write", &lock_path))?;
            files::make_directory(&partial.path)?;
            return Ok(partial);
        }
    }

    /// Where its files go.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Removes every file, to start over.
    ///
    /// # Errors
    /// The file system's.
    pub fn clear(&self) -> Result<()> {
        for name in entries(&self.path)? {
            remove_file(&self.path.join(name))?;
        }
        Ok(())
    }

    /// Makes it the backup of `began`, or of the next free second, and returns its name. Its files must be synced.
    ///
    /// # Errors
    /// The file system's.
    pub fn publish(self, began: OffsetDateTime) -> Result<String> {
        files::sync_directory(&self.path)?;
        let mut second = began;
        let name = loop {
            let name = backup_name(second);
            let target = self.parent.join(&name);
            second += time::Duration::SECOND;
            if target.symlink_metadata().is_ok() {
                continue;
            }
            match std::fs::rename(&self.path, &target) {
                Ok(()) => break name,
                // Another backup of this second was faster.
                Err(e) if matches!(e.kind(), ErrorKind::DirectoryNotEmpty | ErrorKind::AlreadyExists) => {}
                Err(e) => return Err(files::failed("rename to its name", &self.path)(e)),
            }
        };
        files::sync_directory(&self.parent)?;
        Ok(name)
    }
}

impl Drop for Partial {
    fn drop(&mut self) {
        // What cannot be removed now, the next run removes.
        let _ = std::fs::remove_dir_all(&self.path);
        let _ = std::fs::remove_file(&self.lock_path);
    }
}

/// Removes a backup: condemned first, so that half of it is never taken for one.
///
/// # Errors
/// The file system's.
pub fn remove_backup(parent: &Path, name: &str) -> Result<()> {
    let from = parent.join(name);
    let condemned = parent.join(format!("{REMOVED}{name}"));
    remove_tree(&condemned)?;
    std::fs::rename(&from, &condemned).map_err(files::failed("remove", &from))?;
    files::sync_directory(parent)?;
    remove_tree(&condemned)
}

/// The name of a backup that began at that time.
fn backup_name(began: OffsetDateTime) -> String {
    let stamp = began.format(format_description!("[year][month][day]_[hour][minute][second]")).unwrap_or_default();
    format!("{PREFIX}{stamp}")
}

/// The names in a directory; none where it is not there.
///
/// # Errors
/// The file system's.
pub fn entries(path: &Path) -> Result<Vec<String>> {
    let entries = match std::fs::read_dir(path) {
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(files::failed("read the directory", path))?,
    };
    let mut names = Vec::new();
    for entry in entries {
        let entry = entry.map_err(files::failed("read the directory", path))?;
        // A name that is no UTF-8 is none of ours.
        names.extend(entry.file_name().into_string());
    }
    names.sort();
    Ok(names)
}

/// Whether it is a directory itself, and no link to one.
fn is_directory(path: &Path) -> bool {
    std::fs::symlink_metadata(path).is_ok_and(|found| found.is_dir())
}

fn remove_tree(path: &Path) -> Result<()> {
    match std::fs::remove_dir_all(path) {
        Err(e) if e.kind() != ErrorKind::NotFound => Err(files::failed("remove", path)(e)),
        _ => Ok(()),
    }
}

fn remove_file(path: &Path) -> Result<()> {
    match std::fs::remove_file(path) {
        Err(e) if e.kind() != ErrorKind::NotFound => Err(files::failed("remove", path)(e)),
        _ => Ok(()),
    }
}

/// The absolute path, for people and scripts.
///
/// # Errors
/// The file system's.
pub fn absolute(path: &Path) -> Result<PathBuf> {
    std::path::absolute(path).map_err(|e| Error::Backup(format!("Cannot find {}: {e}.", path.display())))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(path: &Path) -> Vec<String> {
        entries(path).expect("reads")
    }

    #[test]
    fn what_lives_stays_and_what_is_dead_goes() {
        let parent = tempfile::tempdir().expect("made");
        let parent = parent.path();
        let alive = Partial::create(parent).expect("made");
        std::fs::write(alive.path().join("x"), "x").expect("writes");
        assert!(leftovers(parent).expect("reads").is_empty());

        // As a killed process leaves it: nothing removed, the lock free.
        let host = Identity::current().host;
        for (id, host) in [("dead", host.as_str()), ("elsewhere", "another host")] {
            let owner = format!(r#"{{"host":"{host}","pid":1}}"#);
            std::fs::write(parent.join(format!(".partial-{id}.lock")), owner).expect("writes");
            std::fs::create_dir(parent.join(format!(".partial-{id}"))).expect("makes");
        }
        std::fs::write(parent.join(".partial-unwritten.lock"), "").expect("writes");
        std::fs::create_dir(parent.join(".removed-edulearn_backup_1")).expect("makes");
        std::fs::create_dir(parent.join("somebody_elses")).expect("makes");
        for leftover in leftovers(parent).expect("reads") {
            leftover.remove().expect("removes");
        }
        let left = names(parent);
        assert!(
            left.iter().all(|name| !name.contains("dead") && !name.contains("unwritten") && !name.contains("removed"))
        );
        assert!(left.iter().any(|name| name.contains("elsewhere")) && left.contains(&"somebody_elses".to_owned()));
        drop(alive);
        assert_eq!(names(parent), [".partial-elsewhere", ".partial-elsewhere.lock", "somebody_elses"]);
    }

    #[test]
    fn a_taken_second_gives_the_next() {
        let parent = tempfile::tempdir().expect("made");
        let began = OffsetDateTime::from_unix_timestamp(1_734_445_822).expect("a time");
        let publish = || {
            let partial = Partial::create(parent.path()).expect("made");
            std::fs::write(partial.path().join("x"), "x").expect("writes");
            partial.publish(began).expect("published")
        };
        assert_eq!(publish(), "edulearn_backup_20241217_143022");
        assert_eq!(publish(), "edulearn_backup_20241217_143023");
        assert_eq!(names(parent.path()), ["edulearn_backup_20241217_143022", "edulearn_backup_20241217_143023"]);
        remove_backup(parent.path(), "edulearn_backup_20241217_143022").expect("removes");
        assert_eq!(names(parent.path()), ["edulearn_backup_20241217_143023"]);
    }
}
