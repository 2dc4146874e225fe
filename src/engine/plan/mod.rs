//! `plan`, `apply --dry-run`, `rollback --dry-run`: what a run would do, by the data as it is. Reads only, takes no
//! lease, and makes nothing.

use super::scripts::{plan as plan_run, read_files};
use super::selection::RunOptions;
use super::{CallContext, Engine, exact, overreach, rights};
use crate::analysis::checks;
use crate::analysis::plan::report::{Blocked, MigrationPlan, PlanReport};
use crate::analysis::plan::touched::Touched;
use crate::analysis::plan::{self, PlanContext, UndoneBefore};
use crate::backup::restore::journal;
use crate::engine::planned::{PlannedMigration, WorkItem};
use crate::error::{Error, Result};
use crate::mongo::demands::Demands;
use crate::observe::{Kind, Level};
use crate::run::report::{Direction, Overreaches};

/// What the run would do.
///
/// # Errors
/// What the run would be refused with as a whole, or the server's.
pub async fn plan(engine: &Engine, call: &CallContext, wanted: RunOptions) -> Result<PlanReport> {
    let files = read_files(engine.migrations_dir())?;
    let server = engine.server().await?;
    let direction = wanted.direction();
    let (mut plan, inventory) = plan_run(engine, &files, &wanted).await?;
    if let Some((at, error)) = exact::foresee_moved(server, &plan).await? {
        if at == 0 {
            return Err(error);
        }
        let refused = &plan.migrations[at];
        plan.blocked = Some((refused.id.clone(), refused.name.clone(), error));
        plan.migrations.truncate(at);
    }
    for sentence in &plan.unfinished {
        call.reporter.tell(Kind::Warning, Level::Warning, sentence.clone());
    }
    if !plan.migrations.is_empty() {
        journal::refuse_unfinished(server).await?;
    }
    let uncaptured = match &wanted {
        RunOptions::Apply(options) => options.uncaptured,
        RunOptions::Rollback(options) => options.uncaptured,
    };
    let look = PlanContext { server, stop: &call.stop, uncaptured };
    let mut walk = Walk { look, direction, touched: Touched::default() };
    let mut migrations = Vec::new();
    for planned in &plan.migrations {
        let out_of_order = inventory.find(&planned.id).is_ok_and(|entry| entry.out_of_order);
        migrations.push(walk.migration(planned, out_of_order).await?);
    }
    let demands = match plan.migrations.is_empty() {
        true => Demands::default(),
        false => {
            rights::of_run(server, &plan.migrations).await.map_err(Error::server("Asking for what the run needs"))?
        }
    };
    let rights = rights::known(server, &demands).await;
    let blocked = plan.blocked.map(|(id, name, error)| Blocked { id, name, error: error.to_string() });
    let problems = migrations.iter().map(problems).sum::<i64>() + i64::from(blocked.is_some());
    let operations = || migrations.iter().flat_map(|migration| &migration.operations);
    Ok(PlanReport {
        database: server.database().to_owned(),
        direction,
        exact: plan.migrations.iter().any(|planned| planned.exact),
        seconds_estimate: operations().filter_map(|operation| operation.seconds_estimate).sum(),
        already_applied: plan.already_applied.map(|(id, _)| id),
        blocked,
        rights,
        problems,
        undecided: i64::try_from(operations().filter(|it| it.undecided()).count()).unwrap_or(i64::MAX),
        migrations,
        passed_over: plan.passed_over,
        ignored: files.ignored,
    })
}

/// How many things of a migration the run would fail at, or leave wrong.
fn problems(migration: &MigrationPlan) -> i64 {
    let failing = migration.checks.iter().filter(|check| !check.holds && !migration.checks_depend).count();
    let operations: usize = migration.operations.iter().map(|operation| operation.problems.len()).sum();
    i64::try_from(failing + operations).unwrap_or(i64::MAX)
}

/// The migrations one after the other.
struct Walk<'a> {
    look: PlanContext<'a>,
    direction: Direction,
    touched: Touched,
}

impl Walk<'_> {
    async fn migration(&mut self, planned: &PlannedMigration, out_of_order: bool) -> Result<MigrationPlan> {
        let server = self.look.server;
        let done = planned.resume.as_ref().map_or(0, |progress| progress.finished());
        let checks = match self.direction {
            Direction::Up if planned.resume.is_none() => checks::run(server, &planned.checks.before)
                .await
                .map_err(Error::server("Running the migration's checks"))?,
            _ => Vec::new(),
        };
        let overreach = match self.direction == Direction::Down && !planned.exact && planned.resume.is_none() {
            true => overreach::survey(server, planned).await?,
            false => Vec::new(),
        };
        let checks_depend = !self.touched.is_empty();
        let mut operations = Vec::new();
        let mut before = UndoneBefore::default();
        for (at, item) in planned.items.iter().enumerate().skip(done) {
            let index = i64::try_from(at + 1).unwrap_or(i64::MAX);
            operations.push(match item {
                WorkItem::Operation(operation) => {
                    let begun = planned.resume.as_ref().filter(|progress| progress.operations.len() > at);
                    let position = begun.and_then(|progress| progress.position.as_ref());
                    let plan = plan::operation(&self.look, index, operation, position, &self.touched).await?;
                    self.touched.add(operation, &planned.id, &plan);
                    plan
                }
                WorkItem::Undo(undo) => plan::foresee(&self.look, index, undo, &mut before).await?,
                // No migration's: `assessment-migrate` has a dry run of its own.
                WorkItem::Assessment(_) => continue,
            });
        }
        Ok(MigrationPlan {
            id: planned.id.clone(),
            name: planned.name.clone(),
            direction: self.direction,
            exact: planned.exact,
            out_of_order,
            resumed: planned.resume.is_some(),
            done: i64::try_from(done).unwrap_or(i64::MAX),
            checks,
            checks_depend,
            operations,
            overreach: Overreaches(overreach),
        })
    }
}
