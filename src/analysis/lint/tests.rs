//! What the rules say of files, and that the documentation says the same.

use std::collections::BTreeSet;
use std::fs;

use serde_json::{Value, json};

use super::codes::ALL;
use super::*;

/// The codes found in files of these names and texts, in order.
fn codes(files: &[(&str, &str)]) -> Vec<String> {
    found(files).into_iter().map(|finding| finding.code).collect()
}

fn found(files: &[(&str, &str)]) -> Vec<Finding> {
    let directory = tempfile::tempdir().expect("tempdir");
    for (name, text) in files {
        fs::write(directory.path().join(name), text).expect("writes");
    }
    lint(&[directory.path().to_path_buf()]).expect("reads").findings
}

/// The codes of one migration of these scripts.
fn scripts(up: Value, down: Value) -> Vec<String> {
    let file = json!({"name": "add_x_to_y", "up": {"operations": up}, "down": {"operations": down}});
    codes(&[("migration_1_x.json", &file.to_string())])
}

fn update(filter: Value, update: Value) -> Value {
    json!({"type": "update_documents", "collection": "c", "filter": filter, "update": update})
}

const LINT_MD: &str = include_str!("../../../docs/reference/lint.md");

/// The examples below one heading: file names and texts.
fn examples(section: &str) -> Vec<Vec<(&str, &str)>> {
    let mut sets: Vec<Vec<(&str, &str)>> = Vec::new();
    let mut blocks = section.split("```json ");
    let mut between = blocks.next().unwrap_or_default();
    for block in blocks {
        let (text, rest) = block.split_once("\n```\n").expect("a block ends");
        let example = text.split_once('\n').expect("a block has a title");
        // Blocks with nothing between them are the files of one directory.
        match sets.last_mut() {
            Some(set) if between.trim().is_empty() => set.push(example),
            _ => sets.push(vec![example]),
        }
        between = rest;
    }
    sets
}

#[test]
fn every_code_is_documented_and_its_examples_show_it_and_nothing_else() {
    let mut documented = Vec::new();
    for section in LINT_MD.split("\n### ").skip(1) {
        let heading = section.lines().next().unwrap_or_default();
        documented.push(heading.to_owned());
        let code = heading.split(' ').next().unwrap_or_default();
        let section = section.split("\n## ").next().unwrap_or_default();
        let sets = examples(section);
        assert!(!sets.is_empty(), "{heading} has no example");
        for files in sets {
            let codes: BTreeSet<String> = codes(&files).into_iter().collect();
            assert_eq!(codes, BTreeSet::from([code.to_owned()]), "{heading}: {:?}", found(&files));
        }
    }
    let level = |level| format!("{level:?}").to_lowercase();
    let all: Vec<String> = ALL.iter().map(|it| format!("{} {} ({})", it.code, it.name, level(it.level))).collect();
    assert_eq!(documented, all);
}

#[test]
fn what_is_allowed_with_a_reason_is_not_reported() {
    let section = LINT_MD.split("## What is meant as it is").nth(1).expect("the section");
    let section = section.split("\n## ").next().unwrap_or_default();
    for files in examples(section) {
        assert_eq!(codes(&files), Vec::<String>::new());
        let bare: String = files[0].1.lines().map(|line| line.split("\"allow\"").next().unwrap_or_default()).collect();
        // The lines' ends go with the reasons.
        let bare = bare.replace("false,     ", "false}");
        assert_eq!(codes(&[(files[0].0, &bare)]), ["EM201", "EM303", "EM301"], "{bare}");
    }
}

#[test]
fn all_errors_are_shown_each_where_it_stands() {
    let text = "{\"upp\": 1,\n \"up\": {\"operations\": [\n  {\"type\": \"drop_collection\", \"x\": 1, \"y\": 2},\n  {\"type\": \"nope\"},\n  5]},\n \"down\": {\"operations\": 1}}";
    let found: Vec<String> = found(&[("migration_1_x.json", text)])
        .iter()
        .map(|it| format!("{}:{} {} {}", it.line, it.column, it.code, it.operation.as_deref().unwrap_or("-")))
        .collect();
    let wanted = [
        "1:1 EM102 -",
        "1:2 EM103 -",
        "3:3 EM102 up 1",
        "3:31 EM103 up 1",
        "3:39 EM103 up 1",
        "4:4 EM103 up 2",
        "5:3 EM104 up 3",
        "6:11 EM104 -",
    ];
    assert_eq!(found, wanted);
}

