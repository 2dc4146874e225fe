//! Options of collections and indexes as old servers and tools wrote them, made into what a server takes today. What
//! is passed over or converted is said.
//!
//! Source: mongo-tools, `mongorestore` (`ignoreUnknownIndexOptions`, `convertLegacyIndexes`), and the manual's lists of options.

use crate::mongo::profile::LONGEST_EXPIRY;
use bson::{Bson, Document};

/// What `create` takes.
const COLLECTION_OPTIONS: [&str; 15] = [
    "capped",
    "changeStreamPreAndPostImages",
    "clusteredIndex",
    "collation",
    "encryptedFields",
    "expireAfterSeconds",
    "indexOptionDefaults",
    "max",
    "pipeline",
    "size",
    "storageEngine",
    "timeseries",
    "validationAction",
    "validationLevel",
    "validator",
];
/// What `createIndexes` takes of an index.
const INDEX_OPTIONS: [&str; 23] = [
    "2dsphereIndexVersion",
    "bits",
    "clustered",
    "coarsestIndexedLevel",
    "collation",
    "default_language",
    "expireAfterSeconds",
    "finestIndexedLevel",
    "hidden",
    "key",
    "language_override",
    "max",
    "min",
    "name",
    "partialFilterExpression",
    "prepareUnique",
    "sparse",
    "storageEngine",
    "textIndexVersion",
    "unique",
    "v",
    "weights",
    "wildcardProjection",
];
/// Options without a meaning that nobody would miss.
const SILENT: [&str; 4] = ["background", "dropDups", "ns", "temp"];

/// A collection's options for `create`.
pub fn collection(name: &str, options: &Document, notes: &mut Vec<String>) -> Document {
    let capped = truthy(options.get("capped"));
    let mut kept = Document::new();
    let mut passed_over = Vec::new();
    for (option, value) in options {
        let limits_nothing = matches!(option.as_str(), "size" | "max") && !capped;
        let known = COLLECTION_OPTIONS.contains(&option.as_str()) || option == "viewOn";
        if known && !limits_nothing && *value != Bson::Null && (option != "capped" || capped) {
            kept.insert(option.clone(), value.clone());
        } else if !limits_nothing && option != "capped" && *value != Bson::Null && !SILENT.contains(&option.as_str()) {
            passed_over.push(option.as_str());
        }
    }
    if capped {
        kept.insert("capped", true);
    }
    if !passed_over.is_empty() {
        notes.push(format!("{name:?}: options passed over that servers no longer know: {}", passed_over.join(", ")));
    }
    kept
}

/// An index for `createIndexes`.
pub fn index(collection: &str, index: &Document, notes: &mut Vec<String>) -> Document {
    let name = index.get_str("name").unwrap_or_default().to_owned();
    let mut note = |what: String| notes.push(format!("{collection:?}, index {name:?}: {what}"));
    let mut kept = Document::new();
    let mut passed_over = Vec::new();
    for (option, value) in index {
        match option.as_str() {
            // The server chooses today's version.
            "v" if number(value).is_some_and(|version| version < 1) => note("its version 0 became today's".to_owned()),
            "key" => drop(kept.insert("key", Bson::Document(keys(value, &mut note)))),
            "expireAfterSeconds" => drop(kept.insert("expireAfterSeconds", expiry(value, &mut note))),
            "unique" | "sparse" | "hidden" if !matches!(value, Bson::Boolean(_)) => {
                if truthy(Some(value)) {
                    kept.insert(option.clone(), true);
                }
            }
            _ if INDEX_OPTIONS.contains(&option.as_str()) && *value != Bson::Null => {
                kept.insert(option.clone(), value.clone());
            }
            _ if SILENT.contains(&option.as_str()) || *value == Bson::Null => {}
            unknown => passed_over.push(unknown.to_owned()),
        }
    }
    if !passed_over.is_empty() {
        note(format!("options passed over that servers no longer know: {}", passed_over.join(", ")));
    }
    kept
}

fn keys(value: &Bson, note: &mut impl FnMut(String)) -> Document {
    let Bson::Document(keys) = value else { return Document::new() };
    let mut converted = Vec::new();
    let mut kept = Document::new();
    for (field, direction) in keys {
        let legacy = match direction {
            Bson::String(text) => text.is_empty(),
            other => number(other).is_none_or(|it| it == 0),
        };
        if legacy {
            converted.push(field.as_str());
            kept.insert(field.clone(), 1);
        } else {
            kept.insert(field.clone(), direction.clone());
        }
    }
    if !converted.is_empty() {
        note(format!("the direction of {} was written in an old way and became 1", converted.join(", ")));
    }
    kept
}

