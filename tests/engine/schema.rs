//! Schema operations describe end states.

use bson::doc;
use edulearn_migrate::error::Error;
use edulearn_migrate::run::report::Outcome;

use crate::support::{Fixture, with_database};

async fn outcomes(fixture: &Fixture) -> Vec<Outcome> {
    let report = fixture.apply().await.expect("applies");
    report.migrations[0].operations.iter().map(|operation| operation.outcome).collect()
}

const CREATE: &str = r#"
    {"type": "create_collection", "collection": "c", "options": {"validator": {"n": {"$gte": 0}}, "collation": {"locale": "en", "strength": 2}}},
    {"type": "create_index", "collection": "c", "index": [("n", 1), ("m", -1)], "options": {"unique": true, "hidden": true}},
    {"type": "create_collection", "collection": "log", "options": {"capped": true, "size": 5000}},
    {"type": "create_collection", "collection": "v", "options": {"viewOn": "c", "pipeline": [{"$match": {"n": 1}}]}},
    {"type": "create_collection", "collection": "ts", "options": {"timeseries": {"timeField": "t"}, "expireAfterSeconds": 60}}"#;

#[test]
fn what_stands_as_asked_is_noted() {
    with_database(async |fixture| {
        fixture.write(1, CREATE, "");
        assert_eq!(outcomes(&fixture).await, [Outcome::Done; 5]);
        fixture.write(2, CREATE, "");
        assert_eq!(outcomes(&fixture).await, [Outcome::Standing; 5]);
    });
}

#[test]
fn what_stands_differently_is_shown_beside_what_was_asked() {
    let conflicting = [
        (
            r#"{"type": "create_collection", "collection": "c", "options": {"validator": {"n": {"$gte": 1}}}}"#,
            "validator: asked for",
        ),
        (
            r#"{"type": "create_index", "collection": "c", "index": [("n", 1), ("m", -1)], "options": {"unique": true}}"#,
            "\"hidden\":true",
        ),
        (r#"{"type": "create_index", "collection": "c", "index": "n", "options": {"name": "n_1_m_-1"}}"#, "(code 86"),
        (
            r#"{"type": "create_index", "collection": "c", "index": [("n", 1), ("m", -1)], "options": {"name": "x", "unique": true, "hidden": true}}"#,
            "(code 85",
        ),
        (r#"{"type": "create_collection", "collection": "log"}"#, "found true"),
        (r#"{"type": "rename_collection", "collection": "c", "to": "log"}"#, "both \"c\" and \"log\" exist"),
    ];
    with_database(async |fixture| {
        fixture.write(1, CREATE, "");
        fixture.apply().await.expect("applies");
        for (operation, expected) in conflicting {
            let path = fixture.write(2, operation, "");
            let failed = fixture.apply().await.expect_err(operation);
            let Error::Operation(failure) = &failed.error else { panic!("{failed}") };
            let text = failure.message();
            assert!(text.contains(expected), "{text}\nlacks {expected}");
            assert!(text.contains(&path.display().to_string()) && text.contains("operation 1 of 1"), "{text}");
        }
        // Nothing of it stood, so the file may be mended and the run carried on.
        fixture.write(2, r#"{"type": "drop_index", "collection": "c", "index": {"n": 1, "m": -1}}"#, "");
        assert_eq!(outcomes(&fixture).await, [Outcome::Done]);
    });
}

#[test]
fn what_is_absent_already_is_noted() {
    with_database(async |fixture| {
        fixture.insert("a", vec![doc! {"_id": 1}]).await;
        let drops = r#"{"type": "drop_collection", "collection": "none"}, {"type": "drop_index", "collection": "none", "index": "x"},
            {"type": "drop_index", "collection": "a", "index": [("x", 1)]}, {"type": "rename_collection", "collection": "a", "to": "b"}"#;
        fixture.write(1, drops, "");
        assert_eq!(outcomes(&fixture).await, [Outcome::Absent, Outcome::Absent, Outcome::Absent, Outcome::Done]);
        fixture.write(2, r#"{"type": "rename_collection", "collection": "a", "to": "b"}"#, "");
        assert_eq!(outcomes(&fixture).await, [Outcome::Standing]);
        assert_eq!(fixture.count("b", doc! {}).await, 1);
    });
}

#[test]
fn modifications_that_stand_are_noted() {
    with_database(async |fixture| {
        fixture.write(1, CREATE, "");
        fixture.apply().await.expect("applies");
        let modify = r#"{"type": "modify_collection", "collection": "c", "options": {"validator": {"n": {"$lt": 9}}, "validationLevel": "moderate"}},
            {"type": "modify_collection", "collection": "c", "options": {"index": {"name": "n_1_m_-1", "hidden": false}}},
            {"type": "modify_collection", "collection": "ts", "options": {"expireAfterSeconds": "off"}}"#;
        fixture.write(2, modify, "");
        assert_eq!(outcomes(&fixture).await, [Outcome::Done; 3]);
        fixture.write(3, modify, "");
        assert_eq!(outcomes(&fixture).await, [Outcome::Standing; 3]);
    });
}
