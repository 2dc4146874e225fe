//! What there is to do, found out before anything is written: reads only.

use std::collections::HashSet;

use bson::{DateTime, RawDocumentBuf, rawdoc};

use super::mapping::map;
use super::model::Side;
use super::regular::pending;
use super::report::{Side as Counted, UnmappedDocument};
use super::teacher::{counterparts, is_copy_of, original_of, telling};
use super::values::{id_text, shown};
use super::{ASSESSMENTS, TEACHER_ASSESSMENTS};
use crate::raw::{fingerprint, first};
use crate::run::id::Id;
use crate::run::query::Query;
use crate::server::{Documents, Server};
use crate::server_error::ServerError;

/// Documents whose counterparts are looked for at once.
const AT_ONCE: usize = 1_000;

/// Teacher assessments whose copies stand under another `_id`: those that the old tool made, and those whose own was taken.
#[derive(Debug, Default)]
pub struct Known(HashSet<[u8; 16]>);

impl Known {
    /// Whether the teacher assessment with this `_id`, as text, is among them.
    pub fn has(&self, id: &[u8]) -> bool {
        !self.0.is_empty() && self.0.contains(&fingerprint(id))
    }

    /// Takes note of a unified document, where it is the copy of another `_id`.
    pub fn note(&mut self, document: &[u8]) {
        let (Some(original), Some(id)) = (original_of(document), first(document)) else { return };
        if id_text(&id) != original {
            self.0.insert(fingerprint(original));
        }
    }

    /// Reads them.
    ///
    /// # Errors
    /// The server's.
    pub async fn read(server: &Server) -> Result<Self, ServerError> {
        let command = rawdoc! {
            "find": ASSESSMENTS, "filter": {"migration_source": Side::Teacher.source()}, "projection": telling(),
        };
        let mut found = server.walk(command).await?;
        let mut known = Self::default();
        while let Some(document) = found.next().await? {
            known.note(document.as_bytes());
        }
        Ok(known)
    }
}

/// What there is to do.
#[derive(Debug, Default)]
pub struct Survey {
    /// Which copies stand under another `_id`.
    pub known: Known,
    /// Regular assessments: `migrated` is how many would be.
    pub regular: Counted,
    /// Teacher assessments.
    pub teacher: Counted,
    /// What cannot be mapped.
    pub unmapped: Vec<UnmappedDocument>,
    /// Teacher assessments whose `_id` is taken by another document.
    pub clashes: Vec<Id>,
}

impl Survey {
    /// One that has found nothing.
    pub fn new() -> Self {
        Self { teacher: Counted { clashes: Some(0), ..Counted::default() }, ..Self::default() }
    }

    /// Whether a run would change any document.
    pub fn has_work(&self) -> bool {
        self.regular.migrated + self.teacher.migrated > 0
    }
}

/// How much of a survey is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Extent {
    /// Whether there is anything to do at all: reading ends at the first document that can be mapped.
    AnyWork,
    /// Everything.
    Whole,
}

/// Looks at every document that is not unified yet.
///
/// # Errors
/// The server's.
pub async fn survey(server: &Server, extent: Extent, now: DateTime) -> Result<Survey, ServerError> {
    let mut survey = Survey::new();
    let mut found = read(server, extent, rawdoc! {"find": ASSESSMENTS, "filter": pending()}).await?;
    while let Some(document) = found.next().await? {
        survey.look_at(&document, Side::Regular, now, None);
        if extent == Extent::AnyWork && survey.has_work() {
            return Ok(survey);
        }
    }
    survey.known = Known::read(server).await?;
    let mut found = read(server, extent, rawdoc! {"find": TEACHER_ASSESSMENTS}).await?;
    let mut batch = Vec::new();
    let mut bytes = 0;
    loop {
        let next = found.next().await?;
        let last = next.is_none();
        bytes += next.as_ref().map_or(0, |document| document.as_bytes().len());
        batch.extend(next);
        if !last && batch.len() < AT_ONCE && bytes < super::regular::CHUNK_BYTES {
            continue;
        }
        survey.look_at_teachers(server, &batch, now).await?;
        batch.clear();
        bytes = 0;
        if last || (extent == Extent::AnyWork && survey.has_work()) {
            return Ok(survey);
        }
    }
}

/// All of it is read ahead; to find any work, the first reply is most often enough.
async fn read(server: &Server, extent: Extent, command: RawDocumentBuf) -> Result<Documents, ServerError> {
    let found = server.walk(command).await?;
    Ok(if extent == Extent::Whole { found.ahead() } else { found })
}

/// How many regular assessments are unified.
///
/// # Errors
/// The server's.
pub async fn unified(server: &Server) -> Result<i64, ServerError> {
    let query = Query { collection: ASSESSMENTS, hint: None, collation: None, variables: None };
    let filter = rawdoc! {"migration_source": Side::Regular.source(), "original_id": {"$type": "string"}};
    query.count(server, filter).await
}

impl Survey {
    fn look_at(&mut self, document: &RawDocumentBuf, side: Side, now: DateTime, clash: Option<&Id>) {
        let mapped = map(document.as_bytes(), side, now);
        let fits = mapped.and_then(|unified| {
            unified.check(document.as_bytes(), side)?;
            Ok(unified.dates_converted)
        });
        let counted = match side {
            Side::Regular => &mut self.regular,
            Side::Teacher => &mut self.teacher,
        };
        match fits {
            Ok(dates) => {
                counted.migrated += 1;
                counted.dates_converted += dates;
                if let Some(id) = clash {
                    *counted.clashes.get_or_insert(0) += 1;
                    self.clashes.push(id.clone());
                }
            }
            Err(why) => {
                counted.unmapped += 1;
                self.unmapped.push(UnmappedDocument {
                    collection: collection(side).to_owned(),
                    id: first(document.as_bytes()).map_or(serde_json::Value::Null, |id| shown(&id)),
                    field: why.field,
                    reason: why.reason,
                });
            }
        }
    }

    async fn look_at_teachers(
        &mut self,
        server: &Server,
        batch: &[RawDocumentBuf],
        now: DateTime,
    ) -> Result<(), ServerError> {
        let ids: Vec<Id> = batch.iter().filter_map(|document| Id::of_stored(document)).collect();
        let there = counterparts(server, None, &ids).await?;
        for (id, document) in ids.iter().zip(batch) {
            let Some(own) = first(document.as_bytes()) else { continue };
            let as_text = id_text(&own);
            let standing = there.get(id);
            if standing.is_some_and(|other| is_copy_of(other.as_bytes(), &as_text)) || self.known.has(&as_text) {
                self.teacher.already += 1;
            } else {
                self.look_at(document, Side::Teacher, now, standing.map(|_| id));
            }
        }
        Ok(())
    }
}

/// The collection that a kind of assessment is read from.
fn collection(side: Side) -> &'static str {
    match side {
        Side::Regular => ASSESSMENTS,
        Side::Teacher => TEACHER_ASSESSMENTS,
    }
}
