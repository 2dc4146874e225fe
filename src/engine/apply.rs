//! `apply` and `rollback`: taking a plan's scripts through, one after the other.

use std::path::Path;
use std::time::{Duration, Instant};

use bson::oid::ObjectId;

use super::inventory::Inventory;
use super::migration_report::{already_applied, blocked, describe, operation_report, stopped};
use super::selection::{ApplyOptions, Plan, RollbackOptions, RunOptions};
use super::{CallContext, Engine, exact, overreach, own, retention, rights, start, unreported, verify};
use crate::assessment::{task, undo_copies};
use crate::backup::restore::journal;
use crate::capture::registry;
use crate::engine::planned::{PlannedMigration, WorkItem};
use crate::error::{Error, Failed, Result};
use crate::model::source::{self, Directory};
use crate::observe::{Kind, Level};
use crate::operations;
use crate::operations::error::OperationError;
use crate::plural::{counted, counted_are};
use crate::run::capture_key::CaptureId;
use crate::run::foreign;
use crate::run::handle::Run;
use crate::run::history;
use crate::run::journal::Journal;
use crate::run::progress::OperationIndex;
use crate::run::progress::Progress;
use crate::run::report::{Direction, MigrationOutcome, MigrationReport, Outcome, Overreaches, RunReport};
use crate::run::{lease, ledger};
use crate::undo;

/// Applies every pending migration in order, or the one asked for.
///
/// # Errors
/// Any [`Error`], with what was applied before it.
pub async fn apply(
    engine: &Engine,
    call: &CallContext,
    options: ApplyOptions,
    lock_timeout: Duration,
) -> Result<RunReport, Failed<RunReport>> {
    run_scripts(engine, call, RunOptions::Apply(options), lock_timeout).await
}

/// Rolls every applied migration back in reverse order of application, or the one asked for.
///
/// # Errors
/// Any [`Error`], with what was rolled back before it.
pub async fn rollback(
    engine: &Engine,
    call: &CallContext,
    options: RollbackOptions,
    lock_timeout: Duration,
) -> Result<RunReport, Failed<RunReport>> {
    run_scripts(engine, call, RunOptions::Rollback(options), lock_timeout).await
}

async fn run_scripts(
    engine: &Engine,
    call: &CallContext,
    wanted: RunOptions,
    lock_timeout: Duration,
) -> Result<RunReport, Failed<RunReport>> {
    let direction = wanted.direction();
    // Every file is checked before the server is asked for anything.
    let files = read_files(engine.migrations_dir())?;
    let server = engine.server().await?;
    let mut report = RunReport {
        database: server.database().to_owned(),
        direction,
        migrations: Vec::new(),
        passed_over: Vec::new(),
        ignored: files.ignored.clone(),
    };
    let command = match direction {
        Direction::Up => "apply",
        Direction::Down => "rollback",
    };
    let holder = lease::read_holder(server).await?;
    let plan = match plan(engine, &files, &wanted).await {
        Err(error @ Error::WrongState(_)) => {
            let done = unreported::rolled_back(server, &files, &wanted, holder.as_ref()).await?;
            let Some(done) = done else { return Err(error.into()) };
            // Takes over from the run that was killed, and gives the lease back.
            start(server, command, lock_timeout, call).await?.close().await;
            report.migrations.push(done);
            return Ok(report);
        }
        plan => plan?,
    };
    if plan.steps.is_empty() {
        return finish_without_steps(plan, report);
    }
    let demands = rights::of_run(server, &plan.steps).await.map_err(Error::server("Asking for what the run needs"))?;
    demands.refuse(server, "Nothing was done.").await?;
    let mut run = start(server, command, lock_timeout, call).await?;
    // What was read before the lease may have changed while it was awaited.
    let result = async {
        // Half of the database may be of a backup.
        journal::refuse_unfinished(server).await?;
        let plan = match self::plan(engine, &files, &wanted).await {
            // The last commit of a killed run may arrive only now.
            Err(error @ Error::WrongState(_)) => {
                let done = unreported::rolled_back(server, &files, &wanted, holder.as_ref()).await?;
                report.migrations.push(done.ok_or(error)?);
                return Ok(());
            }
            plan => plan?,
        };
        for sentence in &plan.unfinished {
            run.reporter.tell(Kind::Warning, Level::Warning, sentence.clone());
        }
        take_through(&mut run, plan, direction, &mut report).await
    }
    .await;
    run.close().await;
    match result {
        Ok(()) => Ok(report),
        Err(error) => Err(Failed { error, report: Some(Box::new(report)) }),
    }
}

