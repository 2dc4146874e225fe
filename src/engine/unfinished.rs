//! What is neither applied nor rolled back, and the ways on from there.

use super::inventory::{Inventory, InventoryEntry};
use crate::error::{Error, Result};
use crate::model::migration::ScriptSource;
use crate::run::record::Status;
use crate::run::report::Direction;

impl Inventory {
    /// Rolled back migrations that have a file and that `apply` leaves as they are. Of one whose file is gone nobody
    /// expects that it is applied.
    pub fn passed_over(&self) -> impl Iterator<Item = &InventoryEntry> {
        self.entries.iter().filter(|entry| entry.status() == Status::RolledBack && entry.file.is_some())
    }
}

impl InventoryEntry {
    /// Refuses a file that is still as `create` wrote it.
    ///
    /// # Errors
    /// [`Error::Invalid`].
    pub fn refuse_template(&self) -> Result<()> {
        let Some(file) = self.file.as_ref().filter(|file| file.is_template()) else { return Ok(()) };
        if self.status() == Status::Applied {
            return Ok(());
        }
        Err(Error::invalid(
            file.file.as_deref(),
            "it has no operations yet, as `create` writes it. Nothing was done. Write its operations, or add \
             \"empty\": true to the file if it is meant to do nothing.",
        ))
    }

    /// Whether its up script was begun and may not have come to its end.
    pub fn partly_applied(&self) -> bool {
        let begun = self.record.as_ref().is_some_and(|record| record.progress.is_some());
        begun && self.direction() == Some(Direction::Up)
    }

    /// Whether all operations of its up script are done.
    pub fn all_done(&self) -> bool {
        let Some(record) = &self.record else { return false };
        let script = record.up_script.as_deref().and_then(|text| ScriptSource::from_text(text).ok());
        match (script, &record.progress) {
            (Some(script), Some(progress)) => progress.finished() >= script.script.operations.len(),
            _ => false,
        }
    }

    /// What it is, for one that a rollback of everything begins with.
    pub fn unfinished(&self) -> Option<String> {
        let state = match (self.status(), self.direction()) {
            (Status::Failed, Some(Direction::Down)) => "its rollback failed",
            (Status::RollingBack, _) => "it is half rolled back",
            (Status::Applying, _) => "it is half applied",
            (Status::Failed, _) => "it failed",
            (Status::Other(_), _) => "its status cannot be read",
            _ => return None,
        };
        Some(format!("Beginning with {} ({}), which ran last: {state}.", self.id, self.name()))
    }

    /// How a rollback that has begun comes to its end, in a sentence.
    pub fn ways_back(&self) -> String {
        let id = &self.id;
        match self.undoing() {
            true => format!("`rollback {id} --exact` finishes that. Then it can be applied again."),
            false => format!(
                "`rollback {id}` finishes that. Then it can be applied again. Other ways: {}",
                self.other_ways_back()
            ),
        }
    }

    /// How a rollback whose script fails can be done otherwise, in a sentence.
    pub fn other_ways_back(&self) -> String {
        let id = &self.id;
        let from_file = match &self.file {
            Some(_) => format!("`rollback {id} --from-file` runs the down script that its file has now; "),
            None => String::new(),
        };
        format!(
            "{from_file}`rollback {id} --exact` runs no script and undoes what was captured, and `mark {id} --as rolled_back` takes \
             your word that it is undone."
        )
    }

    /// What can be done about an unfinished migration that has no file, in a sentence.
    pub fn ways_out(&self) -> String {
        let id = &self.id;
        format!(
            "It has no file any more: put the file back, or `rollback {id}` undoes what it did, or `mark {id} --as rolled_back` \
             takes your word that nothing of it is left."
        )
    }
}
