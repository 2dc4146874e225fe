//! `assessment-migrate`.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bson::{DateTime, Document, doc};

use super::beforehand::{Beforehand, back_up};
use super::preconditions::Preconditions;
use super::record::read;
use super::shared::{MigrateOptions, done, plan_of, reading, server_time};
use super::steps::Steps;
use super::unmapped::{conclude, note, settle, unlisted};
use crate::assessment::copies::KnownCopies;
use crate::assessment::expected::ExpectedCollections;
use crate::assessment::ids::Ids;
use crate::assessment::model::{Edition, Rules};
use crate::assessment::names::INDEX;
use crate::assessment::refusals::Refusals;
use crate::assessment::report::{BackupTaken, Clash, CopiesReport, Meant, MigrateReport};
use crate::assessment::survey::{Copied, Extent, unified};
use crate::assessment::task::AssessmentTask;
use crate::assessment::teacher::CopyOptions;
use crate::assessment::validate::{ValidationContext, ValidationResult, validate};
use crate::assessment::{indexes, references};
use crate::backup::restore::journal;
use crate::capture::registry::{BRING_OVER, UNIFY};
use crate::engine::migration_report::begun;
use crate::engine::one_migration::run_one;
use crate::engine::planned::{PlannedMigration, WorkItem};
use crate::engine::{CallContext, Engine};
use crate::error::{Failed, Result};
use crate::mongo::server::Server;
use crate::observe::Stop;
use crate::run::foreign;
use crate::run::record::ASSESSMENT;
use crate::run::report::{Direction, Mapped, MigrationReport, Outcome};
use crate::run::{self, handle::Run};

/// Unifies the assessment model. The backup goes into `directory`.
///
/// # Errors
/// [`WrongState`](crate::error::Error::WrongState) before anything is written where it cannot be done, or any error with
/// what was done before.
pub async fn migrate(
    engine: &Engine,
    call: &CallContext,
    directory: &Path,
    options: MigrateOptions,
    lock_timeout: Duration,
) -> Result<MigrateReport, Failed<MigrateReport>> {
    let clock = Instant::now();
    let server = engine.server().await?;
    foreign::refuse(server).await?;
    let mut report =
        MigrateReport { database: server.database().to_owned(), dry_run: options.dry_run, ..MigrateReport::default() };
    let before = read(server).await?;
    let preconditions = Preconditions::look(server).await?;
    report.indexes = preconditions.indexes();
    report.teacher.clashes = Some(0);
    let ids = before.ids(options.ids)?;
    report.ids = ids.as_str();
    if options.dry_run {
        dry_run(server, &call.stop, &preconditions, options, ids, &mut report).await?;
        report.seconds = clock.elapsed().as_secs_f64();
        return Ok(report);
    }
    preconditions.free()?;
    before.may_migrate()?;
    let done = !before.is_unfinished() && !preconditions.lacks_indexes() && !before.unnoted;
    if done && !preconditions.survey(server, Extent::AnyWork, ids, &call.stop).await?.has_work() {
        Steps::over(&call.reporter).tell(5, "Nothing is to be migrated; validating".to_owned());
        let found = look_after(server, &preconditions, ids, &Refusals::default(), None).await?;
        conclude(&mut report, &preconditions, found, options);
        report.seconds = clock.elapsed().as_secs_f64();
        return Ok(report);
    }
    let steps = Steps::over(&call.reporter);
    let mut run =
        run::open(server, "assessment-migrate", lock_timeout, call.workers, &steps.reporter(), &call.stop).await?;
    let result = under_the_lease(&mut run, &steps, directory, options, &mut report).await;
    run.close().await;
    report.seconds = clock.elapsed().as_secs_f64();
    match result {
        Ok(()) => Ok(report),
        Err(error) => Err(Failed { error, report: Some(Box::new(report)) }),
    }
}

