//! Whether everything is as it should be after a migration: every document of both collections is read and looked at.

use std::collections::HashMap;

use bson::raw::cstr;
use bson::{RawDocumentBuf, rawdoc};

use super::constraints::{Constraints, Seen};
use super::copies::{CopyPlace, KnownCopies, places};
use super::expected::ExpectedCollections;
use super::ids::Ids;
use super::mapping::Unmapped;
use super::model::{
    AssessmentKind, BATCHES, FIELDS, MIGRATION_SOURCE, ORIGINAL_ID, Rules, TOTAL_QUESTIONS, UPDATED_AT,
};
use super::names::{ASSESSMENTS, TEACHER_ASSESSMENTS};
use super::references;
use super::refusals::Refusals;
use super::regular::{CHUNK_BYTES, pending};
use super::report::{Clash, LISTED, Reported, UnmappedDocument, Validation};
use super::survey::{Copied, candidate, collection, described};
use super::values::{fits, is_date, is_number, shown, text_of};
use crate::error::server::ServerError;
use crate::mongo::id::Id;
use crate::mongo::raw::{ARRAY, DOCUMENT, Element, elements, fields, first};
use crate::mongo::server::Server;

/// Teacher assessments whose copies are looked for at once.
const AT_ONCE: usize = 1_000;
/// Problems of documents that are described one by one.
const SHOWN: usize = 20;

/// What was found.
#[derive(Debug, Default)]
pub struct ValidationResult {
    /// The sum of it.
    pub validation: Validation,
    /// What cannot be mapped, as far as it is listed.
    pub unmapped: Vec<UnmappedDocument>,
    /// Regular assessments that cannot be mapped.
    pub regular_unmapped: i64,
    /// Teacher assessments that cannot be mapped.
    pub teacher_unmapped: i64,
    /// Teacher assessments that have a copy.
    pub copied: i64,
    /// Where those copies are.
    pub copies: Copied,
    /// Teacher assessments whose copies have another `_id` because theirs is taken.
    pub clashes: Vec<Clash>,
    /// How many these are, also where not all are listed.
    pub clashing: i64,
    /// What the old tool left.
    pub reported: Reported,
}

/// How a validation looks at documents that are not migrated.
#[derive(Debug, Clone, Copy)]
pub struct ValidationContext<'a> {
    /// The mapping.
    pub rules: Rules,
    /// Under which `_id`s copies are made.
    pub ids: Ids,
    /// What the server has refused.
    pub refusals: &'a Refusals,
    /// What it may refuse.
    pub constraints: &'a Constraints,
    /// What is unified, if nobody else has written.
    pub expected: Option<&'a ExpectedCollections>,
}

/// Reads both collections and what refers to them. What is unified is counted instead, if it is as expected.
///
/// # Errors
/// The server's.
pub async fn validate(server: &Server, look: ValidationContext<'_>) -> Result<ValidationResult, ServerError> {
    let mut found = ValidationResult::default();
    let mut seen = Seen::default();
    // What is unified need not be read where the server confirms it.
    let confirmed = match look.expected {
        Some(expected) => Some((expected.confirm(server).await?, expected)).filter(|(confirmed, _)| confirmed.unified),
        None => None,
    };
    let mut known = KnownCopies::default();
    let mut open = Unmigrated::default();
    let mut find = rawdoc! {"find": ASSESSMENTS};
    if let Some((_, expected)) = confirmed {
        found.take_over(expected);
        find.append(cstr!("filter"), pending());
    }
    let all = |expected: &ExpectedCollections| expected.regular + expected.copies == expected.assessments.documents;
    let mut documents = match confirmed {
        Some((_, expected)) if all(expected) => None,
        _ => Some(server.walk(find).await?.ahead()),
    };
    while let Some(documents) = &mut documents
        && let Some(document) = documents.next().await?
    {
        known.note(document.as_bytes());
        if found.look_at(document.as_bytes()) {
            continue;
        }
        open.bytes += document.as_bytes().len();
        open.documents.push((document, None));
        if open.documents.len() >= AT_ONCE || open.bytes >= CHUNK_BYTES {
            found.judge(server, look, AssessmentKind::Regular, std::mem::take(&mut open), &mut seen).await?;
        }
    }
    found.judge(server, look, AssessmentKind::Regular, open, &mut seen).await?;
    match confirmed {
        Some((confirmed, expected)) if confirmed.copies => {
            found.copied = expected.copies;
            found.copies = match look.ids {
                Ids::New => Copied { kept: 0, elsewhere: expected.copies },
                Ids::Keep => Copied { kept: expected.copies, elsewhere: 0 },
            };
        }
        Some((_, expected)) => found.look_for_copies(server, look, &expected.known, &mut seen).await?,
        None => found.look_for_copies(server, look, &known, &mut seen).await?,
    }
    found.validation.references = references::check(server).await?;
    Ok(found)
}