#[test]
fn the_published_examples_and_the_template_have_no_errors() {
    let report = lint(&["migrations".into()]).expect("reads");
    let found: Vec<(&str, &str)> =
        report.findings.iter().map(|it| (it.migration.as_deref().unwrap_or_default(), it.code.as_str())).collect();
    assert!(found.is_empty(), "{found:?}");
    // Allowed there: its down script takes the role from students whom the up script had not touched.
    let text = fs::read_to_string("migrations/migration_003_update_document_schema.json").expect("reads");
    let bare = text.replace("\"allow\": {\"EM204\"", "\"allow\": {\"EM301\"");
    assert_eq!(codes(&[("migration_003_x.json", &bare)]), ["EM405", "EM204"]);
    let directory = tempfile::tempdir().expect("tempdir");
    crate::model::source::create(directory.path(), "add_rooms", None).expect("writes");
    let report = lint(&[directory.path().to_path_buf()]).expect("reads");
    assert_eq!((report.errors, report.warnings, report.advice), (0, 0, 1));
}

#[test]
fn a_down_script_is_complete_where_each_operation_has_its_inverse() {
    let of = |kind: &str, more: Value| {
        let mut operation = json!({"type": kind, "collection": "c"});
        operation.as_object_mut().expect("object").extend(more.as_object().expect("object").clone());
        operation
    };
    let index = json!({"index": {"a": 1}, "options": {"name": "by_a"}});
    let pairs = [
        (of("create_collection", json!({})), of("drop_collection", json!({}))),
        (of("create_index", index.clone()), of("drop_index", json!({"index": "by_a"}))),
        (of("create_index", index.clone()), of("drop_index", json!({"index": ["a"]}))),
        (of("drop_index", json!({"index": "by_a"})), of("create_index", index)),
        (
            of("rename_collection", json!({"to": "d"})),
            json!({"type": "rename_collection", "collection": "d", "to": "c"}),
        ),
        (
            of("modify_collection", json!({"options": {"validator": {"a": 1}}})),
            of("modify_collection", json!({"options": {"validator": {}}})),
        ),
        (
            of("insert_documents", json!({"documents": [{"_id": 1}]})),
            of("delete_documents", json!({"filter": {"_id": 1}})),
        ),
        (
            of("delete_documents", json!({"filter": {"_id": 1}})),
            of("insert_documents", json!({"documents": [{"_id": 1}]})),
        ),
        (
            update(json!({"a": 1}), json!({"$rename": {"b": "x.y"}})),
            update(json!({"a": 1}), json!({"$rename": {"x": "b"}})),
        ),
        (
            update(json!({"a": 1}), json!([{"$set": {"b": 1}}, {"$unset": "d"}])),
            update(json!({"a": 1}), json!([{"$replaceWith": "$old"}])),
        ),
    ];
    let other = json!({"type": "create_collection", "collection": "other"});
    for (up, down) in pairs {
        assert_eq!(scripts(json!([up]), json!([down])), Vec::<String>::new(), "{up}\n{down}");
        assert_eq!(scripts(json!([up]), json!([other])), ["EM202"], "{up}");
    }
}

