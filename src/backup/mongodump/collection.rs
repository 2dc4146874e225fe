//! A collection of a dump: what of it is restored, with which options and indexes.

use std::path::{Path, PathBuf};

use bson::{Document, RawDocumentBuf};

use super::super::catalog::{CatalogEntry, CollectionType};
use super::super::format::files::read_small;
use super::super::format::manifest::{Consistency, corrupt};
use super::super::format::metadata;
use super::super::format::reader::{Data, FileDocuments};
use super::super::names::STORED_FUNCTIONS;
use super::super::source::SourceCollection;
use crate::error::Result;

/// The largest metadata file, in bytes: a collection has at most 64 indexes and one validator.
const LARGEST_METADATA: u64 = 256_000_000;
/// The indexes of all collections, as servers before MongoDB 3.0 kept them.
pub const OLD_INDEXES: &str = "system.indexes";
/// Users and roles, as `mongodump --dumpDbUsersAndRoles` names them.
pub const USERS: &str = "$admin.";

/// What a dump has of one collection.
#[derive(Debug, Default)]
pub struct DumpedCollection {
    /// Its name, where it is known without the metadata.
    pub name: Option<String>,
    /// Its documents.
    pub data: Option<Data>,
    /// Where they are, or should be.
    pub expected_at: PathBuf,
    /// Options and indexes, and where they are from.
    pub metadata: Option<(PathBuf, Vec<u8>)>,
    /// Whether the documents are buckets of a time-series collection.
    pub buckets: bool,
}

impl DumpedCollection {
    /// What is restored; `None` for what is not, which is said.
    ///
    /// # Errors
    /// [`Error::BackupCorrupt`](crate::error::Error::BackupCorrupt).
    pub fn part(self, old_indexes: &[Document], notes: &mut Vec<String>) -> Result<Option<SourceCollection>> {
        let mut entry = self.entry(old_indexes, notes)?;
        if entry.temporary() {
            notes.push(format!("{:?} is a temporary collection of a running $out and is not restored", entry.name));
            return Ok(None);
        }
        if entry.name.starts_with("system.") && entry.name != STORED_FUNCTIONS {
            notes.push(format!("{:?} is the server's own and is not restored", entry.name));
            return Ok(None);
        }
        if self.buckets && entry.kind != CollectionType::Timeseries {
            return Err(corrupt(
                &self.expected_at,
                "it holds the buckets of a time-series collection, but there is no metadata that says how they are bucketed; add the \
                 .metadata.json of the dump, or leave it out with --exclude",
            ));
        }
        entry.indexes.dedup();
        if entry.kind != CollectionType::View && self.data.is_none() {
            let what = format!("it is missing, although there is metadata of {:?}", entry.name);
            return Err(corrupt(&self.expected_at, &what));
        }
        let data = self.data.filter(|_| entry.kind != CollectionType::View);
        Ok(Some(SourceCollection { entry, data, expected: None, consistency: Consistency::None }))
    }

    fn entry(&self, old_indexes: &[Document], notes: &mut Vec<String>) -> Result<CatalogEntry> {
        // mongodump leaves an empty file where it was stopped; mongorestore takes it for none.
        if let Some((path, bytes)) = &self.metadata
            && !matches!(bytes.trim_ascii(), b"" | b"null")
        {
            return metadata::read(bytes, path, self.name.clone(), notes);
        }
        let name = self.name.clone().ok_or_else(|| {
            corrupt(&self.expected_at, "its name is no collection's, and there is no metadata that says it")
        })?;
        let mut entry = CatalogEntry::bare(name, CollectionType::Collection, RawDocumentBuf::new());
        let of_this = |index: &&Document| {
            index
                .get_str("ns")
                .is_ok_and(|ns| ns.split_once('.').is_some_and(|(_, collection)| collection == entry.name))
        };
        let listed: Vec<Document> = old_indexes.iter().filter(of_this).cloned().collect();
        for index in &listed {
            metadata::add_index(&mut entry, index, notes)
                .map_err(|_| corrupt(&self.expected_at, "system.indexes holds an index of it that is no document"))?;
        }
        if listed.is_empty() {
            notes.push(format!(
                "there is no metadata of {:?}: it comes back without indexes, validator and options, and nothing expires",
                entry.name
            ));
        }
        Ok(entry)
    }
}

/// A metadata file's content, plain.
///
/// # Errors
/// [`Error::BackupCorrupt`](crate::error::Error::BackupCorrupt) where it cannot be read.
pub fn read_metadata(path: &Path) -> Result<Vec<u8>> {
    use std::io::Read;

    let stored = read_small(path, LARGEST_METADATA).map_err(|e| corrupt(path, &format!("it cannot be read ({e})")))?;
    if path.extension().is_none_or(|extension| extension != "gz") {
        return Ok(stored);
    }
    let mut plain = Vec::new();
    flate2::read::MultiGzDecoder::new(stored.as_slice())
        .take(LARGEST_METADATA)
        .read_to_end(&mut plain)
        .map_err(|e| corrupt(path, &format!("it cannot be decoded ({e})")))?;
    Ok(plain)
}

/// The documents of `system.indexes`.
///
/// # Errors
/// [`Error::BackupCorrupt`](crate::error::Error::BackupCorrupt) where they cannot be read.
pub fn read_old_indexes(data: &Data) -> Result<Vec<Document>> {
    let mut documents = FileDocuments::open(data)?;
    let mut found = Vec::new();
    let mut buffer = Vec::new();
    while documents.next_into(&mut buffer)? {
        let index = Document::from_reader(buffer.as_slice());
        found.push(index.map_err(|_| corrupt(data.path(), "it holds an index that cannot be read"))?);
        buffer.clear();
    }
    Ok(found)
}
