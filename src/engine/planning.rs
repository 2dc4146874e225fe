//! The run that one migration of the inventory asks for: to be applied, rolled back by script, undone exactly, or carried on.

use super::inventory::InventoryEntry;
use crate::engine::planned::{PlannedMigration, WorkItem, work_items};
use crate::error::{Error, Result};
use crate::model::migration::{Migration, ScriptSource};
use crate::run::progress::Progress;
use crate::run::record::{Record, Status};
use crate::run::report::Direction;

impl InventoryEntry {
    /// Refuses a record that no command of ours can address.
    ///
    /// # Errors
    /// [`Error::WrongState`] with the line that removes it.
    pub fn addressable(&self) -> Result<()> {
        match &self.record {
            Some(record) if record.odd_id => Err(Error::WrongState(format!(
                "The ledger has a document that is no migration's record: its _id is {}, and ours are texts. If it came there by \
                 mistake, remove it in the shell: {}.deleteOne({{_id: {}}}).",
                self.id,
                record.ledger_in_shell(),
                self.id
            ))),
            _ => Ok(()),
        }
    }

    /// Refuses a record that somebody has made unreadable.
    fn reliable(&self) -> Result<()> {
        self.addressable()?;
        match self.record.as_ref().and_then(|record| record.problem.as_deref()) {
            None => Ok(()),
            Some(problem) => Err(Error::WrongState(format!(
                "The record of {} in the ledger cannot be relied on: {problem}. Find out how far that migration is, then say so: \
                 `mark {} --as applied`, `--as rolled_back` or `--as pending`.",
                self.id, self.id
            ))),
        }
    }

    /// The run that applies it, or carries on doing so.
    pub(super) fn plan_up(&self) -> Result<PlannedMigration> {
        self.reliable()?;
        if self.direction() == Some(Direction::Down) {
            return Err(Error::WrongState(format!(
                "{} ({}) is half rolled back. {}",
                self.id,
                self.name(),
                self.ways_back()
            )));
        }
        let resume = self.resume(Direction::Up);
        if let Some(file) = &self.file {
            let items = work_items(&file.up.script);
            return unchanged_where_begun(PlannedMigration { items, capture: true, resume, ..self.as_in_file(file) });
        }
        let record = self.record()?;
        let text = record.up_script.as_deref().unwrap_or_default();
        let up = ScriptSource::from_text(text).map_err(|what| unreadable(record, "up", &what))?;
        unchanged_where_begun(PlannedMigration {
            items: work_items(&up.script),
            checksum: record.checksum(),
            origin: format!("{} (recorded in the database, without a file)", self.id),
            alternatives: (self.status() != Status::Pending).then(|| self.ways_out()),
            resume,
            checks: record.checks()?,
            ..self.as_recorded(record)
        })
    }

    /// The run that rolls it back, or carries on doing so.
    pub(super) fn plan_down(&self, from_file: bool) -> Result<PlannedMigration> {
        self.reliable()?;
        let record = self.record()?;
        let no_script = |where_: &str| {
            Error::WrongState(format!(
                "{} ({}) has no down script {where_}, so it cannot be rolled back by script. Write one into its file and use \
                 `rollback {} --from-file`, or undo it by hand and `mark {} --as rolled_back`.",
                self.id,
                self.name(),
                self.id,
                self.id
            ))
        };
        let (script, origin) = if from_file {
            let file = self.file.as_ref().ok_or_else(|| {
                Error::WrongState(format!(
                    "--from-file: {} has no file in the migrations directory. Without --from-file the script in the ledger is used.",
                    self.id
                ))
            })?;
            let down = file.down.as_ref().ok_or_else(|| no_script("in its file"))?;
            (down.script.clone(), file.origin())
        } else {
            let text = record.down_script.as_deref().filter(|text| !text.trim().is_empty());
            let text = text.ok_or_else(|| no_script("in the ledger"))?;
            let down = ScriptSource::from_text(text).map_err(|what| unreadable(record, "down", &what))?;
            (down.script, format!("{} (as the ledger keeps it)", self.file_text()))
        };
        unchanged_where_begun(PlannedMigration {
            items: work_items(&script),
            origin,
            alternatives: Some(format!("Other ways: {}", self.other_ways_back())),
            resume: self.resume(Direction::Down),
            ..self.as_recorded(record)
        })
    }

