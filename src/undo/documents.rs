//! Undoing updates and inserts: from the last pack back to the first, each document by the three-way rule.

use std::collections::{HashMap, HashSet};

use bson::{RawDocumentBuf, rawdoc};
use mongodb::ClientSession;

use super::writes::{Write, Writes};
use super::{again, bounds, taken};
use crate::capture::delta::{Change, difference, take_back};
use crate::capture::documents::{insert, read_by_id};
use crate::capture::pack::{self, Entry, Packer, What, entries};
use crate::ops::announce::takes_transactions;
use crate::ops::documents::look_up;
use crate::ops::{Halt, Place};
use crate::raw::{elements, fingerprint, first};
use crate::run::Run;
use crate::run::chunks::{ChunkBody, Selection, work_through};
use crate::run::id::Id;
use crate::run::journal::Journal;
use crate::run::patience::{Patience, patiently};
use crate::run::report::{Counts, Undone};
use crate::run::slot::Slot;
use crate::run::step::Undo;
use crate::run::windows::Scope;
use crate::server::Server;
use crate::server_error::{ServerError, codes};

/// Bytes of packs, and of documents, read for one transaction.
const BYTES: usize = 48 * 1024 * 1024;

/// Undoes an update or an insert; what it takes away is captured in `own`.
pub async fn undo(
    run: &mut Run,
    journal: &mut Journal,
    undo: &Undo,
    own: Option<Slot>,
    place: Place,
) -> Result<(), Halt> {
    let Some(bounds) = bounds(undo.slot) else { return Ok(()) };
    let packs = undo.slot.capture.packs();
    let standing = look_up(run, &undo.collection).await?;
    let mut patience = Patience::new(&run.reporter, &run.stop);
    let total = patiently!(patience, documents_in(&run.server, &packs, &bounds.0, &bounds.1))?;
    let atomic = match &standing {
        Some(standing) if total > 0 => takes_transactions(run, &undo.collection, standing),
        _ => run.server.transactions(),
    };
    let scope = Scope {
        collection: packs,
        filter: RawDocumentBuf::new(),
        hint: None,
        variables: None,
        atomic,
        bounds: Some(bounds),
        weight: pack::DOCUMENTS,
        total: Some(total),
    };
    let mut body = Packs {
        collection: &undo.collection,
        stands: standing.is_some(),
        slot: undo.slot,
        own,
        left: HashSet::new(),
        one_by_one: false,
    };
    Ok(work_through(run, journal, place.index, place.operations, &undo.hash, &scope, &mut body).await?)
}

async fn documents_in(server: &Server, packs: &str, low: &Id, high: &Id) -> Result<i64, ServerError> {
    let within = rawdoc! {"_id": {"$gte": value(low), "$lte": value(high)}};
    let pipeline = [rawdoc! {"$match": within}, rawdoc! {"$group": {"_id": null, "n": {"$sum": "$n"}}}];
    let pipeline: bson::RawArrayBuf = pipeline.into_iter().collect();
    let found = server.find(rawdoc! {"aggregate": packs, "pipeline": pipeline, "cursor": {}}).await?.next().await?;
    Ok(found.map_or(0, |found| pack::count(&found)))
}

fn value(id: &Id) -> RawDocumentBuf {
    id.document().get_document("_id").map(ToOwned::to_owned).unwrap_or_default()
}

/// The packs of a window, taken back.
struct Packs<'a> {
    collection: &'a str,
    stands: bool,
    slot: Slot,
    own: Option<Slot>,
    /// Documents whose old values somebody else's now bar.
    left: HashSet<Vec<u8>>,
    /// Whether each document is written by a statement of its own, in exact reverse order.
    one_by_one: bool,
}

