//! A migration: its id, its name and its two scripts, from a file or from the ledger.

use std::cmp::Ordering;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::error::{Error, Result};
use crate::model::script::allow::allowances;
use crate::model::script::checks::Checks;
use crate::model::script::fields::unknown;
use crate::model::script::{Script, reader};
use crate::sentence::sentence;

/// Longest scripts, up and down together, in bytes. The ledger keeps both in one document, which the
/// server limits to 16 MiB; the rest is room for the record of progress.
const MAX_SCRIPTS: usize = 12 * 1024 * 1024;
/// What a migration file may hold.
pub const FIELDS: &[&str] = &["name", "description", "up", "down", "checks", "allow", "empty"];
/// Most operations of one script: the record of progress has an entry of some 300 bytes for each.
pub const MAX_OPERATIONS: usize = 10_000;

/// A script as text, for the ledger, and as operations, to run.
#[derive(Debug, Clone, PartialEq)]
pub struct ScriptSource {
    /// JSON text as the ledger keeps it; tuples are arrays there.
    pub text: String,
    /// What it says.
    pub script: Script,
}

/// A migration that can be read.
#[derive(Debug, Clone, PartialEq)]
pub struct Migration {
    /// `migration_<number>`.
    pub id: String,
    /// Its name.
    pub name: String,
    /// What it is for.
    pub description: String,
    /// The file it comes from.
    pub file: Option<PathBuf>,
    /// The script that applies it.
    pub up: ScriptSource,
    /// The script that undoes it, where there is one.
    pub down: Option<ScriptSource>,
    /// What must hold before and after the up script.
    pub checks: Checks,
    /// Whether it says that it is meant to do nothing.
    pub empty: bool,
}

impl ScriptSource {
    /// Reads a script as the ledger keeps it: JSON text.
    ///
    /// # Errors
    /// A sentence without the file.
    pub fn from_text(text: &str) -> Result<Self, String> {
        let value = reader::read(text).map_err(|e| e.to_string())?;
        Self::from_value(value)
    }

    fn from_value(value: Value) -> Result<Self, String> {
        let text = value.to_string();
        Ok(Self { script: Script::parse(value)?, text })
    }
}

impl Migration {
    /// Reads a migration file's text.
    ///
    /// # Errors
    /// [`Error::Invalid`] naming the file, and line and column for text that is no JSON.
    pub fn from_file_text(id: &str, path: &Path, text: &str) -> Result<Self> {
        let invalid = |what: String| Error::invalid(Some(path), sentence(what));
        let Value::Object(mut fields) = reader::read(text).map_err(|e| invalid(e.to_string()))? else {
            return Err(invalid("the file must hold one object".to_owned()));
        };
        let mut take = |name: &str| fields.shift_remove(name);
        let name = match take("name") {
            Some(Value::String(name)) if !name.trim().is_empty() => name,
            Some(Value::String(_)) => return Err(invalid("\"name\" is empty".to_owned())),
            Some(_) => return Err(invalid("\"name\" must be a text".to_owned())),
            None => return Err(invalid("the field \"name\" is missing".to_owned())),
        };
        let description = match take("description") {
            Some(Value::String(text)) => text,
            None | Some(Value::Null) => String::new(),
            Some(_) => return Err(invalid("\"description\" must be a text".to_owned())),
        };
        let up = take("up").ok_or_else(|| invalid("the field \"up\" is missing".to_owned()))?;
        let up = ScriptSource::from_value(up).map_err(|what| invalid(format!("up: {what}")))?;
        let down = match take("down") {
            None | Some(Value::Null) => None,
            Some(value) => Some(ScriptSource::from_value(value).map_err(|what| invalid(format!("down: {what}")))?),
        };
        if let Some(allow) = take("allow") {
            allowances(&allow).map_err(invalid)?;
        }
        let checks = match take("checks") {
            None => Checks::default(),
            Some(value) => Checks::parse(value).map_err(invalid)?,
        };
        let empty = match take("empty") {
            None => false,
            Some(Value::Bool(empty)) => empty,
            Some(_) => return Err(invalid("\"empty\" must be true or false".to_owned())),
        };
        if empty && !up.script.operations.is_empty() {
            return Err(invalid("\"empty\" is true, and the up script has operations".to_owned()));
        }
        if let Some(key) = fields.keys().next() {
            return Err(invalid(unknown("field", key, FIELDS)));
        }
        let size = up.text.len() + down.as_ref().map_or(0, |down| down.text.len()) + checks.text.len();
        if size > MAX_SCRIPTS {
            return Err(invalid(format!(
                "the scripts are {} MB long; the ledger keeps them in one document, so they must be under {} MB: \
                 split the migration, or load that much data with mongoimport",
                size / 1_000_000,
                MAX_SCRIPTS / 1_000_000
            )));
        }
        let longest = [Some(&up), down.as_ref()].into_iter().flatten().map(|it| it.script.operations.len()).max();
        if longest.is_some_and(|operations| operations > MAX_OPERATIONS) {
            return Err(invalid(format!("a script has more than {MAX_OPERATIONS} operations; split the migration")));
        }
        Ok(Self { id: id.to_owned(), name, description, file: Some(path.to_path_buf()), up, down, checks, empty })
    }

