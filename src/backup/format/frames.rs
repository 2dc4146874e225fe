//! Data files: zstd frames of concatenated BSON, each with its checksum, hashed as they are written.

use std::fs::File;
use std::io::{self, Seek, Write};
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use sha2::{Digest, Sha256};
use zstd::bulk::Compressor;
use zstd::zstd_safe::{CParameter, compress_bound};

use super::files;
use super::manifest::StoredFile;
use crate::error::{Error, Result};
use crate::hex::hex;
use crate::mongo::raw::documents;

/// How much BSON a frame holds, but for a document that is larger by itself.
const FRAME: usize = 4 * 1024 * 1024;
/// Compression: measured on documents, 1 takes a seventh less time than 2 and makes them 1.5 % larger; what is faster still
/// makes them a sixth larger.
const LEVEL: i32 = 1;

/// A data file that several tasks append frames to.
#[derive(Debug)]
pub struct FrameFile {
    path: PathBuf,
    writing: Mutex<OpenFrame>,
}

#[derive(Debug)]
struct OpenFrame {
    file: File,
    hash: Sha256,
    stored: i64,
    written: Written,
}

/// Documents written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Written {
    /// How many.
    pub documents: i64,
    /// Their size as BSON.
    pub bytes: i64,
}

impl std::ops::AddAssign for Written {
    fn add_assign(&mut self, other: Self) {
        self.documents += other.documents;
        self.bytes += other.bytes;
    }
}

/// What makes frames, kept by whoever makes many: a compressor and its buffers.
#[derive(Default)]
pub struct FrameMaker {
    compressor: Option<Compressor<'static>>,
    /// The documents of the frame that comes next.
    plain: Vec<u8>,
    frame: Vec<u8>,
}

impl FrameMaker {
    /// The frame of the documents that were collected.
    fn pack(&mut self) -> io::Result<&[u8]> {
        let compressor = match &mut self.compressor {
            Some(compressor) => compressor,
            None => {
                let mut compressor = Compressor::new(LEVEL)?;
                compressor.set_parameter(CParameter::ChecksumFlag(true))?;
                self.compressor.insert(compressor)
            }
        };
        self.frame.clear();
        // Documents may have 16 MB. Few do, and memory for them is not kept.
        self.frame.shrink_to(compress_bound(FRAME));
        self.frame.reserve(compress_bound(self.plain.len()));
        compressor.compress_to_buffer(&self.plain, &mut self.frame)?;
        self.plain.clear();
        self.plain.shrink_to(FRAME);
        Ok(&self.frame)
    }
}

impl FrameFile {
    /// A new file.
    ///
    /// # Errors
    /// The file system's.
    pub fn create(path: PathBuf) -> Result<Self> {
        let file = files::create(&path)?;
        let writing = OpenFrame { file, hash: Sha256::new(), stored: 0, written: Written::default() };
        Ok(Self { path, writing: Mutex::new(writing) })
    }

    /// Appends the documents of a server's batch, but for the first `skip`, as frames of their own. Blocks.
    ///
    /// # Errors
    /// The file system's.
    pub fn append(&self, maker: &mut FrameMaker, batch: &[u8], skip: usize) -> Result<Written> {
        let mut all = Written::default();
        let mut in_frame = Written::default();
        maker.plain.clear();
        for document in documents(batch).skip(skip) {
            if !maker.plain.is_empty() && maker.plain.len() + document.len() > FRAME {
                all += self.frame(maker, std::mem::take(&mut in_frame))?;
            }
            maker.plain.extend_from_slice(document);
            in_frame += Written { documents: 1, bytes: size(document.len()) };
        }
        if !maker.plain.is_empty() {
            all += self.frame(maker, in_frame)?;
        }
        Ok(all)
    }

    /// Writes what the maker holds, and leaves it empty.
    fn frame(&self, maker: &mut FrameMaker, holds: Written) -> Result<Written> {
        let frame = maker.pack().map_err(files::failed("compress for", &self.path))?;
        let mut writing = self.writing.lock().map_err(|_| broken(&self.path))?;
        writing.file.write_all(frame).map_err(files::failed("write", &self.path))?;
        writing.hash.update(frame);
        writing.stored += size(frame.len());
        writing.written += holds;
        Ok(holds)
    }

    /// Throws away what was written, and returns what that was. Blocks.
    ///
    /// # Errors
    /// The file system's.
    pub fn clear(&self) -> Result<Written> {
        let mut writing = self.writing.lock().map_err(|_| broken(&self.path))?;
        let cleared = writing.file.set_len(0).and_then(|()| writing.file.rewind());
        cleared.map_err(files::failed("write", &self.path))?;
        writing.hash.reset();
        writing.stored = 0;
        Ok(std::mem::take(&mut writing.written))
    }

    /// Makes sure that it is on the disk. Blocks.
    ///
    /// # Errors
    /// The file system's.
    pub fn finish(&self) -> Result<(StoredFile, Written)> {
        let empty = self.writing.lock().map_err(|_| broken(&self.path))?.stored == 0;
        if empty {
            // `zstd -d` takes a file without any frame for damaged.
            self.frame(&mut FrameMaker::default(), Written::default())?;
        }
        let mut writing = self.writing.lock().map_err(|_| broken(&self.path))?;
        writing.file.sync_all().map_err(files::failed("sync", &self.path))?;
        let stored = StoredFile {
            name: file_name(&self.path),
            bytes: writing.stored,
            sha256: hex(&writing.hash.finalize_reset()),
        };
        Ok((stored, writing.written))
    }
}

/// Writes a whole small file and describes it.
///
/// # Errors
/// The file system's.
pub fn store(path: &Path, bytes: &[u8]) -> Result<StoredFile> {
    files::write_synced(path, bytes)?;
    Ok(StoredFile { name: file_name(path), bytes: size(bytes.len()), sha256: hex(&Sha256::digest(bytes)) })
}

fn broken(path: &Path) -> Error {
    Error::broke_off(format_args!("Writing {}", path.display()))
}

fn file_name(path: &Path) -> String {
    path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

/// A size as manifests have it.
pub fn size(bytes: usize) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}
