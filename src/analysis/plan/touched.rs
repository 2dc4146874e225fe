//! What earlier operations of a plan touch. Nothing has run yet, so what a later operation would meet there is known only
//! where it looks at other fields.

use std::collections::HashMap;

use bson::Bson;

use super::report::{Dependency, OperationPlan};
use crate::analysis::lint::filters::{filtered, overlap, referenced, touched};
use crate::model::script::Operation;
use crate::model::script::operation::{Action, UpdateDocuments};
use crate::run::report::Outcome;

/// Fields of the documents of a collection.
#[derive(Debug, Clone, PartialEq, Eq)]
enum TouchedFields {
    /// All of them, and which documents there are.
    All,
    /// These.
    These(Vec<String>),
}

impl TouchedFields {
    fn of(fields: Option<Vec<String>>) -> Self {
        fields.map_or(Self::All, |fields| Self::These(fields.iter().map(|field| plain(field)).collect()))
    }

    fn meet(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::These(one), Self::These(other)) => one.iter().any(|a| other.iter().any(|b| overlap(a, b))),
            _ => true,
        }
    }
}

/// A path without places in arrays: `a.$[x].b` and `a.0.b` are in `a.b`.
fn plain(path: &str) -> String {
    let inside = |part: &&str| !part.starts_with('$') && !part.bytes().all(|byte| byte.is_ascii_digit());
    let parts: Vec<&str> =
        path.split('.').enumerate().filter(|(at, part)| *at == 0 || inside(part)).map(|it| it.1).collect();
    parts.join(".")
}

/// What of a collection an operation touches, or what it depends on.
#[derive(Debug, Clone, PartialEq, Eq)]
struct TouchedPart {
    /// Fields of its documents; `None` where it is none of its documents.
    documents: Option<TouchedFields>,
    /// Whether it stands, its options and its indexes.
    schema: bool,
}

const DOCUMENTS: TouchedPart = TouchedPart { documents: Some(TouchedFields::All), schema: false };
const SCHEMA: TouchedPart = TouchedPart { documents: None, schema: true };
const BOTH: TouchedPart = TouchedPart { documents: Some(TouchedFields::All), schema: true };

impl TouchedPart {
    fn fields(fields: Option<Vec<String>>, schema: bool) -> Self {
        Self { documents: Some(TouchedFields::of(fields)), schema }
    }

    fn meets(&self, other: &Self) -> bool {
        let documents = match (&self.documents, &other.documents) {
            (Some(one), Some(other)) => one.meet(other),
            _ => false,
        };
        documents || (self.schema && other.schema)
    }
}

/// What the operations before have touched, by the names of collections.
#[derive(Debug, Default)]
pub struct Touched {
    parts: HashMap<String, Vec<(Dependency, TouchedPart)>>,
    /// Collections that have another name by then, with the names that they have now; `None` for one that is gone, or made
    /// anew.
    now: HashMap<String, Option<String>>,
}

impl Touched {
    /// The operations that what `operation` meets depends on.
    pub fn before(&self, operation: &Operation) -> Vec<Dependency> {
        let mut found: Vec<Dependency> = Vec::new();
        for (name, part) in depends(operation) {
            for (dependency, touched) in self.parts.get(name).into_iter().flatten() {
                if part.meets(touched) && !found.contains(dependency) {
                    found.push(dependency.clone());
                }
            }
        }
        found
    }

    /// The name that the collection of an operation has on today's data; `None` where it is none of today's.
    pub fn today<'a>(&'a self, name: &'a str) -> Option<&'a str> {
        self.now.get(name).map_or(Some(name), Option::as_deref)
    }

    /// Whether anything was touched at all.
    pub fn is_empty(&self) -> bool {
        self.parts.is_empty()
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
            self.parts.entry(name.to_owned()).or_default().push((own.clone(), part));
        }
        let name = operation.collection.clone();
        match &operation.action {
            Action::RenameCollection { to } => {
                let today = self.today(&name).map(str::to_owned);
                self.now.insert(to.clone(), today);
                self.now.insert(name, None);
            }
            Action::DropCollection => drop(self.now.insert(name, None)),
            _ => {}
        }
    }
}

