//! Teacher assessments and their copies: which document is whose copy, and where the copy of a document goes.

use std::collections::{HashMap, HashSet};

use bson::{RawDocumentBuf, rawdoc};
use mongodb::ClientSession;

use super::ids::{Ids, derived, has_no_text, is_derived};
use super::model::{AssessmentKind, MIGRATION_SOURCE, ORIGINAL_ID};
use super::names::ASSESSMENTS;
use super::values::{id_text, text, text_of};
use crate::error::server::ServerError;
use crate::mongo::id::{Id, by_id};
use crate::mongo::raw::{ARRAY, Builder, Element, OBJECT_ID, TEXT, fingerprint, first, get};
use crate::mongo::server::Server;

/// Copies under an `_id` of no rule that are held at most: some 20 MB.
const HELD: usize = 200_000;

/// Whether a document is the unified copy of the teacher assessment whose `_id` is this text.
pub fn is_copy_of(document: &[u8], id: &[u8]) -> bool {
    original_of(document).is_some_and(|original| original == id)
}

/// The `_id`, as text, of the teacher assessment that a document is the unified copy of.
pub fn original_of(document: &[u8]) -> Option<&[u8]> {
    let is_teacher = get(document, MIGRATION_SOURCE)
        .as_ref()
        .and_then(text_of)
        .is_some_and(|source| source == AssessmentKind::Teacher.source().as_bytes());
    if is_teacher { get(document, ORIGINAL_ID).as_ref().and_then(text_of) } else { None }
}

/// The fields that show whether a document is a copy.
pub fn telling() -> RawDocumentBuf {
    rawdoc! {"_id": 1, "migration_source": 1, "original_id": 1}
}

/// The documents of the assessments' collection with these `_id`s, as far as it tells whether they are copies.
///
/// # Errors
/// The server's.
pub async fn counterparts(
    server: &Server,
    session: Option<&mut ClientSession>,
    ids: &[Id],
) -> Result<HashMap<Id, RawDocumentBuf>, ServerError> {
    let find = rawdoc! {
        "find": ASSESSMENTS, "filter": {"_id": Id::any_of(ids)}, "hint": {"_id": 1}, "projection": telling(),
    };
    Ok(by_id(server.read(find, session, usize::MAX).await?))
}

/// Copies under an `_id` that does not follow from the original's: those of the old tool, and those that earlier versions
/// made where the original's was taken. Many of them are not held: then the server is asked for those of each batch.
#[derive(Debug)]
pub struct KnownCopies {
    held: HashMap<[u8; 16], Id>,
    limit: usize,
    /// Whether there are more than may be held.
    many: bool,
}

impl Default for KnownCopies {
    fn default() -> Self {
        Self::holding(HELD)
    }
}

impl KnownCopies {
    /// One that holds at most so many.
    pub fn holding(limit: usize) -> Self {
        Self { held: HashMap::new(), limit, many: false }
    }

    fn get(&self, original: &[u8]) -> Option<&Id> {
        if self.held.is_empty() { None } else { self.held.get(&fingerprint(original)) }
    }

    /// Takes note of a document, where it is such a copy.
    pub fn note(&mut self, document: &[u8]) {
        if self.many {
            return;
        }
        let (Some(original), Some(id)) = (original_of(document), first(document)) else { return };
        if id_text(&id) == original || is_derived(&id, original) {
            return;
        }
        if let Some(id) = Id::from_element(&id) {
            self.held.insert(fingerprint(original), id);
        }
        if self.held.len() > self.limit {
            (self.held, self.many) = (HashMap::new(), true);
        }
    }

    /// Reads them.
    ///
    /// # Errors
    /// The server's.
    pub async fn read(server: &Server) -> Result<Self, ServerError> {
        Self::default().reading(server, rawdoc! {"migration_source": AssessmentKind::Teacher.source()}).await
    }

    async fn reading(mut self, server: &Server, filter: RawDocumentBuf) -> Result<Self, ServerError> {
        let mut found = server.walk(rawdoc! {"find": ASSESSMENTS, "filter": filter, "projection": telling()}).await?;
        while let Some(document) = found.next().await? {
            self.note(document.as_bytes());
            if self.many {
                break;
            }
        }
        Ok(self)
    }

    /// The teacher assessments whose `_id`s have these texts, asked of the server.
    async fn ask(server: &Server, originals: &[Vec<u8>]) -> Result<Self, ServerError> {
        let mut texts = Builder::new();
        for (index, original) in originals.iter().enumerate() {
            texts.value(TEXT, index.to_string().as_bytes(), &text(original));
        }
        let mut within = Builder::new();
        within.value(ARRAY, b"$in", texts.finish().as_bytes());
        let filter = rawdoc! {"migration_source": AssessmentKind::Teacher.source(), "original_id": within.finish()};
        Self::holding(usize::MAX).reading(server, filter).await
    }
}

