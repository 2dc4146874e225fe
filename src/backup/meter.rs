//! How far the reading or writing of documents is, told now and then.

use std::sync::Mutex;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

use super::format::frames::Written;
use crate::observe::{Reporter, Transfer};

/// How far it is, told now and then.
pub struct Meter {
    what: &'static str,
    total: Option<i64>,
    total_bytes: Option<i64>,
    documents: AtomicI64,
    bytes: AtomicI64,
    told: Mutex<Option<Instant>>,
}

/// How often progress is told.
const INTERVAL: Duration = Duration::from_millis(100);

impl Meter {
    /// Nothing done yet.
    pub fn new(what: &'static str, total: Option<i64>, total_bytes: Option<i64>) -> Self {
        Self { what, total, total_bytes, documents: 0.into(), bytes: 0.into(), told: Mutex::default() }
    }

    /// Some more is done.
    pub fn add(&self, done: Written, reporter: &Reporter) {
        let documents = self.documents.fetch_add(done.documents, Ordering::Relaxed) + done.documents;
        let bytes = self.bytes.fetch_add(done.bytes, Ordering::Relaxed) + done.bytes;
        let Ok(mut told) = self.told.lock() else { return };
        if told.is_some_and(|at| at.elapsed() < INTERVAL) {
            return;
        }
        *told = Some(Instant::now());
        reporter.transfer(self.what, Transfer { documents, total: self.total, bytes, total_bytes: self.total_bytes });
    }
}
