//! The keys that an index would have of a document, in a form in which equal keys are equal bytes.
//!
//! Numbers compare by value whatever their type, texts by their bytes (so not under a collation), a field that is
//! absent as null; an array gives a key for each element. Source: MongoDB manual, "Comparison/Sort Order" and
//! "Multikey Indexes".

use bson::Document;

use crate::model::number::cut;
use crate::mongo::raw::{self, ARRAY, DECIMAL, DOCUMENT, DOUBLE, Element, INT32, INT64, NULL, SYMBOL, TEXT, UNDEFINED};

/// What an index tells apart beyond the types: a whole number.
const WHOLE: u8 = 0x80;

/// A value on its way into a key: its type byte and its bytes.
type KeyValue<'a> = (u8, &'a [u8]);

/// The fields of an index.
#[derive(Debug, Clone)]
pub struct Keys {
    paths: Vec<Vec<String>>,
    /// Whether documents that have none of the fields are not in the index.
    sparse: bool,
}

/// Two arrays in one document that no index can hold both (171).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ParallelArrays;

impl Keys {
    /// Of an index on `keys`; `None` where its keys are not the values of its fields, or cannot be told.
    pub fn of(keys: &Document, sparse: bool) -> Option<Self> {
        let plain = keys.values().all(|direction| direction.as_str().is_none());
        let paths: Vec<Vec<String>> = keys.keys().map(|path| path.split('.').map(str::to_owned).collect()).collect();
        // A number may name a field, or a place in an array.
        let named = paths
            .iter()
            .flatten()
            .all(|part| !part.is_empty() && !part.starts_with('$') && !part.bytes().all(|byte| byte.is_ascii_digit()));
        (plain && named).then_some(Self { paths, sparse })
    }

    /// The fields that say all of it, for a projection.
    pub fn fields(&self) -> Vec<&str> {
        let mut fields: Vec<&str> = self.paths.iter().map(|path| path[0].as_str()).collect();
        fields.sort_unstable();
        fields.dedup();
        fields
    }

    /// Shows the keys of a document one after the other; one may come several times. None is kept: an array may have
    /// a million elements.
    ///
    /// # Errors
    /// [`ParallelArrays`].
    pub fn of_document(&self, document: &[u8], mut see: impl FnMut(&[u8])) -> Result<(), ParallelArrays> {
        let rest: Vec<&[String]> = self.paths.iter().map(Vec::as_slice).collect();
        let absent = vec![None; self.paths.len()];
        self.expand(document, &rest, &absent, &mut see)
    }