fn expiry(value: &Bson, note: &mut impl FnMut(String)) -> Bson {
    let fits = match value {
        Bson::Double(seconds) => *seconds >= 0.0 && *seconds <= LONGEST_EXPIRY as f64,
        other => number(other).is_some_and(|seconds| (0..=LONGEST_EXPIRY).contains(&seconds)),
    };
    if fits {
        return value.clone();
    }
    note("its expiry is none that a server takes and became the longest, 68 years".to_owned());
    Bson::Int64(LONGEST_EXPIRY)
}

fn number(value: &Bson) -> Option<i64> {
    match value {
        Bson::Int32(number) => Some(i64::from(*number)),
        Bson::Int64(number) => Some(*number),
        // A fraction has a direction, too.
        Bson::Double(number) if number.is_nan() => None,
        Bson::Double(number) if *number > 0.0 => Some(1),
        Bson::Double(number) if *number < 0.0 => Some(-1),
        Bson::Double(_) => Some(0),
        _ => None,
    }
}

fn truthy(value: Option<&Bson>) -> bool {
    match value {
        Some(Bson::Boolean(value)) => *value,
        Some(value) => number(value).is_some_and(|it| it != 0),
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use bson::doc;

    use super::*;

    #[test]
    fn old_indexes_become_what_a_server_takes() {
        let cases = [
            (doc! {"v": 2, "key": {"a": 1}, "name": "a_1"}, doc! {"v": 2, "key": {"a": 1}, "name": "a_1"}, 0),
            (doc! {"v": 0, "key": {"a": 1}, "name": "a"}, doc! {"key": {"a": 1}, "name": "a"}, 1),
            (doc! {"key": {"a": true, "b": ""}, "name": "a"}, doc! {"key": {"a": 1, "b": 1}, "name": "a"}, 1),
            (doc! {"key": {"a": 0, "b": -1.0}, "name": "a"}, doc! {"key": {"a": 1, "b": -1.0}, "name": "a"}, 1),
            (doc! {"key": {"a": "text"}, "name": "a"}, doc! {"key": {"a": "text"}, "name": "a"}, 0),
            (doc! {"key": {"a": 1}, "name": "a", "safe": Bson::Null}, doc! {"key": {"a": 1}, "name": "a"}, 0),
            (doc! {"key": {"a": 1}, "name": "a", "safe": true, "w": 1}, doc! {"key": {"a": 1}, "name": "a"}, 1),
            (
                doc! {"key": {"a": 1}, "name": "a", "ns": "x.y", "background": true},
                doc! {"key": {"a": 1}, "name": "a"},
                0,
            ),
            (doc! {"key": {"a": 1}, "name": "a", "unique": 1}, doc! {"key": {"a": 1}, "name": "a", "unique": true}, 0),
            (doc! {"key": {"a": 1}, "name": "a", "unique": 0}, doc! {"key": {"a": 1}, "name": "a"}, 0),
            (
                doc! {"key": {"a": 1}, "name": "a", "expireAfterSeconds": f64::NAN},
                doc! {"key": {"a": 1}, "name": "a", "expireAfterSeconds": LONGEST_EXPIRY},
                1,
            ),
        ];
        for (old, new, said) in cases {
            let mut notes = Vec::new();
            assert_eq!(index("c", &old, &mut notes), new);
            assert_eq!(notes.len(), said, "{notes:?}");
        }
    }

    #[test]
    fn old_options_become_what_a_server_takes() {
        let cases = [
            (doc! {"create": "c", "size": 0, "autoIndexId": true}, doc! {}, 1),
            (doc! {"capped": false, "size": 5}, doc! {}, 0),
            (doc! {"capped": 1, "size": 4096, "max": 3}, doc! {"size": 4096, "max": 3, "capped": true}, 0),
            (doc! {"recordIdsReplicated": true, "ns": "x"}, doc! {}, 1),
            (
                doc! {"validator": {"a": 1}, "validationLevel": "off"},
                doc! {"validator": {"a": 1}, "validationLevel": "off"},
                0,
            ),
            (doc! {"viewOn": "a", "pipeline": []}, doc! {"viewOn": "a", "pipeline": []}, 0),
            (doc! {"temp": true}, doc! {}, 0),
        ];
        for (old, new, said) in cases {
            let mut notes = Vec::new();
            assert_eq!(collection("c", &old, &mut notes), new);
            assert_eq!(notes.len(), said, "{notes:?}");
        }
    }
}
