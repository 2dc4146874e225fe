//! The bytes of an archive: its list of collections, and the documents of its blocks one after the other.

use std::io::{ErrorKind, Read};
use std::path::Path;

use bson::Document;

use super::super::format::manifest::corrupt;
use super::super::names::BUCKETS;
use crate::error::{Error, Result};
use crate::mongo::raw::{LARGEST, SMALLEST};

/// What an archive begins with.
pub const MAGIC: [u8; 4] = 0x8199_e26d_u32.to_le_bytes();
/// What ends the list of collections and each block, in place of a document's length.
const TERMINATOR: [u8; 4] = [0xFF; 4];
/// The only version of the format there has been.
const VERSION: &str = "0.1";

/// A collection in the archive's list.
pub struct Listed {
    /// Its database.
    pub database: String,
    /// Its name.
    pub collection: String,
    /// Options and indexes as JSON; empty where there are none.
    pub metadata: String,
    /// `collection`, `view`, `timeseries`, or nothing.
    pub kind: String,
}

/// Database and collection.
pub type ArchiveKey = (String, String);

impl Listed {
    /// Database and collection.
    pub fn key(&self) -> ArchiveKey {
        (self.database.clone(), self.collection.clone())
    }

    /// Where its documents are: from MongoDB 8.3 on those of a time-series collection are under its own name.
    pub fn stored_in(&self) -> ArchiveKey {
        let name =
            if self.kind == "timeseries" { format!("{BUCKETS}{}", self.collection) } else { self.collection.clone() };
        (self.database.clone(), name)
    }
}

/// What comes next in an archive.
pub enum Next {
    /// A document, in the buffer.
    Document,
    /// The end of the list or of a block.
    Terminator,
    /// The end of the file.
    End,
}

/// An archive being read.
pub struct Input<'a> {
    path: &'a Path,
    plain: Box<dyn Read>,
    at: u64,
}

impl<'a> Input<'a> {
    /// Reads `plain`, the archive at `path` without gzip, from its beginning.
    pub fn new(path: &'a Path, plain: Box<dyn Read>) -> Self {
        Self { path, plain, at: 0 }
    }

    /// How much of it was read, in bytes.
    pub fn at(&self) -> u64 {
        self.at
    }

    /// Everything before the blocks: what is in the archive.
    ///
    /// # Errors
    /// [`Error::BackupCorrupt`].
    pub fn prelude(&mut self) -> Result<Vec<Listed>> {
        let path = self.path;
        let mut magic = [0; 4];
        if self.fill(&mut magic)? < 4 || magic != MAGIC {
            return Err(corrupt(path, "it is no archive of mongodump"));
        }
        let mut buffer = Vec::new();
        let Next::Document = self.next(&mut buffer)? else { return Err(self.cut()) };
        let header = Document::from_reader(buffer.as_slice()).unwrap_or_default();
        if header.get_str("version").ok() != Some(VERSION) {
            return Err(corrupt(
                path,
                &format!("its header is damaged, or of another version of the format than {VERSION}"),
            ));
        }
        let mut listed = Vec::new();
        loop {
            match self.next(&mut buffer)? {
                Next::Document => {}
                Next::Terminator => return Ok(listed),
                Next::End => return Err(self.cut()),
            }
            let one = Document::from_reader(buffer.as_slice()).unwrap_or_default();
            let text = |name: &str| one.get_str(name).map(str::to_owned).ok();
            let (Some(database), Some(collection)) = (text("db"), text("collection")) else {
                return Err(corrupt(path, "an entry in its list of collections is damaged"));
            };
            let (metadata, kind) = (text("metadata").unwrap_or_default(), text("type").unwrap_or_default());
            listed.push(Listed { database, collection, metadata, kind });
        }
    }

    /// The next document or mark.
    ///
    /// # Errors
    /// [`Error::BackupCorrupt`].
    pub fn next(&mut self, buffer: &mut Vec<u8>) -> Result<Next> {
        buffer.clear();
        let mut head = [0; 4];
        match self.fill(&mut head)? {
            0 => return Ok(Next::End),
            4 => {}
            _ => return Err(self.cut()),
        }
        if head == TERMINATOR {
            return Ok(Next::Terminator);
        }
        let length = usize::try_from(i32::from_le_bytes(head)).unwrap_or(0);
        if !(SMALLEST..=LARGEST).contains(&length) {
            return Err(corrupt(self.path, &format!("there is no document at byte {}", self.at - 4)));
        }
        buffer.extend_from_slice(&head);
        buffer.resize(length, 0);
        if self.fill(&mut buffer[4..])? < length - 4 {
            return Err(self.cut());
        }
        if buffer.last() != Some(&0) {
            return Err(corrupt(self.path, &format!("the document before byte {} is none", self.at)));
        }
        Ok(Next::Document)
    }

    /// Reads as much as there is, up to the buffer's length.
    fn fill(&mut self, buffer: &mut [u8]) -> Result<usize> {
        let mut filled = 0;
        while filled < buffer.len() {
            match self.plain.read(&mut buffer[filled..]) {
                Ok(0) => break,
                Ok(read) => filled += read,
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(e) => return Err(corrupt(self.path, &format!("it cannot be read after byte {} ({e})", self.at))),
            }
        }
        self.at += filled as u64;
        Ok(filled)
    }

    /// The error for an archive that ends here and should not.
    pub fn cut(&self) -> Error {
        corrupt(self.path, &format!("it is cut off after byte {}", self.at))
    }
}
