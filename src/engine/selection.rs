//! What there is and what to do about it, decided before anything is written. Nothing here talks to a
//! server: files and records go in, a plan comes out.

use bson::DateTime;

use super::inventory::{Inventory, InventoryEntry};
use crate::engine::planned::PlannedMigration;
use crate::error::{Error, Result};
use crate::run::record::Status;
use crate::run::report::Direction;

/// What `apply` or `rollback` will do.
#[derive(Debug, Default)]
pub struct Plan {
    /// Scripts to run, in order.
    pub migrations: Vec<PlannedMigration>,
    /// A migration that was asked for by name and is applied already.
    pub already_applied: Option<(String, String)>,
    /// Why the run must stop after these.
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
            match entry.plan_up() {
                Ok(planned) => plan.migrations.push(PlannedMigration { capture: !options.uncaptured, ..planned }),
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
            return Err(Error::Settings(
                "--exact and --from-file exclude each other: an exact rollback runs no script.".to_owned(),
            ));
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
            let planned = if exact {
                entry.plan_exact()
            } else if entry.partly_applied() && !options.from_file {
                // A down script is written for a migration that did all that it was to do. This one may not have.
                let script = if entry.all_done() { entry.plan_down(false).ok() } else { None };
                entry.plan_exact().map(|planned| PlannedMigration { fallback: script.map(Box::new), ..planned })
            } else {
                entry.plan_down(options.from_file)
            };
            match planned {
                Ok(planned) => plan.migrations.push(PlannedMigration { capture: !options.uncaptured, ..planned }),
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
                 `mark {} --as applied` records the new file as applied.",
                entry.file_text(),
                entry.id,
                entry.id,
                entry.id,
            ))),
        }
    }
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
