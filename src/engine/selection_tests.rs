//! The plan is pure: files and records in, a plan out.

use std::path::Path;

use bson::{DateTime, Document, RawDocumentBuf, doc};

use super::*;
use crate::model::migration::Migration;
use crate::run::progress::{OperationProgress, Position};
use crate::run::record::Record;
use crate::run::report::Outcome;

const UP: &str =
    r#"{"operations":[{"type":"drop_collection","collection":"a"},{"type":"drop_collection","collection":"b"}]}"#;
const DOWN: &str = r#"{"operations":[{"type":"create_collection","collection":"a"}]}"#;

fn file(number: &str, name: &str, up: &str) -> Migration {
    let text = format!(r#"{{"name": "{name}", "up": {up}, "down": {DOWN}}}"#);
    let path = format!("migrations/migration_{number}_{name}.json");
    Migration::from_file_text(&format!("migration_{number}"), Path::new(&path), &text).expect("a migration")
}

fn record(id: &str, status: &str, at: i64) -> Record {
    altered(id, status, at, doc! {})
}

fn altered(id: &str, status: &str, at: i64, changes: Document) -> Record {
    let mut document = doc! {
        "_id": id, "name": id, "up_script": UP, "down_script": DOWN, "status": status,
        "created_at": DateTime::from_millis(at), "applied_at": DateTime::from_millis(at),
    };
    document.extend(changes);
    Record::parse(&RawDocumentBuf::try_from(&document).expect("encodes"))
}

fn ids(plan: &Plan) -> Vec<&str> {
    plan.migrations.iter().map(|planned| planned.id.as_str()).collect()
}

fn apply(inventory: &Inventory) -> Plan {
    inventory.plan_apply(&ApplyOptions::default()).expect("a plan")
}

#[test]
fn files_come_first_by_number_then_records_by_date() {
    let files = vec![file("2", "b", UP), file("10", "c", UP)];
    let inventory =
        Inventory::new(files, vec![record("migration_5", "pending", 5), record("migration_1", "pending", 9)]);
    assert_eq!(ids(&apply(&inventory)), ["migration_2", "migration_10", "migration_5", "migration_1"]);
}

#[test]
fn what_is_rolled_back_is_not_pending() {
    let inventory = Inventory::new(vec![file("1", "a", UP)], vec![record("migration_1", "rolled_back", 1)]);
    assert!(apply(&inventory).migrations.is_empty());
    let again = ApplyOptions { rolled_back: true, ..ApplyOptions::default() };
    assert_eq!(ids(&inventory.plan_apply(&again).expect("a plan")), ["migration_1"]);
    let one = ApplyOptions { id: Some("a".to_owned()), ..ApplyOptions::default() };
    assert_eq!(ids(&inventory.plan_apply(&one).expect("a plan")), ["migration_1"]);
}

#[test]
fn a_changed_file_stops_everything() {
    let changed = r#"{"operations":[]}"#;
    let inventory =
        Inventory::new(vec![file("1", "a", changed), file("2", "b", UP)], vec![record("migration_1", "applied", 1)]);
    assert!(matches!(inventory.plan_apply(&ApplyOptions::default()), Err(Error::ScriptChanged(_))));
    let unchanged = Inventory::new(vec![file("1", "a", UP)], vec![record("migration_1", "applied", 1)]);
    assert!(apply(&unchanged).migrations.is_empty());
}

#[test]
fn late_files_apply_unless_order_is_strict() {
    let inventory =
        Inventory::new(vec![file("1", "late", UP), file("2", "b", UP)], vec![record("migration_2", "applied", 1)]);
    assert!(inventory.entries[0].out_of_order && !inventory.entries[1].out_of_order);
    assert_eq!(ids(&apply(&inventory)), ["migration_1"]);
    let strict = ApplyOptions { strict_order: true, ..ApplyOptions::default() };
    assert!(matches!(inventory.plan_apply(&strict), Err(Error::OutOfOrder(_))));
}

#[test]
fn names_answer_only_where_they_are_unique() {
    let inventory =
        Inventory::new(vec![file("1", "twin", UP), file("2", "twin", UP), file("3", "own", UP)], Vec::new());
    assert_eq!(inventory.find("own").expect("found").id, "migration_3");
    assert_eq!(inventory.find("migration_2_twin").expect("found").id, "migration_2");
    let error = inventory.find("twin").expect_err("ambiguous").to_string();
    assert!(error.contains("migration_1") && error.contains("migration_2"), "{error}");
    assert!(inventory.find("none").is_err());
}

#[test]
fn an_unreadable_record_stops_the_run_when_its_turn_comes() {
    let python = altered("migration_9", "pending", 9, doc! {"up_script": "print('hello')"});
    let inventory = Inventory::new(vec![file("1", "a", UP)], vec![python, record("migration_20", "pending", 20)]);
    let plan = apply(&inventory);
    assert_eq!(ids(&plan), ["migration_1"]);
    let (id, _, error) = plan.blocked.expect("blocked");
    assert_eq!(id, "migration_9");
    let text = error.to_string();
    assert!(text.contains(r#"updateOne({_id: "migration_9"}, {$set: {status: "rolled_back"}})"#), "{text}");
}

#[test]
fn rollback_goes_by_application_not_by_name() {
    let records = vec![
        record("migration_1", "applied", 30),
        record("migration_2", "applied", 10),
        record("migration_3", "applied", 20),
    ];
    let inventory = Inventory::new(Vec::new(), records);
    assert_eq!(
        ids(&inventory.plan_rollback(&RollbackOptions::default()).expect("a plan")),
        ["migration_1", "migration_3", "migration_2"]
    );
    let pending = Inventory::new(vec![file("1", "a", UP)], Vec::new());
    assert!(matches!(
        pending.plan_rollback(&RollbackOptions { id: Some("migration_1".to_owned()), ..Default::default() }),
        Err(Error::WrongState(_))
    ));
}

fn progress(direction: Direction, begun: bool, hash: &str) -> Document {
    let mut operation = OperationProgress::new(hash);
    operation.begun = begun;
    let mut operation = bson::serialize_to_document(&operation).expect("encodes");
    operation.insert("outcome", bson::serialize_to_bson(&None::<Outcome>).expect("encodes"));
    let position = doc! {"kind": "whole"};
    doc! {"direction": direction.as_str(), "seq": 4_i64, "operations": [operation], "position": position}
}

#[test]
fn a_resumed_run_refuses_operations_that_changed_after_they_were_begun() {
    let own = file("1", "a", UP).up.script.operations[0].fingerprint.clone();
    let with = |progress: Document| {
        let half = altered("migration_1", "applying", 1, doc! {"progress": progress});
        assert_eq!(half.problem, None);
        Inventory::new(vec![file("1", "a", UP)], vec![half])
    };
    let plan = apply(&with(progress(Direction::Up, true, &own)));
    let resumed = plan.migrations[0].resume.as_ref().expect("resumed");
    assert_eq!((resumed.seq, &resumed.position), (4, &Some(Position::Whole)));
    let changed = apply(&with(progress(Direction::Up, true, "another"))).blocked.expect("blocked").2;
    assert!(matches!(changed, Error::ScriptChanged(_)));
    // Nothing of it is done: it may be mended.
    assert_eq!(apply(&with(progress(Direction::Up, false, "another"))).migrations.len(), 1);
    // Half rolled back: only a rollback carries on.
    let half = altered("migration_1", "rolling_back", 1, doc! {"progress": progress(Direction::Down, false, "x")});
    let inventory = Inventory::new(vec![file("1", "a", UP)], vec![half]);
    assert!(matches!(apply(&inventory).blocked.expect("blocked").2, Error::WrongState(_)));
    assert_eq!(ids(&inventory.plan_rollback(&RollbackOptions::default()).expect("a plan")), ["migration_1"]);
}

#[test]
fn records_edited_by_hand_are_problems_not_panics() {
    let edits = [
        doc! {"status": "banana"},
        doc! {"status": 5},
        doc! {"status": "applying"},
        doc! {"status": "applying", "progress": 7},
        doc! {"status": "applying", "progress": {"direction": "up", "seq": "x", "operations": []}},
        doc! {"status": "applying", "progress": {"direction": "up", "seq": 1_i64, "operations": [{"hash": 1}]}},
        doc! {"status": "rolling_back", "progress": {"direction": "sideways"}},
        doc! {"_id": 5},
        doc! {"_id": {"a": 1}},
    ];
    for edit in edits {
        let record = altered("migration_1", "pending", 1, edit.clone());
        assert!(record.problem.is_some(), "{edit}");
        let inventory = Inventory::new(Vec::new(), vec![record]);
        let plan = apply(&inventory);
        assert!(plan.migrations.is_empty() && plan.blocked.is_some(), "{edit}");
    }
}
