//! What the server always refuses, whatever the data: told from the text of an operation alone.
//!
//! No error of the file: a script that was applied once, or recorded, is read all the same. `lint` warns of it, and a
//! plan counts it as a problem. What depends on the server's version is left to the server.

mod index;

use bson::{Bson, Document};

use super::Operation;
use super::fields::unknown;
use super::operation::{Action, UpdateDocuments};

/// Something that the server refuses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The field of the operation that it is in, as in `/options/expireAfterSeconds`.
    pub field: String,
    /// What is wrong, as a sentence without its full stop.
    pub message: String,
}

/// All that the server would refuse of an operation.
pub fn refusals(operation: &Operation) -> Vec<Refusal> {
    let mut found = RefusalList(Vec::new());
    match &operation.action {
        Action::CreateIndex(index) => found.index(index),
        Action::CreateCollection { options } | Action::ModifyCollection { options } => {
            if let Ok(validator) = options.get_document("validator") {
                found.filter("/options/validator", validator, FilterPlace::Validator);
            }
        }
        Action::UpdateDocuments(update) => {
            found.filter("/filter", &update.filter, FilterPlace::Query);
            found.update(update);
        }
        Action::DeleteDocuments(delete) => found.filter("/filter", &delete.filter, FilterPlace::Query),
        _ => {}
    }
    found.0
}

/// Operators of a filter that take a value of one field.
/// Source: MongoDB manual, "Query and Projection Operators", 5.0 to 8.0.
const CONDITIONS: &[&str] = &[
    "$eq",
    "$gt",
    "$gte",
    "$in",
    "$lt",
    "$lte",
    "$ne",
    "$nin",
    "$not",
    "$exists",
    "$type",
    "$mod",
    "$regex",
    "$options",
    "$geoIntersects",
    "$geoWithin",
    "$within",
    "$near",
    "$nearSphere",
    "$geoNear",
    "$maxDistance",
    "$minDistance",
    "$all",
    "$elemMatch",
    "$size",
    "$bitsAllClear",
    "$bitsAllSet",
    "$bitsAnyClear",
    "$bitsAnySet",
    "$comment",
];
/// Operators of a filter as a whole.
const CLAUSES: &[&str] = &[
    "$and",
    "$or",
    "$nor",
    "$expr",
    "$jsonSchema",
    "$text",
    "$where",
    "$comment",
    "$sampleRate",
    "$alwaysTrue",
    "$alwaysFalse",
];
/// Source: MongoDB manual, "Update Operators", 5.0 to 8.0.
const UPDATES: &[&str] = &[
    "$currentDate",
    "$inc",
    "$min",
    "$max",
    "$mul",
    "$rename",
    "$set",
    "$setOnInsert",
    "$unset",
    "$addToSet",
    "$pop",
    "$pull",
    "$push",
    "$pullAll",
    "$bit",
];
/// The stages that an update takes.
const STAGES: &[&str] = &["$set", "$addFields", "$unset", "$project", "$replaceWith", "$replaceRoot"];
/// Source: MongoDB manual, "$jsonSchema".
const SCHEMA: &[&str] = &[
    "bsonType",
    "type",
    "enum",
    "allOf",
    "anyOf",
    "oneOf",
    "not",
    "title",
    "description",
    "properties",
    "patternProperties",
    "additionalProperties",
    "minProperties",
    "maxProperties",
    "required",
    "dependencies",
    "minLength",
    "maxLength",
    "pattern",
    "items",
    "additionalItems",
    "minItems",
    "maxItems",
    "uniqueItems",
    "multipleOf",
    "minimum",
    "maximum",
    "exclusiveMinimum",
    "exclusiveMaximum",
    "encrypt",
    "encryptMetadata",
];
/// The types that `type` takes; `bsonType` has more.
const TYPES: &[&str] = &["object", "array", "number", "boolean", "string", "null"];

/// Where a filter is.
#[derive(Debug, Clone, Copy, PartialEq)]
enum FilterPlace {
    Query,
    Validator,
}

struct RefusalList(Vec<Refusal>);

impl RefusalList {
    fn add(&mut self, field: &str, message: impl Into<String>) {
        let refusal = Refusal { field: field.to_owned(), message: message.into() };
        if !self.0.contains(&refusal) {
            self.0.push(refusal);
        }
    }

