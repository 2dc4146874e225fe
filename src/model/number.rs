//! Whole numbers, whichever of BSON's types they have.

use bson::raw::RawBsonRef;
use bson::{Bson, Document, RawDocument};

/// The whole number of a value; a fraction is cut off. `None` for what is no number, and for a decimal.
pub fn whole(value: &Bson) -> Option<i64> {
    match value {
        Bson::Int32(n) => Some(i64::from(*n)),
        Bson::Int64(n) => Some(*n),
        Bson::Double(n) => Some(cut(*n)),
        _ => None,
    }
}

/// The whole number of a field.
pub fn field(document: &Document, name: &str) -> Option<i64> {
    document.get(name).and_then(whole)
}

/// The whole number of a field of a document that is not decoded.
pub fn raw_field(document: &RawDocument, name: &str) -> Option<i64> {
    match document.get(name) {
        Ok(Some(RawBsonRef::Int32(n))) => Some(i64::from(n)),
        Ok(Some(RawBsonRef::Int64(n))) => Some(n),
        Ok(Some(RawBsonRef::Double(n))) => Some(cut(n)),
        _ => None,
    }
}

/// A number without its fraction; one beyond 64 bits becomes the nearest that there is.
#[allow(clippy::cast_possible_truncation)] // that is what it is for
pub fn cut(n: f64) -> i64 {
    n as i64
}
