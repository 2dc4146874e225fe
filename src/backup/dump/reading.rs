//! Reading the documents of a dump: several tasks take ranges of collections in turn, the largest collections first;
//! each reads whole server replies, and compresses and writes one while the next is on its way.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use bson::RawDocumentBuf;
use futures_util::StreamExt;
use mongodb::raw_batch_cursor::RawBatch;
use tokio::task::JoinSet;

use super::super::catalog::{CatalogEntry, CollectionType};
use super::super::format::files::blocking;
use super::super::format::frames::{FrameFile, Written};
use super::super::format::manifest::StoredFile;
use super::super::meter::Meter;
use super::super::names::file_stem;
use super::super::parallelism;
use super::super::ranges::{self, Range};
use super::super::snapshot::ReadMode;
use super::attempt::{Dump, stopped};
use super::error::{DumpError, DumpResult, interrupted, outwait, poisoned};
use crate::error::codes;
use crate::error::server::ServerError;
use crate::error::{Error, Result, foreign};
use crate::mongo::raw as bytes;
use crate::mongo::retry::Retry;
use crate::mongo::server::Server;
use crate::mongo::stats::Stats;
use crate::observe::{Reporter, Stop};
use crate::plural::{counted, number};

impl Dump<'_> {
    /// Writes the data files: one for each entry, none for views.
    pub(super) async fn files(
        &self,
        entries: &[CatalogEntry],
        reading: ReadMode,
    ) -> DumpResult<Vec<Option<(StoredFile, Written)>>> {
        let mut sizes = Vec::with_capacity(entries.len());
        for entry in entries {
            stopped(self.stop)?;
            sizes.push(match entry.kind {
                CollectionType::View => None,
                _ => ranges::size(self.server, entry).await,
            });
        }
        let sum = |of: fn(&Stats) -> i64| {
            let known: Option<Vec<_>> = entries
                .iter()
                .zip(&sizes)
                .filter(|(it, _)| it.kind != CollectionType::View)
                .map(|(_, size)| size.as_ref().map(of))
                .collect();
            known.map(|all| all.into_iter().sum())
        };
        let shared = Arc::new(DumpShared {
            server: self.server.clone(),
            reporter: self.reporter.clone(),
            stop: self.stop.child_token(),
            sinks: entries
                .iter()
                .zip(&sizes)
                .map(|(entry, size)| {
                    Sink::of(self.directory, entry, reading.of(entry), ranges::batch(size.unwrap_or_default()))
                })
                .collect(),
            work: Mutex::default(),
            meter: Meter::new("Backing up", sum(|size| size.documents), sum(|size| size.bytes)),
        });
        let mut order: Vec<usize> = (0..entries.len()).filter(|at| entries[*at].kind != CollectionType::View).collect();
        order.sort_by_key(|at| std::cmp::Reverse(sizes[*at].unwrap_or_default().bytes));
        for at in order {
            let reading = reading.of(&entries[at]);
            let ranges = if ranges::in_own_order(self.server, &entries[at]) {
                vec![Range::ALL]
            } else {
                self.cut(&entries[at], reading, sizes[at].unwrap_or_default()).await?
            };
            shared.sinks[at].open.store(ranges.len(), Ordering::Release);
            shared.sinks[at].cut.store(ranges.len(), Ordering::Release);
            let mut work = shared.work.lock().map_err(|_| poisoned())?;
            work.extend(ranges.into_iter().map(|range| RangeJob { sink: at, range }));
        }
        let mut tasks = JoinSet::new();
        for _ in 0..=parallelism().min(3) {
            tasks.spawn(shared.clone().work_off());
        }
        let mut failure = None;
        while let Some(ended) = tasks.join_next().await {
            let ended = ended.unwrap_or_else(|e| {
                Err(DumpError::Failed(Error::Backup(format!("A part of the backup ended unexpectedly: {e}."))))
            });
            if let Err(e) = ended {
                // The others need not go on; what they say then matters less.
                shared.stop.cancel();
                failure.get_or_insert(e);
            }
        }
        stopped(self.stop)?;
        match failure {
            Some(failure) => Err(failure),
            None => shared.sinks.iter().map(|sink| Ok(sink.stored.lock().map_err(|_| poisoned())?.take())).collect(),
        }
    }

    async fn cut(&self, entry: &CatalogEntry, reading: ReadMode, size: Stats) -> DumpResult<Vec<Range>> {
        let mut retry = Retry::new(self.reporter, self.stop);
        loop {
            match ranges::cut(self.server, entry, reading, size).await {
                Ok(ranges) => return Ok(ranges),
                Err(e) => outwait(self.server, e, entry, &mut retry).await?,
            }
        }
    }
}

