//! What becomes of a document that is mapped: the update of a regular assessment, the copy of a teacher's.

use bson::RawDocumentBuf;

use super::mapping::{Unified, UnifiedValue, Unmapped};
use super::model::AssessmentKind;
use crate::capture::delta::KnownDelta;
use crate::mongo::raw::LARGEST_STORED;
use crate::mongo::raw::{Builder, DOCUMENT, Element, fields, has_duplicates, has_zero_timestamp};

/// What the lengths of the embedded settings add at most.
const AROUND: usize = 64;

/// What becomes of a regular assessment.
#[derive(Debug)]
pub struct UnifiedRegular {
    /// The update.
    pub operators: RawDocumentBuf,
    /// The document after it.
    pub after: RawDocumentBuf,
    /// The delta that takes it back; `None` where it is too large.
    pub back: Option<RawDocumentBuf>,
}

impl Unified<'_> {
    /// Whether the document can be made unified: for most, its size and that of the model's values tell.
    ///
    /// # Errors
    /// [`Unmapped`], as the making of it would say.
    pub fn check(&self, document: &[u8], side: AssessmentKind) -> Result<(), Unmapped> {
        let own = self.values.iter().map(|value| value.path.name.len() + value.bytes.len() + 2).sum::<usize>();
        if document.len() + own + AROUND <= LARGEST_STORED && !has_zero_timestamp(document) {
            return Ok(());
        }
        match side {
            AssessmentKind::Regular => self.in_place().map(drop),
            AssessmentKind::Teacher => self.copy(None).map(drop),
        }
    }

    /// The update that makes a regular assessment unified, the document as the server then stores it, and how to take that
    /// back.
    ///
    /// # Errors
    /// [`Unmapped`] where it would be too large.
    pub fn in_place(&self) -> Result<UnifiedRegular, Unmapped> {
        let settings = self.settings();
        let mut set = Builder::new();
        let mut back = KnownDelta::default();
        let own = |name: &str| self.fields.iter().find(|field| field.name == name.as_bytes());
        for value in self.values.iter().filter(|value| value.path.within.is_empty()) {
            let (before, after) = (own(value.path.name), value.element());
            if before.is_none_or(|before| !before.same_value(&after)) {
                set.push(&after);
                back.changed(before, &after);
            }
        }
        let existing = own("settings");
        match existing.filter(|field| field.kind == DOCUMENT).and_then(|field| fields(field.value)) {
            None => {
                set.document("settings", settings.as_bytes());
                back.made(existing, &Element { kind: DOCUMENT, name: b"settings", value: settings.as_bytes() });
            }
            Some(existing) => {
                let mut inside = KnownDelta::default();
                for value in self.values.iter().filter(|value| value.path.within == "settings") {
                    let before = existing.iter().find(|field| field.name == value.path.name.as_bytes());
                    let after = value.element();
                    if before.is_none_or(|before| !before.same_value(&after)) {
                        set.value(value.kind, format!("settings.{}", value.path.name).as_bytes(), &value.bytes);
                        inside.changed(before, &after);
                    }
                }
                if !inside.is_empty() {
                    back.inside(b"settings", inside);
                }
            }
        }
        // The server appends new fields in lexicographic order, whatever the order of the update.
        // Source: MongoDB manual, "Update Operators Behavior".
        let after = fitting(self.document(None, true))?;
        let mut operators = Builder::new();
        operators.document("$set", set.finish().as_bytes());
        Ok(UnifiedRegular { operators: operators.finish(), after, back: back.finish() })
    }

    /// The unified copy of a teacher assessment, under its own `_id` or another.
    ///
    /// # Errors
    /// [`Unmapped`] where it would be too large, or the server cannot store it as it is.
    pub fn copy(&self, id: Option<&Element<'_>>) -> Result<RawDocumentBuf, Unmapped> {
        let copy = self.document(id, false);
        if has_zero_timestamp(copy.as_bytes()) && has_duplicates(copy.as_bytes()) {
            return Err(Unmapped {
                field: "_id".to_owned(),
                reason: "has an empty timestamp and a name that occurs twice; no insert would keep both".to_owned(),
            });
        }
        fitting(copy)
    }

    /// The fields of the document in their places, with the model's values, and what is new behind them.
    fn document(&self, id: Option<&Element<'_>>, sorted: bool) -> RawDocumentBuf {
        let settings = if sorted { self.settings_sorted() } else { self.settings() };
        let settings = Element { kind: DOCUMENT, name: b"settings", value: settings.as_bytes() };
        let mut wanted: Vec<Element<'_>> =
            self.values.iter().filter(|value| value.path.within.is_empty()).map(UnifiedValue::element).collect();
        wanted.push(settings);
        match (id, self.fields.split_first()) {
            (Some(id), Some((_, rest))) => {
                let own = [&[*id], rest].concat();
                put(&own, wanted, sorted)
            }
            _ => put(&self.fields, wanted, sorted),
        }
    }

    fn settings(&self) -> RawDocumentBuf {
        self.settings_in(false)
    }

    /// As the server stores them where it adds keys to settings that stand.
    fn settings_sorted(&self) -> RawDocumentBuf {
        self.settings_in(true)
    }

    fn settings_in(&self, sorted: bool) -> RawDocumentBuf {
        let own = self.fields.iter().find(|field| field.name == b"settings" && field.kind == DOCUMENT);
        let existing = own.and_then(|field| fields(field.value));
        let wanted =
            self.values.iter().filter(|value| value.path.within == "settings").map(UnifiedValue::element).collect();
        let sorted = sorted && existing.is_some();
        put(&existing.unwrap_or_default(), wanted, sorted)
    }
}

/// The fields in their places with the values wanted, what is new behind them.
pub fn put(own: &[Element<'_>], wanted: Vec<Element<'_>>, sorted: bool) -> RawDocumentBuf {
    let room =
        |fields: &[Element<'_>]| fields.iter().map(|field| field.name.len() + field.value.len() + 2).sum::<usize>();
    let mut document = Builder::with_capacity(room(own) + room(&wanted) + 5);
    for field in own {
        document.push(wanted.iter().find(|value| value.name == field.name).unwrap_or(field));
    }
    let mut new: Vec<Element<'_>> =
        wanted.into_iter().filter(|value| !own.iter().any(|field| field.name == value.name)).collect();
    if sorted {
        new.sort_by(|one, other| one.name.cmp(other.name));
    }
    new.iter().for_each(|value| document.push(value));
    document.finish()
}

fn fitting(document: RawDocumentBuf) -> Result<RawDocumentBuf, Unmapped> {
    if document.as_bytes().len() <= LARGEST_STORED {
        return Ok(document);
    }
    Err(Unmapped { field: "_id".to_owned(), reason: "would be larger than 16 MiB with the model's fields".to_owned() })
}
