//! Reading the documents of a dump: several tasks take collections in turn, the largest first.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};

use futures_util::{StreamExt, stream};
use tokio::task::JoinSet;

use super::super::catalog::{CatalogEntry, CollectionType};
use super::super::format::files::blocking;
use super::super::format::manifest::CollectionManifest;
use super::super::meter::Meter;
use super::super::parallelism;
use super::super::ranges;
use super::super::snapshot::ReadMode;
use super::attempt::{Dump, stopped};
use super::error::{DumpError, DumpResult, outwait, poisoned};
use super::member::Member;
use super::packing::Packing;
use super::scan::{CollectionReader, Stretch};
use super::sink::{Sink, describe};
use crate::error::Error;
use crate::mongo::retry::{Retry, retry};
use crate::mongo::server::Server;
use crate::mongo::stats::Stats;
use crate::plural::{counted, number};

/// How many collections' files each reader may have on their way to the disk.
const FINISHING: usize = 4;

/// Asks how large a collection is; views have no size, and the user may not be allowed to know.
async fn size(server: Server, entry: CatalogEntry) -> Option<Stats> {
    match entry.kind {
        CollectionType::View => None,
        _ => Stats::of(&server, &entry.stored_in()).await.ok(),
    }
}

/// How many collections are read at once.
fn readers() -> usize {
    parallelism().min(3) + 1
}

impl Dump<'_> {
    /// Writes the files of all entries: documents, but for views, and options and indexes.
    pub(super) async fn files(
        &self,
        entries: &[CatalogEntry],
        reading: ReadMode,
    ) -> DumpResult<Vec<CollectionManifest>> {
        let asked: Vec<_> = entries.iter().map(|entry| size(self.server.clone(), entry.clone())).collect();
        let sizes: Vec<Option<Stats>> = stream::iter(asked).buffered(readers()).collect().await;
        stopped(self.stop)?;
        let sum = |of: fn(&Stats) -> i64| {
            let known: Option<Vec<_>> = entries
                .iter()
                .zip(&sizes)
                .filter(|(it, _)| it.kind != CollectionType::View)
                .map(|(_, size)| size.as_ref().map(of))
                .collect();
            known.map(|all| all.into_iter().sum())
        };
        let mut retry = Retry::new(self.reporter, self.stop);
        let (member, answer) =
            retry!(retry, Member::timed(self.server)).map_err(Error::server("Asking who answers"))?;
        let reader = CollectionReader {
            server: self.server.clone(),
            reporter: self.reporter.clone(),
            stop: self.stop.child_token(),
            packing: Packing::start(self.request.onlooker.clone())?,
            meter: Meter::new("Backing up", sum(|size| size.documents), sum(|size| size.bytes)),
            member: Mutex::new(member),
        };
        let sinks = entries.iter().zip(&sizes).map(|(entry, size)| {
            Sink::of(self.directory, entry, reading.of(entry), ranges::batch(size.unwrap_or_default(), answer))
        });
        let directory = self.directory.to_owned();
        let shared = Arc::new(DumpShared { reader, directory, sinks: sinks.collect(), work: Mutex::default() });
        let mut order: Vec<usize> = (0..entries.len()).filter(|at| entries[*at].kind != CollectionType::View).collect();
        order.sort_by_key(|at| std::cmp::Reverse(sizes[*at].unwrap_or_default().bytes));
        for at in order {
            let stretches =
                self.stretches(&entries[at], reading.of(&entries[at]), sizes[at].unwrap_or_default()).await?;
            shared.sinks[at].open.store(stretches.len(), Ordering::Release);
            shared.sinks[at].pieced.store(stretches.len() > 1, Ordering::Release);
            let mut work = shared.work.lock().map_err(|_| poisoned())?;
            work.extend(stretches.into_iter().map(|stretch| (at, stretch)));
        }
        let mut tasks = JoinSet::new();
        for _ in 0..readers() {
            tasks.spawn(shared.clone().work_off());
        }
        let mut failure = None;
        while let Some(ended) = tasks.join_next().await {
            let ended = ended.unwrap_or_else(|_| Err(poisoned().into()));
            if let Err(e) = ended {
                // The others need not go on; what they say then matters less.
                shared.reader.stop.cancel();
                failure.get_or_insert(e);
            }
        }
        stopped(self.stop)?;
        if let Some(failure) = failure {
            return Err(failure);
        }
        let described = blocking(move || {
            let finished = shared.sinks.iter().map(|sink| {
                let finished = sink.finished.lock().map_err(|_| poisoned())?.take();
                finished.map_or_else(|| describe(&shared.directory, &sink.entry, sink.reading, None), Ok)
            });
            finished.collect()
        });
        Ok(described.await?)
    }

    /// What is read of a collection at a time.
    async fn stretches(&self, entry: &CatalogEntry, reading: ReadMode, size: Stats) -> DumpResult<Vec<Stretch>> {
        if !self.server.profile().sharded() || ranges::in_own_order(self.server, entry) {
            return Ok(vec![Stretch::Scan]);
        }
        let mut retry = Retry::new(self.reporter, self.stop);
        loop {
            match ranges::cut(self.server, entry, reading, size).await {
                Ok(ranges) => return Ok(ranges.into_iter().map(Stretch::Range).collect()),
                Err(e) => outwait(self.server, e, entry, &mut retry).await?,
            }
        }
    }
}

