//! `assessment-rollback`.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bson::{RawDocumentBuf, doc};

use super::record::read;
use super::shared::{done, plan_of, reading};
use crate::assessment::model::AssessmentKind;
use crate::assessment::names::ASSESSMENTS;
use crate::assessment::old_tool;
use crate::assessment::report::{Restored, RollbackReport};
use crate::assessment::task::{AssessmentTask, AssessmentWork};
use crate::backup::restore::journal;
use crate::capture::registry;
use crate::capture::registry::{BRING_OVER, UNIFY};
use crate::engine::migration_report::begun;
use crate::engine::one_migration::run_one;
use crate::engine::planned::{PlannedMigration, WorkItem};
use crate::engine::planning::unchanged_where_begun;
use crate::engine::{CallContext, Engine, exact};
use crate::error::{Error, Failed, Result};
use crate::mongo::catalog;
use crate::mongo::query::Query;
use crate::mongo::server::Server;
use crate::run::foreign;
use crate::run::record::ASSESSMENT;
use crate::run::report::{Direction, MigrationReport, Undone};
use crate::run::{self, handle::Run};

/// Takes the unification back by the three-way rule.
///
/// # Errors
/// [`Error::WrongState`] before anything is written where what it needs has been purged, or any [`Error`].
pub async fn rollback(
    engine: &Engine,
    call: &CallContext,
    lock_timeout: Duration,
) -> Result<RollbackReport, Failed<RollbackReport>> {
    let clock = Instant::now();
    let server = engine.server().await?;
    foreign::refuse(server).await?;
    let mut report = RollbackReport { database: server.database().to_owned(), ..RollbackReport::default() };
    if nothing_to_undo(server).await? {
        report.nothing_to_roll_back = true;
        report.seconds = clock.elapsed().as_secs_f64();
        return Ok(report);
    }
    let mut run =
        run::open(server, "assessment-rollback", lock_timeout, call.workers, &call.reporter, &call.stop).await?;
    let result = undo(&mut run, &mut report).await;
    run.close().await;
    report.seconds = clock.elapsed().as_secs_f64();
    match result {
        Ok(()) => Ok(report),
        Err(error) => Err(Failed { error, report: Some(Box::new(report)) }),
    }
}

async fn nothing_to_undo(server: &Server) -> Result<bool> {
    let before = read(server).await?;
    before.reliable()?;
    Ok(before.nothing_of_ours()
        && old_tool::find(server, before.old_backup.as_deref()).await.map_err(reading())?.is_none())
}

async fn undo(run: &mut Run, report: &mut RollbackReport) -> Result<()> {
    let server = run.server.clone();
    journal::refuse_unfinished(&server).await?;
    let before = read(&server).await?;
    before.reliable()?;
    let old = old_tool::find(&server, before.old_backup.as_deref()).await.map_err(reading())?;
    if before.nothing_of_ours() && old.is_none() {
        report.nothing_to_roll_back = true;
        return Ok(());
    }
    let resume = before.resume(Direction::Down);
    report.resumed = resume.is_some();
    report.migrated_at = before.now;
    let mut kept = doc! {"kind": ASSESSMENT};
    if let Some(old) = &old {
        kept.insert("old_backup", &old.id);
        report.from_old_backup = Some(old.id.clone());
    }
    let mut planned = plan_of(Vec::new(), true, None, kept);
    if !before.nothing_of_ours()
        && before.record.as_ref().is_some_and(|record| old.is_none() || !record.captures.is_empty())
    {
        let headers = registry::headers(&server).await.map_err(Error::server("Reading what was captured"))?;
        exact::add_undo_items_to(&server, before.record.as_ref(), &headers, &mut planned).await?;
    }
    if let Some(old) = old {
        report.unknown = old.unknown();
        report.migrated_at = Some(old.at);
        let old = Arc::new(old);
        // In reverse order of the tool's.
        planned.items.push(WorkItem::Assessment(AssessmentTask::old_tool(Arc::clone(&old), AssessmentKind::Teacher)));
        planned.items.push(WorkItem::Assessment(AssessmentTask::old_tool(old, AssessmentKind::Regular)));
    }
    planned.resume = resume;
    planned.seen = before.record.as_ref().map(|record| record.seen.clone());
    let planned = unchanged_where_begun(planned)?;
    let captured = made_indexes(&planned, &index_names(&server).await?);
    let mut migration = begun(&planned, Direction::Down);
    let result = run_one(run, &planned, Direction::Down, &mut migration).await;
    undone(report, &planned, &migration);
    result?;
    let left = index_names(&server).await?;
    report.indexes_dropped = captured.into_iter().filter(|name| !left.contains(name)).collect();
    // For a regular assessment an edit of what the migration wrote is an edit like any other.
    report.regular.restored_with_edits += report.regular.conflicts;
    report.kept_newer = newer(&server, report, before.unmapped).await?;
    Ok(())
}

async fn index_names(server: &Server) -> Result<Vec<String>> {
    let listed = catalog::indexes(server, ASSESSMENTS).await.map_err(reading())?;
    let names = listed.iter().filter_map(|index| catalog::specification(index).get_str("name").ok());
    Ok(names.map(str::to_owned).collect())
}

/// The indexes that the migration had made. One that was killed may have finished an index and not noted it: such a one
/// is among those that stand.
fn made_indexes(planned: &PlannedMigration, existing: &[String]) -> Vec<String> {
    let made = planned.items.iter().filter_map(|item| match item {
        WorkItem::Undo(undo) if undo.done == "create_index" => {
            let name = undo.entry.get_str("index").ok()?.to_owned();
            registry::made_index(&undo.entry).unwrap_or_else(|| existing.contains(&name)).then_some(name)
        }
        _ => None,
    });
    let mut names: Vec<String> = made.collect();
    names.reverse();
    names.dedup();
    names
}

/// What became of the documents.
fn undone(report: &mut RollbackReport, planned: &PlannedMigration, migration: &MigrationReport) {
    for done in done(planned, migration) {
        let side = match planned.items.get(done.index) {
            Some(WorkItem::Undo(undo)) if undo.done == UNIFY => &mut report.regular,
            Some(WorkItem::Undo(undo)) if undo.done == BRING_OVER => &mut report.teacher,
            Some(WorkItem::Assessment(AssessmentTask {
                part: AssessmentWork::OldTool { side: AssessmentKind::Regular, .. },
                ..
            })) => &mut report.regular,
            Some(WorkItem::Assessment(AssessmentTask {
                part: AssessmentWork::OldTool { side: AssessmentKind::Teacher, .. },
                ..
            })) => &mut report.teacher,
            _ => continue,
        };
        add(side, done.counts.undone);
        report.carried_back += done.counts.mapped.carried_back;
        report.kept_copies += done.counts.mapped.kept_copies;
    }
}

fn add(side: &mut Restored, counts: Undone) {
    side.restored += counts.restored;
    side.restored_with_edits += counts.restored_with_edits;
    side.gone += counts.gone;
    side.conflicts += counts.conflicts;
}

/// Documents that the migration has not touched, but for those that it could not map: they were made since.
async fn newer(server: &Server, report: &RollbackReport, unmapped: i64) -> Result<i64> {
    let query = Query { collection: ASSESSMENTS, hint: None, collation: None, variables: None };
    let counted = query.count(server, RawDocumentBuf::new()).await.map_err(reading())?;
    let regular = report.regular.restored + report.regular.restored_with_edits;
    Ok((counted - regular - report.kept_copies - unmapped).max(0))
}
