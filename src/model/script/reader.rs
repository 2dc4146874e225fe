//! Reads scripts: JSON whose arrays may also be written as Python tuples.
//!
//! The published examples write index keys as `[("user_id", 1), ("created_at", -1)]`. Tuples are read as
//! arrays; nothing else of Python is accepted and nothing is ever executed. The reader first turns each
//! tuple's parentheses into brackets, byte for byte, so that every line and column an error names is the
//! file's own, and then hands the text to a strict JSON reader.
//!
//! A number without a fraction and without an exponent is an integer. One that does not fit into 64 bits is an
//! error: read as a double it would lose digits silently.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

use super::numbers;
use super::text::{SyntaxError, column_in_characters, error_at};
use super::tuples::tuples_as_arrays;

/// Reads one JSON value, tuples read as arrays. A key that occurs twice in one object is an error.
///
/// # Errors
/// [`SyntaxError`] with the position.
pub fn read(text: &str) -> Result<Value, SyntaxError> {
    // Editors on Windows put a byte order mark in front.
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let plain = tuples_as_arrays(text)?;
    let (plain, too_large) = numbers::integers(plain);
    let strict: Strict = serde_json::from_str(&plain).map_err(|e| SyntaxError {
        line: e.line(),
        column: column_in_characters(&plain, e.line(), e.column()).max(1),
        message: in_our_words(&e),
    })?;
    match too_large {
        Some(at) => Err(error_at(text, at, &numbers::does_not_fit(text, at))),
        None => Ok(strict.0),
    }
}

/// What is wrong, without the parser's own words.
fn in_our_words(error: &serde_json::Error) -> String {
    let full = error.to_string();
    let message = full.rsplit_once(" at line ").map_or(full.as_str(), |(message, _)| message);
    if error.is_data() {
        // From the visitor below.
        return message.to_owned();
    }
    if error.is_eof() {
        return "the text ends too early: a bracket, a quote or a value is missing".to_owned();
    }
    let ours = match message {
        "trailing comma" => "a comma has nothing after it",
        "trailing characters" => "there is something after the end of the value",
        "key must be a string" => "a field name in double quotes is missing here",
        "expected `:`" => "a colon is missing after the field name",
        "expected `,` or `]`" => "a comma or `]` is missing here",
        "expected `,` or `}`" => "a comma or `}` is missing here",
        "invalid number" => "this is not a number in JSON",
        "number out of range" => "the number is too large",
        "recursion limit exceeded" => "the values are nested too deeply",
        "invalid escape" => "after a backslash in a text come only \" \\ / b f n r t u",
        _ if message.starts_with("control character") => "a text contains a line break or another control character",
        _ if message.contains("surrogate") || message.contains("hex escape") || message.contains("unicode") => {
            "a \\u escape in a text does not name a character"
        }
        _ => "this is not a JSON value: texts and field names need double quotes",
    };
    ours.to_owned()
}

/// A JSON value none of whose objects has a key twice.
struct Strict(Value);

impl<'de> Deserialize<'de> for Strict {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(StrictVisitor)
    }
}

struct StrictVisitor;

