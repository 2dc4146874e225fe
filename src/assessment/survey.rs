//! What there is to do, found out before anything is written: reads only.

use bson::raw::cstr;
use bson::{RawDocumentBuf, rawdoc};

use super::candidates::Candidate;
use super::constraints::{Constraints, Seen};
use super::copies;
use super::copies::{KnownCopies, places};
use super::ids::Ids;
use super::looked::Looked;
use super::mapping::{Unmapped, map};
use super::model::{AssessmentKind, Rules};
use super::names::{ASSESSMENTS, TEACHER_ASSESSMENTS};
use super::refusals::ForeseenRefusal;
use super::regular::pending;
use super::report::{KindReport as Counted, LISTED, UnmappedDocument};
use super::values::shown;
use crate::error::server::ServerError;
use crate::mongo::cursor::DocumentCursor;
use crate::mongo::id::Id;
use crate::mongo::query::Query;
use crate::mongo::raw::first;
use crate::mongo::server::Server;

/// Documents that are looked at together.
const AT_ONCE: usize = 1_000;

/// What there is to do.
#[derive(Debug, Default)]
pub struct Survey {
    /// Copies that have another `_id`.
    pub known: KnownCopies,
    /// Regular assessments: `migrated` is how many would be.
    pub regular: Counted,
    /// Teacher assessments.
    pub teacher: Counted,
    /// What cannot be mapped, and what the server would refuse, as far as it is listed.
    pub unmapped: Vec<UnmappedDocument>,
    /// Documents among them that the server would refuse.
    pub refused: Vec<ForeseenRefusal>,
    /// Teacher assessments whose `_id` is taken by another document, as far as they are listed.
    pub clashes: Vec<Id>,
    /// Copies under their teacher assessment's `_id`, and under another.
    pub copied: Copied,
    /// What documents that passed have in unique indexes.
    seen: Seen,
}

/// Copies that there are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Copied {
    /// Under their teacher assessment's `_id`.
    pub kept: i64,
    /// Under another.
    pub elsewhere: i64,
}

impl Survey {
    /// One that has found nothing.
    pub fn new() -> Self {
        Self { teacher: Counted { clashes: Some(0), ..Counted::default() }, ..Self::default() }
    }

    /// One that has found nothing but the copies under another `_id`.
    pub fn knowing(known: KnownCopies) -> Self {
        Self { known, ..Self::new() }
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

/// How a survey looks at documents.
#[derive(Debug, Clone, Copy)]
pub struct SurveyContext<'a> {
    /// How much is wanted.
    pub extent: Extent,
    /// The mapping.
    pub rules: Rules,
    /// Under which `_id`s copies would be made.
    pub ids: Ids,
    /// What may refuse them.
    pub constraints: &'a Constraints,
}

/// A document that may be migrated.
struct PendingDocument {
    document: RawDocumentBuf,
    /// The `_id` of its copy, where that is another.
    new: Option<Id>,
    clash: bool,
}

/// What a look at all documents has found, with what it left to be read: teacher assessments that may have copies.
///
/// # Errors
/// The server's.
pub async fn completed(server: &Server, look: SurveyContext<'_>, found: Looked) -> Result<Survey, ServerError> {
    let mut survey = Survey { regular: found.regular, ..Survey::new() };
    if found.copies == 0 && look.ids == Ids::New {
        survey.teacher = Counted { clashes: Some(0), ..found.teacher };
        return Ok(survey);
    }
    survey.read_teachers(server, look).await?;
    Ok(survey)
}

/// Looks at every document that is not unified yet.
///
/// # Errors
/// The server's.
pub async fn survey(server: &Server, look: SurveyContext<'_>) -> Result<Survey, ServerError> {
    let mut survey = Survey::new();
    let mut found = read(server, look.extent, rawdoc! {"find": ASSESSMENTS, "filter": pending()}).await?;
    while let Some(batch) = next_batch(&mut found).await? {
        let open = batch.into_iter().map(|document| PendingDocument { document, new: None, clash: false }).collect();
        survey.judge(server, look, AssessmentKind::Regular, open).await?;
        if look.extent == Extent::AnyWork && survey.has_work() {
            return Ok(survey);
        }
    }
    survey.read_teachers(server, look).await?;
    Ok(survey)
}

/// All of it is read ahead; to find any work, the first documents are most often enough.
async fn read(server: &Server, extent: Extent, mut command: RawDocumentBuf) -> Result<DocumentCursor, ServerError> {
    if extent == Extent::Whole {
        return Ok(server.walk(command).await?.ahead());
    }
    command.append(cstr!("batchSize"), i64::try_from(AT_ONCE).unwrap_or(i64::MAX));
    server.walk(command).await
}

/// The next documents, as many as are looked at together.
///
/// # Errors
/// The server's.
pub async fn next_batch(found: &mut DocumentCursor) -> Result<Option<Vec<RawDocumentBuf>>, ServerError> {
    let mut batch = Vec::new();
    let mut bytes = 0;
    while let Some(document) = found.next().await? {
        bytes += document.as_bytes().len();
        batch.push(document);
        if batch.len() >= AT_ONCE || bytes >= super::regular::CHUNK_BYTES {
            break;
        }
    }
    Ok((!batch.is_empty()).then_some(batch))
}

/// How many regular assessments are unified.
///
/// # Errors
/// The server's.
pub async fn unified(server: &Server) -> Result<i64, ServerError> {
    let query = Query { collection: ASSESSMENTS, hint: None, collation: None, variables: None };
    let filter = rawdoc! {"migration_source": AssessmentKind::Regular.source(), "original_id": {"$type": "string"}};
    query.count(server, filter).await
}

impl Survey {
    async fn read_teachers(&mut self, server: &Server, look: SurveyContext<'_>) -> Result<(), ServerError> {
        self.known = KnownCopies::read(server).await?;
        let mut found = read(server, look.extent, rawdoc! {"find": TEACHER_ASSESSMENTS}).await?;
        while let Some(batch) = next_batch(&mut found).await? {
            self.look_at_teachers(server, look, batch).await?;
            if look.extent == Extent::AnyWork && self.has_work() {
                return Ok(());
            }
        }
        Ok(())
    }

