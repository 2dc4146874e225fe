//! What earlier attempts at a chunk captured without a transaction.
//!
//! There the capture is written first, then the documents, then the journal's entry. A run that is killed, or loses an
//! answer, does not know how far it came. What was captured tells: a document that is as the capture foresaw it has been
//! written, one that is as before has not.

use std::collections::{HashMap, HashSet};

use bson::{RawDocumentBuf, rawdoc};

use super::by_id::read_by_id;
use super::kept::{Barred, insert, unwrapped};
use super::pack::{self, PARTS, PackEntry, What};
use super::reversal::take_back;
use crate::error::server::ServerError;
use crate::mongo::id::{Id, by_id};
use crate::mongo::raw::{ARRAY, Builder, DOCUMENT, fields, fingerprint};
use crate::mongo::server::Server;
use crate::run::capture_key::CaptureKey;
use crate::run::transaction::send;

/// Attempts at one chunk, for their numbers.
const ATTEMPTS: i64 = 1 << 10;
/// Numbers from here on were times, in versions that knew no order of attempts.
const TIMES: i64 = 1_000_000_000_000;

/// The attempts of one operation that the journal does not know.
#[derive(Clone)]
pub struct EarlierAttempts {
    capture_key: CaptureKey,
    /// The number of the chunk that was begun last.
    chunk: Option<i64>,
    /// The number of the next packs.
    next: i64,
    /// What was written, with the first bytes of its fingerprint.
    written: HashMap<Id, [u8; 8]>,
    /// How many documents that is, where they were not counted yet.
    pub recognised: i64,
    /// The `_id`s that they captured.
    captured: HashSet<Id>,
}

impl EarlierAttempts {
    /// The attempts at what is captured in `capture_key`.
    pub fn new(capture_key: CaptureKey) -> Self {
        Self { capture_key, chunk: None, next: 0, written: HashMap::new(), recognised: 0, captured: HashSet::new() }
    }

    /// Begins an attempt at `chunk`, the number that the journal has, on the documents of `collection`: the number of its
    /// packs. Captures of what was never written are removed.
    ///
    /// # Errors
    /// The server's.
    pub async fn begin(&mut self, server: &Server, collection: &str, chunk: i64) -> Result<i64, ServerError> {
        // The one before is in the journal: nothing of it is in doubt.
        if self.chunk.is_none_or(|last| last >= chunk) {
            self.load(server, collection, chunk).await?;
        } else {
            self.recognised = 0;
        }
        self.chunk = Some(chunk);
        self.next = self.next.max(chunk * ATTEMPTS);
        Ok(self.number())
    }

    /// The number of other packs of the same attempt.
    pub fn number(&mut self) -> i64 {
        self.next += 1;
        self.next - 1
    }

    /// Whether an earlier attempt wrote the document, and nobody has changed it since.
    pub fn wrote(&self, id: &Id, now: &RawDocumentBuf) -> bool {
        self.written.get(id).is_some_and(|print| *print == short(now))
    }

    /// Whether an earlier attempt captured the document, and may have written it.
    pub fn captured(&self, id: &Id) -> bool {
        self.captured.contains(id)
    }

    async fn load(&mut self, server: &Server, collection: &str, chunk: i64) -> Result<(), ServerError> {
        self.written.clear();
        self.captured.clear();
        self.recognised = 0;
        let packs = self.capture_key.capture.packs(server.names());
        let newest = packs_below(&packs, self.capture_key, i64::MAX, true);
        let Some(newest) = server.read(newest, None, usize::MAX).await?.into_iter().next() else { return Ok(()) };
        let newest = number_of(&newest);
        self.next = newest + 1;
        if newest < chunk * ATTEMPTS {
            return Ok(());
        }
        let from = if newest >= TIMES { newest } else { chunk * ATTEMPTS };
        let unsure = packs_below(&packs, self.capture_key, i64::MAX - from * PARTS, false);
        for pack in server.read(unsure, None, usize::MAX).await? {
            let Some(entries) = pack::entries(&pack) else { continue };
            let ids: Vec<&Id> = entries.iter().map(|entry| &entry.id).collect();
            let now = by_id(read_by_id(server, None, collection, ids.iter().copied(), usize::MAX).await?);
            let replaced = entries.iter().filter(|entry| matches!(entry.what, What::Replaced { .. }));
            let replaced: Vec<&Id> = replaced.map(|entry| &entry.id).collect();
            let whole = if replaced.is_empty() {
                HashMap::new()
            } else {
                let whole =
                    read_by_id(server, None, &self.capture_key.whole(server.names()), replaced, usize::MAX).await?;
                by_id(whole.into_iter().map(unwrapped).collect())
            };
            let mut never = Vec::new();
            for (at, entry) in entries.iter().enumerate() {
                match came_to(entry, now.get(&entry.id), &whole) {
                    CameTo::Nothing => never.push(at),
                    CameTo::Written(print) => {
                        self.recognised += 1;
                        self.written.entry(entry.id.clone()).or_insert(print);
                        self.captured.insert(entry.id.clone());
                    }
                    CameTo::Unknown => drop(self.captured.insert(entry.id.clone())),
                }
            }
            if !never.is_empty() {
                without(server, &packs, &pack, &never).await?;
            }
        }
        Ok(())
    }
}

