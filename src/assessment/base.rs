//! What a teacher assessment and its copy were when the copy was made, as fingerprints: enough to tell later, field by
//! field, who has changed what, and where a change of the copy belongs.
//!
//! Only the original's fingerprints are kept. Those of the copy follow from them by the table of the model, but for values
//! that were converted.

use std::collections::HashMap;

use bson::RawDocumentBuf;

use super::mapping::{Unified, default_value};
use super::model::{AssessmentKind, BATCHES, MIGRATION_SOURCE, ORIGINAL_ID, Path, Rules, TOTAL_QUESTIONS, UPDATED_AT};
use super::values::{EMPTY, text};
use crate::mongo::raw::{
    ARRAY, Builder, DATE, DOCUMENT, Element, INT32, INT64, NULL, TEXT, fields, fingerprint, repeats,
};

/// The first bytes of a value's fingerprint, its type among what it is of.
pub type Print = [u8; 8];
/// A field's name after those of the embedded documents that it lies in.
pub type Key = Vec<Vec<u8>>;

/// The fingerprint of a value.
pub fn print(kind: u8, value: &[u8]) -> Print {
    short(&[&[kind], value].concat())
}

/// The first bytes of a fingerprint.
pub fn short(bytes: &[u8]) -> Print {
    let mut short = [0; 8];
    short.copy_from_slice(&fingerprint(bytes)[..8]);
    short
}

/// The fields of a document but for its `_id`, those of embedded documents one by one; `None` where a name occurs twice.
/// An empty document is a value, or it would be none.
pub fn flat(document: &[u8]) -> Option<Vec<(Key, Element<'_>)>> {
    let mut all = Vec::with_capacity(32);
    flatten(document, &Vec::new(), &mut all)?;
    Some(all)
}

fn flatten<'a>(document: &'a [u8], within: &Key, all: &mut Vec<(Key, Element<'a>)>) -> Option<()> {
    let own = fields(document)?;
    if repeats(&own) {
        return None;
    }
    for field in own.into_iter().filter(|field| !within.is_empty() || field.name != b"_id") {
        let mut key = within.clone();
        key.push(field.name.to_vec());
        if field.kind == DOCUMENT && field.value != EMPTY {
            flatten(field.value, &key, all)?;
        } else {
            all.push((key, field));
        }
    }
    Some(())
}

/// The original's fingerprints, as a pack's entry keeps them; `None` where its fields cannot be told apart.
pub fn of_original(original: &[u8], unified: &Unified<'_>) -> Option<RawDocumentBuf> {
    let prints = prints(original, true)?;
    let mut converted = Builder::new();
    for value in unified.values.iter().filter(|value| value.converted) {
        converted.value(INT64, value.path.name.as_bytes(), &print(value.kind, &value.bytes));
    }
    let questions = unified.values.iter().find(|value| value.path.name == TOTAL_QUESTIONS);
    let mut base = Builder::new();
    base.document("o", prints.as_bytes());
    base.value(INT32, b"n", questions.map_or(&[0; 4][..], |questions| &questions.bytes));
    if !converted.is_empty() {
        base.document("x", converted.finish().as_bytes());
    }
    Some(base.finish())
}

/// The document with fingerprints in place of its values.
fn prints(document: &[u8], top: bool) -> Option<RawDocumentBuf> {
    let own = fields(document)?;
    if repeats(&own) {
        return None;
    }
    let mut prints = Builder::new();
    for field in own.into_iter().filter(|field| !top || field.name != b"_id") {
        if field.kind == DOCUMENT && field.value != EMPTY {
            prints.document(field.name, self::prints(field.value, false)?.as_bytes());
        } else {
            prints.value(INT64, field.name, &print(field.kind, field.value));
        }
    }
    Some(prints.finish())
}

/// What the original and the copy were.
#[derive(Debug, Default)]
pub struct Base {
    /// The original's fields.
    pub original: HashMap<Key, Print>,
    /// The copy's.
    pub copy: HashMap<Key, Print>,
    /// Where the original has what the copy has under another name.
    pub origin: HashMap<Key, Key>,
}

