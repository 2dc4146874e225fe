//! What was found in the end: for the report, and for the history.

use bson::{Bson, doc};

use super::preconditions::Preconditions;
use super::shared::MigrateOptions;
use crate::assessment::names::RECORD;
use crate::assessment::report::{MigrateReport, Validation};
use crate::assessment::validate::ValidationResult;
use crate::error::Result;
use crate::plural::{counted, counted_were};
use crate::run::handle::Run;
use crate::run::history;

/// Unmapped documents in one entry of the history.
const NOTED_AT_ONCE: usize = 1_000;

/// Completes the report by what was found in the end.
pub(super) fn conclude(
    report: &mut MigrateReport,
    preconditions: &Preconditions,
    found: ValidationResult,
    options: MigrateOptions,
) {
    report.regular.unmapped = found.regular_unmapped;
    report.teacher.unmapped = found.teacher_unmapped;
    report.regular.already = (found.validation.regular - report.regular.migrated).max(0);
    report.teacher.already = (found.copied - report.teacher.migrated).max(0);
    report.clashes = found.clashes;
    report.clashing = found.clashing;
    report.copies = found.copies.into();
    report.reported = found.reported;
    report.validation = found.validation;
    report.validation.unmapped = found.regular_unmapped + found.teacher_unmapped;
    report.unmapped = found.unmapped;
    let validation = &mut report.validation;
    if validation.missing_fields > 0 {
        let incomplete = counted(validation.missing_fields, "unified document");
        let lack = if validation.missing_fields == 1 {
            "lacks a field of the model, or has"
        } else {
            "lack a field of the model, or have"
        };
        validation.problems.push(format!("{incomplete} {lack} one of a wrong type"));
    }
    let why = |name: &str| report.indexes.conflicts.iter().find(|conflict| conflict.starts_with(name)).cloned();
    let missing: Vec<String> = match &preconditions.assessments {
        Some(_) => preconditions
            .existing
            .missing
            .iter()
            .map(|name| why(name).unwrap_or_else(|| format!("the index {name:?} is missing")))
            .collect(),
        None => Vec::new(),
    };
    settle(validation, missing, "were", options);
}

/// Adds what follows from documents that cannot be mapped, and judges.
pub(super) fn settle(validation: &mut Validation, missing: Vec<String>, left: &str, options: MigrateOptions) {
    if validation.unmapped > 0 && !options.accept_unmapped {
        let unmapped = counted(validation.unmapped, "document");
        validation.problems.push(match validation.unmapped {
            1 => format!("{unmapped} cannot be mapped and {} left as it is", if left == "were" { "was" } else { left }),
            _ => format!("{unmapped} cannot be mapped and {left} left as they are"),
        });
    }
    validation.problems.extend(missing);
    validation.valid = validation.problems.is_empty();
}

/// Adds what a run that was killed has passed over, and nothing lists: what the server refused for a reason that only a write
/// shows. To this run it looks as if it had been added meanwhile.
pub(super) fn unlisted(validation: &mut Validation, passed_over: i64) {
    let unlisted = (passed_over - validation.unmapped).min(validation.added_meanwhile);
    if unlisted > 0 {
        validation.problems.push(format!(
            "{} refused by the server before the run was interrupted; run the command again for a list",
            counted_were(unlisted, "document")
        ));
        validation.valid = false;
    }
}

/// Writes the findings into the history.
pub(super) async fn note(run: &mut Run, report: &MigrateReport) -> Result<()> {
    let mut entry = history::document(run, RECORD, "validated");
    for (name, value) in [
        ("validation", bson::serialize_to_bson(&report.validation)),
        ("regular", bson::serialize_to_bson(&report.regular)),
        ("teacher", bson::serialize_to_bson(&report.teacher)),
    ] {
        if let Ok(value) = value {
            entry.insert(name, value);
        }
    }
    let mut entries = vec![history::append(&run.server, entry)];
    for (name, listed) in [
        ("unmapped", report.unmapped.iter().map(bson::serialize_to_bson).collect::<Vec<_>>()),
        ("clashes", report.clashes.iter().map(bson::serialize_to_bson).collect()),
    ] {
        for part in listed.chunks(NOTED_AT_ONCE) {
            let mut entry = history::document(run, RECORD, name);
            let part: Vec<Bson> = part.iter().filter_map(|each| each.as_ref().ok().cloned()).map(storable).collect();
            entry.insert(name, part);
            entries.push(history::append(&run.server, entry));
        }
    }
    entries.push(doc! {
        "update": run.server.names().ledger(),
        "updates": [{"q": {"_id": RECORD}, "u": {"$set": {"unmapped": report.regular.unmapped}}}],
    });
    run.write(history::WRITING, entries).await
}

/// A value without names that begin with `$`: Extended JSON becomes text, which every reader of the history can hold.
pub(super) fn storable(value: Bson) -> Bson {
    match value {
        Bson::Document(document) if document.keys().any(|name| name.starts_with('$')) => {
            Bson::String(Bson::Document(document).into_relaxed_extjson().to_string())
        }
        Bson::Document(document) => {
            Bson::Document(document.into_iter().map(|(name, value)| (name, storable(value))).collect())
        }
        other => other,
    }
}
