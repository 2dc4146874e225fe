//! Directories that mongodump wrote, plain or with `--gzip`. They have no checksums: what can be checked is that every
//! file is made of whole documents.
//!
//! What stock mongorestore restores is restored. Everything that is passed over, converted or lost is said in a note; what
//! cannot be restored is refused by name before anything is written.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};

use bson::{Document, RawDocumentBuf};

use super::catalog::{Entry, Type};
use super::format::directory::entries;
use super::format::files::{open_regular, read_small};
use super::format::manifest::{Consistency, Scope, corrupt};
use super::format::metadata;
use super::format::reader::{Data, Documents};
use super::names::{BUCKETS, STORED_FUNCTIONS, collection_of};
use super::source::{Part, Source};
use crate::error::{Error, Result};

/// The largest metadata file, in bytes: a collection has at most 64 indexes and one validator.
const LARGEST_METADATA: u64 = 256_000_000;
/// What `mongodump --archive` begins with. Source: mongo-tools, `common/archive` (`MagicNumber`).
const ARCHIVE: [u8; 4] = 0x8199_e26d_u32.to_le_bytes();
/// The indexes of all collections, as servers before MongoDB 3.0 kept them.
const OLD_INDEXES: &str = "system.indexes";
/// Users and roles, as `mongodump --dumpDbUsersAndRoles` names them.
const USERS: &str = "$admin.";

/// What one collection's files are.
#[derive(Debug, Default)]
struct Files {
    data: Option<Data>,
    metadata: Option<PathBuf>,
    /// Whether the data is that of a time-series collection's buckets.
    buckets: bool,
}

/// The dump in `directory`: that of a database, or one that holds such directories, of which `database`'s is taken, or
/// the only one. Its scope is what it holds: what a dump lacks may just not have been dumped.
///
/// # Errors
/// [`Error::Settings`] where there is none, [`Error::BackupCorrupt`] for files that are not mongodump's.
pub fn open(directory: &Path, database: &str) -> Result<Source> {
    let directory = locate(directory, database)?;
    let mut notes = vec![
        "mongodump writes no checksums: every file is made of whole documents, but a change inside one, or documents missing at an end, cannot be seen".to_owned(),
    ];
    let found = find(&directory, &mut notes)?;
    let old_indexes = match found.get(OLD_INDEXES) {
        Some(Files { data: Some(data), .. }) => read_old_indexes(data)?,
        _ => Vec::new(),
    };
    let mut parts = Vec::new();
    for (stem, files) in found {
        if stem == OLD_INDEXES {
            continue;
        }
        if let Some(entry) = entry_of(&directory, &stem, &files, &old_indexes, &mut notes)? {
            if entry.kind != Type::View && files.data.is_none() {
                let missing = directory.join(format!("{stem}.bson"));
                let what = format!("it is missing, although there is metadata of {:?}", entry.name);
                return Err(corrupt(&missing, &what));
            }
            let data = files.data.filter(|_| entry.kind != Type::View);
            parts.push(Part { entry, data, expected: None, consistency: Consistency::None });
        }
    }
    if parts.is_empty() {
        return Err(Error::Settings(format!(
            "{} holds nothing that can be restored. Nothing was written.",
            directory.display()
        )));
    }
    parts.sort_by(|a, b| a.entry.name.cmp(&b.entry.name));
    let name = directory.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    Ok(Source {
        database: name,
        name: directory.display().to_string(),
        scope: Scope::Collections(parts.iter().map(|part| part.entry.name.clone()).collect()),
        catalogued: true,
        parts,
        files: Vec::new(),
        notes,
    })
}

/// The files of the dump, by collection.
fn find(directory: &Path, notes: &mut Vec<String>) -> Result<BTreeMap<String, Files>> {
    let mut found: BTreeMap<String, Files> = BTreeMap::new();
    let mut users = false;
    let mut oplog = directory.parent().is_some_and(has_oplog);
    for name in entries(directory)? {
        let path = directory.join(&name);
        let (stem, gzip) = name.strip_suffix(".gz").map_or((name.as_str(), false), |stem| (stem, true));
        if stem.starts_with(USERS) {
            users = true;
        } else if stem == "oplog.bson" {
            oplog = true;
        } else if let Some(stem) = stem.strip_suffix(".metadata.json") {
            if found.entry(stem.to_owned()).or_default().metadata.replace(path.clone()).is_some() {
                return Err(twice(&path));
            }
        } else if let Some(stem) = stem.strip_suffix(".bson") {
            // A time-series collection's documents are named for its buckets, its metadata for itself.
            let (stem, buckets) = stem.strip_prefix(BUCKETS).map_or((stem, false), |stem| (stem, true));
            let files = found.entry(stem.to_owned()).or_default();
            files.buckets |= buckets;
            let data = if gzip { Data::Gzip(path.clone()) } else { Data::Plain(path.clone()) };
            if files.data.replace(data).is_some() {
                return Err(twice(&path));
            }
        }
    }
    if users {
        notes.push(
            "users and roles ($admin.*) are not restored; `mongorestore --restoreDbUsersAndRoles` does that".to_owned(),
        );
    }
    if oplog {
        notes.push(
            "oplog.bson is not replayed: the collections are as mongodump read them, one after the other".to_owned(),
        );
    }
    Ok(found)
}

