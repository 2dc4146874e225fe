//! Which collections earlier operations of a plan touch. Nothing has run yet, so what a later operation would meet
//! there cannot be known.

use std::collections::HashMap;

use bson::Bson;

use super::report::{Dependency, OperationPlan};
use crate::run::report::Outcome;
use crate::script::Operation;
use crate::script::operation::Action;

/// What of a collection an operation touches, or what it depends on.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Part {
    /// Its documents.
    pub documents: bool,
    /// Whether it stands, its options and its indexes.
    pub schema: bool,
}

const DOCUMENTS: Part = Part { documents: true, schema: false };
const SCHEMA: Part = Part { documents: false, schema: true };
const BOTH: Part = Part { documents: true, schema: true };

/// What the operations before have touched, by the names of collections.
#[derive(Debug, Default)]
pub struct Touched(HashMap<String, Vec<(Dependency, Part)>>);

impl Touched {
    /// The operations that what `operation` meets depends on.
    pub fn before(&self, operation: &Operation) -> Vec<Dependency> {
        let mut found: Vec<Dependency> = Vec::new();
        for (name, part) in depends(operation) {
            for (dependency, touched) in self.0.get(name).into_iter().flatten() {
                let meets = (part.documents && touched.documents) || (part.schema && touched.schema);
                if meets && !found.contains(dependency) {
                    found.push(dependency.clone());
                }
            }
        }
        found
    }

    /// Whether anything was touched at all.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Takes note of an operation and of what was found out about it.
    pub fn add(&mut self, operation: &Operation, migration: &str, plan: &OperationPlan) {
        // It would leave everything as it is.
        let nothing = plan.depends_on.is_empty()
            && match plan.outcome {
                Some(Outcome::Standing | Outcome::Absent) => true,
                Some(Outcome::Done) => {
                    operation.writes_documents() && plan.changes == Some(0) && plan.upserted.unwrap_or(0) == 0
                }
                _ => false,
            };
        if nothing {
            return;
        }
        let own = Dependency { migration: migration.to_owned(), operation: plan.index };
        for (name, part) in touches(operation) {
            self.0.entry(name.to_owned()).or_default().push((own.clone(), part));
        }
    }
}

fn touches(operation: &Operation) -> Vec<(&str, Part)> {
    let name = operation.collection.as_str();
    match &operation.action {
        Action::UpdateDocuments(update) if !update.upsert => vec![(name, DOCUMENTS)],
        Action::DeleteDocuments(_) => vec![(name, DOCUMENTS)],
        Action::CreateIndex(_) | Action::DropIndex(_) | Action::ModifyCollection { .. } => vec![(name, SCHEMA)],
        Action::RenameCollection { to } => vec![(name, BOTH), (to, BOTH)],
        // An insert or upsert may make the collection.
        _ => vec![(name, BOTH)],
    }
}

fn depends(operation: &Operation) -> Vec<(&str, Part)> {
    let name = operation.collection.as_str();
    let hinted = |hint: Option<&Bson>, filter| hint.is_some() || uses_index(filter);
    match &operation.action {
        Action::UpdateDocuments(update) if !hinted(update.hint.as_ref(), &update.filter) => vec![(name, DOCUMENTS)],
        Action::DeleteDocuments(delete) if !hinted(delete.hint.as_ref(), &delete.filter) => vec![(name, DOCUMENTS)],
        Action::InsertDocuments(_) => vec![(name, DOCUMENTS)],
        Action::CreateIndex(index) if !index.options.get_bool("unique").unwrap_or(false) => vec![(name, SCHEMA)],
        Action::DropIndex(_) => vec![(name, SCHEMA)],
        Action::RenameCollection { to } => vec![(name, SCHEMA), (to, SCHEMA)],
        _ => vec![(name, BOTH)],
    }
}

/// Whether a filter works only where a certain index stands.
fn uses_index(filter: &bson::Document) -> bool {
    filter.iter().any(|(key, value)| {
        matches!(key.as_str(), "$text" | "$near" | "$nearSphere")
            || match value {
                Bson::Document(inner) => uses_index(inner),
                Bson::Array(items) => items.iter().filter_map(Bson::as_document).any(uses_index),
                _ => false,
            }
    })
}
