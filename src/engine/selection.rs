//! What there is and what to do about it, decided before anything is written. Nothing here talks to a
//! server: files and records go in, steps come out.

use bson::DateTime;

use super::inventory::{Inventory, InventoryEntry};
use crate::engine::planned::{PlannedMigration, WorkItem, work_items};
use crate::error::{Error, Result};
use crate::model::migration::{Migration, ScriptSource};
use crate::model::script::checks::Checks;
use crate::run::progress::Progress;
use crate::run::record::{Record, Status};
use crate::run::report::Direction;

/// What `apply` or `rollback` will do.
#[derive(Debug, Default)]
pub struct Plan {
    /// Scripts to run, in order.
    pub steps: Vec<PlannedMigration>,
    /// A migration that was asked for by name and stands applied already.
    pub already_applied: Option<(String, String)>,
    /// Why the run must stop after the steps.
    pub blocked: Option<(String, String, Error)>,
    /// Rolled back migrations that `apply` without an id leaves as they are.
    pub passed_over: Vec<String>,
    /// What a rollback without an id begins with because it ran last, each as a sentence.
    pub unfinished: Vec<String>,
}

/// What `apply` was asked for.
#[derive(Debug, Clone, Default)]
pub struct ApplyOptions {
    /// One migration instead of every pending one.
    pub id: Option<String>,
    /// Apply rolled back ones again, too.
    pub rolled_back: bool,
    /// Refuse migrations that sort before an applied one.
    pub strict_order: bool,
    /// Capture nothing.
    pub uncaptured: bool,
}

/// What `rollback` was asked for.
#[derive(Debug, Clone, Default)]
pub struct RollbackOptions {
    /// One migration instead of every applied one.
    pub id: Option<String>,
    /// Run the file's down script instead of the ledger's.
    pub from_file: bool,
    /// Undo what was captured instead of running a down script.
    pub exact: bool,
    /// Capture nothing.
    pub uncaptured: bool,
}

impl Inventory {
    /// What `apply` will do.
    ///
    /// # Errors
    /// [`Error::ScriptChanged`], [`Error::OutOfOrder`] or [`Error::Unknown`] where nothing may run at all.
    pub fn plan_apply(&self, options: &ApplyOptions) -> Result<Plan> {
        self.refuse_changed()?;
        let chosen: Vec<&InventoryEntry> = match &options.id {
            Some(id) => vec![self.find(id)?],
            None => self
                .entries
                .iter()
                .filter(|entry| match entry.status() {
                    Status::Applied => false,
                    Status::RolledBack => options.rolled_back,
                    _ => true,
                })
                .collect(),
        };
        if options.strict_order {
            let late: Vec<&str> = chosen.iter().filter(|e| e.out_of_order).map(|e| e.id.as_str()).collect();
            if !late.is_empty() {
                return Err(Error::OutOfOrder(format!(
                    "--strict-order: {} would be applied after migrations that sort after it. Nothing was done. \
                     Give the file a newer number, or apply without --strict-order.",
                    late.join(", ")
                )));
            }
        }
        for entry in &chosen {
            entry.refuse_template()?;
        }
        let mut plan = Plan::default();
        if options.id.is_none() && !options.rolled_back {
            plan.passed_over = self.passed_over().map(|entry| entry.id.clone()).collect();
        }
        for entry in chosen {
            if entry.status() == Status::Applied {
                plan.already_applied = Some((entry.id.clone(), entry.name().to_owned()));
                continue;
            }
            match entry.step_up() {
                Ok(step) => plan.steps.push(PlannedMigration { capture: !options.uncaptured, ..step }),
                Err(error) => {
                    plan.blocked = Some((entry.id.clone(), entry.name().to_owned(), error));
                    break;
                }
            }
        }
        Ok(plan)
    }

    /// What `rollback` will do.
    ///
    /// # Errors
    /// [`Error::Unknown`], or [`Error::WrongState`] where the one asked for is not applied.
    pub fn plan_rollback(&self, options: &RollbackOptions) -> Result<Plan> {
        if options.exact && options.from_file {
            return Err(Error::Settings("An exact rollback runs no script, and so none from a file.".to_owned()));
        }
        let chosen = match &options.id {
            Some(id) => {
                let entry = self.find(id)?;
                // What a script rolled back can still be undone, and its rollback with it.
                let undoable = options.exact && entry.record.as_ref().is_some_and(|record| !record.captures.is_empty());
                if matches!(entry.status(), Status::Pending | Status::RolledBack) && !undoable {
                    return Err(Error::WrongState(format!(
                        "{} ({}) is not applied: its status is {}. There is nothing to roll back.",
                        entry.id,
                        entry.name(),
                        entry.status().as_str()
                    )));
                }
                vec![entry]
            }
            None => self.latest_first(),
        };
        let mut plan = Plan::default();
        if options.id.is_none() {
            plan.unfinished = chosen.iter().filter_map(|entry| entry.unfinished()).collect();
        }
        for entry in chosen {
            let exact = options.exact || entry.undoing();
            let step = if exact {
                entry.step_exact()
            } else if entry.partly_applied() && !options.from_file {
                // A down script is written for a migration that did all that it was to do. This one may not have.
                let script = if entry.all_done() { entry.step_down(false).ok() } else { None };
                entry.step_exact().map(|step| PlannedMigration { instead: script.map(Box::new), ..step })
            } else {
                entry.step_down(options.from_file)
            };
            match step {
                Ok(step) => plan.steps.push(PlannedMigration { capture: !options.uncaptured, ..step }),
                Err(error) => {
                    plan.blocked = Some((entry.id.clone(), entry.name().to_owned(), error));
                    break;
                }
            }
        }
        Ok(plan)
    }