/// What the reading tasks share.
struct DumpShared {
    server: Server,
    reporter: Reporter,
    stop: Stop,
    sinks: Vec<Sink>,
    work: Mutex<VecDeque<RangeJob>>,
    meter: Meter,
}

/// A range to read.
struct RangeJob {
    sink: usize,
    range: Range,
}

/// A collection and its file, made when its first range is read.
struct Sink {
    entry: CatalogEntry,
    reading: ReadMode,
    /// How many documents a reply should have.
    batch: u32,
    path: PathBuf,
    file: Mutex<Option<Arc<FrameFile>>>,
    /// Ranges still to be read.
    open: AtomicUsize,
    /// Ranges it was cut into.
    cut: AtomicUsize,
    stored: Mutex<Option<(StoredFile, Written)>>,
}

impl Sink {
    fn of(directory: &Path, entry: &CatalogEntry, reading: ReadMode, batch: u32) -> Self {
        let path = directory.join(format!("{}.bson.zst", file_stem(&entry.stored_in())));
        Self {
            entry: entry.clone(),
            reading,
            batch,
            path,
            file: Mutex::default(),
            open: AtomicUsize::new(0),
            cut: AtomicUsize::new(0),
            stored: Mutex::default(),
        }
    }

    fn file(&self) -> Result<Arc<FrameFile>> {
        let mut file = self.file.lock().map_err(|_| poisoned())?;
        if let Some(file) = &*file {
            return Ok(file.clone());
        }
        let made = Arc::new(FrameFile::create(self.path.clone())?);
        *file = Some(made.clone());
        Ok(made)
    }
}

impl DumpShared {
    /// Takes range after range until none is left.
    async fn work_off(self: Arc<Self>) -> DumpResult<()> {
        loop {
            let Some(work) = self.work.lock().map_err(|_| poisoned())?.pop_front() else {
                return Ok(());
            };
            let sink = &self.sinks[work.sink];
            self.range(sink, work.range).await?;
            if sink.open.fetch_sub(1, Ordering::AcqRel) == 1 {
                self.finish(sink).await?;
            }
        }
    }

    /// Reads one range, carrying on behind the last document after a lost connection.
    async fn range(&self, sink: &Sink, mut range: Range) -> DumpResult<()> {
        let collection = sink.entry.stored_in();
        let mut retry = Retry::new(&self.reporter, &self.stop);
        // The last `_id` written, which is the first that a resumed range reads.
        let mut last: Option<RawDocumentBuf> = None;
        loop {
            let command = if ranges::in_own_order(&self.server, &sink.entry) {
                ranges::natural(&collection, sink.reading, sink.batch)
            } else {
                range.command(&collection, sink.reading, sink.batch)
            };
            match self.cursor(sink, command, &mut last).await? {
                Ok(()) => break,
                Err(e) => outwait(&self.server, e, &sink.entry, &mut retry).await?,
            }
            if last.is_some() {
                // In its own order there is nothing to carry on behind.
                if ranges::in_own_order(&self.server, &sink.entry) {
                    return Err(DumpError::Again(format!(
                        "the connection was lost while {:?} was read",
                        sink.entry.name
                    )));
                }
                range.from.clone_from(&last);
            }
        }
        while range.misses_the_greatest() {
            match self.cursor(sink, ranges::greatest(&collection, sink.reading), &mut last).await? {
                Ok(()) => break,
                Err(e) => outwait(&self.server, e, &sink.entry, &mut retry).await?,
            }
        }
        Ok(())
    }

