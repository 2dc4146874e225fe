//! Undoing the copying of teacher assessments: a copy goes, and what somebody edited in it returns to the original. A copy
//! that was edited and whose original is gone stays: it is all there is of that work.

use bson::{DateTime, RawDocumentBuf, rawdoc};
use mongodb::ClientSession;

use crate::assessment::base::{self, Print, short};
use crate::assessment::carry_back::carry_back;
use crate::assessment::model::{AssessmentKind, Edition, MIGRATION_SOURCE, ORIGINAL_ID, Rules};
use crate::assessment::names::TEACHER_ASSESSMENTS;
use crate::assessment::values::{id_text, text_of};
use crate::capture::by_id::read_by_id;
use crate::capture::delta::{DocumentChange, difference};
use crate::capture::documents::keep_packs;
use crate::capture::kept::insert_whole;
use crate::capture::pack::{Packer, raw_entries};
use crate::error::codes;
use crate::error::server::ServerError;
use crate::mongo::id::{Id, by_id};
use crate::mongo::raw::LARGEST_STORED;
use crate::mongo::raw::{Element, fields, first, get};
use crate::mongo::server::Server;
use crate::names::ORIGINALS;
use crate::operations::apart::is_apart;
use crate::operations::error::OperationError;
use crate::run::capture_key::CaptureKey;
use crate::run::chunks::work_through;
use crate::run::handle::Run;
use crate::run::journal::Journal;
use crate::run::line::{ChunkBody, Selection};
use crate::run::progress::OperationIndex;
use crate::run::report::{Counts, Mapped, Undone};
use crate::undo;
use crate::undo::documents::packs_of;
use crate::undo::operation::UndoOperation;
use crate::undo::read_budget::{ReadBudget, size};
use crate::undo::writes::{UndoWrites, Write};

/// Bytes of packs, and of documents, read for one transaction.
const BYTES: usize = 24 * 1024 * 1024;

/// Undoes the copying, from where the journal says.
///
/// # Errors
/// [`OperationError`].
pub async fn execute(
    run: &mut Run,
    journal: &mut Journal,
    undo: &UndoOperation,
    undone: &[&UndoOperation],
    place: OperationIndex,
) -> Result<(), OperationError> {
    let Some(begun) = undo::begin(run, journal, undo, undone, place).await? else { return Ok(()) };
    take_back(run, journal, &begun.undo, begun.own, place).await?;
    undo::end(run, journal, &begun, undone, place).await
}

async fn take_back(
    run: &mut Run,
    journal: &mut Journal,
    undo: &UndoOperation,
    own: Option<CaptureKey>,
    place: OperationIndex,
) -> Result<(), OperationError> {
    let Some((mut scope, _)) = packs_of(run, undo).await? else { return Ok(()) };
    // Edits of copies are carried back to the originals.
    scope.apart = scope.apart && is_apart(run, TEACHER_ASSESSMENTS).await?;
    let rules = Rules {
        now: undo.entry.get_datetime("now").copied().unwrap_or(DateTime::MIN),
        edition: Edition::numbered(undo.entry.get_i32("edition").ok()),
    };
    let mut body = CopiesUndo {
        collection: &undo.collection,
        capture_key: undo.capture_key,
        own,
        rules,
        portions: ReadBudget::new(BYTES),
    };
    Ok(work_through(run, journal, place, &undo.hash, &scope, &mut body).await?)
}

/// The copies of a window of packs, taken back.
#[derive(Clone)]
struct CopiesUndo<'a> {
    collection: &'a str,
    capture_key: CaptureKey,
    own: Option<CaptureKey>,
    /// What the migration mapped by.
    rules: Rules,
    portions: ReadBudget,
}

/// What was captured of one copy.
struct CapturedCopy<'a> {
    id: Id,
    original: Id,
    /// The original's `_id` as text.
    text: Vec<u8>,
    copy_was: &'a [u8],
    original_was: &'a [u8],
    base: Option<&'a [u8]>,
}

