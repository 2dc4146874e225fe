//! Whether the down script takes back everything that the up script did.

use bson::{Bson, Document};

use super::Scripts;
use crate::analysis::lint::codes::{INCOMPLETE_DOWN, LOSSY_DOWN, MISSING_DOWN};
use crate::analysis::lint::file::File;
use crate::analysis::lint::filters::{lasting, overlap};
use crate::analysis::lint::finding::{FindingPlace, Findings};
use crate::model::script::Operation;
use crate::model::script::keys::default_index_name;
use crate::model::script::operation::{Action, CreateIndex, IndexRef};
use crate::mongo::indexes::same_index_keys;
use crate::run::report::Direction;

/// Looks for the inverse of every operation of the up script. A file that cannot be read whole is not judged.
pub fn check(file: &File, findings: &mut Findings) {
    if !file.whole || file.up.is_empty() {
        return;
    }
    if file.script(Direction::Down).is_empty() {
        let (place, message) = match file.down {
            Some(_) => ("/down", "the down script has no operations: `rollback` undoes nothing."),
            None => ("", "there is no down script: `rollback` cannot run one."),
        };
        findings.add(file, MISSING_DOWN, FindingPlace::Field(place), message);
        return;
    }
    let undo = DownCheck(Scripts::of(file));
    for (at, operation) in file.operations(Direction::Up) {
        let place = FindingPlace::Operation(Direction::Up, at, "");
        if let Some(missing) = undo.missing(at, operation) {
            findings.add(file, INCOMPLETE_DOWN, place, format!("the down script {missing}."));
        } else if matches!(operation.action, Action::DropCollection)
            && !undo.made_here(at, operation)
            && !undo
                .down_has(operation, |it| matches!(it, Action::InsertDocuments(_) | Action::RenameCollection { .. }))
        {
            let message = format!("the down script makes {} again, without its documents.", operation.collection);
            findings.add(file, LOSSY_DOWN, place, message);
        }
    }
}

struct DownCheck<'a>(Scripts<'a>);

