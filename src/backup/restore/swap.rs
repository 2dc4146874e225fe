//! Taking a swap to its end, from the journal alone: by the run that began it, or by whichever comes next.

use bson::{Bson, RawDocument, RawDocumentBuf, doc, rawdoc};

use super::super::catalog::{self, CatalogEntry, CollectionType};
use super::super::names::{BUCKETS, STORED_FUNCTIONS};
use super::super::ranges;
use super::super::snapshot::ReadMode;
use super::build::{create, create_indexes, fitted};
use super::commands::{drop_if_allowed, raw, rename, schema, stuck};
use super::journal;
use super::removal::drop_collection;
use super::steps::SwapStep;
use crate::error::codes;
use crate::error::server::ServerError;
use crate::error::{Error, Result};
use crate::mongo::raw::{self as bytes, Builder};
use crate::mongo::retry::{Retry, retry};
use crate::names::Form;
use crate::observe::{Kind, Level, Stop};
use crate::plural::{counted, number};
use crate::run::handle::Run;

/// How much is copied at once.
const BATCH: usize = 3 * 1024 * 1024;

/// Takes every step of the journal, then removes what is left of the restore.
///
/// # Errors
/// [`Error::LeaseLost`], or [`Error::Backup`] for what the server refuses; `restore` then takes the rest.
pub async fn take_to_its_end(run: &mut Run) -> Result<()> {
    for (step, number) in journal::steps(&run.server).await?.iter().zip(0..) {
        journal::mark(run, number).await?;
        take(run, step).await?;
    }
    clean_up(run, &[]).await
}

/// Removes everything that the restore has built and not put in its place, but for what is to be kept, and the journal.
/// What the user may not drop stays, and is said: nobody is locked out by it.
///
/// # Errors
/// [`Error::LeaseLost`] or the server's.
pub async fn clean_up(run: &mut Run, keep: &[String]) -> Result<()> {
    let Some(head) = journal::read(&run.server).await? else { return Ok(()) };
    let own = run.server.names().clone();
    let old_aside = format!("{}aside", own.temporary());
    let built =
        |name: &str| own.form(name) == Some(Form::OfRestore(&head.run)) || (!head.names_aside && name == old_aside);
    let mut names: Vec<String> = live(run, &built).await?.into_iter().map(|it| it.name).collect();
    // Buckets whose time-series collection is gone already: a kill may leave them.
    let orphans = live(run, |name| name.strip_prefix(BUCKETS).is_some_and(&built)).await?;
    for orphan in orphans {
        let owner = orphan.name.trim_start_matches(BUCKETS).to_owned();
        if !names.contains(&owner) {
            names.push(orphan.name);
        }
    }
    let kept = |name: &str| keep.iter().any(|it| it == name.strip_prefix(BUCKETS).unwrap_or(name));
    for name in names.into_iter().filter(|name| !kept(name)) {
        if name == STORED_FUNCTIONS {
            drop_collection(run, &name).await?;
        } else if !drop_if_allowed(run, &name).await? {
            let message = format!(
                "{name:?}, which the restore had built, stays: this user may not drop it. Nothing refers to it any more."
            );
            run.reporter.tell(Kind::Warning, Level::Warning, message);
        }
    }
    journal::end(run).await
}

/// Takes one step; one that was taken already is nothing.
///
/// # Errors
/// [`Error::LeaseLost`] or the server's.
pub async fn take(run: &mut Run, step: &SwapStep) -> Result<()> {
    match step {
        SwapStep::Replace { temporary, target, uuid } => replace(run, temporary, target, uuid).await,
        SwapStep::Copy { temporary, target, options, indexes, documents } => {
            let entry = CatalogEntry {
                name: target.clone(),
                kind: CollectionType::Timeseries,
                options: options.clone(),
                id_index: None,
                indexes: indexes.clone(),
                unfinished: Vec::new(),
                uuid: None,
            };
            copy(run, temporary, &entry, *documents).await
        }
        SwapStep::View { target, options } => view(run, target, options).await,
        SwapStep::Drop { target, uuid } => match named(run, target).await? {
            Some(there) if there.uuid == *uuid => drop_collection(run, target).await,
            _ => Ok(()),
        },
        SwapStep::Expire { target, index, seconds } => expire(run, target, index.as_deref(), seconds).await,
    }
}

