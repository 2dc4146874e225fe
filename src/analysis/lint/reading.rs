//! Reading a file for `lint`: the reader's errors become findings, all of them.

use std::collections::HashSet;
use std::io;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};

use super::codes::{Code, INVALID_VALUE, MISNAMED_FILE, MISSING_FIELD, UNKNOWN_NAME, UNREADABLE};
use super::file::{File, FileOperation};
use super::finding::{FindingPlace, Findings};
use super::positions::{Positions, TextPosition};
use crate::error::{Error, Result};
use crate::model::migration::{FIELDS, MAX_OPERATIONS, Migration, number_of};
use crate::model::script::Operation;
use crate::model::script::allow::allowances;
use crate::model::script::extended;
use crate::model::script::fields::{type_name, unknown};
use crate::model::script::options::{grammar, unknown_type};
use crate::model::script::reader;
use crate::model::source::{Ignored, classify, list, read_text};
use crate::run::report::Direction;
use crate::sentence::sentence;

impl File {
    /// Reads a file; what is wrong with it is in the findings. One that is no migration by its name is read only
    /// if it was `named`, and not found in a directory.
    pub fn read(path: &Path, named: bool) -> (Self, Findings) {
        let mut file = Self { shown: path.display().to_string(), ..Self::default() };
        let mut findings = Findings::default();
        let file_name = path.file_name().unwrap_or_default().to_string_lossy();
        match classify(path, &file_name) {
            Ok(number) => {
                file.id = Some(format!("migration_{number}"));
                file.number = Some(number);
            }
            Err(reason) => {
                // A stem like migration_7 has a number all the same; what it lacks is a name.
                file.number = number_of(file_name.strip_suffix(".json").unwrap_or_default()).map(str::to_owned);
                let reason = reason.unwrap_or_else(|| "it is hidden".to_owned());
                findings.add(
                    &file,
                    MISNAMED_FILE,
                    FindingPlace::Field(""),
                    format!("apply ignores this file: {reason}."),
                );
                // Reading a named pipe would wait for whoever writes to it.
                if !named || (path.exists() && !path.is_file()) {
                    return (file, findings);
                }
            }
        }
        match read_text(path) {
            Ok(text) => file.understand(path, &text, &mut findings),
            Err(error) => {
                findings.add(&file, UNREADABLE, FindingPlace::Field(""), without_file(path, &error));
            }
        }
        (file, findings)
    }

    fn understand(&mut self, path: &Path, text: &str, findings: &mut Findings) {
        let value = match reader::read(text) {
            Ok(value) => value,
            Err(error) => {
                let position = TextPosition { line: error.line, column: error.column };
                findings.add(self, UNREADABLE, FindingPlace::At(position), sentence(error.message));
                return;
            }
        };
        self.positions = Positions::of(text);
        let Value::Object(fields) = value else {
            findings.add(self, UNREADABLE, FindingPlace::Field(""), "the file must hold one object.");
            return;
        };
        if let Some(Value::String(name)) = fields.get("name") {
            self.name = Some(name.clone());
        }
        self.allow = fields.get("allow").and_then(|value| allowances(value).ok()).unwrap_or_default();
        self.checked_before = checked_before(fields.get("checks"));
        let mut wrong = Vec::new();
        for key in fields.keys().filter(|key| !FIELDS.contains(&key.as_str())) {
            wrong.push((UNKNOWN_NAME, format!("/{key}"), unknown("field", key, FIELDS)));
        }
        for name in ["name", "up"].into_iter().filter(|name| !fields.contains_key(*name)) {
            wrong.push((MISSING_FIELD, String::new(), format!("the field {name:?} is missing")));
        }
        if let Some(up) = fields.get("up") {
            self.up = parts("up", up, &mut wrong);
        }
        if let Some(down) = fields.get("down").filter(|down| !down.is_null()) {
            self.down = Some(parts("down", down, &mut wrong));
        }
        let whole = Migration::from_file_text(self.id.as_deref().unwrap_or_default(), path, text);
        self.whole = whole.is_ok();
        self.empty = whole.as_ref().is_ok_and(|migration| migration.empty);
        for (code, path, message) in &wrong {
            let end = if message.ends_with('?') { "" } else { "." };
            findings.add(self, *code, in_script(path), format!("{message}{end}"));
        }
        // What the fields of the file itself are refused for, and what only the whole shows.
        if let Err(error) = whole
            && wrong.is_empty()
        {
            let message = without_file(path, &error);
            let field = FIELDS.iter().find(|field| message.starts_with(&format!("{field:?}")));
            let path = field.map(|field| format!("/{field}")).unwrap_or_default();
            findings.add(self, INVALID_VALUE, FindingPlace::Field(&path), message);
        }
    }
}

