//! Writing a backup.
//!
//! A dump lists the catalog, takes a cluster time and lists the catalog again. It then reads everything at that time
//! and lists the catalog once more. The lists are compared because a snapshot reads a dropped or renamed collection
//! as empty, without an error. Any difference makes the dump start over.

pub mod attempt;
mod error;
mod member;
mod packing;
mod reading;
mod scan;
mod sink;
pub mod window;

use std::path::Path;
use std::time::Instant;

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use self::attempt::{Dump, DumpRequest, stopped};
use self::error::{DumpError, DumpResult, pending};
use self::window::SnapshotWindow;
use super::catalog::{self, CatalogEntry, Listing};
use super::format::directory::{self, Partial};
use super::format::files::{self, blocking};
use super::format::frames::size;
use super::format::manifest::{Consistency, FILE, Heading, Manifest};
use super::report::BackupReport;
use super::restore::journal;
use super::rights;
use super::snapshot::{self, ReadMode};
use crate::error::codes;
use crate::error::{Error, Result};
use crate::mongo::retry::Policy;
use crate::mongo::retry::{Retry, retry};
use crate::mongo::server::Server;
use crate::observe::{self, Level, Reporter, Stop};
use crate::plural::counted;

/// What is said of a backup that is refused before it begins.
const NO_BACKUP: &str = "No backup was made. --exclude leaves collections out.";
/// How often a dump starts over because the catalog changed under it.
const ATTEMPTS: u32 = Policy::BACKUP.attempts;

/// Writes a backup into `parent`.
///
/// # Errors
/// [`Error::SnapshotLost`], [`Error::DiskFull`], [`Error::Interrupted`], [`Error::Backup`] or the server's; then
/// nothing remains of it.
pub async fn dump(
    server: &Server,
    parent: &Path,
    request: &DumpRequest,
    reporter: &Reporter,
    stop: &Stop,
) -> Result<BackupReport> {
    let clock = Instant::now();
    let began = OffsetDateTime::now_utc();
    clear_leftovers(server, parent, reporter).await?;
    let partial = {
        let parent = parent.to_owned();
        blocking(move || Partial::create(&parent)).await?
    };
    let mut attempt = 1;
    let (manifest, notes, left_out) = loop {
        let dump = Dump { server, directory: partial.path(), request, reporter, stop, began };
        match dump.attempt().await {
            Ok(done) => break done,
            Err(DumpError::Failed(error)) => return Err(error),
            Err(DumpError::Again(why)) if attempt == ATTEMPTS => {
                return Err(Error::Backup(format!(
                    "No backup was made: {why}, {ATTEMPTS} times in a row. Run the command again when nobody creates, drops, \
                     renames or indexes collections."
                )));
            }
            Err(DumpError::Again(why)) => {
                attempt += 1;
                let message = format!("Starting the backup over (attempt {attempt} of {ATTEMPTS}): {why}.");
                reporter.tell(observe::Kind::Retrying, Level::Warning, message);
                partial.clear()?;
                if let Some(onlooker) = &request.onlooker {
                    onlooker.start_over();
                }
            }
        }
    };
    // The last moment: from here on it is a backup.
    stopped(stop)?;
    let (name, parent) = {
        let parent = parent.to_owned();
        let bytes = manifest.to_bytes();
        blocking(move || {
            files::write_synced(&partial.path().join(FILE), &bytes)?;
            Ok((partial.publish(began)?, directory::absolute(&parent)?))
        })
        .await?
    };
    let report = BackupReport {
        path: parent.join(&name).display().to_string(),
        name,
        kind: manifest.kind.as_str().to_owned(),
        created_at: manifest.created(),
        excluded: manifest.scope.excluded().to_vec(),
        database: manifest.database,
        collections: size(manifest.collections.len()),
        documents: manifest.documents,
        bytes: manifest.bytes,
        stored_bytes: manifest.stored_bytes,
        consistency: manifest.consistency.as_str().to_owned(),
        cluster_time: manifest.cluster_time,
        notes,
        left_out,
        seconds: clock.elapsed().as_secs_f64(),
    };
    reporter.tell(
        observe::Kind::BackupFinished,
        Level::Info,
        format!(
            "Backed up {} of {} as {}.",
            counted(report.documents, "document"),
            counted(report.collections, "collection"),
            report.path
        ),
    );
    Ok(report)
}

/// Removes what dead backups of this host left, and puts back what they raised.
async fn clear_leftovers(server: &Server, parent: &Path, reporter: &Reporter) -> Result<()> {
    let found = {
        let parent = parent.to_owned();
        blocking(move || directory::leftovers(&parent)).await?
    };
    for leftover in found {
        if window::recover(server, &leftover.path, reporter).await {
            blocking(move || leftover.remove()).await?;
        } else {
            let path = leftover.path.display();
            let message = format!(
                "Left {path} as it is: a backup of another server was killed there after it had raised that server's snapshot window."
            );
            reporter.tell(observe::Kind::Warning, Level::Warning, message);
        }
    }
    Ok(())
}

