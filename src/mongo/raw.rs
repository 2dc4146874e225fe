//! Documents as bytes: walking their elements and building documents of them, without decoding a value.
//!
//! The server stores what no decoded document can hold: names and texts that are no UTF-8, one name twice. What is
//! captured, compared, backed up and given back must be those very bytes.
//! Source: the BSON specification, version 1.1, <https://bsonspec.org/spec.html>.

use bson::RawDocumentBuf;
use sha2::{Digest, Sha256};

/// The largest document that the server stores for its users.
pub const LARGEST_STORED: usize = 16 * 1024 * 1024;
/// The largest document there may be in a reply or file: what the server stores, and its own allowance on top.
pub const LARGEST: usize = LARGEST_STORED + 16 * 1024;
/// The least one: length and closing NUL.
pub const SMALLEST: usize = 5;
/// The type byte of a double.
pub const DOUBLE: u8 = 0x01;
/// The type byte of a string.
pub const TEXT: u8 = 0x02;
/// The type byte of an embedded document.
pub const DOCUMENT: u8 = 0x03;
/// The type byte of an array.
pub const ARRAY: u8 = 0x04;
/// The type byte of binary data.
pub const BINARY: u8 = 0x05;
/// The type byte of undefined.
pub const UNDEFINED: u8 = 0x06;
/// The type byte of an ObjectId.
pub const OBJECT_ID: u8 = 0x07;
/// The type byte of a boolean.
pub const BOOLEAN: u8 = 0x08;
/// The type byte of a date.
pub const DATE: u8 = 0x09;
/// The type byte of null.
pub const NULL: u8 = 0x0A;
/// The type byte of a symbol.
pub const SYMBOL: u8 = 0x0E;
/// The type byte of a 32-bit integer.
pub const INT32: u8 = 0x10;
/// The type byte of a timestamp.
pub const TIMESTAMP: u8 = 0x11;
/// The type byte of a 64-bit integer.
pub const INT64: u8 = 0x12;
/// The type byte of a decimal.
pub const DECIMAL: u8 = 0x13;

/// One element of a document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Element<'a> {
    /// The type byte.
    pub kind: u8,
    /// The name, without its NUL.
    pub name: &'a [u8],
    /// The value.
    pub value: &'a [u8],
}

impl Element<'_> {
    /// Whether both have the same type and the same bytes.
    pub fn same_value(&self, other: &Self) -> bool {
        self.kind == other.kind && self.value == other.value
    }
}

/// The elements of a document; ends early where the bytes are no BSON.
#[derive(Debug, Clone)]
pub struct Elements<'a>(&'a [u8]);

/// Walks elements without their document.
pub fn elements_of(bytes: &[u8]) -> Elements<'_> {
    Elements(bytes)
}

impl Elements<'_> {
    /// How many bytes are left, with the closing NUL where there is one.
    pub fn left(&self) -> usize {
        self.0.len()
    }
}

/// Walks the elements of a document or array.
pub fn elements(document: &[u8]) -> Elements<'_> {
    Elements(document.get(4..).unwrap_or_default())
}

impl<'a> Iterator for Elements<'a> {
    type Item = Element<'a>;

    fn next(&mut self) -> Option<Element<'a>> {
        if self.0.first().is_none_or(|kind| *kind == 0) {
            return None;
        }
        let (element, rest) = element(self.0)?;
        self.0 = rest;
        Some(element)
    }
}

/// All elements of a document at once; `None` for bytes that are no document.
pub fn fields(document: &[u8]) -> Option<Vec<Element<'_>>> {
    let length = length_at(document, 0)?;
    let mut rest = document.get(4..length.checked_sub(1)?)?;
    if document.len() != length || document.last() != Some(&0) {
        return None;
    }
    let mut found = Vec::with_capacity(16);
    while !rest.is_empty() {
        let (next, after) = element(rest)?;
        found.push(next);
        rest = after;
    }
    Some(found)
}

/// The first element of a document, which is `_id` in every stored one.
pub fn first(document: &[u8]) -> Option<Element<'_>> {
    element(document.get(4..document.len().checked_sub(1)?)?).map(|(element, _)| element)
}

/// The element at the start of `bytes`, and what follows it.
fn element(bytes: &[u8]) -> Option<(Element<'_>, &[u8])> {
    let (&kind, after) = bytes.split_first()?;
    let end = after.iter().position(|byte| *byte == 0)?;
    let (name, value) = (&after[..end], &after[end + 1..]);
    let size = value_size(kind, value)?;
    Some((Element { kind, name, value: value.get(..size)? }, &value[size..]))
}

fn length_at(bytes: &[u8], at: usize) -> Option<usize> {
    let four: [u8; 4] = bytes.get(at..at + 4)?.try_into().ok()?;
    usize::try_from(i32::from_le_bytes(four)).ok()
}