fn touches(operation: &Operation) -> Vec<(&str, TouchedPart)> {
    let name = operation.collection.as_str();
    match &operation.action {
        Action::UpdateDocuments(update) if !update.upsert => {
            vec![(name, TouchedPart::fields(touched(&update.update), false))]
        }
        Action::DeleteDocuments(_) => vec![(name, DOCUMENTS)],
        Action::CreateIndex(_) | Action::DropIndex(_) | Action::ModifyCollection { .. } => vec![(name, SCHEMA)],
        Action::RenameCollection { to } => vec![(name, BOTH), (to, BOTH)],
        // An insert or upsert may make the collection.
        _ => vec![(name, BOTH)],
    }
}

fn depends(operation: &Operation) -> Vec<(&str, TouchedPart)> {
    let name = operation.collection.as_str();
    let hinted = |hint: Option<&Bson>, filter| hint.is_some() || uses_index(filter);
    match &operation.action {
        Action::UpdateDocuments(update) => {
            vec![(name, TouchedPart::fields(reads(update), hinted(update.hint.as_ref(), &update.filter)))]
        }
        Action::DeleteDocuments(delete) => {
            vec![(name, TouchedPart::fields(filtered(&delete.filter), hinted(delete.hint.as_ref(), &delete.filter)))]
        }
        // Which `_id`s stand.
        Action::InsertDocuments(_) => vec![(name, TouchedPart::fields(Some(vec!["_id".to_owned()]), false))],
        Action::CreateIndex(index) => {
            let looks =
                index.options.get_bool("unique").unwrap_or(false) || index.options.contains_key("expireAfterSeconds");
            let mut fields: Option<Vec<String>> = Some(index.keys.keys().cloned().collect());
            if let Ok(partial) = index.options.get_document("partialFilterExpression") {
                fields = fields.zip(filtered(partial)).map(|(keys, partial)| [keys, partial].concat());
            }
            vec![(name, if looks { TouchedPart::fields(fields, true) } else { SCHEMA })]
        }
        Action::DropIndex(_) => vec![(name, SCHEMA)],
        // How many documents there are.
        Action::DropCollection => vec![(name, TouchedPart::fields(Some(Vec::new()), true))],
        Action::RenameCollection { to } => vec![(name, SCHEMA), (to, SCHEMA)],
        Action::CreateCollection { options } | Action::ModifyCollection { options } => {
            let looks = ["validator", "index", "expireAfterSeconds"].iter().any(|option| options.contains_key(*option));
            let other = ["index", "expireAfterSeconds"].iter().any(|option| options.contains_key(*option));
            let fields = match options.get_document("validator") {
                Ok(validator) if !other => validated(validator),
                _ => None,
            };
            vec![(name, if looks { TouchedPart::fields(fields, true) } else { SCHEMA })]
        }
    }
}

/// The fields that an update looks at.
fn reads(update: &UpdateDocuments) -> Option<Vec<String>> {
    let mut fields = filtered(&update.filter)?;
    fields.extend(touched(&update.update)?);
    if let Bson::Array(stages) = &update.update {
        for stage in stages.iter().filter_map(Bson::as_document) {
            for (_, operand) in stage {
                fields.extend(referenced(operand)?);
            }
        }
    }
    Some(fields)
}

