//! A file of mongodump: an archive, or the documents of one collection.

use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;

use flate2::read::MultiGzDecoder;

use super::super::format::files::open_regular;
use super::super::format::manifest::corrupt;
use super::super::format::reader::Data;
use super::super::names::{BUCKETS, collection_of};
use super::archive;
use super::archive_input::MAGIC;
use super::collection::{DumpedCollection, OLD_INDEXES, read_metadata};
use super::directory::twice;
use super::listing::{DumpListing, Opening, no_checksums};
use crate::error::{Error, Result};

/// What gzip files begin with. Source: RFC 1952, 2.3.1.
const GZIP: [u8; 2] = [0x1F, 0x8B];

/// The dump in a file.
///
/// # Errors
/// [`Error::Settings`] for a file that is neither an archive nor a collection's, [`Error::BackupCorrupt`].
pub fn open(opening: &Opening<'_>) -> Result<DumpListing> {
    let path = opening.path;
    let canonical = path.canonicalize().map_err(|e| corrupt(path, &format!("it cannot be found ({e})")))?;
    let unreadable = |e: std::io::Error| corrupt(path, &format!("it cannot be read ({e})"));
    let file = open_regular(&canonical).map_err(unreadable)?;
    let gzip = begins_with(&file, &GZIP).map_err(unreadable)?;
    let head = open_regular(&canonical).map_err(unreadable)?;
    let archive =
        if gzip { begins_with(MultiGzDecoder::new(BufReader::new(head)), &MAGIC) } else { begins_with(head, &MAGIC) };
    let archive = archive.map_err(unreadable)?;
    if archive {
        // The first reader has moved on.
        let file: File = open_regular(&canonical).map_err(unreadable)?;
        return archive::open(opening, file, gzip);
    }
    single(opening, &canonical, gzip)
}

fn begins_with(file: impl Read, magic: &[u8]) -> std::io::Result<bool> {
    let mut head = Vec::new();
    file.take(magic.len() as u64).read_to_end(&mut head)?;
    Ok(head == magic)
}

fn single(opening: &Opening<'_>, canonical: &Path, gzip: bool) -> Result<DumpListing> {
    let path = opening.path;
    let none = |why: &str| Error::Settings(format!("{} is no dump of mongodump: {why}.", path.display()));
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let stem = name.strip_suffix(".gz").unwrap_or(&name);
    if stem.ends_with(".metadata.json") {
        return Err(none("it is a collection's metadata; name the .bson file beside it"));
    }
    let stem = stem.strip_suffix(".bson").ok_or_else(|| {
        none("it is neither an archive (mongodump --archive) nor a collection's file, whose name ends in .bson or .bson.gz")
    })?;
    if stem == "oplog" || stem == OLD_INDEXES || stem.starts_with("$admin.") || stem.starts_with("%24admin.") {
        return Err(none("it holds no collection of a database; name the directory that it is in"));
    }
    let (stem, buckets) = stem.strip_prefix(BUCKETS).map_or((stem, false), |stem| (stem, true));
    let beside = path.parent().unwrap_or(Path::new("")).join(stem);
    let mut metadata = None;
    for extension in [".metadata.json", ".metadata.json.gz"] {
        let mut file = beside.clone().into_os_string();
        file.push(extension);
        let file = Path::new(&file);
        if file.symlink_metadata().is_ok() && metadata.replace((file.to_owned(), read_metadata(file)?)).is_some() {
            return Err(twice(file));
        }
    }
    let collection = DumpedCollection {
        name: collection_of(stem),
        data: Some(if gzip { Data::Gzip(canonical.to_owned()) } else { Data::Plain(canonical.to_owned()) }),
        expected_at: path.to_owned(),
        metadata,
        buckets,
    };
    Ok(DumpListing {
        name: path.to_owned(),
        // The file does not say of which database it is.
        database: opening.database.to_owned(),
        collections: vec![collection],
        users: false,
        oplog: false,
        notes: no_checksums(),
    })
}