    fn filter(&mut self, field: &str, filter: &Document, place: FilterPlace) {
        for (key, value) in filter {
            match (key.as_str(), value) {
                ("$and" | "$or" | "$nor", Bson::Array(parts)) => {
                    parts.iter().filter_map(Bson::as_document).for_each(|part| self.filter(field, part, place));
                }
                ("$text" | "$where", _) if place == FilterPlace::Validator => {
                    self.add(field, format!("a validator cannot use {key}"));
                }
                ("$jsonSchema", Bson::Document(schema)) => self.schema(field, schema),
                (operator, _) if operator.starts_with('$') && !CLAUSES.contains(&operator) => {
                    self.add(field, unknown("operator", operator, CLAUSES));
                }
                (operator, _) if operator.starts_with('$') => {}
                (_, Bson::Document(condition)) => self.condition(field, condition, place),
                _ => {}
            }
        }
    }

    fn condition(&mut self, field: &str, condition: &Document, place: FilterPlace) {
        // Without an operator in front it is a value.
        if !condition.keys().next().is_some_and(|key| key.starts_with('$')) {
            return;
        }
        for (operator, operand) in condition {
            match (operator.as_str(), operand) {
                // A reference to another collection.
                ("$ref" | "$id" | "$db", _) => {}
                ("$near" | "$nearSphere" | "$geoNear", _) if place == FilterPlace::Validator => {
                    self.add(field, format!("a validator cannot use {operator}"));
                }
                ("$not", Bson::Document(inner)) => self.condition(field, inner, place),
                ("$elemMatch", Bson::Document(inner)) => match inner.keys().next() {
                    Some(key) if key.starts_with('$') && !CLAUSES.contains(&key.as_str()) => {
                        self.condition(field, inner, place);
                    }
                    _ => self.filter(field, inner, place),
                },
                (operator, _) if !CONDITIONS.contains(&operator) => {
                    self.add(field, unknown("operator", operator, CONDITIONS));
                }
                _ => {}
            }
        }
    }

    fn schema(&mut self, field: &str, schema: &Document) {
        for (key, value) in schema {
            match (key.as_str(), value) {
                ("properties" | "patternProperties" | "dependencies", Bson::Document(inner)) => {
                    inner.values().filter_map(Bson::as_document).for_each(|inner| self.schema(field, inner));
                }
                ("allOf" | "anyOf" | "oneOf" | "items", Bson::Array(all)) => {
                    all.iter().filter_map(Bson::as_document).for_each(|inner| self.schema(field, inner));
                }
                ("not" | "items" | "additionalItems" | "additionalProperties", Bson::Document(inner)) => {
                    self.schema(field, inner);
                }
                ("type", Bson::String(name)) if !TYPES.contains(&name.as_str()) => {
                    self.add(field, format!("$jsonSchema has no type {name:?}; \"bsonType\" takes those of BSON"));
                }
                ("required", value) if value.as_array().is_none_or(Vec::is_empty) => {
                    self.add(field, "\"required\" of a $jsonSchema must be an array of names that is not empty");
                }
                (key, _) if !SCHEMA.contains(&key) => self.add(field, unknown("keyword of $jsonSchema", key, SCHEMA)),
                _ => {}
            }
        }
    }

