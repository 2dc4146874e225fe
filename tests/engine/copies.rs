//! Copies of teacher assessments under an `_id` that follows from no rule.

use bson::{doc, rawdoc};
use edulearn_migrate::assessment::copies::{CopyPlace, KnownCopies, places};
use edulearn_migrate::assessment::ids::Ids;
use edulearn_migrate::mongo::id::Id;

use super::support::with_database;

#[test]
fn copies_that_are_too_many_to_hold_are_asked_for() {
    with_database(async |fixture| {
        let copy = |n: i32| doc! {"_id": n, "migration_source": "teacher_assessment", "original_id": format!("t{n}")};
        fixture.insert("assessments", (0..5).map(copy).collect()).await;
        fixture.insert("assessments", vec![doc! {"_id": 7, "original_id": "t7"}]).await;
        let originals: Vec<Id> = (0..8).filter_map(|n| Id::of(&rawdoc! {"_id": format!("t{n}")})).collect();
        let held = KnownCopies::read(&fixture.server).await.expect("reads");
        let mut many = KnownCopies::holding(2);
        for stored in fixture.find("assessments", doc! {}).await {
            many.note(stored.as_bytes());
        }
        let found = places(&fixture.server, None, &originals, &many, Ids::New).await.expect("looks");
        let as_held = places(&fixture.server, None, &originals, &held, Ids::New).await.expect("looks");
        for (n, original) in (0..).zip(&originals) {
            let place = found.of(original).expect("a place");
            assert_eq!(Some(place), as_held.of(original));
            assert_eq!(place.is_copied(), n < 5, "{n}");
            if n < 5 {
                assert_eq!(*place, CopyPlace::Elsewhere(Id::of(&rawdoc! {"_id": n}).expect("an id")));
            }
        }
    });
}