impl ChunkBody for Packs<'_> {
    async fn write(
        &mut self,
        server: &Server,
        mut session: Option<&mut ClientSession>,
        selection: &Selection,
    ) -> Result<Counts, ServerError> {
        let packs = self.slot.capture.packs();
        let find = rawdoc! {
            "find": packs.as_str(), "filter": selection.filter.clone(), "sort": {"_id": 1}, "hint": {"_id": 1},
        };
        let mut captured = Vec::new();
        for pack in server.read(find, session.as_deref_mut(), BYTES).await? {
            let unreadable = || ServerError::found(codes::INVALID_BSON, format!("a document of {packs} is no pack"));
            captured.extend(entries(&pack).ok_or_else(unreadable)?.into_iter().rev());
        }
        let mut counts = Undone::default();
        if !self.stands {
            counts.gone = i64::try_from(captured.len()).unwrap_or(i64::MAX);
            return Ok(Counts { undone: counts, ..Counts::default() });
        }
        let ids: Vec<&Id> = captured.iter().map(|entry| &entry.id).collect();
        let current = by_id(read_by_id(server, session.as_deref_mut(), self.collection, ids, BYTES).await?);
        let replaced: Vec<&Id> = captured
            .iter()
            .filter(|entry| matches!(entry.what, What::Replaced { .. }))
            .map(|entry| &entry.id)
            .collect();
        let whole = if replaced.is_empty() {
            HashMap::new()
        } else {
            by_id(read_by_id(server, session.as_deref_mut(), &self.slot.whole(), replaced, BYTES).await?)
        };
        let mut writes = Writes::new(self.collection, self.one_by_one);
        let mut record = Record::new(self.own, selection.number(session.is_some()));
        for entry in &captured {
            let Some(document) = current.get(entry.id.as_bytes()) else {
                counts.gone += 1;
                continue;
            };
            if self.left.contains(entry.id.as_bytes()) {
                counts.conflicts += 1;
                continue;
            }
            if let Some(write) = decide(entry, document, &whole, &mut counts) {
                record.add(document, &write);
                writes.add(entry.id.clone(), write);
            }
        }
        if let Err((error, id)) = writes.send(server, session.as_deref_mut()).await {
            let Some(id) = id.filter(|_| taken(&error)) else { return Err(error) };
            if self.one_by_one {
                self.left.insert(id.as_bytes().to_vec());
            }
            self.one_by_one = true;
            return Err(again(&error));
        }
        record.write(server, session).await?;
        Ok(Counts { undone: counts, ..Counts::default() })
    }
}

fn by_id(documents: Vec<RawDocumentBuf>) -> HashMap<Vec<u8>, RawDocumentBuf> {
    let id = |document: &RawDocumentBuf| Id::of_stored(document).map(|id| id.as_bytes().to_vec());
    documents.into_iter().filter_map(|document| Some((id(&document)?, document))).collect()
}

/// What is to be written of one document, by the three-way rule.
fn decide(
    entry: &Entry,
    current: &RawDocumentBuf,
    whole: &HashMap<Vec<u8>, RawDocumentBuf>,
    counts: &mut Undone,
) -> Option<Write> {
    let now = fingerprint(current.as_bytes());
    match &entry.what {
        What::Changed { delta, after } => {
            let Some(merged) = take_back(delta, current) else {
                counts.conflicts += 1;
                return None;
            };
            if merged.conflicts > 0 {
                counts.conflicts += 1;
            } else if now[..8] == after[..] {
                counts.restored += 1;
            } else {
                counts.restored_with_edits += 1;
            }
            let document = merged.document?;
            Some(match merged.operators {
                Some(operators) => Write::Operators { operators, document },
                None => Write::Replace(document),
            })
        }
        What::Replaced { after } => {
            let before = whole.get(entry.id.as_bytes()).filter(|_| now == *after);
            let write = before.and_then(|before| Write::replacing(before.clone()));
            // Somebody may have put it back already.
            if write.is_some() || whole.get(entry.id.as_bytes()) == Some(current) {
                counts.restored += 1;
            } else {
                counts.conflicts += 1;
            }
            write
        }
        What::Inserted { after } if now == *after => {
            counts.restored += 1;
            Some(Write::Delete)
        }
        What::Inserted { .. } => {
            counts.conflicts += 1;
            None
        }
    }
}

/// What the undo itself takes away, captured in turn.
struct Record {
    slot: Option<Slot>,
    packer: Option<Packer>,
    whole: Vec<RawDocumentBuf>,
}

impl Record {
    fn new(slot: Option<Slot>, chunk: i64) -> Self {
        Self { slot, packer: slot.map(|slot| Packer::new(slot, chunk)), whole: Vec::new() }
    }

    fn add(&mut self, current: &RawDocumentBuf, write: &Write) {
        let Some(packer) = &mut self.packer else { return };
        let Some(id) = first(current.as_bytes()) else { return };
        let Some(result) = write.document() else {
            self.whole.push(current.clone());
            return;
        };
        match difference(current, result) {
            Change::None => {}
            Change::Fields(delta) => packer.changed(&id, &delta, result),
            Change::Whole => {
                packer.replaced(&id, result);
                self.whole.push(current.clone());
            }
        }
    }

    async fn write(self, server: &Server, mut session: Option<&mut ClientSession>) -> Result<(), ServerError> {
        let (Some(slot), Some(packer)) = (self.slot, self.packer) else { return Ok(()) };
        let again = session.is_none();
        insert(server, session.as_deref_mut(), &slot.whole(), self.whole.iter(), again).await?;
        insert(server, session, &slot.capture.packs(), packer.finish().iter(), false).await
    }
}

/// Whether the server would change a document that it is sent whole: a zero timestamp at the top.
pub fn has_zero_timestamp(document: &RawDocumentBuf) -> bool {
    elements(document.as_bytes())
        .unwrap_or_default()
        .iter()
        .any(|field| field.kind == crate::raw::TIMESTAMP && field.value == [0; 8])
}
