//! Index keys, in the spellings that files use.

use bson::{Bson, Document};

use super::fields::{Fields, type_name};

/// A hint is an index's name or its keys, in any of the spellings that `create_index` takes.
pub fn hint(options: &mut Fields) -> Result<Option<Bson>, String> {
    match options.take("hint") {
        None => Ok(None),
        Some(Bson::String(name)) => Ok(Some(Bson::String(name))),
        Some(Bson::Document(keys)) if keys.contains_key("$natural") => Ok(Some(Bson::Document(keys))),
        Some(keys) => Ok(Some(Bson::Document(index_keys(keys)?))),
    }
}

/// An index's keys: pairs, one document, or one name.
pub fn index_keys(index: Bson) -> Result<Document, String> {
    let pairs: Vec<(String, Bson)> = match index {
        Bson::String(name) => vec![(name, Bson::Int32(1))],
        Bson::Document(keys) => keys.into_iter().collect(),
        Bson::Array(items) => items
            .into_iter()
            .map(|item| match item {
                Bson::String(name) => Ok((name, Bson::Int32(1))),
                Bson::Array(pair) => match <[Bson; 2]>::try_from(pair) {
                    Ok([Bson::String(name), direction]) => Ok((name, direction)),
                    _ => Err("each of the index's keys must be a pair of a field and a direction".to_owned()),
                },
                other => {
                    Err(format!("the index's keys must be pairs of a field and a direction, not {}", type_name(&other)))
                }
            })
            .collect::<Result<_, _>>()?,
        other => {
            return Err(format!(
                "\"index\" must be pairs of a field and a direction, one object, or one name, not {}",
                type_name(&other)
            ));
        }
    };
    if pairs.is_empty() {
        return Err("the index has no keys".to_owned());
    }
    let mut keys = Document::new();
    for (field, direction) in pairs {
        if field.is_empty() {
            return Err("a key of the index has no field name".to_owned());
        }
        let direction = match &direction {
            Bson::String(kind) if matches!(kind.as_str(), "text" | "hashed" | "2d" | "2dsphere") => direction,
            _ => match whole_number(&direction) {
                Some(sign @ (1 | -1)) => Bson::Int32(sign),
                _ => {
                    return Err(format!(
                        "the direction of {field:?} is {}; there are 1, -1, \"text\", \"hashed\", \"2d\", \"2dsphere\"",
                        crate::error::message::show(&direction)
                    ));
                }
            },
        };
        if keys.insert(field.clone(), direction).is_some() {
            return Err(format!("the index has the key {field:?} twice"));
        }
    }
    Ok(keys)
}

/// The number, if the value is a small whole one of any numeric type.
fn whole_number(value: &Bson) -> Option<i32> {
    match value {
        Bson::Int32(n) => Some(*n),
        Bson::Int64(n) => i32::try_from(*n).ok(),
        Bson::Double(n) if *n == 1.0 => Some(1),
        Bson::Double(n) if *n == -1.0 => Some(-1),
        _ => None,
    }
}

/// The name that drivers give an index without one: `user_id_1_created_at_-1`.
pub fn default_index_name(keys: &Document) -> String {
    let parts: Vec<String> = keys
        .iter()
        .map(|(field, direction)| match direction {
            Bson::String(kind) => format!("{field}_{kind}"),
            other => format!("{field}_{other}"),
        })
        .collect();
    parts.join("_")
}
