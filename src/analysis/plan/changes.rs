//! Which documents an update would change, told from their bytes as the server tells it: a value that is set to
//! itself, with the same type and the same bytes, is no change.

use bson::{Bson, Document, RawDocumentBuf};

use crate::mongo::raw::{self, ARRAY, DOCUMENT, Element};

/// What an update would do to one document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// Leave it as it is.
    Nothing,
    /// Change it.
    Change,
    /// The server refuses: on the way to a field lies something that has no fields (28).
    Refused,
}

/// One field that is set or removed.
#[derive(Debug, Clone, PartialEq)]
struct Assignment {
    path: Vec<String>,
    /// The value as `{"": value}`; `None` where the field is removed.
    value: Option<RawDocumentBuf>,
}

/// An update of plain `$set` and `$unset`.
#[derive(Debug, Clone, PartialEq)]
pub struct Assignments(Vec<Assignment>);

impl Assignments {
    /// The assignments of an update; `None` where it does more than can be told.
    pub fn of(update: &Document) -> Option<Self> {
        let mut found = Vec::new();
        for (operator, fields) in update {
            let set = match operator.as_str() {
                "$set" => true,
                "$unset" => false,
                _ => return None,
            };
            for (path, value) in fields.as_document()? {
                let path: Vec<String> = path.split('.').map(str::to_owned).collect();
                // Positions in arrays depend on the filter; an `_id` cannot change.
                if path.iter().any(|part| part.is_empty() || part.starts_with('$')) || path[0] == "_id" {
                    return None;
                }
                if let Bson::Timestamp(bson::Timestamp { time: 0, increment: 0 }) = value {
                    return None;
                }
                let value = set.then(|| RawDocumentBuf::try_from(&bson::doc! {"": value.clone()})).transpose().ok()?;
                found.push(Assignment { path, value });
            }
        }
        Some(Self(found))
    }

    /// The fields that say all of it, for a projection.
    pub fn fields(&self) -> Vec<&str> {
        let mut fields: Vec<&str> = self.0.iter().map(|one| one.path[0].as_str()).collect();
        fields.sort_unstable();
        fields.dedup();
        fields
    }

    /// What they do to a document, or to its projection on [`fields`](Self::fields).
    pub fn effect(&self, document: &[u8]) -> Effect {
        let mut effect = Effect::Nothing;
        for assignment in &self.0 {
            match assignment.effect(document) {
                Effect::Refused => return Effect::Refused,
                Effect::Change => effect = Effect::Change,
                Effect::Nothing => {}
            }
        }
        effect
    }
}

impl Assignment {
    fn effect(&self, document: &[u8]) -> Effect {
        let wanted = self.value.as_ref().and_then(|value| raw::first(value.as_bytes()));
        let mut container = (DOCUMENT, document);
        for (at, part) in self.path.iter().enumerate() {
            let last = at + 1 == self.path.len();
            let found = match container.0 {
                DOCUMENT => raw::get(container.1, part),
                ARRAY => match part.parse::<usize>() {
                    Ok(index) if index.to_string() == *part => raw::elements(container.1).nth(index),
                    _ => return self.unless_removed(Effect::Refused),
                },
                _ => return self.unless_removed(Effect::Refused),
            };
            let Some(found) = found else { return self.unless_removed(Effect::Change) };
            if last {
                return match wanted {
                    // Removed from an array, an element becomes null.
                    None => Effect::Change,
                    Some(wanted) if same(&found, &wanted) => Effect::Nothing,
                    Some(_) => Effect::Change,
                };
            }
            container = (found.kind, found.value);
        }
        Effect::Nothing
    }

    fn unless_removed(&self, effect: Effect) -> Effect {
        if self.value.is_some() { effect } else { Effect::Nothing }
    }
}

fn same(one: &Element<'_>, other: &Element<'_>) -> bool {
    one.same_value(other)
}

/// The only fields that a pipeline may change, where each is set or removed by one stage: nothing else of a document,
/// not even the order of its fields, need be compared then. `None` where it must be.
pub fn touched(stages: &[Bson]) -> Option<Vec<String>> {
    let mut fields: Vec<String> = Vec::new();
    for stage in stages {
        let stage = stage.as_document().filter(|stage| stage.len() == 1)?;
        let (name, what) = stage.iter().next()?;
        let own: Vec<&str> = match (name.as_str(), what) {
            ("$set" | "$addFields", Bson::Document(set)) => set.keys().map(String::as_str).collect(),
            ("$unset", Bson::String(field)) => vec![field],
            ("$unset", Bson::Array(all)) => all.iter().map(Bson::as_str).collect::<Option<_>>()?,
            _ => return None,
        };
        let mut own: Vec<String> =
            own.into_iter().map(|path| path.split('.').next().unwrap_or_default().to_owned()).collect();
        own.sort_unstable();
        own.dedup();
        if own.iter().any(|field| field == "_id" || field.is_empty() || fields.contains(field)) {
            return None;
        }
        fields.extend(own);
    }
    Some(fields)
}

