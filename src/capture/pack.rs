//! Packs: captured changes of many documents in one document, `{_id: {o, s}, n, e: […]}`.
//!
//! `o` is the operation, `s` falls from pack to pack, so that ascending `_id`s lead from the last change back
//! to the first; `e` is in the order the documents were changed in. An entry begins with the document's `_id`
//! and has either a delta (`c`, `o`) with the first bytes `f` of the changed document's fingerprint, or the
//! fingerprint `w` of a changed document that is kept whole elsewhere, or `i` of an inserted one.

use bson::{RawDocument, RawDocumentBuf, rawdoc};

use crate::mongo::id::Id;
use crate::mongo::raw::{ARRAY, BINARY, Builder, DOCUMENT, Element, INT32, INT64, fields, fingerprint};
use crate::run::capture_key::CaptureKey;

/// Documents of one pack: what one transaction of an exact rollback holds at least.
pub const DOCUMENTS: usize = 100;
/// Bytes of one pack, and of the documents that it is about; a single one may be larger.
const BYTES: usize = 4 * 1024 * 1024;
/// Packs of one chunk at most: a chunk has at most 20,000 documents, alone in their packs at worst.
pub const PARTS: i64 = 1 << 20;

/// Fills packs for one chunk.
pub struct Packer {
    capture_key: CaptureKey,
    chunk: i64,
    part: i64,
    entries: Builder,
    count: usize,
    bytes: usize,
    packs: Vec<RawDocumentBuf>,
}

impl Packer {
    /// For the chunk that comes as number `chunk`: later chunks have greater numbers.
    pub fn new(capture_key: CaptureKey, chunk: i64) -> Self {
        Self { capture_key, chunk, part: 0, entries: Builder::default(), count: 0, bytes: 0, packs: Vec::new() }
    }

    /// Adds a changed document: its delta, and itself after the change.
    pub fn changed(&mut self, id: &Element<'_>, delta: &RawDocument, after: &RawDocument) {
        let mut entry = Builder::default();
        entry.push(id);
        for part in fields(delta.as_bytes()).unwrap_or_default() {
            entry.push(&part);
        }
        entry.value(INT64, b"f", &fingerprint(after.as_bytes())[..8]);
        self.add(entry, after.as_bytes().len());
    }

    /// Adds a changed document that is kept whole as it was.
    pub fn replaced(&mut self, id: &Element<'_>, after: &RawDocument) {
        self.fingerprinted(id, b"w", after);
    }

    /// Adds an inserted document.
    pub fn inserted(&mut self, id: &Element<'_>, document: &RawDocument) {
        self.fingerprinted(id, b"i", document);
    }

    fn fingerprinted(&mut self, id: &Element<'_>, name: &[u8], document: &RawDocument) {
        let mut entry = Builder::default();
        entry.push(id);
        let value = [&[16, 0, 0, 0, 0], &fingerprint(document.as_bytes())[..]].concat();
        entry.value(BINARY, name, &value);
        self.add(entry, document.as_bytes().len());
    }

    /// Adds an entry of a form of its own, which begins with an `_id`, about a document of so many bytes.
    pub fn other(&mut self, entry: Builder, document_bytes: usize) {
        self.add(entry, document_bytes);
    }

    fn add(&mut self, entry: Builder, document_bytes: usize) {
        let bytes = entry.size() + document_bytes;
        if self.count > 0 && (self.count >= DOCUMENTS || self.bytes + bytes > BYTES) {
            self.close();
        }
        let entry = entry.finish();
        self.entries.value(DOCUMENT, self.count.to_string().as_bytes(), entry.as_bytes());
        self.count += 1;
        self.bytes += bytes;
    }

    fn close(&mut self) {
        let entries = std::mem::take(&mut self.entries).finish();
        let place = i64::MAX - (self.chunk * PARTS + self.part);
        let mut pack = Builder::default();
        pack.document(b"_id", rawdoc! {"o": self.capture_key.operation, "s": place}.as_bytes());
        pack.value(INT32, b"n", &i32::try_from(self.count).unwrap_or(i32::MAX).to_le_bytes());
        pack.value(ARRAY, b"e", entries.as_bytes());
        self.packs.push(pack.finish());
        self.part += 1;
        self.count = 0;
        self.bytes = 0;
    }

    /// The packs.
    pub fn finish(mut self) -> Vec<RawDocumentBuf> {
        if self.count > 0 {
            self.close();
        }
        self.packs
    }
}

/// One captured document.
#[derive(Debug, Clone, PartialEq)]
pub struct PackEntry {
    /// Its `_id`.
    pub id: Id,
    /// What happened to it.
    pub what: What,
}

/// What happened to a captured document.
#[derive(Debug, Clone, PartialEq)]
pub enum What {
    /// These fields changed.
    Changed {
        /// How, as [`super::delta`] writes it.
        delta: RawDocumentBuf,
        /// The first bytes of the fingerprint of the changed document.
        after: [u8; 8],
    },
    /// It changed, and is kept whole as it was.
    Replaced {
        /// The fingerprint of the changed document.
        after: [u8; 16],
    },
    /// It was inserted.
    Inserted {
        /// Its fingerprint.
        after: [u8; 16],
    },
}