/// What is to be run, with the tasks of exact rollbacks.
pub(super) async fn plan(engine: &Engine, files: &Directory, wanted: &RunOptions) -> Result<Plan> {
    let server = engine.server().await?;
    foreign::refuse(server).await?;
    let inventory = Inventory::new(files.migrations.clone(), ledger::read(server).await?);
    let mut plan = wanted.plan(&inventory)?;
    let asked = matches!(wanted, RunOptions::Rollback(options) if options.exact);
    exact::fill(server, &inventory, &mut plan, asked).await?;
    for step in &mut plan.steps {
        own::refuse(server.names(), step)?;
        step.seen = inventory.find(&step.id)?.record.as_ref().map(|record| record.seen.clone());
    }
    Ok(plan)
}

fn finish_without_steps(plan: Plan, mut report: RunReport) -> Result<RunReport, Failed<RunReport>> {
    report.migrations.extend(already_applied(&plan));
    report.passed_over.clone_from(&plan.passed_over);
    match plan.blocked {
        None => Ok(report),
        Some((id, name, error)) => {
            report.migrations.push(blocked(id, name, report.direction, &error));
            Err(Failed { error, report: Some(Box::new(report)) })
        }
    }
}

async fn take_through(run: &mut Run, plan: Plan, direction: Direction, report: &mut RunReport) -> Result<()> {
    report.migrations.extend(already_applied(&plan));
    report.passed_over.clone_from(&plan.passed_over);
    for step in &plan.steps {
        run.safe_point()?;
        let mut migration = MigrationReport {
            id: step.id.clone(),
            name: step.name.clone(),
            direction,
            outcome: MigrationOutcome::Interrupted,
            resumed: step.resume.is_some(),
            exact: step.exact,
            seconds: 0.0,
            operations: Vec::new(),
            undone: Vec::new(),
            overreach: Overreaches::default(),
            error: None,
        };
        let result = take_one(run, step, direction, &mut migration).await;
        if let Err(error) = &result {
            migration.error = Some(error.to_string());
        }
        report.migrations.push(migration);
        result?;
    }
    match plan.blocked {
        None => Ok(()),
        Some((id, name, error)) => {
            report.migrations.push(blocked(id, name, direction, &error));
            Err(error)
        }
    }
}

/// Runs one script from where the journal says to its end.
pub(super) async fn take_one(
    run: &mut Run,
    step: &PlannedMigration,
    direction: Direction,
    report: &mut MigrationReport,
) -> Result<()> {
    let speaker = run.reporter.clone();
    run.reporter = speaker.for_migration(&step.id);
    let started = Instant::now();
    let result = match verify::before(run, step, direction).await {
        Ok(()) => run_operations(run, step, direction, report, started).await,
        Err(error) => Err(error),
    };
    report.seconds = started.elapsed().as_secs_f64();
    let result = match result {
        Ok(note) => ledger::finish(run, &step.header(), direction, note, report, &step.undone_captures()).await,
        Err(error) => Err(error),
    };
    match &result {
        Ok(()) => {
            let (outcome, kind, did) = match direction {
                Direction::Up => (MigrationOutcome::Applied, Kind::MigrationApplied, "Applied"),
                Direction::Down => (MigrationOutcome::RolledBack, Kind::MigrationRolledBack, "Rolled back"),
            };
            report.outcome = outcome;
            let message = format!("{did} {} ({}) in {:.1} s.", step.id, step.name, report.seconds);
            run.reporter.tell(kind, Level::Info, message);
        }
        Err(error @ (Error::Operation(_) | Error::Check(_))) => {
            report.outcome = MigrationOutcome::Failed;
            run.reporter.tell(Kind::MigrationFailed, Level::Error, error.to_string());
        }
        Err(error) => {
            // After a lost lease nothing more is written, not even this.
            if !matches!(error, Error::LeaseLost(_)) {
                let _ = history::note_interruption(run, &step.id, report, &error.to_string()).await;
            }
            run.reporter.tell(Kind::MigrationInterrupted, Level::Warning, error.to_string());
        }
    }
    run.reporter = speaker;
    result
}

