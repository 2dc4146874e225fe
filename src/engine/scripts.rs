//! `apply` and `rollback`: what is to run, and every migration of it, one after the other.

use std::path::Path;
use std::time::Duration;

use super::inventory::Inventory;
use super::migration_report::{already_applied, begun, blocked};
use super::one_migration::run_one;
use super::selection::{ApplyOptions, Plan, RollbackOptions, RunOptions};
use super::{CallContext, Engine, exact, own, rights, start, unreported};
use crate::backup::restore::journal;
use crate::error::{Error, Failed, Result};
use crate::model::source::{self, Directory};
use crate::observe::{Kind, Level};
use crate::run::foreign;
use crate::run::handle::Run;
use crate::run::report::{Direction, RunReport};
use crate::run::{lease, ledger};

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
    let plan = match plan(engine, &files, &wanted).await.map(|(plan, _)| plan) {
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
    if plan.migrations.is_empty() {
        note_plan(&plan, &mut report);
        let ended = note_blocked(plan.blocked, &mut report);
        return ended_with(ended, report);
    }
    let demands =
        rights::of_run(server, &plan.migrations).await.map_err(Error::server("Asking for what the run needs"))?;
    demands.refuse(server, "Nothing was done.").await?;
    let mut run = start(server, command, lock_timeout, call).await?;
    // What was read before the lease may have changed while it was awaited.
    let result = async {
        // Half of the database may be of a backup.
        journal::refuse_unfinished(server).await?;
        let plan = match self::plan(engine, &files, &wanted).await.map(|(plan, _)| plan) {
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
        run_all(&mut run, plan, &mut report).await
    }
    .await;
    run.close().await;
    ended_with(result, report)
}

fn ended_with(result: Result<()>, report: RunReport) -> Result<RunReport, Failed<RunReport>> {
    match result {
        Ok(()) => Ok(report),
        Err(error) => Err(Failed { error, report: Some(Box::new(report)) }),
    }
}

/// What is to be run, with the items of exact rollbacks, and the inventory that it was decided by.
pub(super) async fn plan(engine: &Engine, files: &Directory, wanted: &RunOptions) -> Result<(Plan, Inventory)> {
    let server = engine.server().await?;
    foreign::refuse(server).await?;
    let inventory = Inventory::new(files.migrations.clone(), ledger::read(server).await?);
    let mut plan = wanted.plan(&inventory)?;
    let asked = matches!(wanted, RunOptions::Rollback(options) if options.exact);
    exact::add_undo_items(server, &inventory, &mut plan, asked).await?;
    for planned in &mut plan.migrations {
        own::refuse(server.names(), planned)?;
        planned.seen = inventory.find(&planned.id)?.record.as_ref().map(|record| record.seen.clone());
    }
    Ok((plan, inventory))
}

/// Runs every migration of the plan, in order.
async fn run_all(run: &mut Run, plan: Plan, report: &mut RunReport) -> Result<()> {
    note_plan(&plan, report);
    for planned in &plan.migrations {
        run.safe_point()?;
        let mut migration = begun(planned, report.direction);
        let result = run_one(run, planned, report.direction, &mut migration).await;
        if let Err(error) = &result {
            migration.error = Some(error.to_string());
        }
        report.migrations.push(migration);
        result?;
    }
    note_blocked(plan.blocked, report)
}

/// What the plan leaves as it is.
fn note_plan(plan: &Plan, report: &mut RunReport) {
    report.migrations.extend(already_applied(plan));
    report.passed_over.clone_from(&plan.passed_over);
}

/// Why the plan ends before all that was asked for, if it does.
fn note_blocked(because: Option<(String, String, Error)>, report: &mut RunReport) -> Result<()> {
    let Some((id, name, error)) = because else { return Ok(()) };
    report.migrations.push(blocked(id, name, report.direction, &error));
    Err(error)
}

/// The migrations directory's files; none for an engine that works on the database's records only.
pub(super) fn read_files(directory: Option<&Path>) -> Result<Directory> {
    directory.map_or_else(|| Ok(Directory::default()), source::read_directory)
}
