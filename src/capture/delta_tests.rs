use bson::{Bson, Document, doc};
use proptest::prelude::*;

use super::*;
use crate::capture::reversal::take_back;

fn raw(document: &Document) -> RawDocumentBuf {
    RawDocumentBuf::try_from(document).expect("encodes")
}

fn delta(before: &Document, after: &Document) -> RawDocumentBuf {
    match difference(&raw(before), &raw(after)) {
        DocumentChange::Fields(delta) => delta,
        other => panic!("{before} to {after}: {other:?}"),
    }
}

fn taken_back(before: &Document, after: &Document, current: &Document) -> (Document, i64) {
    let merged = take_back(&delta(before, after), &raw(current), &|_| false).expect("reads");
    let document = merged.document.map_or_else(|| current.clone(), |raw| Document::try_from(&raw).expect("decodes"));
    (document, merged.conflicts)
}

#[test]
fn values_edited_since_stay_and_others_go_back() {
    let before = doc! {"_id": 1, "a": 1, "n": {"x": 1, "y": 1}, "z": "old"};
    let after = doc! {"_id": 1, "a": 2, "n": {"x": 2, "y": 1, "added": true}, "z": "new"};
    let unedited = taken_back(&before, &after, &after);
    assert_eq!(unedited, (before.clone(), 0));
    let edited = doc! {"_id": 1, "a": 3, "n": {"x": 2, "y": 5, "added": true, "user": 1}, "z": "new", "later": 1};
    let (document, conflicts) = taken_back(&before, &after, &edited);
    assert_eq!(document, doc! {"_id": 1, "a": 3, "n": {"x": 1, "y": 5, "user": 1}, "z": "old", "later": 1});
    assert_eq!(conflicts, 1);
}

#[test]
fn a_removed_field_returns_to_its_place() {
    let before = doc! {"_id": 1, "a": 1, "b": 2, "c": {"p": 1, "q": 2, "r": 3}};
    let after = doc! {"_id": 1, "a": 1, "c": {"r": 3, "p": 1}, "b": 2};
    assert_eq!(taken_back(&before, &after, &after), (before.clone(), 0));
    let edited = doc! {"_id": 1, "c": {"r": 3, "p": 1, "s": 4}, "b": 2};
    let (document, conflicts) = taken_back(&before, &after, &edited);
    assert_eq!(document, doc! {"_id": 1, "b": 2, "c": {"p": 1, "q": 2, "r": 3, "s": 4}});
    assert_eq!(conflicts, 0);
}

#[test]
fn a_document_that_became_another_value_since_is_a_conflict() {
    let before = doc! {"_id": 1, "n": {"x": 1}};
    let after = doc! {"_id": 1, "n": {"x": 2}};
    for current in [doc! {"_id": 1, "n": 5}, doc! {"_id": 1}] {
        assert_eq!(taken_back(&before, &after, &current), (current, 1));
    }
    // Somebody has put it back already: nothing to do, and no conflict.
    assert_eq!(taken_back(&before, &after, &before), (before.clone(), 0));
}

#[test]
fn a_long_value_is_compared_by_its_fingerprint() {
    let long = "x".repeat(1_000_000);
    let before = doc! {"_id": 1, "a": 1};
    let after = doc! {"_id": 1, "a": &long};
    assert!(delta(&before, &after).as_bytes().len() < 100);
    assert_eq!(taken_back(&before, &after, &after), (before.clone(), 0));
    let edited = doc! {"_id": 1, "a": format!("{long}!")};
    assert_eq!(taken_back(&before, &after, &edited).1, 1);
}

#[test]
fn names_that_no_path_can_name_keep_the_document_whole() {
    for name in ["a.b", "$a", ""] {
        let before = doc! {"_id": 1, name: 1, "x": 1};
        let after = doc! {"_id": 1, name: 1, "x": 2};
        assert_eq!(difference(&raw(&before), &raw(&after)), DocumentChange::Whole, "{name:?}");
    }
    let same = raw(&doc! {"_id": 1});
    assert_eq!(difference(&same, &same), DocumentChange::None);
}

#[test]
fn operators_are_offered_only_where_they_do_the_same() {
    let plain = delta(&doc! {"_id": 1, "n": {"a": 1}}, &doc! {"_id": 1, "n": {"a": 2, "b": 1}});
    let current = raw(&doc! {"_id": 1, "n": {"a": 2, "b": 1}});
    let operators = take_back(&plain, &current, &|_| false).expect("reads").operators.expect("plain");
    assert_eq!(
        Document::try_from(&operators).expect("decodes"),
        doc! {"$set": {"n.a": 1}, "$unset": {"n.b": Bson::Null}}
    );
    let removed = delta(&doc! {"_id": 1, "a": 1, "b": 1}, &doc! {"_id": 1, "b": 1});
    let merged = take_back(&removed, &raw(&doc! {"_id": 1, "b": 1}), &|_| false).expect("reads");
    assert_eq!(merged.operators, None);
}

