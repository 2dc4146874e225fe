//! What an update changed in one document, and taking that back by the three-way rule.
//!
//! A delta names the fields that differ, with their values before and after; inside embedded documents key
//! by key, arrays and everything else as one value. Taking it back compares each field of the document as it
//! is now with what the migration wrote: equal, it goes back to what it was; else somebody changed it since,
//! and it stays.
//!
//! As a document: `c` holds the changes by name, `{b: before, a: after}` with either absent where the field
//! was, `{b, h}` with a fingerprint in place of a long `a`, or `{d: delta}`; with `k`, the delta from an empty document,
//! an embedded document that the change made goes back key by key once somebody has edited it; `o` has the names before in
//! their order, where taking the changes back one by one would not restore it; `n` says that other fields than those named
//! may have a name twice.

use bson::{RawDocument, RawDocumentBuf};

use crate::mongo::raw::{BINARY, Builder, DOCUMENT, Element, NULL, depth, fields, fingerprint, repeats};

/// Longer values after the change are kept as their fingerprint: they are only ever compared.
const LONGEST_AFTER: usize = 32;
/// A delta beyond this would fit into no pack, and keeps the document whole instead.
const LARGEST: usize = 15 * 1024 * 1024;
/// A deeper one does not fit into a pack, which adds three levels: the server stores 180.
const DEEPEST: usize = 170;
/// Length and subtype come before a binary value's bytes.
const BINARY_HEAD: [u8; 5] = [16, 0, 0, 0, 0];

/// What an update did to a document.
#[derive(Debug, PartialEq)]
pub enum DocumentChange {
    /// Nothing.
    None,
    /// These fields changed.
    Fields(RawDocumentBuf),
    /// Fields cannot be told apart by name (duplicate, dotted, `$`), or too much changed.
    Whole,
}

/// Compares a document before and after.
pub fn difference(before: &RawDocument, after: &RawDocument) -> DocumentChange {
    difference_opening(before, after, &[])
}

/// [`difference`] where embedded documents of these names that the change made, at the top, go back key by key.
pub fn difference_opening(before: &RawDocument, after: &RawDocument, opened: &[&[u8]]) -> DocumentChange {
    if before.as_bytes() == after.as_bytes() {
        return DocumentChange::None;
    }
    match level(before.as_bytes(), after.as_bytes(), opened) {
        Some(delta) if delta.as_bytes().len() <= LARGEST && depth(delta.as_bytes()) <= DEEPEST => {
            DocumentChange::Fields(delta)
        }
        _ => DocumentChange::Whole,
    }
}

/// A delta put together of the fields that are known to have changed, where they kept their places and what is new came last.
/// Other fields are none of its business, and may have a name twice.
#[derive(Debug, Default)]
pub struct KnownDelta {
    changes: Builder,
}

impl KnownDelta {
    /// Adds a field that changed, or is new.
    pub fn changed(&mut self, before: Option<&Element<'_>>, after: &Element<'_>) {
        self.changes.document(after.name, change(before, Some(after)).as_bytes());
    }

    /// Adds an embedded document that the change made: it goes back key by key.
    pub fn made(&mut self, before: Option<&Element<'_>>, after: &Element<'_>) {
        if let Some(change) = opening(before, after, &[after.name]) {
            self.changes.document(after.name, change.as_bytes());
        }
    }

    /// Adds what changed inside an embedded document.
    pub fn inside(&mut self, name: &[u8], keys: Self) {
        let mut delta = Builder::default();
        delta.document(b"c", keys.changes.finish().as_bytes());
        let mut nested = Builder::default();
        nested.document(b"d", delta.finish().as_bytes());
        self.changes.document(name, nested.finish().as_bytes());
    }

    /// Whether nothing was added.
    pub fn is_empty(&self) -> bool {
        self.changes.is_empty()
    }

