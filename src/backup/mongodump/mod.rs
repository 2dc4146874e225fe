//! What mongodump wrote: directories, single files and archives, plain or with `--gzip`. Files have no checksums: what can
//! be checked is that each is made of whole documents. Archives have one for each collection.
//!
//! What stock mongorestore restores is restored. Everything that is passed over, converted or lost is said in a note; what
//! cannot be restored is refused by name before anything is written.

mod archive;
mod archive_input;
mod collection;
mod crc64;
mod directory;
mod file;
pub mod listing;

use self::collection::{OLD_INDEXES, read_old_indexes};
use self::listing::Opening;
use super::format::manifest::BackupScope;
use super::source::BackupSource;
use crate::error::{Error, Result};

/// The dump of a database: a directory, one that holds such directories, an archive, or one collection's file. Its scope is
/// what it holds: what a dump lacks may just not have been dumped. Blocks.
///
/// # Errors
/// [`Error::Settings`] where there is none, [`Error::BackupCorrupt`] for what is damaged, [`Error::DiskFull`].
pub fn open(opening: &Opening<'_>) -> Result<BackupSource> {
    let found = if opening.path.is_file() { file::open(opening)? } else { directory::open(opening)? };
    let mut notes = found.notes;
    if found.users {
        notes.push(
            "users and roles ($admin.*) are not restored; `mongorestore --restoreDbUsersAndRoles` does that".to_owned(),
        );
    }
    if found.oplog {
        notes.push(
            "the oplog is not replayed: the collections are as mongodump read them, one after the other".to_owned(),
        );
    }
    let listed = found.collections.iter().find(|it| it.name.as_deref() == Some(OLD_INDEXES));
    let old_indexes = match listed.and_then(|it| it.data.as_ref()) {
        Some(data) => read_old_indexes(data)?,
        None => Vec::new(),
    };
    let mut parts = Vec::new();
    for collection in found.collections.into_iter().filter(|it| it.name.as_deref() != Some(OLD_INDEXES)) {
        parts.extend(collection.part(&old_indexes, &mut notes)?);
    }
    if parts.is_empty() {
        return Err(Error::Settings(format!(
            "{} holds nothing that can be restored. Nothing was written.",
            found.name.display()
        )));
    }
    parts.sort_by(|a, b| a.entry.name.cmp(&b.entry.name));
    if let Some([one, _]) = parts.windows(2).find(|two| two[0].entry.name == two[1].entry.name) {
        return Err(Error::Settings(format!(
            "{} holds the collection {:?} twice. Nothing was written.",
            found.name.display(),
            one.entry.name
        )));
    }
    Ok(BackupSource {
        database: found.database,
        name: found.name.display().to_string(),
        scope: BackupScope::Collections(parts.iter().map(|part| part.entry.name.clone()).collect()),
        catalogued: true,
        parts,
        files: Vec::new(),
        notes,
    })
}
