//! Capturing without a transaction: on a standalone server, and of a capped or time-series collection.
//!
//! Nothing ties the capture to the write there, so the capture comes first, and nothing of it follows the write:
//!
//! 1. The documents are read; too many of them are an error before anything is written.
//! 2. Of a delete they are kept whole. Of an update, copies of them go into a collection of ours, the update is made to
//!    these, and the difference is the capture. What an update refuses is refused here, before it touches anything.
//! 3. Exactly the captured documents are written, if they still match the filter.
//!
//! The difference is of the copies, so that an edit of the application in between is never taken for the migration's. A
//! repeated attempt recognises what an earlier one wrote ([`earlier`](super::earlier)).

use std::collections::HashMap;
use std::time::Duration;

use bson::{RawDocumentBuf, doc, rawdoc};

use super::by_id::{lists, read_by_id};
use super::delta::{DocumentChange, difference};
use super::documents::{Capturing, Does, Finds, MEASUREMENT, count, keep_packs, malformed, packed_inserts};
use super::earlier::replace;
use super::foreseen::{as_written, only};
use super::kept::{Barred, insert, is_changed, nested, uncaptured};
use super::measurements::unordered;
use super::pack::Packer;
use crate::error::codes;
use crate::error::server::ServerError;
use crate::mongo::id::{Id, by_id};
use crate::mongo::raw::first;
use crate::mongo::server::Server;
use crate::names::COPIES;
use crate::run::line::Selection;
use crate::run::report::Counts;
use crate::run::transaction::{send, with_majority};

/// How often what the moment decided is asked for.
const ATTEMPTS: usize = 3;
const PAUSE: Duration = Duration::from_millis(200);

/// A document before an update and as the update makes it.
type Pair = (RawDocumentBuf, RawDocumentBuf);

impl<B: Finds> Capturing<B> {
    /// Captures what the body does, then lets it do that.
    pub(super) async fn write_beforehand(
        &mut self,
        server: &Server,
        selection: &Selection,
        limit: usize,
    ) -> Result<Counts, ServerError> {
        let before = server.read(self.body.find(selection), None, limit).await?;
        if self.body.does() == Does::Delete {
            return self.delete_beforehand(server, selection, before).await;
        }
        self.sweep(server).await?;
        let collection = self.body.collection().to_owned();
        let number = self.earlier.begin(server, &collection, selection.chunk).await?;
        let recognised = self.earlier.recognised;
        let known = Counts { matched: recognised, modified: recognised, ..Counts::default() };
        // The one document is done.
        if self.body.does() == Does::UpdateOne && recognised > 0 {
            return Ok(known);
        }
        let mut counts = known;
        let before: Vec<RawDocumentBuf> = before
            .into_iter()
            .filter(|document| Id::of_stored(document).is_none_or(|id| !self.earlier.wrote(&id, document)))
            .collect();
        if before.is_empty() {
            // Where an earlier attempt wrote something, that was it.
            if recognised == 0 {
                counts += self.upsert(server, selection, number).await?;
            }
            return Ok(counts);
        }
        let (changed, momentary) = self.rehearse(server, selection, &before).await?;
        counts.matched += count(&before);
        if changed.is_empty() {
            return Ok(counts);
        }
        self.capture(server, number, changed.iter()).await?;
        let ids: Vec<Id> = changed.iter().filter_map(|(before, _)| Id::of_stored(before)).collect();
        for ids in lists(&ids.iter().collect::<Vec<_>>()) {
            match self.body.write(server, None, &only(selection, ids)).await {
                Ok(part) => {
                    // Somebody has removed it, or it no longer matches.
                    counts.matched -= i64::try_from(ids.len()).unwrap_or(i64::MAX) - part.matched;
                    counts.modified += part.modified;
                }
                Err(error) if error.is_passing() => return Err(error),
                Err(error) => {
                    let error = self.half_done(server, &changed, momentary, error).await;
                    // The captures of those that were not written are removed.
                    let _ = self.earlier.begin(server, &collection, selection.chunk).await;
                    return Err(error);
                }
            }
        }
        if momentary {
            self.settle(server, number, changed).await;
        }
        Ok(counts)
    }

