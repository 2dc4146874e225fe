//! Archives (`mongodump --archive`): all collections in one file, their documents in blocks that alternate.
//!
//! An archive is its magic number, a header, a document for each collection with its metadata, and blocks: a header that
//! names a collection, its documents, and a terminator. The last block of a collection says so, with a checksum of all
//! its documents. One pass reads everything, checks it, and notes where each collection's documents are; those of a
//! gzipped archive, where nothing can be read from its middle, are kept in a file without a name.
//!
//! Source: mongo-tools, `common/archive/spec.md`.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bson::{Bson, Document};
use flate2::read::MultiGzDecoder;

use super::super::format::files::{failed, make_directories};
use super::super::format::frames::{Written, size};
use super::super::format::manifest::corrupt;
use super::super::format::pieces::{ENOUGH, Piece, Pieces};
use super::super::format::reader::Data;
use super::super::meter::Meter;
use super::archive_input::{ArchiveKey, Input, Listed, Next};
use super::collection::{DumpedCollection, USERS};
use super::crc64::Crc64;
use super::listing::{DumpListing, Opening};
use crate::error::{Error, Result};
use crate::plural::counted;

/// How much is read at once.
const BUFFER: usize = 256 * 1024;

/// The dump in an archive: that of the database, or the only one.
///
/// # Errors
/// [`Error::BackupCorrupt`] for one that is damaged or cut off, [`Error::Settings`], [`Error::DiskFull`],
/// [`Error::Interrupted`].
pub fn open(opening: &Opening<'_>, file: File, gzip: bool) -> Result<DumpListing> {
    let path = opening.path;
    let file = Arc::new(file);
    let length = file.metadata().map_or(0, |it| it.len());
    let buffered = BufReader::with_capacity(BUFFER, SharedFile(file.clone()));
    let plain: Box<dyn Read> = if gzip { Box::new(MultiGzDecoder::new(buffered)) } else { Box::new(buffered) };
    let mut input = Input::new(path, plain);
    let listed = input.prelude()?;
    let database = choose(&listed, opening)?;
    let mut store = Store { file, spool: None };
    if gzip {
        make_directories(opening.room)?;
        let spool = tempfile::tempfile_in(opening.room).map_err(failed("make a file in", opening.room))?;
        store.spool = Some(Spool { file: Arc::new(spool), length: 0, room: opening.room });
    }
    let total = i64::try_from(length).ok().filter(|_| !gzip);
    let mut streams =
        blocks(opening, &mut input, &database, &mut store, &Meter::new("Reading the archive", None, total))?;
    for one in &listed {
        let stored_in = one.stored_in();
        // Views have no documents, and mongodump no block of them.
        if one.kind != "view" && ![&stored_in, &one.key()].iter().any(|key| streams.contains_key(*key)) {
            return Err(corrupt(path, &format!("it is cut off: {} is listed in it, and not there", shown(&one.key()))));
        }
    }
    let unlisted = |key: &ArchiveKey| !listed.iter().any(|one| one.key() == *key || one.stored_in() == *key);
    if let Some(key) = streams.keys().find(|key| unlisted(key)) {
        return Err(corrupt(path, &format!("it holds {}, which is not in its list", shown(key))));
    }
    let mut found = DumpListing {
        name: path.to_owned(),
        database: database.clone(),
        collections: Vec::new(),
        users: false,
        oplog: listed.iter().any(|one| one.database.is_empty() && one.collection == "oplog"),
        notes: Vec::new(),
    };
    let held: Vec<&Listed> = listed.iter().filter(|one| one.database == database).collect();
    for one in held {
        if one.collection.starts_with(USERS) {
            found.users = true;
            continue;
        }
        let buckets = streams.contains_key(&one.stored_in()) && one.stored_in() != one.key();
        let stream = streams.remove(&one.stored_in()).or_else(|| streams.remove(&one.key()));
        let data = stream.map(|stream| Data::Pieces(path.to_owned(), store.pieces(stream.pieces)));
        let label = PathBuf::from(format!("{}, metadata of {:?}", path.display(), one.collection));
        found.collections.push(DumpedCollection {
            name: Some(one.collection.clone()),
            data,
            expected_at: path.to_owned(),
            metadata: (!one.metadata.is_empty()).then(|| (label, one.metadata.clone().into_bytes())),
            buckets,
        });
    }
    Ok(found)
}

fn shown((database, collection): &ArchiveKey) -> String {
    format!("{:?}", format!("{database}.{collection}"))
}

/// Which database of the archive is restored.
fn choose(listed: &[Listed], opening: &Opening<'_>) -> Result<String> {
    let mut names: Vec<&str> = listed.iter().map(|one| one.database.as_str()).filter(|name| !name.is_empty()).collect();
    names.sort_unstable();
    names.dedup();
    if names.contains(&opening.database) {
        return Ok(opening.database.to_owned());
    }
    names.retain(|name| !matches!(*name, "admin" | "config" | "local"));
    match names.as_slice() {
        [] => Err(Error::Settings(format!(
            "{} holds nothing that can be restored. Nothing was written.",
            opening.path.display()
        ))),
        [only] => Ok((*only).to_owned()),
        several => Err(Error::Settings(format!(
            "{} holds several databases and none is named {}; name one of {} with --db, and with --into where it is to go. Nothing \
             was written.",
            opening.path.display(),
            opening.database,
            several.join(", ")
        ))),
    }
}

/// What was read of a collection.
#[derive(Default)]
struct Stream {
    crc: Crc64,
    written: Written,
    pieces: Vec<Piece>,
    /// What is not yet in the spool.
    held: Vec<u8>,
    ended: bool,
}

