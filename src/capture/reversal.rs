//! Taking a delta back in one document, by the three-way rule that [`delta`](super::delta) describes.

use bson::{RawDocument, RawDocumentBuf};

use super::delta::{find, hashed};
use crate::mongo::raw::{Builder, DOCUMENT, Element, NULL, SMALLEST, fields, repeats};

/// A document after taking a delta back.
#[derive(Debug, Default, PartialEq)]
pub struct Merged {
    /// The document as it should be; `None` where it is so already.
    pub document: Option<RawDocumentBuf>,
    /// The same as update operators, where these do exactly that.
    pub operators: Option<RawDocumentBuf>,
    /// Fields that somebody changed since and that stay.
    pub conflicts: i64,
    /// The paths of all fields that are not as the change left them.
    pub edited: Vec<Vec<u8>>,
}

/// Takes `delta` back in the document as it is now, but for the fields that `barred` says were edited. `None`
/// where the delta or the document cannot be read.
pub fn take_back(delta: &RawDocument, current: &RawDocument, barred: &dyn Fn(&[u8]) -> bool) -> Option<Merged> {
    let narrow = fields(delta.as_bytes()).is_some_and(|parts| part(&parts, b"n").is_some());
    let mut back = FieldReversal {
        barred,
        narrow,
        conflicts: 0,
        edited: Vec::new(),
        plain: true,
        set: Builder::default(),
        unset: Builder::default(),
    };
    let merged = back.level(delta.as_bytes(), current.as_bytes(), &mut Vec::new())?;
    if merged.as_bytes() == current.as_bytes() {
        return Some(Merged { conflicts: back.conflicts, edited: back.edited, ..Merged::default() });
    }
    let operators = back.plain.then(|| {
        let mut operators = Builder::default();
        if !back.set.is_empty() {
            operators.document(b"$set", back.set.finish().as_bytes());
        }
        if !back.unset.is_empty() {
            operators.document(b"$unset", back.unset.finish().as_bytes());
        }
        operators.finish()
    });
    Some(Merged { document: Some(merged), operators, conflicts: back.conflicts, edited: back.edited })
}

struct FieldReversal<'b> {
    barred: &'b dyn Fn(&[u8]) -> bool,
    /// Whether only the names in the delta must be unique.
    narrow: bool,
    conflicts: i64,
    edited: Vec<Vec<u8>>,
    /// Whether operators alone do it: nothing to put back between other fields.
    plain: bool,
    set: Builder,
    unset: Builder,
}

