//! Whether an index that stands is the one asked for, told from the catalog alone.
//!
//! `create_index` lets the server tell; a plan and a check may not send it a command that would build the index.

use bson::{Bson, Document};

use crate::catalog::{same, same_collation, same_keys};
use crate::server_error::{codes, show};

/// What stands in the place of an index that is asked for.
#[derive(Debug, Clone, PartialEq)]
pub enum Place {
    /// Nothing.
    Free,
    /// The index, as asked.
    Taken,
    /// The index or another one, and somebody is still building it.
    Building,
    /// Another one: `createIndexes` would answer with this code.
    InTheWay {
        /// The one that stands.
        standing: Document,
        /// Why it cannot be both.
        why: String,
        /// The server's code.
        code: i32,
    },
}

/// What stands among `listed`, as `listIndexes` has them, in the place of the index `name` of these `keys` and
/// `options`; `collation` is the collection's own.
pub fn place(
    listed: &[Document],
    name: &str,
    keys: &Document,
    options: &Document,
    collation: Option<&Document>,
) -> Place {
    let named = |spec: &Document| spec.get_str("name").is_ok_and(|own| own == name);
    if listed.iter().any(|entry| entry.get_document("spec").is_ok_and(named)) {
        return Place::Building;
    }
    let in_the_way = |standing: &Document, why: String, code| Place::InTheWay { standing: standing.clone(), why, code };
    if let Some(standing) = listed.iter().find(|entry| named(entry)) {
        return match difference(keys, options, standing, collation) {
            None => Place::Taken,
            Some(why) if same_signature(keys, options, standing, collation) => {
                in_the_way(standing, why, codes::INDEX_OPTIONS_CONFLICT)
            }
            Some(why) => in_the_way(standing, why, codes::INDEX_KEY_SPECS_CONFLICT),
        };
    }
    let other = listed.iter().find(|entry| {
        same_signature(keys, options, entry, collation) || (is_text(keys) && entry.contains_key("textIndexVersion"))
    });
    match other {
        None => Place::Free,
        Some(standing) => {
            let own = standing.get_str("name").unwrap_or_default();
            in_the_way(standing, format!("it is named {own:?}"), codes::INDEX_OPTIONS_CONFLICT)
        }
    }
}

/// What tells one index from another where several have the same keys.
/// Source: MongoDB manual, `createIndexes`, "Index Signature", from 5.0 on.
fn same_signature(keys: &Document, options: &Document, standing: &Document, collation: Option<&Document>) -> bool {
    ["key", "collation", "partialFilterExpression", "unique", "sparse", "wildcardProjection"]
        .iter()
        .all(|part| differing(part, keys, options, standing, collation).is_none())
}

/// How the index that stands differs from the one asked for; `None` where it does not.
pub fn difference(
    keys: &Document,
    options: &Document,
    standing: &Document,
    collation: Option<&Document>,
) -> Option<String> {
    let defaults = ["key", "collation", "unique", "sparse", "expireAfterSeconds", "partialFilterExpression", "hidden"];
    let others = options.keys().map(String::as_str).filter(|option| !defaults.contains(option));
    let found: Vec<String> = defaults
        .into_iter()
        .chain(others)
        .filter_map(|part| differing(part, keys, options, standing, collation))
        .collect();
    (!found.is_empty()).then(|| found.join("; "))
}

/// How it differs from just the `options` that are named, whatever the others are.
pub fn difference_in(options: &Document, standing: &Document) -> Option<String> {
    let keys = standing.get_document("key").cloned().unwrap_or_default();
    let found: Vec<String> =
        options.keys().filter_map(|option| differing(option, &keys, options, standing, None)).collect();
    (!found.is_empty()).then(|| found.join("; "))
}

