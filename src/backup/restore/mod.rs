//! Restoring: verify everything, build beside what stands, swap.
//!
//! Until the journal says that the swap has begun, the database is as it was and a killed restore is undone by the next.
//! From then on it is taken to its end by the next. So after one more `restore` the database is wholly of the old state
//! or wholly of the new one.

pub mod abandon;
pub mod build;
mod commands;
pub mod journal;
pub mod load;
pub mod plan;
mod removal;
pub mod steps;
pub mod swap;
mod unmovable;

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bson::{DateTime, doc};
use rustix::fs::Access;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use self::build::{Built, CollectionBuilder};
use self::plan::{Build, Choice, RestorePlan};
use super::dump::attempt::DumpRequest;
use super::dump::dump;
use super::format::frames::size;
use super::format::manifest::{BackupKind, Consistency};
use super::meter::Meter;
use super::report::{EarlierRestore, RestoreReport};
use super::source::BackupSource;
use super::{catalog, parallelism, rights};
use crate::error::{Error, Result};
use crate::mongo::retry::{Retry, retry};
use crate::observe::{self, Level};
use crate::plural::{self, counted};
use crate::run::handle::Run;
use crate::run::history;

/// Collections built again because an election took documents back.
const ATTEMPTS: usize = 3;
/// What is said of a restore that is refused before it begins.
const AS_BEFORE: &str = "Nothing was restored; the database is as it was. --exclude leaves collections out.";
/// How often a building restore looks whether it still holds its lease.
const WATCH: Duration = Duration::from_millis(500);

/// What the restore of a verified source is to do.
#[derive(Debug, Clone)]
pub struct Restoring<'a> {
    /// Which collections.
    pub choice: Choice,
    /// Where the safety backup goes; none where there is to be none.
    pub safety: Option<&'a Path>,
}

/// Takes a restore that was killed to its end, or undoes it, whichever its journal says.
///
/// # Errors
/// [`Error::LeaseLost`] or the server's.
pub async fn recover(run: &mut Run) -> Result<EarlierRestore> {
    let Some(head) = journal::read(&run.server).await? else { return Ok(EarlierRestore::None) };
    let backup = &head.unfinished.backup;
    if head.swapping {
        let message = format!("Taking the earlier restore of {backup} to its end.");
        run.reporter.tell(observe::Kind::RestoreStarted, Level::Warning, message);
        swap::take_to_its_end(run).await?;
        return Ok(EarlierRestore::Finished);
    }
    let message = format!("Removing what the earlier restore of {backup} had built; it had replaced nothing.");
    run.reporter.tell(observe::Kind::RestoreStarted, Level::Warning, message);
    swap::clean_up(run, &[]).await?;
    Ok(EarlierRestore::Undone)
}

/// Restores a source that was verified, under the lease that `run` holds.
///
/// # Errors
/// Whatever is in the way; unless it says otherwise, the database is as it was before.
pub async fn restore(run: &mut Run, source: &BackupSource, restoring: &Restoring<'_>) -> Result<RestoreReport> {
    let clock = Instant::now();
    let earlier = recover(run).await?;
    let live = catalog::list(&run.server, |_| true).await?;
    let plan = plan::plan(source, run.server.database(), run.server.names(), &live, &restoring.choice)?;
    unmovable::refuse(&run.server, &plan, &live).await?;
    let saves = restoring.safety.is_some() && plan.replaces;
    rights::of_restore(&run.server, &plan, &live, saves).refuse(&run.server, AS_BEFORE).await?;
    let safety_backup = match restoring.safety {
        Some(parent) if plan.replaces => {
            can_write(parent)?;
            let request = DumpRequest {
                kind: BackupKind::Safety,
                scope: plan.saved.clone(),
                consistency: Consistency::Snapshot,
                raise_window: true,
                onlooker: None,
            };
            Some(dump(&run.server, parent, &request, &run.reporter, &run.stop).await?.name)
        }
        _ => None,
    };
    run.safe_point()?;
    run.reporter.tell(
        observe::Kind::RestoreStarted,
        Level::Info,
        format!("Restoring {} into {}.", source.name, run.server.target()),
    );
    journal::begin(run, &source.name, safety_backup.as_deref()).await?;
    let built = match build_all(run, &plan).await {
        Ok(built) => built,
        Err(error) => return Err(undone(run, error).await),
    };
    let mut notes = plan.notes.clone();
    notes.extend(built.iter().flat_map(|it| it.notes.iter().cloned()));
    for one in &built {
        // Counted before the swap lets the server delete them. To know it is no reason for a restore to fail.
        let expired = one.expired(&run.server).await.unwrap_or_default();
        if expired > 0 {
            let (number, name) = (counted(expired, "document"), &one.build.part.entry.name);
            notes.push(match expired {
                1 => format!("{number} of {name:?} is past its TTL: the server deletes it within about a minute"),
                _ => format!("{number} of {name:?} are past their TTL: the server deletes them within about a minute"),
            });
        }
    }
    // From here on it is taken to its end, whoever asks to stop.
    swap::take_to_its_end(run).await?;
    let report = RestoreReport {
        name: source.name.clone(),
        database: run.server.database().to_owned(),
        of_database: source.database.clone(),
        collections: size(built.len() + plan.views.len()),
        documents: built.iter().map(|it| it.written.documents).sum(),
        bytes: built.iter().map(|it| it.written.bytes).sum(),
        indexes: size(built.iter().map(|it| it.indexes).sum()),
        dropped: plan.drop.into_iter().map(|it| it.name).collect(),
        left_alone: plan.left_alone,
        safety_backup,
        earlier,
        notes,
        seconds: clock.elapsed().as_secs_f64(),
    };
    note(run, &report).await?;
    run.reporter.tell(
        observe::Kind::RestoreFinished,
        Level::Info,
        format!(
            "Restored {} of {} from {}.",
            counted(report.documents, "document"),
            counted(report.collections, "collection"),
            report.name
        ),
    );
    Ok(report)
}

