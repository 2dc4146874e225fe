//! Whom a backup directory can be trusted to. Hashes guard against accidents: whoever can write there can change a backup
//! together with its hashes, or put another in its place.

use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use crate::error::{Error, Result};

/// Refuses to read backups where anybody on this host can write.
///
/// # Errors
/// [`Error::Settings`].
pub fn refuse_open_to_all(directory: &Path) -> Result<()> {
    match std::fs::metadata(directory) {
        Ok(found) if found.permissions().mode() & 0o002 != 0 => Err(Error::Settings(format!(
            "{0} can be written by everybody on this host, who could have put any backup there or changed one: checksums guard against \
             accidents only. Look whether what is there is yours, then run `chmod o-w {0}`. Nothing was done.",
            shown(directory)
        ))),
        _ => Ok(()),
    }
}

/// What has to be said of who else can write in a directory.
pub fn notes(directory: &Path) -> Vec<String> {
    let Ok(found) = std::fs::metadata(directory) else { return Vec::new() };
    let (place, mode) = (shown(directory), found.permissions().mode());
    let mut notes = Vec::new();
    if mode & 0o002 != 0 {
        notes.push(format!("everybody on this host can write in {place}; no backup is restored from there until that changes (chmod o-w)"));
    } else if mode & 0o020 != 0 {
        notes.push(format!(
            "the group of {place} can write there: its members can change backups, which checksums do not show"
        ));
    }
    let owner = found.uid();
    if owner != 0 && owner != rustix::process::geteuid().as_raw() {
        notes.push(format!(
            "{place} belongs to another user (uid {owner}), who can change backups there, which checksums do not show"
        ));
    }
    notes
}

fn shown(directory: &Path) -> String {
    std::path::absolute(directory).unwrap_or_else(|_| directory.to_owned()).display().to_string()
}
