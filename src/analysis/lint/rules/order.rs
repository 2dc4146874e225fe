//! Collections used before they are there, or after they are gone.

use std::collections::{HashMap, HashSet};

use crate::analysis::lint::codes::{DOWN_ORDER, USED_AFTER_DROP, USED_BEFORE_CREATED};
use crate::analysis::lint::file::File;
use crate::analysis::lint::finding::{FindingPlace, Findings};
use crate::model::script::operation::Action;
use crate::run::report::Direction;

/// Looks at the up scripts of all files in the order they apply: what works on a collection that only a later
/// operation creates. A collection that none creates is the database's own, and so is one that is dropped or renamed
/// before it is created.
pub fn before_created(files: &[File], findings: &mut [Findings]) {
    let mut created: HashMap<&str, (usize, usize)> = HashMap::new();
    // Taken away before any operation creates it: one that is made anew later is another one.
    let mut own: HashSet<&str> = HashSet::new();
    for (number, file) in files.iter().enumerate() {
        for (at, operation) in file.operations(Direction::Up) {
            let collection = operation.collection.as_str();
            match &operation.action {
                Action::CreateCollection { .. } => {
                    created.entry(collection).or_insert((number, at));
                }
                Action::DropCollection | Action::RenameCollection { .. } => {
                    if !created.contains_key(collection) {
                        own.insert(collection);
                    }
                    if let Action::RenameCollection { to } = &operation.action {
                        created.entry(to).or_insert((number, at));
                    }
                }
                _ => {}
            }
        }
    }
    for (number, file) in files.iter().enumerate() {
        for (at, operation) in file.operations(Direction::Up) {
            let collection = operation.collection.as_str();
            if matches!(operation.action, Action::DropCollection | Action::RenameCollection { .. }) {
                continue;
            }
            let Some((by, later)) = created.get(collection).copied() else { continue };
            if own.contains(collection) || (by, later) <= (number, at) {
                continue;
            }
            let where_ = if by == number {
                format!("operation {}", later + 1)
            } else {
                format!("operation {} of {}", later + 1, files[by].shown)
            };
            let message = format!("{} works on {collection}, which only {where_} creates.", operation.kind());
            findings[number].add(
                file,
                USED_BEFORE_CREATED,
                FindingPlace::Operation(Direction::Up, at, "/collection"),
                message,
            );
        }
    }
}

/// Looks for operations on a collection that the same script has dropped or renamed away.
pub fn after_drop(file: &File, findings: &mut Findings) {
    for (direction, code) in [(Direction::Up, USED_AFTER_DROP), (Direction::Down, DOWN_ORDER)] {
        let mut gone: HashMap<&str, usize> = HashMap::new();
        for (at, operation) in file.operations(direction) {
            let collection = operation.collection.as_str();
            if let Some(dropped) = gone.get(collection)
                && !matches!(operation.action, Action::CreateCollection { .. } | Action::InsertDocuments(_))
            {
                let message = format!(
                    "{} works on {collection}, which operation {} has taken away.",
                    operation.kind(),
                    dropped + 1
                );
                findings.add(file, code, FindingPlace::Operation(direction, at, "/collection"), message);
            }
            match &operation.action {
                Action::DropCollection => {
                    gone.insert(collection, at);
                }
                Action::RenameCollection { to } => {
                    gone.insert(collection, at);
                    gone.remove(to.as_str());
                }
                _ => {
                    gone.remove(collection);
                }
            }
        }
    }
}