impl DownCheck<'_> {
    fn down_has(&self, operation: &Operation, holds: impl Fn(&Action) -> bool) -> bool {
        self.0.down_has(&operation.collection, holds)
    }

    /// Whether the up script itself made the collection before the operation `at`.
    fn made_here(&self, at: usize, operation: &Operation) -> bool {
        self.before(at, operation, |it| matches!(it, Action::CreateCollection { .. }))
    }

    fn before(&self, at: usize, operation: &Operation, holds: impl Fn(&Action) -> bool) -> bool {
        let mut ups = self.0.on(Direction::Up, &operation.collection).take_while(|step| step.at < at);
        ups.any(|step| holds(step.action))
    }

    /// Whether a later operation of the up script does something to the same collection for which `holds`.
    fn after(&self, at: usize, operation: &Operation, holds: impl Fn(&Action) -> bool) -> bool {
        let mut ups = self.0.on(Direction::Up, &operation.collection).skip_while(|step| step.at <= at);
        ups.any(|step| holds(step.action))
    }

    /// What the down script lacks to undo the operation, as the end of a sentence.
    fn missing(&self, at: usize, operation: &Operation) -> Option<String> {
        let collection = &operation.collection;
        let mut ups = self.0.on(Direction::Up, collection);
        let dropped_later = ups.any(|step| step.at > at && is_drop(step.action));
        // What was done to a collection goes with it.
        let gone = self.down_has(operation, |it| matches!(it, Action::DropCollection));
        let renamed_aside = |action: &Action| matches!(action, Action::RenameCollection { .. });
        let (undone, inverse) = match &operation.action {
            _ if dropped_later || (gone && (self.made_here(at, operation) || !is_drop(&operation.action))) => {
                return None;
            }
            Action::CreateCollection { .. } => (
                self.down_has(operation, renamed_aside),
                format!("does not drop the collection {collection}, which the up script creates"),
            ),
            Action::DropCollection => (
                self.made_here(at, operation)
                    || self.down_has(operation, |it| {
                        matches!(
                            it,
                            Action::CreateCollection { .. }
                                | Action::CreateIndex(_)
                                | Action::InsertDocuments(_)
                                | Action::RenameCollection { .. }
                        )
                    }),
                format!("does not create the collection {collection}, which the up script drops"),
            ),
            Action::CreateIndex(index) => (
                self.after(at, operation, |it| matches!(it, Action::DropIndex(it) if names(it, index)))
                    || self.down_has(operation, |it| matches!(it, Action::DropIndex(it) if names(it, index))),
                format!("does not drop the index {} on {collection}, which the up script creates", index.name),
            ),
            Action::DropIndex(index) => (
                self.down_has(operation, |it| matches!(it, Action::CreateIndex(it) if names(index, it)))
                    || self.before(at, operation, |it| matches!(it, Action::CreateIndex(it) if names(index, it))),
                format!("does not create the index {} on {collection}, which the up script drops", index.name()),
            ),
            Action::InsertDocuments(_) => (
                self.down_has(operation, |it| matches!(it, Action::DeleteDocuments(_))),
                format!("does not delete the documents that the up script inserts into {collection}"),
            ),
            Action::DeleteDocuments(_) => (
                self.down_has(operation, |it| matches!(it, Action::InsertDocuments(_))),
                format!("does not bring back the documents that the up script deletes from {collection}"),
            ),
            Action::ModifyCollection { options } => {
                let left = self.not_modified_back(operation, options);
                (left.is_empty(), format!("does not modify {} of {collection} back", left.join(", ")))
            }
            Action::RenameCollection { to } => {
                (self.down_has(operation, renamed_aside), format!("does not rename {to} back to {collection}"))
            }
            Action::UpdateDocuments(update) => {
                // Documents that the migration inserted go as a whole.
                let whole = self.down_has(operation, |it| matches!(it, Action::DeleteDocuments(_)))
                    && (update.upsert || self.0.up_has(collection, |it| matches!(it, Action::InsertDocuments(_))));
                let left = if whole { Vec::new() } else { self.not_updated_back(operation, &update.update) };
                (left.is_empty(), format!("changes nothing back in {} of {collection}", left.join(", ")))
            }
        };
        (!undone).then_some(inverse)
    }

    /// The fields that the update changes and no update of the down script does.
    fn not_updated_back(&self, operation: &Operation, update: &Bson) -> Vec<String> {
        let mut back = Vec::new();
        for step in self.0.on(Direction::Down, &operation.collection) {
            match (&step.touched, step.action) {
                (Some(fields), _) => back.extend(fields),
                // It may change anything.
                (None, Action::UpdateDocuments(_)) => return Vec::new(),
                _ => {}
            }
        }
        match lasting(update) {
            Some(mut left) => {
                left.retain(|field| !back.iter().any(|other| overlap(field, other)));
                left.sort();
                left.dedup();
                left
            }
            None if back.is_empty() => vec!["the documents".to_owned()],
            None => Vec::new(),
        }
    }

    fn not_modified_back(&self, operation: &Operation, options: &Document) -> Vec<String> {
        let back: Vec<&String> = self
            .0
            .on(Direction::Down, &operation.collection)
            .filter_map(|step| match step.action {
                Action::ModifyCollection { options } => Some(options.keys()),
                _ => None,
            })
            .flatten()
            .collect();
        options.keys().filter(|key| *key != "comment" && !back.contains(key)).cloned().collect()
    }
}

fn is_drop(action: &Action) -> bool {
    matches!(action, Action::DropCollection)
}

/// Whether the reference means the index.
pub fn names(reference: &IndexRef, index: &CreateIndex) -> bool {
    match reference {
        IndexRef::Name(name) => *name == index.name || *name == default_index_name(&index.keys),
        IndexRef::Keys(keys) => same_index_keys(keys, &index.keys),
    }
}