/// What came of the write that an entry foresaw.
enum CameTo {
    /// The document is as it was.
    Nothing,
    /// It is as foreseen.
    Written([u8; 8]),
    /// Somebody has changed it since, before the write or after it.
    Unknown,
}

fn came_to(entry: &PackEntry, now: Option<&RawDocumentBuf>, whole: &HashMap<Id, RawDocumentBuf>) -> CameTo {
    let foreseen: [u8; 8] = match &entry.what {
        What::Changed { after, .. } => *after,
        What::Replaced { after } | What::Inserted { after } => {
            let mut print = [0; 8];
            print.copy_from_slice(&after[..8]);
            print
        }
    };
    let Some(now) = now else {
        return if matches!(entry.what, What::Inserted { .. }) { CameTo::Nothing } else { CameTo::Unknown };
    };
    if short(now) == foreseen {
        return CameTo::Written(foreseen);
    }
    let as_before = match &entry.what {
        What::Changed { delta, .. } => {
            take_back(delta, now, &|_| false).is_some_and(|merged| merged.document.is_none() && merged.conflicts == 0)
        }
        What::Replaced { .. } => whole.get(&entry.id) == Some(now),
        What::Inserted { .. } => false,
    };
    if as_before { CameTo::Nothing } else { CameTo::Unknown }
}

/// The first bytes of a document's fingerprint.
pub fn short(document: &RawDocumentBuf) -> [u8; 8] {
    let mut print = [0; 8];
    print.copy_from_slice(&fingerprint(document.as_bytes())[..8]);
    print
}

fn packs_below(packs: &str, capture_key: CaptureKey, upper: i64, newest_only: bool) -> RawDocumentBuf {
    let within =
        rawdoc! {"$gte": {"o": capture_key.operation, "s": i64::MIN}, "$lte": {"o": capture_key.operation, "s": upper}};
    let mut find = rawdoc! {"find": packs, "filter": {"_id": within}, "sort": {"_id": 1}, "hint": {"_id": 1}};
    if newest_only {
        find.append(bson::raw::cstr!("limit"), 1);
        find.append(bson::raw::cstr!("singleBatch"), true);
    }
    find
}

fn number_of(pack: &RawDocumentBuf) -> i64 {
    let place = pack.get_document("_id").ok().and_then(|id| id.get_i64("s").ok());
    place.map_or(-1, |place| (i64::MAX - place) / PARTS)
}

/// Writes a pack anew without some of its entries.
async fn without(server: &Server, packs: &str, pack: &RawDocumentBuf, never: &[usize]) -> Result<(), ServerError> {
    let Some(id) = Id::of_stored(pack) else { return Ok(()) };
    let mut entries = Builder::default();
    let mut count = 0_i32;
    for (_, entry) in
        pack::raw_entries(pack).unwrap_or_default().iter().enumerate().filter(|(at, _)| !never.contains(at))
    {
        entries.value(DOCUMENT, count.to_string().as_bytes(), entry.value);
        count += 1;
    }
    if count == 0 {
        let delete = rawdoc! {"q": id.filter(), "limit": 1};
        return send(server, None, rawdoc! {"delete": packs, "deletes": [delete]}).await.map(drop);
    }
    let mut less = Builder::default();
    for part in fields(pack.as_bytes()).unwrap_or_default() {
        match part.name {
            b"n" => less.value(part.kind, part.name, &count.to_le_bytes()),
            b"e" => less.value(ARRAY, part.name, entries.clone().finish().as_bytes()),
            _ => less.push(&part),
        }
    }
    let update = rawdoc! {"q": id.filter(), "u": less.finish()};
    send(server, None, rawdoc! {"update": packs, "updates": [update]}).await.map(drop)
}

/// Replaces the packs of one number by others.
///
/// # Errors
/// The server's.
pub async fn replace(
    server: &Server,
    capture_key: CaptureKey,
    number: i64,
    packs: &[RawDocumentBuf],
) -> Result<(), ServerError> {
    let collection = capture_key.capture.packs(server.names());
    insert(server, None, &collection, packs, Barred::Fails).await?;
    let place = |number: i64| i64::MAX - number * PARTS;
    let within = rawdoc! {
        "$gt": {"o": capture_key.operation, "s": place(number + 1)}, "$lte": {"o": capture_key.operation, "s": place(number)},
    };
    let delete = rawdoc! {"q": {"_id": within}, "limit": 0};
    send(server, None, rawdoc! {"delete": collection.as_str(), "deletes": [delete]}).await.map(drop)
}
