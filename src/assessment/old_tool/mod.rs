//! Rolling back what the old tool did, from the backup document that it left: before is what that holds, as migrated is
//! what the tool made of it. The three-way rule compares that with the document as it is now.
//!
//! The tool noted no time of its own, neither which indexes it made. What it wrote as the time of its run is taken for its
//! own where it lies within [`LONGEST`] of the backup.

mod made;
mod regular;
mod teacher;

use std::sync::Arc;

use bson::{DateTime, Document, RawDocumentBuf, doc};
use mongodb::ClientSession;

use super::model::AssessmentKind;
use super::names::{ASSESSMENTS, OLD_TOOL};
use super::values::id_text;
use crate::capture::registry;
use crate::error::server::ServerError;
use crate::mongo::raw::{ARRAY, DATE, Element, documents, first, get};
use crate::mongo::server::Server;
use crate::operations::error::OperationError;
use crate::operations::in_one_go::in_one_go;
use crate::run::capture_key::CaptureKey;
use crate::run::handle::Run;
use crate::run::journal::Journal;
use crate::run::line::{ChunkBody, Selected, Selection};
use crate::run::progress::OperationIndex;
use crate::run::progress::{OperationProgress, Position};
use crate::run::report::Counts;

/// Where the old tool left its backups.
const COLLECTION: &str = "assessment_backup";
/// How long its run can have taken, in milliseconds: it did some 520 documents a second, of 16 MB at most.
const LONGEST: i64 = 10 * 60 * 1000;

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
    let sources = [AssessmentKind::Regular.source(), AssessmentKind::Teacher.source()];
    let unified = doc! {"find": ASSESSMENTS, "filter": {"migration_source": {"$in": sources.to_vec()}}, "limit": 1};
    Ok((!server.find_all(unified).await?.is_empty()).then_some(backup))
}

/// One of the two tasks, in one transaction: what the old tool could migrate has 16 MB at most.
pub async fn execute(
    run: &mut Run,
    journal: &mut Journal,
    backup: &Arc<Backup>,
    side: AssessmentKind,
    hash: &str,
    place: OperationIndex,
) -> Result<(), OperationError> {
    let capture_key = journal.progress.capture.map(|capture| capture.capture_key(place.index));
    if let Some(capture_key) = capture_key {
        let mut entry = registry::RegistryEntry::first(capture_key, OLD_TOOL, ASSESSMENTS, Document::new());
        journal.note_with(run, place.index, &mut entry, OperationProgress::new(hash), Some(Position::Whole)).await?;
    }
    let atomic = run.server.transactions();
    let mut body = OldToolUndo { backup: Arc::clone(backup), side, capture_key };
    let whole = Selected { body: &mut body, selection: Selection::whole(RawDocumentBuf::new()) };
    in_one_go(run, journal, hash, whole, "what the old tool did", atomic, place).await
}

/// What the tool did to one kind of assessment, taken back.
#[derive(Clone)]
struct OldToolUndo {
    backup: Arc<Backup>,
    side: AssessmentKind,
    capture_key: Option<CaptureKey>,
}

impl ChunkBody for OldToolUndo {
    async fn write(
        &mut self,
        server: &Server,
        session: Option<&mut ClientSession>,
        _: &Selection,
    ) -> Result<Counts, ServerError> {
        match self.side {
            AssessmentKind::Regular => self.regular(server, session).await,
            AssessmentKind::Teacher => self.teacher(server, session).await,
        }
    }
}
