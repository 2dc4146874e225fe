//! What filters and updates say, as far as their text shows it.

use bson::{Bson, Document};

/// The conditions that all must hold, by field: `$and`s taken apart.
pub fn clauses(filter: &Document) -> Vec<(&str, &Bson)> {
    let mut found = Vec::new();
    for (key, value) in filter {
        match value {
            Bson::Array(items) if key == "$and" => {
                found.extend(items.iter().filter_map(Bson::as_document).flat_map(clauses));
            }
            _ => found.push((key.as_str(), value)),
        }
    }
    found
}

/// Whether every document that matches `narrow` matches `wide`, for all the text shows.
pub fn implies(narrow: &Document, wide: &Document) -> bool {
    let known = clauses(narrow);
    clauses(wide).iter().all(|(field, wanted)| {
        known.iter().any(|(other, condition)| field == other && condition_implies(condition, wanted))
    })
}

fn condition_implies(narrow: &Bson, wide: &Bson) -> bool {
    if narrow == wide || one_value(narrow).is_some_and(|value| one_value(wide) == Some(value)) {
        return true;
    }
    let Some((operator, operand)) = single_operator(wide) else { return false };
    let values = one_value(narrow).map(std::slice::from_ref).or_else(|| match single_operator(narrow) {
        Some(("$in", Bson::Array(values))) => Some(values.as_slice()),
        _ => None,
    });
    // A null also matches where there is no such field.
    match (operator, operand, values) {
        ("$exists", Bson::Boolean(true), Some(values)) => !values.contains(&Bson::Null),
        ("$exists", Bson::Boolean(true), None) => {
            matches!(single_operator(narrow), Some(("$gt" | "$gte" | "$lt" | "$lte", operand)) if *operand != Bson::Null)
        }
        ("$in", Bson::Array(wanted), Some(values)) => values.iter().all(|value| wanted.contains(value)),
        _ => false,
    }
}

/// The value that a condition asks for, where it asks for one.
pub fn one_value(condition: &Bson) -> Option<&Bson> {
    match single_operator(condition) {
        Some(("$eq", value)) => Some(value),
        Some(("$in", Bson::Array(values))) if values.len() == 1 => values.first(),
        Some(_) => None,
        None if is_operators(condition) || matches!(condition, Bson::RegularExpression(_)) => None,
        None => Some(condition),
    }
}

fn single_operator(condition: &Bson) -> Option<(&str, &Bson)> {
    let operators = condition.as_document().filter(|it| it.len() == 1)?;
    operators
        .iter()
        .next()
        .map(|(operator, operand)| (operator.as_str(), operand))
        .filter(|(it, _)| it.starts_with('$'))
}

fn is_operators(condition: &Bson) -> bool {
    condition.as_document().is_some_and(|it| it.keys().next().is_some_and(|key| key.starts_with('$')))
}

/// The fields that an update changes; `None` where its text does not tell.
pub fn touched(update: &Bson) -> Option<Vec<String>> {
    let mut fields = Vec::new();
    match update {
        Bson::Document(operators) => {
            for operand in operators.iter() {
                let (operator, operand) = (operand.0.as_str(), operand.1.as_document()?);
                fields.extend(operand.keys().cloned());
                if operator == "$rename" {
                    fields.extend(operand.values().filter_map(Bson::as_str).map(str::to_owned));
                }
            }
        }
        Bson::Array(stages) => {
            for stage in stages {
                let (operator, operand) = single_operator(stage)?;
                match (operator, operand) {
                    ("$set" | "$addFields", Bson::Document(set)) => fields.extend(set.keys().cloned()),
                    ("$unset", Bson::String(field)) => fields.push(field.clone()),
                    ("$unset", Bson::Array(names)) => {
                        fields.extend(names.iter().filter_map(Bson::as_str).map(str::to_owned));
                    }
                    _ => return None,
                }
            }
        }
        _ => return None,
    }
    Some(fields)
}

/// The fields that an update leaves changed. A field that one stage of a pipeline sets and a later one removes is a
/// helper, and is not among them.
pub fn lasting(update: &Bson) -> Option<Vec<String>> {
    let mut fields = touched(update)?;
    let Bson::Array(stages) = update else { return Some(fields) };
    let mut set: Vec<String> = Vec::new();
    let mut helpers: Vec<String> = Vec::new();
    for stage in stages {
        let own = touched(&Bson::Array(vec![stage.clone()]))?;
        if stage.as_document().is_some_and(|stage| stage.contains_key("$unset")) {
            helpers.extend(own.into_iter().filter(|field| set.contains(field)));
        } else {
            helpers.retain(|field| !own.contains(field));
            set.extend(own);
        }
    }
    fields.retain(|field| !helpers.contains(field));
    Some(fields)
}

/// The fields that a filter looks at; `None` where its text does not tell.
pub fn filtered(filter: &Document) -> Option<Vec<String>> {
    let mut fields = Vec::new();
    for (key, value) in filter {
        match (key.as_str(), value) {
            ("$comment", _) => {}
            ("$and" | "$or" | "$nor", Bson::Array(parts)) => {
                for part in parts {
                    fields.extend(filtered(part.as_document()?)?);
                }
            }
            ("$expr", expression) => fields.extend(referenced(expression)?),
            (operator, _) if operator.starts_with('$') => return None,
            _ => fields.push(key.clone()),
        }
    }
    Some(fields)
}

