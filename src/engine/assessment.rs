//! `assessment-migrate` and `assessment-rollback`: the unification of the assessment model, and taking it back.
//!
//! A run of tasks like a migration's, with a record of its own in the ledger. Its captures add up from run to run, and a
//! rollback undoes all of them, the latest first.

mod room;
mod steps;

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bson::{Bson, DateTime, Document, RawDocumentBuf, doc, rawdoc};

use self::steps::Steps;
use super::apply::take_one;
use super::{Engine, Verb, exact};
use crate::assessment::report::{BackupTaken, Clash, Indexes, MigrateReport, Restored, RollbackReport};
use crate::assessment::survey::{Extent, Known, survey};
use crate::assessment::validate::{Found, validate};
use crate::assessment::{ASSESSMENTS, BRING_OVER, KIND, NAME, RECORD, TEACHER_ASSESSMENTS, Task as Part, UNIFY};
use crate::assessment::{indexes, old_tool, references};
use crate::backup::dump::{Request, dump};
use crate::backup::manifest::{Consistency, Kind as BackupKind, Scope};
use crate::backup::restore::journal;
use crate::capture::registry;
use crate::catalog::{self, Collection};
use crate::error::{Error, Failed, Result};
use crate::run::Run;
use crate::run::history;
use crate::run::ledger;
use crate::run::record::{Record, Status};
use crate::run::report::{Direction, MigrationOutcome, MigrationReport, Outcome, Undone};
use crate::run::step::{Step, Task};
use crate::run::transaction::written;
use crate::server::Server;
use crate::server_error::ServerError;

/// Unmapped documents in one entry of the history.
const NOTED_AT_ONCE: usize = 1_000;

/// How to migrate.
#[derive(Debug, Clone, Copy, Default)]
pub struct MigrateOptions {
    /// Whether documents that cannot be mapped are no failure.
    pub accept_unmapped: bool,
    /// Whether nothing is to be written.
    pub dry_run: bool,
}

/// What is known of it from the ledger.
struct Before {
    record: Option<Record>,
    backup: Option<BackupTaken>,
    now: Option<DateTime>,
    /// The old tool's backup document that a rollback has used.
    old_backup: Option<String>,
}

/// Unifies the assessment model. The backup goes into `directory`.
///
/// # Errors
/// [`Error::WrongState`] before anything is written where it cannot be done, or any [`Error`] with what was done before.
pub async fn migrate(
    engine: &Engine,
    verb: &Verb,
    directory: &Path,
    options: MigrateOptions,
    lock_timeout: Duration,
) -> Result<MigrateReport, Failed<MigrateReport>> {
    let clock = Instant::now();
    let server = engine.server().await?;
    let mut report =
        MigrateReport { database: server.database().to_owned(), dry_run: options.dry_run, ..MigrateReport::default() };
    let before = read(server).await?;
    let ground = Ground::look(server).await?;
    report.indexes = ground.indexes();
    if options.dry_run {
        dry_run(server, &ground, options, &mut report).await?;
        report.seconds = clock.elapsed().as_secs_f64();
        return Ok(report);
    }
    ground.free()?;
    before.may_migrate()?;
    if !before.is_unfinished() && !ground.has_work(server).await? {
        let found = look_after(server, verb, &ground).await?;
        conclude(&mut report, found, options);
        report.seconds = clock.elapsed().as_secs_f64();
        return Ok(report);
    }
    let steps = Steps::over(&verb.reporter);
    let mut run = Run::open(server, "assessment-migrate", lock_timeout, &steps.reporter(), &verb.stop).await?;
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
    let ground = Ground::look(&server).await?;
    ground.free()?;
    before.may_migrate()?;
    let resume = before.resume(Direction::Up);
    let (documents, anything) = match resume {
        Some(_) => (true, true),
        None => (ground.has_documents(&server).await?, ground.has_work(&server).await?),
    };
    if anything {
        let now = match before.now.filter(|_| resume.is_some()) {
            Some(now) => now,
            None => server_time(&server).await?,
        };
        report.resumed = resume.is_some();
        let kept = before.backup.clone().filter(|_| resume.is_some());
        report.backup = match (documents, kept) {
            (_, Some(kept)) => {
                steps.tell(1, format!("Backed up already, as {}", kept.path));
                Some(kept)
            }
            (false, None) => None,
            (true, None) => Some(back_up(run, steps, directory, &ground).await?),
        };
        let known = Known::read(&server).await.map_err(reading())?;
        let mut tasks =
            vec![Task::Assessment(Part::regular(now)), Task::Assessment(Part::teacher(now, Arc::new(known)))];
        tasks.extend(indexes::tasks());
        let step = step(tasks, false, resume, fields(now, report.backup.as_ref()));
        let mut migration = outcome(&step, Direction::Up);
        let result = take_one(run, &step, Direction::Up, &mut migration).await;
        take_over(report, &migration);
        result?;
    }
    let ground = Ground::look(&server).await?;
    steps.tell(5, "Validating".to_owned());
    let found = look_after_steps(&server, &ground).await?;
    conclude(report, found, options);
    if anything {
        note(run, report).await?;
    }
    Ok(())
}

