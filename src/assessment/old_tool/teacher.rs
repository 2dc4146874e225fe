//! Taking back the copies that the old tool made of teacher assessments.

use std::collections::{HashMap, HashSet};

use bson::{RawArrayBuf, RawDocumentBuf, rawdoc};
use mongodb::ClientSession;

use super::OldToolUndo;
use crate::assessment::base::{Base, Key, Print, flat, key, print};
use crate::assessment::carry_back::carry_back;
use crate::assessment::copies::original_of;
use crate::assessment::model::AssessmentKind;
use crate::assessment::names::{ASSESSMENTS, TEACHER_ASSESSMENTS};
use crate::assessment::values::{id_text, text};
use crate::capture::by_id::read_by_id;
use crate::error::server::ServerError;
use crate::mongo::id::{Id, by_id};
use crate::mongo::raw::{ARRAY, Builder, NULL, TEXT, first};
use crate::mongo::server::Server;
use crate::run::report::{Counts, Mapped, Undone};
use crate::undo::recapture::Recapture;
use crate::undo::writes::{UndoWrites, Write};

impl OldToolUndo {
    pub(super) async fn teacher(
        &self,
        server: &Server,
        mut session: Option<&mut ClientSession>,
    ) -> Result<Counts, ServerError> {
        let ids: Vec<Id> = self.backup.teacher.iter().filter_map(|document| Id::of_stored(document)).collect();
        let originals = by_id(read_by_id(server, session.as_deref_mut(), TEACHER_ASSESSMENTS, &ids, usize::MAX).await?);
        let mut copies = self.copies(server, session.as_deref_mut()).await?;
        let mut counts = Undone::default();
        let mut mapped = Mapped::default();
        let mut record = Recapture::new(self.capture_key, 0);
        let mut removals = UndoWrites::new(ASSESSMENTS, false);
        let mut replacements = UndoWrites::new(TEACHER_ASSESSMENTS, false);
        for (id, before) in ids.iter().zip(&self.backup.teacher) {
            let Some(as_text) = first(before.as_bytes()).map(|id| id_text(&id)) else { continue };
            let Some(copy) = copies.remove(&as_text) else {
                counts.gone += 1;
                continue;
            };
            let Some(copy_id) = Id::of_stored(&copy) else { continue };
            let original = originals.get(id);
            let base = self.base(before, &copy);
            let edited = base.as_ref().is_none_or(|base| !as_copied(base, &copy));
            let untouched = original == Some(before);
            let carried = match (original, &base) {
                (Some(original), Some(base)) if edited => carry_back(base, original.as_bytes(), copy.as_bytes()),
                _ => None,
            };
            match (original, carried) {
                (None, _) => {
                    counts.gone += 1;
                    if edited {
                        // It is all there is of that work.
                        mapped.kept_copies += 1;
                        continue;
                    }
                }
                (Some(_), None) if edited => {
                    counts.conflicts += 1;
                    mapped.kept_copies += 1;
                    continue;
                }
                (Some(_), None) if untouched => counts.restored += 1,
                (Some(_), None) => counts.restored_with_edits += 1,
                (Some(original), Some(carried)) => {
                    let write = carried.document.clone().and_then(Write::replacing);
                    if carried.document.is_some() && write.is_none() {
                        counts.conflicts += 1;
                        mapped.kept_copies += 1;
                        continue;
                    }
                    if carried.conflicts > 0 {
                        counts.conflicts += 1;
                    } else if write.is_none() && untouched {
                        counts.restored += 1;
                    } else {
                        counts.restored_with_edits += 1;
                    }
                    if let Some(write) = write {
                        mapped.carried_back += 1;
                        record.add(original, &write);
                        replacements.add(id.clone(), write);
                    }
                }
            }
            record.add(&copy, &Write::Delete);
            removals.add(copy_id, Write::Delete);
        }
        replacements.send(server, session.as_deref_mut()).await.map_err(|(error, _)| error)?;
        removals.send(server, session.as_deref_mut()).await.map_err(|(error, _)| error)?;
        record.write(server, session).await?;
        Ok(Counts { undone: counts, mapped, ..Counts::default() })
    }

    /// The copies that the tool made, by the original's `_id` as text. What it had found in the collection is none.
    async fn copies(
        &self,
        server: &Server,
        session: Option<&mut ClientSession>,
    ) -> Result<HashMap<Vec<u8>, RawDocumentBuf>, ServerError> {
        let mut texts = Builder::new();
        for (index, document) in self.backup.teacher.iter().enumerate() {
            let Some(id) = first(document.as_bytes()) else { continue };
            texts.value(TEXT, index.to_string().as_bytes(), &text(&id_text(&id)));
        }
        let mut within = Builder::new();
        within.value(ARRAY, b"$in", texts.finish().as_bytes());
        let mut both = RawArrayBuf::new();
        both.push(rawdoc! {"migration_source": AssessmentKind::Teacher.source()});
        both.push(rawdoc! {"original_id": within.finish()});
        let find = rawdoc! {"find": ASSESSMENTS, "filter": {"$and": both}};
        let found = server.read(find, session, usize::MAX).await?;
        let before: HashSet<Id> = self.backup.regular.iter().filter_map(|document| Id::of_stored(document)).collect();
        Ok(found
            .into_iter()
            .filter(|copy| Id::of_stored(copy).is_some_and(|id| !before.contains(&id)))
            .filter_map(|copy| Some((original_of(copy.as_bytes())?.to_vec(), copy)))
            .collect())
    }

    /// What the original and its copy were.
    fn base(&self, before: &RawDocumentBuf, copy: &RawDocumentBuf) -> Option<Base> {
        let original: HashMap<Key, Print> =
            flat(before.as_bytes())?.into_iter().map(|(key, field)| (key, print(field.kind, field.value))).collect();
        let mut base = Base { original, ..Base::default() };
        for (value, origin) in self.backup.made_of(before, copy, AssessmentKind::Teacher)? {
            let target = key(value.path);
            if let Some(origin) = origin.filter(|_| value.kind != NULL) {
                base.origin.insert(target.clone(), key(origin));
            }
            base.copy.insert(target, print(value.kind, &value.bytes));
        }
        Some(base)
    }
}

/// Whether a copy is as the tool made it.
fn as_copied(base: &Base, copy: &RawDocumentBuf) -> bool {
    let Some(now) = flat(copy.as_bytes()) else { return false };
    now.len() == base.copy.len()
        && now.iter().all(|(key, field)| base.copy.get(key) == Some(&print(field.kind, field.value)))
}
