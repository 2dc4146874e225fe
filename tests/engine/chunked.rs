//! The chunked writer and its journal.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use bson::{
    Binary, Bson, DateTime, Decimal128, JavaScriptCodeWithScope, Timestamp, doc, oid::ObjectId, spec::BinarySubtype,
};
use edulearn_migrate::error::Error;
use edulearn_migrate::mongo::profile::Version;
use edulearn_migrate::observe::{Event, Kind, Observer, Stop};
use edulearn_migrate::run::report::{MigrationOutcome, Outcome};

use crate::support::{Fixture, with_database};

const INCREMENT: &str =
    r#"{"type": "update_documents", "collection": "c", "filter": {"n": {"$gte": 0}}, "update": {"$inc": {"n": 1}}}"#;
const DELETE: &str = r#"{"type": "delete_documents", "collection": "c", "filter": {"odd": true}}"#;

/// Asks the run to stop after so many chunks.
struct StopAfter {
    chunks: AtomicU32,
    stop: Stop,
}

impl StopAfter {
    fn new(chunks: u32) -> (Arc<Self>, Stop) {
        let stop = Stop::new();
        (Arc::new(Self { chunks: AtomicU32::new(chunks), stop: stop.clone() }), stop)
    }
}

impl Observer for StopAfter {
    fn notify(&self, event: &Event) {
        if event.kind == Kind::Progress && self.chunks.fetch_sub(1, Ordering::Relaxed) == 1 {
            self.stop.cancel();
        }
    }
}

async fn numbered(fixture: &Fixture, documents: i32) {
    let all = (0..documents).map(|i| doc! {"_id": i, "n": 0, "odd": i % 2 == 1}).collect();
    fixture.insert("c", all).await;
}

#[test]
fn an_update_that_matches_its_own_results_ends_and_is_made_once_across_stops() {
    with_database(async |fixture| {
        numbered(&fixture, 20_000).await;
        fixture.write(1, &format!("{INCREMENT}, {DELETE}"), "");
        let mut stops = 0;
        let report = loop {
            let (observer, stop) = StopAfter::new(1);
            match fixture.apply_with(observer, stop).await {
                Ok(report) => break report,
                Err(failed) => {
                    assert!(matches!(failed.error, Error::Interrupted(_)), "{failed}");
                    stops += 1;
                }
            }
            assert_eq!(fixture.record("migration_1").await.get_str("status").expect("status"), "applying");
        };
        assert!(stops >= 3, "{stops}");
        assert!(report.migrations[0].resumed);
        assert_eq!(report.migrations[0].outcome, MigrationOutcome::Applied);
        assert_eq!(fixture.count("c", doc! {"n": 1}).await, 10_000);
        assert_eq!(fixture.count("c", doc! {}).await, 10_000);
        let record = fixture.record("migration_1").await;
        assert_eq!(record.get_str("status").expect("status"), "applied");
        assert!(!record.contains_key("progress"));
        // Its history counts over all the runs.
        let history = fixture.find("migrations_history", doc! {"event": "applied"}).await;
        assert_eq!(history.len(), 1);
    });
}

fn one_of_every_type() -> Vec<Bson> {
    let scope = JavaScriptCodeWithScope { code: "f".to_owned(), scope: doc! {"a": 1} };
    let mut ids = vec![
        Bson::MinKey,
        Bson::Null,
        Bson::Int32(-3),
        Bson::Double(-2.5),
        Bson::Int64(1 << 40),
        Bson::Double(f64::NAN),
        Bson::Double(f64::INFINITY),
        Bson::Decimal128("1.25".parse::<Decimal128>().expect("a decimal")),
        Bson::String(String::new()),
        Bson::String("é".to_owned()),
        Bson::Symbol("symbol".to_owned()),
        Bson::Document(doc! {}),
        Bson::Document(doc! {"a": 1, "b": {"c": "x"}}),
        Bson::Binary(Binary { subtype: BinarySubtype::Generic, bytes: vec![0, 255] }),
        Bson::Binary(Binary { subtype: BinarySubtype::Uuid, bytes: vec![7; 16] }),
        Bson::ObjectId(ObjectId::new()),
        Bson::Boolean(false),
        Bson::Boolean(true),
        Bson::DateTime(DateTime::from_millis(-1)),
        Bson::Timestamp(Timestamp { time: 5, increment: 1 }),
        Bson::JavaScriptCode("g".to_owned()),
        Bson::JavaScriptCodeWithScope(scope),
        Bson::MaxKey,
    ];
    // So many that chunk boundaries fall between types.
    ids.extend((0..5_000).map(Bson::Int32));
    ids.extend((0..5_000).map(|i| Bson::String(format!("s{i:05}"))));
    ids.extend((0..5_000).map(|i| Bson::Document(doc! {"k": i})));
    ids
}