async fn replace(run: &mut Run, temporary: &str, target: &str, uuid: &[u8; 16]) -> Result<()> {
    loop {
        if named(run, temporary).await?.is_none_or(|it| it.uuid != Some(*uuid)) {
            if named(run, target).await?.is_some_and(|it| it.uuid == Some(*uuid)) {
                return Ok(());
            }
            // Done before a kill, and the application has made the collection anew since ($out does that).
            let message = format!("What was built for {target:?} is in its place already, or somebody has dropped it.");
            run.reporter.tell(Kind::Warning, Level::Warning, message);
            return Ok(());
        }
        // Neither a view nor a time-series collection can be replaced by a rename.
        if named(run, target).await?.is_some_and(|it| it.kind != CollectionType::Collection) {
            drop_collection(run, target).await?;
        }
        if target == STORED_FUNCTIONS {
            drop_collection(run, target).await?;
        }
        match rename(run, temporary, target).await? {
            Ok(_) => return Ok(()),
            // Its answer was lost and it had happened, or somebody created a view just now.
            Err(e) if e.is(codes::NAMESPACE_NOT_FOUND) || e.is(codes::NAMESPACE_EXISTS) => {}
            Err(e) => return Err(stuck(target, e)),
        }
    }
}

/// Makes `entry` anew and fills it from the copy, which is dropped once everything is there.
async fn copy(run: &mut Run, temporary: &str, entry: &CatalogEntry, documents: i64) -> Result<()> {
    if named(run, temporary).await?.is_none() {
        return Ok(());
    }
    let from = CatalogEntry { name: temporary.to_owned(), ..entry.clone() }.stored_in();
    let never = Stop::new();
    let reporter = run.reporter.clone();
    let mut retry = Retry::new(&reporter, &never);
    loop {
        drop_collection(run, &entry.name).await?;
        let filled = fill(run, &from, entry).await?;
        match filled {
            Ok(copied) if copied == documents => break,
            Ok(copied) => {
                return Err(Error::Backup(format!(
                    "{:?} has {} instead of {} after it was made anew. Run `restore` again, which makes it anew.",
                    entry.name,
                    counted(copied, "document"),
                    number(documents)
                )));
            }
            Err(e) => retry.wait(e).await?.map_err(|e| stuck(&entry.name, e))?,
        }
    }
    drop_collection(run, temporary).await
}

async fn fill(run: &mut Run, from: &str, entry: &CatalogEntry) -> Result<Result<i64, ServerError>> {
    let to = entry.stored_in();
    let server = run.server.clone();
    let filling = async {
        server.run_raw(create(&fitted(&server, entry).await, &entry.name), None).await?;
        let mut documents = server.find(rawdoc! {"find": from}).await?;
        let mut next = documents.next().await?;
        while next.is_some() {
            let mut command = Builder::new();
            command.extend(rawdoc! {"insert": to.as_str()}.as_bytes());
            let mut array = command.begin_array("documents");
            let mut held = 0;
            while let Some(document) = next {
                held += document.as_bytes().len();
                array.push(document.as_bytes());
                next = documents.next().await?;
                if held + next.as_ref().map_or(0, |it| it.as_bytes().len()) > BATCH {
                    break;
                }
            }
            array.end();
            command.extend(
                rawdoc! {"ordered": true, "bypassDocumentValidation": true, "writeConcern": {"w": "majority"}}
                    .as_bytes(),
            );
            server.run_raw(command.finish(), None).await?;
        }
        if !entry.indexes.is_empty() {
            server.run_raw(create_indexes(entry, &entry.name, server.profile().longest_expiry()), None).await?;
        }
        let reading = if server.transactions() { ReadMode::Majority } else { ReadMode::Local };
        ranges::count(&server, &to, reading).await
    };
    Ok(filling.await)
}

