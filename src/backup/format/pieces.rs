//! Documents that lie in pieces in one file, as those of a collection in an archive of mongodump do.

use std::fs::File;
use std::io::{self, Cursor, Read};
use std::os::unix::fs::FileExt;
use std::sync::Arc;

/// How much a piece holds at least before the next is begun, but for the last one.
pub const ENOUGH: usize = 4 * 1024 * 1024;

/// Where a piece is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Piece {
    /// Its first byte.
    pub at: u64,
    /// How many bytes it has there.
    pub stored: usize,
    /// How many bytes its documents have.
    pub plain: usize,
}

/// Documents in pieces. Several may read them at once.
#[derive(Debug, Clone)]
pub struct Pieces {
    file: Arc<File>,
    pieces: Arc<[Piece]>,
    compressed: bool,
}

impl Pieces {
    /// Those of `file`, in their order; each a zstd frame where they are compressed.
    pub fn new(file: Arc<File>, pieces: Vec<Piece>, compressed: bool) -> Self {
        Self { file, pieces: pieces.into(), compressed }
    }

    /// Reads them from their beginning.
    pub fn reader(&self) -> PiecesReader {
        PiecesReader { pieces: self.clone(), next: 0, held: Cursor::default() }
    }

    fn read(&self, piece: Piece) -> io::Result<Vec<u8>> {
        let mut stored = vec![0; piece.stored];
        self.file.read_exact_at(&mut stored, piece.at)?;
        if !self.compressed {
            return Ok(stored);
        }
        zstd::bulk::decompress(&stored, piece.plain)
    }
}

/// Reads pieces one after the other. One of them is in memory.
pub struct PiecesReader {
    pieces: Pieces,
    next: usize,
    held: Cursor<Vec<u8>>,
}

impl Read for PiecesReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let read = self.held.read(buffer)?;
            if read > 0 || buffer.is_empty() {
                return Ok(read);
            }
            let Some(piece) = self.pieces.pieces.get(self.next) else { return Ok(0) };
            self.next += 1;
            self.held = Cursor::new(self.pieces.read(*piece)?);
        }
    }
}