impl FieldReversal<'_> {
    fn level(&mut self, delta: &[u8], current: &[u8], path: &mut Vec<u8>) -> Option<RawDocumentBuf> {
        let parts = fields(delta)?;
        let changes = fields(part(&parts, b"c")?.value)?;
        let order = match part(&parts, b"o") {
            Some(order) => Some(fields(order.value)?),
            None => None,
        };
        let now = fields(current)?;
        // A name twice: somebody wrote the document anew since, and a field cannot be told from its twin.
        let named: Vec<Element<'_>>;
        let once = if self.narrow {
            named = now.iter().filter(|field| find(&changes, field.name, 0).is_some()).copied().collect();
            &named
        } else {
            &now
        };
        if repeats(once) {
            for change in &changes {
                self.edited(path, change.name, true);
            }
            return RawDocumentBuf::from_bytes(current.to_vec()).ok();
        }
        // What each field becomes: by name, in the order of the document as it is now.
        let mut result: Vec<(&[u8], Becomes<'_>)> =
            now.iter().map(|field| (field.name, Becomes::Stays(field))).collect();
        for (at, change) in changes.iter().enumerate() {
            let existing = find(&now, change.name, at).map(|place| (place, &now[place]));
            let parts = fields(change.value)?;
            if let Some(nested) = part(&parts, b"d") {
                match existing {
                    Some((place, field)) if field.kind == DOCUMENT => {
                        let length = path.len();
                        push_name(path, change.name);
                        let document = self.level(nested.value, field.value, path)?;
                        path.truncate(length);
                        result[place].1 = Becomes::Document(document);
                    }
                    _ => self.edited(path, change.name, true),
                }
                continue;
            }
            if (self.barred)(&joined(path, change.name)) {
                self.conflicts += 1;
                continue;
            }
            let before = part(&parts, b"b");
            let same_as_before = match (before, existing) {
                (Some(before), Some((_, field))) => before.same_value(field),
                (None, None) => true,
                _ => false,
            };
            if !still_as_written(&parts, existing.map(|(_, field)| field)) {
                // Made by the change and edited since: the keys that nobody has touched go.
                if let (Some(keys), Some((place, field)), false) = (part(&parts, b"k"), existing, same_as_before)
                    && field.kind == DOCUMENT
                {
                    let length = path.len();
                    push_name(path, change.name);
                    let document = self.level(keys.value, field.value, path)?;
                    path.truncate(length);
                    if document.as_bytes().len() > SMALLEST {
                        result[place].1 = Becomes::Document(document);
                    } else {
                        // Nothing of it is left, and the operators that say so are in each other's way.
                        self.plain = false;
                        result[place].1 = before.map_or(Becomes::Gone, |before| Becomes::Value(*before));
                    }
                    continue;
                }
                // Put back by somebody, it is as it should be.
                self.edited(path, change.name, !same_as_before);
                continue;
            }
            match (before, existing) {
                (Some(before), Some((place, _))) => {
                    self.push_path(path, change.name, Some(before));
                    result[place].1 = Becomes::Value(*before);
                }
                (Some(before), None) => {
                    self.plain = false;
                    result.push((change.name, Becomes::Value(*before)));
                }
                (None, Some((place, _))) => {
                    self.push_path(path, change.name, None);
                    result[place].1 = Becomes::Gone;
                }
                (None, None) => {}
            }
        }
        result.retain(|(_, becomes)| !matches!(becomes, Becomes::Gone));
        if let Some(order) = order {
            self.plain = false;
            // Fields that were not there before come last, in the order that they have now.
            result.sort_by_key(|(name, _)| find(&order, name, 0).unwrap_or(usize::MAX));
        }
        let mut merged = Builder::default();
        for (name, becomes) in &result {
            match becomes {
                Becomes::Stays(field) => merged.push(field),
                Becomes::Value(value) => merged.value(value.kind, name, value.value),
                Becomes::Document(document) => merged.document(name, document.as_bytes()),
                Becomes::Gone => {}
            }
        }
        Some(merged.finish())
    }

    /// Notes that somebody changed the field `name` under `path`.
    fn edited(&mut self, path: &[u8], name: &[u8], conflict: bool) {
        self.edited.push(joined(path, name));
        self.conflicts += i64::from(conflict);
    }

    /// Notes the operator for the field `name` under `path`.
    fn push_path(&mut self, path: &[u8], name: &[u8], value: Option<&Element<'_>>) {
        let full = joined(path, name);
        match value {
            Some(value) => self.set.value(value.kind, &full, value.value),
            None => self.unset.value(NULL, &full, b""),
        }
    }
}

enum Becomes<'a> {
    Stays(&'a Element<'a>),
    Value(Element<'a>),
    Document(RawDocumentBuf),
    Gone,
}

/// Whether a field is as the migration left it.
fn still_as_written(change: &[Element<'_>], existing: Option<&Element<'_>>) -> bool {
    match (part(change, b"a"), part(change, b"h"), existing) {
        (Some(after), _, Some(field)) => after.same_value(field),
        (None, Some(hash), Some(field)) => hash.value == hashed(field),
        (None, None, None) => true,
        _ => false,
    }
}

fn part<'a, 'b>(parts: &'b [Element<'a>], name: &[u8]) -> Option<&'b Element<'a>> {
    parts.iter().find(|part| part.name == name)
}

fn joined(path: &[u8], name: &[u8]) -> Vec<u8> {
    let mut full = path.to_vec();
    push_name(&mut full, name);
    full
}

fn push_name(path: &mut Vec<u8>, name: &[u8]) {
    if !path.is_empty() {
        path.push(b'.');
    }
    path.extend_from_slice(name);
}