async fn under_the_lease(
    run: &mut Run,
    steps: &Steps,
    directory: &Path,
    options: MigrateOptions,
    report: &mut MigrateReport,
) -> Result<()> {
    let server = run.server.clone();
    // What was read before the lease may have changed while it was awaited.
    journal::refuse_unfinished(&server).await?;
    let before = read(&server).await?;
    let preconditions = Preconditions::look(&server).await?;
    preconditions.free()?;
    before.may_migrate()?;
    let resume = before.resume(Direction::Up);
    let unnoted = before.unnoted;
    let ids = before.ids(options.ids)?;
    report.ids = ids.as_str();
    // A run that is carried on was looked at when it began.
    let Beforehand { mut survey, backup, looked } = match resume {
        Some(_) => Beforehand::knowing(KnownCopies::read(&server).await.map_err(reading())?),
        None => Beforehand::look(run, directory, &preconditions, ids).await?,
    };
    let refusals = Arc::new(Refusals::foreseeing(std::mem::take(&mut survey.refused)));
    let mut expected = None;
    let documents = resume.is_some() || survey.has_work() || backup.is_some();
    let anything = documents || preconditions.lacks_indexes();
    let mut passed_over = 0;
    if anything {
        if resume.is_none() {
            report.meant = meant(&server, ids).await?;
            steps.surveyed(&survey, report.meant);
        }
        let now = match before.now.filter(|_| resume.is_some()) {
            Some(now) => now,
            None => server_time(&server).await?,
        };
        let edition = if resume.is_some() { before.edition } else { Edition::default() };
        let rules = Rules { now, edition };
        report.resumed = resume.is_some();
        let kept = before.backup.clone().filter(|_| resume.is_some());
        report.backup = match (kept, backup) {
            (Some(kept), _) => {
                steps.tell(1, format!("Backed up already, as {}", kept.path));
                Some(kept)
            }
            (None, Some(taken)) => {
                steps.tell(1, format!("Backed up {} into {}", preconditions.names(), directory.display()));
                Some(taken)
            }
            (None, None) if documents => {
                steps.tell(1, format!("Backing up {} into {}", preconditions.names(), directory.display()));
                Some(back_up(run, directory, None).await?)
            }
            (None, None) => None,
        };
        let known = Arc::new(survey.known);
        let how = CopyOptions { rules, ids, known: Arc::clone(&known), refusals: Arc::clone(&refusals) };
        let items = [
            AssessmentTask::regular(rules, Arc::clone(&refusals), looked.map(|looked| looked.regular.migrated)),
            AssessmentTask::teacher(how),
            AssessmentTask::indexes(),
        ];
        let items = items.into_iter().map(WorkItem::Assessment).collect();
        let mut planned = plan_of(items, false, resume, fields(rules, ids, report.backup.as_ref()));
        planned.seen = before.record.map(|record| record.seen);
        let mut migration = begun(&planned, Direction::Up);
        let result = run_one(run, &planned, Direction::Up, &mut migration).await;
        take_over(report, &planned, &migration);
        let mut all = Mapped::default();
        done(&planned, &migration).iter().for_each(|done| all += done.counts.mapped);
        passed_over = all.unmapped;
        result?;
        expected = looked.and_then(|looked| looked.after(report, all.grown, known));
        let record = read(&server).await?.record;
        if let Some(capture) = record.and_then(|record| record.captures.last().copied().flatten()) {
            report.indexes.created = indexes::made(&server, capture).await.map_err(reading())?;
            let created = &report.indexes.created;
            report.indexes.standing.retain(|existing| !created.contains(existing));
        }
    }
    let preconditions = Preconditions::look(&server).await?;
    steps.tell(5, "Validating".to_owned());
    let found = look_after(&server, &preconditions, ids, &refusals, expected.as_ref()).await?;
    conclude(report, &preconditions, found, options);
    if report.resumed {
        unlisted(&mut report.validation, passed_over);
    }
    // A run that was killed before it could note what it found leaves that to the next.
    if anything || unnoted {
        note(run, report).await?;
    }
    Ok(())
}