/// The fields that a validator looks at.
fn validated(validator: &bson::Document) -> Option<Vec<String>> {
    let mut rest = validator.clone();
    let mut fields = Vec::new();
    if let Some(Bson::Document(schema)) = rest.remove("$jsonSchema") {
        let plain = ["bsonType", "type", "title", "description", "properties", "required"];
        if !schema.keys().all(|key| plain.contains(&key.as_str())) {
            return None;
        }
        fields.extend(schema.get_document("properties").into_iter().flatten().map(|(name, _)| name.clone()));
        let required = schema.get_array("required").into_iter().flatten();
        fields.extend(required.filter_map(Bson::as_str).map(str::to_owned));
    }
    fields.extend(filtered(&rest)?);
    Some(fields)
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

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn operation(value: Value) -> Operation {
        Operation::parse(value).expect("an operation")
    }

    fn update(filter: Value, update: Value) -> Operation {
        operation(json!({"type": "update_documents", "collection": "c", "filter": filter, "update": update}))
    }

    fn depends_on(later: &Operation, earlier: &Operation) -> bool {
        let mut touched = Touched::default();
        touched.add(earlier, "m", &OperationPlan::new(1, earlier.kind(), "c"));
        !touched.before(later).is_empty()
    }

    #[test]
    fn operations_on_fields_that_do_not_meet_are_no_dependency() {
        let set_a = update(json!({"k": 1}), json!({"$set": {"a": 1}}));
        let index = |field: &str, options: Value| {
            operation(json!({"type": "create_index", "collection": "c", "index": field, "options": options}))
        };
        let delete =
            |filter: Value| operation(json!({"type": "delete_documents", "collection": "c", "filter": filter}));
        for (later, meets) in [
            (update(json!({"k": 1}), json!({"$set": {"b": 1}})), false),
            (update(json!({"a": 1}), json!({"$set": {"b": 1}})), true),
            (update(json!({"a.x": 1}), json!({"$set": {"b": 1}})), true),
            (update(json!({}), json!({"$set": {"a": 2}})), true),
            (update(json!({}), json!([{"$set": {"b": "$a"}}])), true),
            (update(json!({}), json!([{"$set": {"b": "$c"}}])), false),
            (update(json!({}), json!([{"$replaceWith": "$c"}])), true),
            (delete(json!({"k": 1})), false),
            (delete(json!({"$expr": {"$eq": ["$a", 1]}})), true),
            (index("b", json!({"unique": true})), false),
            (index("a", json!({"unique": true})), true),
            (index("a", json!({})), false),
            (index("b", json!({"unique": true, "partialFilterExpression": {"a": 1}})), true),
            (operation(json!({"type": "drop_collection", "collection": "c"})), false),
            (operation(json!({"type": "insert_documents", "collection": "c", "documents": []})), false),
            (
                operation(json!({"type": "modify_collection", "collection": "c", "options": {"validator": {"b": 1}}})),
                false,
            ),
            (
                operation(json!({"type": "modify_collection", "collection": "c", "options": {"validator": {"a": 1}}})),
                true,
            ),
        ] {
            assert_eq!(depends_on(&later, &set_a), meets, "{later:?}");
        }
        for later in [update(json!({"k": 1}), json!({"$set": {"b": 1}})), delete(json!({}))] {
            assert!(depends_on(&later, &delete(json!({"k": 1}))), "{later:?}");
        }
        let in_arrays = update(json!({}), json!({"$set": {"items.$[].price": 1}}));
        assert!(depends_on(&update(json!({"items.price": 1}), json!({"$set": {"b": 1}})), &in_arrays));
        assert!(!depends_on(&update(json!({"items.name": 1}), json!({"$set": {"b": 1}})), &in_arrays));
    }

    #[test]
    fn a_renamed_collection_is_looked_at_under_the_name_that_it_has_today() {
        let mut touched = Touched::default();
        let rename =
            |from: &str, to: &str| operation(json!({"type": "rename_collection", "collection": from, "to": to}));
        let plan = OperationPlan::new(1, "rename_collection", "a");
        touched.add(&rename("a", "b"), "m", &plan);
        touched.add(&rename("b", "c"), "m", &plan);
        assert_eq!((touched.today("a"), touched.today("b")), (None, None));
        assert_eq!((touched.today("c"), touched.today("d")), (Some("a"), Some("d")));
    }
}
