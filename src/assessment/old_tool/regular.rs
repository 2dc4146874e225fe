//! Taking back what the old tool did to regular assessments.

use std::collections::HashMap;

use bson::RawDocumentBuf;
use mongodb::ClientSession;

use super::OldToolUndo;
use crate::assessment::base::short;
use crate::assessment::model::{AssessmentKind, MIGRATION_SOURCE, ORIGINAL_ID};
use crate::assessment::names::ASSESSMENTS;
use crate::assessment::unified::put;
use crate::assessment::values::{id_text, text_of};
use crate::capture::by_id::read_by_id;
use crate::capture::delta::{DocumentChange, difference_opening};
use crate::capture::pack::{PackEntry, What};
use crate::error::server::ServerError;
use crate::mongo::id::{Id, by_id};
use crate::mongo::raw::{Builder, DOCUMENT, Element, fields, first, get};
use crate::mongo::server::Server;
use crate::run::report::{Counts, Undone};
use crate::undo::decision::decide;
use crate::undo::recapture::Recapture;
use crate::undo::writes::UndoWrites;

impl OldToolUndo {
    pub(super) async fn regular(
        &self,
        server: &Server,
        mut session: Option<&mut ClientSession>,
    ) -> Result<Counts, ServerError> {
        let ids: Vec<Id> = self.backup.regular.iter().filter_map(|document| Id::of_stored(document)).collect();
        let found = by_id(read_by_id(server, session.as_deref_mut(), ASSESSMENTS, &ids, usize::MAX).await?);
        let mut counts = Undone::default();
        let mut record = Recapture::new(self.capture_key, 0);
        let mut writes = UndoWrites::new(ASSESSMENTS, false);
        let nothing_whole = HashMap::new();
        for (id, before) in ids.iter().zip(&self.backup.regular) {
            let Some(now) = found.get(id) else {
                counts.gone += 1;
                continue;
            };
            let Some(as_migrated) = self.as_migrated(before, now) else { continue };
            let DocumentChange::Fields(delta) = difference_opening(before, &as_migrated, &[b"settings"]) else {
                counts.conflicts += 1;
                continue;
            };
            let after = short(as_migrated.as_bytes());
            let entry = PackEntry { id: id.clone(), what: What::Changed { delta, after } };
            let (write, _) = decide(&entry, now, &nothing_whole, None, &mut counts);
            if let Some(write) = write {
                record.add(now, &write);
                writes.add(id.clone(), write);
            }
        }
        writes.send(server, session.as_deref_mut()).await.map_err(|(error, _)| error)?;
        record.write(server, session).await?;
        Ok(Counts { undone: counts, ..Counts::default() })
    }

    /// The document as the tool left it; `None` where the document is not unified, or not any more.
    fn as_migrated(&self, before: &RawDocumentBuf, now: &RawDocumentBuf) -> Option<RawDocumentBuf> {
        let id = id_text(&first(before.as_bytes())?);
        let said = |name: &str| get(now.as_bytes(), name).as_ref().and_then(text_of).map(<[u8]>::to_vec);
        let source = said(MIGRATION_SOURCE)? == AssessmentKind::Regular.source().as_bytes();
        if !source || said(ORIGINAL_ID)? != id {
            return None;
        }
        let made = self.backup.made_of(before, now, AssessmentKind::Regular)?;
        let mut wanted: Vec<Element<'_>> = Vec::new();
        let mut settings = Builder::new();
        for (value, _) in &made {
            if value.path.within.is_empty() {
                wanted.push(value.element());
            } else {
                settings.push(&value.element());
            }
        }
        let settings = settings.finish();
        wanted.push(Element { kind: DOCUMENT, name: b"settings", value: settings.as_bytes() });
        Some(put(&fields(before.as_bytes())?, wanted, true))
    }
}