    /// The delta; `None` where it is too large for a pack.
    pub fn finish(self) -> Option<RawDocumentBuf> {
        let mut delta = Builder::default();
        delta.document(b"c", self.changes.finish().as_bytes());
        delta.value(NULL, b"n", b"");
        Some(delta.finish()).filter(|delta| delta.as_bytes().len() <= LARGEST)
    }
}

/// The delta of one level; `None` where fields cannot be told apart.
fn level(before: &[u8], after: &[u8], opened: &[&[u8]]) -> Option<RawDocumentBuf> {
    let old = addressable(before)?;
    let new = addressable(after)?;
    let mut changes = Builder::default();
    let mut in_order = true;
    let mut last_place = None;
    for (at, field) in old.iter().enumerate() {
        let Some(place) = find(&new, field.name, at) else {
            in_order = false;
            changes.document(field.name, change(Some(field), None).as_bytes());
            continue;
        };
        in_order = in_order && last_place.is_none_or(|last| last < place);
        last_place = Some(place);
        let now = &new[place];
        if field.same_value(now) {
            continue;
        }
        if field.kind == DOCUMENT && now.kind == DOCUMENT {
            let mut nested = Builder::default();
            nested.document(b"d", level(field.value, now.value, &[])?.as_bytes());
            changes.document(field.name, nested.finish().as_bytes());
        } else {
            changes.document(field.name, opening(Some(field), now, opened)?.as_bytes());
        }
    }
    for (at, field) in new.iter().enumerate() {
        if find(&old, field.name, at).is_none() {
            changes.document(field.name, opening(None, field, opened)?.as_bytes());
        }
    }
    let mut delta = Builder::default();
    delta.document(b"c", changes.finish().as_bytes());
    if !in_order {
        let mut order = Builder::default();
        old.iter().for_each(|field| order.value(NULL, field.name, b""));
        delta.document(b"o", order.finish().as_bytes());
    }
    Some(delta.finish())
}

/// The change of a field, with its keys one by one if it is one of the `opened`.
fn opening(before: Option<&Element<'_>>, after: &Element<'_>, opened: &[&[u8]]) -> Option<RawDocumentBuf> {
    let change = change(before, Some(after));
    if after.kind != DOCUMENT || !opened.contains(&after.name) {
        return Some(change);
    }
    let mut with_keys = Builder::default();
    with_keys.extend(change.as_bytes());
    with_keys.document(b"k", level(&Builder::default().finish().into_bytes(), after.value, &[])?.as_bytes());
    Some(with_keys.finish())
}

fn change(before: Option<&Element<'_>>, after: Option<&Element<'_>>) -> RawDocumentBuf {
    let mut change = Builder::default();
    if let Some(before) = before {
        change.value(before.kind, b"b", before.value);
    }
    match after {
        Some(after) if after.value.len() > LONGEST_AFTER => change.value(BINARY, b"h", &hashed(after)),
        Some(after) => change.value(after.kind, b"a", after.value),
        None => {}
    }
    change.finish()
}

/// The fingerprint of a value with its type, as a binary value.
pub(super) fn hashed(element: &Element<'_>) -> Vec<u8> {
    let typed = [&[element.kind], element.value].concat();
    [&BINARY_HEAD[..], &fingerprint(&typed)].concat()
}

/// The fields of a document, if each has a name of its own that a path can name.
fn addressable(document: &[u8]) -> Option<Vec<Element<'_>>> {
    let fields = fields(document)?;
    let odd = |name: &[u8]| name.is_empty() || name[0] == b'$' || name.contains(&b'.');
    (!fields.iter().any(|field| odd(field.name)) && !repeats(&fields)).then_some(fields)
}

/// Where the field of a name is; most often where it is on the other side.
pub(super) fn find(fields: &[Element<'_>], name: &[u8], likely: usize) -> Option<usize> {
    if fields.get(likely).is_some_and(|field| field.name == name) {
        return Some(likely);
    }
    fields.iter().position(|field| field.name == name)
}

#[cfg(test)]
#[path = "delta_tests.rs"]
mod tests;