impl<'de> Visitor<'de> for StrictVisitor {
    type Value = Strict;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Strict, E> {
        Ok(Strict(Value::Bool(value)))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Strict, E> {
        Ok(Strict(Value::Number(value.into())))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Strict, E> {
        // One that BSON has no integer for is refused once all is read.
        Ok(Strict(Value::Number(value.into())))
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Strict, E> {
        Number::from_f64(value)
            .map(|number| Strict(Value::Number(number)))
            .ok_or_else(|| E::custom("a number that is not finite"))
    }

    fn visit_str<E>(self, value: &str) -> Result<Strict, E> {
        Ok(Strict(Value::String(value.to_owned())))
    }

    fn visit_string<E>(self, value: String) -> Result<Strict, E> {
        Ok(Strict(Value::String(value)))
    }

    fn visit_unit<E>(self) -> Result<Strict, E> {
        Ok(Strict(Value::Null))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Strict, A::Error> {
        let mut array = Vec::new();
        while let Some(Strict(item)) = items.next_element()? {
            array.push(item);
        }
        Ok(Strict(Value::Array(array)))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Strict, A::Error> {
        let mut object = Map::new();
        while let Some(key) = entries.next_key::<String>()? {
            if object.contains_key(&key) {
                return Err(serde::de::Error::custom(format!("the key {key:?} occurs twice")));
            }
            let Strict(value) = entries.next_value()?;
            object.insert(key, value);
        }
        Ok(Strict(Value::Object(object)))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn tuples_read_as_arrays() {
        assert_eq!(
            read(r#"{"index": [("user_id", 1), ("created_at", -1)]}"#),
            Ok(json!({"index": [["user_id", 1], ["created_at", -1]]}))
        );
        assert_eq!(
            read(r#"[("a",), (), ("(", ")", "\")("), ((1, 2), [3])]"#),
            Ok(json!([["a"], [], ["(", ")", "\")("], [[1, 2], [3]]]))
        );
    }

    #[test]
    fn positions_are_the_files_own() {
        let cases = [
            ("{\n  \"a\": (1, 2],\n}", 2, 13),
            ("{\n \"é\": (1)}", 2, 7),
            ("[(1, 2", 1, 2),
            ("[1, 2)]", 1, 6),
            ("{\"a\": 1,\n \"a\": 2}", 2, 4),
            ("{\"é\": nope}", 1, 8),
            ("[(,)]", 1, 3),
        ];
        for (text, line, column) in cases {
            let error = read(text).expect_err(text);
            assert_eq!((error.line, error.column), (line, column), "{text}: {error}");
        }
    }

    #[test]
    fn nothing_else_of_python_is_accepted() {
        for text in [
            "print('hello')",
            "{'a': 1}",
            "[1, 2,]",
            "{\"a\": True}",
            "[None]",
            "[1] # why",
            "__import__('os')",
            "(x for x in y)",
            "[1e999]",
            "[18446744073709551615]",
            "[1, 18446744073709551616]",
            "[-9223372036854775809]",
            "[-]",
            "[-0-0]",
            "NaN",
            "",
        ] {
            assert!(read(text).is_err(), "{text}");
        }
    }

    #[test]
    fn integers_stay_integers_or_are_refused() {
        for (text, wanted) in [
            ("[-0, -0.0, 0]", "[0,-0.0,0]"),
            ("[9223372036854775807, -9223372036854775808]", "[9223372036854775807,-9223372036854775808]"),
            ("[1e3, \"18446744073709551616 -0\"]", "[1000.0,\"18446744073709551616 -0\"]"),
        ] {
            assert_eq!(read(text).expect(text).to_string(), wanted);
        }
        for (text, column) in [("[1, 18446744073709551616]", 5), ("{\"é\": -9223372036854775809}", 7)] {
            let error = read(text).expect_err(text);
            assert_eq!((error.line, error.column), (1, column));
            assert!(error.message.contains("$numberDecimal"), "{error}");
        }
        let error = read(&"9".repeat(40)).expect_err("too long");
        assert!(error.message.contains("40 digits"), "{error}");
    }

    #[test]
    fn the_parsers_own_words_are_never_shown() {
        for text in [
            "",
            "[1",
            "\"a",
            "[1,]",
            "[1] 2",
            "{1: 2}",
            "{\"a\" 1}",
            "[1 2]",
            "{\"a\": 1 \"b\": 2}",
            "[01]",
            "[1e999]",
            "nope",
            "[\"\\q\"]",
            "[\"a\nb\"]",
            "[\"\\ud800\"]",
            "[tru]",
            "[1.]",
            "[+1]",
            "{'a': 1}",
        ] {
            let message = read(text).expect_err(text).message;
            for word in ["EOF", "expected", "trailing", "parsing", "ident", "surrogate", "recursion"] {
                assert!(!message.contains(word), "{text:?}: {message}");
            }
        }
        let deep = read(&"[".repeat(1_000)).expect_err("deep").message;
        assert_eq!(deep, "the values are nested too deeply");
    }

    #[test]
    fn deep_nesting_is_an_error_and_no_overflow() {
        for bracket in ["[", "(", "{\"a\":"] {
            assert!(read(&bracket.repeat(100_000)).is_err());
        }
    }

    #[test]
    fn megabytes_are_read() {
        let text = format!("[{}]", vec!["(\"x\", 1)"; 500_000].join(","));
        assert_eq!(read(&text).map(|v| v.as_array().map(Vec::len)), Ok(Some(500_000)));
    }

    fn value() -> impl Strategy<Value = Value> {
        let text = r#"[a-z()\[\]{},":\\ $é\n]{0,8}"#;
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::Bool),
            any::<i64>().prop_map(|n| json!(n)),
            (-1e15..1e15f64).prop_map(|n| json!(n)),
            text.prop_map(Value::String),
        ];
        leaf.prop_recursive(5, 40, 5, move |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..5).prop_map(Value::Array),
                prop::collection::btree_map(text, inner, 0..5).prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    /// Writes arrays as tuples where `as_tuple` says so, in Python's spelling.
    fn written(value: &Value, as_tuple: &mut impl FnMut() -> bool) -> String {
        match value {
            Value::Array(items) => {
                let inner: Vec<String> = items.iter().map(|item| written(item, as_tuple)).collect();
                match (as_tuple(), inner.len()) {
                    (true, 1) => format!("({},)", inner[0]),
                    (true, _) => format!("({})", inner.join(", ")),
                    (false, _) => format!("[{}]", inner.join(", ")),
                }
            }
            Value::Object(map) => {
                let inner: Vec<String> =
                    map.iter().map(|(key, item)| format!("{}: {}", json!(key), written(item, as_tuple))).collect();
                format!("{{{}}}", inner.join(", "))
            }
            other => other.to_string(),
        }
    }

    proptest! {
        #[test]
        fn never_panics(text in r#"[\[\](){},:"'\\ 0-9a-z.é$\n-]{0,60}"#) {
            let _ = read(&text);
        }

        #[test]
        fn never_panics_on_anything(text in any::<String>()) {
            let _ = read(&text);
        }

        #[test]
        fn agrees_with_a_strict_reader_on_strict_input(value in value()) {
            let text = serde_json::to_string_pretty(&value).expect("writes");
            prop_assert_eq!(read(&text).expect("strict JSON"), serde_json::from_str::<Value>(&text).expect("reads"));
        }

        #[test]
        fn accepts_no_more_than_a_strict_reader_without_parentheses(text in r#"[\[\]{},:" 0-9a-c]{0,24}"#) {
            // A key that occurs twice is the one thing it refuses and a strict reader does not.
            match serde_json::from_str::<Value>(&text) {
                Err(_) => prop_assert!(read(&text).is_err()),
                Ok(value) => if let Ok(ours) = read(&text) { prop_assert_eq!(ours, value) },
            }
        }

        #[test]
        fn tuples_anywhere_mean_arrays(value in value(), choices in prop::collection::vec(any::<bool>(), 1..40)) {
            let mut at = 0;
            let text = written(&value, &mut || { at += 1; choices[at % choices.len()] });
            prop_assert_eq!(read(&text).expect("tuples"), value);
        }
    }
}
