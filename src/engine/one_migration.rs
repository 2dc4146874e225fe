//! One migration from where the journal says to its end: its checks, its operations, its record.

use std::time::Instant;

use bson::oid::ObjectId;

use super::migration_report::{describe, operation_report, stopped};
use super::{exact, overreach, retention, verify};
use crate::assessment::{task, undo_copies};
use crate::capture::registry;
use crate::engine::planned::{PlannedMigration, WorkItem};
use crate::error::{Error, Result};
use crate::observe::{Kind, Level};
use crate::operations;
use crate::operations::error::OperationError;
use crate::plural::{counted, counted_are};
use crate::run::capture_key::CaptureId;
use crate::run::handle::Run;
use crate::run::journal::Journal;
use crate::run::progress::{OperationIndex, Progress};
use crate::run::report::{Direction, MigrationOutcome, MigrationReport, Outcome, Overreaches};
use crate::run::{history, ledger};
use crate::undo;

/// Runs one script from where the journal says to its end.
pub(super) async fn run_one(
    run: &mut Run,
    planned: &PlannedMigration,
    direction: Direction,
    report: &mut MigrationReport,
) -> Result<()> {
    let speaker = run.reporter.clone();
    run.reporter = speaker.for_migration(&planned.id);
    let started = Instant::now();
    let result = match verify::before(run, planned, direction).await {
        Ok(()) => run_operations(run, planned, direction, report, started).await,
        Err(error) => Err(error),
    };
    report.seconds = started.elapsed().as_secs_f64();
    let result = match result {
        Ok(note) => ledger::finish(run, &planned.header(), direction, note, report, &planned.undone_captures()).await,
        Err(error) => Err(error),
    };
    match &result {
        Ok(()) => {
            let (outcome, kind, did) = match direction {
                Direction::Up => (MigrationOutcome::Applied, Kind::MigrationApplied, "Applied"),
                Direction::Down => (MigrationOutcome::RolledBack, Kind::MigrationRolledBack, "Rolled back"),
            };
            report.outcome = outcome;
            let message = format!("{did} {} ({}) in {:.1} s.", planned.id, planned.name, report.seconds);
            run.reporter.tell(kind, Level::Info, message);
        }
        Err(error @ (Error::Operation(_) | Error::Check(_))) => {
            report.outcome = MigrationOutcome::Failed;
            run.reporter.tell(Kind::MigrationFailed, Level::Error, error.to_string());
        }
        Err(error) => {
            // After a lost lease nothing more is written, not even this.
            if !matches!(error, Error::LeaseLost(_)) {
                let _ = history::note_interruption(run, &planned.id, report, &error.to_string()).await;
            }
            run.reporter.tell(Kind::MigrationInterrupted, Level::Warning, error.to_string());
        }
    }
    run.reporter = speaker;
    result
}

async fn run_operations(
    run: &mut Run,
    planned: &PlannedMigration,
    direction: Direction,
    report: &mut MigrationReport,
    started: Instant,
) -> Result<ObjectId> {
    if direction == Direction::Down && !planned.exact && planned.resume.is_none() {
        report.overreach = Overreaches(overreach::count(run, planned).await?);
    }
    exact::refuse_moved(&run.server, planned).await?;
    let fresh = Progress::new(direction, planned.capture.then(|| CaptureId(ObjectId::new())), planned.exact);
    let header = fresh.capture.filter(|_| planned.resume.is_none());
    let header =
        header.map(|capture| registry::header(run.server.names(), capture, &planned.header(), direction, run.entry()));
    ledger::begin(run, &planned.header(), direction, &fresh, header).await?;
    if !run.server.transactions() {
        retention::remove_unnamed(run, &planned.id).await?;
    }
    let progress = planned.resume.clone().unwrap_or(fresh);
    let finished = progress.finished();
    let operations = planned.items.len();
    let verb = match (direction, planned.exact) {
        (Direction::Up, _) => "Applying",
        (Direction::Down, false) => "Rolling back",
        (Direction::Down, true) => "Undoing",
    };
    let what = match planned.resume {
        None => counted(operations, "operation"),
        Some(_) => format!("carrying on; {finished} of {} done", counted_are(operations, "operation")),
    };
    let message = format!("{verb} {} ({}): {what}.", planned.id, planned.name);
    run.reporter.tell(Kind::MigrationStarted, Level::Info, message);
    let mut journal = Journal::new(&planned.id, progress);
    for (index, item) in planned.items.iter().enumerate().skip(finished) {
        let place = OperationIndex { index, operations };
        if let Err(error) = run.safe_point() {
            return Err(stopped(error, planned, place, &journal));
        }
        let begun = Instant::now();
        let what = format!("{} on {}", item.kind(), item.collection());
        let number = index + 1;
        run.reporter.operation(
            Kind::OperationStarted,
            number,
            operations,
            format!("Operation {number} of {operations}: {what}."),
        );
        // On the heap: what the operations keep while they wait would fill a thread's stack.
        let executed = match item {
            WorkItem::Operation(operation) => Box::pin(operations::execute(run, &mut journal, operation, place)).await,
            WorkItem::Undo(undo) if undo.done == registry::BRING_OVER => {
                Box::pin(undo_copies::execute(run, &mut journal, undo, &planned.undoes(), place)).await
            }
            WorkItem::Undo(undo) => Box::pin(undo::execute(run, &mut journal, undo, &planned.undoes(), place)).await,
            WorkItem::Assessment(part) => Box::pin(task::execute(run, &mut journal, part, place)).await,
        };
        match executed {
            Ok(()) => {
                let done = operation_report(&journal, item, place, begun, None);
                let note = done.note.as_ref().map(|note| format!(": {note}")).unwrap_or_default();
                let message = format!("Operation {number} of {operations}: {what} finished{note}.");
                run.reporter.operation(Kind::OperationFinished, number, operations, message);
                report.operations.push(done);
            }
            Err(OperationError::Failed(failure)) => {
                journal.reread(run).await;
                report.operations.push(operation_report(&journal, item, place, begun, Some(Outcome::Failed)));
                report.seconds = started.elapsed().as_secs_f64();
                report.outcome = MigrationOutcome::Failed;
                let failure = describe(planned, direction, item, place, &journal, failure);
                report.error = Some(failure.message());
                ledger::fail(run, &planned.id, direction, &failure, report).await?;
                return Err(Error::Operation(Box::new(failure)));
            }
            Err(OperationError::Stopped(error)) => {
                report.operations.push(operation_report(&journal, item, place, begun, Some(Outcome::Interrupted)));
                return Err(stopped(error, planned, place, &journal));
            }
        }
    }
    if direction == Direction::Up {
        report.seconds = started.elapsed().as_secs_f64();
        verify::after(run, planned, report).await?;
    }
    if planned.exact {
        report.undone = exact::by_collection(planned, &journal.progress);
    }
    Ok(journal.progress.note)
}
