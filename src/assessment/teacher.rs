//! Bringing teacher assessments into the collection of all assessments: a unified copy of each under the same `_id`, so
//! that references go on meaning it. The original stays as it is.

use std::collections::HashMap;
use std::sync::Arc;

use bson::{DateTime, RawDocumentBuf, doc, oid::ObjectId, rawdoc};
use mongodb::ClientSession;

use super::ahead::Ahead;
use super::base;
use super::mapping::map;
use super::model::{MIGRATION_SOURCE, ORIGINAL_ID, Side};
use super::regular::{CHUNK_BYTES, begun, finish, keep};
use super::survey::Known;
use super::values::{id_text, text, text_of};
use super::{ASSESSMENTS, BRING_OVER, TEACHER_ASSESSMENTS};
use crate::capture::pack::Packer;
use crate::capture::registry::Entry;
use crate::ops::announce::{takes_transactions, weaker};
use crate::ops::documents::look_up;
use crate::ops::{Halt, Place};
use crate::raw::{BINARY, Builder, Element, OBJECT_ID, TEXT, first, get, has_zero_timestamp};
use crate::run::Run;
use crate::run::chunks::{ChunkBody, Selection, work_through};
use crate::run::id::{Id, by_id};
use crate::run::journal::Journal;
use crate::run::progress::{OperationProgress, Position};
use crate::run::report::{Counts, Mapped, Outcome};
use crate::run::slot::Slot;
use crate::run::transaction::send;
use crate::run::windows::Scope;
use crate::server::Server;
use crate::server_error::ServerError;
use crate::undo::writes::keep_timestamps;

/// The task, from where the journal says.
pub async fn carry_out(
    run: &mut Run,
    journal: &mut Journal,
    now: DateTime,
    known: &Arc<Known>,
    hash: &str,
    place: Place,
) -> Result<(), Halt> {
    let Some(standing) = look_up(run, TEACHER_ASSESSMENTS).await? else {
        return finish(run, journal, hash, place, Outcome::Done, Some("there is no such collection".to_owned())).await;
    };
    let target = look_up(run, ASSESSMENTS).await?;
    let made = target.is_none();
    let atomic = takes_transactions(run, ASSESSMENTS, &target.unwrap_or(standing));
    let slot = journal.progress.capture.map(|capture| capture.slot(place.index));
    if let Some(slot) = slot.filter(|_| !begun(journal, place)) {
        let mut entry = Entry::first(slot, BRING_OVER, ASSESSMENTS, doc! {"made": made, "now": now});
        journal.note_with(run, place.index, &mut entry, OperationProgress::new(hash), Some(Position::Whole)).await?;
    }
    let scope = Scope {
        collection: TEACHER_ASSESSMENTS.to_owned(),
        filter: RawDocumentBuf::new(),
        hint: None,
        variables: None,
        atomic,
        bounds: None,
        weight: 1,
        total: None,
    };
    let mut body = Copies { now, known: Arc::clone(known), slot };
    work_through(run, journal, place.index, place.operations, hash, &scope, &mut body).await?;
    finish(run, journal, hash, place, Outcome::Done, weaker(atomic)).await
}

/// Whether a document is the unified copy of the teacher assessment whose `_id` is this text.
pub fn is_copy_of(document: &[u8], id: &[u8]) -> bool {
    original_of(document).is_some_and(|original| original == id)
}

/// The `_id`, as text, of the teacher assessment that a document is the unified copy of.
pub fn original_of(document: &[u8]) -> Option<&[u8]> {
    let is_teacher = get(document, MIGRATION_SOURCE)
        .as_ref()
        .and_then(text_of)
        .is_some_and(|source| source == Side::Teacher.source().as_bytes());
    if is_teacher { get(document, ORIGINAL_ID).as_ref().and_then(text_of) } else { None }
}

/// What of a document tells whether it is a copy.
pub fn telling() -> RawDocumentBuf {
    rawdoc! {"_id": 1, "migration_source": 1, "original_id": 1}
}

/// The documents of the assessments' collection with these `_id`s, as far as it tells whether they are copies.
///
/// # Errors
/// The server's.
pub async fn counterparts(
    server: &Server,
    session: Option<&mut ClientSession>,
    ids: &[Id],
) -> Result<HashMap<Id, RawDocumentBuf>, ServerError> {
    let find = rawdoc! {
        "find": ASSESSMENTS, "filter": {"_id": Id::any_of(ids)}, "hint": {"_id": 1}, "projection": telling(),
    };
    Ok(by_id(server.read(find, session, usize::MAX).await?))
}

/// The documents of a window, copied.
struct Copies {
    now: DateTime,
    known: Arc<Known>,
    slot: Option<Slot>,
}

