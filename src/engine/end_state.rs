//! The end state that a script's schema operations ask for: what must exist, or be gone, once all of them are done.
//!
//! Later operations of the same script count: what one makes and a later one drops must be gone. What operations on
//! documents may have made is not asked for.

use std::collections::BTreeMap;

use bson::Document;

use crate::analysis::checks::find_index;
use crate::error::server::ServerError;
use crate::model::script::Script;
use crate::model::script::operation::{Action, CreateIndex, IndexRef, Operation};
use crate::mongo::catalog::{self, Collection, difference};
use crate::mongo::indexes;
use crate::mongo::server::Server;
use crate::operations::collections::{index_is_in, option_agrees};

/// What is asked for of one name.
#[derive(Debug, Clone, Default, PartialEq)]
struct Expected {
    /// Whether a collection or view of this name must exist (`Some(true)`) or must not (`Some(false)`).
    exists: Option<bool>,
    /// The options it was to be created with.
    created: Option<Document>,
    /// The options that were modified since, the last value of each.
    modified: Document,
    /// Changes of indexes by `collMod`.
    changed_indexes: Vec<Document>,
    /// The indexes that must exist.
    indexes: Vec<CreateIndex>,
    /// The indexes that must not.
    dropped: Vec<IndexRef>,
}

/// What a script asks for, by the names of collections.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct EndState(BTreeMap<String, Expected>);

impl EndState {
    /// An operation of a script.
    pub fn of(script: &[&Operation]) -> Self {
        let mut state = Self::default();
        for operation in script {
            state.then(operation);
        }
        state
    }

    fn then(&mut self, operation: &Operation) {
        let name = operation.collection.clone();
        match &operation.action {
            Action::CreateCollection { options } => {
                let wanted = self.0.entry(name).or_default();
                wanted.exists = Some(true);
                wanted.created = Some(options.clone());
                wanted.modified = Document::new();
            }
            Action::DropCollection => {
                drop(self.0.insert(name, Expected { exists: Some(false), ..Expected::default() }))
            }
            Action::ModifyCollection { options } => {
                let wanted = self.0.entry(name).or_default();
                wanted.exists = Some(true);
                for (option, value) in options {
                    match (option.as_str(), value.as_document()) {
                        ("comment", _) => {}
                        ("index", Some(index)) => wanted.changed_indexes.push(index.clone()),
                        _ => drop(wanted.modified.insert(option.clone(), value.clone())),
                    }
                }
            }
            Action::RenameCollection { to } => {
                let moved = self.0.remove(&name).unwrap_or_default();
                self.0.insert(name, Expected { exists: Some(false), ..Expected::default() });
                self.0.insert(to.clone(), Expected { exists: Some(true), ..moved });
            }
            Action::CreateIndex(index) => {
                let wanted = self.0.entry(name).or_default();
                wanted.exists = Some(true);
                wanted.dropped.retain(|dropped| !names(dropped, index));
                wanted.indexes.retain(|other| other.name != index.name);
                wanted.indexes.push(index.clone());
            }
            Action::DropIndex(index) => {
                let wanted = self.0.entry(name).or_default();
                wanted.indexes.retain(|made| !names(index, made));
                wanted.changed_indexes.retain(|changed| !changes(changed, index));
                wanted.dropped.push(index.clone());
            }
            // They make a collection that is not there, or none where nothing is to be written.
            Action::InsertDocuments(_) => self.may_make(name),
            Action::UpdateDocuments(update) if update.upsert => self.may_make(name),
            Action::UpdateDocuments(_) | Action::DeleteDocuments(_) => {}
        }
    }

    fn may_make(&mut self, name: String) {
        if let Some(wanted) = self.0.get_mut(&name).filter(|wanted| wanted.exists == Some(false)) {
            wanted.exists = None;
        }
    }

    /// What is not as it must be, each as a part of a sentence.
    ///
    /// # Errors
    /// The server's.
    pub async fn violations(&self, server: &Server) -> Result<Vec<String>, ServerError> {
        let mut found = Vec::new();
        for (name, wanted) in &self.0 {
            let existing = catalog::collection(server, name).await?;
            match (&existing, wanted.exists) {
                (None, Some(true)) => found.push(format!("{name:?} is missing")),
                (Some(existing), Some(false)) => {
                    found.push(format!("{name:?} should be gone, but a {} exists", existing.noun()));
                }
                _ => {}
            }
            let Some(existing) = existing.filter(|_| wanted.exists != Some(false)) else { continue };
            wanted.compare_options(name, &existing, &mut found);
            if existing.kind != "view" {
                wanted.compare_indexes(name, &existing, &catalog::indexes(server, name).await?, &mut found);
            }
        }
        Ok(found)
    }
}

impl Expected {
    fn compare_options(&self, name: &str, existing: &Collection, found: &mut Vec<String>) {
        if let Some(created) = &self.created {
            let unmodified = |options: &Document| -> Document {
                let own = |option: &str| !self.modified.keys().any(|modified| written_as(modified) == option);
                options.clone().into_iter().filter(|(option, _)| own(option)).collect()
            };
            let rest = Collection { options: unmodified(&existing.options), ..existing.clone() };
            found.extend(
                difference(&unmodified(created), &rest).map(|what| format!("the options of {name:?} differ: {what}")),
            );
        }
        for (option, asked) in &self.modified {
            // What the server writes otherwise than it takes it is left to it.
            let comparable = written_as(option) == option && option != "timeseries";
            if comparable && !option_agrees(option, asked, &existing.options) {
                let exists =
                    existing.options.get(option).map_or_else(|| "nothing".to_owned(), crate::error::message::show);
                let asked = crate::error::message::show(asked);
                found.push(format!("{option} of {name:?} differs: asked for {asked}, found {exists}"));
            }
        }
    }

