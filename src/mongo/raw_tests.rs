use bson::spec::BinarySubtype;
use bson::{Binary, Bson, DateTime, Regex, Timestamp, doc, oid::ObjectId};

use super::*;

fn raw(document: &bson::Document) -> RawDocumentBuf {
    RawDocumentBuf::try_from(document).expect("encodes")
}

#[test]
fn every_type_is_walked_and_built_again_byte_for_byte() {
    let document = doc! {
        "_id": ObjectId::new(), "double": 1.5, "text": "é", "document": {"a": {"b": 1}}, "array": [1, "two", {"c": 3}],
        "binary": Binary { subtype: BinarySubtype::BinaryOld, bytes: vec![1, 2, 3] }, "undefined": Bson::Undefined, "flag": true,
        "date": DateTime::from_millis(5), "null": Bson::Null, "regex": Regex { pattern: "a.b".try_into().expect("no NUL"), options: "i".try_into().expect("no NUL") },
        "code": Bson::JavaScriptCode("x".into()), "symbol": Bson::Symbol("s".into()),
        "scope": Bson::JavaScriptCodeWithScope(bson::JavaScriptCodeWithScope { code: "y".into(), scope: doc! {"z": 1} }),
        "int": 7_i32, "timestamp": Timestamp { time: 1, increment: 2 }, "long": 8_i64,
        "decimal": Bson::Decimal128("1.10".parse().expect("a decimal")), "min": Bson::MinKey, "max": Bson::MaxKey, "": 1,
    };
    let raw = RawDocumentBuf::try_from(&document).expect("encodes");
    let found = fields(raw.as_bytes()).expect("walks");
    assert_eq!(found.len(), document.len());
    let mut builder = Builder::default();
    found.iter().for_each(|element| builder.push(element));
    assert_eq!(builder.finish().as_bytes(), raw.as_bytes());
    assert!(!has_duplicates(raw.as_bytes()));
    for cut in 0..raw.as_bytes().len() {
        assert!(fields(&raw.as_bytes()[..cut]).is_none(), "cut at {cut}");
    }
}

#[test]
fn names_that_stand_twice_are_found_at_any_depth() {
    let mut inner = Builder::default();
    inner.value(0x0A, b"x", b"");
    inner.value(0x0A, b"x", b"");
    let mut outer = Builder::default();
    outer.document("inner", inner.finish().as_bytes());
    let outer = outer.finish();
    assert!(has_duplicates(outer.as_bytes()));
    assert!(!repeats(&fields(outer.as_bytes()).expect("walks")));
}

#[test]
fn only_empty_timestamps_at_the_top_count() {
    let empty = Timestamp { time: 0, increment: 0 };
    assert!(has_zero_timestamp(raw(&doc! {"_id": 1, "t": empty}).as_bytes()));
    assert!(!has_zero_timestamp(raw(&doc! {"_id": empty, "t": {"t": empty}}).as_bytes()));
    assert!(!has_zero_timestamp(raw(&doc! {"t": Timestamp { time: 0, increment: 1 }}).as_bytes()));
}

#[test]
fn arrays_hold_what_was_pushed() {
    let (one, two) = (raw(&doc! {"a": 1}), raw(&doc! {"b": 2}));
    let mut builder = Builder::new();
    builder.array("all", [one.as_bytes(), two.as_bytes()]);
    let made = builder.finish();
    assert_eq!(made, raw(&doc! {"all": [{"a": 1}, {"b": 2}]}));
    let array = get(made.as_bytes(), "all").expect("there");
    assert_eq!(documents(array.value).collect::<Vec<_>>(), [one.as_bytes(), two.as_bytes()]);
}

proptest::proptest! {
    #[test]
    fn no_bytes_break_the_walk(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..200)) {
        let _ = elements(&bytes).count();
    }
}
