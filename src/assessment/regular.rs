//! Bringing regular assessments to the unified model in place: chunk by chunk, read, mapped, captured and written in one
//! transaction, so that what somebody edited a moment ago is what is captured.

use std::sync::Arc;

use bson::raw::cstr;
use bson::{RawDocumentBuf, doc, rawdoc};
use mongodb::ClientSession;

use super::ahead::Ahead;
use super::mapping::map;
use super::model::{AssessmentKind, MIGRATION_SOURCE, ORIGINAL_ID, Rules};
use super::names::ASSESSMENTS;
use super::refusals::Refusals;
use super::values::text;
use crate::capture::documents::keep_packs;
use crate::capture::kept::insert_whole;
use crate::capture::pack::Packer;
use crate::capture::registry::RegistryEntry;
use crate::capture::registry::UNIFY;
use crate::error::codes;
use crate::error::server::ServerError;
use crate::mongo::id::Id;
use crate::mongo::raw::{Builder, TEXT, first};
use crate::mongo::reply::written;
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

/// Bytes of documents in one chunk.
pub const CHUNK_BYTES: usize = 16 * 1024 * 1024;

/// Selects what is not unified yet.
pub fn pending() -> RawDocumentBuf {
    let sources = [AssessmentKind::Regular.source(), AssessmentKind::Teacher.source()];
    let mut unified = RawDocumentBuf::new();
    // Names that are known to have no NUL.
    let source = rawdoc! {"$in": [sources[0], sources[1]]};
    unified.append(cstr!("migration_source"), source);
    unified.append(cstr!("original_id"), rawdoc! {"$type": "string"});
    debug_assert!(MIGRATION_SOURCE == "migration_source" && ORIGINAL_ID == "original_id");
    rawdoc! {"$nor": [unified]}
}

/// The task, from where the journal says.
pub async fn execute(
    run: &mut Run,
    journal: &mut Journal,
    rules: Rules,
    refusals: &Arc<Refusals>,
    expected: Option<i64>,
    hash: &str,
    place: OperationIndex,
) -> Result<(), OperationError> {
    let Some(existing) = look_up(run, ASSESSMENTS).await? else {
        return finish(run, journal, hash, place, Outcome::Done, Some("there is no such collection".to_owned())).await;
    };
    let atomic = takes_transactions(run, ASSESSMENTS, &existing);
    let capture_key = journal.progress.capture.map(|capture| capture.capture_key(place.index));
    if let Some(capture_key) = capture_key.filter(|_| !begun(journal, place)) {
        let mut entry = RegistryEntry::first(capture_key, UNIFY, ASSESSMENTS, doc! {"made": false});
        journal.note_with(run, place.index, &mut entry, OperationProgress::new(hash), Some(Position::Whole)).await?;
    }
    let scope = Scope {
        collection: ASSESSMENTS.to_owned(),
        filter: pending(),
        hint: None,
        variables: None,
        atomic,
        bounds: None,
        weight: 1,
        total: None,
        expected,
        apart: is_apart(run, ASSESSMENTS).await?,
    };
    let mut body = RegularChunk { rules, refusals: Arc::clone(refusals), capture_key };
    work_through(run, journal, place, hash, &scope, &mut body).await?;
    finish(run, journal, hash, place, Outcome::Done, weaker(atomic)).await
}

/// Whether a part of the task may be done already.
pub fn begun(journal: &Journal, place: OperationIndex) -> bool {
    journal.progress.operations.get(place.index).is_some_and(|own| own.begun)
}

/// Makes the task's last entry in the journal.
pub async fn finish(
    run: &mut Run,
    journal: &mut Journal,
    hash: &str,
    place: OperationIndex,
    outcome: Outcome,
    note: Option<String>,
) -> Result<(), OperationError> {
    let existing = journal.progress.operations.get(place.index).cloned();
    let mut progress = existing.unwrap_or_else(|| OperationProgress::new(hash));
    progress.outcome = Some(outcome);
    progress.note = note;
    Ok(journal.note(run, place.index, progress, None).await?)
}

/// Writes what a chunk captured.
///
/// # Errors
/// The server's.
pub async fn keep(
    capture_key: Option<CaptureKey>,
    server: &Server,
    session: Option<&mut ClientSession>,
    packer: Option<Packer>,
) -> Result<(), ServerError> {
    let (Some(capture_key), Some(packer)) = (capture_key, packer) else { return Ok(()) };
    keep_packs(server, session, capture_key, &packer.finish()).await
}

