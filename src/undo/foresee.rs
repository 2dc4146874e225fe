//! What undoing an operation on documents would do to them as they are now; nothing is written.

use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};

use bson::{RawDocumentBuf, rawdoc};

use super::decision::decide;
use super::edits::Edits;
use crate::capture::by_id::read_by_id;
use crate::capture::kept::unwrapped;
use crate::capture::pack::bounds;
use crate::capture::pack::{self, PackEntry, What};
use crate::error::server::ServerError;
use crate::mongo::catalog;
use crate::mongo::cursor::DocumentCursor;
use crate::mongo::id::{Id, by_id};
use crate::mongo::server::Server;
use crate::run::report::Undone;
use crate::undo::operation::UndoOperation;

/// Documents looked at together.
const AT_ONCE: usize = 1_000;

/// What is foreseen.
#[derive(Debug, Clone, Copy, Default)]
pub struct UndoForecast {
    /// What would become of the documents.
    pub undone: Undone,
    /// The number of documents that the undo of a later operation reaches first.
    pub met_again: i64,
}

/// Foresees it. `now` is the name that the collection has before the rollback; `met` has a hash for each document
/// that undoing later operations meets, and gets those of this one.
///
/// # Errors
/// The server's.
pub async fn foresee(
    server: &Server,
    undo: &UndoOperation,
    now: &str,
    met: &mut HashSet<u64>,
) -> Result<UndoForecast, ServerError> {
    let exists = catalog::collection(server, now).await?.filter(|existing| existing.kind != "view");
    let edits =
        Edits::open(server, undo.capture_key.capture, exists.as_ref().and_then(|found| found.uuid.as_deref())).await?;
    let mut look = Looking { server, undo, now, exists: exists.is_some(), edits, met, found: UndoForecast::default() };
    if undo.done == "delete_documents" {
        look.deleted().await?;
    } else {
        look.changed().await?;
    }
    Ok(look.found)
}

struct Looking<'a> {
    server: &'a Server,
    undo: &'a UndoOperation,
    now: &'a str,
    exists: bool,
    edits: Edits,
    met: &'a mut HashSet<u64>,
    found: UndoForecast,
}

impl Looking<'_> {
    /// Whether no operation undone before has to do with the document.
    fn first_met(&mut self, id: &Id) -> bool {
        let hasher = BuildHasherDefault::<DefaultHasher>::default();
        let first = self.met.insert(hasher.hash_one((self.now, id.as_bytes())));
        self.found.met_again += i64::from(!first);
        first
    }

    /// Documents kept whole come back unless others have their place.
    async fn deleted(&mut self) -> Result<(), ServerError> {
        let command =
            rawdoc! {"find": self.undo.capture_key.whole(self.server.names()), "filter": {}, "projection": {"_id": 1}};
        let mut kept = self.server.walk(command).await?;
        let mut batch = Vec::new();
        loop {
            let next = kept.next().await?;
            let last = next.is_none();
            if let Some(id) = next.as_deref().and_then(Id::of_stored)
                && self.first_met(&id)
            {
                batch.push(id);
            }
            if batch.len() >= AT_ONCE || (last && !batch.is_empty()) {
                let existing = self.existing_by_id(&batch).await?;
                let taken = i64::try_from(existing.len()).unwrap_or(i64::MAX);
                self.found.undone.conflicts += taken;
                self.found.undone.restored += i64::try_from(batch.len()).unwrap_or(i64::MAX) - taken;
                batch.clear();
            }
            if last {
                return Ok(());
            }
        }
    }

    /// Documents changed or inserted, by the three-way rule.
    async fn changed(&mut self) -> Result<(), ServerError> {
        let Some((low, high)) = bounds(self.undo.capture_key) else { return Ok(()) };
        let within = rawdoc! {"$gte": inner(&low), "$lte": inner(&high)};
        let packs = self.undo.capture_key.capture.packs(self.server.names());
        let command = rawdoc! {"find": packs, "filter": {"_id": within}, "sort": {"_id": -1}};
        let mut packs: DocumentCursor = self.server.walk(command).await?;
        while let Some(pack) = packs.next().await? {
            let entries: Vec<PackEntry> = pack::entries(&pack).unwrap_or_default().into_iter().rev().collect();
            for part in entries.chunks(AT_ONCE) {
                let part: Vec<&PackEntry> = part.iter().filter(|entry| self.first_met(&entry.id)).collect();
                self.decide(&part).await?;
            }
        }
        Ok(())
    }

    async fn decide(&mut self, entries: &[&PackEntry]) -> Result<(), ServerError> {
        if entries.is_empty() {
            return Ok(());
        }
        let ids: Vec<Id> = entries.iter().map(|entry| entry.id.clone()).collect();
        let current = self.existing_by_id(&ids).await?;
        let replaced: Vec<&Id> =
            entries.iter().filter(|entry| matches!(entry.what, What::Replaced { .. })).map(|entry| &entry.id).collect();
        let whole = match replaced.is_empty() {
            true => HashMap::new(),
            false => {
                let kept = read_by_id(
                    self.server,
                    None,
                    &self.undo.capture_key.whole(self.server.names()),
                    replaced,
                    usize::MAX,
                )
                .await?;
                by_id(kept.into_iter().map(unwrapped).collect())
            }
        };
        let edited = self.edits.read(self.server, None, ids.iter()).await?;
        for entry in entries {
            match current.get(&entry.id) {
                None => self.found.undone.gone += 1,
                Some(document) => {
                    decide(entry, document, &whole, edited.get(&entry.id), &mut self.found.undone);
                }
            }
        }
        Ok(())
    }

    async fn existing_by_id(&self, ids: &[Id]) -> Result<HashMap<Id, RawDocumentBuf>, ServerError> {
        if !self.exists {
            return Ok(HashMap::new());
        }
        Ok(by_id(read_by_id(self.server, None, self.now, ids, usize::MAX).await?))
    }
}

fn inner(id: &Id) -> RawDocumentBuf {
    id.document().get_document("_id").map(ToOwned::to_owned).unwrap_or_default()
}