async fn view(run: &mut Run, target: &str, options: &RawDocumentBuf) -> Result<()> {
    loop {
        if let Some(there) = named(run, target).await? {
            if there.kind == CollectionType::View && there.options == *options {
                return Ok(());
            }
            let collation =
                |options: &RawDocument| bytes::get(options.as_bytes(), "collation").map(|it| it.value.to_vec());
            if there.kind == CollectionType::View && collation(&there.options) == collation(options) {
                let mut modify = Builder::new();
                modify.extend(rawdoc! {"collMod": target}.as_bytes());
                bytes::elements(options.as_bytes())
                    .filter(|it| it.name != b"collation")
                    .for_each(|it| modify.push(&it));
                return match schema(run, modify.finish()).await? {
                    Ok(_) => Ok(()),
                    Err(e) => undefined(run, target, e),
                };
            }
            drop_collection(run, target).await?;
        }
        let entry = CatalogEntry {
            name: target.to_owned(),
            kind: CollectionType::View,
            options: options.clone(),
            id_index: None,
            indexes: Vec::new(),
            unfinished: Vec::new(),
            uuid: None,
        };
        match schema(run, create(&entry, target)).await? {
            Ok(_) => return Ok(()),
            Err(e) if e.is(codes::NAMESPACE_EXISTS) => {}
            Err(e) => return undefined(run, target, e),
        }
    }
}

/// A view that the server refuses, because it contradicts one that was to be kept, holds no documents: the swap goes
/// on without it.
fn undefined(run: &Run, target: &str, error: ServerError) -> Result<()> {
    if error.is_passing() || error.authentication || error.is(codes::UNAUTHORIZED) {
        return Err(stuck(target, error));
    }
    let message = format!("The view {target:?} is not as it is in the backup: the server refused it ({error}).");
    run.reporter.tell(Kind::Warning, Level::Warning, message);
    Ok(())
}

async fn expire(run: &mut Run, target: &str, index: Option<&str>, seconds: &Bson) -> Result<()> {
    let command = match index {
        Some(index) => doc! {"collMod": target, "index": {"name": index, "expireAfterSeconds": seconds.clone()}},
        None => doc! {"collMod": target, "expireAfterSeconds": seconds.clone()},
    };
    let raw = raw(&command)?;
    match schema(run, raw).await? {
        Ok(_) => Ok(()),
        // Dropped since by the application: nothing is left to expire.
        Err(e) if e.is(codes::INDEX_NOT_FOUND) || e.is(codes::NAMESPACE_NOT_FOUND) => Ok(()),
        Err(e) => {
            let what =
                index.map_or_else(|| format!("{target:?}"), |index| format!("the index {index:?} of {target:?}"));
            let advice = e.lacking.as_ref().map(|it| format!(" {}.", it.advice())).unwrap_or_default();
            let message = format!(
                "Documents of {what} do not expire until somebody runs {command}: the server refused it ({e}).{advice}"
            );
            run.reporter.tell(Kind::Warning, Level::Warning, message);
            Ok(())
        }
    }
}

/// The collection of that name, as it is now.
///
/// # Errors
/// The server's.
pub async fn named(run: &Run, name: &str) -> Result<Option<CatalogEntry>> {
    Ok(live(run, |it| it == name).await?.into_iter().next())
}

async fn live(run: &Run, wanted: impl Fn(&str) -> bool) -> Result<Vec<CatalogEntry>> {
    let never = Stop::new();
    let mut retry = Retry::new(&run.reporter, &never);
    retry!(retry, catalog::list_all(&run.server, &wanted)).map_err(Error::server("Reading the catalog"))
}
