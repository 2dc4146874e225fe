//! Undoing deletes: documents that were kept whole return, unless somebody has made others in their place.

use std::collections::HashSet;

use bson::{RawArrayBuf, RawDocumentBuf, rawdoc};
use mongodb::ClientSession;

use super::edits::Edits;
use super::writes::keep_timestamps;
use super::{again, taken};
use crate::capture::documents::{insert, read_by_id, unwrapped};
use crate::capture::pack::Packer;
use crate::ops::announce::takes_transactions;
use crate::ops::documents::look_up;
use crate::ops::{Halt, Place};
use crate::raw::first;
use crate::run::Run;
use crate::run::chunks::{ChunkBody, Selection, work_through};
use crate::run::id::{Id, by_id};
use crate::run::journal::Journal;
use crate::run::patience::{Patience, patiently};
use crate::run::report::{Counts, Undone};
use crate::run::slot::{Capture, Slot};
use crate::run::step::Undo;
use crate::run::transaction::send;
use crate::run::windows::Scope;
use crate::server::Server;
use crate::server_error::ServerError;

/// Bytes of documents that one transaction brings back.
const BYTES: usize = 32 * 1024 * 1024;

/// Undoes a delete; what it makes is captured in `own`, and edits that it meets are kept with the `oldest` captures.
pub async fn undo(
    run: &mut Run,
    journal: &mut Journal,
    undo: &Undo,
    own: Option<Slot>,
    oldest: Capture,
    place: Place,
) -> Result<(), Halt> {
    let standing = look_up(run, &undo.collection).await?;
    let atomic = match &standing {
        Some(standing) => takes_transactions(run, &undo.collection, standing),
        None => run.server.transactions(),
    };
    let scope = Scope {
        collection: undo.slot.whole(run.server.names()),
        filter: RawDocumentBuf::new(),
        hint: None,
        variables: None,
        atomic,
        bounds: None,
        weight: 1,
        total: None,
    };
    let uuid = standing.as_ref().and_then(|standing| standing.uuid.as_deref());
    let mut patience = Patience::new(&run.reporter, &run.stop);
    let edits = patiently!(patience, Edits::open(&run.server, oldest, uuid))?;
    let mut body = Kept {
        collection: &undo.collection,
        edits,
        kind: standing.map(|standing| standing.kind).filter(|kind| kind != "view"),
        kept: undo.slot.whole(run.server.names()),
        own,
        left: HashSet::new(),
    };
    Ok(work_through(run, journal, place.index, place.operations, &undo.hash, &scope, &mut body).await?)
}

/// The documents of a window, brought back.
struct Kept<'a> {
    collection: &'a str,
    /// `None` where nothing stands that could hold documents.
    kind: Option<String>,
    edits: Edits,
    kept: String,
    own: Option<Slot>,
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
        let find = rawdoc! {"find": self.kept.as_str(), "filter": selection.filter.clone(), "hint": {"_id": 1}};
        let documents = server.read(find, session.as_deref_mut(), BYTES).await?;
        let documents: Vec<RawDocumentBuf> = documents.into_iter().map(unwrapped).collect();
        let mut counts = Undone::default();
        let all = i64::try_from(documents.len()).unwrap_or(i64::MAX);
        match self.kind.as_deref() {
            // With its collection, what was in it is gone.
            None => counts.gone = all,
            Some("timeseries") => {
                let unwrapped: Vec<RawDocumentBuf> =
                    documents.iter().filter_map(|kept| kept.get_document("d").ok().map(ToOwned::to_owned)).collect();
                insert(server, session, self.collection, unwrapped.iter(), false).await?;
                counts.restored = all;
            }
            Some(_) => self.bring_back(server, session, selection, documents, &mut counts).await?,
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
        let ids: Vec<Id> = documents.iter().filter_map(|document| Id::of_stored(document)).collect();
        let standing = by_id(read_by_id(server, session.as_deref_mut(), self.collection, &ids, usize::MAX).await?);
        let edited = self.edits.read(server, session.as_deref_mut(), &ids).await?;
        let mut missing = Vec::new();
        let mut found = Vec::new();
        for (id, document) in ids.into_iter().zip(documents) {
            match standing.get(&id) {
                Some(other) if *other == document => counts.restored += 1,
                None if edited.contains_key(&id) => counts.gone += 1,
                None if !self.left.contains(&id) => {
                    missing.push((id, document));
                    continue;
                }
                _ => counts.conflicts += 1,
            }
            found.push((id, vec![Vec::new()]));
        }
        self.edits.write(server, session.as_deref_mut(), &found).await?;
        if missing.is_empty() {
            return Ok(());
        }
        let command = rawdoc! {
            "insert": self.collection,
            "documents": missing.iter().map(|(_, document)| document.clone()).collect::<RawArrayBuf>(),
            "bypassDocumentValidation": true,
        };
        if let Err(error) = send(server, session.as_deref_mut(), command).await {
            let barred = error.index.and_then(|at| missing.get(at)).filter(|_| taken(&error));
            let Some((id, _)) = barred else { return Err(error) };
            self.left.insert(id.clone());
            return Err(again(&error));
        }
        for (_, document) in &missing {
            keep_timestamps(server, session.as_deref_mut(), self.collection, document).await?;
        }
        counts.restored += i64::try_from(missing.len()).unwrap_or(i64::MAX);
        let Some(own) = self.own else { return Ok(()) };
        let mut packer = Packer::new(own, selection.number(session.is_some()));
        for (_, document) in &missing {
            if let Some(id) = first(document.as_bytes()) {
                packer.inserted(&id, document);
            }
        }
        insert(server, session, &own.capture.packs(server.names()), packer.finish().iter(), false).await
    }
}
