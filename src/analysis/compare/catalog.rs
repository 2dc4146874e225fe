//! Options and indexes of a collection that stands on both sides.

use bson::{Document, RawDocument, RawDocumentBuf};

use super::report::{CollectionDifference, IndexDifference, OptionDifference, Presence};
use crate::backup::catalog::{CatalogEntry, index_name};
use crate::error::message::show;
use crate::model::equivalence::{differences, same_fields};

/// Adds what differs in the catalog.
pub fn compare(before: &CatalogEntry, after: &CatalogEntry, found: &mut CollectionDifference) {
    if before.options != after.options {
        let (was, is) = (decoded(&before.options), decoded(&after.options));
        for (option, was, is) in differences(&was, &is) {
            let (before, after) = (was.as_ref().map(show), is.as_ref().map(show));
            found.options.push(OptionDifference { option, before, after });
        }
    }
    for index in &before.indexes {
        match named(&after.indexes, index_name(index)) {
            None => found.indexes.push(difference(Presence::Missing, Some(index), None)),
            Some(now) if !same(index, now) => {
                found.indexes.push(difference(Presence::Stands, Some(index), Some(now)));
            }
            Some(_) => {}
        }
    }
    for index in after.indexes.iter().filter(|it| named(&before.indexes, index_name(it)).is_none()) {
        found.indexes.push(difference(Presence::Added, None, Some(index)));
    }
}

fn named<'a>(indexes: &'a [RawDocumentBuf], name: &str) -> Option<&'a RawDocumentBuf> {
    indexes.iter().find(|it| index_name(it) == name)
}

/// Whether two indexes are alike. Which version of 2dsphere an index has is the server's default when it is built: 3, and
/// 4 from MongoDB 9.0 on.
fn same(a: &RawDocument, b: &RawDocument) -> bool {
    let chosen = |index: &RawDocument| -> Document {
        decoded(index).into_iter().filter(|(option, _)| option != "2dsphereIndexVersion").collect()
    };
    a.as_bytes() == b.as_bytes() || same_fields(&chosen(a), &chosen(b))
}

fn decoded(raw: &RawDocument) -> Document {
    Document::try_from(raw).unwrap_or_default()
}

fn difference(standing: Presence, before: Option<&RawDocumentBuf>, after: Option<&RawDocumentBuf>) -> IndexDifference {
    let text = |index: Option<&RawDocumentBuf>| index.map(|it| show(&bson::Bson::Document(decoded(it))));
    let name = before.or(after).map(|it| index_name(it).to_owned()).unwrap_or_default();
    IndexDifference { index: name, standing, before: text(before), after: text(after) }
}