    fn compare_indexes(&self, name: &str, existing: &Collection, listed: &[Document], found: &mut Vec<String>) {
        for index in &self.indexes {
            let place = IndexRef::Name(index.name.clone());
            let problem = match find_index(listed, &place) {
                None => Some("is missing".to_owned()),
                Some((_, false)) => Some("is still being built".to_owned()),
                // Of a time-series collection the server lists other keys than it builds.
                Some((spec, true)) if existing.kind != "timeseries" => self.index_differs(index, spec, existing),
                Some(_) => None,
            };
            found.extend(problem.map(|problem| format!("the index {:?} of {name:?} {problem}", index.name)));
        }
        for index in &self.dropped {
            let gone = match index {
                // Others may have the same keys under other names.
                IndexRef::Keys(_) => self.indexes.is_empty() && find_index(listed, index).is_some(),
                IndexRef::Name(_) => find_index(listed, index).is_some(),
            };
            if gone && existing.kind != "timeseries" {
                found.push(format!("the index {} of {name:?} should be gone, but exists", shown(index)));
            }
        }
        for change in &self.changed_indexes {
            if !index_is_in(listed, change) {
                let change = crate::error::message::show(&bson::Bson::Document(change.clone()));
                found.push(format!("an index of {name:?} is not as modify_collection asks: {change}"));
            }
        }
    }

    fn index_differs(&self, index: &CreateIndex, spec: &Document, existing: &Collection) -> Option<String> {
        // A later collMod changed these, and is compared itself.
        let changed: Vec<&str> = self
            .changed_indexes
            .iter()
            .filter(|change| {
                changes(change, &IndexRef::Name(index.name.clone()))
                    || changes(change, &IndexRef::Keys(index.keys.clone()))
            })
            .flat_map(|change| change.keys().map(String::as_str))
            .collect();
        let without = |options: &Document| -> Document {
            options.clone().into_iter().filter(|(option, _)| !changed.contains(&option.as_str())).collect()
        };
        let mut asked = without(&index.options);
        let mut spec = without(spec);
        if let (true, true) =
            (asked.contains_key("partialFilterExpression"), spec.contains_key("partialFilterExpression"))
        {
            // The same expression may be written in several ways, and the server has taken them for the same.
            asked.remove("partialFilterExpression");
            spec.remove("partialFilterExpression");
        }
        let collation = existing.options.get_document("collation").ok();
        indexes::difference(&index.keys, &asked, &spec, collation).map(|what| format!("differs: {what}"))
    }
}

/// The option of the catalog that an option of `collMod` changes.
fn written_as(option: &str) -> &str {
    match option {
        "cappedSize" => "size",
        "cappedMax" => "max",
        other => other,
    }
}

fn names(index: &IndexRef, made: &CreateIndex) -> bool {
    match index {
        IndexRef::Name(name) => *name == made.name,
        IndexRef::Keys(keys) => indexes::same_index_keys(keys, &made.keys),
    }
}

fn changes(change: &Document, index: &IndexRef) -> bool {
    match index {
        IndexRef::Name(name) => change.get_str("name").is_ok_and(|own| own == name),
        IndexRef::Keys(keys) => {
            change.get_document("keyPattern").is_ok_and(|own| crate::model::equivalence::same_keys(own, keys))
        }
    }
}

fn shown(index: &IndexRef) -> String {
    match index {
        IndexRef::Name(name) => format!("{name:?}"),
        IndexRef::Keys(keys) => crate::error::message::show(&bson::Bson::Document(keys.clone())),
    }
}

impl From<&Script> for EndState {
    fn from(script: &Script) -> Self {
        Self::of(&script.operations.iter().collect::<Vec<_>>())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn state(operations: serde_json::Value) -> EndState {
        EndState::from(&Script::parse(json!({"operations": operations})).expect("a script"))
    }

    #[test]
    fn later_operations_count() {
        let made_and_dropped = state(json!([
            {"type": "create_collection", "collection": "a", "options": {"capped": true, "size": 1}},
            {"type": "create_index", "collection": "a", "index": "x"},
            {"type": "drop_collection", "collection": "a"},
        ]));
        assert_eq!(made_and_dropped, state(json!([{"type": "drop_collection", "collection": "a"}])));
        let renamed = state(json!([
            {"type": "create_index", "collection": "a", "index": "x"},
            {"type": "rename_collection", "collection": "a", "to": "b"},
        ]));
        assert_eq!(renamed.0["a"].exists, Some(false));
        assert_eq!((renamed.0["b"].exists, renamed.0["b"].indexes.len()), (Some(true), 1));
        let refilled = state(json!([
            {"type": "drop_collection", "collection": "a"},
            {"type": "insert_documents", "collection": "a", "documents": [{"x": 1}]},
        ]));
        assert_eq!(refilled.0["a"].exists, None);
        let replaced = state(json!([
            {"type": "drop_index", "collection": "a", "index": "x_1"},
            {"type": "create_index", "collection": "a", "index": "x"},
            {"type": "create_index", "collection": "a", "index": "y"},
            {"type": "drop_index", "collection": "a", "index": [["y", 1]]},
        ]));
        let wanted = &replaced.0["a"];
        assert_eq!(wanted.indexes.iter().map(|index| index.name.as_str()).collect::<Vec<_>>(), ["x_1"]);
        assert_eq!(wanted.dropped.len(), 1);
    }
}
