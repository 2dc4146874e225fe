//! Whether an existing index is the one asked for, judged by the catalog alone.
//!
//! `create_index` lets the server tell; a plan and a check may not send it a command that would build the index.

use bson::{Bson, Document};

use crate::error::codes;
use crate::error::message::show;
use crate::model::equivalence::{same, same_collation, same_keys};
use crate::model::script::operation::IndexRef;
use crate::mongo::catalog;

/// What has the place of an index that is asked for.
#[derive(Debug, Clone, PartialEq)]
pub enum IndexPlace {
    /// Nothing.
    Free,
    /// The index, as asked.
    Taken,
    /// The index or another one, and somebody is still building it.
    Building,
    /// Another one: `createIndexes` would answer with this code.
    InTheWay {
        /// The existing index.
        existing: Document,
        /// Why it cannot be both.
        why: String,
        /// The server's code.
        code: i32,
    },
}

/// What among `listed`, as `listIndexes` has them, has the place of the index `name` of these `keys` and
/// `options`; `collation` is the collection's own.
pub fn place(
    listed: &[Document],
    name: &str,
    keys: &Document,
    options: &Document,
    collation: Option<&Document>,
) -> IndexPlace {
    let named = |spec: &Document| spec.get_str("name").is_ok_and(|own| own == name);
    if listed.iter().any(|entry| entry.get_document("spec").is_ok_and(named)) {
        return IndexPlace::Building;
    }
    let in_the_way =
        |existing: &Document, why: String, code| IndexPlace::InTheWay { existing: existing.clone(), why, code };
    if let Some(existing) = listed.iter().find(|entry| named(entry)) {
        return match difference(keys, options, existing, collation) {
            None => IndexPlace::Taken,
            Some(why) if same_signature(keys, options, existing, collation) => {
                in_the_way(existing, why, codes::INDEX_OPTIONS_CONFLICT)
            }
            Some(why) => in_the_way(existing, why, codes::INDEX_KEY_SPECS_CONFLICT),
        };
    }
    let other = listed.iter().find(|entry| {
        same_signature(keys, options, entry, collation) || (is_text(keys) && entry.contains_key("textIndexVersion"))
    });
    match other {
        None => IndexPlace::Free,
        Some(existing) => {
            let own = existing.get_str("name").unwrap_or_default();
            in_the_way(existing, format!("it is named {own:?}"), codes::INDEX_OPTIONS_CONFLICT)
        }
    }
}

/// What tells one index from another where several have the same keys.
/// Source: MongoDB manual, `createIndexes`, "Index Signature", from 5.0 on.
fn same_signature(keys: &Document, options: &Document, existing: &Document, collation: Option<&Document>) -> bool {
    ["key", "collation", "partialFilterExpression", "unique", "sparse", "wildcardProjection"]
        .iter()
        .all(|part| differing(part, keys, options, existing, collation).is_none())
}

/// How the existing index differs from the one asked for; `None` where it does not.
pub fn difference(
    keys: &Document,
    options: &Document,
    existing: &Document,
    collation: Option<&Document>,
) -> Option<String> {
    let defaults = [
        "key",
        "collation",
        "unique",
        "sparse",
        "expireAfterSeconds",
        "partialFilterExpression",
        "hidden",
        "weights",
        "default_language",
        "language_override",
    ];
    let others = options.keys().map(String::as_str).filter(|option| !defaults.contains(option));
    let found: Vec<String> = defaults
        .into_iter()
        .chain(others)
        .filter_map(|part| differing(part, keys, options, existing, collation))
        .collect();
    (!found.is_empty()).then(|| found.join("; "))
}

/// How it differs from just the `options` that are named, whatever the others are.
pub fn difference_in(options: &Document, existing: &Document) -> Option<String> {
    let keys = existing.get_document("key").cloned().unwrap_or_default();
    let found: Vec<String> =
        options.keys().filter_map(|option| differing(option, &keys, options, existing, None)).collect();
    (!found.is_empty()).then(|| found.join("; "))
}

fn differing(
    part: &str,
    keys: &Document,
    options: &Document,
    existing: &Document,
    collation: Option<&Document>,
) -> Option<String> {
    let (asked, exists) = (options.get(part), existing.get(part));
    let equal = match part {
        "key" if is_text(keys) || is_text_spec(existing) => {
            match (Text::asked(keys, options), Text::listed(existing)) {
                (Some(asked), Some(listed)) => asked.before == listed.before && asked.after == listed.after,
                _ => false,
            }
        }
        "key" => existing.get_document("key").is_ok_and(|own| same_keys(own, keys)),
        "collation" => {
            let asked = options.get_document("collation").ok();
            // These kinds know no collation: they are as the server makes them.
            let inherited = keys.values().all(|kind| !matches!(kind, Bson::String(kind) if kind != "hashed"));
            let asked = asked.or(collation.filter(|_| inherited));
            same_collation(asked, existing.get_document("collation").ok())
        }
        "unique" | "sparse" | "hidden" | "prepareUnique" => truth(asked) == truth(exists),
        "name" => asked.is_none_or(|asked| exists == Some(asked)),
        "wildcardProjection" => projection(asked) == projection(exists),
        "v" | "storageEngine" | "background" | "commitQuorum" | "comment" => true,
        "weights" => match (Text::asked(keys, options), Text::listed(existing)) {
            // Of keys as the server lists them the weights alone say which fields are meant, and not all need be named.
            (Some(asked), Some(listed)) if keys.contains_key("_fts") => asked
                .weights
                .iter()
                .all(|(field, weight)| listed.weights.get(field).is_some_and(|own| same(weight, own))),
            (Some(asked), Some(listed)) => crate::model::equivalence::same_fields(&asked.weights, &listed.weights),
            (asked, listed) => asked.is_none() == listed.is_none(),
        },
        "default_language" | "language_override" if is_text_spec(existing) => {
            let default = Bson::from(if part == "default_language" { "english" } else { "language" });
            asked.unwrap_or(&default) == exists.unwrap_or(&default)
        }
        _ => match (asked, exists) {
            (Some(asked), Some(present)) => same(asked, present),
            (None, None) => true,
            _ => false,
        },
    };
    if equal {
        return None;
    }
    let shown = |value: Option<&Bson>| value.map_or_else(|| "nothing".to_owned(), show);
    Some(match part {
        "weights" => {
            let asked = Text::asked(keys, options).map(|text| Bson::Document(text.weights));
            format!("weights: asked for {}, found {}", shown(asked.as_ref()), shown(exists))
        }
        "key" => format!("key: asked for {}, found {}", show(&Bson::Document(keys.clone())), shown(exists)),
        _ => format!("{part}: asked for {}, found {}", shown(asked), shown(exists)),
    })
}