/// Some of a window's documents, mapped.
#[derive(Default)]
struct Part {
    /// The insert command.
    command: RawDocumentBuf,
    count: i64,
    mapped: Mapped,
    /// Copies with an empty timestamp at the top.
    odd: Vec<RawDocumentBuf>,
}

/// Maps documents and captures in `packer` what they and their copies are. `there` is what stands under their `_id`s.
fn map_all(
    documents: &[RawDocumentBuf],
    now: DateTime,
    known: &Known,
    there: &HashMap<Id, RawDocumentBuf>,
    packer: &mut Option<Packer>,
) -> Part {
    let mut part = Part::default();
    let mut command = Builder::new();
    command.value(TEXT, b"insert", &text(ASSESSMENTS.as_bytes()));
    let mut copies = command.begin_array("documents");
    for document in documents {
        let (Some(own), Some(id)) = (first(document.as_bytes()), Id::of_stored(document)) else { continue };
        let as_text = id_text(&own);
        let standing = there.get(&id);
        if standing.is_some_and(|other| is_copy_of(other.as_bytes(), &as_text)) || known.has(&as_text) {
            part.mapped.already += 1;
            continue;
        }
        let new_id = ObjectId::new().bytes();
        let other = Element { kind: OBJECT_ID, name: b"_id", value: &new_id };
        let id = standing.is_some().then_some(&other);
        let unified = map(document.as_bytes(), Side::Teacher, now);
        let made = unified.and_then(|unified| Ok((unified.copy(id)?, unified)));
        let Ok((copy, unified)) = made else {
            part.mapped.unmapped += 1;
            continue;
        };
        part.mapped.dates_converted += unified.dates_converted;
        part.mapped.clashes += i64::from(standing.is_some());
        part.count += 1;
        if let Some(packer) = packer {
            let mut entry = Builder::new();
            entry.push(id.unwrap_or(&own));
            if id.is_some() {
                entry.value(own.kind, b"t", own.value);
            }
            entry.value(BINARY, b"u", &binary(&base::short(copy.as_bytes())));
            entry.value(BINARY, b"v", &binary(&base::short(document.as_bytes())));
            if let Some(base) = base::of_original(document.as_bytes(), &unified) {
                entry.document("b", base.as_bytes());
            }
            packer.other(entry, copy.as_bytes().len());
        }
        copies.push(copy.as_bytes());
        if has_zero_timestamp(copy.as_bytes()) {
            part.odd.push(copy);
        }
    }
    copies.end();
    part.command = command.finish();
    part
}

impl ChunkBody for Copies {
    async fn write(
        &mut self,
        server: &Server,
        mut session: Option<&mut ClientSession>,
        selection: &Selection,
    ) -> Result<Counts, ServerError> {
        let find = rawdoc! {"find": TEACHER_ASSESSMENTS, "filter": selection.filter.clone(), "hint": {"_id": 1}};
        let documents = server.read(find, session.as_deref_mut(), CHUNK_BYTES).await?;
        let matched = i64::try_from(documents.len()).unwrap_or(i64::MAX);
        let ids: Vec<Id> = documents.iter().filter_map(|document| Id::of_stored(document)).collect();
        let there = counterparts(server, session.as_deref_mut(), &ids).await?;
        let mut packer = self.slot.map(|slot| Packer::new(slot, selection.number(session.is_some())));
        let mut counts = Counts { matched, ..Counts::default() };
        if session.is_none() {
            // The capture first: without transactions a copy must not stand and its capture lack.
            let part = map_all(&documents, self.now, &self.known, &there, &mut packer);
            counts.inserted = part.count;
            counts.mapped = part.mapped;
            keep(self.slot, server, None, packer).await?;
            send_part(server, None, part).await?;
            return Ok(counts);
        }
        let (now, known) = (self.now, Arc::clone(&self.known));
        let mut parts = Ahead::begin(
            documents,
            packer,
            Arc::new(move |part: &[RawDocumentBuf], packer: &mut Option<Packer>| {
                map_all(part, now, &known, &there, packer)
            }),
        );
        while let Some(part) = parts.next().await? {
            counts.inserted += part.count;
            counts.mapped += part.mapped;
            send_part(server, session.as_deref_mut(), part).await?;
        }
        keep(self.slot, server, session, parts.captured()).await?;
        Ok(counts)
    }
}

async fn send_part(server: &Server, mut session: Option<&mut ClientSession>, part: Part) -> Result<(), ServerError> {
    if part.count == 0 {
        return Ok(());
    }
    send(server, session.as_deref_mut(), part.command).await?;
    for copy in &part.odd {
        keep_timestamps(server, session.as_deref_mut(), ASSESSMENTS, copy).await?;
    }
    Ok(())
}

fn binary(bytes: &[u8; 8]) -> Vec<u8> {
    [&[8, 0, 0, 0, 0], &bytes[..]].concat()
}
