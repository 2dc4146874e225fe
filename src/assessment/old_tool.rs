//! Rolling back what the old tool did, from the backup document that it left: before is what that holds, as migrated is
//! what the tool made of it, and what stands now is told from that by the three-way rule.
//!
//! The tool noted no time of its own, neither which indexes it made. What it wrote as the time of its run is taken for its
//! own where it lies within [`LONGEST`] of the backup.

use std::collections::HashMap;
use std::sync::Arc;

use bson::{DateTime, Document, RawArrayBuf, RawDocumentBuf, doc, rawdoc};
use mongodb::ClientSession;

use super::base::{Base, Key, Print, flat, key, print};
use super::carry_back::carry_back;
use super::mapping::{Value, count, default_value, id_text, put, text, text_of};
use super::model::{FIELDS, MIGRATION_SOURCE, ORIGINAL_ID, Path, QUESTIONS, Side, TOTAL_QUESTIONS, UPDATED_AT};
use super::teacher::original_of;
use super::{ASSESSMENTS, OLD_TOOL, TEACHER_ASSESSMENTS};
use crate::capture::delta::{Change, difference_opening};
use crate::capture::documents::read_by_id;
use crate::capture::pack::{Entry, What};
use crate::capture::registry;
use crate::ops::{Halt, Place};
use crate::raw::{ARRAY, Builder, DATE, DOCUMENT, Element, INT32, NULL, TEXT, documents, fields, first, get};
use crate::run::Run;
use crate::run::chunks::{ChunkBody, Selected, Selection};
use crate::run::id::Id;
use crate::run::journal::{Journal, Refused};
use crate::run::patience::Patience;
use crate::run::progress::{OperationProgress, Position};
use crate::run::report::{Counts, Mapped, Outcome, Undone};
use crate::run::slot::Slot;
use crate::server::Server;
use crate::server_error::{ServerError, codes};
use crate::undo::documents::{Record, decide};
use crate::undo::writes::{Write, Writes};

/// Where the old tool left its backups.
const COLLECTION: &str = "assessment_backup";
/// How long its run can have taken, in milliseconds: it did some 520 documents a second, of 16 MB at most.
const LONGEST: i64 = 10 * 60 * 1000;
/// How often a transaction that met another writer is tried.
const ATTEMPTS: i64 = 100;

/// The backup document.
#[derive(Debug)]
pub struct Backup {
    /// Its `_id` as text.
    pub id: String,
    /// When it was written.
    pub at: DateTime,
    regular: Vec<RawDocumentBuf>,
    teacher: Vec<RawDocumentBuf>,
}

impl Backup {
    fn of(document: &RawDocumentBuf) -> Option<Self> {
        let list = |name: &str| {
            get(document.as_bytes(), name).filter(|list| list.kind == ARRAY).map(|list| {
                documents(list.value).filter_map(|each| RawDocumentBuf::from_bytes(each.to_vec()).ok()).collect()
            })
        };
        Some(Self {
            id: String::from_utf8_lossy(&id_text(&first(document.as_bytes())?)).into_owned(),
            at: document.get_datetime("backup_timestamp").ok()?,
            regular: list("regular_assessments")?,
            teacher: list("teacher_assessments")?,
        })
    }

    /// What could not be known, in words.
    pub fn unknown(&self) -> Vec<String> {
        vec![
            "when the old tool ended: an updated_at or a created_at within ten minutes of its backup is taken for its own, and a \
             later one for somebody's edit, which stays"
                .to_owned(),
            "whether the old tool made the indexes, or they stood before: they stay".to_owned(),
        ]
    }

    /// Whether a date may be the time of its run.
    fn may_have_written(&self, value: &Element<'_>) -> bool {
        let moment = <[u8; 8]>::try_from(value.value).map(i64::from_le_bytes).unwrap_or(i64::MIN);
        let since = moment.saturating_sub(self.at.timestamp_millis());
        value.kind == DATE && (0..=LONGEST).contains(&since)
    }
}