fn reading() -> impl FnOnce(ServerError) -> Error {
    Error::server("Reading the assessments")
}

async fn look_after(server: &Server, verb: &Verb, ground: &Ground) -> Result<Found> {
    Steps::over(&verb.reporter).tell(5, "Nothing is to be migrated; validating".to_owned());
    look_after_steps(server, ground).await
}

async fn look_after_steps(server: &Server, ground: &Ground) -> Result<Found> {
    let mut found = validate(server, DateTime::now()).await.map_err(reading())?;
    if ground.assessments.is_some() {
        let missing = ground.standing.missing.iter().map(|name| format!("the index {name:?} is missing"));
        found.validation.problems.extend(missing);
        found.validation.problems.extend(ground.standing.conflicts.iter().cloned());
    }
    Ok(found)
}

/// Completes the report by what was found in the end.
fn conclude(report: &mut MigrateReport, found: Found, options: MigrateOptions) {
    report.regular.unmapped = found.regular_unmapped;
    report.teacher.unmapped = i64::try_from(found.unmapped.len()).unwrap_or(i64::MAX) - found.regular_unmapped;
    report.regular.already = (found.validation.regular - report.regular.migrated).max(0);
    report.teacher.already = (found.copied - report.teacher.migrated).max(0);
    report.clashes = found.clashes;
    report.reported = found.reported;
    report.validation = found.validation;
    report.validation.unmapped = i64::try_from(found.unmapped.len()).unwrap_or(i64::MAX);
    report.unmapped = found.unmapped;
    let validation = &mut report.validation;
    if validation.references.lost > 0 {
        let lost = validation.references.lost;
        validation
            .problems
            .push(format!("{lost} assessments that results or submissions refer to are not found any more"));
    }
    if validation.missing_fields > 0 {
        let incomplete = validation.missing_fields;
        validation
            .problems
            .push(format!("{incomplete} unified documents lack a field of the model, or have one of a wrong type"));
    }
    if validation.unmapped > 0 && !options.accept_unmapped {
        let unmapped = validation.unmapped;
        validation.problems.push(format!("{unmapped} documents cannot be mapped and were left as they are"));
    }
    validation.valid = validation.problems.is_empty();
}

/// What the tasks did, for the report.
fn take_over(report: &mut MigrateReport, migration: &MigrationReport) {
    for operation in &migration.operations {
        let counts = operation.counts;
        match operation.kind.as_str() {
            UNIFY => {
                report.regular.migrated = counts.modified;
                report.regular.dates_converted = counts.mapped.dates_converted;
            }
            BRING_OVER => {
                report.teacher.migrated = counts.inserted;
                report.teacher.dates_converted = counts.mapped.dates_converted;
                report.teacher.clashes = counts.mapped.clashes;
            }
            _ => {}
        }
    }
    let made = |name: &String| {
        migration.operations.iter().any(|operation| {
            operation.kind == "create_index"
                && operation.outcome == Outcome::Done
                && operation.index == index_operation(name)
        })
    };
    report.indexes.created.retain(made);
}

/// The number of the task that makes an index.
fn index_operation(name: &str) -> i64 {
    let at = indexes::wanted().iter().position(|(own, _)| *own == name).unwrap_or_default();
    i64::try_from(at + 3).unwrap_or_default()
}

/// Writes the findings into the history.
async fn note(run: &mut Run, report: &MigrateReport) -> Result<()> {
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
    let mut entries = vec![history::insert(entry)];
    for (name, listed) in [
        ("unmapped", report.unmapped.iter().map(bson::serialize_to_bson).collect::<Vec<_>>()),
        ("clashes", report.clashes.iter().map(bson::serialize_to_bson).collect()),
    ] {
        for part in listed.chunks(NOTED_AT_ONCE) {
            let mut entry = history::document(run, RECORD, name);
            let part: Vec<Bson> = part.iter().filter_map(|each| each.as_ref().ok().cloned()).map(storable).collect();
            entry.insert(name, part);
            entries.push(history::insert(entry));
        }
    }
    let proof = run.lease.proof();
    run.write_together(proof, entries).await.map_err(Error::server("Writing the history")).map(drop)
}

