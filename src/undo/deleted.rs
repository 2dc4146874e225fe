//! Undoing deletes: documents that were kept whole return, unless somebody has made others in their place.

use std::collections::HashSet;

use bson::{RawDocumentBuf, rawdoc};
use mongodb::ClientSession;

use super::attempts::{again, taken};
use super::edits::Edits;
use crate::capture::by_id::read_by_id;
use crate::capture::documents::{keep_packs, packed_inserts};
use crate::capture::earlier::EarlierAttempts;
use crate::capture::kept::{Barred, insert, is_changed, unwrapped};
use crate::capture::{left, measurements};
use crate::error::server::ServerError;
use crate::mongo::catalog::Collection;
use crate::mongo::id::{Id, by_id};
use crate::mongo::retry::{Retry, retry};
use crate::mongo::server::Server;
use crate::operations::announce::takes_transactions;
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

/// Bytes of documents that one transaction brings back.
const BYTES: usize = 32 * 1024 * 1024;

/// Undoes a delete; what it makes is captured in `own`, and edits that it meets are kept with the `oldest` captures.
pub async fn undo(
    run: &mut Run,
    journal: &mut Journal,
    undo: &UndoOperation,
    own: Option<CaptureKey>,
    oldest: CaptureId,
    place: OperationIndex,
) -> Result<(), OperationError> {
    let existing = look_up(run, &undo.collection).await?;
    let atomic = match &existing {
        Some(existing) => takes_transactions(run, &undo.collection, existing),
        None => run.server.transactions(),
    };
    let scope = Scope {
        collection: undo.capture_key.whole(run.server.names()),
        filter: RawDocumentBuf::new(),
        hint: None,
        variables: None,
        atomic,
        bounds: None,
        weight: 1,
        total: None,
        expected: None,
        // They existed beside each other.
        apart: true,
    };
    let uuid = existing.as_ref().and_then(|existing| existing.uuid.as_deref());
    let mut retry = Retry::new(&run.reporter, &run.stop);
    let edits = retry!(retry, Edits::open(&run.server, oldest, uuid))?;
    let series = existing.as_ref().is_some_and(|existing| existing.kind == "timeseries");
    let mut body = Kept {
        // Entries that do not say so are older.
        measurements: undo.entry.get_bool("measurements").unwrap_or(series && !undo.entry.contains_key("uuid")),
        collection: &undo.collection,
        edits,
        existing: existing.filter(|existing| existing.kind != "view"),
        capture_key: undo.capture_key,
        own,
        earlier: own.map(EarlierAttempts::new),
        left: HashSet::new(),
    };
    Ok(work_through(run, journal, place, &undo.hash, &scope, &mut body).await?)
}

/// The documents of a window, brought back.
#[derive(Clone)]
struct Kept<'a> {
    collection: &'a str,
    /// The collections that exist and could hold documents.
    existing: Option<Collection>,
    /// Whether what is kept are measurements.
    measurements: bool,
    edits: Edits,
    capture_key: CaptureKey,
    own: Option<CaptureKey>,
    /// What attempts without a transaction brought back.
    earlier: Option<EarlierAttempts>,
    /// Documents that a unique index bars: somebody else has their values now.
    left: HashSet<Id>,
}

impl ChunkBody for Kept<'_> {
    async fn write(
        &mut self,
        server: &Server,
        mut session: Option<&mut ClientSession>,
        selection: &Selection,
    ) -> Result<Counts, ServerError> {
        let kept = self.capture_key.whole(server.names());
        let find = rawdoc! {"find": kept.as_str(), "filter": selection.filter.clone(), "hint": {"_id": 1}};
        let documents = server.read(find, session.as_deref_mut(), BYTES).await?;
        let mut counts = Undone::default();
        match &self.existing {
            // With its collection, what was in it is gone.
            None => {
                counts.gone = i64::try_from(documents.len()).unwrap_or(i64::MAX);
                let ids: Vec<Id> = documents.iter().filter_map(|document| Id::of_stored(document)).collect();
                left::note(server, session, self.capture_key, &ids).await?;
            }
            // Something else has its place.
            Some(existing) if (existing.kind == "timeseries") != self.measurements => {
                counts.conflicts = i64::try_from(documents.len()).unwrap_or(i64::MAX);
                let ids: Vec<Id> = documents.iter().filter_map(|document| Id::of_stored(document)).collect();
                left::note(server, session, self.capture_key, &ids).await?;
            }
            Some(existing) if self.measurements => {
                let back = measurements::bring_back(server, &kept, self.collection, existing, documents).await?;
                counts.restored = back.now + back.before;
            }
            Some(_) => {
                let documents = documents.into_iter().map(unwrapped).collect();
                self.bring_back(server, session, selection, documents, &mut counts).await?;
            }
        }
        Ok(Counts { undone: counts, ..Counts::default() })
    }
}

impl Kept<'_> {
    async fn bring_back(
        &mut self,
        server: &Server,
        mut session: Option<&mut ClientSession>,
        selection: &Selection,
        documents: Vec<RawDocumentBuf>,
        counts: &mut Undone,
    ) -> Result<(), ServerError> {
        let mut number = selection.chunk;
        let mut earlier = self.earlier.as_mut().filter(|_| session.is_none());
        if let Some(earlier) = &mut earlier {
            number = earlier.begin(server, self.collection, selection.chunk).await?;
        }
        let ids: Vec<Id> = documents.iter().filter_map(|document| Id::of_stored(document)).collect();
        let existing = by_id(read_by_id(server, session.as_deref_mut(), self.collection, &ids, usize::MAX).await?);
        let edited = self.edits.read(server, session.as_deref_mut(), &ids).await?;
        let mut missing = Vec::new();
        let mut found = Vec::new();
        let mut left = Vec::new();
        for (id, document) in ids.into_iter().zip(documents) {
            match existing.get(&id) {
                // An earlier attempt, `undrop`, or somebody has brought it back as it was.
                Some(other) if *other == document => {
                    counts.restored += 1;
                    continue;
                }
                None if edited.contains_key(&id) => counts.gone += 1,
                None if !self.left.contains(&id) && !is_changed(&document) => {
                    missing.push((id, document));
                    continue;
                }
                _ => counts.conflicts += 1,
            }
            found.push((id.clone(), vec![Vec::new()]));
            left.push(id);
        }
        if let (Some(own), false) = (self.own, missing.is_empty()) {
            let packs = packed_inserts(own, number, missing.iter().map(|(_, document)| document))?;
            keep_packs(server, session.as_deref_mut(), own, &packs).await?;
        }
        let documents = missing.iter().map(|(_, document)| document);
        match insert(server, session.as_deref_mut(), self.collection, documents, Barred::PassedOver).await {
            Ok(barred) => {
                counts.restored += i64::try_from(missing.len() - barred.len()).unwrap_or(i64::MAX);
                counts.conflicts += i64::try_from(barred.len()).unwrap_or(i64::MAX);
                for at in barred {
                    let id = &missing[at].0;
                    found.push((id.clone(), vec![Vec::new()]));
                    left.push(id.clone());
                }
            }
            // A transaction ends with the first one.
            Err(error) => {
                let barred = error.index.and_then(|at| missing.get(at)).filter(|_| taken(&error));
                let Some((id, _)) = barred else { return Err(error) };
                self.left.insert(id.clone());
                return Err(again(&error));
            }
        }
        left::note(server, session.as_deref_mut(), self.capture_key, &left).await?;
        self.edits.write(server, session, &found).await
    }
}