    /// Shows the keys of `document`, of whose fields `fixed` are known already and `rest` is still to be followed.
    fn expand<'a>(
        &'a self,
        document: &'a [u8],
        rest: &[&'a [String]],
        fixed: &[Option<KeyValue<'a>>],
        see: &mut dyn FnMut(&[u8]),
    ) -> Result<(), ParallelArrays> {
        let mut values = fixed.to_vec();
        let mut array: Option<&[u8]> = None;
        // What is left of a path behind the array that it leads to.
        let mut behind: Vec<Option<&[String]>> = vec![None; rest.len()];
        for (at, path) in rest.iter().enumerate() {
            if fixed[at].is_some() {
                continue;
            }
            match follow(document, path) {
                Reached::Value(value) => values[at] = value,
                Reached::Array(elements, left) => {
                    if array.is_some_and(|other| other.as_ptr() != elements.as_ptr()) {
                        return Err(ParallelArrays);
                    }
                    array = Some(elements);
                    behind[at] = Some(left);
                }
            }
        }
        let Some(elements) = array else {
            if !(self.sparse && values.iter().all(Option::is_none)) {
                see(&encode(&values));
            }
            return Ok(());
        };
        let none: Option<KeyValue<'a>> = raw::elements(elements).next().is_none().then_some((UNDEFINED, &[]));
        let each = raw::elements(elements).map(|element| (element.kind, element.value));
        for element in each.chain(none) {
            let mut fixed = values.clone();
            let mut further: Vec<&[String]> = rest.to_vec();
            let mut leads_on = false;
            for (at, left) in behind.iter().enumerate() {
                match left {
                    Some([]) => fixed[at] = Some(element),
                    Some(left) => {
                        leads_on = true;
                        further[at] = left;
                    }
                    // Known, or absent: nothing further is followed.
                    None if fixed[at].is_none() => fixed[at] = Some((NULL, &[])),
                    None => {}
                }
            }
            if leads_on {
                let inner: &[u8] = if element.0 == DOCUMENT { element.1 } else { &[5, 0, 0, 0, 0] };
                self.expand(inner, &further, &fixed, see)?;
            } else {
                see(&encode(&fixed));
            }
        }
        Ok(())
    }
}

enum Reached<'a> {
    Value(Option<KeyValue<'a>>),
    /// An array, and the path behind it.
    Array(&'a [u8], &'a [String]),
}

fn follow<'a>(document: &'a [u8], path: &'a [String]) -> Reached<'a> {
    let mut document = document;
    for (at, part) in path.iter().enumerate() {
        let Some(element) = raw::get(document, part) else { return Reached::Value(None) };
        let left = &path[at + 1..];
        match element.kind {
            ARRAY => return Reached::Array(element.value, left),
            DOCUMENT if !left.is_empty() => document = element.value,
            kind if left.is_empty() => return Reached::Value(Some((kind, element.value))),
            _ => return Reached::Value(None),
        }
    }
    Reached::Value(None)
}

fn encode(values: &[Option<KeyValue<'_>>]) -> Vec<u8> {
    let mut key = Vec::with_capacity(32);
    for value in values {
        let (kind, bytes) = value.unwrap_or((NULL, &[]));
        canonical(kind, bytes, &mut key);
    }
    key
}

/// Whether two elements would be one key.
pub fn canonical_element(element: &Element<'_>) -> Vec<u8> {
    let mut key = Vec::new();
    canonical(element.kind, element.value, &mut key);
    key
}

/// Appends a value so that values which compare equal are the same bytes, and no other ones are.
fn canonical(kind: u8, bytes: &[u8], key: &mut Vec<u8>) {
    match kind {
        INT32 => whole(i64::from(i32::from_le_bytes(bytes.try_into().unwrap_or_default())), key),
        INT64 => whole(i64::from_le_bytes(bytes.try_into().unwrap_or_default()), key),
        DOUBLE => double(f64::from_le_bytes(bytes.try_into().unwrap_or_default()), key),
        DECIMAL => decimal(bytes, key),
        TEXT | SYMBOL => {
            key.push(TEXT);
            key.extend_from_slice(bytes);
        }
        DOCUMENT | ARRAY => {
            key.push(kind);
            for element in raw::elements(bytes) {
                key.push(1);
                if kind == DOCUMENT {
                    key.extend_from_slice(element.name);
                    key.push(0);
                }
                canonical(element.kind, element.value, key);
            }
            key.push(0);
        }
        _ => {
            key.push(kind);
            let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
            key.extend_from_slice(&length.to_le_bytes());
            key.extend_from_slice(bytes);
        }
    }
}

fn whole(number: i64, key: &mut Vec<u8>) {
    key.push(WHOLE);
    key.extend_from_slice(&number.to_le_bytes());
}

fn double(number: f64, key: &mut Vec<u8>) {
    // Of the doubles beyond it, none is a 64-bit integer.
    const BEYOND: f64 = 9_223_372_036_854_775_808.0;
    if number.fract() == 0.0 && (-BEYOND..BEYOND).contains(&number) {
        return whole(cut(number), key);
    }
    key.push(DOUBLE);
    let one_of_its_kind = if number.is_nan() { f64::NAN } else { number };
    key.extend_from_slice(&one_of_its_kind.to_le_bytes());
}

fn decimal(bytes: &[u8], key: &mut Vec<u8>) {
    let text = bytes.try_into().map(|bytes| bson::Decimal128::from_bytes(bytes).to_string()).unwrap_or_default();
    let (digits, exponent, negative) = match plain(&text) {
        Some(parts) => parts,
        // Infinite, or not a number.
        None => return double(text.parse().unwrap_or(f64::NAN), key),
    };
    if digits.is_empty() {
        return whole(0, key);
    }
    let sign = if negative { "-" } else { "" };
    if (0..=19).contains(&exponent) {
        let written = format!("{sign}{digits}{}", "0".repeat(usize::try_from(exponent).unwrap_or_default()));
        if let Ok(number) = written.parse::<i64>() {
            return whole(number, key);
        }
    }
    let nearest: f64 = format!("{sign}{digits}e{exponent}").parse().unwrap_or(f64::NAN);
    // A double has at most 1074 digits behind the point.
    if plain(&format!("{nearest:.1074}")) == Some((digits.clone(), exponent, negative)) {
        return double(nearest, key);
    }
    key.push(DECIMAL);
    key.extend_from_slice(format!("{sign}{digits}e{exponent}").as_bytes());
    key.push(0);
}

/// The digits of a number without zeros at either end, the power of ten that they count, and whether it is negative.
fn plain(text: &str) -> Option<(String, i64, bool)> {
    let (negative, text) = text.strip_prefix('-').map_or((false, text), |rest| (true, rest));
    let (mantissa, exponent) = text.split_once(['E', 'e']).unwrap_or((text, "0"));
    let mut exponent: i64 = exponent.parse().ok()?;
    let (before, behind) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let mut digits = format!("{before}{behind}");
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    exponent -= i64::try_from(behind.len()).unwrap_or_default();
    while digits.ends_with('0') {
        digits.pop();
        exponent += 1;
    }
    let digits = digits.trim_start_matches('0').to_owned();
    Some((digits, exponent, negative))
}

#[cfg(test)]
mod tests {
    use bson::{Bson, RawDocumentBuf, doc};

    use super::*;

    fn keys(index: Document, sparse: bool, document: Document) -> Result<usize, ParallelArrays> {
        let document = RawDocumentBuf::try_from(&document).expect("encodes");
        let mut found = std::collections::BTreeSet::new();
        let keys = Keys::of(&index, sparse).expect("plain");
        keys.of_document(document.as_bytes(), |key| found.extend([key.to_vec()])).map(|()| found.len())
    }

    fn one(value: impl Into<Bson>) -> Vec<u8> {
        let document = RawDocumentBuf::try_from(&doc! {"a": value.into()}).expect("encodes");
        canonical_element(&raw::first(document.as_bytes()).expect("a value"))
    }

    #[test]
    fn equal_values_are_equal_bytes() {
        let decimal = |text: &str| Bson::Decimal128(text.parse().expect("a number"));
        assert_eq!(one(1), one(1_i64));
        assert_eq!(one(1), one(1.0));
        assert_eq!(one(0), one(-0.0));
        assert_eq!(one(100), one(decimal("1E2")));
        assert_eq!(one(0.5), one(decimal("0.50")));
        assert_eq!(one(0), one(decimal("0.00")));
        assert_eq!(one(f64::NAN), one(decimal("NaN")));
        assert_eq!(one(doc! {"x": 1}), one(doc! {"x": 1.0}));
        assert_ne!(one(0.1), one(decimal("0.1")));
        assert_ne!(one(1), one("1"));
        assert_ne!(one(doc! {"x": 1, "y": 2}), one(doc! {"y": 2, "x": 1}));
        assert_ne!(one(vec![1, 2]), one(vec![12]));
        assert_ne!(one(i64::MAX), one(9_223_372_036_854_775_808.0));
    }

    #[test]
    fn an_array_gives_a_key_for_each_element() {
        assert_eq!(keys(doc! {"a": 1}, false, doc! {"a": [1, 2, 2.0]}), Ok(2));
        assert_eq!(keys(doc! {"a": 1}, false, doc! {"a": []}), Ok(1));
        assert_eq!(keys(doc! {"a.b": 1}, false, doc! {"a": [{"b": 1}, {"b": 2}, 5]}), Ok(3));
        assert_eq!(keys(doc! {"a.b": 1, "a.c": 1}, false, doc! {"a": [{"b": 1, "c": 1}, {"b": 1, "c": 2}]}), Ok(2));
        assert_eq!(keys(doc! {"a": 1, "b": 1}, false, doc! {"a": [1, 2], "b": 1}), Ok(2));
        assert_eq!(keys(doc! {"a": 1, "b": 1}, false, doc! {"a": [1, 2], "b": [1]}), Err(ParallelArrays));
        assert_eq!(keys(doc! {"a": 1}, false, doc! {}), Ok(1));
        assert_eq!(keys(doc! {"a": 1, "b": 1}, true, doc! {}), Ok(0));
        assert_eq!(keys(doc! {"a": 1, "b": 1}, true, doc! {"b": 1}), Ok(1));
    }
}
