//! Mapping the documents of a chunk part by part, the next one while the server writes the one before.

use std::sync::Arc;

use bson::RawDocumentBuf;
use tokio::task::{JoinHandle, spawn_blocking};

use crate::capture::pack::Packer;
use crate::error::codes;
use crate::error::server::ServerError;

/// Documents of the first part: nothing is written meanwhile. The next ones have twice as many each, as mapping takes about
/// half as long as writing.
const FIRST: usize = 125;
/// Documents of one part at most.
const LARGEST: usize = 2_000;

type Map<P> = Arc<dyn Fn(&[RawDocumentBuf], &mut Option<Packer>) -> P + Send + Sync>;

/// The parts of a chunk, each mapped ahead of its turn.
pub struct Ahead<P> {
    documents: Arc<Vec<RawDocumentBuf>>,
    map: Map<P>,
    at_once: usize,
    next: Option<JoinHandle<(P, Option<Packer>, usize)>>,
    packer: Option<Packer>,
}

impl<P: Send + 'static> Ahead<P> {
    /// Begins with the first part; what `map` captures goes into `packer`.
    pub fn begin(documents: Vec<RawDocumentBuf>, packer: Option<Packer>, map: Map<P>) -> Self {
        let mut ahead = Self { documents: Arc::new(documents), map, at_once: FIRST, next: None, packer: None };
        ahead.go_on(0, packer);
        ahead
    }

    fn go_on(&mut self, from: usize, mut packer: Option<Packer>) {
        if from >= self.documents.len() {
            self.packer = packer;
            return;
        }
        let (documents, map) = (Arc::clone(&self.documents), Arc::clone(&self.map));
        let to = documents.len().min(from + self.at_once);
        self.at_once = LARGEST.min(self.at_once * 2);
        self.next = Some(spawn_blocking(move || {
            let part = map(&documents[from..to], &mut packer);
            (part, packer, to)
        }));
    }

    /// The next part, with the one after it begun.
    ///
    /// # Errors
    /// Where the mapping ended unexpectedly.
    pub async fn next(&mut self) -> Result<Option<P>, ServerError> {
        let Some(next) = self.next.take() else { return Ok(None) };
        let (part, packer, to) = next.await.map_err(|e| ServerError::found(codes::INVALID_BSON, e.to_string()))?;
        self.go_on(to, packer);
        Ok(Some(part))
    }

    /// What was captured, once there is no next part.
    pub fn captured(self) -> Option<Packer> {
        self.packer
    }
}
