//! JSON of others: read whole, with the reason where it is none. A name that occurs twice is an error, because nobody knows
//! which of the two was meant.

use std::fmt;

use serde::de::{self, Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

/// Reads the JSON that a file begins with, and whether something follows. The error continues a sentence that begins with
/// the file.
///
/// # Errors
/// What is wrong with it, and where.
pub fn parse(bytes: &[u8]) -> Result<(Value, bool), String> {
    let encoded = |what: &str| Err(format!("it is {what}, and must be UTF-8 without a byte order mark; convert it"));
    match bytes {
        [0xEF, 0xBB, 0xBF, ..] => return encoded("UTF-8 with a byte order mark"),
        [0xFF, 0xFE, 0, 0, ..] | [0, 0, 0xFE, 0xFF, ..] => return encoded("UTF-32"),
        [0xFF, 0xFE, ..] | [0xFE, 0xFF, ..] => return encoded("UTF-16"),
        _ => {}
    }
    let text = std::str::from_utf8(bytes).map_err(|e| format!("it is not UTF-8 (byte {})", e.valid_up_to()))?;
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let UniqueKeys(value) = UniqueKeys::deserialize(&mut deserializer).map_err(|e| {
        let place = format!("line {}, column {}", e.line(), e.column());
        match e.classify() {
            serde_json::error::Category::Eof => "it is cut off".to_owned(),
            serde_json::error::Category::Data => {
                let said = e.to_string();
                format!("{} ({place})", said.split(" at line ").next().unwrap_or_default())
            }
            _ => format!("it is no JSON ({place})"),
        }
    })?;
    let more = deserializer.end().is_err();
    Ok((value, more))
}

/// Binary data as version 1 of Extended JSON wrote it, in the form of version 2.
pub fn upgraded(value: Value) -> Value {
    match value {
        Value::Array(items) => Value::Array(items.into_iter().map(upgraded).collect()),
        Value::Object(members) => {
            if let (2, Some(Value::String(data)), Some(Value::String(kind))) =
                (members.len(), members.get("$binary"), members.get("$type"))
            {
                return serde_json::json!({"$binary": {"base64": data, "subType": kind}});
            }
            Value::Object(members.into_iter().map(|(name, value)| (name, upgraded(value))).collect())
        }
        other => other,
    }
}

struct UniqueKeys(Value);

impl<'de> Deserialize<'de> for UniqueKeys {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Reader).map(UniqueKeys)
    }
}

struct Reader;

impl<'de> Visitor<'de> for Reader {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Number::from_f64(value).map_or(Value::Null, Value::Number))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut read = Vec::new();
        while let Some(UniqueKeys(item)) = items.next_element()? {
            read.push(item);
        }
        Ok(Value::Array(read))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        let mut read = Map::new();
        while let Some(name) = members.next_key::<String>()? {
            if read.contains_key(&name) {
                return Err(de::Error::custom(format!("it holds {name:?} twice in one object")));
            }
            let UniqueKeys(value) = members.next_value()?;
            read.insert(name, value);
        }
        Ok(Value::Object(read))
    }
}