fn read<'a>(element: &Element<'a>) -> Option<CapturedCopy<'a>> {
    let parts = fields(element.value)?;
    let own = parts.first()?;
    let part = |name: &[u8]| parts.iter().skip(1).find(|part| part.name == name);
    let original = match part(b"t") {
        Some(other) => Element { name: b"_id", ..*other },
        None => *own,
    };
    Some(CapturedCopy {
        id: Id::from_element(own)?,
        original: Id::from_element(&original)?,
        text: id_text(&original),
        copy_was: part(b"u")?.value.get(5..)?,
        original_was: part(b"v")?.value.get(5..)?,
        base: part(b"b").map(|base| base.value),
    })
}

impl ChunkBody for CopiesUndo<'_> {
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
        let window = server.read(find, session.as_deref_mut(), BYTES).await?;
        let mut entries = Vec::new();
        for pack in &window {
            let read: Option<Vec<CapturedCopy<'_>>> =
                raw_entries(pack).and_then(|entries| entries.iter().rev().map(read).collect());
            let unreadable = || ServerError::found(codes::INVALID_BSON, format!("a document of {packs} is no pack"));
            entries.extend(read.ok_or_else(unreadable)?);
        }
        let atomic = session.is_some();
        let mut number = selection.number(atomic);
        let mut packer = self.own.map(|own| Packer::new(own, number));
        let mut counts = Counts::default();
        let mut used = 0;
        for portion in self.portions.cut(&entries, atomic) {
            match self.take_back(server, session.as_deref_mut(), portion, &mut used, &mut packer).await {
                // What was written without a transaction was captured before it.
                Ok(portion) if !atomic => {
                    counts += portion;
                    number += 1;
                    packer = self.own.map(|own| Packer::new(own, number));
                }
                Ok(portion) => counts += portion,
                Err(e) => return Err(self.portions.after(e, window.len())),
            }
        }
        if let (Some(own), Some(packer)) = (self.own, packer) {
            keep_packs(server, session, own, &packer.finish()).await?;
        }
        Ok(counts)
    }
}

impl CopiesUndo<'_> {
    async fn take_back(
        &self,
        server: &Server,
        mut session: Option<&mut ClientSession>,
        entries: &[CapturedCopy<'_>],
        used: &mut usize,
        packer: &mut Option<Packer>,
    ) -> Result<Counts, ServerError> {
        let limit = self.portions.limit(entries.len(), *used);
        let ids = entries.iter().map(|entry| &entry.id);
        let copies = by_id(read_by_id(server, session.as_deref_mut(), self.collection, ids, limit).await?);
        let ids = entries.iter().map(|entry| &entry.original);
        let originals = by_id(read_by_id(server, session.as_deref_mut(), TEACHER_ASSESSMENTS, ids, limit).await?);
        *used += size(copies.values()).max(size(originals.values()));
        let mut counts = Undone::default();
        let mut mapped = Mapped::default();
        let mut removed = Vec::new();
        let mut replaced = Vec::new();
        let mut removals = UndoWrites::new(self.collection, false);
        let mut replacements = UndoWrites::new(TEACHER_ASSESSMENTS, false);
        for entry in entries {
            let Some(copy) = copies.get(&entry.id) else {
                counts.gone += 1;
                continue;
            };
            let original = originals.get(&entry.original);
            let (fate, carried) = decide(entry, copy, original, self.rules);
            match fate {
                Fate::Restored => counts.restored += 1,
                Fate::RestoredWithEdits => counts.restored_with_edits += 1,
                Fate::Gone => counts.gone += 1,
                Fate::Conflict | Fate::Another => counts.conflicts += 1,
                Fate::Stays => {
                    counts.gone += i64::from(original.is_none());
                    counts.conflicts += i64::from(original.is_some());
                    mapped.kept_copies += 1;
                }
            }
            if matches!(fate, Fate::Stays | Fate::Another) {
                continue;
            }
            if let (Some(document), Some(original)) = (carried, original) {
                mapped.carried_back += 1;
                let id = first(original.as_bytes());
                if let (Some(packer), Some(id)) = (packer.as_mut(), id) {
                    match difference(original, &document) {
                        DocumentChange::None => {}
                        DocumentChange::Fields(delta) => packer.changed(&id, &delta, &document),
                        DocumentChange::Whole => replaced.push(original),
                    }
                }
                replacements.add(entry.original.clone(), Write::Replace(document));
            }
            removed.push(copy);
            removals.add(entry.id.clone(), Write::Delete);
        }
        if let Some(own) = self.own {
            insert_whole(server, session.as_deref_mut(), &own.whole(server.names()), removed).await?;
            if session.is_none()
                && let Some(packer) = packer.take()
            {
                keep_packs(server, None, own, &packer.finish()).await?;
            }
            let originals = own.part(server.names(), ORIGINALS);
            insert_whole(server, session.as_deref_mut(), &originals, replaced).await?;
        }
        replacements.send(server, session.as_deref_mut()).await.map_err(|(error, _)| error)?;
        removals.send(server, session).await.map_err(|(error, _)| error)?;
        Ok(Counts { undone: counts, mapped, ..Counts::default() })
    }
}