/// The latest one, unless a rollback has used it or nothing is unified any more.
///
/// # Errors
/// The server's.
pub async fn find(server: &Server, used: Option<&str>) -> Result<Option<Backup>, ServerError> {
    let find = doc! {"find": COLLECTION, "filter": {}, "sort": {"backup_timestamp": -1, "_id": -1}, "limit": 1};
    let found = server.find_all(find).await?;
    let Some(backup) = found.first().and_then(Backup::of).filter(|backup| used != Some(backup.id.as_str())) else {
        return Ok(None);
    };
    let sources = [Side::Regular.source(), Side::Teacher.source()];
    let unified = doc! {"find": ASSESSMENTS, "filter": {"migration_source": {"$in": sources.to_vec()}}, "limit": 1};
    Ok((!server.find_all(unified).await?.is_empty()).then_some(backup))
}

/// One of the two tasks, in one transaction: what the old tool could migrate has 16 MB at most.
pub async fn carry_out(
    run: &mut Run,
    journal: &mut Journal,
    backup: &Arc<Backup>,
    side: Side,
    hash: &str,
    place: Place,
) -> Result<(), Halt> {
    let slot = journal.progress.capture.map(|capture| capture.slot(place.index));
    if let Some(slot) = slot {
        let mut entry = registry::Entry::first(slot, OLD_TOOL, ASSESSMENTS, Document::new());
        journal.note_with(run, place.index, &mut entry, OperationProgress::new(hash), Some(Position::Whole)).await?;
    }
    let atomic = run.server.transactions();
    let mut body = Undo { backup: Arc::clone(backup), side, slot };
    let mut whole = Selected { body: &mut body, selection: Selection::whole(RawDocumentBuf::new()) };
    let (reporter, stop) = (run.reporter.clone(), run.stop.clone());
    let mut patience = Patience::new(&reporter, &stop);
    let mut conflicts = 0;
    loop {
        run.safe_point()?;
        let entry = |counts: Counts| {
            let mut done = OperationProgress::new(hash);
            done.begun = true;
            done.outcome = Some(Outcome::Done);
            done.counts = counts;
            done.chunks = 1;
            done.conflicts = conflicts;
            (done, None)
        };
        match journal.advance(run, place.index, atomic, &mut whole, entry).await {
            Ok(()) => return Ok(()),
            Err(Refused::Server(e)) if e.is(codes::WRITE_CONFLICT) && conflicts < ATTEMPTS => {
                conflicts += 1;
                tokio::time::sleep(std::time::Duration::from_millis(conflicts.unsigned_abs())).await;
            }
            Err(Refused::Server(e)) => patience.wait(e).await?.map_err(Halt::from)?,
            Err(stopped) => return Err(stopped.into()),
        }
    }
}

/// What the tool did to one kind of assessment, taken back.
struct Undo {
    backup: Arc<Backup>,
    side: Side,
    slot: Option<Slot>,
}

impl ChunkBody for Undo {
    async fn write(
        &mut self,
        server: &Server,
        session: Option<&mut ClientSession>,
        _: &Selection,
    ) -> Result<Counts, ServerError> {
        match self.side {
            Side::Regular => self.regular(server, session).await,
            Side::Teacher => self.teacher(server, session).await,
        }
    }
}