#[test]
fn a_down_filter_is_wider_unless_the_text_shows_otherwise() {
    let set = || json!({"$set": {"v": 1}});
    let unset = || json!({"$unset": {"v": ""}});
    let none = Vec::<String>::new();
    for (up, down, wanted) in [
        (json!({"a": 1}), json!({"a": 1}), none.clone()),
        (json!({"a": 1}), json!({"a": 1, "v": 1}), none.clone()),
        (json!({"$and": [{"a": 1}, {"b": {"$exists": true}}]}), json!({"a": 1, "b": 2}), none),
        (json!({"a": 1}), json!({}), vec!["EM204".to_owned()]),
        (json!({"a": 1}), json!({"v": 1}), vec!["EM204".to_owned()]),
        (json!({"a": 1, "b": 1}), json!({"a": 1}), vec!["EM204".to_owned()]),
    ] {
        assert_eq!(
            scripts(json!([update(up.clone(), set())]), json!([update(down.clone(), unset())])),
            wanted,
            "{up} {down}"
        );
    }
    let mark = update(json!({"v": null}), json!({"$set": {"v": 1, "by": "migration_1"}}));
    let back = update(json!({"by": "migration_1"}), json!({"$unset": {"v": "", "by": ""}}));
    assert_eq!(scripts(json!([mark]), json!([back])), Vec::<String>::new());
    let elsewhere = update(json!({"a": 1}), json!({"$unset": {"w": ""}}));
    assert_eq!(scripts(json!([update(json!({"a": 1}), set())]), json!([elsewhere])), ["EM202", "EM204"]);
}

