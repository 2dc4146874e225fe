//! What an update would make of a document, foreseen on a copy, and the selection of just these documents.

use bson::{RawDocumentBuf, rawdoc};

use crate::mongo::id::Id;
use crate::mongo::raw::{Builder, fields, repeats};
use crate::run::line::Selection;

/// The selection of these documents only, if they still match.
pub(super) fn only(selection: &Selection, ids: &[&Id]) -> Selection {
    let listed = rawdoc! {"_id": Id::any_of(ids.iter().copied())};
    // Beside the others at the top: `$text` and `$near` must be there.
    let mut filter = Builder::default();
    let mut both = vec![listed];
    for field in fields(selection.filter.as_bytes()).unwrap_or_default() {
        if field.name == b"$and" {
            both.push(rawdoc! {"$and": selection.filter.get_array("$and").map(ToOwned::to_owned).unwrap_or_default()});
        } else {
            filter.push(&field);
        }
    }
    filter.array("$and", both.iter().map(|each| each.as_bytes()));
    Selection { filter: filter.finish(), ..selection.clone() }
}

/// What an update made of a document: what it made of the copy, with the values of the document that it changed.
pub(super) fn as_written(before: &RawDocumentBuf, copy: &RawDocumentBuf, now: &RawDocumentBuf) -> RawDocumentBuf {
    let (Some(was), Some(foreseen), Some(present)) =
        (fields(before.as_bytes()), fields(copy.as_bytes()), fields(now.as_bytes()))
    else {
        return now.clone();
    };
    if [&was, &foreseen, &present].into_iter().any(|fields| repeats(fields)) {
        return now.clone();
    }
    let mut made = Builder::default();
    for field in &foreseen {
        let unchanged = was.iter().any(|own| own.name == field.name && own.same_value(field));
        match present.iter().find(|own| own.name == field.name) {
            _ if unchanged => made.push(field),
            Some(now) => made.push(now),
            None => {}
        }
    }
    made.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_selection_is_narrowed_at_the_top() {
        let ids: Vec<Id> = (1..3).filter_map(|n| Id::of(&rawdoc! {"_id": n})).collect();
        let ids: Vec<&Id> = ids.iter().collect();
        let narrowed = |filter| only(&Selection::whole(filter), &ids).filter;
        let listed = rawdoc! {"_id": {"$in": [1, 2]}};
        assert_eq!(
            narrowed(rawdoc! {"$text": {"$search": "x"}, "_id": 1}),
            rawdoc! {"$text": {"$search": "x"}, "_id": 1, "$and": [listed.clone()]}
        );
        assert_eq!(
            narrowed(rawdoc! {"$and": [{"a": 1}], "b": 2}),
            rawdoc! {"b": 2, "$and": [listed, {"$and": [{"a": 1}]}]}
        );
    }

    #[test]
    fn what_the_moment_decided_is_taken_from_the_document() {
        let before = rawdoc! {"_id": 1, "at": 1, "mine": 1};
        let copy = rawdoc! {"_id": 1, "at": 5, "mine": 1, "new": 5};
        let now = rawdoc! {"_id": 1, "at": 6, "mine": 2, "new": 6};
        assert_eq!(as_written(&before, &copy, &now), rawdoc! {"_id": 1, "at": 6, "mine": 1, "new": 6});
    }
}
