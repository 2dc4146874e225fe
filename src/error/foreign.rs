//! What libraries say of an error, in words for people. Their own words name what they are made of ("BSON error. Kind:
//! …", "SCRAM failure: …"), which helps nobody.

use bson::error::ErrorKind as BsonKind;
use mongodb::error::ErrorKind;

use crate::sentence::unended;

/// Why bytes cannot be read as BSON, or a value not be written as BSON, as a part of a sentence.
pub fn bson(error: &bson::error::Error) -> String {
    let what = match &error.kind {
        BsonKind::EndOfStream { .. } | BsonKind::MalformedBytes { .. } => "its bytes are not valid BSON",
        BsonKind::Utf8Encoding { .. } => "it holds text that is not UTF-8",
        BsonKind::Deserialization { .. } => "it holds something else than is expected there",
        BsonKind::TooLargeUnsignedInteger { .. } => "it holds a number beyond 64 bits",
        _ => "it holds a value that BSON cannot hold",
    };
    let place = match (&error.key, error.index) {
        (Some(key), _) => format!(" (at the field {key:?})"),
        (None, Some(index)) => format!(" (at element {index})"),
        (None, None) => String::new(),
    };
    // The others' messages say the same again in the library's words.
    match &error.message {
        Some(message) if matches!(error.kind, BsonKind::Serialization { .. }) => {
            format!("{what}{place}: {}", unended(message))
        }
        _ => format!("{what}{place}"),
    }
}

/// Why a file of JSON cannot be read, as a part of a sentence.
pub fn json(error: &serde_json::Error) -> String {
    let what = match error.classify() {
        serde_json::error::Category::Eof => "it is cut off",
        serde_json::error::Category::Data => "it lacks a field, or a field holds something else than is expected",
        _ => "it is not JSON",
    };
    match error.line() {
        0 => what.to_owned(),
        line => format!("{what} (line {line}, column {})", error.column()),
    }
}

/// What the driver says where the error is none of the server's replies, without a full stop.
pub fn driver(kind: &ErrorKind) -> String {
    match kind {
        ErrorKind::Authentication { message, .. } => {
            unended(message.split_once(" failure: ").map_or(message, |(_, reason)| reason)).to_owned()
        }
        ErrorKind::Bson(error) => bson(error),
        ErrorKind::Shutdown => "the connection was closed".to_owned(),
        other => unended(&other.to_string()).to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use bson::RawDocumentBuf;
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Deserialize)]
    struct Counted {
        #[serde(rename = "n")]
        _n: i64,
    }

    #[test]
    fn no_words_of_the_libraries_are_passed_on() {
        let text = RawDocumentBuf::try_from(&bson::doc! {"n": "x"}).expect("encodes");
        let mut said = Vec::new();
        for bytes in [text.as_bytes(), &text.as_bytes()[..6], b"", &[5, 0, 0, 0, 1]] {
            said.push(bson(&bson::deserialize_from_slice::<Counted>(bytes).expect_err("is none")));
        }
        for json_text in ["", "{", "x", "[]", "{\"n\": \"x\"}"] {
            said.push(json(&serde_json::from_str::<Counted>(json_text).expect_err("is none")));
        }
        for each in said {
            assert!(each.starts_with("it"), "{each}");
            for word in ["Kind", "BSON error", "expected value", "EOF", "missing field", "occurred", "invalid type"] {
                assert!(!each.contains(word), "{each}");
            }
        }
        let error = serde_json::from_str::<Counted>("{\n  x").expect_err("is none");
        assert_eq!(json(&error), "it is not JSON (line 2, column 3)");
    }
}
