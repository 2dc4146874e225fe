//! Whether everything is as it should be after a migration: every document of both collections is read and looked at.

use std::collections::{HashMap, HashSet};

use bson::{DateTime, RawDocumentBuf, rawdoc};

use super::mapping::{Unmapped, map};
use super::model::{BATCHES, FIELDS, MIGRATION_SOURCE, ORIGINAL_ID, Side, TOTAL_QUESTIONS, UPDATED_AT};
use super::references;
use super::report::{Clash, Reported, UnmappedDocument, Validation};
use super::survey::Known;
use super::teacher::{counterparts, is_copy_of, original_of};
use super::values::{fits, id_text, is_date, is_number, shown, text_of};
use super::{ASSESSMENTS, TEACHER_ASSESSMENTS};
use crate::raw::{ARRAY, DOCUMENT, Element, elements, fields, fingerprint, first};
use crate::run::id::Id;
use crate::server::Server;
use crate::server_error::ServerError;

/// Teacher assessments whose copies are looked for at once.
const AT_ONCE: usize = 2_000;
/// Problems of documents that are described one by one.
const SHOWN: usize = 20;

/// What was found.
#[derive(Debug, Default)]
pub struct Found {
    /// The sum of it.
    pub validation: Validation,
    /// What cannot be mapped.
    pub unmapped: Vec<UnmappedDocument>,
    /// Regular assessments that cannot be mapped.
    pub regular_unmapped: i64,
    /// Teacher assessments that have a copy.
    pub copied: i64,
    /// Teacher assessments whose copies have another `_id` because theirs is taken.
    pub clashes: Vec<Clash>,
    /// What the old tool left.
    pub reported: Reported,
}

/// Reads both collections and what refers to them.
///
/// # Errors
/// The server's.
pub async fn validate(server: &Server, now: DateTime) -> Result<Found, ServerError> {
    let mut found = Found::default();
    let mut known = Known::default();
    // The copies that stand under another `_id`: by the fingerprint of the original's.
    let mut elsewhere: HashMap<[u8; 16], Id> = HashMap::new();
    let mut documents = server.walk(rawdoc! {"find": ASSESSMENTS}).await?.ahead();
    while let Some(document) = documents.next().await? {
        found.look_at(&document, now);
        if let (Some(original), Some(id)) = (original_of(document.as_bytes()), first(document.as_bytes()))
            && id_text(&id) != original
            && let Some(id) = Id::from_element(&id)
        {
            elsewhere.insert(fingerprint(original), id);
            known.note(document.as_bytes());
        }
    }
    let mut unmapped = HashSet::new();
    let mut clashes = Vec::new();
    let mut teachers = server.walk(rawdoc! {"find": TEACHER_ASSESSMENTS, "projection": {"_id": 1}}).await?;
    let mut batch: Vec<Id> = Vec::new();
    loop {
        let next = teachers.next().await?;
        let last = next.is_none();
        batch.extend(next.and_then(|document| Id::of_stored(&document)));
        if !last && batch.len() < AT_ONCE {
            continue;
        }
        let there = counterparts(server, None, &batch).await?;
        let mut missing = Vec::new();
        for id in batch.drain(..) {
            let Some(text) = first(id.as_bytes()).map(|id| id_text(&id)) else { continue };
            let standing = there.get(&id);
            if standing.is_some_and(|other| is_copy_of(other.as_bytes(), &text)) {
                found.copied += 1;
            } else if let Some(copy) = elsewhere.get(&fingerprint(&text)) {
                found.copied += 1;
                if standing.is_some() {
                    clashes.push((id, copy.clone()));
                }
            } else {
                missing.push(id);
            }
        }
        found.look_at_missing(server, &missing, now, &mut unmapped).await?;
        if last {
            break;
        }
    }
    let counts = references::count(server, &clashes.iter().map(|(id, _)| id.clone()).collect::<Vec<_>>()).await?;
    found.clashes = clashes
        .iter()
        .zip(counts)
        .map(|((id, copy), references)| Clash { id: value(id), new_id: value(copy), references })
        .collect();
    found.validation.references = references::check(server, &known, &unmapped).await?;
    Ok(found)
}

fn value(id: &Id) -> serde_json::Value {
    first(id.as_bytes()).map_or(serde_json::Value::Null, |id| shown(&id))
}