/// What becomes of a copy.
#[derive(Debug, PartialEq)]
enum Fate {
    /// It goes, and the original is as it was.
    Restored,
    /// It goes, and the original has what was edited in either.
    RestoredWithEdits,
    /// It goes, and the original keeps its own where both were edited.
    Conflict,
    /// It goes; so has the original.
    Gone,
    /// It was edited and the edits have nowhere to go, so it stays.
    Stays,
    /// Somebody has made another document in its place.
    Another,
}

fn decide(
    entry: &CapturedCopy<'_>,
    copy: &RawDocumentBuf,
    original: Option<&RawDocumentBuf>,
    rules: Rules,
) -> (Fate, Option<RawDocumentBuf>) {
    let as_was = |document: &RawDocumentBuf, print: &[u8]| {
        let now: Print = short(document.as_bytes());
        now[..] == *print
    };
    let untouched = original.is_some_and(|original| as_was(original, entry.original_was));
    if as_was(copy, entry.copy_was) {
        return match original {
            None => (Fate::Gone, None),
            Some(_) if untouched => (Fate::Restored, None),
            Some(_) => (Fate::RestoredWithEdits, None),
        };
    }
    if !is_the_copy(copy, &entry.text) {
        return (Fate::Another, None);
    }
    let Some(original) = original else { return (Fate::Stays, None) };
    let base = entry.base.and_then(|base| base::read(base, rules, &entry.text));
    let Some(carried) = base.and_then(|base| carry_back(&base, original.as_bytes(), copy.as_bytes())) else {
        return (Fate::Stays, None);
    };
    let writable = |document: &RawDocumentBuf| {
        document.as_bytes().len() <= LARGEST_STORED && Write::replacing(document.clone()).is_some()
    };
    if carried.document.as_ref().is_some_and(|document| !writable(document)) {
        return (Fate::Stays, None);
    }
    let fate = match &carried.document {
        _ if carried.conflicts > 0 => Fate::Conflict,
        None if untouched => Fate::Restored,
        _ => Fate::RestoredWithEdits,
    };
    (fate, carried.document)
}

/// Whether it still says that it is the copy, in one way at least: somebody may have changed the other.
fn is_the_copy(copy: &RawDocumentBuf, original: &[u8]) -> bool {
    let says = |name: &str, value: &[u8]| {
        get(copy.as_bytes(), name).as_ref().and_then(text_of).is_some_and(|own| own == value)
    };
    says(ORIGINAL_ID, original) || says(MIGRATION_SOURCE, AssessmentKind::Teacher.source().as_bytes())
}