#[test]
fn ids_of_every_type_are_met_once() {
    with_database(async |fixture| {
        let documents: Vec<_> =
            one_of_every_type().into_iter().map(|id| doc! {"_id": id, "n": 0, "odd": true}).collect();
        let all = i32::try_from(documents.len()).expect("few");
        fixture.insert("c", documents).await;
        fixture.write(1, INCREMENT, "");
        let report = fixture.apply().await.expect("applies");
        let operation = &report.migrations[0].operations[0];
        assert_eq!((operation.counts.modified, operation.outcome), (i64::from(all), Outcome::Done));
        assert!(operation.chunks > 2, "{operation:?}");
        assert_eq!(fixture.count("c", doc! {"n": 1}).await, all);
        fixture.write(2, DELETE, "");
        let report = fixture.apply().await.expect("applies");
        assert_eq!(report.migrations[0].operations[0].counts.deleted, i64::from(all));
        assert_eq!(fixture.count("c", doc! {}).await, 0);
    });
}

#[test]
fn collated_and_clustered_collections_are_met_once() {
    for options in [
        doc! {"collation": {"locale": "en", "strength": 2}},
        doc! {"collation": {"locale": "en", "numericOrdering": true}},
        doc! {"clusteredIndex": {"key": {"_id": 1}, "unique": true}},
    ] {
        with_database(async |fixture| {
            // Before 5.3 there are no clustered collections.
            if options.contains_key("clusteredIndex") && fixture.server.profile().version < Version(5, 3, 0) {
                return;
            }
            let mut create = doc! {"create": "c"};
            create.extend(options);
            fixture.server.run(create, None).await.expect("creates");
            let documents = (0..4_000).map(|i| {
                let case = if i % 2 == 0 { "a" } else { "B" };
                doc! {"_id": format!("{case}{}", i * 7919 % 4_000), "n": 0, "odd": i % 2 == 1}
            });
            fixture.insert("c", documents.collect()).await;
            fixture.write(1, &format!("{INCREMENT}, {DELETE}"), "");
            fixture.apply().await.expect("applies");
            assert_eq!(fixture.count("c", doc! {"n": 1}).await, 2_000);
            assert_eq!(fixture.count("c", doc! {}).await, 2_000);
        });
    }
}

#[test]
fn few_matches_among_many_documents_are_found_by_their_own_index() {
    with_database(async |fixture| {
        numbered(&fixture, 60_000).await;
        fixture.insert("c", (0..2_500).map(|i| doc! {"_id": format!("x{i}"), "rare": true, "n": 0}).collect()).await;
        let rare = r#"{"type": "update_documents", "collection": "c", "filter": {"rare": true}, "update": {"$inc": {"n": 1}}}"#;
        fixture.write(1, rare, "");
        let mut runs = 0;
        loop {
            let (observer, stop) = StopAfter::new(1);
            runs += 1;
            match fixture.apply_with(observer, stop).await {
                Ok(_) => break,
                Err(failed) => assert!(matches!(failed.error, Error::Interrupted(_)), "{failed}"),
            }
        }
        assert!(runs > 1);
        assert_eq!(fixture.count("c", doc! {"n": 1}).await, 2_500);
        assert_eq!(fixture.count("c", doc! {"n": {"$gt": 1}}).await, 0);
    });
}

