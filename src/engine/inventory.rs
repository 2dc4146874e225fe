//! Every migration known: files and records brought together.

use std::collections::HashMap;
use std::path::Path;

use crate::error::{Error, Result};
use crate::model::migration::{Migration, compare_numbers, number_of};
use crate::run::record::{Record, Status};
use crate::run::report::Direction;

/// Every migration known, in the order they apply: files by number, then what only the database has, by
/// `created_at`.
#[derive(Debug)]
pub struct Inventory {
    /// The migrations.
    pub entries: Vec<InventoryEntry>,
}

/// One migration as its file and its record have it; at least one of them is there.
#[derive(Debug)]
pub struct InventoryEntry {
    /// Its id.
    pub id: String,
    /// Its file.
    pub file: Option<Migration>,
    /// Its record.
    pub record: Option<Record>,
    /// Whether it is not applied although one that sorts after it is.
    pub out_of_order: bool,
}

impl Inventory {
    /// Brings files and records together.
    pub fn new(files: Vec<Migration>, records: Vec<Record>) -> Self {
        let mut by_id: HashMap<String, Record> = HashMap::new();
        let mut order = Vec::new();
        for record in records {
            order.push(record.id.clone());
            by_id.insert(record.id.clone(), record);
        }
        let mut entries: Vec<InventoryEntry> = files
            .into_iter()
            .map(|file| InventoryEntry {
                id: file.id.clone(),
                record: by_id.remove(&file.id),
                file: Some(file),
                out_of_order: false,
            })
            .collect();
        entries.extend(order.into_iter().filter_map(|id| {
            by_id.remove(&id).map(|record| InventoryEntry { id, file: None, record: Some(record), out_of_order: false })
        }));
        let mut inventory = Self { entries };
        inventory.mark_out_of_order();
        inventory
    }

    fn mark_out_of_order(&mut self) {
        let number =
            |entry: &InventoryEntry| entry.file.as_ref().and_then(|file| number_of(&file.id)).map(str::to_owned);
        let last_applied = self
            .entries
            .iter()
            .filter(|entry| entry.status() == Status::Applied)
            .filter_map(number)
            .max_by(|a, b| compare_numbers(a, b));
        let Some(last_applied) = last_applied else { return };
        for entry in &mut self.entries {
            let before = number(entry).is_some_and(|own| compare_numbers(&own, &last_applied).is_lt());
            entry.out_of_order = before && entry.status() == Status::Pending;
        }
    }

    /// The migration that `wanted` means: an id, a file's stem, or the name that exactly one bears.
    ///
    /// # Errors
    /// [`Error::Unknown`].
    pub fn find(&self, wanted: &str) -> Result<&InventoryEntry> {
        let exact = self.entries.iter().find(|entry| {
            entry.id == wanted
                || entry
                    .file
                    .as_ref()
                    .and_then(|file| file.file.as_deref())
                    .and_then(Path::file_stem)
                    .is_some_and(|stem| stem == wanted)
        });
        if let Some(entry) = exact {
            return Ok(entry);
        }
        let named: Vec<&InventoryEntry> = self.entries.iter().filter(|entry| entry.name() == wanted).collect();
        match named.as_slice() {
            [entry] => Ok(entry),
            [] => Err(Error::Unknown(format!(
                "There is no migration {wanted:?}, neither in the migrations directory nor in the database. `status` lists them all."
            ))),
            several => Err(Error::Unknown(format!(
                "{} migrations are named {wanted:?}; say which by its id: {}.",
                several.len(),
                several.iter().map(|entry| entry.id.as_str()).collect::<Vec<_>>().join(", ")
            ))),
        }
    }
}

impl InventoryEntry {
    /// Its name: the file's, else the record's.
    pub fn name(&self) -> &str {
        match (&self.file, &self.record) {
            (Some(file), _) => &file.name,
            (None, Some(record)) => &record.name,
            (None, None) => &self.id,
        }
    }

    /// Its status; pending where the ledger has none.
    pub fn status(&self) -> Status {
        self.record.as_ref().map_or(Status::Pending, |record| record.status.clone())
    }

    /// Whether an applied migration's file says something else than what was applied.
    pub fn changed(&self) -> bool {
        match (&self.file, &self.record) {
            (Some(file), Some(record)) if record.status == Status::Applied => {
                record.checksum().as_deref() != Some(file.checksum().as_str())
            }
            _ => false,
        }
    }

    /// Which script was running, for one that is applying, rolling back or failed.
    pub fn direction(&self) -> Option<Direction> {
        self.record.as_ref().and_then(Record::direction)
    }

    /// Its file, for messages.
    pub fn file_text(&self) -> String {
        self.file.as_ref().map_or_else(|| self.id.clone(), Migration::origin)
    }
}