/// Reads what [`of_original`] wrote of a document that was mapped by `rules`. `None` for what it cannot have written.
pub fn read(base: &[u8], rules: Rules, original_id: &[u8]) -> Option<Base> {
    let parts = fields(base)?;
    let part = |name: &[u8]| parts.iter().find(|part| part.name == name);
    let mut original = HashMap::new();
    for (key, print) in flatten_prints(part(b"o")?.value)? {
        original.insert(key, print);
    }
    let converted = part(b"x").and_then(|converted| fields(converted.value)).unwrap_or_default();
    let questions = part(b"n")?.value;
    let mut copy = original.clone();
    // A null in their place gave way to the settings; so did an empty document.
    copy.remove(&vec![b"settings".to_vec()]);
    let mut origins = HashMap::new();
    for field in rules.edition.fields() {
        let target = key(field.path);
        let origin = origin(&original, field.path.name, field.sources(AssessmentKind::Teacher));
        let print = match origin {
            Some(path) => {
                origins.insert(target.clone(), key(path));
                let converted = converted.iter().find(|value| value.name == field.path.name.as_bytes());
                match converted {
                    Some(converted) => converted.value.try_into().ok()?,
                    None => *original.get(&key(path))?,
                }
            }
            None => {
                let value = default_value(field.path, field.default(AssessmentKind::Teacher), rules.now);
                print(value.kind, &value.bytes)
            }
        };
        put(&mut copy, target, print);
    }
    let mut made = |name: &str, kind: u8, value: &[u8]| {
        put(&mut copy, vec![name.as_bytes().to_vec()], print(kind, value));
    };
    made(TOTAL_QUESTIONS, INT32, questions);
    made(UPDATED_AT, DATE, &rules.now.timestamp_millis().to_le_bytes());
    made(MIGRATION_SOURCE, TEXT, &text(AssessmentKind::Teacher.source().as_bytes()));
    made(ORIGINAL_ID, TEXT, &text(original_id));
    Some(Base { original, copy, origin: origins })
}

/// Puts a value in the place of whatever was there, of an embedded document as well.
fn put(fields: &mut HashMap<Key, Print>, key: Key, print: Print) {
    fields.retain(|other, _| !(other.len() > key.len() && other.starts_with(&key)));
    fields.insert(key, print);
}

/// What [`prints`] wrote, flat.
fn flatten_prints(prints: &[u8]) -> Option<Vec<(Key, Print)>> {
    flat(prints)?.into_iter().map(|(key, field)| Some((key, field.value.try_into().ok()?))).collect()
}

/// The first source that was present and not null, by its fingerprint.
fn origin(original: &HashMap<Key, Print>, name: &str, sources: &[Path]) -> Option<Path> {
    let null = print(NULL, b"");
    let mut found = sources.iter().filter(|path| original.get(&key(**path)).is_some_and(|own| *own != null));
    let winner = found.next()?;
    let empty = original.get(&key(*winner)) == Some(&print(ARRAY, &EMPTY));
    Some(*if name == BATCHES && empty { found.next().unwrap_or(winner) } else { winner })
}

/// A path as the fingerprints have it.
pub fn key(path: Path) -> Key {
    let within = (!path.within.is_empty()).then(|| path.within.as_bytes().to_vec());
    within.into_iter().chain(std::iter::once(path.name.as_bytes().to_vec())).collect()
}

#[cfg(test)]
mod tests {
    use bson::{DateTime, Document, doc, oid::ObjectId};

    use super::super::mapping::map;
    use super::super::model::Edition;
    use super::super::values::id_text;
    use super::*;
    use crate::mongo::raw::first;

    #[test]
    fn the_copys_fingerprints_follow_from_the_originals() {
        let now = DateTime::from_millis(1_700_000_000_000);
        let id = ObjectId::new();
        let all: Vec<Document> = vec![
            doc! {"_id": id},
            doc! {"_id": id, "topic": "x", "teacher_id": ObjectId::new(), "created_at": "2024-01-05T08:30:00Z", "batches": [],
            "assigned_batches": ["b"], "questions": [1, 2], "config": {"shuffle_questions": true, "show_correct_answers": false, "show_results": true, "max_attempts": 3}},
            doc! {"_id": "a", "subject": null, "topic": "y", "settings": {"own": 1, "allow_review": false}, "custom": {"k": 1}, "updated_at": 5},
            doc! {"_id": 5, "settings": {}, "config": {}, "batches": []},
            doc! {"_id": 5.5, "settings": null, "config": null, "assigned_batches": null, "batches": []},
        ];
        let rules = [Edition::First, Edition::Second].map(|edition| Rules { now, edition });
        for (document, rules) in all.iter().flat_map(|document| rules.map(|rules| (document, rules))) {
            let original = RawDocumentBuf::try_from(document).expect("encodes");
            let unified = map(original.as_bytes(), AssessmentKind::Teacher, rules).expect("maps");
            let copy = unified.copy(None).expect("fits");
            let kept = of_original(original.as_bytes(), &unified).expect("no name twice");
            let id = id_text(&first(original.as_bytes()).expect("an id"));
            let base = read(kept.as_bytes(), rules, &id).expect("reads");
            let expected: HashMap<Key, Print> = flat(copy.as_bytes())
                .expect("flat")
                .into_iter()
                .map(|(key, field)| (key, print(field.kind, field.value)))
                .collect();
            assert_eq!(base.copy, expected, "{document}");
        }
    }
}