#[test]
fn documents_beyond_the_upper_bound_are_left_alone() {
    with_database(async |fixture| {
        numbered(&fixture, 5_000).await;
        fixture.write(1, INCREMENT, "");
        let (observer, stop) = StopAfter::new(1);
        assert!(fixture.apply_with(observer, stop).await.is_err());
        fixture.insert("c", (0..100).map(|i| doc! {"_id": 1_000_000 + i, "n": 0}).collect()).await;
        fixture.apply().await.expect("applies");
        assert_eq!(fixture.count("c", doc! {"n": 1}).await, 5_000);
        assert_eq!(fixture.count("c", doc! {"n": 0}).await, 100);
    });
}

#[test]
fn a_conflict_with_the_application_shrinks_the_chunk_and_passes() {
    with_database(async |fixture| {
        numbered(&fixture, 3_000).await;
        fixture.write(1, INCREMENT, "");
        let mut session = fixture.server.session().await.expect("a session");
        session.start_transaction().await.expect("starts");
        let held = doc! {"update": "c", "updates": [{"q": {"_id": 1_500}, "u": {"$set": {"held": true}}}]};
        fixture.server.run(held, Some(&mut session)).await.expect("updates");
        let run = tokio::spawn({
            let fixture = fixture.clone();
            async move { fixture.apply().await }
        });
        // Everything up to the held document is done: the run now stands before it, one document at a time.
        while fixture.count("c", doc! {"n": 1}).await < 1_500 {
            tokio::task::yield_now().await;
        }
        session.commit_transaction().await.expect("commits");
        let report = run.await.expect("joins").expect("applies");
        let operation = &report.migrations[0].operations[0];
        assert!(operation.conflicts > 0, "{operation:?}");
        assert_eq!(fixture.count("c", doc! {"n": 1}).await, 3_000);
        assert_eq!(fixture.count("c", doc! {"held": true}).await, 1);
    });
}

#[test]
fn inserted_documents_without_an_id_are_inserted_once() {
    with_database(async |fixture| {
        let documents: Vec<String> = (0..3_000).map(|i| format!(r#"{{"i": {i}}}"#)).collect();
        let insert =
            format!(r#"{{"type": "insert_documents", "collection": "c", "documents": [{}]}}"#, documents.join(","));
        fixture.write(1, &insert, r#"{"type": "delete_documents", "collection": "c", "filter": {}}"#);
        let (observer, stop) = StopAfter::new(1);
        assert!(fixture.apply_with(observer, stop).await.is_err());
        assert_eq!(fixture.count("c", doc! {}).await, 1_000);
        fixture.apply().await.expect("applies");
        assert_eq!(fixture.count("c", doc! {}).await, 3_000);
        fixture.rollback().await.expect("rolls back");
        assert_eq!(fixture.count("c", doc! {}).await, 0);
    });
}

/// Asks the run to stop as soon as an operation has started.
struct StopAtStart(Stop);

impl Observer for StopAtStart {
    fn notify(&self, event: &Event) {
        if event.kind == Kind::OperationStarted {
            self.0.cancel();
        }
    }
}

#[test]
fn parts_of_which_none_has_begun_are_made_again() {
    with_database(async |fixture| {
        numbered(&fixture, 40_000).await;
        fixture.write(1, INCREMENT, "");
        let stop = Stop::new();
        let failed = fixture.apply_with(Arc::new(StopAtStart(stop.clone())), stop).await.expect_err("it was stopped");
        assert!(matches!(failed.error, Error::Interrupted(_)), "{failed}");
        assert!(fixture.find("migrations", doc! {"kind": "part"}).await.len() > 1);
        assert_eq!(fixture.count("c", doc! {"n": 1}).await, 0);
        fixture.apply().await.expect("it carries on");
        assert_eq!(fixture.count("c", doc! {"n": 1}).await, 40_000);
        assert!(fixture.find("migrations", doc! {"kind": "part"}).await.is_empty());
    });
}
