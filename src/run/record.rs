//! A migration's document in the ledger, read with distrust: what somebody edited by hand becomes a
//! [`Record::problem`], never a panic and never a guess.

use bson::{Bson, DateTime, Document, RawDocumentBuf, doc};

use super::capture_key::CaptureId;
use super::progress::{Position, Progress};
use super::report::Direction;
use crate::error::message::show;
use crate::error::{Error, Result};
use crate::model::migration::{ScriptSource, checksum};
use crate::model::script::checks::Checks;
use crate::model::script::operation::Action;
use crate::model::script::reader;
use crate::names::DEFAULT_LEDGER;

/// The `kind` of the record of the assessment model's unification, which is no migration of a file's.
pub const ASSESSMENT: &str = "assessment";

/// Where a migration stands.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Status {
    Pending,
    Applying,
    Applied,
    RollingBack,
    RolledBack,
    Failed,
    /// Something a person wrote.
    Other(String),
}

impl Status {
    /// The status as the ledger spells it.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Pending => "pending",
            Self::Applying => "applying",
            Self::Applied => "applied",
            Self::RollingBack => "rolling_back",
            Self::RolledBack => "rolled_back",
            Self::Failed => "failed",
            Self::Other(text) => text,
        }
    }

    fn parse(text: &str) -> Self {
        match text {
            "pending" => Self::Pending,
            "applying" => Self::Applying,
            "applied" => Self::Applied,
            "rolling_back" => Self::RollingBack,
            "rolled_back" => Self::RolledBack,
            "failed" => Self::Failed,
            other => Self::Other(other.to_owned()),
        }
    }
}

/// One migration's document.
#[derive(Debug, Clone, PartialEq)]
#[allow(missing_docs)] // the ledger's own fields
pub struct Record {
    pub id: String,
    pub name: String,
    pub description: String,
    pub status: Status,
    pub up_script: Option<String>,
    pub down_script: Option<String>,
    pub created_at: Option<DateTime>,
    pub applied_at: Option<DateTime>,
    pub rolled_back_at: Option<DateTime>,
    /// How far a begun script is.
    pub progress: Option<Progress>,
    /// Why it failed.
    pub error: Option<String>,
    /// Why the document cannot be relied on.
    pub problem: Option<String>,
    /// What its runs captured since it was last not applied, oldest first; `None` for a run without.
    pub captures: Vec<Option<CaptureId>>,
    /// What must hold before and after its up script, as JSON text.
    pub checks: Option<String>,
    /// Whether all its operations are done and a check afterwards failed.
    pub failed_check: bool,
    /// Whether its `_id` is no text, so that no migration can have written it.
    pub odd_id: bool,
    /// What a plan relies on, for the filter of the write that begins it.
    pub seen: Document,
    /// The run that wrote to it last.
    pub run: Option<String>,
    /// The collection that it is in.
    pub ledger: String,
}

impl Record {
    /// Reads a document of the ledger, whatever somebody made of it.
    pub fn parse(raw: &RawDocumentBuf) -> Self {
        let text = |name: &str| raw.get_str(name).ok().map(str::to_owned);
        let date = |name: &str| raw.get_datetime(name).ok();
        let mut problem = None;
        let id = match raw.get("_id") {
            Ok(Some(value)) if value.as_str().is_some() => value.as_str().unwrap_or_default().to_owned(),
            Ok(Some(value)) => {
                problem = Some("its _id is no text".to_owned());
                Bson::try_from(value).map_or_else(|_| "unreadable".to_owned(), |value| show(&value))
            }
            _ => {
                problem = Some("its _id cannot be read".to_owned());
                "unreadable".to_owned()
            }
        };
        let status = text("status").map_or_else(|| Status::Other("without status".to_owned()), |s| Status::parse(&s));
        if let Status::Other(other) = &status {
            problem = Some(format!("its status is {other:?}, which means nothing here"));
        }
        let unfinished = matches!(status, Status::Applying | Status::RollingBack | Status::Failed);
        let progress = match raw.get_document("progress") {
            // Left over from a run that somebody ended by hand: without meaning in any other status.
            Ok(progress) if unfinished => match Progress::from_raw(progress) {
                Ok(progress) => Some(progress),
                Err(e) => {
                    problem = Some(format!("its record of progress cannot be read ({e})"));
                    None
                }
            },
            _ => None,
        };
        if let Some(operation) = progress.as_ref().and_then(|progress| misplaced(raw, progress)) {
            problem = Some(format!("its record of progress has a position that cannot be one of {operation}"));
        }
        if progress.is_none() && problem.is_none() && matches!(status, Status::Applying | Status::RollingBack) {
            problem = Some(format!("its status is {:?} but it has no record of progress", status.as_str()));
        }
        Self {
            name: text("name").unwrap_or_else(|| id.clone()),
            description: text("description").unwrap_or_default(),
            up_script: text("up_script"),
            down_script: text("down_script"),
            created_at: date("created_at"),
            applied_at: date("applied_at"),
            rolled_back_at: date("rolled_back_at"),
            error: raw.get_document("error").ok().and_then(|error| error.get_str("message").ok()).map(str::to_owned),
            checks: text("checks"),
            failed_check: status == Status::Failed
                && raw.get_document("error").is_ok_and(|error| error.get_str("check").is_ok()),
            id,
            status,
            progress,
            captures: raw
                .get_array("captures")
                .map(|all| all.into_iter().map(|item| item.ok()?.as_object_id().map(CaptureId)).collect())
                .unwrap_or_default(),
            run: raw.get_document("run").ok().and_then(|run| run.get_str("run").ok()).map(str::to_owned),
            odd_id: !matches!(raw.get("_id"), Ok(Some(value)) if value.as_str().is_some()),
            problem,
            seen: seen(raw),
            ledger: DEFAULT_LEDGER.to_owned(),
        }
    }

