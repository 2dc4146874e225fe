//! How fast the workers of one operation go: how large their chunks are, and when all of them wait.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::chunk_size::{Costs, Size, Why};
use super::id_ranges::{Matching, Scope};
use super::progress::OperationIndex;
use crate::mongo::retry::{Backoff, Policy};
use crate::observe::{Reporter, Total};

/// What the workers of one operation share.
pub struct Pace {
    size: Mutex<Size>,
    /// Held by the worker that waits for the application; the others wait for it.
    contention: tokio::sync::Mutex<Backoff>,
    documents: AtomicI64,
    total: Total,
    /// Cancelled when the first chunk is done.
    begun: CancellationToken,
}

impl Pace {
    /// For an operation of which so many documents are `done`.
    pub fn new(open: &Matching, scope: &Scope, done: i64) -> Self {
        Self {
            size: Mutex::new(Size::new(open.average_bytes, scope.weight)),
            contention: tokio::sync::Mutex::new(Backoff::new(Policy::CONTENTION)),
            documents: AtomicI64::new(done),
            total: scope.total.map_or_else(|| open.total(done), Total::Exactly),
            begun: CancellationToken::new(),
        }
    }

    fn size(&self) -> MutexGuard<'_, Size> {
        self.size.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many documents the next chunk has.
    pub fn documents(&self) -> usize {
        self.size().documents()
    }

    /// Waits until no worker waits for the application.
    pub async fn ready(&self) {
        drop(self.contention.lock().await);
    }

    /// Waits until the first chunk is done, or cannot be: the collections that chunks are captured in are made by then.
    pub async fn begun(&self) {
        self.begun.cancelled().await;
    }

    /// Lets the other workers begin.
    pub fn begin(&self) {
        self.begun.cancel();
    }

    /// Takes note of a chunk that is done: how long it took, in how many round trips besides the commit, and how many
    /// documents it had.
    pub fn took(&self, elapsed: Duration, round_trips: u64, costs: Costs, documents: i64) {
        self.size().took(elapsed, round_trips, costs);
        self.documents.fetch_add(documents, Ordering::Relaxed);
        // Where a worker waits, what it waits for is not over.
        if let Ok(mut contention) = self.contention.try_lock() {
            contention.progressed();
        }
        self.begin();
    }

    /// Reports how far the operation is.
    pub fn report(&self, reporter: &Reporter, place: OperationIndex) {
        let remark = self.size().remark();
        let documents = self.documents.load(Ordering::Relaxed);
        reporter.chunk(place.index + 1, place.operations, documents, self.total, remark);
    }

    /// Makes the next chunks smaller; false where they cannot be.
    pub fn shrink(&self, why: Why) -> bool {
        self.size().shrink(why)
    }

    /// Leaves the application the field for a moment, longer each time: it writes the same documents and needs a moment to
    /// finish. All workers wait. False where that has lasted too long.
    pub async fn give_way(&self) -> bool {
        self.contention.lock().await.wait().await
    }
}
