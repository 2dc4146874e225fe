//! Extended JSON v2: values of a file as BSON, and what is wrong with those that are none.

use bson::Bson;
use serde_json::Value;

/// A value that is no Extended JSON.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// Where it is within the value that was read, as in `/filter/created/$date`; empty for the value itself.
    pub path: String,
    /// What is wrong with it.
    pub message: String,
}

/// The value as BSON.
///
/// # Errors
/// Every value that is no Extended JSON, in the order of the text.
pub fn decode(value: Value) -> Result<Bson, Vec<Fault>> {
    let mut found = Vec::new();
    let decoded = convert(value, &mut String::new(), &mut found);
    if found.is_empty() { Ok(decoded) } else { Err(found) }
}

/// The value as BSON.
///
/// # Errors
/// A sentence that names the first value that is no Extended JSON, and what is expected there.
pub fn decode_first(value: Value) -> Result<Bson, String> {
    decode(value).map_err(|faults| faults.first().map(Fault::sentence).unwrap_or_default())
}

impl Fault {
    /// Where and what, as part of a sentence.
    pub fn sentence(&self) -> String {
        match self.path.is_empty() {
            true => self.message.clone(),
            false => format!("{}: {}", dotted(&self.path), self.message),
        }
    }
}

fn convert(value: Value, path: &mut String, found: &mut Vec<Fault>) -> Bson {
    let mut inner = |name: &str, value: Value| {
        let length = path.len();
        path.push('/');
        path.push_str(name);
        let decoded = convert(value, path, found);
        path.truncate(length);
        decoded
    };
    match value {
        Value::Array(items) => {
            Bson::Array(items.into_iter().enumerate().map(|(at, value)| inner(&at.to_string(), value)).collect())
        }
        Value::Object(fields) if !KEYS.iter().any(|(key, _)| fields.contains_key(*key)) => Bson::Document(
            fields
                .into_iter()
                .map(|(name, value)| {
                    let decoded = inner(&name, value);
                    (name, decoded)
                })
                .collect(),
        ),
        // One value as a whole: small, and copied for the message.
        whole => Bson::try_from(whole.clone()).unwrap_or_else(|_| {
            found.push(Fault { path: path.clone(), message: wrong_with(&whole) });
            Bson::Null
        }),
    }
}

fn dotted(path: &str) -> String {
    path.trim_start_matches('/').replace('/', ".")
}

fn wrong_with(value: &Value) -> String {
    let key = value.as_object().and_then(|fields| KEYS.iter().find(|(key, _)| fields.contains_key(*key)));
    let shown = value.to_string();
    let shown = match shown.char_indices().nth(100) {
        Some((cut, _)) => format!("{}…", &shown[..cut]),
        None => shown,
    };
    match key {
        Some((key, expected)) => format!("{shown} is not valid Extended JSON: {key:?} takes {expected}"),
        None => format!("{shown} is not valid Extended JSON"),
    }
}

/// The keys that make a value of an object, and what each takes.
/// Source: MongoDB specifications, "MongoDB Extended JSON (v2)".
const KEYS: [(&str, &str); 16] = [
    ("$oid", "24 hexadecimal digits as a text"),
    ("$date", "a date such as \"2024-12-17T14:30:22Z\", or {\"$numberLong\": \"milliseconds since 1970\"}"),
    ("$numberInt", "a whole number of 32 bits as a text"),
    ("$numberLong", "a whole number of 64 bits as a text"),
    ("$numberDouble", "a number as a text, or \"Infinity\", \"-Infinity\", \"NaN\""),
    ("$numberDecimal", "a number of at most 34 digits as a text"),
    ("$binary", "{\"base64\": \"…\", \"subType\": \"00\"}"),
    ("$uuid", "a UUID as a text"),
    ("$timestamp", "{\"t\": seconds, \"i\": number}, each a whole number of 32 bits without sign"),
    ("$regularExpression", "{\"pattern\": \"…\", \"options\": \"…\"}"),
    ("$code", "a text, and beside it at most a \"$scope\""),
    ("$symbol", "a text"),
    ("$dbPointer", "{\"$ref\": \"…\", \"$id\": {\"$oid\": \"…\"}}"),
    ("$minKey", "1"),
    ("$maxKey", "1"),
    ("$undefined", "true"),
];

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_value_that_is_wrong_is_named_with_what_is_expected() {
        let value = json!({
            "a": {"$oid": "zz"}, "b": [{"$date": "yesterday"}, {"$date": "2024-12-17T14:30:22Z"}],
            "c": {"d": {"$numberLong": "18446744073709551616"}}, "e": {"$set": {"f": {"$numberInt": 5}}},
        });
        let wrong = decode(value.clone()).expect_err("wrong");
        let found: Vec<&str> = wrong.iter().map(|fault| fault.path.as_str()).collect();
        assert_eq!(found, ["/a", "/b/0", "/c/d", "/e/$set/f"]);
        let message = decode_first(value).expect_err("wrong");
        assert!(message.starts_with("a: {\"$oid\":\"zz\"}"), "{message}");
        assert!(message.ends_with("24 hexadecimal digits as a text"), "{message}");
        for (key, _) in KEYS {
            let message = decode_first(json!({key: [[]]})).expect_err(key);
            assert!(message.contains(&format!("{key:?} takes")), "{message}");
        }
    }

    #[test]
    fn the_rest_is_as_the_driver_reads_it() {
        let value = json!({
            "a": [1, 5_000_000_000_i64, 1.5, null, true, "x"], "$set": {"b": {"$in": [{"$oid": "507f1f77bcf86cd799439011"}]}},
            "c": {"$regex": "^a", "$options": "i"}, "d": {"$numberDecimal": "1.50"}, "e": {"$type": "string"},
        });
        assert_eq!(decode(value.clone()), Ok(Bson::try_from(value).expect("right")));
    }
}