/// The documents of a window, unified.
#[derive(Clone)]
struct RegularChunk {
    rules: Rules,
    refusals: Arc<Refusals>,
    capture_key: Option<CaptureKey>,
}

/// Some of a window's documents, mapped.
#[derive(Default)]
struct RegularPart {
    /// The update command.
    command: RawDocumentBuf,
    /// The documents of its statements.
    ids: Vec<Id>,
    count: i64,
    mapped: Mapped,
    /// Documents to be kept whole.
    whole: Vec<RawDocumentBuf>,
}

/// The bytes of a document.
pub fn size(document: &RawDocumentBuf) -> i64 {
    i64::try_from(document.as_bytes().len()).unwrap_or(i64::MAX)
}

/// Maps documents and captures in `packer` what will become of them.
fn map_all(
    documents: &[RawDocumentBuf],
    rules: Rules,
    refusals: &Refusals,
    packer: &mut Option<Packer>,
) -> RegularPart {
    let mut part = RegularPart::default();
    let mut command = Builder::new();
    command.value(TEXT, b"update", &text(ASSESSMENTS.as_bytes()));
    let mut statements = command.begin_array("updates");
    for document in documents {
        let unified = map(document.as_bytes(), AssessmentKind::Regular, rules);
        let made = unified.and_then(|unified| Ok((unified.in_place()?, unified.dates_converted)));
        let (Ok((made, dates)), Some(id), Some(own)) = (made, first(document.as_bytes()), Id::of_stored(document))
        else {
            part.mapped.unmapped += 1;
            continue;
        };
        if refusals.reason(AssessmentKind::Regular, &own).is_some() {
            part.mapped.unmapped += 1;
            continue;
        }
        part.mapped.dates_converted += dates;
        part.mapped.grown += size(&made.after) - size(document);
        part.count += 1;
        if let Some(packer) = packer {
            match &made.back {
                Some(delta) => packer.changed(&id, delta, &made.after),
                None => {
                    packer.replaced(&id, &made.after);
                    part.whole.push(document.clone());
                }
            }
        }
        statements.push(rawdoc! {"q": own.filter(), "u": made.operators}.as_bytes());
        part.ids.push(own);
    }
    statements.end();
    part.command = command.finish();
    part
}

impl RegularChunk {
    /// Writes what is in `part`.
    async fn send(
        &self,
        server: &Server,
        mut session: Option<&mut ClientSession>,
        part: RegularPart,
    ) -> Result<(), ServerError> {
        if part.count == 0 {
            return Ok(());
        }
        if let Some(capture_key) = self.capture_key {
            insert_whole(server, session.as_deref_mut(), &capture_key.whole(server.names()), &part.whole).await?;
        }
        let sent = send(server, session, part.command).await;
        if written(&sent.map_err(|e| self.refusals.learn(e, AssessmentKind::Regular, &part.ids))?) == part.count {
            return Ok(());
        }
        let message = "documents were removed between reading and writing them";
        Err(ServerError::found(codes::WRITE_CONFLICT, message))
    }
}

impl ChunkBody for RegularChunk {
    async fn write(
        &mut self,
        server: &Server,
        mut session: Option<&mut ClientSession>,
        selection: &Selection,
    ) -> Result<Counts, ServerError> {
        let find = rawdoc! {"find": ASSESSMENTS, "filter": selection.filter.clone(), "hint": {"_id": 1}};
        let documents = server.read(find, session.as_deref_mut(), CHUNK_BYTES).await?;
        let matched = i64::try_from(documents.len()).unwrap_or(i64::MAX);
        let mut packer =
            self.capture_key.map(|capture_key| Packer::new(capture_key, selection.number(session.is_some())));
        let mut counts = Counts { matched, ..Counts::default() };
        let (rules, refusals) = (self.rules, Arc::clone(&self.refusals));
        if session.is_none() {
            // The capture first: without transactions a document must not be changed and its capture lacking.
            let part = map_all(&documents, rules, &refusals, &mut packer);
            counts.modified = part.count;
            counts.mapped = part.mapped;
            keep(self.capture_key, server, None, packer).await?;
            self.send(server, None, part).await?;
            return Ok(counts);
        }
        let mut parts = Ahead::begin(
            documents,
            packer,
            Arc::new(move |part: &[RawDocumentBuf], packer: &mut Option<Packer>| {
                map_all(part, rules, &refusals, packer)
            }),
        );
        while let Some(part) = parts.next().await? {
            counts.modified += part.count;
            counts.mapped += part.mapped;
            self.send(server, session.as_deref_mut(), part).await?;
        }
        keep(self.capture_key, server, session, parts.captured()).await?;
        Ok(counts)
    }
}