#[test]
fn a_file_that_says_it_does_nothing_is_taken_at_its_word() {
    let text = |more: &str| {
        format!(r#"{{"name": "wait_for_it", "up": {{"operations": []}}, "down": {{"operations": []}}{more}}}"#)
    };
    assert_eq!(codes(&[("migration_1_wait_for_it.json", text("").as_str())]), ["EM402"]);
    let meant = text(r#", "empty": true"#);
    assert!(codes(&[("migration_1_wait_for_it.json", meant.as_str())]).is_empty());
}

#[test]
fn every_fault_of_an_operation_is_shown() {
    let text = json!({"name": "add_x", "up": {"operations": [
        {"type": "update_documents", "collection": "a$b", "filter": {"a": {"$oid": "zz"}, "b": {"$date": "never"}},
         "update": {"set": 1}, "options": {"upsert": "yes", "multi": 1, "hnt": "a_1", "collation": {"locale": "en"}}},
        {"type": "insert_documents", "collection": "c", "documents": [{"_id": 1}, 5, {"a": {"$numberLong": "x"}}]},
        {"type": "creat_index", "collection": "c"},
        {"type": "rename_collection", "collection": "c", "to": "c"},
    ]}});
    let found: Vec<String> = found(&[("migration_1_x.json", &text.to_string())])
        .into_iter()
        .map(|it| format!("{} {} {}", it.operation.unwrap_or_default(), it.code, it.message))
        .collect();
    let wanted = [
        ("up 1 EM104", "collection"),
        ("up 1 EM104", "$oid"),
        ("up 1 EM104", "$date"),
        ("up 1 EM104", "\"set\""),
        ("up 1 EM104", "\"upsert\""),
        ("up 1 EM104", "\"multi\""),
        ("up 1 EM103", "did you mean \"hint\"?"),
        ("up 2 EM104", "documents[1]"),
        ("up 2 EM104", "$numberLong"),
        ("up 3 EM103", "did you mean \"create_index\"?"),
        ("up 4 EM104", "own name"),
    ];
    assert_eq!(found.len(), wanted.len(), "{found:#?}");
    for (told, (place, what)) in found.iter().zip(wanted) {
        assert!(told.starts_with(place) && told.contains(what), "{told}\n{place} {what}");
    }
}

#[test]
fn what_the_script_itself_takes_back_needs_no_inverse() {
    let none = Vec::<String>::new();
    let helper = json!([{"$set": {"tmp": "$a", "b": {"$add": ["$tmp", 1]}}}, {"$unset": "tmp"}]);
    let up = update(json!({"b": {"$exists": false}}), helper);
    let down = update(json!({"b": {"$exists": false}}), json!({"$unset": {"b": ""}}));
    assert_eq!(scripts(json!([up]), json!([down])), none);
    let index = json!({"type": "create_index", "collection": "c", "index": "a"});
    let drop = json!({"type": "drop_index", "collection": "c", "index": "a_1"});
    let up = update(json!({"b": 1}), json!({"$set": {"a": 1}}));
    let back = update(json!({"b": 1}), json!({"$unset": {"a": ""}}));
    assert_eq!(scripts(json!([index, up, drop]), json!([back])), none);
    assert_eq!(scripts(json!([drop, index, up]), json!([back])), ["EM202", "EM202"]);
    // What is renamed away and made anew is not the collection that is worked on before.
    let made_anew = json!([
        {"type": "update_documents", "collection": "c", "filter": {"b": 1}, "update": {"$set": {"a": 1}}},
        {"type": "rename_collection", "collection": "c", "to": "old"},
        {"type": "create_collection", "collection": "c"},
    ]);
    let back = json!([
        {"type": "drop_collection", "collection": "c"},
        {"type": "rename_collection", "collection": "old", "to": "c"},
    ]);
    assert!(!scripts(made_anew, back).contains(&"EM305".to_owned()));
    let empty = json!({"name": "add_x", "up": {"operations": [index]}, "down": {"operations": []}});
    let told = found(&[("migration_1_x.json", &empty.to_string())]);
    assert_eq!((told.len(), told[0].code.as_str()), (1, "EM201"));
    assert!(told[0].message.contains("has no operations"), "{}", told[0].message);
}

#[test]
fn expiry_is_told_where_documents_may_be_there_already() {
    let ttl = |seconds: i32| json!({"type": "create_index", "collection": "c", "index": "at", "options": {"expireAfterSeconds": seconds}});
    let drop = json!({"type": "drop_index", "collection": "c", "index": "at_1"});
    let create = json!({"type": "create_collection", "collection": "c"});
    let gone = json!({"type": "drop_collection", "collection": "c"});
    assert_eq!(scripts(json!([ttl(5)]), json!([drop])), ["EM308"]);
    assert_eq!(scripts(json!([create, ttl(5)]), json!([gone])), Vec::<String>::new());
    // Back as it was.
    assert_eq!(scripts(json!([drop]), json!([ttl(5)])), Vec::<String>::new());
    let modify = |options: Value| json!({"type": "modify_collection", "collection": "c", "options": options});
    let back = || json!([modify(json!({"index": {"name": "at_1", "expireAfterSeconds": 9}}))]);
    assert_eq!(
        scripts(json!([modify(json!({"index": {"name": "at_1", "expireAfterSeconds": 5}}))]), back()),
        ["EM308"]
    );
    let off = modify(json!({"expireAfterSeconds": "off"}));
    assert_eq!(scripts(json!([off]), json!([off])), Vec::<String>::new());
}

#[test]
fn javascript_is_found_however_deep_and_data_is_not_taken_for_it() {
    let sum =
        |operator: &str| json!([{"$set": {"a": {"$add": [1, {operator: {"body": "f", "args": [], "lang": "js"}}]}}}]);
    let back = || update(json!({"b": 1}), json!({"$unset": {"a": ""}}));
    assert_eq!(scripts(json!([update(json!({"b": 1}), sum("$function"))]), json!([back()])), ["EM302"]);
    assert_eq!(scripts(json!([update(json!({"b": 1}), sum("$literal"))]), json!([back()])), Vec::<String>::new());
    let filter = json!({"b": 1, "$or": [{"c": 1}, {"$expr": {"$function": {"body": "f", "args": [], "lang": "js"}}}]});
    assert!(scripts(json!([update(filter, json!({"$set": {"a": 1}}))]), json!([back()])).contains(&"EM302".to_owned()));
}

#[test]
fn a_check_of_the_collection_is_enough_for_a_unique_index() {
    let unique = json!({"type": "create_index", "collection": "c", "index": "a", "options": {"unique": true}});
    let mut file = json!({"name": "add_x_to_y", "up": {"operations": [unique]}});
    let has = |file: &Value| codes(&[("migration_1_x.json", &file.to_string())]).contains(&"EM304".to_owned());
    assert!(has(&file));
    file["checks"] = json!({"before": [{"type": "count", "collection": "c", "filter": {"a": null}, "at_most": 1}]});
    assert!(!has(&file));
    file["checks"]["before"][0]["collection"] = json!("other");
    assert!(has(&file));
}