/// Documents that are not migrated, with the `_id`s of their copies where those are others.
#[derive(Default)]
struct Unmigrated {
    documents: Vec<(RawDocumentBuf, Option<Id>)>,
    bytes: usize,
}

fn value(id: &Id) -> serde_json::Value {
    first(id.as_bytes()).map_or(serde_json::Value::Null, |id| shown(&id))
}

impl ValidationResult {
    /// What is unified and complete, without reading it.
    fn take_over(&mut self, expected: &ExpectedCollections) {
        let validation = &mut self.validation;
        validation.regular = expected.regular;
        validation.teacher = expected.copies;
        validation.unified = expected.regular + expected.copies;
        validation.total = validation.unified;
    }

    /// Looks for the copy of each teacher assessment.
    async fn look_for_copies(
        &mut self,
        server: &Server,
        look: ValidationContext<'_>,
        known: &KnownCopies,
        seen: &mut Seen,
    ) -> Result<(), ServerError> {
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
            let places = places(server, None, &batch, known, look.ids).await?;
            let mut missing = Vec::new();
            for id in batch.drain(..) {
                match places.of(&id) {
                    Some(CopyPlace::Kept) => {
                        self.copied += 1;
                        self.copies.kept += 1;
                    }
                    Some(CopyPlace::Elsewhere(copy)) => {
                        self.copied += 1;
                        self.copies.elsewhere += 1;
                        if look.ids == Ids::Keep && places.is_taken(&id) {
                            self.clashing += 1;
                            if clashes.len() < LISTED {
                                clashes.push((id, copy.clone()));
                            }
                        }
                    }
                    Some(CopyPlace::Own) | None => missing.push((id, None)),
                    Some(CopyPlace::New(copy)) => missing.push((id, Some(copy.clone()))),
                }
            }
            self.look_at_missing(server, look, missing, seen).await?;
            if last {
                break;
            }
        }
        let counts = references::count(server, &clashes.iter().map(|(id, _)| id.clone()).collect::<Vec<_>>()).await?;
        self.clashes = clashes
            .iter()
            .zip(counts)
            .map(|((id, copy), references)| Clash { id: value(id), new_id: value(copy), references })
            .collect();
        Ok(())
    }

    /// Looks at a document of the assessments' collection, unless it is not unified.
    pub(super) fn look_at(&mut self, document: &[u8]) -> bool {
        self.validation.total += 1;
        let Some(present) = fields(document) else { return false };
        let get = |name: &str| present.iter().find(|field| field.name == name.as_bytes());
        let source = get(MIGRATION_SOURCE).and_then(text_of);
        let named = get(ORIGINAL_ID).and_then(text_of).is_some();
        let side = [AssessmentKind::Regular, AssessmentKind::Teacher]
            .into_iter()
            .find(|side| named && source.is_some_and(|source| source == side.source().as_bytes()));
        match side {
            None => return false,
            Some(AssessmentKind::Regular) => self.validation.regular += 1,
            Some(AssessmentKind::Teacher) => self.validation.teacher += 1,
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
            if self.reported.ids.len() < LISTED {
                self.reported.ids.extend(present.first().map(shown));
            }
        }
        true
    }

    /// Documents that are not migrated: they cannot be mapped, the server refuses them, or they were added meanwhile.
    async fn judge(
        &mut self,
        server: &Server,
        look: ValidationContext<'_>,
        side: AssessmentKind,
        open: Unmigrated,
        seen: &mut Seen,
    ) -> Result<(), ServerError> {
        let mut passing = Vec::new();
        let mut candidates = Vec::new();
        for (document, new) in open.documents {
            let id = Id::of_stored(&document);
            let refused = id.and_then(|id| look.refusals.reason(side, &id)).map_or(Ok(()), Err);
            let wanted = !look.constraints.is_empty();
            match refused.and_then(|()| candidate(&document, new.as_ref(), side, look.rules, wanted)) {
                Ok((_, candidate)) => {
                    candidates.extend(candidate);
                    passing.push(document);
                }
                Err(why) => self.unmapped(side, &document, why),
            }
        }
        let mut refused = match candidates.is_empty() {
            true => Vec::new(),
            false => look.constraints.refusals(server, collection(side), &candidates, seen).await?,
        }
        .into_iter();
        for document in passing {
            match refused.next() {
                Some(Some(why)) => self.unmapped(side, &document, why),
                _ => self.validation.added_meanwhile += 1,
            }
        }
        Ok(())
    }

    fn unmapped(&mut self, side: AssessmentKind, document: &RawDocumentBuf, why: Unmapped) {
        match side {
            AssessmentKind::Regular => self.regular_unmapped += 1,
            AssessmentKind::Teacher => self.teacher_unmapped += 1,
        }
        if self.unmapped.len() < LISTED {
            self.unmapped.push(described(side, document, why));
        }
    }

    /// Teacher assessments without a copy.
    async fn look_at_missing(
        &mut self,
        server: &Server,
        look: ValidationContext<'_>,
        missing: Vec<(Id, Option<Id>)>,
        seen: &mut Seen,
    ) -> Result<(), ServerError> {
        if missing.is_empty() {
            return Ok(());
        }
        let ids: Vec<Id> = missing.iter().map(|(id, _)| id.clone()).collect();
        let copies: HashMap<Id, Option<Id>> = missing.into_iter().collect();
        let mut documents =
            server.walk(rawdoc! {"find": TEACHER_ASSESSMENTS, "filter": {"_id": Id::any_of(&ids)}}).await?;
        let mut open = Unmigrated::default();
        while let Some(document) = documents.next().await? {
            let new = Id::of_stored(&document).and_then(|id| copies.get(&id).cloned().flatten());
            open.bytes += document.as_bytes().len();
            open.documents.push((document, new));
            if open.bytes >= CHUNK_BYTES {
                self.judge(server, look, AssessmentKind::Teacher, std::mem::take(&mut open), seen).await?;
            }
        }
        self.judge(server, look, AssessmentKind::Teacher, open, seen).await
    }
}

/// What a unified document lacks, or has of a wrong type.
fn incomplete(present: &[Element<'_>]) -> Option<String> {
    let get = |name: &str| present.iter().find(|field| field.name == name.as_bytes());
    let settings = get("settings").filter(|field| field.kind == DOCUMENT).and_then(|field| fields(field.value));
    for field in &FIELDS {
        let path = field.path;
        let existing = match path.within {
            "" => get(path.name).copied(),
            _ => settings.iter().flatten().find(|inside| inside.name == path.name.as_bytes()).copied(),
        };
        let name = if path.within.is_empty() { path.name.to_owned() } else { format!("{}.{}", path.within, path.name) };
        match existing {
            None => return Some(format!("{name} is missing")),
            Some(existing) if !fits(field, existing.kind) => {
                return Some(format!("{name} is {}", super::values::type_name(existing.kind)));
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
