//! An `_id` as the server stores it: bytes that are passed on and never decoded. A decoded value could hold
//! neither text that is no UTF-8 nor an embedded document with one name twice, and the server stores both.

use bson::{RawDocument, RawDocumentBuf};

/// An `_id`, kept as the document `{"_id": …}` that the server answered with.
#[derive(Debug, Clone, PartialEq)]
pub struct Id(RawDocumentBuf);

/// Length, type byte and the name `_id` with its NUL come before the value. Source: the BSON specification.
const TYPE_AT: usize = 4;
const VALUE_AT: usize = 9;

impl Id {
    /// The `_id` of a document that has nothing else, as a projection on `_id` gives it.
    pub fn of(document: &RawDocument) -> Option<Self> {
        let bytes = document.as_bytes();
        (bytes.get(TYPE_AT + 1..VALUE_AT) == Some(b"_id\0")).then(|| Self(document.to_owned()))
    }

    /// `{"_id": …}`.
    pub fn document(&self) -> RawDocumentBuf {
        self.0.clone()
    }

    /// `{name: …}`.
    pub fn keyed(&self, name: &str) -> RawDocumentBuf {
        document_of(|bytes| self.push(bytes, name))
    }

    /// Whether both are of one type of which every value between them is, too: ObjectIds, texts, dates, or
    /// whole numbers (between which other numbers may lie; numbers compare as one type).
    pub fn compares_plainly_with(&self, other: &Self) -> bool {
        const STRING: u8 = 2;
        const OBJECT_ID: u8 = 7;
        const DATE: u8 = 9;
        const INT32: u8 = 16;
        const INT64: u8 = 18;
        match (self.0.as_bytes()[TYPE_AT], other.0.as_bytes()[TYPE_AT]) {
            (INT32 | INT64, INT32 | INT64) => true,
            (own, others) => own == others && matches!(own, STRING | OBJECT_ID | DATE),
        }
    }

    /// `{"$in": […]}` of all of them.
    pub fn any_of(ids: &[Self]) -> RawDocumentBuf {
        let array = document_of(|bytes| {
            for (index, id) in ids.iter().enumerate() {
                id.push(bytes, &index.to_string());
            }
        });
        document_of(|bytes| {
            // 4 is the type of an array.
            bytes.push(4);
            bytes.extend_from_slice(b"$in\0");
            bytes.extend_from_slice(array.as_bytes());
        })
    }

    fn push(&self, bytes: &mut Vec<u8>, name: &str) {
        let own = self.0.as_bytes();
        bytes.push(own[TYPE_AT]);
        bytes.extend_from_slice(name.as_bytes());
        bytes.push(0);
        bytes.extend_from_slice(&own[VALUE_AT..own.len() - 1]);
    }
}

/// A document of the elements that `fill` writes.
fn document_of(fill: impl FnOnce(&mut Vec<u8>)) -> RawDocumentBuf {
    let mut bytes = vec![0; 4];
    fill(&mut bytes);
    bytes.push(0);
    let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
    bytes[..4].copy_from_slice(&length.to_le_bytes());
    // Length and closing NUL, all that is checked, are right by construction.
    RawDocumentBuf::from_bytes(bytes).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use bson::{Bson, doc, rawdoc};

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
            assert_eq!(Id::any_of(&[id.clone(), self::id(1)]), any);
            assert_eq!(id, self::id(value));
        }
        assert_eq!(Id::of(&rawdoc! {"other": 1}), None);
    }
}
