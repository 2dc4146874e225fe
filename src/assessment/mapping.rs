//! The table of [`model`](super::model) applied to one document. Values are bytes that are passed on; only dates written
//! as text and ObjectIds of creators are turned into something else.

use std::borrow::Cow;

use bson::{Bson, DateTime, RawDocumentBuf};

use super::dates;
use super::model::{
    BATCHES, EMBEDDED, FIELDS, Fallback, Field, MIGRATION_SOURCE, ORIGINAL_ID, Path, QUESTIONS, Side, TOTAL_QUESTIONS,
    Type, UPDATED_AT,
};
use crate::capture::delta::Known;
use crate::raw::{
    ARRAY, BOOLEAN, Builder, DATE, DECIMAL, DOCUMENT, DOUBLE, Element, INT32, INT64, NULL, OBJECT_ID, TEXT, fields,
    first, has_duplicates, has_zero_timestamp, repeats,
};

/// The largest document that the server stores.
const LARGEST: usize = 16 * 1024 * 1024;
/// An empty array or document.
pub const EMPTY: [u8; 5] = [5, 0, 0, 0, 0];

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
pub struct Value<'a> {
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

impl Value<'_> {
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
    pub values: Vec<Value<'a>>,
    /// Dates that were text.
    pub dates_converted: i64,
}

/// Maps a document; the run's time is what `updated_at` becomes.
///
/// # Errors
/// [`Unmapped`].
pub fn map(document: &[u8], side: Side, now: DateTime) -> Result<Unified<'_>, Unmapped> {
    let unmapped = |field: &str, reason: &str| Unmapped { field: field.to_owned(), reason: reason.to_owned() };
    let fields = fields(document).ok_or_else(|| unmapped("_id", "the document cannot be read"))?;
    let parts = Parts::of(&fields)?;
    let mut values = Vec::with_capacity(FIELDS.len() + 4);
    let mut dates_converted = 0;
    for field in &FIELDS {
        let value = match parts.find(field, side) {
            Some((origin, found)) => {
                let value = typed(field, origin, &found)?;
                dates_converted += i64::from(value.converted && field.kind == Type::Date);
                value
            }
            None => default_value(field.path, field.default(side), now),
        };
        values.push(value);
    }
    let questions =
        values.iter().find(|value| value.path.name == QUESTIONS).map_or(0, |questions| count(&questions.bytes));
    let made = |name: &'static str, kind: u8, bytes: Vec<u8>| Value {
        path: Path { within: "", name },
        kind,
        bytes: Cow::Owned(bytes),
        origin: None,
        converted: false,
    };
    let id = first(document).ok_or_else(|| unmapped("_id", "the document has none"))?;
    values.push(made(TOTAL_QUESTIONS, INT32, questions.to_le_bytes().to_vec()));
    values.push(made(UPDATED_AT, DATE, now.timestamp_millis().to_le_bytes().to_vec()));
    values.push(made(MIGRATION_SOURCE, TEXT, text(side.source().as_bytes())));
    values.push(made(ORIGINAL_ID, TEXT, text(&id_text(&id))));
    Ok(Unified { fields, values, dates_converted })
}

/// The bytes of a text value.
pub fn text(bytes: &[u8]) -> Vec<u8> {
    let length = u32::try_from(bytes.len() + 1).unwrap_or(u32::MAX).to_le_bytes();
    [&length[..], bytes, &[0]].concat()
}

/// The text inside a text value.
pub fn text_of<'a>(element: &Element<'a>) -> Option<&'a [u8]> {
    (element.kind == TEXT).then(|| element.value.get(4..element.value.len().checked_sub(1)?))?
}

/// An `_id` as text: an ObjectId's hexadecimal digits, a text as it is, anything else as relaxed Extended JSON.
pub fn id_text(id: &Element<'_>) -> Vec<u8> {
    match id.kind {
        OBJECT_ID => id.value.iter().flat_map(|byte| format!("{byte:02x}").into_bytes()).collect(),
        TEXT => text_of(id).unwrap_or_default().to_vec(),
        _ => shown(id).to_string().into_bytes(),
    }
}

