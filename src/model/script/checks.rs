//! The `checks` of a migration file: what must hold before its up script runs, and after. Reading them; running
//! them is [`crate::analysis::checks`].

use crate::model::number::cut;
use crate::plural::{counted, number};
use std::fmt;

use bson::{Bson, Document};
use serde_json::Value;

use super::extended::decode_first;
use super::fields::{Fields, type_name, unknown};
use super::operation::{IndexRef, collection_name};
use super::options::{CREATE_OPTIONS, INDEX_OPTIONS};

/// The types of checks.
pub const CHECK_TYPES: [&str; 4] = ["count", "collection", "index", "validator"];

/// The checks of a migration.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Checks {
    /// What must hold before anything is done.
    pub before: Vec<Check>,
    /// What must hold once every operation is done.
    pub after: Vec<Check>,
    /// JSON text as the ledger keeps it; empty where there are none.
    pub text: String,
}

/// One check.
#[derive(Debug, Clone, PartialEq)]
pub struct Check {
    /// The collection it is about.
    pub collection: String,
    /// What must hold.
    pub demand: Demand,
    /// Why, in the words of who wrote the migration.
    pub reason: Option<String>,
}

/// What a check demands.
#[derive(Debug, Clone, PartialEq)]
pub enum Demand {
    /// The number of documents that match.
    Count {
        /// Which ones.
        filter: Document,
        /// How many.
        bounds: Bounds,
    },
    /// The collection exists, with these options where they are given; or it does not exist.
    Collection {
        /// Compared as `create_collection` compares them.
        options: Option<Document>,
        /// Whether it must exist.
        exists: bool,
    },
    /// The index exists, finished, with these options where they are given; or it does not exist.
    Index {
        /// Which one.
        index: IndexRef,
        /// The options that are compared; others may have any value.
        options: Option<Document>,
        /// Whether it must exist.
        exists: bool,
    },
    /// The collection has a validator, this one where it is given; or it has none.
    Validator {
        /// Exactly this one.
        validator: Option<Document>,
        /// Whether there is to be one.
        exists: bool,
    },
}

/// What a number of documents is compared with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[allow(missing_docs)] // the fields of the file
pub struct Bounds {
    pub equals: Option<i64>,
    pub not_equals: Option<i64>,
    pub at_least: Option<i64>,
    pub at_most: Option<i64>,
}

impl Bounds {
    /// Whether a number meets all of them.
    pub fn hold(&self, number: i64) -> bool {
        self.equals.is_none_or(|n| number == n)
            && self.not_equals.is_none_or(|n| number != n)
            && self.at_least.is_none_or(|n| number >= n)
            && self.at_most.is_none_or(|n| number <= n)
    }
}

impl fmt::Display for Bounds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let all = [
            ("exactly", self.equals),
            ("not exactly", self.not_equals),
            ("at least", self.at_least),
            ("at most", self.at_most),
        ];
        let asked: Vec<(&str, i64)> = all.iter().filter_map(|(word, count)| count.map(|n| (*word, n))).collect();
        let (last, before) = asked.split_last().ok_or(fmt::Error)?;
        for (word, count) in before {
            write!(f, "{word} {} and ", number(*count))?;
        }
        write!(f, "{} {}", last.0, counted(last.1, "document"))
    }
}

impl Checks {
    /// Reads `{"before": [...], "after": [...]}`.
    ///
    /// # Errors
    /// A sentence naming the check, without the file.
    pub fn parse(value: Value) -> Result<Self, String> {
        let text = value.to_string();
        let Value::Object(mut fields) = value else {
            return Err("\"checks\" must be an object with \"before\" and \"after\"".to_owned());
        };
        let mut list = |name: &str| match fields.shift_remove(name) {
            None => Ok(Vec::new()),
            Some(Value::Array(items)) => items
                .into_iter()
                .enumerate()
                .map(|(at, item)| {
                    let kind = item.get("type").and_then(Value::as_str).map(|kind| format!(" ({kind})"));
                    Check::parse(item)
                        .map_err(|what| format!("checks: {name}: check {}{}: {what}", at + 1, kind.unwrap_or_default()))
                })
                .collect(),
            Some(_) => Err(format!("checks: {name:?} must be an array")),
        };
        let checks = Self { before: list("before")?, after: list("after")?, text };
        if let Some(key) = fields.keys().next() {
            return Err(format!("checks: unknown field {key:?}; there are before, after"));
        }
        Ok(checks)
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.before.is_empty() && self.after.is_empty()
    }
}

