//! Values as the model has them: their types, and their texts.

use bson::Bson;

use super::model::{Fallback, Field, FieldType};
use crate::hex::hex;
use crate::mongo::raw::{
    ARRAY, BOOLEAN, Builder, DATE, DECIMAL, DOCUMENT, DOUBLE, Element, INT32, INT64, NULL, OBJECT_ID, TEXT,
};

/// An empty array or document.
pub const EMPTY: [u8; 5] = [5, 0, 0, 0, 0];

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
        OBJECT_ID => hex(id.value).into_bytes(),
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

/// How many elements an array has.
pub fn count(array: &[u8]) -> i32 {
    i32::try_from(crate::mongo::raw::elements(array).count()).unwrap_or(i32::MAX)
}

/// Whether a value is of the type that a unified document has there; dates that may be missing are null.
pub fn fits(field: &Field, kind: u8) -> bool {
    match field.kind {
        FieldType::Text => kind == TEXT,
        // The old tool kept ObjectIds.
        FieldType::TextOrObjectId => matches!(kind, TEXT | OBJECT_ID),
        FieldType::Number => matches!(kind, DOUBLE | INT32 | INT64 | DECIMAL),
        FieldType::Boolean => kind == BOOLEAN,
        FieldType::Array => kind == ARRAY,
        FieldType::Date => kind == DATE || (kind == NULL && field.default == Fallback::Null),
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

/// A type of the model, with its article.
pub fn wanted(kind: FieldType) -> &'static str {
    match kind {
        FieldType::Text => "a string",
        FieldType::TextOrObjectId => "a string or an ObjectId",
        FieldType::Number => "a number",
        FieldType::Boolean => "a boolean",
        FieldType::Array => "an array",
        FieldType::Date => "a date",
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

/// An `_id` as Extended JSON.
pub fn shown_id(id: &crate::mongo::id::Id) -> serde_json::Value {
    crate::mongo::raw::first(id.as_bytes()).map_or(serde_json::Value::Null, |id| shown(&id))
}
