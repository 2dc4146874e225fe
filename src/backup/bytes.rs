//! BSON as bytes: walking elements without decoding them. Names and texts may be no UTF-8, names may repeat: a
//! decoded document would lose both, and the server stores both.
//!
//! Source of types and sizes: the BSON specification, version 1.1.

use bson::RawDocumentBuf;

/// The greatest document there may be in a reply or file: what the server stores, and its own allowance on top.
pub const LARGEST: usize = 16 * 1024 * 1024 + 16 * 1024;
/// The least one: length and closing NUL.
pub const SMALLEST: usize = 5;

const ARRAY: u8 = 4;
const DOCUMENT: u8 = 3;
const TIMESTAMP: u8 = 0x11;

/// One element of a document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Element<'a> {
    /// Its type.
    pub kind: u8,
    /// Its name, without the NUL.
    pub name: &'a [u8],
    /// Its value.
    pub value: &'a [u8],
}

/// The elements of a document; ends early where the bytes are no BSON.
#[derive(Debug, Clone)]
pub struct Elements<'a>(&'a [u8]);

/// Walks the elements of a document or array.
pub fn elements(document: &[u8]) -> Elements<'_> {
    Elements(document.get(4..).unwrap_or_default())
}

impl<'a> Iterator for Elements<'a> {
    type Item = Element<'a>;

    fn next(&mut self) -> Option<Element<'a>> {
        let (&kind, rest) = self.0.split_first()?;
        if kind == 0 {
            return None;
        }
        let end = rest.iter().position(|byte| *byte == 0)?;
        let (name, rest) = (&rest[..end], &rest[end + 1..]);
        let size = value_size(kind, rest)?;
        let value = rest.get(..size)?;
        self.0 = &rest[size..];
        Some(Element { kind, name, value })
    }
}

fn value_size(kind: u8, bytes: &[u8]) -> Option<usize> {
    let length = || usize::try_from(i32::from_le_bytes(bytes.get(..4)?.try_into().ok()?)).ok();
    let text = |from: usize| Some(from + bytes.get(from..)?.iter().position(|byte| *byte == 0)? + 1);
    Some(match kind {
        0x06 | 0x0A | 0xFF | 0x7F => 0,
        0x08 => 1,
        0x10 => 4,
        0x01 | 0x09 | 0x11 | 0x12 => 8,
        0x07 => 12,
        0x13 => 16,
        0x02 | 0x0D | 0x0E => length()?.checked_add(4)?,
        0x03 | 0x04 | 0x0F => length()?,
        0x05 => length()?.checked_add(5)?,
        0x0B => text(text(0)?)?,
        0x0C => length()?.checked_add(16)?,
        _ => return None,
    })
}

/// The documents of an array, such as a server's batch.
pub fn documents(array: &[u8]) -> impl Iterator<Item = &[u8]> {
    elements(array).filter(|element| element.kind == DOCUMENT).map(|element| element.value)
}

/// An element by its name; the first one.
pub fn get<'a>(document: &'a [u8], name: &str) -> Option<Element<'a>> {
    elements(document).find(|element| element.name == name.as_bytes())
}

/// The `_id` as a document of its own, `{_id: …}`.
pub fn id_of(document: &[u8]) -> Option<RawDocumentBuf> {
    let id = get(document, "_id")?;
    let mut builder = Builder::new();
    builder.push(id);
    Some(builder.finish())
}

/// Whether the server would replace a value when this document is inserted: `Timestamp(0,0)` at the top level, but
/// for the `_id`.
pub fn has_empty_timestamp(document: &[u8]) -> bool {
    elements(document).any(|element| {
        element.kind == TIMESTAMP && element.value.iter().all(|byte| *byte == 0) && element.name != b"_id"
    })
}

/// A document being put together of elements that are bytes already.
#[derive(Debug, Clone)]
pub struct Builder(Vec<u8>);

impl Default for Builder {
    fn default() -> Self {
        Self::new()
    }
}

impl Builder {
    /// An empty document.
    pub fn new() -> Self {
        Self(vec![0; 4])
    }

    /// Appends an element.
    pub fn push(&mut self, element: Element<'_>) {
        self.named(element.name, element);
    }

    /// Appends an element under another name.
    pub fn named(&mut self, name: &[u8], element: Element<'_>) {
        self.0.push(element.kind);
        self.0.extend_from_slice(name);
        self.0.push(0);
        self.0.extend_from_slice(element.value);
    }

    /// Appends every element of a document.
    pub fn extend(&mut self, document: &[u8]) {
        elements(document).for_each(|element| self.push(element));
    }

    /// Appends a document under a name.
    pub fn document(&mut self, name: &str, document: &[u8]) {
        self.named(name.as_bytes(), Element { kind: DOCUMENT, name: b"", value: document });
    }

