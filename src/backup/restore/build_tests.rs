use bson::rawdoc;

use super::*;

fn entry(options: RawDocumentBuf, indexes: Vec<RawDocumentBuf>) -> CatalogEntry {
    CatalogEntry {
        name: "c".to_owned(),
        kind: CollectionType::Collection,
        options,
        id_index: Some(rawdoc! {"v": 2, "key": {"_id": 1}, "name": "_id_"}),
        indexes,
        unfinished: Vec::new(),
        uuid: None,
    }
}

#[test]
fn expiry_is_held_back_and_set_again() {
    let index = rawdoc! {"v": 2, "key": {"at": 1}, "name": "ttl", "expireAfterSeconds": 5};
    let odd = rawdoc! {"v": 2, "key": {"b": 1}, "name": "odd", "expireAfterSeconds": f64::NAN};
    let entry = entry(
        rawdoc! {"expireAfterSeconds": 60_i64, "clusteredIndex": {"key": {"_id": 1}, "unique": true}},
        vec![index, odd],
    );
    let made = create(&entry, "t");
    assert!(made.get("expireAfterSeconds").expect("reads").is_none() && made.get("idIndex").expect("reads").is_none());
    let built = create_indexes(&entry, "t", HELD_BACK);
    let specs = built.get_array("indexes").expect("there");
    assert!(specs.into_iter().all(|it| it.is_ok_and(|it| {
        it.as_document().is_some_and(|it| it.get_i64("expireAfterSeconds").is_ok_and(|it| it == HELD_BACK))
    })));
    let part = SourceCollection {
        entry,
        data: None,
        expected: None,
        consistency: super::super::super::format::manifest::Consistency::None,
    };
    let steps = expiries(&part);
    assert_eq!(steps.len(), 2);
    assert_eq!(steps[1], SwapStep::Expire { target: "c".into(), index: Some("ttl".into()), seconds: Bson::Int32(5) });
}

#[test]
fn an_index_of_simple_collation_says_so() {
    let plain = rawdoc! {"v": 2, "key": {"a": 1}, "name": "a"};
    let collated = entry(rawdoc! {"collation": {"locale": "en", "strength": 2}}, vec![plain.clone()]);
    let spec = index_spec(&plain, true, HELD_BACK);
    assert_eq!(spec.get_document("collation").expect("there"), &*rawdoc! {"locale": "simple"});
    assert_eq!(index_spec(&plain, false, HELD_BACK), plain);
    assert!(create(&collated, "t").get_document("collation").is_ok());
}