/// The fields that an expression reads; `None` where its text does not tell.
pub fn referenced(expression: &Bson) -> Option<Vec<String>> {
    match expression {
        Bson::String(text) => match text.strip_prefix('$') {
            Some(variable) if variable.starts_with('$') => {
                let whole = ["$ROOT", "$CURRENT"].iter().any(|name| variable.starts_with(name));
                (!whole).then(Vec::new)
            }
            Some(field) => Some(vec![field.to_owned()]),
            None => Some(Vec::new()),
        },
        Bson::Document(fields) => {
            let mut found = Vec::new();
            for (key, value) in fields {
                match key.as_str() {
                    "$literal" => {}
                    "$getField" | "$setField" | "$unsetField" | "$function" => return None,
                    _ => found.extend(referenced(value)?),
                }
            }
            Some(found)
        }
        Bson::Array(items) => {
            items.iter().map(referenced).collect::<Option<Vec<_>>>().map(|all| all.into_iter().flatten().collect())
        }
        _ => Some(Vec::new()),
    }
}

/// The fields that an update sets to values its text gives.
pub fn constants(update: &Bson) -> Vec<(&str, &Bson)> {
    let operators: Vec<&Document> = match update {
        Bson::Document(operators) => vec![operators],
        Bson::Array(stages) => stages.iter().filter_map(Bson::as_document).collect(),
        _ => Vec::new(),
    };
    let sets =
        operators.into_iter().filter_map(|it| it.get_document("$set").or_else(|_| it.get_document("$addFields")).ok());
    sets.flatten().map(|(field, value)| (field.as_str(), value)).collect()
}

/// Whether changing one of two fields changes the other: they are one, or one lies within the other.
pub fn overlap(a: &str, b: &str) -> bool {
    let within = |inner: &str, outer: &str| inner.strip_prefix(outer).is_some_and(|rest| rest.starts_with('.'));
    a == b || within(a, b) || within(b, a)
}

/// The first of these names that is a key anywhere in the value, however deep.
pub fn find_key<'a>(value: &Bson, names: &[&'a str]) -> Option<&'a str> {
    match value {
        Bson::Document(fields) => fields.iter().find_map(|(key, value)| {
            // What $literal holds is data.
            names.iter().find(|name| *name == key).copied().or_else(|| match key.as_str() {
                "$literal" => None,
                _ => find_key(value, names),
            })
        }),
        Bson::Array(items) => items.iter().find_map(|item| find_key(item, names)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use bson::doc;

    use super::*;

    #[test]
    fn the_fields_that_are_read_and_changed() {
        let sorted = |fields: Option<Vec<String>>| {
            fields.map(|mut fields| {
                fields.sort();
                fields.join(" ")
            })
        };
        assert_eq!(
            sorted(filtered(&doc! {"a.b": 1, "$or": [{"c": {"$gt": 1}}, {"$expr": {"$eq": ["$d", "$$NOW"]}}]})),
            Some("a.b c d".to_owned())
        );
        assert_eq!(filtered(&doc! {"$where": "1"}), None);
        assert_eq!(filtered(&doc! {"$expr": {"$eq": ["$$ROOT", 1]}}), None);
        let stages = |stages: Vec<Document>| Bson::Array(stages.into_iter().map(Bson::Document).collect());
        let helper = stages(vec![doc! {"$set": {"h": "$a", "b": 1}}, doc! {"$unset": ["h", "c"]}]);
        assert_eq!(sorted(lasting(&helper)), Some("b c".to_owned()));
        let kept = stages(vec![doc! {"$set": {"h": 1}}, doc! {"$unset": "h"}, doc! {"$set": {"h": 2}}]);
        assert_eq!(sorted(lasting(&kept)), Some("h h h".to_owned()));
    }

    #[test]
    fn implication_is_only_claimed_where_the_text_shows_it() {
        let implied = [
            (doc! {"a": 1, "b": 2}, doc! {"a": 1}),
            (doc! {"a": 1}, doc! {}),
            (doc! {"$and": [{"a": 1}, {"b": 2}]}, doc! {"b": {"$eq": 2}}),
            (doc! {"a": 5}, doc! {"a": {"$exists": true}}),
            (doc! {"a": {"$gt": 5}}, doc! {"a": {"$exists": true}}),
            (doc! {"a": {"$in": [1, 2]}}, doc! {"a": {"$in": [1, 2, 3]}}),
        ];
        for (narrow, wide) in implied {
            assert!(implies(&narrow, &wide), "{narrow} {wide}");
        }
        let not = [
            (doc! {}, doc! {"a": 1}),
            (doc! {"role": "student"}, doc! {"role": {"$exists": false}}),
            (doc! {"a": null}, doc! {"a": {"$exists": true}}),
            (doc! {"a": {"$lt": null}}, doc! {"a": {"$exists": true}}),
            (doc! {"a": {"$in": [1, 4]}}, doc! {"a": {"$in": [1, 2]}}),
            (doc! {"a": 1}, doc! {"a": {"$ne": 1}}),
            // [1, 2] matches the first and not the second.
            (doc! {"a": 2}, doc! {"a": {"$ne": 1}}),
            (doc! {"a": 1}, doc! {"$or": [{"a": 1}]}),
            (doc! {"b": 1}, doc! {"a": 1}),
        ];
        for (narrow, wide) in not {
            assert!(!implies(&narrow, &wide), "{narrow} {wide}");
        }
    }
}