/// A value without names that begin with `$`: Extended JSON becomes text, which every reader of the history can hold.
fn storable(value: Bson) -> Bson {
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

async fn dry_run(server: &Server, ground: &Ground, options: MigrateOptions, report: &mut MigrateReport) -> Result<()> {
    let now = server_time(server).await?;
    let survey = survey(server, Extent::Whole, now).await.map_err(reading())?;
    let counts = references::count(server, &survey.clashes).await.map_err(reading())?;
    report.regular = survey.regular;
    report.teacher = survey.teacher;
    let known = |id: &crate::run::id::Id| crate::assessment::shown_id(id);
    report.clashes = survey
        .clashes
        .iter()
        .zip(counts)
        .map(|(id, references)| Clash { id: known(id), new_id: serde_json::Value::Null, references })
        .collect();
    report.unmapped = survey.unmapped;
    let validation = &mut report.validation;
    validation.unmapped = i64::try_from(report.unmapped.len()).unwrap_or(i64::MAX);
    validation.regular = report.regular.already;
    validation.teacher = report.teacher.already;
    validation.unified = validation.regular + validation.teacher;
    if validation.unmapped > 0 && !options.accept_unmapped {
        let unmapped = validation.unmapped;
        validation.problems.push(format!("{unmapped} documents cannot be mapped and would be left as they are"));
    }
    validation.problems.extend(ground.standing.conflicts.iter().cloned());
    validation.valid = validation.problems.is_empty();
    Ok(())
}

/// What stands where the migration works.
struct Ground {
    assessments: Option<Collection>,
    teacher: Option<Collection>,
    standing: indexes::Standing,
}

impl Ground {
    async fn look(server: &Server) -> Result<Self> {
        let assessments = catalog::collection(server, ASSESSMENTS).await.map_err(reading())?;
        let teacher = catalog::collection(server, TEACHER_ASSESSMENTS).await.map_err(reading())?;
        for (name, found) in [(ASSESSMENTS, &assessments), (TEACHER_ASSESSMENTS, &teacher)] {
            let Some(found) = found else { continue };
            if found.kind != "collection" || found.options.get_bool("capped").unwrap_or(false) {
                let noun = if found.kind == "collection" { "capped collection" } else { found.noun() };
                return Err(Error::WrongState(format!(
                    "{name:?} is a {noun}, and the assessment migration works on plain collections only. Nothing was changed. \
                     Put its documents into a plain collection of this name first."
                )));
            }
        }
        let standing = indexes::look(server, assessments.as_ref()).await.map_err(reading())?;
        Ok(Self { assessments, teacher, standing })
    }

    fn indexes(&self) -> Indexes {
        let absent = self.assessments.is_none() && self.teacher.is_none();
        Indexes {
            created: if absent { Vec::new() } else { self.standing.missing.clone() },
            standing: self.standing.equal.clone(),
            conflicts: self.standing.conflicts.clone(),
        }
    }

    /// Refuses where an index is in the way.
    fn free(&self) -> Result<()> {
        if self.standing.conflicts.is_empty() {
            return Ok(());
        }
        Err(Error::WrongState(format!(
            "Indexes of {ASSESSMENTS:?} are in the way: {}. Nothing was changed. Drop or rename what stands, then run the same \
             command again.",
            self.standing.conflicts.join("; ")
        )))
    }

    /// Whether there are documents to migrate.
    async fn has_documents(&self, server: &Server) -> Result<bool> {
        if self.assessments.is_none() && self.teacher.is_none() {
            return Ok(false);
        }
        Ok(survey(server, Extent::AnyWork, DateTime::now()).await.map_err(reading())?.has_work())
    }

    /// Whether there is anything to do.
    async fn has_work(&self, server: &Server) -> Result<bool> {
        let indexes = self.assessments.is_some() && !self.standing.missing.is_empty();
        Ok(indexes || self.has_documents(server).await?)
    }
}

async fn back_up(run: &Run, steps: &Steps, directory: &Path, ground: &Ground) -> Result<BackupTaken> {
    room::check(&run.server, directory).await?;
    let mut names = Vec::new();
    for (name, found) in [(ASSESSMENTS, &ground.assessments), (TEACHER_ASSESSMENTS, &ground.teacher)] {
        if found.is_some() {
            names.push(name);
        }
    }
    steps.tell(1, format!("Backing up {} into {}", names.join(" and "), directory.display()));
    let request = Request {
        kind: BackupKind::Assessment,
        // Also what is not there: a restore of this backup removes it again.
        scope: Scope::Collections(vec![ASSESSMENTS.to_owned(), TEACHER_ASSESSMENTS.to_owned()]),
        consistency: Consistency::Snapshot,
    };
    let written = dump(&run.server, directory, &request, &run.reporter, &run.stop).await?;
    Ok(BackupTaken { name: written.name, path: written.path, documents: written.documents })
}

/// What the record keeps of a migration.
fn fields(now: DateTime, backup: Option<&BackupTaken>) -> Document {
    let mut fields = doc! {"kind": KIND, "now": now};
    if let Some(backup) = backup {
        fields.insert("backup", &backup.name);
        fields.insert("backup_path", &backup.path);
        fields.insert("backup_documents", backup.documents);
    }
    fields
}

fn step(tasks: Vec<Task>, exact: bool, resume: Option<crate::run::progress::Progress>, assessment: Document) -> Step {
    Step {
        id: RECORD.to_owned(),
        name: NAME.to_owned(),
        description: String::new(),
        tasks,
        exact,
        capture: true,
        up_text: String::new(),
        down_text: None,
        checksum: None,
        origin: NAME.to_owned(),
        resume,
        assessment: Some(assessment),
    }
}

fn outcome(step: &Step, direction: Direction) -> MigrationReport {
    MigrationReport {
        id: step.id.clone(),
        name: step.name.clone(),
        direction,
        outcome: MigrationOutcome::Interrupted,
        resumed: step.resume.is_some(),
        exact: step.exact,
        seconds: 0.0,
        operations: Vec::new(),
        undone: Vec::new(),
        beyond: Vec::new(),
        error: None,
    }
}

async fn server_time(server: &Server) -> Result<DateTime> {
    let reply = server.run(doc! {"hello": 1}, None).await.map_err(reading())?;
    Ok(reply.get_datetime("localTime").copied().unwrap_or_else(|_| DateTime::now()))
}

async fn read(server: &Server) -> Result<Before> {
    let command = doc! {"find": ledger::COLLECTION, "filter": {"_id": RECORD}, "limit": 1};
    let found = server.find_certain(command).await.map_err(Error::server("Reading the ledger"))?;
    let Some(raw) = found.first() else {
        return Ok(Before { record: None, backup: None, now: None, old_backup: None });
    };
    if raw.get_str("kind").is_ok_and(|kind| kind == KIND) {
        return Ok(Before::of(raw));
    }
    Err(Error::WrongState(format!(
        "The ledger has a record {RECORD:?} that is not that of the assessment migration. Nothing was changed. Rename it first."
    )))
}

impl Before {
    fn of(raw: &RawDocumentBuf) -> Self {
        let text = |name: &str| raw.get_str(name).ok().map(str::to_owned);
        Self {
            record: Some(Record::parse(raw)),
            backup: text("backup").map(|name| BackupTaken {
                name,
                path: text("backup_path").unwrap_or_default(),
                documents: raw.get_i64("backup_documents").unwrap_or_default(),
            }),
            now: raw.get_datetime("now").ok(),
            old_backup: text("old_backup"),
        }
    }

    fn is_unfinished(&self) -> bool {
        self.record.as_ref().is_some_and(|record| record.progress.is_some())
    }

    /// How far an unfinished run in this direction came.
    fn resume(&self, direction: Direction) -> Option<crate::run::progress::Progress> {
        let progress = self.record.as_ref()?.progress.as_ref()?;
        (progress.direction == direction).then(|| progress.clone().settled())
    }

    fn reliable(&self) -> Result<()> {
        match self.record.as_ref().and_then(|record| record.problem.as_ref()) {
            None => Ok(()),
            Some(problem) => Err(Error::WrongState(format!(
                "The record of the assessment migration ({RECORD:?} in the ledger) cannot be relied on: {problem}. Nothing was changed."
            ))),
        }
    }

    fn may_migrate(&self) -> Result<()> {
        self.reliable()?;
        if self.resume(Direction::Down).is_some() {
            return Err(Error::WrongState(
                "The assessment migration is half rolled back. `assessment-rollback` finishes that; then it can be done again."
                    .to_owned(),
            ));
        }
        Ok(())
    }
}

/// Takes the unification back by the three-way rule.
///
/// # Errors
/// [`Error::WrongState`] before anything is written where what it needs has been purged, or any [`Error`].
pub async fn rollback(
    engine: &Engine,
    verb: &Verb,
    lock_timeout: Duration,
) -> Result<RollbackReport, Failed<RollbackReport>> {
    let clock = Instant::now();
    let server = engine.server().await?;
    let mut report = RollbackReport { database: server.database().to_owned(), ..RollbackReport::default() };
    if nothing_to_undo(server).await? {
        report.nothing_to_roll_back = true;
        report.seconds = clock.elapsed().as_secs_f64();
        return Ok(report);
    }
    let mut run = Run::open(server, "assessment-rollback", lock_timeout, &verb.reporter, &verb.stop).await?;
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

impl Before {
    fn nothing_of_ours(&self) -> bool {
        self.record.as_ref().is_none_or(|record| {
            matches!(record.status, Status::RolledBack | Status::Pending) && record.progress.is_none()
        })
    }
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
    let mut kept = doc! {"kind": KIND};
    if let Some(old) = &old {
        kept.insert("old_backup", &old.id);
        report.from_old_backup = Some(old.id.clone());
    }
    let mut step = step(Vec::new(), true, None, kept);
    if !before.nothing_of_ours()
        && before.record.as_ref().is_some_and(|record| old.is_none() || !record.captures.is_empty())
    {
        let headers = registry::headers(&server).await.map_err(Error::server("Reading what was captured"))?;
        exact::fill_one(&server, before.record.as_ref(), &headers, &mut step).await?;
    }
    if let Some(old) = old {
        report.unknown = old.unknown();
        step.tasks.push(Task::Assessment(Part::old_tool(Arc::new(old))));
    }
    step.resume = resume;
    let step = super::plan::unchanged_where_begun(step)?;
    let captured = captured_indexes(&step);
    let mut migration = outcome(&step, Direction::Down);
    let result = take_one(run, &step, Direction::Down, &mut migration).await;
    undone(report, &step, &migration);
    result?;
    let left = catalog::indexes(&server, ASSESSMENTS).await.map_err(reading())?;
    let stands = |name: &String| left.iter().any(|index| index.get_str("name").is_ok_and(|own| own == name));
    report.indexes_dropped = captured.into_iter().filter(|name| !stands(name)).collect();
    report.kept_newer = newer(&server, report).await?;
    Ok(())
}

/// The indexes that the migration had made.
fn captured_indexes(step: &Step) -> Vec<String> {
    let made = step.tasks.iter().filter_map(|task| match task {
        Task::Undo(undo) if undo.done == "create_index" && undo.entry.get_document("before").is_err() => {
            undo.entry.get_str("index").ok().map(str::to_owned)
        }
        _ => None,
    });
    let mut names: Vec<String> = made.collect();
    names.reverse();
    names.dedup();
    names
}

/// What became of the documents.
fn undone(report: &mut RollbackReport, step: &Step, migration: &MigrationReport) {
    for operation in &migration.operations {
        let Ok(at) = usize::try_from(operation.index - 1) else { continue };
        let counts = operation.counts;
        let side = match step.tasks.get(at) {
            Some(Task::Undo(undo)) if undo.done == UNIFY => &mut report.regular,
            Some(Task::Undo(undo)) if undo.done == BRING_OVER => &mut report.teacher,
            _ => continue,
        };
        add(side, counts.undone);
        report.carried_back += counts.mapped.carried_back;
        report.kept_copies += counts.mapped.kept_copies;
    }
}

fn add(side: &mut Restored, counts: Undone) {
    side.restored += counts.restored;
    side.restored_with_edits += counts.restored_with_edits;
    side.gone += counts.gone;
    side.conflicts += counts.conflicts;
}

/// Documents that the migration has not touched and that it would: they were made since.
async fn newer(server: &Server, report: &RollbackReport) -> Result<i64> {
    let counted = server.run_raw(rawdoc! {"count": ASSESSMENTS, "query": {}}, None).await.map_err(reading())?;
    let regular = report.regular.restored + report.regular.restored_with_edits + report.regular.conflicts;
    Ok((written(&counted) - regular - report.kept_copies).max(0))
}