/// How many bytes the value at the start of `bytes` has.
fn value_size(kind: u8, bytes: &[u8]) -> Option<usize> {
    let c_string = |from: usize| bytes.get(from..)?.iter().position(|byte| *byte == 0).map(|end| from + end + 1);
    match kind {
        // Undefined, null, MinKey, MaxKey.
        0x06 | 0x0A | 0xFF | 0x7F => Some(0),
        0x08 => Some(1),
        0x10 => Some(4),
        // Double, date, timestamp, 64-bit integer.
        0x01 | 0x09 | 0x11 | 0x12 => Some(8),
        0x07 => Some(12),
        0x13 => Some(16),
        // Text, code, symbol.
        0x02 | 0x0D | 0x0E => length_at(bytes, 0)?.checked_add(4),
        // Document, array, code with scope.
        0x03 | 0x04 | 0x0F => length_at(bytes, 0),
        0x05 => length_at(bytes, 0)?.checked_add(5),
        // A regular expression is two C strings; a DBPointer a text and an ObjectId.
        0x0B => c_string(c_string(0)?),
        0x0C => length_at(bytes, 0)?.checked_add(16),
        _ => None,
    }
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
    builder.push(&id);
    Some(builder.finish())
}

/// Room for what most documents hold that are put together here: a change, an entry, a statement.
const SMALL: usize = 128;

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
        Self::with_capacity(SMALL)
    }

    /// An empty document with room for so many bytes.
    pub fn with_capacity(bytes: usize) -> Self {
        let mut own = Vec::with_capacity(bytes);
        own.extend_from_slice(&[0; 4]);
        Self(own)
    }

    /// Appends an element.
    pub fn push(&mut self, element: &Element<'_>) {
        self.value(element.kind, element.name, element.value);
    }

    /// Appends a value under a name.
    pub fn value(&mut self, kind: u8, name: &[u8], value: &[u8]) {
        self.0.push(kind);
        self.0.extend_from_slice(name);
        self.0.push(0);
        self.0.extend_from_slice(value);
    }

    /// Appends every element of a document.
    pub fn extend(&mut self, document: &[u8]) {
        elements(document).for_each(|element| self.push(&element));
    }

    /// Appends a document under a name.
    pub fn document(&mut self, name: impl AsRef<[u8]>, document: &[u8]) {
        self.value(DOCUMENT, name.as_ref(), document);
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

    /// Whether nothing was appended.
    pub fn is_empty(&self) -> bool {
        self.0.len() == 4
    }

    /// Its size so far, in bytes.
    pub fn size(&self) -> usize {
        self.0.len() + 1
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

/// Whether any document inside, at any depth, has one name twice. Such documents must not be sent through an
/// update pipeline: MongoDB 6.0 ends itself on `$replaceWith` with one.
pub fn has_duplicates(document: &[u8]) -> bool {
    let Some(elements) = fields(document) else { return true };
    repeats(&elements)
        || elements.iter().any(|element| matches!(element.kind, 0x03 | 0x04) && has_duplicates(element.value))
}

/// How many levels of documents and arrays a document has, itself included. Stops counting at more than the server
/// stores.
pub fn depth(document: &[u8]) -> usize {
    within(document, DEEPEST)
}

/// More levels than any stored document has: the server stores 180.
const DEEPEST: usize = 250;

fn within(document: &[u8], levels: usize) -> usize {
    if levels == 0 {
        return 1;
    }
    let inner = elements(document).filter(|element| matches!(element.kind, DOCUMENT | ARRAY));
    1 + inner.map(|element| within(element.value, levels - 1)).max().unwrap_or(0)
}

/// Whether the server would change a document that it is sent whole: it puts the time into a zero timestamp at
/// the top.
pub fn has_zero_timestamp(document: &[u8]) -> bool {
    let zero = |field: &Element<'_>| field.kind == TIMESTAMP && field.value == [0; 8] && field.name != b"_id";
    elements(document).any(|field| zero(&field))
}

/// Whether two of them have one name.
pub fn repeats(elements: &[Element<'_>]) -> bool {
    if elements.len() < 24 {
        return elements.iter().enumerate().any(|(at, one)| elements[..at].iter().any(|other| other.name == one.name));
    }
    let mut names = std::collections::HashSet::with_capacity(elements.len());
    elements.iter().any(|element| !names.insert(element.name))
}

/// The first 16 bytes of a SHA-256: enough to tell whether bytes have changed.
pub fn fingerprint(bytes: &[u8]) -> [u8; 16] {
    let mut short = [0; 16];
    short.copy_from_slice(&Sha256::digest(bytes)[..16]);
    short
}

#[cfg(test)]
#[path = "raw_tests.rs"]
mod tests;
