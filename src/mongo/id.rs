//! An `_id` as the server stores it: bytes that are passed on and never decoded. A decoded value could hold
//! neither text that is no UTF-8 nor an embedded document with one name twice, and the server stores both.

use std::collections::HashMap;

use bson::{RawDocument, RawDocumentBuf, rawdoc};

use crate::mongo::raw::{ARRAY, Builder, DATE, Element, INT32, INT64, OBJECT_ID, TEXT, fields, first};

/// An `_id`, kept as the document `{"_id": …}` that the server answered with.
#[derive(Debug, Clone)]
pub struct Id(RawDocumentBuf);

impl PartialEq for Id {
    fn eq(&self, other: &Self) -> bool {
        self.as_bytes() == other.as_bytes()
    }
}

impl Eq for Id {}

impl std::hash::Hash for Id {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.as_bytes().hash(state);
    }
}

/// Length, type byte and the name `_id` with its NUL come before the value. Source: the BSON specification.
const TYPE_AT: usize = 4;
const VALUE_AT: usize = 9;

impl Id {
    /// The `_id` of a document that has nothing else, as a projection on `_id` gives it.
    pub fn of(document: &RawDocument) -> Option<Self> {
        let bytes = document.as_bytes();
        (bytes.get(TYPE_AT + 1..VALUE_AT) == Some(b"_id\0")).then(|| Self(document.to_owned()))
    }

    /// The `_id` of a stored document.
    pub fn of_stored(document: &RawDocument) -> Option<Self> {
        // The server stores it in front.
        Self::from_element(&first(document.as_bytes())?)
    }

    /// The `_id` of a document that was not stored yet, wherever in it.
    pub fn of_any(document: &RawDocument) -> Option<Self> {
        fields(document.as_bytes())?.iter().find_map(Self::from_element)
    }

    /// The `_id` that an element named so holds.
    pub fn from_element(element: &Element<'_>) -> Option<Self> {
        (element.name == b"_id").then(|| {
            // Many are kept: no more room than it needs.
            let mut id = Builder::with_capacity(VALUE_AT + element.value.len() + 1);
            id.push(element);
            Self(id.finish())
        })
    }

    /// Its bytes, to tell one from another.
    pub fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }

    /// Its value's bytes, without the type.
    pub fn value(&self) -> &[u8] {
        let own = self.0.as_bytes();
        &own[VALUE_AT..own.len() - 1]
    }

    /// `{"_id": …}`.
    pub fn document(&self) -> RawDocumentBuf {
        self.0.clone()
    }

    /// `{name: …}`.
    pub fn keyed(&self, name: &str) -> RawDocumentBuf {
        let mut document = Builder::default();
        self.push(&mut document, name);
        document.finish()
    }

    /// The filter that selects the document with this `_id`.
    pub fn filter(&self) -> RawDocumentBuf {
        // The server goes straight to a bare value of these types; through `$eq` it plans each query, and an update by
        // `_id` takes half as long again. Others could be read as something else than a value.
        match self.0.as_bytes()[TYPE_AT] {
            OBJECT_ID | TEXT | INT32 | INT64 | DATE => self.document(),
            _ => rawdoc! {"_id": self.keyed("$eq")},
        }
    }

    /// Whether both are of one type of which every value between them is, too: ObjectIds, texts, dates, or
    /// whole numbers (between which other numbers may lie; numbers compare as one type).
    pub fn compares_plainly_with(&self, other: &Self) -> bool {
        match (self.0.as_bytes()[TYPE_AT], other.0.as_bytes()[TYPE_AT]) {
            (INT32 | INT64, INT32 | INT64) => true,
            (own, others) => own == others && matches!(own, TEXT | OBJECT_ID | DATE),
        }
    }

    /// `{"$in": […]}` of all of them.
    pub fn any_of<'a>(ids: impl IntoIterator<Item = &'a Self>) -> RawDocumentBuf {
        let mut array = Builder::default();
        ids.into_iter().enumerate().for_each(|(index, id)| id.push(&mut array, &index.to_string()));
        let mut document = Builder::default();
        document.value(ARRAY, b"$in", array.finish().as_bytes());
        document.finish()
    }

    fn push(&self, document: &mut Builder, name: &str) {
        let own = self.0.as_bytes();
        document.value(own[TYPE_AT], name.as_bytes(), &own[VALUE_AT..own.len() - 1]);
    }
}

/// Stored documents by their `_id`s.
pub fn by_id(documents: Vec<RawDocumentBuf>) -> HashMap<Id, RawDocumentBuf> {
    documents.into_iter().filter_map(|document| Some((Id::of_stored(&document)?, document))).collect()
}

#[cfg(test)]
mod tests {
    use bson::{Bson, doc};

    use super::*;

    fn id(value: impl Into<Bson>) -> Id {
        let document = RawDocumentBuf::try_from(&doc! {"_id": value.into()}).expect("encodes");
        Id::of(&document).expect("an id")
    }

    #[test]
    fn values_are_passed_on_byte_for_byte() {
        for value in
            [Bson::from("é"), Bson::from(5), Bson::Null, Bson::MinKey, Bson::from(f64::NAN), doc! {"a": 1}.into()]
        {
            let id = id(value.clone());
            let literal = RawDocumentBuf::try_from(&doc! {"$literal": value.clone()}).expect("encodes");
            assert_eq!(id.keyed("$literal"), literal);
            let any = RawDocumentBuf::try_from(&doc! {"$in": [value.clone(), 1]}).expect("encodes");
            assert_eq!(Id::any_of([&id, &self::id(1)]), any);
            assert_eq!(id, self::id(value.clone()));
            let filter = if matches!(value, Bson::String(_) | Bson::Int32(_)) {
                RawDocumentBuf::try_from(&doc! {"_id": value})
            } else {
                RawDocumentBuf::try_from(&doc! {"_id": {"$eq": value}})
            };
            assert_eq!(id.filter(), filter.expect("encodes"));
        }
        assert_eq!(Id::of(&rawdoc! {"other": 1}), None);
    }
}