/// Whether a pipeline gives the same documents however often it runs on them.
pub fn repeatable(stages: &[Bson]) -> bool {
    fn chancy(value: &Bson) -> bool {
        match value {
            Bson::Document(inner) => inner.iter().any(|(key, value)| {
                matches!(key.as_str(), "$rand" | "$sampleRate" | "$function" | "$accumulator") || chancy(value)
            }),
            Bson::Array(items) => items.iter().any(chancy),
            _ => false,
        }
    }
    !stages.iter().any(chancy)
}

#[cfg(test)]
mod tests {
    use bson::doc;

    use super::*;

    fn effect(update: Document, document: Document) -> Effect {
        let document = RawDocumentBuf::try_from(&document).expect("encodes");
        Assignments::of(&update).expect("plain").effect(document.as_bytes())
    }

    #[test]
    fn only_the_same_bytes_are_no_change() {
        let set = |value: Bson| doc! {"$set": {"a": value}};
        assert_eq!(effect(set(1.into()), doc! {"a": 1}), Effect::Nothing);
        assert_eq!(effect(set(1.into()), doc! {"a": 1_i64}), Effect::Change);
        assert_eq!(effect(set((-0.0).into()), doc! {"a": 0.0}), Effect::Change);
        assert_eq!(effect(set(doc! {"x": 1, "y": 2}.into()), doc! {"a": {"y": 2, "x": 1}}), Effect::Change);
        assert_eq!(effect(set(doc! {"x": 1}.into()), doc! {"a": {"x": 1}}), Effect::Nothing);
        assert_eq!(effect(set(Bson::Null), doc! {}), Effect::Change);
        assert_eq!(effect(doc! {"$unset": {"a": ""}}, doc! {"b": 1}), Effect::Nothing);
        assert_eq!(effect(doc! {"$unset": {"a": ""}}, doc! {"a": Bson::Null}), Effect::Change);
    }

    #[test]
    fn paths_lead_through_documents_and_arrays() {
        let set = || doc! {"$set": {"a.b": 1}};
        assert_eq!(effect(set(), doc! {}), Effect::Change);
        assert_eq!(effect(set(), doc! {"a": {"b": 1}}), Effect::Nothing);
        assert_eq!(effect(set(), doc! {"a": 5}), Effect::Refused);
        assert_eq!(effect(set(), doc! {"a": Bson::Null}), Effect::Refused);
        assert_eq!(effect(set(), doc! {"a": [1]}), Effect::Refused);
        assert_eq!(effect(doc! {"$set": {"a.0": 1}}, doc! {"a": [1]}), Effect::Nothing);
        assert_eq!(effect(doc! {"$set": {"a.2": 1}}, doc! {"a": [1]}), Effect::Change);
        assert_eq!(effect(doc! {"$unset": {"a.b": ""}}, doc! {"a": 5}), Effect::Nothing);
    }

    #[test]
    fn a_field_that_is_removed_and_set_moves() {
        let stages = |all: &[Document]| touched(&all.iter().cloned().map(Bson::Document).collect::<Vec<_>>());
        let both = stages(&[doc! {"$set": {"a.b": 1, "c": "$d"}}, doc! {"$unset": ["e", "f.g"]}]);
        assert_eq!(both.expect("plain"), ["a", "c", "e", "f"]);
        assert_eq!(stages(&[doc! {"$unset": "a"}, doc! {"$set": {"a": 1}}]), None);
        assert_eq!(stages(&[doc! {"$replaceWith": "$a"}]), None);
        assert_eq!(stages(&[doc! {"$set": {"_id": 1}}]), None);
    }

    #[test]
    fn what_cannot_be_told_is_not() {
        for update in [
            doc! {"$inc": {"a": 1}},
            doc! {"$set": {"a.$[]": 1}},
            doc! {"$set": {"a.$.b": 1}},
            doc! {"$set": {"_id": 1}},
            doc! {"$set": {"a": 1}, "$push": {"b": 1}},
        ] {
            assert_eq!(Assignments::of(&update), None, "{update}");
        }
        assert!(!repeatable(&[doc! {"$set": {"a": {"$add": [1, {"$rand": {}}]}}}.into()]));
    }
}