/// Says at once where the safety backup cannot be written, and the ways out.
fn can_write(directory: &Path) -> Result<()> {
    let Some(existing) = directory.ancestors().find(|it| it.exists()) else { return Ok(()) };
    rustix::fs::access(existing, Access::WRITE_OK).map_err(|e| {
        Error::Backup(format!(
            "The safety backup of what is replaced cannot be written: {} cannot be written in ({}). Copy the backup into a directory that \
             can, and name that with --backup-dir; or restore without a safety backup (--no-safety-backup). Nothing was written.",
            existing.display(),
            std::io::Error::from(e)
        ))
    })
}

/// After a failure before the swap: removes what was built. What cannot be removed now, the next restore removes.
async fn undone(run: &mut Run, error: Error) -> Error {
    if matches!(error, Error::LeaseLost(_)) {
        // It is another run's now.
        return error;
    }
    if let Err(e) = swap::clean_up(run, &[]).await {
        let message = format!("What this restore had built could not be removed ({e}); the next `restore` removes it.");
        run.reporter.tell(observe::Kind::Warning, Level::Warning, message);
    }
    error
}

/// Builds everything, counts it, and commits to the swap.
async fn build_all(run: &mut Run, plan: &RestorePlan) -> Result<Vec<Built>> {
    let expected = |of: fn(&super::format::frames::Written) -> i64| {
        let known: Option<Vec<i64>> = plan.build.iter().map(|it| it.part.expected.as_ref().map(of)).collect();
        known.map(|all| all.into_iter().sum())
    };
    let workshop = CollectionBuilder {
        // Nobody sees what is built before the journal says so, and that is proven.
        server: run.server.guarded_now_and_then(),
        prefix: format!("{}{}_", run.server.names().temporary(), run.entry().get_str("run").unwrap_or_default()),
        inserts: Arc::new(Semaphore::new(parallelism() + 2)),
        meter: Arc::new(Meter::new("Restoring", expected(|it| it.documents), expected(|it| it.bytes))),
        reporter: run.reporter.clone(),
        stop: run.stop.child_token(),
    };
    let mut waiting: Vec<(usize, Build)> = plan.build.iter().cloned().enumerate().collect();
    let mut built: Vec<Built> = Vec::new();
    let mut attempt = 1;
    loop {
        build_these(run, &workshop, waiting, &mut built).await?;
        // Once a majority has this, it has everything that was written before; then what is counted stays.
        run.prove().await?;
        waiting = short_of_documents(run, &mut built).await?;
        if waiting.is_empty() {
            break;
        }
        let names: Vec<String> = waiting.iter().map(|(_, build)| format!("{:?}", build.part.entry.name)).collect();
        if attempt == ATTEMPTS {
            return Err(Error::Backup(format!(
                "Documents of {} were missing after they had been inserted; the database is as it was before.",
                names.join(", ")
            )));
        }
        attempt += 1;
        let message = format!("Building {} again: the server has taken documents back.", names.join(", "));
        run.reporter.tell(observe::Kind::Retrying, Level::Warning, message);
    }
    built.sort_by_key(|it| it.number);
    if let Some(records) = built.iter().find(|it| it.build.part.entry.name == run.server.names().ledger()) {
        let command = build::fence(&records.temporary, run.lease.token());
        let mut retry = Retry::new(&run.reporter, &run.stop);
        retry!(retry, run.server.run(command.clone(), None)).map_err(Error::server("Fencing restored records"))?;
    }
    // The last moment to stop.
    run.safe_point()?;
    journal::commit(run, &steps(plan, &built)).await?;
    Ok(built)
}

