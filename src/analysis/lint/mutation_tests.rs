//! Whatever is done to a file, an error of the linter is what `apply` refuses.

use std::fs;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::codes::Severity;
use super::lint;
use crate::model::source::read_directory;

/// Mutates a published example: removes, replaces or renames what stands at a random place.
fn mutate(value: &mut Value, steps: &[u8], with: &Value) {
    let [step, rest @ ..] = steps else {
        *value = with.clone();
        return;
    };
    match value {
        Value::Array(items) if !items.is_empty() => {
            let at = usize::from(*step) % items.len();
            mutate(&mut items[at], rest, with);
        }
        Value::Object(fields) if !fields.is_empty() => {
            let key = fields.keys().nth(usize::from(*step) % fields.len()).cloned().unwrap_or_default();
            if *step > 200 {
                let taken = fields.shift_remove(&key).unwrap_or_default();
                fields.insert(format!("{key}{}", step % 3), taken);
            } else if *step > 170 {
                fields.shift_remove(&key);
            } else if let Some(inner) = fields.get_mut(&key) {
                mutate(inner, rest, with);
            }
        }
        _ => *value = with.clone(),
    }
}

fn replacement() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(json!(null)),
        Just(json!({})),
        Just(json!([])),
        Just(json!("")),
        Just(json!("é$\u{0}")),
        Just(json!(1)),
        Just(json!({"$oid": "zz"})),
        Just(json!({"EM204": "why"})),
        Just(json!("drop_collection")),
        Just(json!([["a", 1], ["b", -1]])),
        Just(json!([{"$set": {"a": 1}}])),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    /// On whatever becomes of the published examples, lint has an error exactly where apply refuses the directory.
    #[test]
    fn an_error_is_what_apply_refuses(
        which in 0usize..3,
        changes in prop::collection::vec((prop::collection::vec(any::<u8>(), 0..6), replacement()), 0..3),
        cut in prop_oneof![9 => Just(None), 1 => any::<prop::sample::Index>().prop_map(Some)],
    ) {
        let directory = tempfile::tempdir().expect("tempdir");
        let migrations = read_directory("migrations".as_ref()).expect("reads").migrations;
        let path = migrations[which].file.clone().expect("a file");
        let text = fs::read_to_string(&path).expect("reads");
        let mut value = crate::model::script::reader::read(&text).expect("reads");
        for (steps, with) in &changes {
            mutate(&mut value, steps, with);
        }
        let mut text = serde_json::to_string_pretty(&value).expect("writes");
        if let Some(cut) = cut {
            let at = (0..=cut.index(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap_or_default();
            text.truncate(at);
        }
        fs::write(directory.path().join("migration_1_x.json"), &text).expect("writes");
        let report = lint(&[directory.path().to_path_buf()]).expect("reads");
        let applied = read_directory(directory.path());
        prop_assert_eq!(report.errors == 0, applied.is_ok(), "{}\n{:?}\n{:?}", text, report.findings, applied.err());
        prop_assert_eq!(report.errors > 0, report.findings.iter().any(|it| it.level == Severity::Error));
    }
}