    async fn look_at_teachers(
        &mut self,
        server: &Server,
        look: SurveyContext<'_>,
        batch: Vec<RawDocumentBuf>,
    ) -> Result<(), ServerError> {
        let ids: Vec<Id> = batch.iter().filter_map(|document| Id::of_stored(document)).collect();
        let places = places(server, None, &ids, &self.known, look.ids).await?;
        let mut open = Vec::new();
        for document in batch {
            let Some(id) = Id::of_stored(&document) else { continue };
            let new = match places.of(&id) {
                Some(copies::CopyPlace::Kept) => {
                    self.teacher.already += 1;
                    self.copied.kept += 1;
                    continue;
                }
                Some(copies::CopyPlace::Elsewhere(_)) => {
                    self.teacher.already += 1;
                    self.copied.elsewhere += 1;
                    continue;
                }
                Some(copies::CopyPlace::New(new)) => Some(new.clone()),
                Some(copies::CopyPlace::Own) | None => None,
            };
            open.push(PendingDocument { clash: look.ids == Ids::Keep && places.is_taken(&id), document, new });
        }
        self.judge(server, look, AssessmentKind::Teacher, open).await
    }

    /// Maps documents, and asks what the server would refuse of what they become.
    async fn judge(
        &mut self,
        server: &Server,
        look: SurveyContext<'_>,
        side: AssessmentKind,
        open: Vec<PendingDocument>,
    ) -> Result<(), ServerError> {
        let mut passing = Vec::new();
        let mut candidates = Vec::new();
        for each in open {
            match candidate(&each.document, each.new.as_ref(), side, look.rules, !look.constraints.is_empty()) {
                Ok((dates, candidate)) => {
                    candidates.extend(candidate);
                    passing.push((each, dates));
                }
                Err(why) => self.unmapped(side, &each.document, why),
            }
        }
        let refused = match candidates.is_empty() {
            true => Vec::new(),
            false => look.constraints.refusals(server, collection(side), &candidates, &mut self.seen).await?,
        };
        let mut refused = refused.into_iter();
        for (each, dates) in passing {
            if let Some(Some(why)) = refused.next() {
                let id = Id::of_stored(&each.document);
                self.refused.extend(id.map(|id| ((side, id), why.clone())));
                self.unmapped(side, &each.document, why);
                continue;
            }
            let counted = self.counted(side);
            counted.migrated += 1;
            counted.dates_converted += dates;
            if each.clash {
                *counted.clashes.get_or_insert(0) += 1;
                if self.clashes.len() < LISTED {
                    self.clashes.extend(Id::of_stored(&each.document));
                }
            }
        }
        Ok(())
    }

    fn counted(&mut self, side: AssessmentKind) -> &mut Counted {
        match side {
            AssessmentKind::Regular => &mut self.regular,
            AssessmentKind::Teacher => &mut self.teacher,
        }
    }

    fn unmapped(&mut self, side: AssessmentKind, document: &RawDocumentBuf, why: Unmapped) {
        self.counted(side).unmapped += 1;
        if self.unmapped.len() < LISTED {
            self.unmapped.push(described(side, document, why));
        }
    }
}

/// Maps a document: how many dates were converted and, where it is wanted, what would be written.
///
/// # Errors
/// [`Unmapped`].
pub fn candidate(
    document: &RawDocumentBuf,
    new: Option<&Id>,
    side: AssessmentKind,
    rules: Rules,
    wanted: bool,
) -> Result<(i64, Option<Candidate>), Unmapped> {
    let unified = map(document.as_bytes(), side, rules)?;
    unified.check(document.as_bytes(), side)?;
    if !wanted {
        return Ok((unified.dates_converted, None));
    }
    let candidate = match side {
        AssessmentKind::Regular => Candidate { after: unified.in_place()?.after, before: Some(document.clone()) },
        AssessmentKind::Teacher => {
            let new = new.and_then(|new| first(new.as_bytes()));
            Candidate { after: unified.copy(new.as_ref())?, before: None }
        }
    };
    Ok((unified.dates_converted, Some(candidate)))
}

/// A document that is left as it is, for the report.
pub fn described(side: AssessmentKind, document: &RawDocumentBuf, why: Unmapped) -> UnmappedDocument {
    UnmappedDocument {
        collection: collection(side).to_owned(),
        id: first(document.as_bytes()).map_or(serde_json::Value::Null, |id| shown(&id)),
        field: why.field,
        reason: why.reason,
    }
}

/// The collection that a kind of assessment is read from.
pub fn collection(side: AssessmentKind) -> &'static str {
    match side {
        AssessmentKind::Regular => ASSESSMENTS,
        AssessmentKind::Teacher => TEACHER_ASSESSMENTS,
    }
}
