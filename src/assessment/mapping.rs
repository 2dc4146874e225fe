//! The table of [`model`](super::model) applied to one document. Values are bytes that are passed on; only dates written
//! as text and ObjectIds of creators are turned into something else.

use std::borrow::Cow;

use bson::DateTime;

use super::dates;
use super::model::{
    AssessmentKind, BATCHES, EMBEDDED, FIELDS, Fallback, Field, FieldType, MIGRATION_SOURCE, ORIGINAL_ID, Path,
    QUESTIONS, Rules, TOTAL_QUESTIONS, UPDATED_AT,
};
use super::values::{EMPTY, count, id_text, text, text_of, type_name, wanted};
use crate::mongo::raw::{
    ARRAY, BOOLEAN, DATE, DECIMAL, DOCUMENT, DOUBLE, Element, INT32, INT64, NULL, OBJECT_ID, TEXT, fields, first,
    repeats,
};

/// Why a document cannot be mapped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unmapped {
    /// The field, with the embedded document it lies in.
    pub field: String,
    /// What is wrong with it.
    pub reason: String,
}

/// A field's value in the unified model.
#[derive(Debug, Clone, PartialEq)]
pub struct UnifiedValue<'a> {
    /// Where it goes.
    pub path: Path,
    /// Its type byte.
    pub kind: u8,
    /// Its bytes.
    pub bytes: Cow<'a, [u8]>,
    /// Where it comes from; `None` for a default and for what no source has.
    pub origin: Option<Path>,
    /// Whether it is another value than that of its source.
    pub converted: bool,
}

impl UnifiedValue<'_> {
    /// As an element of a document.
    pub fn element(&self) -> Element<'_> {
        Element { kind: self.kind, name: self.path.name.as_bytes(), value: &self.bytes }
    }
}

/// A document and what it is in the unified model.
#[derive(Debug)]
pub struct Unified<'a> {
    /// The document's own fields.
    pub fields: Vec<Element<'a>>,
    /// Every field of the model.
    pub values: Vec<UnifiedValue<'a>>,
    /// Dates that were text.
    pub dates_converted: i64,
}

/// Maps a document by `rules`, of which the time is what `updated_at` becomes.
///
/// # Errors
/// [`Unmapped`].
pub fn map(document: &[u8], side: AssessmentKind, rules: Rules) -> Result<Unified<'_>, Unmapped> {
    let unmapped = |field: &str, reason: &str| Unmapped { field: field.to_owned(), reason: reason.to_owned() };
    let fields = fields(document).ok_or_else(|| unmapped("_id", "the document cannot be read"))?;
    let parts = SourceParts::of(&fields)?;
    let mut values = Vec::with_capacity(FIELDS.len() + 4);
    let mut dates_converted = 0;
    for field in rules.edition.fields() {
        let value = match parts.find(field, side) {
            Some((origin, found)) => {
                let value = typed(field, origin, &found)?;
                dates_converted += i64::from(value.converted && field.kind == FieldType::Date);
                value
            }
            None => default_value(field.path, field.default(side), rules.now),
        };
        values.push(value);
    }
    let questions =
        values.iter().find(|value| value.path.name == QUESTIONS).map_or(0, |questions| count(&questions.bytes));
    let made = |name: &'static str, kind: u8, bytes: Vec<u8>| UnifiedValue {
        path: Path { within: "", name },
        kind,
        bytes: Cow::Owned(bytes),
        origin: None,
        converted: false,
    };
    let id = first(document).ok_or_else(|| unmapped("_id", "the document has none"))?;
    values.push(made(TOTAL_QUESTIONS, INT32, questions.to_le_bytes().to_vec()));
    values.push(made(UPDATED_AT, DATE, rules.now.timestamp_millis().to_le_bytes().to_vec()));
    values.push(made(MIGRATION_SOURCE, TEXT, text(side.source().as_bytes())));
    values.push(made(ORIGINAL_ID, TEXT, text(&id_text(&id))));
    Ok(Unified { fields, values, dates_converted })
}

/// The parts of a document that sources lie in.
struct SourceParts<'a, 'f> {
    top: &'f [Element<'a>],
    embedded: [Vec<Element<'a>>; 2],
}