impl Found {
    /// A document of the assessments' collection.
    fn look_at(&mut self, document: &RawDocumentBuf, now: DateTime) {
        self.validation.total += 1;
        let Some(present) = fields(document.as_bytes()) else { return };
        let get = |name: &str| present.iter().find(|field| field.name == name.as_bytes());
        let source = get(MIGRATION_SOURCE).and_then(text_of);
        let named = get(ORIGINAL_ID).and_then(text_of).is_some();
        let side = [Side::Regular, Side::Teacher]
            .into_iter()
            .find(|side| named && source.is_some_and(|source| source == side.source().as_bytes()));
        match side {
            None => {
                let mapped = map(document.as_bytes(), Side::Regular, now);
                match mapped.and_then(|unified| unified.check(document.as_bytes(), Side::Regular)) {
                    Ok(()) => self.validation.added_meanwhile += 1,
                    Err(why) => {
                        self.regular_unmapped += 1;
                        self.unmapped.push(described(ASSESSMENTS, document, why));
                    }
                }
                return;
            }
            Some(Side::Regular) => self.validation.regular += 1,
            Some(Side::Teacher) => self.validation.teacher += 1,
        }
        self.validation.unified += 1;
        if let Some(problem) = incomplete(&present) {
            self.validation.missing_fields += 1;
            if self.validation.problems.len() < SHOWN {
                let id = present.first().map_or(serde_json::Value::Null, shown);
                self.validation.problems.push(format!("{ASSESSMENTS} {id}: {problem}"));
            }
        }
        let empty = |name: &str, wanted: bool| {
            get(name).is_some_and(|field| field.kind == ARRAY && elements(field.value).next().is_none() == wanted)
        };
        if empty(BATCHES, true) && empty("assigned_batches", false) {
            self.reported.empty_batches += 1;
            self.reported.ids.extend(present.first().map(shown));
        }
    }

    /// Teacher assessments without a copy: they cannot be mapped, or were added while the migration ran.
    async fn look_at_missing(
        &mut self,
        server: &Server,
        ids: &[Id],
        now: DateTime,
        unmapped: &mut HashSet<Id>,
    ) -> Result<(), ServerError> {
        if ids.is_empty() {
            return Ok(());
        }
        let mut documents =
            server.walk(rawdoc! {"find": TEACHER_ASSESSMENTS, "filter": {"_id": Id::any_of(ids)}}).await?;
        while let Some(document) = documents.next().await? {
            let mapped = map(document.as_bytes(), Side::Teacher, now);
            match mapped.and_then(|unified| unified.check(document.as_bytes(), Side::Teacher)) {
                Ok(()) => {
                    self.validation.added_meanwhile += 1;
                    // Nobody has lost it: it comes with the next run.
                    unmapped.extend(Id::of_stored(&document));
                }
                Err(why) => {
                    self.unmapped.push(described(TEACHER_ASSESSMENTS, &document, why));
                    unmapped.extend(Id::of_stored(&document));
                }
            }
        }
        Ok(())
    }
}

fn described(collection: &str, document: &RawDocumentBuf, why: Unmapped) -> UnmappedDocument {
    UnmappedDocument {
        collection: collection.to_owned(),
        id: first(document.as_bytes()).map_or(serde_json::Value::Null, |id| shown(&id)),
        field: why.field,
        reason: why.reason,
    }
}

/// What a unified document lacks, or has of a wrong type.
fn incomplete(present: &[Element<'_>]) -> Option<String> {
    let get = |name: &str| present.iter().find(|field| field.name == name.as_bytes());
    let settings = get("settings").filter(|field| field.kind == DOCUMENT).and_then(|field| fields(field.value));
    for field in &FIELDS {
        let path = field.path;
        let standing = match path.within {
            "" => get(path.name).copied(),
            _ => settings.iter().flatten().find(|inside| inside.name == path.name.as_bytes()).copied(),
        };
        let name = if path.within.is_empty() { path.name.to_owned() } else { format!("{}.{}", path.within, path.name) };
        match standing {
            None => return Some(format!("{name} is missing")),
            Some(standing) if !fits(field, standing.kind) => {
                return Some(format!("{name} is {}", super::values::type_name(standing.kind)));
            }
            Some(_) => {}
        }
    }
    if !get(UPDATED_AT).is_some_and(|field| is_date(field.kind)) {
        return Some(format!("{UPDATED_AT} is missing or no date"));
    }
    if !get(TOTAL_QUESTIONS).is_some_and(|field| is_number(field.kind)) {
        return Some(format!("{TOTAL_QUESTIONS} is missing or no number"));
    }
    None
}