async fn look_after(
    server: &Server,
    preconditions: &Preconditions,
    ids: Ids,
    refusals: &Refusals,
    expected: Option<&ExpectedCollections>,
) -> Result<ValidationResult> {
    let rules = Rules::at(DateTime::now());
    let look = ValidationContext { rules, ids, refusals, constraints: &preconditions.constraints, expected };
    let mut found = validate(server, look).await.map_err(reading())?;
    found.validation.problems.extend(preconditions.existing.conflicts.iter().cloned());
    Ok(found)
}

/// What the tasks did, for the report.
fn take_over(report: &mut MigrateReport, planned: &PlannedMigration, migration: &MigrationReport) {
    report.indexes.created.clear();
    for done in done(planned, migration) {
        let counts = done.counts;
        match planned.items.get(done.index) {
            Some(task) if task.kind() == UNIFY => {
                report.regular.migrated = counts.modified;
                report.regular.dates_converted = counts.mapped.dates_converted;
            }
            Some(task) if task.kind() == BRING_OVER => {
                report.teacher.migrated = counts.inserted;
                report.teacher.dates_converted = counts.mapped.dates_converted;
                report.teacher.clashes = Some(counts.mapped.clashes);
            }
            Some(task) if task.kind() == INDEX && done.outcome == Outcome::Done => {
                report.indexes.conflicts.extend(done.note.iter().flat_map(|note| note.lines().map(str::to_owned)));
            }
            _ => {}
        }
    }
}

/// With kept `_id`s, what will mean the copies.
async fn meant(server: &Server, ids: Ids) -> Result<Option<Meant>> {
    match ids {
        Ids::New => Ok(None),
        Ids::Keep => references::meant(server).await.map(Some).map_err(reading()),
    }
}

async fn dry_run(
    server: &Server,
    stop: &Stop,
    preconditions: &Preconditions,
    options: MigrateOptions,
    ids: Ids,
    report: &mut MigrateReport,
) -> Result<()> {
    let mut survey = preconditions.survey(server, Extent::Whole, ids, stop).await?;
    report.meant = meant(server, ids).await?;
    report.copies = survey.copied.into();
    survey.regular.already = unified(server).await.map_err(reading())?;
    let counts = references::count(server, &survey.clashes).await.map_err(reading())?;
    report.regular = survey.regular;
    report.teacher = survey.teacher;
    let known = |id: &crate::mongo::id::Id| crate::assessment::values::shown_id(id);
    report.clashes = survey
        .clashes
        .iter()
        .zip(counts)
        .map(|(id, references)| Clash { id: known(id), new_id: serde_json::Value::Null, references })
        .collect();
    report.clashing = report.teacher.clashes.unwrap_or_default();
    report.unmapped = survey.unmapped;
    let validation = &mut report.validation;
    validation.unmapped = report.regular.unmapped + report.teacher.unmapped;
    validation.regular = report.regular.already;
    validation.teacher = report.teacher.already;
    validation.unified = validation.regular + validation.teacher;
    validation.problems.extend(preconditions.existing.conflicts.iter().cloned());
    settle(validation, Vec::new(), "would be", options);
    Ok(())
}

impl From<Copied> for CopiesReport {
    fn from(copied: Copied) -> Self {
        Self { kept_ids: copied.kept, new_ids: copied.elsewhere }
    }
}

/// What the record keeps of a migration.
fn fields(rules: Rules, ids: Ids, backup: Option<&BackupTaken>) -> Document {
    let mut fields = doc! {
        "kind": ASSESSMENT, "now": rules.now, "edition": rules.edition.number(), "ids": ids.as_str(),
        // Written with what is found in the end.
        "unmapped": null,
    };
    if let Some(backup) = backup {
        fields.insert("backup", &backup.name);
        fields.insert("backup_path", &backup.path);
        fields.insert("backup_documents", backup.documents);
    }
    fields
}
