//! Threads that compress what was read and write it.
//!
//! They are apart from the tasks that read, so that the next reply is on its way meanwhile. Each thread keeps its
//! compressor and its buffers: new ones for every reply cost as much as half of the compression.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use bson::RawDocumentBuf;
use mongodb::raw_batch_cursor::RawBatch;
use tokio::sync::{mpsc, oneshot};

use super::super::format::files::blocking;
use super::super::format::frames::{FrameFile, FrameMaker, Written};
use super::super::parallelism;
use super::attempt::Onlooker;
use super::error::poisoned;
use crate::error::{Error, Result, foreign};
use crate::mongo::raw as bytes;

/// The largest piece that glibc learns from has 32 MiB with what it adds.
const KEPT: usize = 31 * 1024 * 1024;

/// A reply to be written.
struct PackJob {
    collection: Arc<str>,
    file: Arc<FrameFile>,
    batch: RawBatch,
    /// The `_id` of a first document that is left out, because it was written before.
    skip: Option<RawDocumentBuf>,
    done: oneshot::Sender<Result<Written>>,
}

/// The threads. They end when the last copy is dropped.
#[derive(Clone)]
pub(super) struct Packing {
    jobs: mpsc::Sender<PackJob>,
    onlooker: Option<Arc<dyn Onlooker>>,
}

impl Packing {
    /// Starts them. `onlooker` sees what they write.
    ///
    /// # Errors
    /// The system's.
    pub(super) fn start(onlooker: Option<Arc<dyn Onlooker>>) -> Result<Self> {
        keep_memory();
        // One reply waits, so that a thread that is done finds the next.
        let (jobs, waiting) = mpsc::channel(1);
        let waiting = Arc::new(Mutex::new(waiting));
        for _ in 0..parallelism() {
            let (waiting, onlooker) = (waiting.clone(), onlooker.clone());
            let thread = std::thread::Builder::new().name("backup-packing".to_owned());
            let started = thread.spawn(move || work_off(&waiting, onlooker.as_deref()));
            started.map_err(|e| Error::Backup(format!("No thread can be started that compresses: {e}.")))?;
        }
        Ok(Self { jobs, onlooker })
    }

    /// Whether somebody sees each document, and must see it once.
    pub(super) fn is_seen(&self) -> bool {
        self.onlooker.is_some()
    }

    /// What one reader gives of `collection` to be written to `file`; in the order in which it gives it, where that is asked for.
    pub(super) fn feed(&self, collection: &str, file: Arc<FrameFile>, in_order: bool) -> Feed {
        let most = if in_order { 1 } else { parallelism() + 1 };
        Feed {
            packing: self.clone(),
            collection: collection.into(),
            file,
            most,
            under_way: VecDeque::with_capacity(most),
        }
    }
}

/// Makes the C library keep the memory of replies, of which each is as large as the last: glibc gives it back to the system
/// unless it once freed a piece as large as this. Without that, every reply costs page faults.
fn keep_memory() {
    drop(std::hint::black_box(Vec::<u8>::with_capacity(KEPT)));
}

fn work_off(waiting: &Mutex<mpsc::Receiver<PackJob>>, onlooker: Option<&dyn Onlooker>) {
    let mut maker = FrameMaker::default();
    loop {
        // Who waits for a reply keeps the others from waiting for the same.
        let next = match waiting.lock() {
            Ok(mut waiting) => waiting.blocking_recv(),
            Err(_) => None,
        };
        let Some(job) = next else { return };
        let done = append(&job, &mut maker, onlooker);
        // Nobody waits for it where the dump has failed meanwhile.
        let _ = job.done.send(done);
    }
}

fn append(job: &PackJob, maker: &mut FrameMaker, onlooker: Option<&dyn Onlooker>) -> Result<Written> {
    let array = job.batch.doc_slices();
    let array = array
        .map_err(|e| Error::Backup(format!("The server's reply cannot be read: {}.", foreign::driver(&e.kind))))?
        .as_bytes();
    let first = || bytes::documents(array).next().and_then(bytes::id_of);
    let repeated = usize::from(job.skip.is_some() && first() == job.skip);
    let written = job.file.append(maker, array, repeated)?;
    if let Some(onlooker) = onlooker {
        onlooker.see(&job.collection, &mut bytes::documents(array).skip(repeated));
    }
    Ok(written)
}

/// The replies of one reader on their way into a file.
pub(super) struct Feed {
    packing: Packing,
    collection: Arc<str>,
    file: Arc<FrameFile>,
    /// How many may be under way.
    most: usize,
    under_way: VecDeque<oneshot::Receiver<Result<Written>>>,
}

impl Feed {
    /// Gives a reply to be written, once there is room for it. What was written meanwhile is returned.
    ///
    /// # Errors
    /// What befell an earlier one.
    pub(super) async fn give(&mut self, batch: RawBatch, skip: Option<RawDocumentBuf>) -> Result<Written> {
        let mut written = Written::default();
        while self.under_way.len() >= self.most {
            written += self.oldest().await?;
        }
        let (done, result) = oneshot::channel();
        let job = PackJob { collection: self.collection.clone(), file: self.file.clone(), batch, skip, done };
        self.packing.jobs.send(job).await.map_err(|_| poisoned())?;
        self.under_way.push_back(result);
        Ok(written)
    }

    /// Waits until all of them are written.
    ///
    /// # Errors
    /// What befell one of them.
    pub(super) async fn drain(&mut self) -> Result<Written> {
        let mut written = Written::default();
        while !self.under_way.is_empty() {
            written += self.oldest().await?;
        }
        Ok(written)
    }

    /// Throws away all that was written to the file, and returns by how much it has more now: by less than nothing.
    ///
    /// # Errors
    /// What befell a reply that was still under way, and the file system's.
    pub(super) async fn begin_anew(&mut self) -> Result<Written> {
        let added = self.drain().await?;
        let file = self.file.clone();
        let cleared = blocking(move || file.clear()).await?;
        Ok(Written { documents: added.documents - cleared.documents, bytes: added.bytes - cleared.bytes })
    }

    async fn oldest(&mut self) -> Result<Written> {
        match self.under_way.pop_front() {
            Some(result) => result.await.map_err(|_| poisoned())?,
            None => Ok(Written::default()),
        }
    }
}