/// A value as relaxed Extended JSON, with what is no UTF-8 replaced.
pub fn shown(element: &Element<'_>) -> serde_json::Value {
    let mut document = Builder::new();
    document.value(element.kind, b"v", element.value);
    let document = document.finish();
    match document.get("v").ok().flatten().map(Bson::try_from) {
        Some(Ok(value)) => value.into_relaxed_extjson(),
        _ => String::from_utf8_lossy(text_of(element).unwrap_or(element.value)).into(),
    }
}

/// The parts of a document that sources lie in.
struct Parts<'a, 'f> {
    top: &'f [Element<'a>],
    embedded: [Vec<Element<'a>>; 2],
}

impl<'a, 'f> Parts<'a, 'f> {
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
    fn find(&self, field: &Field, side: Side) -> Option<(Path, Element<'a>)> {
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

/// Refuses a document in which a name of the model stands twice: which one is meant cannot be known.
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
    Err(Unmapped { field: joined(within, &name), reason: "stands twice in the document".to_owned() })
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
fn typed<'a>(field: &Field, origin: Path, found: &Element<'a>) -> Result<Value<'a>, Unmapped> {
    let as_it_is = (found.kind, Cow::Borrowed(found.value), false);
    let (kind, bytes, converted) = match (field.kind, found.kind) {
        (Type::Text | Type::TextOrObjectId, TEXT)
        | (Type::Number, DOUBLE | INT32 | INT64 | DECIMAL)
        | (Type::Boolean, BOOLEAN)
        | (Type::Array, ARRAY)
        | (Type::Date, DATE) => as_it_is,
        (Type::TextOrObjectId, OBJECT_ID) => (TEXT, Cow::Owned(text(&id_text(found))), true),
        (Type::Date, TEXT) => match text_of(found).and_then(dates::milliseconds) {
            Some(moment) => (DATE, Cow::Owned(moment.to_le_bytes().to_vec()), true),
            None => return Err(wrong(origin, "is a string that is no RFC 3339 date".to_owned())),
        },
        _ => return Err(wrong(origin, format!("is {}, not {}", type_name(found.kind), wanted(field.kind)))),
    };
    Ok(Value { path: field.path, kind, bytes, origin: Some(origin), converted })
}

fn wrong(origin: Path, reason: String) -> Unmapped {
    Unmapped { field: joined(origin.within, origin.name), reason }
}

/// The value of a field that no source has.
pub fn default_value<'a>(path: Path, default: Fallback, now: DateTime) -> Value<'a> {
    let (kind, bytes) = match default {
        Fallback::Text(value) => (TEXT, text(value.as_bytes())),
        Fallback::Number(value) => (INT32, value.to_le_bytes().to_vec()),
        Fallback::Boolean(value) => (BOOLEAN, vec![u8::from(value)]),
        Fallback::EmptyArray => (ARRAY, EMPTY.to_vec()),
        Fallback::Null => (NULL, Vec::new()),
        Fallback::Now => (DATE, now.timestamp_millis().to_le_bytes().to_vec()),
    };
    Value { path, kind, bytes: Cow::Owned(bytes), origin: None, converted: false }
}

/// How many elements an array has.
pub fn count(array: &[u8]) -> i32 {
    i32::try_from(crate::raw::elements(array).count()).unwrap_or(i32::MAX)
}

/// Whether a value is of the type that a unified document has there; dates that may be missing are null.
pub fn fits(field: &Field, kind: u8) -> bool {
    match field.kind {
        Type::Text => kind == TEXT,
        // The old tool kept ObjectIds.
        Type::TextOrObjectId => matches!(kind, TEXT | OBJECT_ID),
        Type::Number => matches!(kind, DOUBLE | INT32 | INT64 | DECIMAL),
        Type::Boolean => kind == BOOLEAN,
        Type::Array => kind == ARRAY,
        Type::Date => kind == DATE || (kind == NULL && field.default == Fallback::Null),
    }
}