#[test]
fn what_was_edited_is_told_and_left_alone() {
    let change = delta(&doc! {"_id": 1, "a": 1, "n": {"x": 1}}, &doc! {"_id": 1, "a": 2, "n": {"x": 2}});
    // Put back by hand: no conflict, but an edit all the same.
    let current = raw(&doc! {"_id": 1, "a": 1, "n": {"x": 3}});
    let merged = take_back(&change, &current, &|_| false).expect("reads");
    assert_eq!((merged.conflicts, merged.document), (1, None));
    assert_eq!(merged.edited, [b"a".to_vec(), b"n.x".to_vec()]);
    let written = raw(&doc! {"_id": 1, "a": 2, "n": {"x": 2}});
    let merged = take_back(&change, &written, &|path| path == b"n.x").expect("reads");
    assert_eq!(merged.document, Some(raw(&doc! {"_id": 1, "a": 1, "n": {"x": 2}})));
    assert_eq!(merged.conflicts, 1);
}

fn value() -> impl Strategy<Value = Bson> {
    let leaf = prop_oneof![
        (0..4_i32).prop_map(Bson::from),
        (0..3_i64).prop_map(Bson::from),
        "[ab]{0,2}".prop_map(Bson::from),
        Just(Bson::Null),
        Just(Bson::from("long ".repeat(20))),
    ];
    leaf.prop_recursive(2, 12, 4, |inner| {
        prop_oneof![
            fields(inner.clone()).prop_map(Bson::Document),
            proptest::collection::vec(inner, 0..3).prop_map(Bson::Array),
        ]
    })
}

fn fields(value: impl Strategy<Value = Bson>) -> impl Strategy<Value = Document> {
    proptest::collection::vec(("[a-e]", value), 0..5).prop_map(|pairs| pairs.into_iter().collect())
}

fn document() -> impl Strategy<Value = Document> {
    fields(value()).prop_map(|fields| {
        let mut document = doc! {"_id": 1};
        document.extend(fields);
        document
    })
}

/// The leaves of a document by path; an array is a leaf.
fn leaves(document: &Document, path: &str, into: &mut Vec<(String, Bson)>) {
    for (name, value) in document {
        let path = format!("{path}/{name}");
        match value {
            Bson::Document(inner) if !inner.is_empty() => leaves(inner, &path, into),
            other => into.push((path, other.clone())),
        }
    }
}

proptest! {
    #[test]
    fn without_edits_the_bytes_return(before in document(), after in document()) {
        let (before, after) = (raw(&before), raw(&after));
        match difference(&before, &after) {
            DocumentChange::None => prop_assert_eq!(before, after),
            DocumentChange::Whole => prop_assert!(false, "nothing odd in it"),
            DocumentChange::Fields(delta) => {
                let merged = take_back(&delta, &after, &|_| false).expect("reads");
                prop_assert_eq!(merged.conflicts, 0);
                prop_assert_eq!(merged.document.expect("they differ"), before);
            }
        }
    }

    #[test]
    fn edits_are_kept_and_nothing_is_invented(before in document(), after in document(), current in document()) {
        let DocumentChange::Fields(delta) = difference(&raw(&before), &raw(&after)) else { return Ok(()) };
        let merged = take_back(&delta, &raw(&current), &|_| false).expect("reads").document;
        let merged = merged.map_or_else(|| current.clone(), |raw| Document::try_from(&raw).expect("decodes"));
        let all = |document: &Document| { let mut all = Vec::new(); leaves(document, "", &mut all); all };
        let (old, written, edited, result) = (all(&before), all(&after), all(&current), all(&merged));
        for leaf in &result {
            prop_assert!(edited.contains(leaf) || old.contains(leaf) || leaf.1 == Bson::Document(doc! {}), "invented {leaf:?}");
        }
        // An empty document is no value: what it had held may be given back to it.
        let values = edited.iter().filter(|leaf| leaf.1 != Bson::Document(doc! {}));
        for leaf in values.filter(|leaf| !written.contains(leaf)) {
            prop_assert!(result.contains(leaf), "lost the edit {leaf:?}");
        }
    }
}