impl Undo {
    async fn regular(&self, server: &Server, mut session: Option<&mut ClientSession>) -> Result<Counts, ServerError> {
        let ids: Vec<Id> = self.backup.regular.iter().filter_map(|document| Id::of_stored(document)).collect();
        let found = read_by_id(server, session.as_deref_mut(), ASSESSMENTS, &ids, usize::MAX).await?;
        let found: HashMap<Id, RawDocumentBuf> =
            found.into_iter().filter_map(|document| Some((Id::of_stored(&document)?, document))).collect();
        let mut counts = Undone::default();
        let mut record = Record::new(self.slot, 0);
        let mut writes = Writes::new(ASSESSMENTS, false);
        let nothing_whole = HashMap::new();
        for (id, before) in ids.iter().zip(&self.backup.regular) {
            let Some(now) = found.get(id) else {
                counts.gone += 1;
                continue;
            };
            let Some(as_migrated) = self.as_migrated(before, now) else { continue };
            let Change::Fields(delta) = difference_opening(before, &as_migrated, &[b"settings"]) else {
                counts.conflicts += 1;
                continue;
            };
            let after = super::base::short(as_migrated.as_bytes());
            let entry = Entry { id: id.clone(), what: What::Changed { delta, after } };
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

    /// The document as the tool left it; `None` where what stands is not unified, or not any more.
    fn as_migrated(&self, before: &RawDocumentBuf, now: &RawDocumentBuf) -> Option<RawDocumentBuf> {
        let id = id_text(&first(before.as_bytes())?);
        let said = |name: &str| get(now.as_bytes(), name).as_ref().and_then(text_of).map(<[u8]>::to_vec);
        let source = said(MIGRATION_SOURCE)? == Side::Regular.source().as_bytes();
        if !source || said(ORIGINAL_ID)? != id {
            return None;
        }
        let made = self.made_of(before, now, Side::Regular)?;
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

    /// The fields that the tool wrote, by its own mapping: a value of the same name at the top, whatever it is, or the
    /// default. Its times are those that stand now, where they may be its own.
    fn made_of<'a>(
        &self,
        before: &'a RawDocumentBuf,
        now: &RawDocumentBuf,
        side: Side,
    ) -> Option<Vec<(Value<'a>, Option<Path>)>> {
        let own = fields(before.as_bytes())?;
        let standing = |name: &str| {
            let value = get(now.as_bytes(), name).filter(|value| self.backup.may_have_written(value));
            value.map_or_else(|| self.backup.at.timestamp_millis().to_le_bytes().to_vec(), |value| value.value.to_vec())
        };
        let top = |name: &'static str| Path { within: "", name };
        let value = |path: Path, kind: u8, bytes: Vec<u8>| Value {
            path,
            kind,
            bytes: bytes.into(),
            origin: None,
            converted: false,
        };
        let mut made = Vec::with_capacity(FIELDS.len() + 4);
        for field in &FIELDS {
            let name =
                if side == Side::Teacher && field.path.name == "created_by" { "teacher_id" } else { field.path.name };
            let found = own.iter().find(|own| own.name == name.as_bytes());
            made.push(match found {
                Some(found) => (value(field.path, found.kind, found.value.to_vec()), Some(top(name))),
                None if field.path.name == "created_at" => (value(field.path, DATE, standing("created_at")), None),
                None => (default_value(field.path, field.default(side), self.backup.at), None),
            });
        }
        let questions = own.iter().find(|field| field.name == QUESTIONS.as_bytes() && field.kind == ARRAY);
        let questions = questions.map_or(0, |questions| count(questions.value));
        made.push((value(top(TOTAL_QUESTIONS), INT32, questions.to_le_bytes().to_vec()), None));
        made.push((value(top(UPDATED_AT), DATE, standing(UPDATED_AT)), None));
        made.push((value(top(MIGRATION_SOURCE), TEXT, text(side.source().as_bytes())), None));
        made.push((value(top(ORIGINAL_ID), TEXT, text(&id_text(own.first()?))), None));
        Some(made)
    }

    async fn teacher(&self, server: &Server, mut session: Option<&mut ClientSession>) -> Result<Counts, ServerError> {
        let ids: Vec<Id> = self.backup.teacher.iter().filter_map(|document| Id::of_stored(document)).collect();
        let originals = read_by_id(server, session.as_deref_mut(), TEACHER_ASSESSMENTS, &ids, usize::MAX).await?;
        let originals: HashMap<Id, RawDocumentBuf> =
            originals.into_iter().filter_map(|document| Some((Id::of_stored(&document)?, document))).collect();
        let mut copies = self.copies(server, session.as_deref_mut()).await?;
        let mut counts = Undone::default();
        let mut mapped = Mapped::default();
        let mut record = Record::new(self.slot, 0);
        let mut removals = Writes::new(ASSESSMENTS, false);
        let mut replacements = Writes::new(TEACHER_ASSESSMENTS, false);
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
        both.push(rawdoc! {"migration_source": Side::Teacher.source()});
        both.push(rawdoc! {"original_id": within.finish()});
        let find = rawdoc! {"find": ASSESSMENTS, "filter": {"$and": both}};
        let found = server.read(find, session, usize::MAX).await?;
        let before: Vec<Id> = self.backup.regular.iter().filter_map(|document| Id::of_stored(document)).collect();
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
        for (value, origin) in self.made_of(before, copy, Side::Teacher)? {
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
