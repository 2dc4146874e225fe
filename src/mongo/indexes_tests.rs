use bson::doc;

use super::*;

#[test]
fn what_stands_is_told_as_the_server_tells_it() {
    let by_a = doc! {"v": 2, "key": {"a": 1}, "name": "a_1"};
    let text =
        doc! {"v": 2, "key": {"_fts": "text", "_ftsx": 1}, "name": "t", "weights": {"a": 1}, "textIndexVersion": 3};
    let building = doc! {"spec": {"v": 2, "key": {"b": 1}, "name": "b_1"}, "buildUUID": 1};
    let listed = [by_a.clone(), text, building];
    let place = |name: &str, keys: Document, options: Document| place(&listed, name, &keys, &options, None);
    assert_eq!(place("a_1", doc! {"a": 1.0}, doc! {}), IndexPlace::Taken);
    assert_eq!(
        place("a_1", doc! {"a": 1}, doc! {"unique": false, "collation": {"locale": "simple"}}),
        IndexPlace::Taken
    );
    assert_eq!(
        place("t", doc! {"a": "text"}, doc! {"default_language": "none"}),
        IndexPlace::InTheWay {
            existing: listed[1].clone(),
            why: "default_language: asked for \"none\", found nothing".to_owned(),
            code: 85,
        }
    );
    assert_eq!(place("b_1", doc! {"b": 1}, doc! {}), IndexPlace::Building);
    assert_eq!(place("c_1", doc! {"c": 1}, doc! {}), IndexPlace::Free);
    assert_eq!(place("other", doc! {"a": 1}, doc! {"sparse": true}), IndexPlace::Free);
    let code = |place| match place {
        IndexPlace::InTheWay { code, .. } => code,
        other => panic!("{other:?}"),
    };
    assert_eq!(code(place("a_1", doc! {"a": -1}, doc! {})), 86);
    assert_eq!(code(place("a_1", doc! {"a": 1}, doc! {"sparse": true})), 86);
    assert_eq!(code(place("a_1", doc! {"a": 1}, doc! {"hidden": true})), 85);
    assert_eq!(code(place("other", doc! {"a": 1}, doc! {})), 85);
    assert_eq!(code(place("other", doc! {"b": "text"}, doc! {})), 85);
}

#[test]
fn a_text_index_is_found_and_compared_by_its_fields() {
    let listed = |before: Document, weights: Document, after: Document, more: Document| {
        let mut key = before;
        key.extend(doc! {"_fts": "text", "_ftsx": 1});
        key.extend(after);
        let mut spec = doc! {"v": 2, "key": key, "name": "t", "weights": weights, "textIndexVersion": 3};
        spec.extend(doc! {"default_language": "english", "language_override": "language"});
        spec.extend(more);
        spec
    };
    let found = |keys: Document, spec: &Document| means(&IndexRef::Keys(keys), spec);
    let plain = listed(doc! {}, doc! {"a": 1, "b": 1}, doc! {}, doc! {});
    assert!(found(doc! {"a": "text", "b": "text"}, &plain));
    assert!(found(doc! {"b": "text", "a": "text"}, &plain));
    assert!(found(doc! {"b": "text", "a": "text"}, &doc! {"spec": plain.clone(), "buildUUID": 1}));
    assert!(!found(doc! {"a": "text"}, &plain));
    assert!(!found(doc! {"a": "text", "b": "text", "c": "text"}, &plain));
    assert!(!found(doc! {"a": 1, "b": 1}, &plain));
    assert!(!found(doc! {"x": 1, "a": "text", "b": "text"}, &plain));
    let compound = listed(doc! {"x": 1}, doc! {"a": 1}, doc! {"y": -1}, doc! {});
    assert!(found(doc! {"x": 1.0, "a": "text", "y": -1}, &compound));
    assert!(!found(doc! {"x": 1, "a": "text"}, &compound));
    assert!(!found(doc! {"a": "text", "x": 1, "y": -1}, &compound));
    let all = listed(doc! {}, doc! {"$**": 1, "title": 10}, doc! {}, doc! {});
    assert!(found(doc! {"$**": "text"}, &all));
    let weighed = listed(doc! {}, doc! {"a": 1, "c": 5}, doc! {}, doc! {});
    assert!(found(doc! {"a": "text"}, &weighed));
    assert!(found(doc! {"a": "text", "c": "text"}, &weighed));
    assert!(!found(doc! {"a": 1}, &doc! {"key": {"b": 1}, "name": "b_1"}));

    let differs = |keys: Document, options: Document, spec: &Document| difference(&keys, &options, spec, None);
    let a_and_b = || doc! {"a": "text", "b": "text"};
    assert_eq!(differs(a_and_b(), doc! {}, &plain), None);
    assert_eq!(differs(a_and_b(), doc! {"weights": {"a": 1}, "default_language": "english"}, &plain), None);
    assert_eq!(differs(doc! {"a": "text"}, doc! {"weights": {"c": 5.0}}, &weighed), None);
    for (keys, options, part) in [
        (doc! {"a": "text"}, doc! {}, "weights"),
        (a_and_b(), doc! {"weights": {"a": 2}}, "weights"),
        (a_and_b(), doc! {"default_language": "german"}, "default_language"),
        (a_and_b(), doc! {"language_override": "lang"}, "language_override"),
        (doc! {"x": 1, "a": "text", "b": "text"}, doc! {}, "key"),
        (doc! {"a": 1}, doc! {}, "key"),
    ] {
        let told = differs(keys.clone(), options, &plain).unwrap_or_default();
        assert!(told.contains(part), "{keys}: {told}");
    }
    let german = listed(doc! {}, doc! {"a": 1, "b": 1}, doc! {}, doc! {"default_language": "german"});
    assert!(differs(a_and_b(), doc! {}, &german).is_some_and(|told| told.starts_with("default_language")));
    assert!(differs(doc! {"a": "text"}, doc! {}, &doc! {"key": {"a": 1}, "name": "t"}).is_some());
}