/// The entries of a pack in the order in which the documents were changed; `None` for what is no pack.
pub fn entries(pack: &RawDocument) -> Option<Vec<PackEntry>> {
    raw_entries(pack)?.iter().map(entry).collect()
}

/// The entries of a pack as they were added.
pub fn raw_entries(pack: &RawDocument) -> Option<Vec<Element<'_>>> {
    let parts = fields(pack.as_bytes())?;
    let listed = parts.iter().find(|part| part.name == b"e" && part.kind == ARRAY)?;
    fields(listed.value)
}

fn entry(element: &Element<'_>) -> Option<PackEntry> {
    let parts = fields(element.value)?;
    let id = Id::from_element(parts.first()?)?;
    let part = |name: &[u8]| parts.iter().skip(1).find(|part| part.name == name);
    let hash = |part: &Element<'_>| <[u8; 16]>::try_from(part.value.get(5..)?).ok();
    let what = if let Some(after) = part(b"w") {
        What::Replaced { after: hash(after)? }
    } else if let Some(after) = part(b"i") {
        What::Inserted { after: hash(after)? }
    } else {
        let after = <[u8; 8]>::try_from(part(b"f")?.value).ok()?;
        let mut delta = Builder::default();
        parts.iter().skip(1).filter(|part| part.name != b"f").for_each(|part| delta.push(part));
        What::Changed { delta: delta.finish(), after }
    };
    Some(PackEntry { id, what })
}

/// How many documents a pack is about.
pub fn count(pack: &RawDocument) -> i64 {
    pack.get_i32("n").map_or(0, i64::from)
}

/// Where packs of one operation lie among a run's.
pub fn bounds(capture_key: CaptureKey) -> Option<(Id, Id)> {
    let id = |place: i64| Id::of(&rawdoc! {"_id": {"o": capture_key.operation, "s": place}});
    Some((id(i64::MIN)?, id(i64::MAX)?))
}

#[cfg(test)]
mod tests {
    use bson::oid::ObjectId;

    use super::*;
    use crate::run::capture_key::CaptureId;

    #[test]
    fn entries_return_in_order_and_later_packs_come_first() {
        let capture_key = CaptureId(ObjectId::new()).capture_key(2);
        let documents: Vec<RawDocumentBuf> = (0..250).map(|n| rawdoc! {"_id": n, "a": "x".repeat(10)}).collect();
        let mut packer = Packer::new(capture_key, 7);
        for document in &documents {
            let fields = fields(document.as_bytes()).expect("walks");
            packer.inserted(&fields[0], document);
        }
        let first = fields(documents[0].as_bytes()).expect("walks");
        packer.changed(&first[0], &rawdoc! {"c": {"a": {"b": 1}}}, &documents[0]);
        packer.replaced(&first[0], &documents[0]);
        let packs = packer.finish();
        assert_eq!(packs.iter().map(|pack| count(pack)).collect::<Vec<_>>(), [100, 100, 52]);
        let place = |pack: &RawDocumentBuf| pack.get_document("_id").expect("an _id").get_i64("s").expect("a place");
        assert!(packs.windows(2).all(|pair| place(&pair[0]) > place(&pair[1])));
        let all: Vec<PackEntry> = packs.iter().flat_map(|pack| entries(pack).expect("a pack")).collect();
        assert_eq!(all.len(), 252);
        assert_eq!(all[3].id, Id::of(&rawdoc! {"_id": 3}).expect("an id"));
        assert_eq!(all[3].what, What::Inserted { after: fingerprint(documents[3].as_bytes()) });
        assert!(matches!(&all[250].what, What::Changed { delta, .. } if *delta == rawdoc! {"c": {"a": {"b": 1}}}));
        assert_eq!(entries(&rawdoc! {"e": 1}), None);
    }

    #[test]
    fn one_changed_field_takes_less_than_120_bytes() {
        let capture_key = CaptureId(ObjectId::new()).capture_key(0);
        let mut packer = Packer::new(capture_key, 0);
        for n in 0..100 {
            let before = rawdoc! {"_id": ObjectId::new(), "schema_version": 1, "n": n};
            let after = rawdoc! {"_id": before.get_object_id("_id").expect("an id"), "schema_version": 2, "n": n};
            let super::super::delta::DocumentChange::Fields(delta) = super::super::delta::difference(&before, &after)
            else {
                panic!("a change")
            };
            packer.changed(&fields(after.as_bytes()).expect("walks")[0], &delta, &after);
        }
        let packs = packer.finish();
        assert_eq!(packs.len(), 1);
        assert!(packs[0].as_bytes().len() < 120 * 100, "{}", packs[0].as_bytes().len());
    }
}