    /// Where its scripts come from, for messages.
    pub fn origin(&self) -> String {
        match &self.file {
            Some(path) => path.display().to_string(),
            None => format!("{} (registered in the database)", self.id),
        }
    }

    /// Whether it is still as `create` writes it: it has neither operations nor checks and does not say that this is meant.
    pub fn is_template(&self) -> bool {
        let has = |script: &ScriptSource| !script.script.operations.is_empty();
        !self.empty && !has(&self.up) && !self.down.as_ref().is_some_and(has) && self.checks.is_empty()
    }

    /// The fingerprint of both scripts, as the ledger keeps it.
    pub fn checksum(&self) -> String {
        checksum(&self.up.script, self.down.as_ref().map(|down| &down.script))
    }
}

/// The fingerprint of an up and a down script.
pub fn checksum(up: &Script, down: Option<&Script>) -> String {
    format!("sha256:{}{}", up.fingerprint(), down.map(|down| format!("+{}", down.fingerprint())).unwrap_or_default())
}

/// The digits of `migration_<number>` or `migration_<number>_<name>`.
pub fn number_of(id_or_stem: &str) -> Option<&str> {
    let rest = id_or_stem.strip_prefix("migration_")?;
    let digits = rest.split('_').next()?;
    (!digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit())).then_some(digits)
}

