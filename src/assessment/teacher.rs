//! Bringing teacher assessments into the collection of all assessments: a unified copy of each, under an `_id` of its own
//! that follows from the original's, or under the same one. The original stays as it is.

use std::sync::Arc;

use bson::{RawDocumentBuf, doc, rawdoc};
use mongodb::ClientSession;

use super::ahead::Ahead;
use super::base;
use super::copies::{self, KnownCopies, Places};
use super::ids::Ids;
use super::mapping::map;
use super::model::{AssessmentKind, Rules};
use super::names::{ASSESSMENTS, TEACHER_ASSESSMENTS};
use super::refusals::Refusals;
use super::regular::{CHUNK_BYTES, begun, finish, keep, size};
use super::values::text;
use crate::capture::kept::keep_timestamps;
use crate::capture::pack::Packer;
use crate::capture::registry::BRING_OVER;
use crate::capture::registry::RegistryEntry;
use crate::error::server::ServerError;
use crate::mongo::id::Id;
use crate::mongo::raw::{BINARY, Builder, TEXT, first, has_zero_timestamp};
use crate::mongo::server::Server;
use crate::operations::announce::{takes_transactions, weaker};
use crate::operations::apart::is_apart;
use crate::operations::documents::look_up;
use crate::operations::error::OperationError;
use crate::run::capture_key::CaptureKey;
use crate::run::chunks::work_through;
use crate::run::handle::Run;
use crate::run::id_ranges::Scope;
use crate::run::journal::Journal;
use crate::run::line::{ChunkBody, Selection};
use crate::run::progress::OperationIndex;
use crate::run::progress::{OperationProgress, Position};
use crate::run::report::{Counts, Mapped, Outcome};
use crate::run::transaction::send;

/// The task, from where the journal says.
pub async fn execute(
    run: &mut Run,
    journal: &mut Journal,
    how: &CopyOptions,
    hash: &str,
    place: OperationIndex,
) -> Result<(), OperationError> {
    let Some(existing) = look_up(run, TEACHER_ASSESSMENTS).await? else {
        return finish(run, journal, hash, place, Outcome::Done, Some("there is no such collection".to_owned())).await;
    };
    let target = look_up(run, ASSESSMENTS).await?;
    let made = target.is_none();
    let atomic = takes_transactions(run, ASSESSMENTS, &target.unwrap_or(existing));
    let capture_key = journal.progress.capture.map(|capture| capture.capture_key(place.index));
    if let Some(capture_key) = capture_key.filter(|_| !begun(journal, place)) {
        let entry = doc! {"made": made, "now": how.rules.now, "edition": how.rules.edition.number()};
        let mut entry = RegistryEntry::first(capture_key, BRING_OVER, ASSESSMENTS, entry);
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
        expected: None,
        apart: is_apart(run, ASSESSMENTS).await?,
    };
    let mut body = CopyChunk { how: how.clone(), capture_key };
    work_through(run, journal, place, hash, &scope, &mut body).await?;
    finish(run, journal, hash, place, Outcome::Done, weaker(atomic)).await
}

/// How the copies are made.
#[derive(Debug, Clone)]
pub struct CopyOptions {
    /// The mapping.
    pub rules: Rules,
    /// Under which `_id`s.
    pub ids: Ids,
    /// Copies that have another `_id`.
    pub known: Arc<KnownCopies>,
    /// Documents that the server refuses.
    pub refusals: Arc<Refusals>,
}

/// The documents of a window, copied.
#[derive(Clone)]
struct CopyChunk {
    how: CopyOptions,
    capture_key: Option<CaptureKey>,
}

/// Some of a window's documents, mapped.
#[derive(Default)]
struct TeacherPart {
    /// The insert command.
    command: RawDocumentBuf,
    /// The originals of its documents.
    ids: Vec<Id>,
    count: i64,
    mapped: Mapped,
    /// Copies with an empty timestamp at the top.
    odd: Vec<RawDocumentBuf>,
}

/// Maps documents and captures in `packer` what they and their copies are.
fn map_all(
    documents: &[RawDocumentBuf],
    how: &CopyOptions,
    places: &Places,
    packer: &mut Option<Packer>,
) -> TeacherPart {
    let mut part = TeacherPart::default();
    let mut command = Builder::new();
    command.value(TEXT, b"insert", &text(ASSESSMENTS.as_bytes()));
    let mut copies = command.begin_array("documents");
    for document in documents {
        let (Some(own), Some(id)) = (first(document.as_bytes()), Id::of_stored(document)) else { continue };
        let Some(place) = places.of(&id) else { continue };
        if place.is_copied() {
            part.mapped.already += 1;
            continue;
        }
        let new = match place {
            copies::CopyPlace::New(new) => first(new.as_bytes()),
            _ => None,
        };
        let unified = map(document.as_bytes(), AssessmentKind::Teacher, how.rules);
        let made = unified.and_then(|unified| Ok((unified.copy(new.as_ref())?, unified)));
        let Some((copy, unified)) = made.ok().filter(|_| how.refusals.reason(AssessmentKind::Teacher, &id).is_none())
        else {
            part.mapped.unmapped += 1;
            continue;
        };
        part.mapped.dates_converted += unified.dates_converted;
        part.mapped.grown += size(&copy);
        part.mapped.clashes += i64::from(how.ids == Ids::Keep && places.is_taken(&id));
        part.count += 1;
        if let Some(packer) = packer {
            let mut entry = Builder::new();
            entry.push(new.as_ref().unwrap_or(&own));
            if new.is_some() {
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
        part.ids.push(id);
    }
    copies.end();
    part.command = command.finish();
    part
}

impl ChunkBody for CopyChunk {
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
        let how = self.how.clone();
        let places = copies::places(server, session.as_deref_mut(), &ids, &how.known, how.ids).await?;
        let mut packer =
            self.capture_key.map(|capture_key| Packer::new(capture_key, selection.number(session.is_some())));
        let mut counts = Counts { matched, ..Counts::default() };
        if session.is_none() {
            // The capture first: without transactions there must be no copy without its capture.
            let part = map_all(&documents, &how, &places, &mut packer);
            counts.inserted = part.count;
            counts.mapped = part.mapped;
            keep(self.capture_key, server, None, packer).await?;
            self.send(server, None, part).await?;
            return Ok(counts);
        }
        let mut parts = Ahead::begin(
            documents,
            packer,
            Arc::new(move |part: &[RawDocumentBuf], packer: &mut Option<Packer>| map_all(part, &how, &places, packer)),
        );
        while let Some(part) = parts.next().await? {
            counts.inserted += part.count;
            counts.mapped += part.mapped;
            self.send(server, session.as_deref_mut(), part).await?;
        }
        keep(self.capture_key, server, session, parts.captured()).await?;
        Ok(counts)
    }
}

impl CopyChunk {
    async fn send(
        &self,
        server: &Server,
        mut session: Option<&mut ClientSession>,
        part: TeacherPart,
    ) -> Result<(), ServerError> {
        if part.count == 0 {
            return Ok(());
        }
        let sent = send(server, session.as_deref_mut(), part.command).await;
        sent.map_err(|e| self.how.refusals.learn(e, AssessmentKind::Teacher, &part.ids))?;
        keep_timestamps(server, session, ASSESSMENTS, part.odd.iter()).await
    }
}

fn binary(bytes: &[u8; 8]) -> Vec<u8> {
    [&[8, 0, 0, 0, 0], &bytes[..]].concat()
}