impl<'a, 'f> SourceParts<'a, 'f> {
    fn of(top: &'f [Element<'a>]) -> Result<Self, Unmapped> {
        twice("", top)?;
        let mut embedded = [Vec::new(), Vec::new()];
        for (name, found) in EMBEDDED.iter().zip(&mut embedded) {
            let Some(field) = get(top, name) else { continue };
            *found = (field.kind == DOCUMENT).then(|| fields(field.value)).flatten().ok_or_else(|| Unmapped {
                field: (*name).to_owned(),
                reason: format!("is {}, not an object", type_name(field.kind)),
            })?;
            twice(name, found)?;
        }
        Ok(Self { top, embedded })
    }

    fn get(&self, path: Path) -> Option<Element<'a>> {
        match EMBEDDED.iter().position(|name| *name == path.within) {
            Some(at) => get(&self.embedded[at], path.name),
            None => get(self.top, path.name),
        }
    }

    /// The first source that is present and not null, with its value.
    fn find(&self, field: &Field, side: AssessmentKind) -> Option<(Path, Element<'a>)> {
        let mut found = field.sources(side).iter().filter_map(|path| Some((*path, self.get(*path)?)));
        let winner = found.next()?;
        let empty = winner.1.kind == ARRAY && winner.1.value == EMPTY;
        if field.path.name == BATCHES && empty { found.next().or(Some(winner)) } else { Some(winner) }
    }
}

/// A field that is present and not null.
fn get<'a>(fields: &[Element<'a>], name: &str) -> Option<Element<'a>> {
    fields.iter().find(|field| field.name == name.as_bytes()).filter(|field| field.kind != NULL).copied()
}

/// Refuses a document that has a name of the model twice: which one is meant cannot be known.
fn twice(within: &str, present: &[Element<'_>]) -> Result<(), Unmapped> {
    if !repeats(present) {
        return Ok(());
    }
    let named: Vec<Element<'_>> = present.iter().filter(|field| is_named(within, field.name)).copied().collect();
    if !repeats(&named) {
        return Ok(());
    }
    let again = named.iter().enumerate().find(|(at, field)| named[..*at].iter().any(|other| other.name == field.name));
    let name = again.map_or_else(String::new, |(_, field)| String::from_utf8_lossy(field.name).into_owned());
    Err(Unmapped { field: joined(within, &name), reason: "occurs twice in the document".to_owned() })
}

/// Whether the model or one of its sources has the name there.
fn is_named(within: &str, name: &[u8]) -> bool {
    let paths = FIELDS.iter().flat_map(|field| std::iter::once(&field.path).chain(field.regular).chain(field.teacher));
    let others = [TOTAL_QUESTIONS, UPDATED_AT, MIGRATION_SOURCE, ORIGINAL_ID].iter().chain(&EMBEDDED);
    paths.into_iter().any(|path| path.within == within && path.name.as_bytes() == name)
        || (within.is_empty() && others.into_iter().any(|other| other.as_bytes() == name))
}

fn joined(within: &str, name: &str) -> String {
    if within.is_empty() { name.to_owned() } else { format!("{within}.{name}") }
}

/// The value of a source, if it is of the field's type.
fn typed<'a>(field: &Field, origin: Path, found: &Element<'a>) -> Result<UnifiedValue<'a>, Unmapped> {
    let as_it_is = (found.kind, Cow::Borrowed(found.value), false);
    let (kind, bytes, converted) = match (field.kind, found.kind) {
        (FieldType::Text | FieldType::TextOrObjectId, TEXT)
        | (FieldType::Number, DOUBLE | INT32 | INT64 | DECIMAL)
        | (FieldType::Boolean, BOOLEAN)
        | (FieldType::Array, ARRAY)
        | (FieldType::Date, DATE) => as_it_is,
        (FieldType::TextOrObjectId, OBJECT_ID) => (TEXT, Cow::Owned(text(&id_text(found))), true),
        (FieldType::Date, TEXT) => match text_of(found).and_then(dates::milliseconds) {
            Some(moment) => (DATE, Cow::Owned(moment.to_le_bytes().to_vec()), true),
            None => return Err(wrong(origin, "is a string that is no RFC 3339 date".to_owned())),
        },
        _ => return Err(wrong(origin, format!("is {}, not {}", type_name(found.kind), wanted(field.kind)))),
    };
    Ok(UnifiedValue { path: field.path, kind, bytes, origin: Some(origin), converted })
}

fn wrong(origin: Path, reason: String) -> Unmapped {
    Unmapped { field: joined(origin.within, origin.name), reason }
}

/// The value of a field that no source has.
pub fn default_value<'a>(path: Path, default: Fallback, now: DateTime) -> UnifiedValue<'a> {
    let (kind, bytes) = match default {
        Fallback::Text(value) => (TEXT, text(value.as_bytes())),
        Fallback::Number(value) => (INT32, value.to_le_bytes().to_vec()),
        Fallback::Boolean(value) => (BOOLEAN, vec![u8::from(value)]),
        Fallback::EmptyArray => (ARRAY, EMPTY.to_vec()),
        Fallback::Null => (NULL, Vec::new()),
        Fallback::Now => (DATE, now.timestamp_millis().to_le_bytes().to_vec()),
    };
    UnifiedValue { path, kind, bytes: Cow::Owned(bytes), origin: None, converted: false }
}
