//! What the ledger says of the unification before a run.

use bson::{DateTime, RawBsonRef, RawDocumentBuf, doc};

use crate::assessment::ids::Ids;
use crate::assessment::model::Edition;
use crate::assessment::names::RECORD;
use crate::assessment::report::BackupTaken;
use crate::error::{Error, Result};
use crate::mongo::server::Server;
use crate::run::ledger;
use crate::run::progress::Progress;
use crate::run::record::ASSESSMENT;
use crate::run::record::{Record, Status};
use crate::run::report::Direction;

/// What is known of it from the ledger.
#[derive(Default)]
pub(super) struct AssessmentRecord {
    pub(super) record: Option<Record>,
    pub(super) backup: Option<BackupTaken>,
    pub(super) now: Option<DateTime>,
    /// The old tool's backup document that a rollback has used.
    pub(super) old_backup: Option<String>,
    /// Regular assessments that could not be mapped.
    pub(super) unmapped: i64,
    /// Whether the last migration ended before it could note what it had found.
    pub(super) unnoted: bool,
    /// Under which `_id`s the last run made copies.
    ids: Ids,
    /// The table that the last run mapped by.
    pub(super) edition: Edition,
}

pub(super) async fn read(server: &Server) -> Result<AssessmentRecord> {
    let command = doc! {"find": server.names().ledger(), "filter": {"_id": RECORD}, "limit": 1};
    let found = server.find_certain(command).await.map_err(Error::server("Reading the ledger"))?;
    let Some(raw) = found.first() else {
        return Ok(AssessmentRecord::default());
    };
    if raw.get_str("kind").is_ok_and(|kind| kind == ASSESSMENT) {
        let mut own = AssessmentRecord::of(raw);
        if let Some(record) = &mut own.record {
            ledger::add_up(server, record).await?;
        }
        return Ok(own);
    }
    Err(Error::WrongState(format!(
        "The ledger has a record {RECORD:?} that is not that of the assessment migration. Nothing was changed. Rename it first."
    )))
}

/// What a killed `assessment-migrate` or `assessment-rollback` left to be carried on, in words.
///
/// # Errors
/// The server's.
pub async fn unfinished(server: &Server) -> Result<Option<String>> {
    let record = ledger::read_one(server, RECORD).await?;
    let direction = record.and_then(|record| record.progress).map(|progress| progress.direction);
    Ok(direction.map(|direction| {
        let command = match direction {
            Direction::Up => "assessment-migrate",
            Direction::Down => "assessment-rollback",
        };
        format!("the assessment model is between two states; `{command}` carries on")
    }))
}

impl AssessmentRecord {
    pub(super) fn of(raw: &RawDocumentBuf) -> Self {
        let text = |name: &str| raw.get_str(name).ok().map(str::to_owned);
        Self {
            record: Some(Record::parse(raw)),
            backup: text("backup").map(|name| BackupTaken {
                name,
                path: text("backup_path").unwrap_or_default(),
                documents: raw.get_i64("backup_documents").unwrap_or_default(),
            }),
            now: raw.get_datetime("now").ok(),
            old_backup: text("old_backup"),
            unmapped: raw.get_i64("unmapped").unwrap_or_default(),
            unnoted: matches!(raw.get("unmapped"), Ok(Some(RawBsonRef::Null))),
            // Versions that did not record it kept the `_id`s.
            ids: text("ids").and_then(|ids| Ids::named(&ids)).unwrap_or(Ids::Keep),
            edition: Edition::numbered(raw.get_i32("edition").ok()),
        }
    }

    pub(super) fn is_unfinished(&self) -> bool {
        self.record.as_ref().is_some_and(|record| record.progress.is_some())
    }

    /// How far an unfinished run in this direction came.
    pub(super) fn resume(&self, direction: Direction) -> Option<Progress> {
        let progress = self.record.as_ref()?.progress.as_ref()?;
        (progress.direction == direction).then(|| progress.clone().settled())
    }

    /// Under which `_id`s copies are made: a run that is carried on ends as it began.
    pub(super) fn ids(&self, asked: Option<Ids>) -> Result<Ids> {
        if self.resume(Direction::Up).is_none() {
            return Ok(asked.unwrap_or_default());
        }
        match asked {
            Some(asked) if asked != self.ids => Err(Error::WrongState(format!(
                "An assessment migration that was begun with `--ids {}` is unfinished. Nothing was changed. Run \
                 `assessment-migrate --ids {}` to finish it, or `assessment-rollback` to undo it.",
                self.ids.as_str(),
                self.ids.as_str()
            ))),
            _ => Ok(self.ids),
        }
    }

    pub(super) fn reliable(&self) -> Result<()> {
        match self.record.as_ref().and_then(|record| record.problem.as_ref()) {
            None => Ok(()),
            Some(problem) => Err(Error::WrongState(format!(
                "The record of the assessment migration ({RECORD:?} in the ledger) cannot be relied on: {problem}. Nothing was changed."
            ))),
        }
    }

    pub(super) fn may_migrate(&self) -> Result<()> {
        self.reliable()?;
        if self.resume(Direction::Down).is_some() {
            return Err(Error::WrongState(
                "The assessment migration is half rolled back. `assessment-rollback` finishes that; then it can be done again."
                    .to_owned(),
            ));
        }
        Ok(())
    }
}

impl AssessmentRecord {
    pub(super) fn nothing_of_ours(&self) -> bool {
        self.record.as_ref().is_none_or(|record| {
            matches!(record.status, Status::RolledBack | Status::Pending) && record.progress.is_none()
        })
    }
}