    fn update(&mut self, update: &UpdateDocuments) {
        match &update.update {
            Bson::Document(operators) => {
                for (operator, fields) in operators {
                    if !UPDATES.contains(&operator.as_str()) {
                        self.add(&format!("/update/{operator}"), unknown("update operator", operator, UPDATES));
                        continue;
                    }
                    let changes_id = match (operator.as_str(), fields) {
                        (
                            "$unset" | "$push" | "$addToSet" | "$pull" | "$pullAll" | "$pop" | "$bit",
                            Bson::Document(it),
                        ) => it.contains_key("_id"),
                        ("$rename", Bson::Document(it)) => {
                            it.contains_key("_id") || it.values().any(|to| to.as_str() == Some("_id"))
                        }
                        // To its own value is no change.
                        ("$set", Bson::Document(it)) => {
                            it.get("_id").is_some_and(|id| update.filter.get("_id").is_none_or(|asked| asked != id))
                        }
                        _ => false,
                    };
                    if changes_id {
                        self.add(
                            &format!("/update/{operator}"),
                            format!("{operator} changes _id, and an _id cannot change"),
                        );
                    }
                }
            }
            Bson::Array(stages) => {
                for stage in stages.iter().filter_map(Bson::as_document) {
                    match stage.keys().next() {
                        Some(name) if !STAGES.contains(&name.as_str()) => {
                            let known = unknown("stage", name, STAGES);
                            self.add("/update", format!("an update cannot use the stage {name:?}: {known}"));
                        }
                        _ => {}
                    }
                }
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn told(operation: Value) -> Vec<String> {
        let operation = Operation::parse(operation).expect("an operation");
        refusals(&operation).into_iter().map(|refusal| refusal.message).collect()
    }

    #[test]
    fn what_is_taken_is_not_refused() {
        let index = |keys: Value, options: Value| {
            told(json!({"type": "create_index", "collection": "c", "index": keys, "options": options}))
        };
        for (keys, options) in [
            (
                json!({"a": 1}),
                json!({"partialFilterExpression": {"a": {"$gt": 1, "$exists": true}, "$or": [{"b": null}]}}),
            ),
            (json!({"a": "hashed"}), json!({"expireAfterSeconds": 5})),
            (json!({"$**": 1}), json!({"wildcardProjection": {"a": 1}, "collation": {"locale": "en"}})),
            (json!({"$**": "text"}), json!({"weights": {"a": 3}, "collation": {"locale": "simple"}})),
            (json!([["x", 1], ["a", "text"], ["b", "text"], ["y", 1]]), json!({"unique": true})),
            (json!({"_id": "hashed"}), json!({})),
            (json!({"_id": 1, "a": 1}), json!({"unique": true})),
        ] {
            assert_eq!(index(keys.clone(), options), Vec::<String>::new(), "{keys}");
        }
        let update = |filter: Value, update: Value| {
            told(json!({"type": "update_documents", "collection": "c", "filter": filter, "update": update}))
        };
        for (filter, change) in [
            (json!({"a": {"$not": {"$gt": 1}}, "$expr": {"$whatever": 1}}), json!({"$set": {"a": {"$sett": 1}}})),
            (
                json!({"a": {"$elemMatch": {"$gte": 1}}, "b": {"$elemMatch": {"x": {"$in": [1]}, "$or": [{"y": 1}]}}}),
                json!({"$inc": {"a": 1}}),
            ),
            (json!({"a": {"b": {"$odd": 1}}, "c": {"$ref": "d", "$id": 1}}), json!([{"$replaceWith": {"$x": 1}}])),
            (json!({"_id": 5}), json!({"$set": {"_id": 5}})),
            (json!({"a": {"$regex": "x", "$options": "i"}}), json!({"$setOnInsert": {"_id": 1}})),
        ] {
            assert_eq!(update(filter.clone(), change), Vec::<String>::new(), "{filter}");
        }
        let schema = json!({"bsonType": "object", "required": ["a"], "properties": {"a": {"type": "string"}, "type": {"bsonType": "int"}}});
        let create =
            json!({"type": "create_collection", "collection": "c", "options": {"validator": {"$jsonSchema": schema}}});
        assert_eq!(told(create), Vec::<String>::new());
    }

    #[test]
    fn every_fault_is_told_and_what_was_meant() {
        let change = json!({"type": "update_documents", "collection": "c", "filter": {"a": {"$exsts": true}, "$andd": []},
            "update": {"$sett": {"a": 1}, "$unset": {"_id": ""}}});
        let found = told(change);
        assert_eq!(found.len(), 4, "{found:?}");
        for (message, meant) in found.iter().zip(["$exists", "$and", "$set", "cannot change"]) {
            assert!(message.contains(meant), "{message}");
        }
        let index = json!({"type": "create_index", "collection": "c", "index": [["a", 1], ["b", "hashed"]], "options": {
            "unique": true, "expireAfterSeconds": -1, "sparse": true, "partialFilterExpression": {"a": {"$ne": 1}}}});
        assert_eq!(told(index).len(), 5);
    }
}
