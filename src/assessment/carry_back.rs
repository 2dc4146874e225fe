//! Carrying what somebody edited in the copy of a teacher assessment back to the original, field by field, embedded
//! documents key by key. What somebody edited in the original as well stays there.

use std::collections::{HashMap, HashSet};

use bson::RawDocumentBuf;

use super::base::{Base, Key, Print, flat, print};
use super::values::EMPTY;
use crate::mongo::raw::{Builder, DOCUMENT, Element, NULL, elements, fields};

/// What becomes of the original.
#[derive(Debug, Default, PartialEq)]
pub struct Carried {
    /// The original with the edits; `None` where it stays as it is.
    pub document: Option<RawDocumentBuf>,
    /// Edits that did not go back: the original's own stay.
    pub conflicts: i64,
}

/// An edit of the copy and where it goes.
struct Edit<'a> {
    target: Key,
    value: Option<Element<'a>>,
}

/// What becomes of fields: a value, or nothing.
type Changes<'a> = HashMap<Key, Option<Element<'a>>>;

/// Carries the edits of `copy` back to `original`, as both are now. `None` where fields cannot be told apart by name.
pub fn carry_back(base: &Base, original: &[u8], copy: &[u8]) -> Option<Carried> {
    let theirs = by_key(original)?;
    let ours = by_key(copy)?;
    let mut conflicts = 0;
    let mut changes = Changes::new();
    let (removals, values): (Vec<_>, Vec<_>) =
        edits(base, copy, &ours)?.into_iter().partition(|edit| edit.value.is_none());
    // Removals first: they make room for values.
    for edit in removals.into_iter().chain(values) {
        let before = base.original.get(&edit.target).copied();
        let now = theirs.get(&edit.target).map(printed);
        let wanted = edit.value.as_ref().map(printed);
        if now == wanted {
            continue;
        }
        if before != now || barred(&edit.target, &theirs, &changes) {
            conflicts += 1;
            continue;
        }
        changes.insert(edit.target, edit.value);
    }
    if changes.is_empty() {
        return Some(Carried { document: None, conflicts });
    }
    let document = applied(&fields(original)?, &Vec::new(), &changes, copy)?;
    let document = (document.as_bytes() != original).then_some(document);
    Some(Carried { document, conflicts })
}

fn by_key(document: &[u8]) -> Option<HashMap<Key, Element<'_>>> {
    Some(flat(document)?.into_iter().collect())
}

fn printed(field: &Element<'_>) -> Print {
    print(field.kind, field.value)
}

/// What differs between the copy as it was made and as it is, in the copy's order, removals last.
fn edits<'a>(base: &Base, copy: &'a [u8], ours: &HashMap<Key, Element<'a>>) -> Option<Vec<Edit<'a>>> {
    let mut changed: Vec<(Key, Option<Element<'a>>)> = Vec::new();
    for (key, field) in flat(copy)? {
        // A document in the place of a value is one edit, like any other value.
        let whole = (1..key.len()).map(|length| &key[..length]).find(|outer| base.copy.contains_key(*outer));
        match whole {
            Some(outer) if changed.iter().any(|(other, _)| other == outer) => {}
            Some(outer) => changed.push((outer.to_vec(), Some(at(copy, outer)?))),
            None if base.copy.get(&key) == Some(&printed(&field)) => {}
            None => changed.push((key, Some(field))),
        }
    }
    let kept = |key: &Key| ours.contains_key(key) || changed.iter().any(|(other, _)| other == key);
    let mut removed: Vec<Key> = base.copy.keys().filter(|key| !kept(key)).cloned().collect();
    removed.sort();
    changed.extend(removed.into_iter().map(|key| (key, None)));
    let (renamed, own): (Vec<_>, Vec<_>) =
        changed.into_iter().partition(|(key, _)| base.origin.get(key).is_some_and(|origin| origin != key));
    let mut taken: HashSet<Key> = HashSet::new();
    let mut edits = Vec::new();
    for (key, value) in own {
        // A default that somebody removed was never in the original.
        if value.is_none() && !base.original.contains_key(&key) {
            continue;
        }
        taken.insert(key.clone());
        edits.push(Edit { target: key, value });
    }
    for (key, value) in renamed {
        // Where its source was edited in the copy as well, it gets its own name, which comes before the source.
        let origin = base.origin.get(&key).filter(|origin| !taken.contains(*origin)).cloned();
        if origin.is_none() && value.is_none() {
            continue;
        }
        let target = origin.unwrap_or(key);
        taken.insert(target.clone());
        edits.push(Edit { target, value });
    }
    Some(edits)
}

/// The field of a document at a path.
fn at<'a>(document: &'a [u8], path: &[Vec<u8>]) -> Option<Element<'a>> {
    let (name, rest) = path.split_first()?;
    let field = elements(document).find(|field| field.name == name.as_slice())?;
    if rest.is_empty() { Some(field) } else { at(field.value, rest) }
}

