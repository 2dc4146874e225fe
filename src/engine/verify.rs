//! What is made sure of around a migration: its checks, and afterwards the end state that its operations ask for.

use super::end_state::EndState;
use crate::analysis::checks::{self, CheckResult};
use crate::engine::planned::{PlannedMigration, WorkItem};
use crate::error::failure::{CheckFailure, When};
use crate::error::{Error, Result};
use crate::mongo::retry::{Retry, retry};
use crate::run::handle::Run;
use crate::run::ledger;
use crate::run::report::{Direction, MigrationReport};

/// Runs the checks before a migration that is not begun yet.
///
/// # Errors
/// [`Error::Check`], nothing having been done or recorded; or the server's.
pub async fn before(run: &Run, planned: &PlannedMigration, direction: Direction) -> Result<()> {
    if direction == Direction::Down || planned.resume.is_some() || planned.checks.before.is_empty() {
        return Ok(());
    }
    let mut retry = Retry::new(&run.reporter, &run.stop);
    let results = retry!(retry, checks::run(&run.server, &planned.checks.before)).map_err(reading())?;
    refuse(planned, When::Before, failures(&results))
}

/// Verifies a migration whose operations are all done; marks it failed where something does not hold.
///
/// # Errors
/// [`Error::Check`], [`Error::LeaseLost`], or the server's.
pub async fn after(run: &mut Run, planned: &PlannedMigration, report: &mut MigrationReport) -> Result<()> {
    let operations: Vec<_> = planned
        .items
        .iter()
        .filter_map(|item| match item {
            WorkItem::Operation(operation) => Some(operation.as_ref()),
            WorkItem::Undo(_) | WorkItem::Assessment(_) => None,
        })
        .collect();
    let state = EndState::of(&operations);
    let reporter = run.reporter.clone();
    let stop = run.stop.clone();
    let mut retry = Retry::new(&reporter, &stop);
    let violations = retry!(retry, state.violations(&run.server)).map_err(reading())?;
    let result = match refuse(planned, When::EndState, violations) {
        Ok(()) => {
            let results = retry!(retry, checks::run(&run.server, &planned.checks.after)).map_err(reading())?;
            refuse(planned, When::After, failures(&results))
        }
        refused => refused,
    };
    if let Err(Error::Check(failure)) = &result {
        report.error = Some(failure.message());
        ledger::fail_check(run, failure, report).await?;
    }
    result
}

fn failures(results: &[CheckResult]) -> Vec<String> {
    results.iter().filter(|result| !result.holds).map(CheckResult::failure).collect()
}

fn refuse(planned: &PlannedMigration, when: When, failed: Vec<String>) -> Result<()> {
    if failed.is_empty() {
        return Ok(());
    }
    Err(Error::Check(Box::new(CheckFailure {
        migration: planned.id.clone(),
        source: planned.origin.clone(),
        when,
        failed,
    })))
}

fn reading() -> impl FnOnce(crate::error::server::ServerError) -> Error {
    Error::server("Running the migration's checks")
}
