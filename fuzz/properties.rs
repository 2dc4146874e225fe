//! What must hold for any bytes at all. The fuzz targets call these functions with bytes of their own making;
//! `tests/fuzzed.rs` calls them with the inputs in `fuzz/found` and `fuzz/seeds`.

use std::path::Path;

use bson::{RawDocument, RawDocumentBuf};
use edulearn_migrate::backup::format::{manifest, metadata};
use edulearn_migrate::backup::old_tool;
use edulearn_migrate::capture::delta::{DocumentChange, difference};
use edulearn_migrate::capture::pack;
use edulearn_migrate::capture::reversal::take_back;
use edulearn_migrate::model::migration::{Migration, ScriptSource};
use edulearn_migrate::mongo::raw::{self, Builder, Element};
use edulearn_migrate::run::progress::Progress;
use edulearn_migrate::run::record::Record;
use sha2::{Digest, Sha256};

/// A migration file is read or refused. What the ledger keeps of it reads back as the same scripts.
pub fn script(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let Ok(migration) = Migration::from_file_text("migration_1", Path::new("migration_1_x.json"), text) else { return };
    for source in std::iter::once(&migration.up).chain(&migration.down) {
        let again = ScriptSource::from_text(&source.text).expect("the ledger's text reads");
        assert_eq!(again.text, source.text);
        assert_eq!(again.script, source.script);
    }
}

/// Any bytes can be walked. What walks as a document is built again byte for byte.
pub fn bson(data: &[u8]) {
    let _ = raw::elements(data).count();
    let _ = raw::first(data);
    let _ = raw::id_of(data);
    let _ = raw::has_duplicates(data);
    let _ = raw::has_zero_timestamp(data);
    if let Some(fields) = raw::fields(data) {
        let mut builder = Builder::new();
        fields.iter().for_each(|field| builder.push(field));
        assert_eq!(builder.finish().as_bytes(), data);
    }
    let Ok(document) = RawDocumentBuf::from_bytes(data.to_vec()) else { return };
    let _ = Record::parse(&document);
    let _ = Progress::from_raw(&document);
    let _ = pack::entries(&document);
}

/// Taking back what changed gives back what was, whatever the two documents are; against a third document, and with a
/// delta of any bytes, it gives a document or nothing.
pub fn delta(data: &[u8]) {
    let mut made = Made(data);
    let (before, after, current) = (made.document(0), made.document(0), made.document(0));
    if let DocumentChange::Fields(delta) = difference(&before, &after) {
        let merged = take_back(&delta, &after, &|_| false).expect("our own delta reads");
        let back = merged.document.as_ref().map_or(after.as_bytes(), |it| it.as_bytes());
        assert_eq!(back, before.as_bytes(), "what was comes back");
        assert_eq!(merged.conflicts, 0);
        let _ = take_back(&delta, &current, &|_| false);
        // Every field was edited: nothing changes.
        let barred = take_back(&delta, &after, &|_| true).expect("our own delta reads");
        if let Some(document) = barred.document {
            assert_eq!(
                raw::fields(document.as_bytes()).map(|it| it.len()),
                raw::fields(after.as_bytes()).map(|it| it.len())
            );
        }
    }
    if let Ok(delta) = RawDocument::from_bytes(made.0) {
        let _ = take_back(delta, &current, &|_| false);
    }
}

/// A pack of any bytes is read or refused.
pub fn pack(data: &[u8]) {
    let mut made = Made(data);
    let entries = made.document(0);
    let mut builder = Builder::new();
    builder.value(raw::ARRAY, b"e", entries.as_bytes());
    for pack in [builder.finish(), entries] {
        let raw = pack::raw_entries(&pack);
        let read = pack::entries(&pack);
        assert!(raw.is_some() || read.is_none());
        let _ = pack::count(&pack);
    }
    if let Ok(pack) = RawDocument::from_bytes(data) {
        let _ = pack::entries(pack);
    }
}

/// A manifest, with the right checksum or as it is, and mongodump's metadata are read or refused.
pub fn manifest(data: &[u8]) {
    let file = Path::new("manifest.json");
    let _ = manifest::Manifest::from_bytes(data, file);
    let _ = metadata::read(data, file, None, &mut Vec::new());
    let sum = edulearn_migrate::hex::hex(&Sha256::digest(data));
    let whole = [format!("{{\n  \"sha256\": \"{sum}\",").as_bytes(), data].concat();
    if let Ok(manifest) = manifest::Manifest::from_bytes(&whole, file) {
        let again = manifest::Manifest::from_bytes(&manifest.to_bytes(), file).expect("our own manifest reads");
        assert_eq!(again, manifest);
    }
}

/// A backup of the old tool of any bytes is read or refused, and what is read is what its documents are.
pub fn old_backup(data: &[u8]) {
    let mut made = Made(data);
    let collections = made.document(0);
    let mut builder = Builder::new();
    builder.document("collections", collections.as_bytes());
    let _ = old_tool::source("edulearn", "old", &builder.finish());
    if let Ok(document) = RawDocumentBuf::from_bytes(data.to_vec()) {
        let _ = old_tool::source("edulearn", "old", &document);
    }
}

/// Documents made of bytes: each byte decides what comes next, so that most inputs are documents.
struct Made<'a>(&'a [u8]);

impl Made<'_> {
    const NAMES: [&'static [u8]; 12] =
        [b"_id", b"a", b"b", b"c", b"d", b"a.b", b"$x", b"", b"0", b"1", b"\xff\xfe", b"k"];

    fn byte(&mut self) -> u8 {
        let Some((first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        *first
    }

    fn take(&mut self, count: usize) -> Vec<u8> {
        (0..count).map(|_| self.byte()).collect()
    }

    fn document(&mut self, depth: usize) -> RawDocumentBuf {
        let mut builder = Builder::new();
        for _ in 0..self.byte() % 32 {
            let name = Self::NAMES[usize::from(self.byte()) % Self::NAMES.len()];
            self.value(&mut builder, name, depth);
        }
        builder.finish()
    }

    fn value(&mut self, builder: &mut Builder, name: &[u8], depth: usize) {
        let sized = |bytes: Vec<u8>, extra: usize| {
            let length = u32::try_from(bytes.len() - extra).unwrap_or_default();
            [&length.to_le_bytes()[..], &bytes].concat()
        };
        match self.byte() % 12 {
            0 | 1 if depth < 6 => builder.document(name, self.document(depth + 1).as_bytes()),
            2 if depth < 6 => builder.value(raw::ARRAY, name, self.document(depth + 1).as_bytes()),
            3 => {
                let count = usize::from(self.byte() % 64);
                let mut text = self.take(count);
                text.push(0);
                builder.value(raw::TEXT, name, &sized(text, 0));
            }
            4 => {
                let count = usize::from(self.byte() % 64) + 1;
                let bytes = self.take(count);
                builder.value(raw::BINARY, name, &sized(bytes, 1));
            }
            5 => {
                let bytes = self.take(8);
                builder.value(raw::DOUBLE, name, &bytes);
            }
            6 => {
                let bytes = self.take(12);
                builder.value(raw::OBJECT_ID, name, &bytes);
            }
            7 => {
                let bytes = self.take(8);
                builder.value(raw::INT64, name, &bytes);
            }
            8 => builder.value(raw::TIMESTAMP, name, &[0; 8]),
            9 => builder.value(raw::NULL, name, &[]),
            _ => {
                let bytes = self.take(4);
                builder.push(&Element { kind: raw::INT32, name, value: &bytes });
            }
        }
    }
}