/// Whether what stands in the original leaves no place for the field: an embedded document where a value goes, or a value
/// where its embedded document would be, and neither is removed as well.
fn barred(target: &Key, theirs: &HashMap<Key, Element<'_>>, changes: &Changes<'_>) -> bool {
    let goes = |key: &Key| changes.get(key).is_some_and(Option::is_none);
    let inside = theirs.keys().any(|key| key.len() > target.len() && key.starts_with(target) && !goes(key));
    let outer = (1..target.len()).any(|length| {
        let key = &target[..length];
        let existing = theirs.get(key);
        existing.is_some_and(|field| field.kind != NULL && field.value != EMPTY) && !goes(&key.to_vec())
    });
    inside || outer
}

/// The fields with the changes: what exists keeps its place, what is new comes last. An embedded document of which the
/// changes leave nothing goes if `copy` has none there either.
fn applied(existing: &[Element<'_>], within: &Key, changes: &Changes<'_>, copy: &[u8]) -> Option<RawDocumentBuf> {
    let mut document = Builder::new();
    let key_of = |name: &[u8]| -> Key { within.iter().cloned().chain(std::iter::once(name.to_vec())).collect() };
    let inside = |key: &Key| {
        changes.iter().any(|(other, value)| other.len() > key.len() && other.starts_with(key) && value.is_some())
    };
    let touched = |key: &Key| changes.keys().any(|other| other.len() > key.len() && other.starts_with(key));
    for field in existing {
        let key = key_of(field.name);
        match changes.get(&key) {
            Some(Some(value)) => document.value(value.kind, field.name, value.value),
            _ if inside(&key) || (touched(&key) && field.kind == DOCUMENT) => {
                let own = if field.kind == DOCUMENT { fields(field.value)? } else { Vec::new() };
                let inner = applied(&own, &key, changes, copy)?;
                let stays = || at(copy, &key).is_some_and(|field| field.kind == DOCUMENT);
                if inner.as_bytes() != EMPTY || stays() {
                    document.document(field.name, inner.as_bytes());
                }
            }
            Some(None) => {}
            None => document.push(field),
        }
    }
    let mut new: Vec<&Key> = changes
        .iter()
        .filter(|(key, value)| key.len() > within.len() && key.starts_with(within) && value.is_some())
        .map(|(key, _)| key)
        .collect();
    new.sort();
    let mut made: HashSet<&[u8]> = existing.iter().map(|field| field.name).collect();
    for key in new {
        let name = key[within.len()].as_slice();
        if !made.insert(name) {
            continue;
        }
        match changes.get(&key_of(name)) {
            Some(Some(value)) => document.value(value.kind, name, value.value),
            _ => document.document(name, applied(&[], &key_of(name), changes, copy)?.as_bytes()),
        }
    }
    Some(document.finish())
}

#[cfg(test)]
mod tests {
    use bson::{DateTime, Document, doc};

    use super::super::base::{of_original, read};
    use super::super::mapping::map;
    use super::super::model::{AssessmentKind, Rules};
    use super::*;

    fn raw(document: &Document) -> RawDocumentBuf {
        RawDocumentBuf::try_from(document).expect("encodes")
    }

    /// The original after the copy and it were edited.
    fn carried(
        original: &Document,
        edit_copy: impl FnOnce(&mut Document),
        edit: impl FnOnce(&mut Document),
    ) -> (Document, i64) {
        let rules = Rules::at(DateTime::from_millis(1_700_000_000_000));
        let bytes = raw(original);
        let unified = map(bytes.as_bytes(), AssessmentKind::Teacher, rules).expect("maps");
        let kept = of_original(bytes.as_bytes(), &unified).expect("addressable");
        let base = read(kept.as_bytes(), rules, b"1").expect("reads");
        let mut copy = Document::try_from(unified.copy(None).expect("fits").as_ref()).expect("decodes");
        edit_copy(&mut copy);
        let mut existing = original.clone();
        edit(&mut existing);
        let now = raw(&existing);
        let carried = carry_back(&base, now.as_bytes(), raw(&copy).as_bytes()).expect("addressable");
        let result = carried.document.unwrap_or(now);
        (Document::try_from(result.as_ref()).expect("decodes"), carried.conflicts)
    }

    #[test]
    fn edits_return_to_where_the_values_came_from() {
        let original = doc! {
            "_id": 1, "topic": "t", "teacher_id": "a", "config": {"shuffle_questions": true, "other": 1}, "custom": 5,
        };
        let nothing = |_: &mut Document| {};
        assert_eq!(carried(&original, nothing, nothing), (original.clone(), 0));
        let (result, conflicts) = carried(
            &original,
            |copy| {
                copy.insert("subject", "s");
                copy.insert("created_by", "b");
                copy.insert("description", "d");
                copy.insert("new", 7);
                copy.remove("custom");
                copy.get_document_mut("settings").expect("settings").insert("randomize_questions", false);
                copy.get_document_mut("settings").expect("settings").insert("allow_review", false);
            },
            nothing,
        );
        let expected = doc! {
            "_id": 1, "topic": "s", "teacher_id": "b", "config": {"shuffle_questions": false, "other": 1},
            "description": "d", "new": 7, "settings": {"allow_review": false},
        };
        assert_eq!((result, conflicts), (expected, 0));
    }

    #[test]
    fn an_embedded_document_that_lost_its_last_key_stays_where_the_copy_has_it() {
        let original =
            doc! {"_id": 1, "settings": {"randomize_questions": true}, "config": {"shuffle_questions": true}};
        let settings = |copy: &mut Document| {
            drop(copy.get_document_mut("settings").expect("settings").remove("randomize_questions"))
        };
        let (result, conflicts) = carried(&original, settings, |_| {});
        assert_eq!((result, conflicts), (doc! {"_id": 1, "settings": {}, "config": {"shuffle_questions": true}}, 0));
        let (result, conflicts) = carried(&original, |copy| drop(copy.remove("settings")), |_| {});
        assert_eq!((result, conflicts), (doc! {"_id": 1, "config": {"shuffle_questions": true}}, 0));
    }

    #[test]
    fn what_both_edited_stays_as_the_original_has_it() {
        let original = doc! {"_id": 1, "topic": "t", "title": "x", "batches": [], "assigned_batches": ["a"]};
        let (result, conflicts) = carried(
            &original,
            |copy| {
                copy.insert("subject", "copy");
                copy.insert("batches", ["b"]);
            },
            |original| drop(original.insert("topic", "own")),
        );
        let expected = doc! {"_id": 1, "topic": "own", "title": "x", "batches": [], "assigned_batches": ["b"]};
        assert_eq!((result, conflicts), (expected, 1));
    }

    #[test]
    fn an_edit_of_a_field_and_one_of_its_source_both_return() {
        let original = doc! {"_id": 1, "topic": "t"};
        let (result, conflicts) = carried(
            &original,
            |copy| {
                copy.insert("subject", "s");
                copy.insert("topic", "u");
            },
            |_| {},
        );
        assert_eq!((result, conflicts), (doc! {"_id": 1, "topic": "u", "subject": "s"}, 0));
    }
}