async fn run_operations(
    run: &mut Run,
    step: &PlannedMigration,
    direction: Direction,
    report: &mut MigrationReport,
    started: Instant,
) -> Result<ObjectId> {
    if direction == Direction::Down && !step.exact && step.resume.is_none() {
        report.overreach = Overreaches(overreach::count(run, step).await?);
    }
    exact::refuse_moved(&run.server, step).await?;
    let fresh = Progress::new(direction, step.capture.then(|| CaptureId(ObjectId::new())), step.exact);
    let header = fresh.capture.filter(|_| step.resume.is_none());
    let header =
        header.map(|capture| registry::header(run.server.names(), capture, &step.header(), direction, run.entry()));
    ledger::begin(run, &step.header(), direction, &fresh, header).await?;
    if !run.server.transactions() {
        retention::remove_unnamed(run, &step.id).await?;
    }
    let progress = step.resume.clone().unwrap_or(fresh);
    let finished = progress.finished();
    let operations = step.items.len();
    let verb = match (direction, step.exact) {
        (Direction::Up, _) => "Applying",
        (Direction::Down, false) => "Rolling back",
        (Direction::Down, true) => "Undoing",
    };
    let message = match finished {
        _ if step.resume.is_none() => {
            format!("{verb} {} ({}): {}.", step.id, step.name, counted(operations, "operation"))
        }
        _ => {
            format!(
                "{verb} {} ({}): carrying on; {finished} of {} done.",
                step.id,
                step.name,
                counted_are(operations, "operation")
            )
        }
    };
    run.reporter.tell(Kind::MigrationStarted, Level::Info, message);
    let mut journal = Journal::new(&step.id, progress);
    for (index, task) in step.items.iter().enumerate().skip(finished) {
        let place = OperationIndex { index, operations };
        if let Err(error) = run.safe_point() {
            return Err(stopped(error, step, place, &journal));
        }
        let begun = Instant::now();
        let what = format!("{} on {}", task.kind(), task.collection());
        let number = index + 1;
        run.reporter.operation(
            Kind::OperationStarted,
            number,
            operations,
            format!("Operation {number} of {operations}: {what}."),
        );
        // On the heap: what the operations keep while they wait would fill a thread's stack.
        let carried_out = match task {
            WorkItem::Operation(operation) => Box::pin(operations::execute(run, &mut journal, operation, place)).await,
            WorkItem::Undo(undo) if undo.done == registry::BRING_OVER => {
                Box::pin(undo_copies::execute(run, &mut journal, undo, &step.undoes(), place)).await
            }
            WorkItem::Undo(undo) => Box::pin(undo::execute(run, &mut journal, undo, &step.undoes(), place)).await,
            WorkItem::Assessment(item) => Box::pin(task::execute(run, &mut journal, item, place)).await,
        };
        match carried_out {
            Ok(()) => {
                let done = operation_report(&journal, task, place, begun, None);
                let note = done.note.as_ref().map(|note| format!(": {note}")).unwrap_or_default();
                let message = format!("Operation {number} of {operations}: {what} finished{note}.");
                run.reporter.operation(Kind::OperationFinished, number, operations, message);
                report.operations.push(done);
            }
            Err(OperationError::Failed(failure)) => {
                journal.reread(run).await;
                report.operations.push(operation_report(&journal, task, place, begun, Some(Outcome::Failed)));
                report.seconds = started.elapsed().as_secs_f64();
                report.outcome = MigrationOutcome::Failed;
                let failure = describe(step, direction, task, place, &journal, failure);
                report.error = Some(failure.message());
                ledger::fail(run, &step.id, direction, &failure, report).await?;
                return Err(Error::Operation(Box::new(failure)));
            }
            Err(OperationError::Stopped(error)) => {
                report.operations.push(operation_report(&journal, task, place, begun, Some(Outcome::Interrupted)));
                return Err(stopped(error, step, place, &journal));
            }
        }
    }
    if direction == Direction::Up {
        report.seconds = started.elapsed().as_secs_f64();
        verify::after(run, step, report).await?;
    }
    if step.exact {
        report.undone = exact::by_collection(step, &journal.progress);
    }
    Ok(journal.progress.note)
}

/// The migrations directory's files; none for an engine that works on the database's records only.
pub(super) fn read_files(directory: Option<&Path>) -> Result<Directory> {
    directory.map_or_else(|| Ok(Directory::default()), source::read_directory)
}
