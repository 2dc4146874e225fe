//! How much an undo reads at once of what one transaction takes back.

use std::slice::Chunks;

use bson::RawDocumentBuf;

use super::attempts::again;
use crate::error::codes;
use crate::error::server::ServerError;

/// Documents read at once, before their size is known: they are in memory as they are and as they will be.
const AT_ONCE: usize = 2_000;
/// Documents read at once where they are small: each portion costs two round trips.
const MOST: usize = 50_000;
/// Bytes of documents read at once, where those are more than [`AT_ONCE`].
const PORTION: usize = 8 * 1024 * 1024;
/// Documents read at once where more do not fit, of 16 MiB at most.
const FEW: usize = 4;

/// How the entries of a window of packs are taken back.
#[derive(Clone)]
pub struct ReadBudget {
    documents: usize,
    /// Bytes of documents read for one transaction.
    bytes: usize,
    /// Bytes of one document, as far as they have been met.
    average: Option<usize>,
}

impl ReadBudget {
    /// For transactions that read so many bytes of documents.
    pub fn new(bytes: usize) -> Self {
        Self { documents: AT_ONCE, bytes, average: None }
    }

    /// The entries in portions. Without transactions there is one: whether a window fits must be known before any of it is
    /// written.
    pub fn cut<'e, E>(&self, entries: &'e [E], atomic: bool) -> Chunks<'e, E> {
        let small = self.average.map_or(AT_ONCE, |average| (PORTION / average.max(1)).clamp(AT_ONCE, MOST));
        let documents = if self.documents == FEW { FEW } else { small };
        entries.chunks(if atomic || self.documents == FEW { documents } else { entries.len().max(1) })
    }

    /// How many bytes a portion of so many entries may read, where the window has read `used` already.
    pub fn limit(&self, entries: usize, used: usize) -> usize {
        if entries <= FEW { usize::MAX } else { self.bytes.saturating_sub(used) }
    }

    /// Takes note of documents that were read: how many, and their bytes.
    pub fn met(&mut self, documents: usize, bytes: usize) {
        self.average = bytes.checked_div(documents).or(self.average);
    }

    /// Converts an error for a range of that many packs. A single pack cannot be split, so the next attempt reads
    /// fewer documents at once.
    pub fn after(&mut self, error: ServerError, packs: usize) -> ServerError {
        if error.is(codes::TRANSACTION_TOO_LARGE) && packs == 1 && self.documents > FEW {
            self.documents = FEW;
            return again(&error);
        }
        error
    }
}

/// Their size in bytes.
pub fn size<'d>(documents: impl IntoIterator<Item = &'d RawDocumentBuf>) -> usize {
    documents.into_iter().map(|document| document.as_bytes().len()).sum()
}