/// A path, and whether it was named rather than found in a directory.
pub type Gathered = (PathBuf, bool);

/// Every file there is to read: those named, and the migrations of directories that are named.
///
/// # Errors
/// [`Error::Settings`] for a path where nothing is, [`Error::Invalid`] for a directory that cannot be read.
pub fn gather(paths: &[PathBuf]) -> Result<(Vec<Gathered>, Vec<Ignored>)> {
    let (mut files, mut ignored) = (Vec::new(), Vec::new());
    for path in paths {
        if path.is_dir() {
            for entry in list(path)? {
                let name = entry.file_name().unwrap_or_default().to_string_lossy().into_owned();
                match classify(&entry, &name) {
                    Ok(_) => files.push((entry, false)),
                    // Somebody meant it to be one.
                    Err(Some(_)) if name.ends_with(".json") && entry.is_file() => files.push((entry, false)),
                    Err(Some(reason)) => ignored.push(Ignored { file: entry.display().to_string(), reason }),
                    Err(None) => {}
                }
            }
        } else if path.symlink_metadata().is_err_and(|e| e.kind() != io::ErrorKind::PermissionDenied) {
            return Err(Error::Settings(format!("There is no file {}.", path.display())));
        } else {
            files.push((path.clone(), true));
        }
    }
    // One named twice, or with its directory, is one file.
    let mut seen = HashSet::new();
    files.retain(|(file, _)| seen.insert(file.clone()));
    Ok((files, ignored))
}

type Wrong = (Code, String, String);

/// The operations of a script; what the reader would refuse goes to `wrong`.
fn parts(direction: &str, script: &Value, wrong: &mut Vec<Wrong>) -> Vec<FileOperation> {
    let here = format!("/{direction}");
    let mut refuse = |code, path, message: String| wrong.push((code, path, format!("{direction}: {message}")));
    let Value::Object(fields) = script else {
        refuse(INVALID_VALUE, here, "the script must be an object with \"operations\"".to_owned());
        return Vec::new();
    };
    for key in fields.keys().filter(|key| *key != "operations") {
        refuse(UNKNOWN_NAME, format!("{here}/{key}"), format!("unknown field {key:?} beside \"operations\""));
    }
    let operations = match fields.get("operations") {
        Some(Value::Array(operations)) => operations,
        Some(_) => {
            refuse(INVALID_VALUE, format!("{here}/operations"), "\"operations\" must be an array".to_owned());
            return Vec::new();
        }
        None => {
            refuse(MISSING_FIELD, here, "the script has no \"operations\"".to_owned());
            return Vec::new();
        }
    };
    if operations.len() > MAX_OPERATIONS {
        let message = format!("a script has more than {MAX_OPERATIONS} operations; split the migration");
        refuse(INVALID_VALUE, format!("{here}/operations"), message);
        return Vec::new();
    }
    operations.iter().enumerate().map(|(at, value)| part(&format!("{here}/operations/{at}"), value, wrong)).collect()
}

fn part(path: &str, value: &Value, wrong: &mut Vec<Wrong>) -> FileOperation {
    let before = wrong.len();
    let allow = value.get("allow").and_then(|value| allowances(value).ok()).unwrap_or_default();
    if let Value::Object(fields) = value {
        names(path, fields, wrong);
        values(path, fields, wrong);
    }
    let operation = match Operation::parse(value.clone()) {
        Ok(operation) => Some(operation),
        Err(_) if wrong.len() > before => None,
        Err(message) => {
            wrong.push((INVALID_VALUE, path.to_owned(), message));
            None
        }
    };
    FileOperation { operation, allow }
}

