//! Directories that mongodump wrote, plain or with `--gzip`. They have no checksums: what can be checked is that every
//! file is made of whole documents.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};

use bson::RawDocumentBuf;

use super::catalog::{Entry, Type};
use super::directory::entries;
use super::manifest::{Consistency, Scope, corrupt};
use super::metadata;
use super::names::{BUCKETS, collection_of};
use super::reader::Data;
use super::source::{Part, Source};
use crate::error::{Error, Result};

/// What one collection's files are.
#[derive(Debug, Default)]
struct Files {
    data: Option<Data>,
    metadata: Option<PathBuf>,
}

/// The dump in `directory`: that of a database, or one that holds such directories, of which `database`'s is taken, or
/// the only one.
///
/// # Errors
/// [`Error::Settings`] where there is none, [`Error::BackupCorrupt`] for files that are not mongodump's.
pub fn open(directory: &Path, database: &str) -> Result<Source> {
    let directory = locate(directory, database)?;
    let mut found: BTreeMap<String, Files> = BTreeMap::new();
    for name in entries(&directory)? {
        let path = directory.join(&name);
        let (stem, gzip) = name.strip_suffix(".gz").map_or((name.as_str(), false), |stem| (stem, true));
        if let Some(stem) = stem.strip_suffix(".metadata.json") {
            found.entry(stem.to_owned()).or_default().metadata = Some(path);
        } else if let Some(stem) = stem.strip_suffix(".bson") {
            // A time-series collection's documents are named for its buckets, its metadata for itself.
            let stem = stem.strip_prefix(BUCKETS).unwrap_or(stem);
            found.entry(stem.to_owned()).or_default().data =
                Some(if gzip { Data::Gzip(path) } else { Data::Plain(path) });
        }
    }
    let mut parts = Vec::new();
    for (stem, files) in found {
        let entry = entry_of(&directory, &stem, &files)?;
        if entry.kind != Type::View && files.data.is_none() {
            let missing = directory.join(format!("{stem}.bson"));
            return Err(corrupt(&missing, &format!("it is missing, although there is metadata of {:?}", entry.name)));
        }
        let data = files.data.filter(|_| entry.kind != Type::View);
        parts.push(Part { entry, data, expected: None, consistency: Consistency::None });
    }
    parts.sort_by(|a, b| a.entry.name.cmp(&b.entry.name));
    let name = directory.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    Ok(Source {
        database: name,
        name: directory.display().to_string(),
        scope: Scope::Full,
        catalogued: true,
        parts,
        files: Vec::new(),
        notes: vec![
            "mongodump writes no checksums: every file is made of whole documents, but a change inside one, or documents missing at an end, cannot be seen".to_owned(),
        ],
    })
}

fn locate(directory: &Path, database: &str) -> Result<PathBuf> {
    let none = |why: &str| Error::Settings(format!("{} is no directory of mongodump: {why}.", directory.display()));
    if !directory.is_dir() {
        return Err(none("there is no such directory"));
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
    name != "oplog.bson" && (stem.ends_with(".bson") || stem.ends_with(".metadata.json"))
}

fn entry_of(directory: &Path, stem: &str, files: &Files) -> Result<Entry> {
    let name = collection_of(stem);
    let Some(path) = &files.metadata else {
        let name = name.ok_or_else(|| {
            corrupt(
                &directory.join(format!("{stem}.bson")),
                "its name is no collection's, and there is no metadata that says it",
            )
        })?;
        return Ok(Entry {
            name,
            kind: Type::Collection,
            options: RawDocumentBuf::new(),
            id_index: None,
            indexes: Vec::new(),
            unfinished: Vec::new(),
            uuid: None,
        });
    };
    let stored = std::fs::read(path).map_err(|e| corrupt(path, &format!("it cannot be read ({e})")))?;
    let bytes = if path.extension().is_some_and(|extension| extension == "gz") {
        let mut plain = Vec::new();
        flate2::read::MultiGzDecoder::new(stored.as_slice())
            .read_to_end(&mut plain)
            .map_err(|e| corrupt(path, &format!("it cannot be decoded ({e})")))?;
        plain
    } else {
        stored
    };
    metadata::read(&bytes, path, name)
}