    /// What is unfinished, because that ran last: rollbacks first, as they were begun after an `apply` had ended. Then what
    /// is applied, in reverse order of application.
    fn latest_first(&self) -> Vec<&InventoryEntry> {
        let down = |entry: &InventoryEntry| entry.direction() == Some(Direction::Down);
        let half = |entry: &InventoryEntry| {
            matches!(entry.status(), Status::Applying | Status::RollingBack | Status::Failed | Status::Other(_))
        };
        let mut chosen: Vec<&InventoryEntry> = self.entries.iter().rev().filter(|entry| half(entry)).collect();
        chosen.sort_by_key(|entry| !down(entry));
        let mut applied: Vec<&InventoryEntry> =
            self.entries.iter().rev().filter(|entry| entry.status() == Status::Applied).collect();
        // Stable: what was applied in the same millisecond goes back in reverse order of the catalog.
        applied.sort_by_key(|entry| {
            std::cmp::Reverse(
                entry.record.as_ref().and_then(|record| record.applied_at).map_or(i64::MIN, DateTime::timestamp_millis),
            )
        });
        chosen.extend(applied);
        chosen
    }

    fn refuse_changed(&self) -> Result<()> {
        match self.entries.iter().find(|entry| entry.changed()) {
            None => Ok(()),
            Some(entry) => Err(Error::ScriptChanged(format!(
                "{} changed since {} was applied, so the file no longer describes the database. Nothing was done. \
                 Put the file back as it was and write a new migration for the change; or roll {} back (the ledger keeps the \
                 script that was applied) and apply it again; or, if the database already is as the new file says, \
                 `mark {} --as applied` takes the new file's word for it.",
                entry.file_text(),
                entry.id,
                entry.id,
                entry.id,
            ))),
        }
    }
}