fn has_oplog(directory: &Path) -> bool {
    ["oplog.bson", "oplog.bson.gz"].iter().any(|name| directory.join(name).exists())
}

fn twice(path: &Path) -> Error {
    Error::Settings(format!(
        "{} is there twice, plain and with .gz (or as a collection and as buckets). Remove the one that does not belong to the \
         dump. Nothing was written.",
        path.display()
    ))
}

/// The entry of a collection; `None` for what is not restored, which is said.
fn entry_of(
    directory: &Path,
    stem: &str,
    files: &Files,
    old_indexes: &[Document],
    notes: &mut Vec<String>,
) -> Result<Option<Entry>> {
    let mut entry = read_entry(directory, stem, files, old_indexes, notes)?;
    if entry.temporary() {
        notes.push(format!("{:?} is a temporary collection of a running $out and is not restored", entry.name));
        return Ok(None);
    }
    if entry.name.starts_with("system.") && entry.name != STORED_FUNCTIONS {
        notes.push(format!("{:?} is the server's own and is not restored", entry.name));
        return Ok(None);
    }
    if files.buckets && entry.kind != Type::Timeseries {
        let data = directory.join(format!("{BUCKETS}{stem}.bson"));
        return Err(corrupt(
            &data,
            "it holds the buckets of a time-series collection, but there is no metadata that says how they are bucketed; add the \
             .metadata.json of the dump, or name the other collections with --collections",
        ));
    }
    entry.indexes.dedup();
    Ok(Some(entry))
}

fn read_entry(
    directory: &Path,
    stem: &str,
    files: &Files,
    old_indexes: &[Document],
    notes: &mut Vec<String>,
) -> Result<Entry> {
    let name = collection_of(stem);
    let stored = match &files.metadata {
        Some(path) => Some((path, read_metadata(path)?)),
        None => None,
    };
    // mongodump leaves an empty file where it was stopped; mongorestore takes it for none.
    if let Some((path, bytes)) = &stored
        && bytes.iter().any(|byte| !byte.is_ascii_whitespace())
    {
        return metadata::read(bytes, path, name, notes);
    }
    let name = name.ok_or_else(|| {
        let what = "its name is no collection's, and there is no metadata that says it";
        corrupt(&directory.join(format!("{stem}.bson")), what)
    })?;
    let mut entry = Entry::bare(name, Type::Collection, RawDocumentBuf::new());
    let of_this = |index: &&Document| {
        index.get_str("ns").is_ok_and(|ns| ns.split_once('.').is_some_and(|(_, collection)| collection == entry.name))
    };
    let listed: Vec<Document> = old_indexes.iter().filter(of_this).cloned().collect();
    for index in &listed {
        metadata::add_index(&mut entry, index, notes)
            .map_err(|_| corrupt(&directory.join("system.indexes.bson"), "it holds an index that is no document"))?;
    }
    if listed.is_empty() {
        notes.push(format!(
            "there is no metadata of {:?}: it comes back without indexes, validator and options, and nothing expires",
            entry.name
        ));
    }
    Ok(entry)
}

fn read_metadata(path: &Path) -> Result<Vec<u8>> {
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

fn read_old_indexes(data: &Data) -> Result<Vec<Document>> {
    let mut documents = Documents::open(data)?;
    let mut found = Vec::new();
    let mut buffer = Vec::new();
    while documents.next_into(&mut buffer)? {
        let index = Document::from_reader(buffer.as_slice());
        found.push(index.map_err(|_| corrupt(data.path(), "it holds an index that cannot be read"))?);
        buffer.clear();
    }
    Ok(found)
}

fn locate(directory: &Path, database: &str) -> Result<PathBuf> {
    let none = |why: &str| Error::Settings(format!("{} is no directory of mongodump: {why}.", directory.display()));
    if directory.is_file() {
        return Err(none(what_file(directory)));
    }
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

/// What a file is that was named in place of a directory.
fn what_file(path: &Path) -> &'static str {
    let mut head = [0; 4];
    let read = open_regular(path).and_then(|mut file| file.read_exact(&mut head));
    match (read, head) {
        (Ok(()), ARCHIVE) => "it is an archive (mongodump --archive); restore it with mongorestore, or dump with --out",
        (Ok(()), [0x1f, 0x8b, ..]) => {
            "it is a gzip file, perhaps an archive (mongodump --archive --gzip) or one collection's file; name the directory that \
             mongodump --out wrote"
        }
        _ => "it is a file; name the directory that it is in",
    }
}

fn is_dumped(name: &str) -> bool {
    let stem = name.strip_suffix(".gz").unwrap_or(name);
    // At the top of a dump of several databases.
    name != "oplog.bson" && name != "oplog.bson.gz" && (stem.ends_with(".bson") || stem.ends_with(".metadata.json"))
}