/// What the reading tasks share.
struct DumpShared {
    reader: CollectionReader,
    directory: PathBuf,
    sinks: Vec<Sink>,
    work: Mutex<VecDeque<(usize, Stretch)>>,
}

impl DumpShared {
    /// Takes stretch after stretch until none is left.
    async fn work_off(self: Arc<Self>) -> DumpResult<()> {
        let mut finishing = JoinSet::new();
        let mut done = self.read_on(&mut finishing).await;
        // Also after a failure: nothing may write any more when the files are removed.
        while let Some(finished) = finishing.join_next().await {
            done = done.and(finished.unwrap_or_else(|_| Err(poisoned().into())));
        }
        done
    }

    async fn read_on(self: &Arc<Self>, finishing: &mut JoinSet<DumpResult<()>>) -> DumpResult<()> {
        loop {
            let Some((at, stretch)) = self.work.lock().map_err(|_| poisoned())?.pop_front() else {
                return Ok(());
            };
            let sink = &self.sinks[at];
            self.reader.read(sink, stretch).await?;
            if sink.open.fetch_sub(1, Ordering::AcqRel) > 1 {
                continue;
            }
            while finishing.len() >= FINISHING {
                finishing.join_next().await.unwrap_or(Ok(Ok(()))).map_err(|_| poisoned())??;
            }
            finishing.spawn(self.clone().finish(at));
        }
    }

    /// Brings a collection's files to the disk, which takes long and no processor.
    async fn finish(self: Arc<Self>, at: usize) -> DumpResult<()> {
        let sink = &self.sinks[at];
        let file = sink.close()?;
        let finished = {
            let (directory, entry, reading) = (self.directory.clone(), sink.entry.clone(), sink.reading);
            blocking(move || describe(&directory, &entry, reading, Some(file.finish()?))).await?
        };
        if sink.pieced.load(Ordering::Acquire) && matches!(sink.reading, ReadMode::At(_)) {
            self.check_count(sink, finished.documents).await?;
        }
        *sink.finished.lock().map_err(|_| poisoned())? = Some(finished);
        Ok(())
    }

    /// Pieces must neither miss a document nor hold one twice.
    async fn check_count(&self, sink: &Sink, written: i64) -> DumpResult<()> {
        let mut retry = Retry::new(&self.reader.reporter, &self.reader.stop);
        loop {
            match ranges::count(&self.reader.server, &sink.entry.stored_in(), sink.reading).await {
                Ok(count) if count == written => return Ok(()),
                Ok(count) => {
                    return Err(DumpError::Again(format!(
                        "{} of {} of {:?} were read",
                        number(written),
                        counted(count, "document"),
                        sink.entry.name
                    )));
                }
                Err(e) => outwait(&self.reader.server, e, &sink.entry, &mut retry).await?,
            }
        }
    }
}