impl Dump<'_> {
    async fn attempt(&self) -> DumpResult<(Manifest, Vec<String>, Vec<String>)> {
        journal::refuse_unfinished(self.server).await?;
        let listing = self.list().await?;
        let entries = &listing.entries;
        rights::of_backup(self.server, entries).refuse(self.server, NO_BACKUP).await.map_err(DumpError::Failed)?;
        let reading = self.reading(entries).await?;
        if let Some(changed) = catalog::difference(entries, &self.list().await?.entries) {
            return Err(DumpError::Again(format!("the catalog changed: {changed}")));
        }
        let window = match reading {
            ReadMode::At(_) if self.request.raise_window => {
                Some(SnapshotWindow::watch(self.server, self.directory, self.reporter))
            }
            ReadMode::At(_) | ReadMode::Majority | ReadMode::Local => None,
        };
        let result = self.read(listing, reading).await;
        if let Some(window) = window {
            window.close().await;
        }
        result
    }

    async fn read(&self, listing: Listing, reading: ReadMode) -> DumpResult<(Manifest, Vec<String>, Vec<String>)> {
        let Listing { entries, left_out, resembling, .. } = listing;
        let mut notes = self.notes(&entries, reading);
        notes.extend(resembling.iter().map(|name| {
            format!(
                "{name:?} has a name like this tool's own, but no record of this tool names it, so it is in the backup"
            )
        }));
        let collections = self.files(&entries, reading).await?;
        if let Some(changed) = catalog::difference(&entries, &self.list().await?.entries) {
            return Err(DumpError::Again(format!("the catalog changed: {changed}")));
        }
        // A restore may have begun and been killed meanwhile. It can stop half-way and leave the catalog unchanged.
        journal::refuse_unfinished(self.server).await?;
        let heading = Heading {
            kind: self.request.kind,
            scope: self.request.scope.clone(),
            database: self.server.database().to_owned(),
            created_at: self.began.format(&Rfc3339).unwrap_or_default(),
            server_version: self.server.profile().version_text.clone(),
            consistency: reading.consistency(),
            cluster_time: reading.cluster_time(),
        };
        Ok((Manifest::new(heading, collections), notes, left_out))
    }

    async fn list(&self) -> Result<Listing> {
        let mut retry = Retry::new(self.reporter, self.stop);
        let wanted = |name: &str| self.request.scope.includes(name);
        retry!(retry, catalog::listing(self.server, wanted)).map_err(Error::server("Reading the catalog"))
    }

    async fn reading(&self, entries: &[CatalogEntry]) -> DumpResult<ReadMode> {
        if !self.server.transactions() {
            return Ok(ReadMode::Local);
        }
        if self.request.consistency == Consistency::None {
            return Ok(ReadMode::Majority);
        }
        let mut retry = Retry::new(self.reporter, self.stop);
        loop {
            match snapshot::take(self.server, entries).await {
                Ok(Some(time)) => return Ok(ReadMode::At(time)),
                Ok(None) => return Ok(ReadMode::Majority),
                Err(e) if e.is(codes::SNAPSHOT_UNAVAILABLE) => return Err(pending(&e).await),
                Err(e) if e.is(codes::INVALID_OPTIONS) => {
                    return Err(DumpError::Failed(Error::Backup(format!(
                        "No backup was made: this server takes no snapshots outside transactions ({e}), which MongoDB does from 5.0 on. \
                         `backup --consistency none` makes one that is not of one time."
                    ))));
                }
                Err(e) => retry.wait(e).await?.map_err(Error::server("Taking a snapshot"))?,
            }
        }
    }

    fn notes(&self, entries: &[CatalogEntry], reading: ReadMode) -> Vec<String> {
        let mut notes = Vec::new();
        match reading {
            ReadMode::Local => notes.push(
                "not of one time: a standalone server has no snapshots; what was written meanwhile may be in it or not"
                    .to_owned(),
            ),
            ReadMode::Majority if self.request.consistency == Consistency::None => {
                notes.push("not of one time, as asked: what was written meanwhile may be in it or not".to_owned());
            }
            ReadMode::Majority | ReadMode::At(_) => {
                for entry in entries.iter().filter(|entry| entry.capped()) {
                    notes.push(format!(
                        "{:?} is capped, which no snapshot covers: it is as it was when it was read",
                        entry.name
                    ));
                }
            }
        }
        for entry in entries.iter().filter(|entry| !entry.unfinished.is_empty()) {
            notes.push(format!(
                "these indexes of {:?} are still being built and were left out: {}",
                entry.name,
                entry.unfinished.join(", ")
            ));
        }
        notes
    }
}