    /// The ledger as the MongoDB shell writes it.
    pub fn ledger_in_shell(&self) -> String {
        let plain = |c: char| c.is_ascii_alphanumeric() || c == '_';
        if self.ledger.chars().all(plain) && !self.ledger.starts_with(|c: char| c.is_ascii_digit()) {
            format!("db.{}", self.ledger)
        } else {
            format!("db.getCollection({:?})", self.ledger)
        }
    }

    /// Which script was running, for a record that is applying, rolling back or failed.
    pub fn direction(&self) -> Option<Direction> {
        match (&self.status, &self.progress) {
            (Status::Applying, _) => Some(Direction::Up),
            (Status::RollingBack, _) => Some(Direction::Down),
            (Status::Failed, Some(progress)) => Some(progress.direction),
            (Status::Failed, None) => Some(Direction::Up),
            _ => None,
        }
    }

    /// What must hold before and after its up script.
    ///
    /// # Errors
    /// [`Error::Invalid`] where somebody has made it unreadable.
    pub fn checks(&self) -> Result<Checks> {
        let Some(text) = self.checks.as_deref() else { return Ok(Checks::default()) };
        let read = reader::read(text).map_err(|e| e.to_string()).and_then(Checks::parse);
        read.map_err(|what| {
            Error::invalid(
                None,
                format!("{} ({}): its checks in the ledger cannot be read: {what}.", self.id, self.name),
            )
        })
    }

    /// The fingerprint of its scripts; `None` for those that cannot be read.
    pub fn checksum(&self) -> Option<String> {
        let up = ScriptSource::from_text(self.up_script.as_deref()?).ok()?;
        let down = match self.down_script.as_deref().filter(|text| !text.is_empty()) {
            Some(text) => Some(ScriptSource::from_text(text).ok()?),
            None => None,
        };
        Some(checksum(&up.script, down.as_ref().map(|down| &down.script)))
    }
}

/// The parts of a record that every run, and everybody who sets a state by hand, changes.
fn seen(raw: &RawDocumentBuf) -> Document {
    let mut seen = Document::new();
    for name in ["status", "token", "applied_at", "rolled_back_at", "checksum", "captures"] {
        let value = raw.get(name).ok().flatten().and_then(|value| Bson::try_from(value).ok());
        seen.insert(name, doc! {"$eq": value.unwrap_or(Bson::Null)});
    }
    let seq = raw.get_document("progress").ok().and_then(|progress| progress.get_i64("seq").ok());
    seen.insert("progress.seq", doc! {"$eq": seq});
    seen
}

/// The unfinished operation whose position, in the script that the record keeps, cannot be its own.
fn misplaced(raw: &RawDocumentBuf, progress: &Progress) -> Option<String> {
    if progress.exact {
        return None;
    }
    let text = raw.get_str(if progress.direction == Direction::Up { "up_script" } else { "down_script" }).ok()?;
    let index = progress.operations.len().checked_sub(1)?;
    let under_way = progress.operations.get(index).filter(|last| last.outcome.is_none() && last.begun)?;
    let script = ScriptSource::from_text(text).ok()?.script;
    // Another script than the one that ran (`--from-file`) says nothing about it.
    let operation = script.operations.get(index).filter(|operation| operation.fingerprint == under_way.hash)?;
    let fits = match (&operation.action, progress.position.as_ref()?) {
        (Action::InsertDocuments(insert), Position::List { next, .. }) => *next <= insert.documents.len(),
        (Action::UpdateDocuments(_) | Action::DeleteDocuments(_), Position::Ids { .. } | Position::Parts(_)) => true,
        // One statement without a transaction, which may or may not have been made.
        (Action::UpdateDocuments(_) | Action::DeleteDocuments(_), Position::Whole) => under_way.chunks == 0,
        (_, Position::Whole) => !operation.writes_documents(),
        _ => false,
    };
    (!fits).then(|| format!("operation {} ({})", index + 1, operation.kind()))
}