/// Which fields a `wildcardProjection` names. MongoDB 5.0 writes out that `_id` is not among them, which is the default.
fn projection(value: Option<&Bson>) -> Option<Vec<(String, bool)>> {
    let mut fields: Vec<(String, bool)> =
        value?.as_document()?.iter().map(|(field, value)| (field.clone(), truth(Some(value)))).collect();
    fields.retain(|(field, named)| field != "_id" || *named);
    fields.sort();
    Some(fields)
}

fn truth(value: Option<&Bson>) -> bool {
    match value {
        Some(Bson::Boolean(value)) => *value,
        Some(Bson::Int32(n)) => *n != 0,
        Some(Bson::Int64(n)) => *n != 0,
        Some(Bson::Double(n)) => *n != 0.0,
        _ => false,
    }
}

/// Whether the index that is listed is the one that a reference means: by its name, or by its keys in any of the
/// forms that a file may write them in. One that is still being built is listed with its specification inside.
pub fn means(reference: &IndexRef, listed: &Document) -> bool {
    let existing = catalog::specification(listed);
    match reference {
        IndexRef::Name(name) => existing.get_str("name").is_ok_and(|own| own == name),
        IndexRef::Keys(keys) => has_keys(existing, keys),
    }
}

/// Whether an existing index has these keys.
fn has_keys(existing: &Document, keys: &Document) -> bool {
    let (Some(asked), Some(listed)) = (Text::asked(keys, &Document::new()), Text::listed(existing)) else {
        return existing.get_document("key").is_ok_and(|own| same_keys(own, keys));
    };
    let everything = asked.weights.contains_key("$**");
    asked.before == listed.before
        && asked.after == listed.after
        && asked.weights.keys().all(|field| listed.weights.contains_key(field))
        // A further field may have come from the option `weights` alone, and then its weight is seldom 1.
        && listed.weights.iter().all(|(field, weight)| {
            asked.weights.contains_key(field) || everything || !same(weight, &Bson::Int32(1))
        })
}

/// Whether two sets of keys make the same index: the order of a text index's fields makes no difference.
pub fn same_index_keys(one: &Document, other: &Document) -> bool {
    match (Text::asked(one, &Document::new()), Text::asked(other, &Document::new())) {
        (Some(one), Some(other)) => {
            one.before == other.before
                && one.after == other.after
                && crate::model::equivalence::same_fields(&one.weights, &other.weights)
        }
        (None, None) => same_keys(one, other),
        _ => false,
    }
}

/// What a text index is on. The server lists it with the keys `_fts` and `_ftsx` in the place of its text fields, which
/// are in `weights`.
#[derive(Debug, Clone, PartialEq)]
struct Text {
    /// The fields before the text, with their directions as text.
    before: Vec<(String, String)>,
    /// The fields after it.
    after: Vec<(String, String)>,
    /// The text fields, `$**` for all, with their weights.
    weights: Document,
}

impl Text {
    /// As a file asks for it; `None` for an index of another kind.
    fn asked(keys: &Document, options: &Document) -> Option<Self> {
        if !is_text(keys) {
            return None;
        }
        let mut text = Self { before: Vec::new(), after: Vec::new(), weights: Document::new() };
        let mut met = false;
        for (field, kind) in keys {
            match (kind.as_str(), field.as_str()) {
                (Some("text"), "_fts") => met = true,
                (Some("text"), _) => {
                    met = true;
                    text.weights.insert(field.clone(), 1);
                }
                (_, "_ftsx") => {}
                _ if met => text.after.push((field.clone(), direction(kind))),
                _ => text.before.push((field.clone(), direction(kind))),
            }
        }
        for (field, weight) in options.get_document("weights").into_iter().flatten() {
            text.weights.insert(field.clone(), weight.clone());
        }
        Some(text)
    }

    /// As the server lists it.
    fn listed(existing: &Document) -> Option<Self> {
        Self::asked(existing.get_document("key").ok()?, existing)
    }
}

fn direction(kind: &Bson) -> String {
    match kind {
        Bson::Int32(n) => n.to_string(),
        Bson::Int64(n) => n.to_string(),
        Bson::Double(n) => n.to_string(),
        other => show(other),
    }
}

/// Whether it is a text index, which the server lists with other keys than it was made with.
pub fn is_text(keys: &Document) -> bool {
    keys.values().any(|kind| kind.as_str() == Some("text"))
}

fn is_text_spec(existing: &Document) -> bool {
    existing.get_document("key").is_ok_and(is_text)
}

#[cfg(test)]
#[path = "indexes_tests.rs"]
mod tests;