impl InventoryEntry {
    /// Refuses a record that no command of ours can address.
    ///
    /// # Errors
    /// [`Error::WrongState`] with the line that removes it.
    pub fn addressable(&self) -> Result<()> {
        match &self.record {
            Some(record) if record.odd_id => Err(Error::WrongState(format!(
                "The ledger has a document that is no migration's record: its _id is {}, and ours are texts. If it came there by \
                 mistake, remove it in the shell: db.migrations.deleteOne({{_id: {}}}).",
                self.id, self.id
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

    /// The step that applies it, or carries on doing so.
    fn step_up(&self) -> Result<PlannedMigration> {
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
            let step = PlannedMigration {
                id: self.id.clone(),
                name: file.name.clone(),
                description: file.description.clone(),
                items: work_items(&file.up.script),
                exact: false,
                capture: true,
                up_text: file.up.text.clone(),
                down_text: file.down.as_ref().map(|down| down.text.clone()),
                checksum: Some(file.checksum()),
                origin: file.origin(),
                otherwise: None,
                resume,
                checks: file.checks.clone(),
                instead: None,
                seen: None,
                assessment: None,
            };
            return unchanged_where_begun(step);
        }
        let record = self.record()?;
        let text = record.up_script.as_deref().unwrap_or_default();
        let up = ScriptSource::from_text(text).map_err(|what| unreadable(record, "up", &what))?;
        let step = PlannedMigration {
            id: self.id.clone(),
            name: record.name.clone(),
            description: record.description.clone(),
            items: work_items(&up.script),
            exact: false,
            capture: true,
            up_text: text.to_owned(),
            down_text: record.down_script.clone(),
            checksum: record.checksum(),
            origin: format!("{} (recorded in the database, without a file)", self.id),
            otherwise: (self.status() != Status::Pending).then(|| self.ways_out()),
            resume,
            checks: record.checks()?,
            instead: None,
            seen: None,
            assessment: None,
        };
        unchanged_where_begun(step)
    }

    /// The step that rolls it back, or carries on doing so.
    fn step_down(&self, from_file: bool) -> Result<PlannedMigration> {
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
        let step = PlannedMigration {
            id: self.id.clone(),
            name: self.name().to_owned(),
            description: record.description.clone(),
            items: work_items(&script),
            exact: false,
            capture: true,
            up_text: record.up_script.clone().unwrap_or_default(),
            down_text: record.down_script.clone(),
            checksum: None,
            origin,
            otherwise: Some(format!("Other ways: {}", self.other_ways_back())),
            resume: self.resume(Direction::Down),
            checks: Checks::default(),
            instead: None,
            seen: None,
            assessment: None,
        };
        unchanged_where_begun(step)
    }

    /// The step that undoes what was captured, or carries on doing so; its tasks are in the database.
    fn step_exact(&self) -> Result<PlannedMigration> {
        self.reliable()?;
        let record = self.record()?;
        Ok(PlannedMigration {
            id: self.id.clone(),
            name: self.name().to_owned(),
            description: record.description.clone(),
            items: Vec::new(),
            exact: true,
            capture: true,
            up_text: record.up_script.clone().unwrap_or_default(),
            down_text: record.down_script.clone(),
            checksum: None,
            origin: format!("{} (what was captured)", self.file_text()),
            otherwise: None,
            // A script that was rolling it back is not carried on: what it did is undone, too.
            resume: self.undoing().then(|| self.resume(Direction::Down)).flatten(),
            checks: Checks::default(),
            instead: None,
            seen: None,
            assessment: None,
        })
    }

    /// Whether an exact rollback of it has begun.
    pub fn undoing(&self) -> bool {
        self.record.as_ref().and_then(|record| record.progress.as_ref()).is_some_and(|progress| progress.exact)
    }

    /// Why it could not be applied, were it its turn.
    pub fn obstacle(&self) -> Option<Error> {
        self.step_up().err()
    }

    /// What `mark` writes where the ledger has no record yet.
    pub fn step_for_mark(&self) -> PlannedMigration {
        PlannedMigration {
            id: self.id.clone(),
            name: self.name().to_owned(),
            description: self.file.as_ref().map(|file| file.description.clone()).unwrap_or_default(),
            items: Vec::new(),
            exact: false,
            capture: false,
            up_text: self.file.as_ref().map(|file| file.up.text.clone()).unwrap_or_default(),
            down_text: self.file.as_ref().and_then(|file| file.down.as_ref().map(|down| down.text.clone())),
            checksum: self.file.as_ref().map(Migration::checksum),
            origin: self.file_text(),
            otherwise: None,
            resume: None,
            checks: self.file.as_ref().map(|file| file.checks.clone()).unwrap_or_default(),
            instead: None,
            seen: None,
            assessment: None,
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
        self.record.as_ref().ok_or_else(|| Error::Unknown(format!("The ledger has no record of {}.", self.id)))
    }
}

/// Operations that were begun must not have changed: what stands in the database came from them.
pub(super) fn unchanged_where_begun(step: PlannedMigration) -> Result<PlannedMigration> {
    let Some(progress) = &step.resume else { return Ok(step) };
    for (at, begun) in progress.operations.iter().enumerate() {
        let now = step.items.get(at).map(WorkItem::hash);
        if now != Some(begun.hash.as_str()) {
            return Err(Error::ScriptChanged(format!(
                "{}: operation {} changed after an earlier run had begun it, so the run cannot carry on. Put it back as it was \
                 and run the command again; or `rollback {}{}` undoes what was done. Operations not yet begun may be changed.",
                step.origin,
                at + 1,
                step.id,
                if progress.direction == Direction::Down { " --exact" } else { "" }
            )));
        }
    }
    Ok(step)
}

fn unreadable(record: &Record, which: &str, what: &str) -> Error {
    Error::invalid(
        None,
        format!(
            "{} ({}): its {which} script in the ledger is no migration script ({what}), and scripts are never run as code. \
             Write it as a migration file, and take this record off pending with `python migration_cli.py mark {} --as rolled_back`, \
             or in the shell with db.migrations.updateOne({{_id: {:?}}}, {{$set: {{status: \"rolled_back\"}}}}).",
            record.id, record.name, record.id, record.id
        ),
    )
}

/// Which scripts to run.
#[derive(Debug, Clone)]
pub enum RunOptions {
    /// Up scripts.
    Apply(ApplyOptions),
    /// Down scripts, or captures to undo.
    Rollback(RollbackOptions),
}

impl RunOptions {
    /// Which scripts they are.
    pub fn direction(&self) -> Direction {
        match self {
            Self::Apply(_) => Direction::Up,
            Self::Rollback(_) => Direction::Down,
        }
    }

    pub(super) fn plan(&self, inventory: &Inventory) -> Result<Plan> {
        match self {
            Self::Apply(options) => inventory.plan_apply(options),
            Self::Rollback(options) => inventory.plan_rollback(options),
        }
    }
}

#[cfg(test)]
#[path = "selection_tests.rs"]
mod tests;
