//! Whether the down script reaches what the up script left alone.
//!
//! The text shows it only in part. A filter of the down script is taken to be no wider where every condition of
//! the up script's filter follows from it, or where it asks for a mark that the up script sets. The rest is
//! reported: whoever wrote it knows better, and can say so under `allow`.

use bson::{Bson, Document};

use super::Scripts;
use crate::analysis::lint::codes::{DELETE_BY_FILTER, DOWN_WIDER};
use crate::analysis::lint::file::File;
use crate::analysis::lint::filters::{clauses, constants, implies, one_value, overlap, touched};
use crate::analysis::lint::finding::{FindingPlace, Findings};
use crate::analysis::lint::rules::down::names;
use crate::model::script::Operation;
use crate::model::script::operation::{Action, InsertDocuments, UpdateDocuments};
use crate::run::report::Direction;

/// Looks at every operation of the down script. A file that cannot be read whole is not judged.
pub fn check(file: &File, findings: &mut Findings) {
    if !file.whole || file.up.is_empty() {
        return;
    }
    let reach = Reach(Scripts::of(file));
    for (at, operation) in file.operations(Direction::Down) {
        let collection = &operation.collection;
        let place = |field| FindingPlace::Operation(Direction::Down, at, field);
        let made_here = reach.0.up_has(collection, |it| matches!(it, Action::CreateCollection { .. }));
        match &operation.action {
            _ if made_here => {}
            Action::DropCollection => {
                findings.add(
                    file,
                    DOWN_WIDER,
                    place(""),
                    format!("it drops {collection}, which the up script does not create."),
                );
            }
            Action::DropIndex(index)
                if !reach.0.up_has(collection, |it| matches!(it, Action::CreateIndex(it) if names(index, it))) =>
            {
                let message = format!("it drops an index of {collection} that the up script does not create.");
                findings.add(file, DOWN_WIDER, place("/index"), message);
            }
            Action::UpdateDocuments(update) => {
                if let Some(message) = reach.of_update(operation, update) {
                    findings.add(file, DOWN_WIDER, place("/filter"), message);
                }
            }
            Action::DeleteDocuments(delete) => match reach.of_delete(operation, &delete.filter) {
                Deletes::Inserted => {}
                Deletes::ByFilter => {
                    let message = format!(
                        "it deletes every document of {collection} that looks like the inserted ones, whoever made it."
                    );
                    findings.add(file, DELETE_BY_FILTER, place("/filter"), message);
                }
                Deletes::Others => {
                    let message = format!("it deletes documents of {collection} that the up script does not insert.");
                    findings.add(file, DOWN_WIDER, place("/filter"), message);
                }
            },
            _ => {}
        }
    }
}

struct Reach<'a>(Scripts<'a>);

enum Deletes {
    Inserted,
    ByFilter,
    Others,
}

impl Reach<'_> {
    fn on(&self, collection: &str) -> impl Iterator<Item = &Action> {
        self.0.on(Direction::Up, collection).map(|step| step.action)
    }

    /// What is wider about an update of the down script.
    fn of_update(&self, operation: &Operation, down: &UpdateDocuments) -> Option<String> {
        let collection = &operation.collection;
        let fields = touched(&down.update);
        let mut ups = Vec::new();
        for step in self.0.on(Direction::Up, collection) {
            match step.action {
                // What was inserted, deleted or dropped is not compared field by field.
                Action::InsertDocuments(_) | Action::DeleteDocuments(_) | Action::DropCollection => return None,
                Action::UpdateDocuments(up) => {
                    let meets = match (&step.touched, &fields) {
                        (Some(up), Some(down)) => up.iter().any(|a| down.iter().any(|b| overlap(a, b))),
                        _ => true,
                    };
                    if meets {
                        ups.push(up);
                    }
                }
                _ => {}
            }
        }
        if ups.is_empty() {
            return Some(format!("it changes documents of {collection} in fields that the up script leaves alone."));
        }
        // Several updates of one field: it is enough that one of them reached all of these documents.
        if ups.iter().any(|up| implies(&down.filter, &up.filter) || asks_for_mark(&down.filter, &up.update)) {
            return None;
        }
        Some(format!(
            "its filter also matches documents of {collection} that the up script's filter does not, \
             which then lose what they had before."
        ))
    }

    fn of_delete(&self, operation: &Operation, filter: &Document) -> Deletes {
        let inserted: Vec<&InsertDocuments> = self
            .on(&operation.collection)
            .filter_map(|action| match action {
                Action::InsertDocuments(inserted) => Some(inserted),
                _ => None,
            })
            .collect();
        let marked = self
            .on(&operation.collection)
            .any(|action| matches!(action, Action::UpdateDocuments(up) if up.upsert && implies(filter, &up.filter)));
        if marked {
            return Deletes::Inserted;
        }
        let documents = || inserted.iter().flat_map(|it| &it.documents);
        let conditions = clauses(filter);
        let by_id = conditions.iter().filter(|(field, _)| *field == "_id").any(|(_, condition)| {
            let asked = match condition {
                Bson::Document(operators) if operators.len() == 1 && operators.contains_key("$in") => {
                    operators.get_array("$in").cloned().unwrap_or_default()
                }
                _ => one_value(condition).cloned().into_iter().collect(),
            };
            !asked.is_empty() && asked.iter().all(|id| documents().any(|document| document.get("_id") == Some(id)))
        });
        if by_id || is_mark_of(&conditions, documents()) {
            Deletes::Inserted
        } else if conditions.iter().any(|(field, _)| documents().any(|document| document.contains_key(field))) {
            Deletes::ByFilter
        } else {
            Deletes::Others
        }
    }
}

/// Whether the filter asks for a value that the update sets, in a field made for that: the field's name begins with
/// an underscore, or it or the value speaks of a migration.
fn asks_for_mark(filter: &Document, update: &Bson) -> bool {
    let set = constants(update);
    clauses(filter).into_iter().any(|(field, condition)| {
        let Some(value) = one_value(condition) else { return false };
        set.iter().any(|(name, constant)| *name == field && *constant == value) && is_mark(field, value)
    })
}

fn is_mark_of<'a>(conditions: &[(&str, &Bson)], mut documents: impl Iterator<Item = &'a Document>) -> bool {
    let marks: Vec<(&str, &Bson)> = conditions
        .iter()
        .filter_map(|(field, condition)| Some((*field, one_value(condition)?)))
        .filter(|(field, value)| *field != "_id" && is_mark(field, value))
        .collect();
    !marks.is_empty() && documents.any(|it| marks.iter().any(|(field, value)| it.get(field) == Some(*value)))
}

fn is_mark(field: &str, value: &Bson) -> bool {
    let speaks = |text: &str| text.to_lowercase().contains("migrat");
    field.starts_with('_') || speaks(field) || value.as_str().is_some_and(speaks)
}
