//! What can be restored: a backup of ours, a document that the old tool left, a directory of mongodump.

use std::path::{Path, PathBuf};

use super::catalog::{CatalogEntry, CollectionType};
use super::format::frames::Written;
use super::format::manifest::{BackupScope, Consistency, Manifest, StoredFile, corrupt};
use super::format::reader::Data;
use crate::error::Result;

/// A collection of a source.
#[derive(Debug, Clone)]
pub struct SourceCollection {
    /// Its options and indexes.
    pub entry: CatalogEntry,
    /// Its documents; views have none.
    pub data: Option<Data>,
    /// How many there must be, where that is known.
    pub expected: Option<Written>,
    /// Whether its documents are of the backup's time.
    pub consistency: Consistency,
}

/// What can be restored.
#[derive(Debug, Clone)]
pub struct BackupSource {
    /// Its name.
    pub name: String,
    /// The database it is of.
    pub database: String,
    /// What it is about.
    pub scope: BackupScope,
    /// Whether it knows options and indexes; the old tool's documents do not.
    pub catalogued: bool,
    /// Its collections, views and time-series collections, by name.
    pub parts: Vec<SourceCollection>,
    /// Files with checksums besides the parts' own.
    pub files: Vec<(PathBuf, StoredFile)>,
    /// What has to be said about it.
    pub notes: Vec<String>,
}

impl BackupSource {
    /// The size of its compressed files, as the manifest has it: the server needs about as much, not less.
    pub fn stored_bytes(&self) -> u64 {
        let stored = self.parts.iter().filter_map(|part| match &part.data {
            Some(Data::Zstd(_, stored)) => u64::try_from(stored.bytes).ok(),
            _ => None,
        });
        stored.fold(0, u64::saturating_add)
    }

    /// The backup in `directory`.
    ///
    /// # Errors
    /// [`Error::BackupCorrupt`](crate::error::Error::BackupCorrupt).
    pub fn of_backup(directory: &Path, name: &str, manifest: &Manifest) -> Result<Self> {
        let mut parts = Vec::with_capacity(manifest.collections.len());
        let mut files = Vec::with_capacity(manifest.collections.len());
        for collection in &manifest.collections {
            let kind = CollectionType::of(&collection.kind);
            let entry = CatalogEntry::decode(&collection.name, kind, &collection.catalog).ok_or_else(|| {
                let what = format!("the catalog of {:?} in it cannot be read", collection.name);
                corrupt(&directory.join(super::format::manifest::FILE), &what)
            })?;
            files.push((directory.join(&collection.metadata.name), collection.metadata.clone()));
            parts.push(SourceCollection {
                entry,
                data: collection.data.as_ref().map(|stored| Data::Zstd(directory.join(&stored.name), stored.clone())),
                expected: Some(Written { documents: collection.documents, bytes: collection.bytes }),
                consistency: collection.consistency,
            });
        }
        Ok(Self {
            name: name.to_owned(),
            database: manifest.database.clone(),
            scope: manifest.scope.clone(),
            catalogued: true,
            parts,
            files,
            notes: left_out(manifest.scope.excluded()),
        })
    }
}

fn left_out(excluded: &[String]) -> Vec<String> {
    if excluded.is_empty() {
        return Vec::new();
    }
    vec![format!("the backup was made without {}: what has these names stays as it is", excluded.join(", "))]
}
