//! A collection and the file that its documents go to.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize};
use std::sync::{Arc, Mutex};

use super::super::catalog::CatalogEntry;
use super::super::format::frames::{FrameFile, Written, store};
use super::super::format::manifest::{CollectionManifest, StoredFile};
use super::super::format::metadata;
use super::super::names::file_stem;
use super::super::snapshot::ReadMode;
use super::error::poisoned;
use crate::error::Result;

/// A collection and its file, made when its first part is read.
pub(super) struct Sink {
    pub(super) entry: CatalogEntry,
    pub(super) reading: ReadMode,
    /// How many documents a reply should have.
    pub(super) batch: u32,
    path: PathBuf,
    file: Mutex<Option<Arc<FrameFile>>>,
    /// Parts still to be read.
    pub(super) open: AtomicUsize,
    /// Whether it was read in pieces, which must make up the whole.
    pub(super) pieced: AtomicBool,
    /// What the manifest says of it, once its files are on the disk.
    pub(super) finished: Mutex<Option<CollectionManifest>>,
}

impl Sink {
    pub(super) fn of(directory: &Path, entry: &CatalogEntry, reading: ReadMode, batch: u32) -> Self {
        let path = directory.join(format!("{}.bson.zst", file_stem(&entry.stored_in())));
        Self {
            entry: entry.clone(),
            reading,
            batch,
            path,
            file: Mutex::default(),
            open: AtomicUsize::new(0),
            pieced: AtomicBool::new(false),
            finished: Mutex::default(),
        }
    }

    pub(super) fn file(&self) -> Result<Arc<FrameFile>> {
        let mut file = self.file.lock().map_err(|_| poisoned())?;
        if let Some(file) = &*file {
            return Ok(file.clone());
        }
        let made = Arc::new(FrameFile::create(self.path.clone())?);
        *file = Some(made.clone());
        Ok(made)
    }

    /// The file, which nobody writes to any more.
    pub(super) fn close(&self) -> Result<Arc<FrameFile>> {
        let file = self.file()?;
        *self.file.lock().map_err(|_| poisoned())? = None;
        Ok(file)
    }
}

/// Writes the file of a collection's options and indexes, and says what the manifest says of it. Blocks.
///
/// # Errors
/// The file system's.
pub(super) fn describe(
    directory: &Path,
    entry: &CatalogEntry,
    reading: ReadMode,
    data: Option<(StoredFile, Written)>,
) -> Result<CollectionManifest> {
    let metadata =
        store(&directory.join(format!("{}.metadata.json", file_stem(&entry.name))), &metadata::write(entry))?;
    let (data, written) = data.map_or((None, Written::default()), |(data, written)| (Some(data), written));
    Ok(CollectionManifest {
        name: entry.name.clone(),
        kind: entry.kind.as_str().to_owned(),
        consistency: reading.consistency(),
        documents: written.documents,
        bytes: written.bytes,
        data,
        metadata,
        catalog: entry.encoded(),
    })
}
