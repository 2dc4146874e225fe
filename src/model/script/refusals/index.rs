//! Specifications of indexes that the server always refuses.

use bson::{Bson, Document};

use super::{CONDITIONS, RefusalList};
use crate::model::equivalence::same_collation;
use crate::model::script::fields::unknown;
use crate::model::script::operation::CreateIndex;

/// What a partial index may ask of a field.
const PARTIAL: &[&str] =
    &["$eq", "$gt", "$gte", "$lt", "$lte", "$exists", "$type", "$in", "$geoWithin", "$geoIntersects", "$within"];

impl RefusalList {
    pub(super) fn index(&mut self, index: &CreateIndex) {
        let options = &index.options;
        let kinds: Vec<Option<&str>> = index.keys.values().map(Bson::as_str).collect();
        let has = |kind: &str| kinds.contains(&Some(kind));
        let wildcard = index.keys.keys().any(|field| field == "$**" || field.ends_with(".$**")) && !has("text");
        let on = |option: &str| is_on(options.get(option));
        for field in index.keys.keys().filter(|field| !field.ends_with("$**")) {
            if field.split('.').any(|part| part.is_empty() || part.starts_with('$')) {
                self.add("/index", format!("the key {field:?} has an empty part, or one that begins with $"));
            }
        }
        if on("unique") && has("hashed") {
            self.add("/options/unique", "a hashed index cannot be unique");
        }
        if wildcard {
            for option in ["unique", "sparse"].into_iter().filter(|option| on(option)) {
                self.add(&format!("/options/{option}"), format!("a wildcard index cannot be {option}"));
            }
            if options.contains_key("expireAfterSeconds") {
                self.add("/options/expireAfterSeconds", "a wildcard index cannot expire documents");
            }
        }
        if options.contains_key("wildcardProjection") && !index.keys.contains_key("$**") {
            self.add("/options/wildcardProjection", "wildcardProjection goes with the key \"$**\" only");
        }
        self.kinds(&kinds);
        self.expiry(index);
        if index.keys.len() == 1 && index.keys.contains_key("_id") && !has("hashed") && !has("text") {
            let refused = ["unique", "sparse", "hidden", "expireAfterSeconds", "partialFilterExpression"];
            for option in refused.into_iter().filter(|option| options.contains_key(*option)) {
                self.add(&format!("/options/{option}"), format!("the index on _id takes no option {option}"));
            }
            if index.keys.get_i32("_id").is_ok_and(|direction| direction == -1) {
                self.add("/index", "the index on _id is {\"_id\": 1}");
            }
        }
        let collated = !same_collation(options.get_document("collation").ok(), None);
        if collated && (has("text") || has("2d")) {
            self.add("/options/collation", "a text or 2d index has no collation");
        }
        if options.contains_key("weights") && !has("text") {
            self.add("/options/weights", "weights go with a text index only");
        }
        for (field, weight) in options.get_document("weights").into_iter().flatten() {
            if !number(weight).is_some_and(|weight| weight > 0.0 && weight < 100_000.0) {
                self.add("/options/weights", format!("the weight of {field:?} must be between 1 and 99,999"));
            }
        }
        if let Ok(partial) = options.get_document("partialFilterExpression") {
            if on("sparse") {
                self.add("/options/sparse", "an index is either sparse or partial");
            }
            self.partial(partial);
        }
    }

    fn kinds(&mut self, kinds: &[Option<&str>]) {
        let places = |kind: &str| -> Vec<usize> {
            kinds.iter().enumerate().filter(|(_, own)| **own == Some(kind)).map(|(at, _)| at).collect()
        };
        if places("hashed").len() > 1 {
            self.add("/index", "an index has one hashed field at most");
        }
        if places("2d").first().is_some_and(|first| *first > 0) || places("2d").len() > 1 {
            self.add("/index", "an index has one 2d field at most, and it comes first");
        }
        if places("text").windows(2).any(|pair| pair[0] + 1 != pair[1]) {
            self.add("/index", "the text fields of an index must be next to each other");
        }
    }

    fn expiry(&mut self, index: &CreateIndex) {
        let Some(seconds) = index.options.get("expireAfterSeconds") else { return };
        let field = "/options/expireAfterSeconds";
        if index.keys.len() > 1 {
            self.add(field, "an index of several fields cannot expire documents");
        }
        match number(seconds) {
            Some(seconds) if (0.0..=f64::from(i32::MAX)).contains(&seconds) => {}
            _ => self.add(field, format!("expireAfterSeconds must be a number from 0 to {}", i32::MAX)),
        }
    }

    fn partial(&mut self, filter: &Document) {
        const FIELD: &str = "/options/partialFilterExpression";
        for (key, value) in filter {
            match (key.as_str(), value) {
                ("$and" | "$or", Bson::Array(parts)) => {
                    parts.iter().filter_map(Bson::as_document).for_each(|part| self.partial(part));
                }
                ("$comment", _) => {}
                (operator, _) if operator.starts_with('$') => {
                    self.add(FIELD, format!("a partial index cannot use {operator}"));
                }
                (_, Bson::RegularExpression(_)) => self.add(FIELD, "a partial index cannot use a regular expression"),
                (_, Bson::Document(condition)) if condition.keys().next().is_some_and(|key| key.starts_with('$')) => {
                    for (operator, operand) in condition {
                        if !CONDITIONS.contains(&operator.as_str()) {
                            self.add(FIELD, unknown("operator", operator, CONDITIONS));
                        } else if !PARTIAL.contains(&operator.as_str()) {
                            self.add(FIELD, format!("a partial index cannot use {operator}"));
                        } else if operator == "$exists" && !is_on(Some(operand)) {
                            self.add(FIELD, "a partial index cannot use \"$exists\": false");
                        }
                    }
                }
                _ => {}
            }
        }
    }
}

fn number(value: &Bson) -> Option<f64> {
    match value {
        Bson::Int32(n) => Some(f64::from(*n)),
        Bson::Int64(n) => Some(*n as f64),
        Bson::Double(n) => Some(*n),
        Bson::Decimal128(n) => n.to_string().parse().ok(),
        _ => None,
    }
}

/// Whether the server takes a value for true.
fn is_on(value: Option<&Bson>) -> bool {
    match value {
        Some(Bson::Boolean(value)) => *value,
        Some(Bson::Null) | None => false,
        Some(other) => number(other) != Some(0.0),
    }
}