fn differing(
    part: &str,
    keys: &Document,
    options: &Document,
    standing: &Document,
    collation: Option<&Document>,
) -> Option<String> {
    let (asked, stands) = (options.get(part), standing.get(part));
    let equal = match part {
        "key" if is_text(keys) => same_text(keys, standing),
        "key" => standing.get_document("key").is_ok_and(|own| same_keys(own, keys)),
        "collation" => {
            let asked = options.get_document("collation").ok();
            // These kinds know no collation: they are as the server makes them.
            let inherited = keys.values().all(|kind| !matches!(kind, Bson::String(kind) if kind != "hashed"));
            let asked = asked.or(collation.filter(|_| inherited));
            same_collation(asked, standing.get_document("collation").ok())
        }
        "unique" | "sparse" | "hidden" | "prepareUnique" => truth(asked) == truth(stands),
        "name" => asked.is_none_or(|asked| stands == Some(asked)),
        "v" | "storageEngine" | "background" | "commitQuorum" | "comment" => true,
        "weights" => match (asked, stands) {
            // Fields of the keys that it does not name weigh 1.
            (Some(Bson::Document(asked)), Some(Bson::Document(stands))) => {
                asked.iter().all(|(field, weight)| stands.get(field).is_some_and(|own| same(weight, own)))
            }
            _ => true,
        },
        _ => match (asked, stands) {
            (Some(asked), Some(stands)) => same(asked, stands),
            (None, None) => true,
            _ => false,
        },
    };
    if equal {
        return None;
    }
    let shown = |value: Option<&Bson>| value.map_or_else(|| "nothing".to_owned(), show);
    Some(match part {
        "key" => format!("key: asked for {}, stands as {}", show(&Bson::Document(keys.clone())), shown(stands)),
        _ => format!("{part}: asked for {}, stands as {}", shown(asked), shown(stands)),
    })
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

/// Whether it is a text index, which the server lists with other keys than it was made with.
pub fn is_text(keys: &Document) -> bool {
    keys.values().any(|kind| kind.as_str() == Some("text"))
}

fn same_text(keys: &Document, standing: &Document) -> bool {
    let Ok(weights) = standing.get_document("weights") else { return false };
    keys.iter().filter(|(_, kind)| kind.as_str() == Some("text")).all(|(field, _)| weights.contains_key(field))
}

#[cfg(test)]
mod tests {
    use bson::doc;

    use super::*;

    #[test]
    fn what_stands_is_told_as_the_server_tells_it() {
        let by_a = doc! {"v": 2, "key": {"a": 1}, "name": "a_1"};
        let text =
            doc! {"v": 2, "key": {"_fts": "text", "_ftsx": 1}, "name": "t", "weights": {"a": 1}, "textIndexVersion": 3};
        let building = doc! {"spec": {"v": 2, "key": {"b": 1}, "name": "b_1"}, "buildUUID": 1};
        let listed = [by_a.clone(), text, building];
        let place = |name: &str, keys: Document, options: Document| place(&listed, name, &keys, &options, None);
        assert_eq!(place("a_1", doc! {"a": 1.0}, doc! {}), Place::Taken);
        assert_eq!(
            place("a_1", doc! {"a": 1}, doc! {"unique": false, "collation": {"locale": "simple"}}),
            Place::Taken
        );
        assert_eq!(
            place("t", doc! {"a": "text"}, doc! {"default_language": "none"}),
            Place::InTheWay {
                standing: listed[1].clone(),
                why: "default_language: asked for \"none\", stands as nothing".to_owned(),
                code: 85,
            }
        );
        assert_eq!(place("b_1", doc! {"b": 1}, doc! {}), Place::Building);
        assert_eq!(place("c_1", doc! {"c": 1}, doc! {}), Place::Free);
        assert_eq!(place("other", doc! {"a": 1}, doc! {"sparse": true}), Place::Free);
        let code = |place| match place {
            Place::InTheWay { code, .. } => code,
            other => panic!("{other:?}"),
        };
        assert_eq!(code(place("a_1", doc! {"a": -1}, doc! {})), 86);
        assert_eq!(code(place("a_1", doc! {"a": 1}, doc! {"sparse": true})), 86);
        assert_eq!(code(place("a_1", doc! {"a": 1}, doc! {"hidden": true})), 85);
        assert_eq!(code(place("other", doc! {"a": 1}, doc! {})), 85);
        assert_eq!(code(place("other", doc! {"b": "text"}, doc! {})), 85);
    }
}
