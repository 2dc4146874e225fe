//! Undoing updates and inserts: from the last pack back to the first, each document by the three-way rule.

use std::collections::{HashMap, HashSet};

use bson::{RawDocumentBuf, rawdoc};
use mongodb::ClientSession;

use super::attempts::{again, taken};
use super::decision::decide;
use super::edits::Edits;
use super::read_budget::{ReadBudget, size};
use super::recapture::Recapture;
use super::writes::UndoWrites;
use crate::capture::by_id::read_by_id;
use crate::capture::earlier::EarlierAttempts;
use crate::capture::kept::unwrapped;
use crate::capture::pack::bounds;
use crate::capture::pack::{self, PackEntry, What, entries};
use crate::error::codes;
use crate::error::server::ServerError;
use crate::mongo::catalog::Collection;
use crate::mongo::id::{Id, by_id};
use crate::mongo::retry::{Retry, retry};
use crate::mongo::server::Server;
use crate::operations::announce::takes_transactions;
use crate::operations::apart::is_apart;
use crate::operations::documents::look_up;
use crate::operations::error::OperationError;
use crate::run::capture_key::{CaptureId, CaptureKey};
use crate::run::chunks::work_through;
use crate::run::handle::Run;
use crate::run::id_ranges::Scope;
use crate::run::journal::Journal;
use crate::run::line::{ChunkBody, Selection};
use crate::run::progress::OperationIndex;
use crate::run::report::{Counts, Undone};
use crate::undo::operation::UndoOperation;

/// Bytes of packs, and of documents, read for one transaction.
const BYTES: usize = 48 * 1024 * 1024;

/// Undoes an update or an insert; what it takes away is captured in `own`, and edits that it meets are kept with
/// the `oldest` captures.
pub async fn undo(
    run: &mut Run,
    journal: &mut Journal,
    undo: &UndoOperation,
    own: Option<CaptureKey>,
    oldest: CaptureId,
    place: OperationIndex,
) -> Result<(), OperationError> {
    let Some((scope, existing)) = packs_of(run, undo).await? else { return Ok(()) };
    let uuid = existing.as_ref().and_then(|existing| existing.uuid.as_deref());
    let mut retry = Retry::new(&run.reporter, &run.stop);
    let edits = retry!(retry, Edits::open(&run.server, oldest, uuid))?;
    let mut body = Packs {
        collection: &undo.collection,
        exists: existing.is_some_and(|existing| existing.kind != "view"),
        capture_key: undo.capture_key,
        own,
        edits,
        left: HashSet::new(),
        one_by_one: false,
        portions: ReadBudget::new(BYTES),
        earlier: own.map(EarlierAttempts::new),
    };
    Ok(work_through(run, journal, place, &undo.hash, &scope, &mut body).await?)
}

/// The packs of what was captured, to be worked through, and what has the collection's name now.
pub async fn packs_of(run: &Run, undo: &UndoOperation) -> Result<Option<(Scope, Option<Collection>)>, OperationError> {
    let Some(bounds) = bounds(undo.capture_key) else { return Ok(None) };
    let packs = undo.capture_key.capture.packs(run.server.names());
    let existing = look_up(run, &undo.collection).await?;
    let mut retry = Retry::new(&run.reporter, &run.stop);
    let total = retry!(retry, documents_in(&run.server, &packs, &bounds.0, &bounds.1))?;
    let atomic = match &existing {
        Some(existing) if total > 0 => takes_transactions(run, &undo.collection, existing),
        _ => run.server.transactions(),
    };
    // What was apart when it was done is so when it is undone.
    let apart = undo.entry.get_bool("apart").unwrap_or(false) || is_apart(run, &undo.collection).await?;
    let scope = Scope {
        collection: packs,
        filter: RawDocumentBuf::new(),
        hint: None,
        variables: None,
        atomic,
        bounds: Some(bounds),
        weight: pack::DOCUMENTS,
        total: Some(total),
        expected: None,
        apart,
    };
    Ok(Some((scope, existing)))
}

/// How many documents the packs between these are about.
async fn documents_in(server: &Server, packs: &str, low: &Id, high: &Id) -> Result<i64, ServerError> {
    let within = rawdoc! {"_id": {"$gte": value(low), "$lte": value(high)}};
    let pipeline = [rawdoc! {"$match": within}, rawdoc! {"$group": {"_id": null, "n": {"$sum": "$n"}}}];
    let pipeline: bson::RawArrayBuf = pipeline.into_iter().collect();
    let found = server.read_all(rawdoc! {"aggregate": packs, "pipeline": pipeline, "cursor": {}}).await?;
    Ok(found.first().map_or(0, |found| pack::count(found)))
}

fn value(id: &Id) -> RawDocumentBuf {
    id.document().get_document("_id").map(ToOwned::to_owned).unwrap_or_default()
}

/// The packs of a window, taken back.
#[derive(Clone)]
struct Packs<'a> {
    collection: &'a str,
    exists: bool,
    capture_key: CaptureKey,
    own: Option<CaptureKey>,
    edits: Edits,
    /// Documents whose old value another document now holds in a unique index.
    left: HashSet<Id>,
    /// Whether each document is written by a statement of its own, in exact reverse order.
    one_by_one: bool,
    portions: ReadBudget,
    /// What attempts without a transaction took back.
    earlier: Option<EarlierAttempts>,
}