/// Everything the swap does, in its order: data first, then what only defines, then what makes documents go.
fn steps(plan: &RestorePlan, built: &[Built]) -> Vec<steps::SwapStep> {
    let dropped = plan
        .drop
        .iter()
        .chain(&plan.views_in_the_way)
        .map(|it| steps::SwapStep::Drop { target: it.name.clone(), uuid: it.uuid });
    let views =
        plan.views.iter().map(|it| steps::SwapStep::View { target: it.name.clone(), options: it.options.clone() });
    let expiring = built.iter().flat_map(|it| build::expiries(&it.build.part));
    built.iter().map(build::steps).chain(dropped).chain(views).chain(expiring).collect()
}

async fn build_these(
    run: &mut Run,
    workshop: &CollectionBuilder,
    mut waiting: Vec<(usize, Build)>,
    built: &mut Vec<Built>,
) -> Result<()> {
    // Popped from the end: the largest first.
    waiting.sort_by_key(|(_, build)| build.part.expected.unwrap_or_default().bytes);
    let mut tasks: JoinSet<Result<Built>> = JoinSet::new();
    let mut failure = None;
    loop {
        while tasks.len() < parallelism() && failure.is_none() {
            let Some((number, build)) = waiting.pop() else { break };
            tasks.spawn(workshop.clone().build(number, build));
        }
        let ended = tokio::select! {
            ended = tasks.join_next() => ended,
            () = tokio::time::sleep(WATCH) => {
                if let Err(e) = run.safe_point() {
                    workshop.stop.cancel();
                    failure.get_or_insert(stopped(e));
                }
                continue;
            }
        };
        let Some(ended) = ended else { break };
        match ended.map_err(|_| Error::broke_off("Building")).and_then(|it| it) {
            Ok(one) => built.push(one),
            Err(e) => {
                workshop.stop.cancel();
                failure.get_or_insert(e);
            }
        }
    }
    failure.map_or(Ok(()), Err)
}

fn stopped(error: Error) -> Error {
    match error {
        Error::Interrupted(_) => plan::interrupted(),
        other => other,
    }
}

/// Takes out of `built` what has not all its documents, to be built again.
async fn short_of_documents(run: &Run, built: &mut Vec<Built>) -> Result<Vec<(usize, Build)>> {
    let mut short = Vec::new();
    let mut at = 0;
    while at < built.len() {
        let mut retry = Retry::new(&run.reporter, &run.stop);
        let count = loop {
            match build::count(&run.server, &built[at]).await {
                Ok(count) => break count,
                Err(e) => retry.wait(e).await?.map_err(Error::server("Counting what was restored"))?,
            }
        };
        let one = &mut built[at];
        // A capped collection that was written while it was read holds its newest documents, as many as fit.
        let overfull = one.build.part.entry.capped() && count > 0 && count < one.written.documents;
        if overfull {
            one.notes.push(format!(
                "{:?} is capped: of {} that were read while it was being written, it holds the newest {}",
                one.build.part.entry.name,
                counted(one.written.documents, "document"),
                plural::number(count)
            ));
            one.written.documents = count;
        }
        if overfull || count == one.written.documents {
            at += 1;
        } else {
            let one = built.remove(at);
            short.push((one.number, one.build));
        }
    }
    Ok(short)
}

/// Notes the restore in the history. It is done; a history that cannot be written makes it no failure, but a lost lease
/// does: another run may have changed since what was restored.
async fn note(run: &mut Run, report: &RestoreReport) -> Result<()> {
    let mut entry = run.entry();
    entry.extend(doc! {
        "event": "restored",
        "at": DateTime::now(),
        "backup": &report.name,
        "of_database": &report.of_database,
        "collections": report.collections,
        "documents": report.documents,
        "dropped": &report.dropped,
        "safety_backup": &report.safety_backup,
        "duration_ms": history::milliseconds(report.seconds),
    });
    match run.write(history::WRITING, vec![history::append(&run.server, entry)]).await {
        Err(e @ Error::LeaseLost(_)) => return Err(e),
        Err(e) => {
            let message = format!("The restore is done, but could not be noted in the history: {e}");
            run.reporter.tell(observe::Kind::Warning, Level::Warning, message);
        }
        Ok(()) => {}
    }
    Ok(())
}