/// Compares two numbers of any length: `9` before `10`, `007` equal to `7`.
pub fn compare_numbers(a: &str, b: &str) -> Ordering {
    let (a, b) = (a.trim_start_matches('0'), b.trim_start_matches('0'));
    a.len().cmp(&b.len()).then_with(|| a.cmp(b))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Migration> {
        Migration::from_file_text("migration_1", Path::new("migrations/migration_1_x.json"), text)
    }

    fn refusal(text: &str) -> String {
        parse(text).expect_err(text).to_string()
    }

    fn with_operation(operation: &str) -> String {
        format!(r#"{{"name": "x", "up": {{"operations": [{operation}]}}}}"#)
    }

    #[test]
    fn every_refusal_names_file_operation_and_field() {
        let cases = [
            (r#"{"name": "x", "up": {"operations": []}"#.to_owned(), "line 1, column"),
            (r#"{"name": "x"}"#.to_owned(), "\"up\" is missing"),
            (r#"{"up": {"operations": []}}"#.to_owned(), "\"name\" is missing"),
            (r#"{"name": 5, "up": {"operations": []}}"#.to_owned(), "\"name\" must be a text"),
            (r#"{"name": "x", "up": {"operations": []}, "upp": 1}"#.to_owned(), "unknown field \"upp\""),
            (r#"{"name": "x", "up": {"operations": {}}}"#.to_owned(), "up: \"operations\" must be an array"),
            (r#"[1]"#.to_owned(), "one object"),
            (with_operation(r#"{"type": "drop_table", "collection": "c"}"#), "operation 1 (drop_table): unknown type"),
            (with_operation(r#"{"collection": "c"}"#), "operation 1: the field \"type\" is missing"),
            (with_operation(r#"{"type": "drop_collection"}"#), "\"collection\" is missing"),
            (with_operation(r#"{"type": "drop_collection", "collection": "c", "x": 1}"#), "unknown field \"x\""),
            (
                with_operation(r#"{"type": "drop_collection", "collection": "migrations"}"#),
                "belongs to the migration tool",
            ),
            (with_operation(r#"{"type": "drop_collection", "collection": "a$b"}"#), "holds a $"),
            (with_operation(r#"{"type": "drop_collection", "collection": ""}"#), "is empty"),
            (
                with_operation(r#"{"type": "create_collection", "collection": "c", "options": {"cap": true}}"#),
                "did you mean \"capped\"",
            ),
            (
                with_operation(r#"{"type": "create_index", "collection": "c", "index": [("a", 2)]}"#),
                "direction of \"a\" is 2",
            ),
            (with_operation(r#"{"type": "create_index", "collection": "c", "index": []}"#), "has no keys"),
            (with_operation(r#"{"type": "create_index", "collection": "c", "index": [["a", 1], ["a", -1]]}"#), "twice"),
            (with_operation(r#"{"type": "drop_index", "collection": "c", "index": "*"}"#), "every index"),
            (
                with_operation(r#"{"type": "update_documents", "collection": "c", "filter": {}, "update": {"a": 1}}"#),
                "no update operator",
            ),
            (
                with_operation(
                    r#"{"type": "update_documents", "collection": "c", "filter": {}, "update": {"$set": {"a": 1}}, "options": {"arrayFilters": []}}"#,
                ),
                "did you mean \"array_filters\"",
            ),
            (
                with_operation(
                    r#"{"type": "update_documents", "collection": "c", "filter": 1, "update": {"$set": {"a": 1}}}"#,
                ),
                "\"filter\" must be an object, not a number",
            ),
            (
                with_operation(r#"{"type": "insert_documents", "collection": "c", "documents": [1]}"#),
                "documents[0] must be an object",
            ),
            (
                with_operation(
                    r#"{"type": "insert_documents", "collection": "c", "documents": [{"_id": {"$oid": "zz"}}]}"#,
                ),
                "Extended JSON",
            ),
            (with_operation(r#"{"type": "modify_collection", "collection": "c"}"#), "\"options\" is missing"),
            (with_operation(r#"{"type": "rename_collection", "collection": "c", "to": "c"}"#), "own name"),
        ];
        for (text, expected) in cases {
            let message = refusal(&text);
            assert!(message.starts_with("migrations/migration_1_x.json: "), "{message}");
            assert!(message.contains(expected), "{text}\n  {message}\n  lacks {expected}");
        }
    }

    #[test]
    fn layout_is_no_change_and_values_are() {
        let one =
            parse(r#"{"name":"x","up":{"operations":[{"type":"create_index","collection":"c","index":[("a",1)]}]}}"#);
        let two = parse(
            "{\"name\": \"x\", \"up\": {\"operations\": [\n {\"type\": \"create_index\", \"collection\": \"c\", \"index\": [[\"a\", 1]]}]}}",
        );
        let other =
            parse(r#"{"name":"x","up":{"operations":[{"type":"create_index","collection":"c","index":[("a",-1)]}]}}"#);
        let (one, two, other) = (one.expect("reads"), two.expect("reads"), other.expect("reads"));
        assert_eq!(one.checksum(), two.checksum());
        assert_ne!(one.checksum(), other.checksum());
    }

    #[test]
    fn reasons_for_lint_are_no_part_of_the_script() {
        let operation = r#"{"type": "drop_collection", "collection": "c"}"#;
        let allowing = r#"{"type": "drop_collection", "collection": "c", "allow": {"EM202": "a cache"}}"#;
        let (plain, allowed) = (parse(&with_operation(operation)), parse(&with_operation(allowing)));
        assert_eq!(plain.expect("reads").checksum(), allowed.expect("reads").checksum());
        for bad in [r#""yes""#, r#"{"EM202": ""}"#, r#"{"EM202": true}"#] {
            let message = refusal(&with_operation(&allowing.replace(r#"{"EM202": "a cache"}"#, bad)));
            assert!(message.contains("operation 1 (drop_collection): \"allow\" must"), "{message}");
            let message = refusal(&format!(r#"{{"name": "x", "up": {{"operations": []}}, "allow": {bad}}}"#));
            assert!(message.contains("\"allow\" must"), "{message}");
        }
    }

    #[test]
    fn numbers_compare_by_value() {
        assert_eq!(number_of("migration_001_add_x"), Some("001"));
        assert_eq!(number_of("migration_20241217143022"), Some("20241217143022"));
        assert_eq!(number_of("migration_x"), None);
        assert_eq!(number_of("note"), None);
        assert_eq!(compare_numbers("9", "10"), Ordering::Less);
        assert_eq!(compare_numbers("007", "7"), Ordering::Equal);
        assert_eq!(compare_numbers("99999999999999999999999999999999999999999", "1"), Ordering::Greater);
    }
}
