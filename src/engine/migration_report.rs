//! What a run reports of a migration: its operations, where it was stopped, why it failed.

use std::time::Instant;

use super::selection::Plan;
use crate::engine::planned::{PlannedMigration, WorkItem};
use crate::error::Error;
use crate::error::failure::{OperationFailure, remedy};
use crate::operations::error::Failure;
use crate::plural::{counted, counted_are};
use crate::run::journal::Journal;
use crate::run::progress::{OperationIndex, OperationProgress};
use crate::run::report::{Direction, MigrationOutcome, MigrationReport, OperationReport, Outcome};

/// What the journal says of an operation, as a report; `ended` where it has not finished.
pub(super) fn operation_report(
    journal: &Journal,
    item: &WorkItem,
    place: OperationIndex,
    started: Instant,
    ended: Option<Outcome>,
) -> OperationReport {
    let progress =
        journal.progress.operations.get(place.index).cloned().unwrap_or_else(|| OperationProgress::new(item.hash()));
    OperationReport {
        index: i64::try_from(place.index + 1).unwrap_or(i64::MAX),
        kind: item.kind().to_owned(),
        collection: item.collection().to_owned(),
        outcome: ended.or(progress.outcome).unwrap_or(Outcome::Interrupted),
        counts: progress.counts,
        chunks: progress.chunks,
        conflicts: progress.conflicts,
        seconds: started.elapsed().as_secs_f64(),
        note: progress.note,
    }
}

/// A stop in words: where, and how to go on.
pub(super) fn stopped(error: Error, planned: &PlannedMigration, place: OperationIndex, journal: &Journal) -> Error {
    let Error::Interrupted(why) = error else { return error };
    let documents = journal.progress.operations.get(place.index).map_or(0, |operation| operation.counts.documents());
    let within = if documents > 0 {
        format!(", and {} of operation {}", counted(documents, "document"), place.index + 1)
    } else {
        String::new()
    };
    let or_back = match journal.progress.direction {
        Direction::Up => format!(", or `{}` to undo it", planned.undone_by()),
        Direction::Down => String::new(),
    };
    Error::Interrupted(format!(
        "{why} {} ({}): {} of {} done{within}. Run the same command again to carry on{or_back}.",
        planned.id,
        planned.name,
        place.index,
        counted_are(place.operations, "operation"),
    ))
}

/// A failure in words: which operation of which file, why, what is done so far, what to do next.
pub(super) fn describe(
    planned: &PlannedMigration,
    direction: Direction,
    item: &WorkItem,
    place: OperationIndex,
    journal: &Journal,
    failure: Failure,
) -> OperationFailure {
    let own = journal.progress.operations.get(place.index);
    let documents = own.map_or(0, |own| own.counts.documents());
    let number = place.index + 1;
    let before = match place.index {
        0 => String::new(),
        1 => "Operation 1 is done. ".to_owned(),
        n => format!("Operations 1 to {n} are done. "),
    };
    let documents = documents + failure.written.unwrap_or(0);
    // Without transactions a write may be refused half-way.
    let unsure = failure.written.is_none() && own.is_some_and(|own| own.begun && own.chunks == 0);
    let own = if documents > 0 {
        format!("Of operation {number}, {} done", counted_are(documents, "document"))
    } else if unsure {
        format!("Of operation {number}, some documents may be done, because this server has no transactions")
    } else {
        format!("Of operation {number}, nothing is done")
    };
    let remedy = failure.remedy.unwrap_or_else(|| remedy(failure.code, item.kind()).to_owned());
    let cause = match failure.code {
        Some(code) if !failure.cause.contains(&format!("code {code}")) => format!("{} (code {code})", failure.cause),
        _ => failure.cause,
    };
    OperationFailure {
        migration: planned.id.clone(),
        source: planned.origin.clone(),
        direction: direction.as_str().to_owned(),
        index: place.index + 1,
        operations: place.operations,
        kind: item.kind().to_owned(),
        collection: item.collection().to_owned(),
        remedy: [Some(remedy), planned.alternatives.clone()].into_iter().flatten().collect::<Vec<_>>().join(" "),
        cause,
        code: failure.code,
        done: format!("{before}{own}."),
    }
}

/// The report of a migration before its first operation.
pub(super) fn begun(planned: &PlannedMigration, direction: Direction) -> MigrationReport {
    MigrationReport {
        resumed: planned.resume.is_some(),
        exact: planned.exact,
        ..MigrationReport::new(planned.id.clone(), planned.name.clone(), direction, MigrationOutcome::Interrupted)
    }
}

pub(super) fn already_applied(plan: &Plan) -> Option<MigrationReport> {
    let (id, name) = plan.already_applied.clone()?;
    Some(MigrationReport::new(id, name, Direction::Up, MigrationOutcome::AlreadyApplied))
}

pub(super) fn blocked(id: String, name: String, direction: Direction, error: &Error) -> MigrationReport {
    let error = Some(error.to_string());
    MigrationReport { error, ..MigrationReport::new(id, name, direction, MigrationOutcome::Failed) }
}