impl ChunkBody for Packs<'_> {
    async fn write(
        &mut self,
        server: &Server,
        mut session: Option<&mut ClientSession>,
        selection: &Selection,
    ) -> Result<Counts, ServerError> {
        let packs = self.capture_key.capture.packs(server.names());
        let find = rawdoc! {
            "find": packs.as_str(), "filter": selection.filter.clone(), "sort": {"_id": 1}, "hint": {"_id": 1},
        };
        let mut captured = Vec::new();
        let window = server.read(find, session.as_deref_mut(), BYTES).await?;
        for pack in &window {
            let unreadable = || ServerError::found(codes::INVALID_BSON, format!("a document of {packs} is no pack"));
            captured.extend(entries(pack).ok_or_else(unreadable)?.into_iter().rev());
        }
        let mut counts = Undone::default();
        if !self.exists {
            counts.gone = i64::try_from(captured.len()).unwrap_or(i64::MAX);
            return Ok(Counts { undone: counts, ..Counts::default() });
        }
        let mut number = selection.chunk;
        if let (Some(earlier), None) = (&mut self.earlier, &session) {
            number = earlier.begin(server, self.collection, selection.chunk).await?;
        }
        let mut record = Recapture::new(self.own, number);
        let mut used = 0;
        for (at, portion) in self.portions.cut(&captured, session.is_some()).enumerate() {
            if let (Some(earlier), None, 1..) = (&mut self.earlier, &session, at) {
                record = Recapture::new(self.own, earlier.number());
            }
            match self.take_back(server, session.as_deref_mut(), portion, &mut used, &mut record).await {
                Ok(portion) => counts += portion,
                Err(e) => return Err(self.portions.after(e, window.len())),
            }
        }
        record.write(server, session).await?;
        Ok(Counts { undone: counts, ..Counts::default() })
    }
}

impl Packs<'_> {
    /// Takes these entries back; `used` is how many bytes of documents the window has read.
    async fn take_back(
        &mut self,
        server: &Server,
        mut session: Option<&mut ClientSession>,
        captured: &[PackEntry],
        used: &mut usize,
        record: &mut Recapture,
    ) -> Result<Undone, ServerError> {
        let ids = || captured.iter().map(|entry| &entry.id);
        let limit = self.portions.limit(captured.len(), *used);
        let mut current = by_id(read_by_id(server, session.as_deref_mut(), self.collection, ids(), limit).await?);
        let read = size(current.values());
        self.portions.met(current.len(), read);
        *used += read;
        let replaced: Vec<&Id> = captured
            .iter()
            .filter(|entry| matches!(entry.what, What::Replaced { .. }))
            .map(|entry| &entry.id)
            .collect();
        let whole = if replaced.is_empty() {
            HashMap::new()
        } else {
            let kept =
                read_by_id(server, session.as_deref_mut(), &self.capture_key.whole(server.names()), replaced, limit)
                    .await?;
            by_id(kept.into_iter().map(unwrapped).collect())
        };
        let edited = self.edits.read(server, session.as_deref_mut(), ids()).await?;
        // Without transactions, what an earlier attempt took back is not somebody's edit.
        let atomic = session.is_some();
        let removed = match self.own.filter(|_| !atomic) {
            Some(own) => removed_before(server, own, captured, &current).await?,
            None => HashSet::new(),
        };
        let earlier = self.earlier.as_ref().filter(|_| !atomic);
        let mut counts = Undone::default();
        let mut found = Vec::new();
        let mut writes = UndoWrites::new(self.collection, self.one_by_one);
        for entry in captured {
            let Some(document) = current.get(&entry.id) else {
                if removed.contains(&entry.id) {
                    counts.restored += 1;
                    continue;
                }
                counts.gone += 1;
                found.push((entry.id.clone(), vec![Vec::new()]));
                continue;
            };
            if self.left.contains(&entry.id) {
                counts.conflicts += 1;
                found.push((entry.id.clone(), vec![Vec::new()]));
                continue;
            }
            if earlier.is_some_and(|earlier| earlier.wrote(&entry.id, document)) {
                counts.restored += 1;
                continue;
            }
            let (write, edits) = decide(entry, document, &whole, edited.get(&entry.id), &mut counts);
            if !edits.is_empty() {
                found.push((entry.id.clone(), edits));
            }
            if let Some(write) = write {
                record.add(document, &write);
                // Without transactions a chunk may have been captured twice: the next entry meets this result.
                match write.document() {
                    Some(result) => drop(current.insert(entry.id.clone(), result.clone())),
                    None => drop(current.remove(&entry.id)),
                }
                writes.add(entry.id.clone(), write);
            }
        }
        self.edits.write(server, session.as_deref_mut(), &found).await?;
        if !atomic {
            // What it takes away is captured before it is gone.
            record.write(server, None).await?;
        }
        if let Err((error, id)) = writes.send(server, session).await {
            let Some(id) = id.filter(|_| taken(&error)) else { return Err(error) };
            if self.one_by_one {
                self.left.insert(id);
            }
            self.one_by_one = true;
            return Err(again(&error));
        }
        Ok(counts)
    }
}

/// Which of these inserted documents, that are gone, an earlier attempt has removed.
async fn removed_before(
    server: &Server,
    own: CaptureKey,
    captured: &[PackEntry],
    current: &HashMap<Id, RawDocumentBuf>,
) -> Result<HashSet<Id>, ServerError> {
    let gone =
        captured.iter().filter(|entry| matches!(entry.what, What::Inserted { .. }) && !current.contains_key(&entry.id));
    let gone: Vec<&Id> = gone.map(|entry| &entry.id).collect();
    if gone.is_empty() {
        return Ok(HashSet::new());
    }
    let kept = read_by_id(server, None, &own.whole(server.names()), gone, usize::MAX).await?;
    Ok(kept.iter().filter_map(|document| Id::of_stored(document)).collect())
}