    /// The run that undoes what was captured, or carries on doing so; its items are in the database.
    pub(super) fn plan_exact(&self) -> Result<PlannedMigration> {
        self.reliable()?;
        let record = self.record()?;
        Ok(PlannedMigration {
            exact: true,
            origin: format!("{} (what was captured)", self.file_text()),
            // A script that was rolling it back is not carried on: what it did is undone, too.
            resume: self.undoing().then(|| self.resume(Direction::Down)).flatten(),
            ..self.as_recorded(record)
        })
    }

    /// Whether an exact rollback of it has begun.
    pub fn undoing(&self) -> bool {
        self.record.as_ref().and_then(|record| record.progress.as_ref()).is_some_and(|progress| progress.exact)
    }

    /// Why it could not be applied, were it its turn.
    pub fn obstacle(&self) -> Option<Error> {
        self.plan_up().err()
    }

    /// What `mark` writes where the ledger has no record yet.
    pub fn plan_mark(&self) -> PlannedMigration {
        let origin = self.file_text();
        let id = || self.id.clone();
        self.file.as_ref().map_or_else(
            || PlannedMigration { id: id(), name: self.name().to_owned(), ..PlannedMigration::default() },
            |file| PlannedMigration { origin, ..self.as_in_file(file) },
        )
    }

    /// What the file says of it, with nothing to do yet.
    fn as_in_file(&self, file: &Migration) -> PlannedMigration {
        PlannedMigration {
            id: self.id.clone(),
            name: file.name.clone(),
            description: file.description.clone(),
            up_text: file.up.text.clone(),
            down_text: file.down.as_ref().map(|down| down.text.clone()),
            checksum: Some(file.checksum()),
            origin: file.origin(),
            checks: file.checks.clone(),
            ..PlannedMigration::default()
        }
    }

    /// What the record says of it, with nothing to do yet.
    fn as_recorded(&self, record: &Record) -> PlannedMigration {
        PlannedMigration {
            id: self.id.clone(),
            name: self.name().to_owned(),
            description: record.description.clone(),
            capture: true,
            up_text: record.up_script.clone().unwrap_or_default(),
            down_text: record.down_script.clone(),
            ..PlannedMigration::default()
        }
    }

    fn resume(&self, direction: Direction) -> Option<Progress> {
        self.record
            .as_ref()
            .and_then(|record| record.progress.clone())
            .filter(|progress| progress.direction == direction)
            .map(Progress::settled)
    }

    fn record(&self) -> Result<&Record> {
        self.record.as_ref().ok_or_else(|| {
            Error::Unknown(format!(
                "The ledger has no record of {}, so nothing of it can be undone. `status` lists all.",
                self.id
            ))
        })
    }
}

/// Operations that were begun must not have changed: what is in the database came from them.
pub(super) fn unchanged_where_begun(planned: PlannedMigration) -> Result<PlannedMigration> {
    let Some(progress) = &planned.resume else { return Ok(planned) };
    for (at, begun) in progress.operations.iter().enumerate() {
        let now = planned.items.get(at).map(WorkItem::hash);
        if now != Some(begun.hash.as_str()) {
            return Err(Error::ScriptChanged(format!(
                "{}: operation {} changed after an earlier run had begun it, so the run cannot carry on. Put it back as it was \
                 and run the command again; or `rollback {}{}` undoes what was done. Operations not yet begun may be changed.",
                planned.origin,
                at + 1,
                planned.id,
                if progress.direction == Direction::Down { " --exact" } else { "" }
            )));
        }
    }
    Ok(planned)
}

fn unreadable(record: &Record, which: &str, what: &str) -> Error {
    Error::invalid(
        None,
        format!(
            "{} ({}): its {which} script in the ledger is no migration script ({what}), and scripts are never run as code. \
             Write it as a migration file, and take this record off pending with `mark {} --as rolled_back`, \
             or in the shell with {}.updateOne({{_id: {:?}}}, {{$set: {{status: \"rolled_back\"}}}}).",
            record.id,
            record.name,
            record.id,
            record.ledger_in_shell(),
            record.id
        ),
    )
}