/// Reads all blocks, checks them, and notes where the documents of `database` are.
fn blocks(
    opening: &Opening<'_>,
    input: &mut Input<'_>,
    database: &str,
    store: &mut Store<'_>,
    meter: &Meter,
) -> Result<BTreeMap<ArchiveKey, Stream>> {
    let path = opening.path;
    let mut streams: BTreeMap<ArchiveKey, Stream> = BTreeMap::new();
    let mut buffer = Vec::new();
    loop {
        match input.next(&mut buffer)? {
            Next::End => break,
            Next::Terminator => return Err(corrupt(path, "it has a block without a header")),
            Next::Document => {}
        }
        let header = BlockHeader::read(&buffer).ok_or_else(|| corrupt(path, "it has a block whose header is none"))?;
        let stream = streams.entry(header.key.clone()).or_default();
        if stream.ended {
            return Err(corrupt(path, &format!("documents of {} follow after its end", shown(&header.key))));
        }
        let kept = header.key.0 == database;
        let mut told = stream.written;
        loop {
            let at = input.at();
            match input.next(&mut buffer)? {
                Next::End => return Err(input.cut()),
                Next::Terminator => break,
                Next::Document => {}
            }
            if header.end {
                return Err(corrupt(path, &format!("documents of {} follow after its end", shown(&header.key))));
            }
            stream.crc.update(&buffer);
            stream.written += Written { documents: 1, bytes: size(buffer.len()) };
            if kept {
                store.add(stream, at, &buffer)?;
            }
            if stream.written.bytes - told.bytes >= size(ENOUGH) {
                tell(meter, opening, stream.written, &mut told)?;
            }
        }
        tell(meter, opening, stream.written, &mut told)?;
        if let Some(crc) = header.end.then_some(header.crc) {
            stream.ended = true;
            store.flush(stream)?;
            if crc != stream.crc.sum() {
                let what = format!(
                    "the checksum of {} is not that of its {}",
                    shown(&header.key),
                    counted(stream.written.documents, "document")
                );
                return Err(corrupt(path, &what));
            }
        }
    }
    match streams.iter().find(|(_, stream)| !stream.ended) {
        Some((key, _)) => Err(corrupt(path, &format!("it is cut off: {} has no end", shown(key)))),
        None => Ok(streams),
    }
}

fn tell(meter: &Meter, opening: &Opening<'_>, written: Written, told: &mut Written) -> Result<()> {
    if opening.stop.is_cancelled() {
        return Err(Error::Interrupted("Stopped while the archive was read; nothing was written.".to_owned()));
    }
    let done = Written { documents: written.documents - told.documents, bytes: written.bytes - told.bytes };
    *told = written;
    meter.add(done, opening.reporter);
    Ok(())
}

struct BlockHeader {
    key: ArchiveKey,
    end: bool,
    crc: u64,
}

impl BlockHeader {
    fn read(bytes: &[u8]) -> Option<Self> {
        let header = Document::from_reader(bytes).ok()?;
        let crc = match header.get("CRC") {
            Some(Bson::Int64(crc)) => crc.cast_unsigned(),
            _ => return None,
        };
        let key = (header.get_str("db").ok()?.to_owned(), header.get_str("collection").ok()?.to_owned());
        let end = header.get_bool("EOF").ok()?;
        // Only the last block of a collection has a checksum.
        (!key.1.is_empty() && (end || crc == 0)).then_some(Self { key, end, crc })
    }
}

/// Where documents can be read again.
struct Store<'a> {
    file: Arc<File>,
    spool: Option<Spool<'a>>,
}

struct Spool<'a> {
    file: Arc<File>,
    length: u64,
    room: &'a Path,
}

impl Store<'_> {
    /// Notes a document, which is `at` in the plain archive.
    fn add(&mut self, stream: &mut Stream, at: u64, document: &[u8]) -> Result<()> {
        if self.spool.is_some() {
            stream.held.extend_from_slice(document);
            return if stream.held.len() >= ENOUGH { self.flush(stream) } else { Ok(()) };
        }
        match stream.pieces.last_mut() {
            Some(last) if last.at + last.stored as u64 == at && last.stored < ENOUGH => {
                last.stored += document.len();
                last.plain = last.stored;
            }
            _ => stream.pieces.push(Piece { at, stored: document.len(), plain: document.len() }),
        }
        Ok(())
    }

    /// Writes what is held of a collection.
    fn flush(&mut self, stream: &mut Stream) -> Result<()> {
        let Some(spool) = &mut self.spool else { return Ok(()) };
        if stream.held.is_empty() {
            return Ok(());
        }
        let write = || {
            let frame = zstd::bulk::compress(&stream.held, 1)?;
            (&*spool.file).write_all(&frame).map(|()| frame.len())
        };
        let stored = write().map_err(failed("write what the archive holds to a file in", spool.room))?;
        stream.pieces.push(Piece { at: spool.length, stored, plain: stream.held.len() });
        spool.length += stored as u64;
        stream.held.clear();
        Ok(())
    }

    fn pieces(&self, pieces: Vec<Piece>) -> Pieces {
        let file = self.spool.as_ref().map_or(&self.file, |spool| &spool.file);
        Pieces::new(file.clone(), pieces, self.spool.is_some())
    }
}

/// Reads a file that others read, too.
struct SharedFile(Arc<File>);

impl Read for SharedFile {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        (&*self.0).read(buffer)
    }
}