    /// Reads a cursor to its end; `last` is the last `_id` written. The server's errors are the inner ones.
    async fn cursor(
        &self,
        sink: &Sink,
        command: RawDocumentBuf,
        last: &mut Option<RawDocumentBuf>,
    ) -> DumpResult<std::result::Result<(), ServerError>> {
        let file = sink.file()?;
        let mut cursor = match self.server.batches_of(command, Some(sink.batch)).await {
            Ok(cursor) => cursor,
            // Carrying on behind the very last document.
            Err(e) if e.is(codes::EMPTY_RANGE) => return Ok(Ok(())),
            Err(e) => return Ok(Err(e)),
        };
        let mut skip = last.clone();
        let mut writing: Option<tokio::task::JoinHandle<Result<Batch>>> = None;
        loop {
            // One batch is compressed and written while the next is on its way.
            let next = tokio::select! {
                next = cursor.next() => next,
                () = self.stop.cancelled() => return Err(interrupted().into()),
            };
            if let Some(writing) = writing.take() {
                let batch = writing.await.map_err(|_| poisoned())??;
                *last = batch.last.or(last.take());
                self.meter.add(batch.written, &self.reporter);
            }
            match next {
                None => return Ok(Ok(())),
                Some(Err(e)) => return Ok(Err(e.into())),
                Some(Ok(batch)) => {
                    let (file, skip) = (file.clone(), skip.take());
                    writing = Some(tokio::task::spawn_blocking(move || append(&file, &batch, skip.as_ref())));
                }
            }
        }
    }

    async fn finish(&self, sink: &Sink) -> DumpResult<()> {
        let file = sink.file()?;
        let stored = blocking(move || file.finish()).await?;
        let cut = sink.cut.load(Ordering::Acquire);
        if cut > 1 && matches!(sink.reading, ReadMode::At(_)) {
            self.check_count(sink, stored.1.documents).await?;
        }
        *sink.stored.lock().map_err(|_| poisoned())? = Some(stored);
        Ok(())
    }

    /// Ranges must neither miss a document nor read one twice.
    async fn check_count(&self, sink: &Sink, written: i64) -> DumpResult<()> {
        let mut retry = Retry::new(&self.reporter, &self.stop);
        loop {
            match ranges::count(&self.server, &sink.entry.stored_in(), sink.reading).await {
                Ok(count) if count == written => return Ok(()),
                Ok(count) => {
                    return Err(DumpError::Again(format!(
                        "{} of {} of {:?} were read",
                        number(written),
                        counted(count, "document"),
                        sink.entry.name
                    )));
                }
                Err(e) => outwait(&self.server, e, &sink.entry, &mut retry).await?,
            }
        }
    }
}

/// A batch written.
struct Batch {
    written: Written,
    last: Option<RawDocumentBuf>,
}

/// Writes a reply's documents, but for the first where its `_id` is `skip`.
fn append(file: &FrameFile, batch: &RawBatch, skip: Option<&RawDocumentBuf>) -> Result<Batch> {
    let array = batch
        .doc_slices()
        .map_err(|e| Error::Backup(format!("The server's reply cannot be read: {}.", foreign::driver(&e.kind))))?;
    let array = array.as_bytes();
    let mut first = bytes::documents(array);
    let repeated = skip.is_some() && first.next().and_then(bytes::id_of).as_ref() == skip;
    let last = bytes::documents(array).last().and_then(bytes::id_of);
    Ok(Batch { written: file.append(array, usize::from(repeated))?, last })
}
