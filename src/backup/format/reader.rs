//! Reading documents back: from our compressed files, from mongodump's plain and gzipped ones and its archives, from
//! memory.
//!
//! Every byte that is stored is hashed on its way, so whoever read to the end knows whether it was all as written.

use std::fs::File;
use std::io::{BufReader, Cursor, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bson::RawDocumentBuf;
use flate2::read::MultiGzDecoder;
use sha2::{Digest, Sha256};

use super::files::open_regular;
use super::frames::{Written, size};
use super::manifest::{StoredFile, corrupt};
use super::pieces::{Pieces, PiecesReader};
use crate::error::{Error, Result};
use crate::hex::hex;
use crate::mongo::raw::{LARGEST, SMALLEST};
use crate::plural::number;

/// How much is read at once.
const BUFFER: usize = 256 * 1024;

/// Where documents are stored.
#[derive(Debug, Clone)]
pub enum Data {
    /// A file of ours, with what its manifest says.
    Zstd(PathBuf, StoredFile),
    /// A file of `mongodump`.
    Plain(PathBuf),
    /// A file of `mongodump --gzip`.
    Gzip(PathBuf),
    /// Documents one after the other; the path says where they are from.
    Memory(PathBuf, Arc<Vec<u8>>),
    /// One collection's part of the archive of that path.
    Pieces(PathBuf, Pieces),
}

impl Data {
    /// Where it is, for messages.
    pub fn path(&self) -> &Path {
        match self {
            Self::Zstd(path, _)
            | Self::Plain(path)
            | Self::Gzip(path)
            | Self::Memory(path, _)
            | Self::Pieces(path, _) => path,
        }
    }
}

/// Documents of a file, in its order.
pub struct FileDocuments {
    path: PathBuf,
    plain: Plain,
    expected: Option<StoredFile>,
    written: Written,
}

enum Plain {
    Zstd(BufReader<zstd::Decoder<'static, BufReader<Hashing<File>>>>),
    Gzip(BufReader<MultiGzDecoder<BufReader<File>>>),
    File(BufReader<File>),
    Memory(Cursor<Bytes>),
    Pieces(PiecesReader),
}

struct Bytes(Arc<Vec<u8>>);

impl AsRef<[u8]> for Bytes {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl FileDocuments {
    /// Opens it.
    ///
    /// # Errors
    /// [`Error::BackupCorrupt`] where it cannot be read.
    pub fn open(data: &Data) -> Result<Self> {
        let path = data.path().to_owned();
        let open = || open_regular(&path).map_err(|e| corrupt(&path, &format!("it cannot be read ({e})")));
        let (plain, expected) = match data {
            Data::Zstd(_, stored) => {
                let hashing =
                    BufReader::with_capacity(BUFFER, Hashing { inner: open()?, hash: Sha256::new(), read: 0 });
                let decoder = zstd::Decoder::with_buffer(hashing)
                    .map_err(|e| corrupt(&path, &format!("it cannot be read ({e})")))?;
                (Plain::Zstd(BufReader::with_capacity(BUFFER, decoder)), Some(stored.clone()))
            }
            Data::Plain(_) => (Plain::File(BufReader::with_capacity(BUFFER, open()?)), None),
            Data::Gzip(_) => {
                let decoder = MultiGzDecoder::new(BufReader::with_capacity(BUFFER, open()?));
                (Plain::Gzip(BufReader::with_capacity(BUFFER, decoder)), None)
            }
            Data::Memory(_, bytes) => (Plain::Memory(Cursor::new(Bytes(bytes.clone()))), None),
            Data::Pieces(_, pieces) => (Plain::Pieces(pieces.reader()), None),
        };
        Ok(Self { path, plain, expected, written: Written::default() })
    }

    /// Reads all of a few documents into memory.
    ///
    /// # Errors
    /// [`Error::BackupCorrupt`] for anything that is not as it was written.
    pub fn read_all(data: &Data) -> Result<Vec<RawDocumentBuf>> {
        let mut documents = Self::open(data)?;
        let mut all = Vec::new();
        let mut buffer = Vec::new();
        while documents.next_into(&mut buffer)? {
            let document = RawDocumentBuf::from_bytes(std::mem::take(&mut buffer));
            all.push(document.map_err(|_| documents.broken("holds something that is no document", None))?);
        }
        documents.finish()?;
        Ok(all)
    }

    /// Appends the next document to `buffer`; false at the end.
    ///
    /// # Errors
    /// [`Error::BackupCorrupt`] for anything that is no whole document.
    pub fn next_into(&mut self, buffer: &mut Vec<u8>) -> Result<bool> {
        let start = buffer.len();
        let mut head = [0; 4];
        let got = self.fill(&mut head)?;
        if got == 0 {
            return Ok(false);
        }
        let length = usize::try_from(i32::from_le_bytes(head)).unwrap_or(0);
        if got < 4 || !(SMALLEST..=LARGEST).contains(&length) {
            return Err(self.broken("holds something that is no document", None));
        }
        buffer.extend_from_slice(&head);
        buffer.resize(start + length, 0);
        let rest = self.fill(&mut buffer[start + 4..])?;
        if rest + 4 < length {
            return Err(self.broken("ends within a document", None));
        }
        if buffer.last() != Some(&0) {
            return Err(self.broken("holds something that is no document", None));
        }
        self.written += Written { documents: 1, bytes: size(length) };
        Ok(true)
    }

    /// What was read so far.
    pub fn written(&self) -> Written {
        self.written
    }

    /// At the end: compares what was read with what the manifest says.
    ///
    /// # Errors
    /// [`Error::BackupCorrupt`] where they differ.
    pub fn finish(self) -> Result<Written> {
        let path = self.path;
        if let (Plain::Zstd(decoder), Some(expected)) = (self.plain, self.expected) {
            let mut hashing = decoder.into_inner().finish();
            // The decoder stops where the last frame ends; whatever follows belongs to the file as well.
            std::io::copy(&mut hashing, &mut std::io::sink())
                .map_err(|e| corrupt(&path, &format!("it cannot be read ({e})")))?;
            let hashing = hashing.into_inner();
            if hashing.read != expected.bytes {
                return Err(corrupt(
                    &path,
                    &format!("it has {} bytes instead of {}", number(hashing.read), number(expected.bytes)),
                ));
            }
            if hex(&hashing.hash.finalize()) != expected.sha256 {
                return Err(corrupt(&path, "its SHA-256 is not the manifest's: it was changed after it was written"));
            }
        }
        Ok(self.written)
    }

    /// Reads as much as there is, up to the buffer's length.
    fn fill(&mut self, buffer: &mut [u8]) -> Result<usize> {
        let mut filled = 0;
        while filled < buffer.len() {
            let rest = &mut buffer[filled..];
            let read = match &mut self.plain {
                Plain::Zstd(plain) => plain.read(rest),
                Plain::Gzip(plain) => plain.read(rest),
                Plain::File(plain) => plain.read(rest),
                Plain::Memory(plain) => plain.read(rest),
                Plain::Pieces(plain) => plain.read(rest),
            };
            match read {
                Ok(0) => break,
                Ok(read) => filled += read,
                Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
                Err(e) => return Err(self.broken("cannot be decoded", Some(e))),
            }
        }
        Ok(filled)
    }

    fn broken(&self, what: &str, error: Option<std::io::Error>) -> Error {
        let why = error.map(|e| format!(" ({e})")).unwrap_or_default();
        corrupt(&self.path, &format!("it {what}{why}, after document {}", self.written.documents))
    }
}

struct Hashing<R> {
    inner: R,
    hash: Sha256,
    read: i64,
}

impl<R: Read> Read for Hashing<R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.hash.update(&buffer[..read]);
        self.read += size(read);
        Ok(read)
    }
}