impl Check {
    fn parse(value: Value) -> Result<Self, String> {
        let document = match decode_first(value)? {
            Bson::Document(document) => document,
            other => return Err(format!("must be an object, not {}", type_name(&other))),
        };
        let kind = match document.get("type") {
            Some(Bson::String(kind)) => kind.clone(),
            Some(other) => return Err(format!("\"type\" must be a text, not {}", type_name(other))),
            None => return Err("the field \"type\" is missing".to_owned()),
        };
        let allowed: &'static [&'static str] = match kind.as_str() {
            "count" => &["type", "collection", "filter", "equals", "not_equals", "at_least", "at_most", "reason"],
            "collection" => &["type", "collection", "options", "exists", "reason"],
            "index" => &["type", "collection", "index", "options", "exists", "reason"],
            "validator" => &["type", "collection", "validator", "exists", "reason"],
            _ => return Err(unknown("type", &kind, &CHECK_TYPES)),
        };
        let mut fields = Fields::new(document, "field", allowed)?;
        let collection = collection_name("collection", fields.text("collection")?)?;
        let reason = match fields.take("reason") {
            None => None,
            Some(Bson::String(reason)) if !reason.trim().is_empty() => Some(reason),
            Some(Bson::String(_)) => return Err("the field \"reason\" is empty".to_owned()),
            Some(other) => return Err(fields.mistyped("reason", "a text", &other)),
        };
        let demand = match kind.as_str() {
            "count" => {
                let filter = fields.optional_document("filter")?.unwrap_or_default();
                let bounds = Bounds {
                    equals: whole(&mut fields, "equals")?,
                    not_equals: whole(&mut fields, "not_equals")?,
                    at_least: whole(&mut fields, "at_least")?,
                    at_most: whole(&mut fields, "at_most")?,
                };
                if bounds == Bounds::default() {
                    return Err("it compares with no number: give equals, not_equals, at_least or at_most".to_owned());
                }
                Demand::Count { filter, bounds }
            }
            "collection" => {
                let options = options(&mut fields, CREATE_OPTIONS)?;
                Demand::Collection { exists: exists(&mut fields, options.is_some(), "options")?, options }
            }
            "index" => {
                let index = IndexRef::parse(fields.required("index")?)?;
                let options = options(&mut fields, INDEX_OPTIONS)?;
                Demand::Index { index, exists: exists(&mut fields, options.is_some(), "options")?, options }
            }
            _ => {
                let validator = fields.optional_document("validator")?;
                Demand::Validator { exists: exists(&mut fields, validator.is_some(), "validator")?, validator }
            }
        };
        Ok(Self { collection, demand, reason })
    }

    /// What it demands, in words: `at least 1 document of "users"`.
    pub fn describe(&self) -> String {
        let name = &self.collection;
        let not = |exists: bool, word: &str| if exists { word.to_owned() } else { format!("no {word}") };
        match &self.demand {
            Demand::Count { filter, bounds } if filter.is_empty() => format!("{bounds} in {name:?}"),
            Demand::Count { filter, bounds } => {
                let filter = crate::error::message::show(&Bson::Document(filter.clone()));
                let matching = if bounds.to_string().ends_with("document") { "matches" } else { "match" };
                format!("{bounds} in {name:?} that {matching} {filter}")
            }
            Demand::Collection { exists, .. } => format!("{} {name:?}", not(*exists, "collection")),
            Demand::Index { index, exists, .. } => {
                format!("{} {:?} on {name:?}", not(*exists, "index"), index.name())
            }
            Demand::Validator { exists, .. } => format!("{} on {name:?}", not(*exists, "validator")),
        }
    }
}

