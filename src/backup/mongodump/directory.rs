//! Directories that mongodump wrote: two files for each collection, named after it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::super::format::directory::entries;
use super::super::format::reader::Data;
use super::super::names::{BUCKETS, collection_of};
use super::collection::{DumpedCollection, USERS, read_metadata};
use super::listing::{DumpListing, Opening, no_checksums};
use crate::error::{Error, Result};

/// The dump in a directory: that of a database, or one that holds such directories, of which the database's is taken, or
/// the only one.
///
/// # Errors
/// [`Error::Settings`] where there is none, [`Error::BackupCorrupt`] for files that are not mongodump's.
pub fn open(opening: &Opening<'_>) -> Result<DumpListing> {
    let directory = locate(opening.path, opening.database)?;
    let mut found: BTreeMap<String, DumpedCollection> = BTreeMap::new();
    let mut users = false;
    let mut oplog = directory.parent().is_some_and(has_oplog);
    for name in entries(&directory)? {
        let path = directory.join(&name);
        let (stem, gzip) = name.strip_suffix(".gz").map_or((name.as_str(), false), |stem| (stem, true));
        if stem.starts_with(USERS) || stem.starts_with("%24admin.") {
            users = true;
        } else if stem == "oplog.bson" {
            oplog = true;
        } else if let Some(stem) = stem.strip_suffix(".metadata.json") {
            let collection = of(&mut found, &directory, stem);
            if collection.metadata.replace((path.clone(), read_metadata(&path)?)).is_some() {
                return Err(twice(&path));
            }
        } else if let Some(stem) = stem.strip_suffix(".bson") {
            // A time-series collection's documents are named for its buckets, its metadata for itself.
            let (stem, buckets) = stem.strip_prefix(BUCKETS).map_or((stem, false), |stem| (stem, true));
            let collection = of(&mut found, &directory, stem);
            collection.buckets |= buckets;
            collection.expected_at.clone_from(&path);
            let data = if gzip { Data::Gzip(path.clone()) } else { Data::Plain(path.clone()) };
            if collection.data.replace(data).is_some() {
                return Err(twice(&path));
            }
        }
    }
    let database = directory.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let collections = found.into_values().collect();
    Ok(DumpListing { name: directory, database, collections, users, oplog, notes: no_checksums() })
}

fn of<'a>(found: &'a mut BTreeMap<String, DumpedCollection>, directory: &Path, stem: &str) -> &'a mut DumpedCollection {
    found.entry(stem.to_owned()).or_insert_with(|| DumpedCollection {
        name: collection_of(stem),
        expected_at: directory.join(format!("{stem}.bson")),
        ..DumpedCollection::default()
    })
}

fn has_oplog(directory: &Path) -> bool {
    ["oplog.bson", "oplog.bson.gz"].iter().any(|name| directory.join(name).exists())
}

/// The error for two files of which one is too many.
pub fn twice(path: &Path) -> Error {
    Error::Settings(format!(
        "{} is there twice, plain and with .gz (or as a collection and as buckets). Remove the one that does not belong to the \
         dump. Nothing was written.",
        path.display()
    ))
}

fn locate(directory: &Path, database: &str) -> Result<PathBuf> {
    let none = |why: &str| Error::Settings(format!("{} is no dump of mongodump: {why}.", directory.display()));
    if !directory.exists() {
        return Err(none("there is no such file or directory"));
    }
    if !directory.is_dir() {
        return Err(none("it is neither a file nor a directory"));
    }
    let directory = directory.canonicalize().map_err(|e| none(&e.to_string()))?;
    let is_dump = |path: &Path| Ok::<bool, Error>(entries(path)?.iter().any(|name| is_dumped(name)));
    if is_dump(&directory)? {
        return Ok(directory);
    }
    let mut within = Vec::new();
    for name in entries(&directory)? {
        let path = directory.join(&name);
        if path.is_dir() && is_dump(&path)? {
            if name == database {
                return Ok(path);
            }
            within.push(path);
        }
    }
    match within.as_slice() {
        [] => Err(none("it holds neither .bson files nor directories with such files")),
        [only] => Ok(only.clone()),
        several => {
            let names: Vec<String> = several.iter().map(|path| path.display().to_string()).collect();
            Err(none(&format!("it holds the dumps of several databases; name one of {}", names.join(", "))))
        }
    }
}

fn is_dumped(name: &str) -> bool {
    let stem = name.strip_suffix(".gz").unwrap_or(name);
    // At the top of a dump of several databases.
    name != "oplog.bson" && name != "oplog.bson.gz" && (stem.ends_with(".bson") || stem.ends_with(".metadata.json"))
}
