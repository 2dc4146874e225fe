//! Under which `_id` the copy of a teacher assessment is made.

use crate::mongo::raw::{Element, OBJECT_ID, TEXT, fingerprint};

use super::values::id_text;

/// Under which `_id` copies are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Ids {
    /// Under one of their own, which follows from the original's: an application that looks into `assessments` first goes
    /// on finding, and writing to, the original.
    #[default]
    New,
    /// Under the original's, for an application that reads `assessments` only.
    Keep,
}

impl Ids {
    /// As the command line and the record have it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::New => "new",
            Self::Keep => "keep",
        }
    }

    /// What [`as_str`](Self::as_str) wrote.
    pub fn named(name: &str) -> Option<Self> {
        [Self::New, Self::Keep].into_iter().find(|ids| ids.as_str() == name)
    }
}

/// The value of an ObjectId.
pub type ObjectIdBytes = [u8; 12];

/// Attempts that [`is_derived`] knows. More than one needs two documents with one fingerprint of 64 bits.
const ATTEMPTS: u32 = 8;
/// The kinds of `_id`, by which those with the same text differ.
const OBJECT: u8 = b'o';
const STRING: u8 = b't';
const OTHER: u8 = b'x';
/// With text that is no UTF-8: such a value's text does not tell it from others.
const BYTES: u8 = b'b';

/// The `_id` of the copy of the document with the `_id` `original`: an ObjectId with the time of the original's, so that
/// sorting by `_id` keeps the order, or with the time 0. `attempt` is 0 unless another document has that.
pub fn derived(original: &Element<'_>, attempt: u32) -> ObjectIdBytes {
    match original.kind {
        OBJECT_ID => derive(OBJECT, &id_text(original), attempt),
        TEXT => derive(STRING, &id_text(original), attempt),
        _ if has_no_text(original) => derive(BYTES, original.value, attempt),
        _ => derive(OTHER, &id_text(original), attempt),
    }
}

/// Whether the text of an `_id` may be another's, too.
pub fn has_no_text(original: &Element<'_>) -> bool {
    const REPLACED: &[u8] = "\u{FFFD}".as_bytes();
    !matches!(original.kind, OBJECT_ID | TEXT) && id_text(original).windows(REPLACED.len()).any(|part| part == REPLACED)
}

/// Whether an `_id` was derived from one with this text.
pub fn is_derived(id: &Element<'_>, text: &[u8]) -> bool {
    id.kind == OBJECT_ID
        && (0..ATTEMPTS).any(|attempt| {
            [OBJECT, STRING, OTHER].into_iter().any(|kind| derive(kind, text, attempt).as_slice() == id.value)
        })
}

fn derive(kind: u8, bytes: &[u8], attempt: u32) -> ObjectIdBytes {
    let seed = [b"copy of a teacher assessment".as_slice(), &[kind], &attempt.to_le_bytes(), bytes].concat();
    let time = (kind == OBJECT).then(|| bytes.get(..8)).flatten();
    let time = time.and_then(|digits| u32::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok());
    let mut id = [0; 12];
    id[..4].copy_from_slice(&time.unwrap_or_default().to_be_bytes());
    id[4..].copy_from_slice(&fingerprint(&seed)[..8]);
    id
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use bson::{Bson, RawDocumentBuf, doc, oid::ObjectId};

    use super::*;
    use crate::mongo::raw::first;

    fn document(id: &Bson) -> RawDocumentBuf {
        RawDocumentBuf::try_from(&doc! {"_id": id.clone()}).expect("encodes")
    }

    #[test]
    fn a_copys_id_follows_from_the_originals() {
        let hex = "65a1b2c3d4e5f60000000065";
        let id = ObjectId::parse_str(hex).expect("an ObjectId");
        let all: [Bson; 5] = [id.into(), hex.into(), "legacy-7".into(), 7.into(), doc! {"a": 1}.into()];
        let mut seen = HashSet::new();
        for original in &all {
            let stored = document(original);
            let element = first(stored.as_bytes()).expect("an id");
            for attempt in 0..ATTEMPTS {
                let copy = derived(&element, attempt);
                assert!(seen.insert(copy), "{original} is told from the others");
                assert_eq!(copy, derived(&element, attempt));
                let copy = document(&ObjectId::from_bytes(copy).into());
                assert!(is_derived(&first(copy.as_bytes()).expect("an id"), &id_text(&element)));
            }
            assert!(!is_derived(&element, &id_text(&element)));
        }
        // It never changes: what an earlier run copied is found by it.
        let stored = document(&all[0]);
        let copy = derived(&first(stored.as_bytes()).expect("an id"), 0);
        assert_eq!(ObjectId::from_bytes(copy).to_hex(), "65a1b2c3cf0e12c39b740d77");
    }
}