    async fn delete_beforehand(
        &mut self,
        server: &Server,
        selection: &Selection,
        before: Vec<RawDocumentBuf>,
    ) -> Result<Counts, ServerError> {
        if before.is_empty() {
            return Ok(Counts::default());
        }
        if self.wrapped {
            let new = self.not_kept(server, &before).await?;
            self.keep_whole(server, None, new.into_iter()).await?;
            return self.body.write(server, None, selection).await;
        }
        self.keep_whole(server, None, before.iter()).await?;
        let ids: Vec<Id> = before.iter().filter_map(|document| Id::of_stored(document)).collect();
        let mut counts = Counts::default();
        for ids in lists(&ids.iter().collect::<Vec<_>>()) {
            counts += self.body.write(server, None, &only(selection, ids)).await?;
        }
        Ok(counts)
    }

    /// The measurements among these that no earlier attempt kept.
    async fn not_kept<'d>(
        &self,
        server: &Server,
        measurements: &'d [RawDocumentBuf],
    ) -> Result<Vec<&'d RawDocumentBuf>, ServerError> {
        let mut kept: HashMap<[u8; 16], usize> = HashMap::new();
        let mut found = server.walk(rawdoc! {"find": self.capture_key.whole(server.names()), "filter": {}}).await?;
        while let Some(wrapper) = found.next().await? {
            if let Some(measurement) = nested(&wrapper, MEASUREMENT) {
                *kept.entry(unordered(&measurement)).or_default() += 1;
            }
        }
        let is_new = |measurement: &&RawDocumentBuf| match kept.get_mut(&unordered(measurement)) {
            Some(count) if *count > 0 => {
                *count -= 1;
                false
            }
            _ => true,
        };
        Ok(measurements.iter().filter(is_new).collect())
    }

    /// Makes the update to copies of the documents: those that it changes, and whether the moment decides how.
    async fn rehearse(
        &mut self,
        server: &Server,
        selection: &Selection,
        before: &[RawDocumentBuf],
    ) -> Result<(Vec<Pair>, bool), ServerError> {
        let (after, momentary) = self.made_of(server, selection, before, false).await?;
        let same = before.iter().zip(&after).all(|(before, after)| Id::of_stored(before) == Id::of_stored(after));
        if !same || after.len() != before.len() {
            let message = "copies of the documents were written to by somebody else";
            return Err(uncaptured(ServerError::found(codes::CONFLICTING_OPERATION, message)));
        }
        let pairs = before.iter().cloned().zip(after).filter(|(before, after)| before != after);
        Ok((pairs.collect(), momentary || before.iter().any(is_changed)))
    }

    /// What the update makes of copies of the documents, or which document it makes where there are none.
    async fn made_of(
        &mut self,
        server: &Server,
        selection: &Selection,
        before: &[RawDocumentBuf],
        upsert: bool,
    ) -> Result<(Vec<RawDocumentBuf>, bool), ServerError> {
        self.sweep(server).await?;
        self.swept = false;
        let copies = self.copies(server);
        let Some(rehearsal) = self.body.rehearsal(&copies, selection, upsert) else { return Err(malformed()) };
        let result = async {
            if let Some(collation) = &self.collation {
                server.run(with_majority(doc! {"create": &copies, "collation": collation.clone()}), None).await?;
            }
            insert(server, None, &copies, before, Barred::Fails).await.map_err(uncaptured)?;
            // It is about the operation's documents, whatever collection they were copied into.
            send(server, None, rehearsal.command).await.map_err(|error| ServerError {
                ours: false,
                written: Some(0),
                ..error
            })?;
            // In the order in which they were put there.
            server.read(rawdoc! {"find": copies.as_str(), "filter": {}}, None, usize::MAX).await
        }
        .await;
        self.sweep(server).await?;
        Ok((result?, rehearsal.momentary))
    }

    fn copies(&self, server: &Server) -> String {
        self.capture_key.part(server.names(), COPIES)
    }

    /// Removes the copies of an attempt, also of one that was killed.
    async fn sweep(&mut self, server: &Server) -> Result<(), ServerError> {
        if self.swept {
            return Ok(());
        }
        match server.run(with_majority(doc! {"drop": self.copies(server)}), None).await {
            Err(error) if error.is(codes::NAMESPACE_NOT_FOUND) => {}
            dropped => drop(dropped?),
        }
        self.swept = true;
        Ok(())
    }

    async fn capture(
        &self,
        server: &Server,
        number: i64,
        changed: impl Iterator<Item = &Pair> + Send,
    ) -> Result<(), ServerError> {
        let (packs, whole) = self.packed(number, changed)?;
        self.keep_whole(server, None, whole.into_iter()).await?;
        keep_packs(server, None, self.capture_key, &packs).await
    }

    fn packed<'p>(
        &self,
        number: i64,
        changed: impl Iterator<Item = &'p Pair>,
    ) -> Result<(Vec<RawDocumentBuf>, Vec<&'p RawDocumentBuf>), ServerError> {
        let mut packer = Packer::new(self.capture_key, number);
        let mut whole = Vec::new();
        for (before, after) in changed {
            let id = first(after.as_bytes()).ok_or_else(malformed)?;
            match difference(before, after) {
                DocumentChange::None => {}
                DocumentChange::Fields(delta) => packer.changed(&id, &delta, after),
                DocumentChange::Whole => {
                    packer.replaced(&id, after);
                    whole.push(before);
                }
            }
        }
        Ok((packer.finish(), whole))
    }

    /// An error that came half-way, with how many documents were changed before it.
    async fn half_done(&self, server: &Server, changed: &[Pair], momentary: bool, error: ServerError) -> ServerError {
        let ids: Vec<Id> = changed.iter().filter_map(|(before, _)| Id::of_stored(before)).collect();
        let Ok(now) = read_by_id(server, None, self.body.collection(), &ids, usize::MAX).await else { return error };
        let now = by_id(now);
        let done = changed.iter().zip(&ids).filter(|((before, after), id)| {
            now.get(id).is_some_and(|now| if momentary { now != before } else { now == after })
        });
        ServerError { written: Some(i64::try_from(done.count()).unwrap_or(i64::MAX)), ..error }
    }

    /// Captures anew what the moment decided. The write is not made again for it: where this fails, an exact rollback takes
    /// those fields for edited.
    async fn settle(&mut self, server: &Server, number: i64, changed: Vec<Pair>) {
        for _ in 0..ATTEMPTS {
            let other = self.earlier.number();
            if self.capture_as_written(server, (number, other), &changed).await.is_ok() {
                return;
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    async fn capture_as_written(
        &self,
        server: &Server,
        (number, other): (i64, i64),
        changed: &[Pair],
    ) -> Result<(), ServerError> {
        let ids: Vec<Id> = changed.iter().filter_map(|(before, _)| Id::of_stored(before)).collect();
        let now = by_id(read_by_id(server, None, self.body.collection(), &ids, usize::MAX).await?);
        let settled: Vec<Pair> = changed
            .iter()
            .zip(&ids)
            .map(|((before, after), id)| match now.get(id) {
                Some(now) => (before.clone(), as_written(before, after, now)),
                None => (before.clone(), after.clone()),
            })
            .collect();
        let (packs, whole) = self.packed(other, settled.iter())?;
        self.keep_whole(server, None, whole.into_iter()).await?;
        replace(server, self.capture_key, number, &packs).await
    }

    /// Lets the update make a document where none matches.
    async fn upsert(&mut self, server: &Server, selection: &Selection, number: i64) -> Result<Counts, ServerError> {
        if !self.body.upserts() {
            return Ok(Counts::default());
        }
        let (made, momentary) = self.made_of(server, selection, &[], true).await?;
        keep_packs(server, None, self.capture_key, &packed_inserts(self.capture_key, number, &made)?).await?;
        self.body.pin(selection, made.first().and_then(|made| Id::of_stored(made)));
        let written = self.body.write(server, None, selection).await;
        self.body.pin(selection, None);
        let counts = written?;
        if let Some(id) = self.body.upserted().filter(|_| momentary) {
            for _ in 0..ATTEMPTS {
                let other = self.earlier.number();
                if self.capture_as_made(server, (number, other), &id).await.is_ok() {
                    break;
                }
                tokio::time::sleep(PAUSE).await;
            }
        }
        Ok(counts)
    }

    async fn capture_as_made(&self, server: &Server, (number, other): (i64, i64), id: &Id) -> Result<(), ServerError> {
        let made = read_by_id(server, None, self.body.collection(), [id], usize::MAX).await?;
        replace(server, self.capture_key, number, &packed_inserts(self.capture_key, other, &made)?).await
    }
}