/// Whether it is a number, as `total_questions` is.
pub fn is_number(kind: u8) -> bool {
    matches!(kind, DOUBLE | INT32 | INT64 | DECIMAL)
}

/// Whether it is a date.
pub fn is_date(kind: u8) -> bool {
    kind == DATE
}

fn wanted(kind: Type) -> &'static str {
    match kind {
        Type::Text => "a string",
        Type::TextOrObjectId => "a string or an ObjectId",
        Type::Number => "a number",
        Type::Boolean => "a boolean",
        Type::Array => "an array",
        Type::Date => "a date",
    }
}

/// The name of a BSON type, with its article.
pub fn type_name(kind: u8) -> &'static str {
    match kind {
        DOUBLE => "a double",
        TEXT => "a string",
        DOCUMENT => "an object",
        ARRAY => "an array",
        0x05 => "binary data",
        0x06 => "undefined",
        OBJECT_ID => "an ObjectId",
        BOOLEAN => "a boolean",
        DATE => "a date",
        NULL => "null",
        0x0B => "a regular expression",
        0x0D | 0x0F => "code",
        0x0E => "a symbol",
        INT32 => "a 32-bit integer",
        0x11 => "a timestamp",
        INT64 => "a 64-bit integer",
        DECIMAL => "a decimal",
        _ => "a value of another type",
    }
}

/// What becomes of a regular assessment.
#[derive(Debug)]
pub struct InPlace {
    /// The update.
    pub operators: RawDocumentBuf,
    /// The document after it.
    pub after: RawDocumentBuf,
    /// The delta that takes it back; `None` where it is too large.
    pub back: Option<RawDocumentBuf>,
}

impl Unified<'_> {
    /// The update that makes a regular assessment unified, the document as the server then stores it, and how to take that
    /// back.
    ///
    /// # Errors
    /// [`Unmapped`] where it would be too large.
    pub fn in_place(&self) -> Result<InPlace, Unmapped> {
        let settings = self.settings();
        let mut set = Builder::new();
        let mut back = Known::default();
        let own = |name: &str| self.fields.iter().find(|field| field.name == name.as_bytes());
        for value in self.values.iter().filter(|value| value.path.within.is_empty()) {
            let (before, after) = (own(value.path.name), value.element());
            if before.is_none_or(|before| !before.same_value(&after)) {
                set.push(&after);
                back.changed(before, &after);
            }
        }
        let standing = own("settings");
        match standing.filter(|field| field.kind == DOCUMENT).and_then(|field| fields(field.value)) {
            None => {
                set.document("settings", settings.as_bytes());
                back.made(standing, &Element { kind: DOCUMENT, name: b"settings", value: settings.as_bytes() });
            }
            Some(standing) => {
                let mut inside = Known::default();
                for value in self.values.iter().filter(|value| value.path.within == "settings") {
                    let before = standing.iter().find(|field| field.name == value.path.name.as_bytes());
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
        Ok(InPlace { operators: operators.finish(), after, back: back.finish() })
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
                reason: "has an empty timestamp beside a name that stands twice, which no insert leaves as it is"
                    .to_owned(),
            });
        }
        fitting(copy)
    }

    /// The fields of the document in their places, with the model's values, and what is new behind them.
    fn document(&self, id: Option<&Element<'_>>, sorted: bool) -> RawDocumentBuf {
        let settings = if sorted { self.settings_sorted() } else { self.settings() };
        let settings = Element { kind: DOCUMENT, name: b"settings", value: settings.as_bytes() };
        let mut wanted: Vec<Element<'_>> =
            self.values.iter().filter(|value| value.path.within.is_empty()).map(Value::element).collect();
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
        let standing = own.and_then(|field| fields(field.value));
        let wanted = self.values.iter().filter(|value| value.path.within == "settings").map(Value::element).collect();
        let sorted = sorted && standing.is_some();
        put(&standing.unwrap_or_default(), wanted, sorted)
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
    if document.as_bytes().len() <= LARGEST {
        return Ok(document);
    }
    Err(Unmapped { field: "_id".to_owned(), reason: "would be larger than 16 MiB with the model's fields".to_owned() })
}
