//! What a single operation may do to data or server.

use std::collections::HashSet;

use bson::{Bson, Document};

use crate::analysis::lint::codes::{CAPTURE_OFF, EXPIRES, NO_FILTER, REFUSED, SERVER_CODE, UNCHECKED_UNIQUE};
use crate::analysis::lint::file::File;
use crate::analysis::lint::filters::find_key;
use crate::analysis::lint::finding::{FindingPlace, Findings};
use crate::model::script::Operation;
use crate::model::script::operation::Action;
use crate::model::script::refusals::refusals;
use crate::run::report::Direction;

const CODE: [&str; 3] = ["$where", "$function", "$accumulator"];

/// Looks at every operation of both scripts.
pub fn check(file: &File, findings: &mut Findings) {
    for direction in [Direction::Up, Direction::Down] {
        for (at, operation) in file.operations(direction) {
            capture_off(file, direction, at, operation, findings);
            server_code(file, direction, at, operation, findings);
            for refusal in refusals(operation) {
                let end = if refusal.message.ends_with('?') { "" } else { "." };
                let place = FindingPlace::Operation(direction, at, &refusal.field);
                findings.add(file, REFUSED, place, format!("{}{end}", refusal.message));
            }
        }
    }
    // A down script that changes everything because its up script did is no second finding; one that does without
    // is wider.
    let mut made_here = HashSet::new();
    for (at, operation) in file.operations(Direction::Up) {
        if matches!(operation.action, Action::CreateCollection { .. }) {
            made_here.insert(operation.collection.as_str());
        }
        if !made_here.contains(operation.collection.as_str()) {
            no_filter(file, at, operation, findings);
            unchecked_unique(file, at, operation, findings);
            expires(file, Direction::Up, at, operation, findings);
        }
    }
    for (at, operation) in file.operations(Direction::Down) {
        // What the up script took away comes back as it was.
        let again = |up: &Operation| {
            up.collection == operation.collection
                && matches!(up.action, Action::DropIndex(_) | Action::DropCollection | Action::ModifyCollection { .. })
        };
        if !file.operations(Direction::Up).any(|(_, up)| again(up)) {
            expires(file, Direction::Down, at, operation, findings);
        }
    }
}

/// A TTL on documents that may be there already.
fn expires(file: &File, direction: Direction, at: usize, operation: &Operation, findings: &mut Findings) {
    let (seconds, field) = match &operation.action {
        Action::CreateIndex(index) => (index.options.get("expireAfterSeconds"), "/options/expireAfterSeconds"),
        Action::ModifyCollection { options } => match options.get_document("index") {
            Ok(index) if index.contains_key("expireAfterSeconds") => {
                (index.get("expireAfterSeconds"), "/options/index")
            }
            _ => (options.get("expireAfterSeconds"), "/options/expireAfterSeconds"),
        },
        _ => return,
    };
    // "off" ends it.
    let Some(seconds) = seconds.filter(|seconds| !matches!(seconds, Bson::String(_) | Bson::Null)) else { return };
    let message = format!(
        "the server deletes the documents of {} that are older than {seconds} s within about a minute: they are not captured, \
         and no rollback brings them back.",
        operation.collection
    );
    findings.add(file, EXPIRES, FindingPlace::Operation(direction, at, field), message);
}

fn capture_off(file: &File, direction: Direction, at: usize, operation: &Operation, findings: &mut Findings) {
    let lost = match operation.action {
        _ if operation.capture => return,
        Action::DropCollection => "the dropped collection",
        Action::DropIndex(_) => "the dropped index",
        Action::DeleteDocuments(_) => "the deleted documents",
        Action::UpdateDocuments(_) => "the values it overwrites",
        _ => return,
    };
    let message =
        format!("{} of {} captures nothing: {lost} cannot come back.", operation.kind(), operation.collection);
    findings.add(file, CAPTURE_OFF, FindingPlace::Operation(direction, at, "/capture"), message);
}

fn server_code(file: &File, direction: Direction, at: usize, operation: &Operation, findings: &mut Findings) {
    let in_document = |field, document: &Document| {
        // Looked for key by key: no copy of what may be large.
        let found = document
            .iter()
            .find_map(|(key, value)| CODE.iter().find(|name| *name == key).copied().or_else(|| find_key(value, &CODE)));
        found.map(|name| (field, name))
    };
    let found = match &operation.action {
        Action::UpdateDocuments(update) => in_document("/filter", &update.filter)
            .or_else(|| match &update.update {
                // Only a pipeline computes; the operands of update operators are data.
                stages @ Bson::Array(_) => find_key(stages, &CODE).map(|name| ("/update", name)),
                _ => None,
            })
            .or_else(|| {
                let mut filters = update.array_filters.iter().flatten();
                filters.find_map(|filter| in_document("/options/array_filters", filter))
            }),
        Action::DeleteDocuments(delete) => in_document("/filter", &delete.filter),
        Action::CreateCollection { options } | Action::ModifyCollection { options } => in_document("/options", options),
        Action::CreateIndex(index) => in_document("/options", &index.options),
        _ => None,
    };
    if let Some((field, name)) = found {
        let message =
            format!("{} of {} runs JavaScript on the server ({name}).", operation.kind(), operation.collection);
        findings.add(file, SERVER_CODE, FindingPlace::Operation(direction, at, field), message);
    }
}

fn no_filter(file: &File, at: usize, operation: &Operation, findings: &mut Findings) {
    let what = match &operation.action {
        Action::UpdateDocuments(update) if update.filter.is_empty() => {
            if update.multi {
                "changes every document"
            } else {
                "changes one document, and which one is left to chance"
            }
        }
        Action::DeleteDocuments(delete) if delete.filter.is_empty() => "deletes every document",
        _ => return,
    };
    let message = format!("{} without a filter {what} of {}.", operation.kind(), operation.collection);
    findings.add(file, NO_FILTER, FindingPlace::Operation(Direction::Up, at, "/filter"), message);
}

fn unchecked_unique(file: &File, at: usize, operation: &Operation, findings: &mut Findings) {
    let Action::CreateIndex(index) = &operation.action else { return };
    let unique = ["unique", "prepareUnique"].iter().any(|name| index.options.get(name) == Some(&Bson::Boolean(true)));
    if unique && !file.checked_before.contains(&operation.collection) {
        let message = format!(
            "the unique index {} on {} fails where documents share a key, after the operations before it are done.",
            index.name, operation.collection
        );
        findings.add(file, UNCHECKED_UNIQUE, FindingPlace::Operation(Direction::Up, at, "/options/unique"), message);
    }
}