    /// Appends documents as an array.
    pub fn array<'a>(&mut self, name: &str, documents: impl IntoIterator<Item = &'a [u8]>) {
        let mut array = ArrayBuilder::begin(&mut self.0, name);
        for document in documents {
            array.push(document);
        }
        array.end();
    }

    /// Begins an array of documents.
    pub fn begin_array(&mut self, name: &str) -> ArrayBuilder<'_> {
        ArrayBuilder::begin(&mut self.0, name)
    }

    /// The document.
    pub fn finish(mut self) -> RawDocumentBuf {
        self.0.push(0);
        set_length(&mut self.0, 0);
        // Length and closing NUL, all that is checked, are right by construction.
        RawDocumentBuf::from_bytes(self.0).unwrap_or_default()
    }
}

/// An array of documents being put together.
#[derive(Debug)]
pub struct ArrayBuilder<'a> {
    bytes: &'a mut Vec<u8>,
    start: usize,
    count: usize,
}

impl<'a> ArrayBuilder<'a> {
    fn begin(bytes: &'a mut Vec<u8>, name: &str) -> Self {
        bytes.push(ARRAY);
        bytes.extend_from_slice(name.as_bytes());
        bytes.push(0);
        let start = bytes.len();
        bytes.extend_from_slice(&[0; 4]);
        Self { bytes, start, count: 0 }
    }

    /// Appends a document.
    pub fn push(&mut self, document: &[u8]) {
        use std::io::Write;
        self.bytes.push(DOCUMENT);
        let _ = write!(self.bytes, "{}", self.count); // a Vec takes it all
        self.bytes.push(0);
        self.bytes.extend_from_slice(document);
        self.count += 1;
    }

    /// Ends the array.
    pub fn end(self) {
        self.bytes.push(0);
        set_length(self.bytes, self.start);
    }
}

fn set_length(bytes: &mut [u8], start: usize) {
    let length = u32::try_from(bytes.len() - start).unwrap_or(u32::MAX);
    bytes[start..start + 4].copy_from_slice(&length.to_le_bytes());
}

#[cfg(test)]
mod tests {
    use bson::{Bson, RawDocumentBuf, Timestamp, doc};

    use super::*;

    fn raw(document: &bson::Document) -> RawDocumentBuf {
        RawDocumentBuf::try_from(document).expect("encodes")
    }

    #[test]
    fn every_type_is_walked_and_put_together_again() {
        let all = raw(&doc! {
            "a": 1, "b": 2_i64, "c": 1.5, "d": "é", "e": {"x": [1, {"y": 2}]}, "f": [true, Bson::Null], "g": Bson::MinKey,
            "h": Bson::MaxKey, "i": Bson::Undefined, "j": bson::oid::ObjectId::new(), "k": bson::DateTime::now(),
            "l": Timestamp { time: 1, increment: 2 }, "m": bson::Regex { pattern: "a.*".try_into().expect("c"), options: "i".try_into().expect("c") },
            "n": Bson::JavaScriptCode("x".into()), "o": Bson::Symbol("s".into()),
            "p": bson::JavaScriptCodeWithScope { code: "c".into(), scope: doc! {"z": 1} },
            "q": bson::Binary { subtype: bson::spec::BinarySubtype::BinaryOld, bytes: vec![1, 2, 3] },
            "r": bson::Decimal128::from_bytes([7; 16]), "": "empty name",
        });
        let mut builder = Builder::new();
        builder.extend(all.as_bytes());
        assert_eq!(builder.finish(), all);
        assert_eq!(elements(all.as_bytes()).count(), 19);
    }

    #[test]
    fn only_empty_timestamps_at_the_top_count() {
        let empty = Timestamp { time: 0, increment: 0 };
        assert!(has_empty_timestamp(raw(&doc! {"_id": 1, "t": empty}).as_bytes()));
        assert!(!has_empty_timestamp(raw(&doc! {"_id": empty, "t": {"t": empty}}).as_bytes()));
        assert!(!has_empty_timestamp(raw(&doc! {"t": Timestamp { time: 0, increment: 1 }}).as_bytes()));
    }

    #[test]
    fn arrays_hold_what_was_pushed() {
        let (one, two) = (raw(&doc! {"a": 1}), raw(&doc! {"b": 2}));
        let mut builder = Builder::new();
        builder.array("all", [one.as_bytes(), two.as_bytes()]);
        let made = builder.finish();
        assert_eq!(made, raw(&doc! {"all": [{"a": 1}, {"b": 2}]}));
        let array = get(made.as_bytes(), "all").expect("there");
        assert_eq!(documents(array.value).collect::<Vec<_>>(), [one.as_bytes(), two.as_bytes()]);
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_break_the_walk(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..200)) {
            let _ = elements(&bytes).count();
        }
    }
}