/// The fields and options of an operation that the reader refuses, each looked at by itself in an operation that is
/// right otherwise: the reader stops at the first one.
fn values(path: &str, fields: &Map<String, Value>, wrong: &mut Vec<Wrong>) {
    let Some(grammar) = fields.get("type").and_then(Value::as_str).and_then(grammar) else { return };
    let plain = |field: &str| match field {
        // Names that nobody gives: `to` must not be the collection's own.
        "collection" => json!("edulearn.lint.one"),
        "to" => json!("edulearn.lint.other"),
        "index" => json!("x"),
        "filter" => json!({}),
        "update" => json!({"$set": {"x": 1}}),
        "documents" => json!([]),
        _ => json!({"validator": {}}),
    };
    let mut right = Map::from_iter([("type".to_owned(), json!(grammar.kind))]);
    right.extend(grammar.required.iter().map(|field| ((*field).to_owned(), plain(field))));
    let look = |field: &str, value: Value, path: String, wrong: &mut Vec<Wrong>| {
        let faults = match extended::decode(value.clone()) {
            Ok(_) => {
                let mut whole = right.clone();
                whole.insert(field.to_owned(), value);
                Operation::parse(Value::Object(whole)).err().map(|message| (path, message)).into_iter().collect()
            }
            Err(faults) => {
                faults.into_iter().map(|fault| (format!("{path}{}", fault.path), fault.message)).collect::<Vec<_>>()
            }
        };
        wrong.extend(faults.into_iter().map(|(path, message)| (INVALID_VALUE, path, message)));
    };
    for (field, value) in
        fields.iter().filter(|(field, _)| *field != "type" && grammar.fields.contains(&field.as_str()))
    {
        let here = format!("{path}/{field}");
        match value {
            // Reasons by codes, and no values of a document.
            _ if field == "allow" => {
                wrong.extend(allowances(value).err().map(|message| (INVALID_VALUE, here, message)));
            }
            Value::Object(options) if field == "options" => {
                for (option, value) in options.iter().filter(|(option, _)| grammar.options.contains(&option.as_str())) {
                    // It goes with another one.
                    if option != "pipeline" || grammar.kind == "modify_collection" {
                        look("options", json!({option: value}), format!("{here}/{option}"), wrong);
                    }
                }
            }
            Value::Array(documents) if field == "documents" => {
                for (at, document) in documents.iter().enumerate() {
                    let here = format!("{here}/{at}");
                    match extended::decode(document.clone()) {
                        Ok(bson::Bson::Document(_)) => {}
                        Ok(other) => {
                            let message = format!("documents[{at}] must be an object, not {}", type_name(&other));
                            wrong.push((INVALID_VALUE, here, message));
                        }
                        Err(faults) => wrong.extend(
                            faults.into_iter().map(|it| (INVALID_VALUE, format!("{here}{}", it.path), it.message)),
                        ),
                    }
                }
            }
            _ => look(field, value.clone(), here, wrong),
        }
    }
}

/// The fields and options of an operation that are unknown, and those that are missing.
fn names(path: &str, fields: &Map<String, Value>, wrong: &mut Vec<Wrong>) {
    let kind = match fields.get("type") {
        Some(Value::String(kind)) => kind,
        Some(_) => return,
        None => {
            wrong.push((MISSING_FIELD, path.to_owned(), "the field \"type\" is missing".to_owned()));
            return;
        }
    };
    let Some(grammar) = grammar(kind) else {
        wrong.push((UNKNOWN_NAME, format!("{path}/type"), unknown_type(kind)));
        return;
    };
    for key in fields.keys().filter(|key| !grammar.fields.contains(&key.as_str())) {
        wrong.push((UNKNOWN_NAME, format!("{path}/{key}"), unknown("field", key, grammar.fields)));
    }
    for name in grammar.required.iter().filter(|name| !fields.contains_key(**name)) {
        wrong.push((MISSING_FIELD, path.to_owned(), format!("{kind}: the field {name:?} is missing")));
    }
    if let Some(Value::Object(options)) = fields.get("options").filter(|_| grammar.fields.contains(&"options")) {
        for key in options.keys().filter(|key| !grammar.options.contains(&key.as_str())) {
            let message = unknown("option", key, grammar.options);
            wrong.push((UNKNOWN_NAME, format!("{path}/options/{key}"), message));
        }
    }
}

/// The place of a path such as `/up/operations/0/filter`.
fn in_script(path: &str) -> FindingPlace<'_> {
    for direction in [Direction::Up, Direction::Down] {
        let rest = path.strip_prefix('/').and_then(|rest| rest.strip_prefix(direction.as_str()));
        let Some(rest) = rest.and_then(|rest| rest.strip_prefix("/operations/")) else { continue };
        let end = rest.find('/').unwrap_or(rest.len());
        if let Ok(at) = rest[..end].parse() {
            return FindingPlace::Operation(direction, at, &rest[end..]);
        }
    }
    FindingPlace::Field(path)
}

/// The collections that the checks before the up script look at.
fn checked_before(checks: Option<&Value>) -> Vec<String> {
    let before = checks.and_then(|checks| checks.get("before")).and_then(Value::as_array);
    let collections = before.into_iter().flatten().filter_map(|check| check.get("collection")?.as_str());
    collections.map(str::to_owned).collect()
}

/// The error's sentence without the file's name, which a finding has already.
fn without_file(path: &Path, error: &Error) -> String {
    let message = error.to_string();
    message.strip_prefix(&format!("{}: ", path.display())).unwrap_or(&message).to_owned()
}