fn whole(fields: &mut Fields, name: &str) -> Result<Option<i64>, String> {
    match fields.take(name) {
        None => Ok(None),
        Some(Bson::Int32(n)) => Ok(Some(i64::from(n))),
        Some(Bson::Int64(n)) => Ok(Some(n)),
        Some(Bson::Double(n)) if n.fract() == 0.0 && n.abs() < 9e15 => Ok(Some(cut(n))),
        Some(other) => Err(fields.mistyped(name, "a whole number", &other)),
    }
}

fn options(fields: &mut Fields, known: &'static [&'static str]) -> Result<Option<Document>, String> {
    let options = fields.optional_document("options")?;
    if let Some(options) = &options {
        drop(Fields::new(options.clone(), "option", known)?);
    }
    Ok(options)
}

fn exists(fields: &mut Fields, described: bool, how: &str) -> Result<bool, String> {
    match fields.boolean("exists", true)? {
        false if described => Err(format!("{how:?} does not go with \"exists\": false")),
        exists => Ok(exists),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_the_grammar_has_is_read() {
        let checks = Checks::parse(json!({
            "before": [
                {"type": "count", "collection": "users", "equals": 0, "filter": {"a": 1}, "reason": "why"},
                {"type": "collection", "collection": "users", "exists": false},
                {"type": "collection", "collection": "users", "options": {"capped": true, "size": 4096}},
            ],
            "after": [
                {"type": "index", "collection": "users", "index": "by_name", "options": {"unique": true}},
                {"type": "index", "collection": "users", "index": [["a", 1]], "exists": false},
                {"type": "validator", "collection": "users", "validator": {"a": 1}},
                {"type": "count", "collection": "users", "at_least": 1, "at_most": 5.0, "not_equals": 3},
            ],
        }))
        .expect("reads");
        assert_eq!((checks.before.len(), checks.after.len()), (3, 4));
        let Demand::Count { bounds, .. } = &checks.after[3].demand else { panic!("a count") };
        assert!([1, 2, 4, 5].iter().all(|n| bounds.hold(*n)));
        assert!([0, 3, 6].iter().all(|n| !bounds.hold(*n)));
        assert_eq!(bounds.to_string(), "not exactly 3 and at least 1 and at most 5 documents");
        let one = Bounds { at_most: Some(1), ..Bounds::default() };
        assert_eq!(one.to_string(), "at most 1 document");
        assert!(checks.before[0].describe().contains("exactly 0 documents in \"users\" that match"));
    }

    #[test]
    fn every_refusal_names_the_check_and_the_field() {
        let cases = [
            (json!([]), "must be an object"),
            (json!({"befor": []}), "unknown field \"befor\""),
            (json!({"before": {}}), "\"before\" must be an array"),
            (json!({"after": [{"type": "sum", "collection": "c"}]}), "after: check 1 (sum): unknown type"),
            (json!({"after": [{"collection": "c"}]}), "after: check 1: the field \"type\" is missing"),
            (json!({"after": [{"type": "count"}]}), "\"collection\" is missing"),
            (json!({"after": [{"type": "count", "collection": "c"}]}), "compares with no number"),
            (json!({"after": [{"type": "count", "collection": "c", "equals": 1.5}]}), "must be a whole number"),
            (json!({"after": [{"type": "count", "collection": "c", "equal": 1}]}), "did you mean \"equals\""),
            (
                json!({"after": [{"type": "count", "collection": "migrations", "equals": 1}]}),
                "belongs to the migration",
            ),
            (json!({"after": [{"type": "collection", "collection": "c", "reason": " "}]}), "\"reason\" is empty"),
            (json!({"after": [{"type": "index", "collection": "c"}]}), "\"index\" is missing"),
            (
                json!({"after": [{"type": "validator", "collection": "c", "validator": {}, "exists": false}]}),
                "does not go with",
            ),
            (
                json!({"after": [{"type": "collection", "collection": "c", "options": {"cap": true}}]}),
                "did you mean \"capped\"",
            ),
        ];
        for (value, expected) in cases {
            let refusal = Checks::parse(value).expect_err(expected);
            assert!(refusal.contains(expected), "{refusal}\n  lacks {expected}");
        }
    }
}