/// Where the copy of a teacher assessment is, or goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CopyPlace {
    /// There is one, under the original's `_id`.
    Kept,
    /// There is one, under this `_id`.
    Elsewhere(Id),
    /// There is none. One would be made under the original's `_id`.
    Own,
    /// There is none. One would be made under this `_id`.
    New(Id),
}

impl CopyPlace {
    /// Whether there is a copy.
    pub fn is_copied(&self) -> bool {
        matches!(self, Self::Kept | Self::Elsewhere(_))
    }
}

/// Where the copies are of the teacher assessments with these `_id`s, and where those go that are to be made.
#[derive(Debug, Default)]
pub struct Places {
    places: HashMap<Id, CopyPlace>,
    /// Teacher assessments whose `_id` another document has.
    taken: HashSet<Id>,
}

impl Places {
    /// The place of one of them.
    pub fn of(&self, original: &Id) -> Option<&CopyPlace> {
        self.places.get(original)
    }

    /// Whether another document of the assessments' collection has its `_id`.
    pub fn is_taken(&self, original: &Id) -> bool {
        self.taken.contains(original)
    }
}

/// Looks them up. The `_id`s are distinct.
///
/// # Errors
/// The server's.
pub async fn places(
    server: &Server,
    mut session: Option<&mut ClientSession>,
    originals: &[Id],
    known: &KnownCopies,
    ids: Ids,
) -> Result<Places, ServerError> {
    let mut found = Places::default();
    // Those that are still to be placed, with the `_id` that is tried.
    let mut open: Vec<(&Id, Id)> = Vec::with_capacity(originals.len());
    for original in originals {
        open.extend(derived_id(original, 0).map(|copy| (original, copy)));
    }
    let asked: Vec<Id> = originals.iter().cloned().chain(open.iter().map(|(_, copy)| copy.clone())).collect();
    let mut there = counterparts(server, session.as_deref_mut(), &asked).await?;
    let asked;
    let known = if known.many {
        asked = KnownCopies::ask(server, &not_found(&open, &there)).await?;
        &asked
    } else {
        known
    };
    let mut given: HashSet<Id> = HashSet::new();
    let mut attempt = 0;
    while !open.is_empty() {
        let mut again = Vec::new();
        for (original, copy) in open {
            let Some(own) = first(original.as_bytes()) else { continue };
            let text = id_text(&own);
            let existing = there.get(original);
            let is_kept = existing.is_some_and(|other| is_copy_of(other.as_bytes(), &text));
            if existing.is_some() && !is_kept {
                found.taken.insert(original.clone());
            }
            let at_derived = there.get(&copy);
            let place = if is_kept {
                CopyPlace::Kept
            } else if at_derived.is_some_and(|other| is_copy_of(other.as_bytes(), &text)) {
                CopyPlace::Elsewhere(copy)
            } else if let Some(id) = known.get(&text).filter(|_| !has_no_text(&own)) {
                CopyPlace::Elsewhere(id.clone())
            } else if at_derived.is_some() || given.contains(&copy) {
                again.push(original);
                continue;
            } else if ids == Ids::Keep && existing.is_none() {
                CopyPlace::Own
            } else {
                given.insert(copy.clone());
                CopyPlace::New(copy)
            };
            found.places.insert(original.clone(), place);
        }
        attempt += 1;
        open = again.into_iter().filter_map(|id| Some((id, derived_id(id, attempt)?))).collect();
        if !open.is_empty() {
            let asked: Vec<Id> = open.iter().map(|(_, copy)| copy.clone()).collect();
            there.extend(counterparts(server, session.as_deref_mut(), &asked).await?);
        }
    }
    Ok(found)
}

/// The `_id`s, as text, of those that have no copy where one is looked for first.
fn not_found(open: &[(&Id, Id)], there: &HashMap<Id, RawDocumentBuf>) -> Vec<Vec<u8>> {
    let mut texts = Vec::new();
    for (original, copy) in open {
        let Some(own) = first(original.as_bytes()).filter(|own| !has_no_text(own)) else { continue };
        let text = id_text(&own).to_vec();
        let mut places = [*original, copy].into_iter().filter_map(|id| there.get(id));
        if !places.any(|document| is_copy_of(document.as_bytes(), &text)) {
            texts.push(text);
        }
    }
    texts
}

fn derived_id(original: &Id, attempt: u32) -> Option<Id> {
    let bytes = derived(&first(original.as_bytes())?, attempt);
    Id::from_element(&Element { kind: OBJECT_ID, name: b"_id", value: &bytes })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_copies_are_held_than_may_be() {
        let copy = |n: i32| rawdoc! {"_id": n, "migration_source": AssessmentKind::Teacher.source(), "original_id": format!("t{n}")};
        let mut known = KnownCopies::holding(100);
        for n in 0..100 {
            known.note(copy(n).as_bytes());
        }
        assert!(!known.many);
        assert_eq!(known.get(b"t7"), Id::of(&rawdoc! {"_id": 7}).as_ref());
        for n in 100..10_000 {
            known.note(copy(n).as_bytes());
            assert!(known.held.capacity() < 500);
        }
        assert!(known.many);
    }
}
