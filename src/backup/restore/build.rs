//! Building collections under temporary names: options, documents, indexes, counts.
//!
//! Nothing built here is seen by anybody. A collection whose building meets a lost connection is built again under
//! another name: writes that the old primary had taken may be undone.

use std::sync::Arc;

use bson::{Bson, Document, RawDocumentBuf, doc};
use tokio::sync::Semaphore;

use super::super::catalog::{self, CatalogEntry, CollectionType, index_name};
use super::super::format::frames::Written;
use super::super::meter::Meter;
use super::super::ranges;
use super::super::snapshot::ReadMode;
use super::super::source::SourceCollection;
use super::load::{LoadError, Target, load};
use super::plan::{Build, Move};
use super::steps::SwapStep;
use crate::error::codes;
use crate::error::server::ServerError;
use crate::error::{Error, Result};
use crate::mongo::catalog::fit_bucketing;
use crate::mongo::raw::{self as bytes, Builder};
use crate::mongo::retry::Retry;
use crate::mongo::server::Server;
use crate::observe::{Reporter, Stop};

/// The longest expiry there is, 68 years: an index built with it deletes nothing meanwhile.
const HELD_BACK: i64 = crate::mongo::profile::LONGEST_EXPIRY;

/// What the building of collections shares.
#[derive(Clone)]
pub struct CollectionBuilder {
    /// The server.
    pub server: Server,
    /// What every temporary name of this restore begins with.
    pub prefix: String,
    /// How many inserts may be under way at once.
    pub inserts: Arc<Semaphore>,
    /// Progress.
    pub meter: Arc<Meter>,
    /// The reporter of progress and warnings.
    pub reporter: Reporter,
    /// What asks to stop.
    pub stop: Stop,
}

/// A collection that was built.
#[derive(Debug)]
pub struct Built {
    /// Which of the plan's.
    pub number: usize,
    /// What it was built from.
    pub build: Build,
    /// Its temporary name.
    pub temporary: String,
    /// Which collection it is.
    pub uuid: [u8; 16],
    /// How many documents were inserted.
    pub written: Written,
    /// How many indexes were built.
    pub indexes: usize,
    /// What has to be said.
    pub notes: Vec<String>,
}

impl Built {
    /// How many of its documents are past a TTL of the collection, which begins to work at the end of the swap.
    ///
    /// # Errors
    /// The server's.
    pub async fn expired(&self, server: &Server) -> Result<i64, ServerError> {
        let entry = &self.build.part.entry;
        let mut expired = 0;
        for options in entry.indexes.iter().chain([&entry.options]).filter(|options| expiry(options).is_some()) {
            let options = Document::try_from(options.as_ref()).unwrap_or_default();
            expired += crate::mongo::expiry::count(server, &self.temporary, &options).await?;
        }
        Ok(expired)
    }
}

impl CollectionBuilder {
    /// Builds a collection; the plan's number keeps temporary names apart.
    ///
    /// # Errors
    /// [`Error::Backup`] for what the server refuses, [`Error::Interrupted`].
    pub async fn build(self, number: usize, build: Build) -> Result<Built> {
        let mut retry = Retry::new(&self.reporter, &self.stop);
        let mut attempt = 0;
        loop {
            let temporary = format!("{}{number}_{attempt}", self.prefix);
            attempt += 1;
            match self.attempt(number, &build, temporary).await {
                Ok(built) => return Ok(built),
                Err(LoadError::Failed(e)) => return Err(e),
                Err(LoadError::Server(e, at)) => {
                    retry.wait(e).await?.map_err(|e| refused(&build.part.entry.name, e, at))?;
                }
            }
        }
    }

    async fn attempt(&self, number: usize, build: &Build, temporary: String) -> std::result::Result<Built, LoadError> {
        let server = |e| LoadError::Server(e, None);
        let entry = &build.part.entry;
        let options = fitted(&self.server, entry).await;
        self.server.run_raw(create(&options, &temporary), None).await.map_err(server)?;
        let stored_in = CatalogEntry { name: temporary.clone(), ..entry.clone() }.stored_in();
        let target = Target {
            server: self.server.clone(),
            collection: stored_in,
            in_order: entry.capped(),
            inserts: self.inserts.clone(),
            meter: self.meter.clone(),
            reporter: self.reporter.clone(),
            stop: self.stop.clone(),
        };
        let written = match &build.part.data {
            Some(data) => load(Arc::new(target), data.clone()).await?,
            None => Written::default(),
        };
        let mut notes = Vec::new();
        let indexes = self.indexes(entry, &temporary, &mut notes).await.map_err(|e| {
            if e.is_passing() || e.authentication || e.is(codes::UNAUTHORIZED) || e.is(codes::LEASE_LOST) {
                return server(e);
            }
            LoadError::Failed(Error::Backup(format!(
                "{:?} cannot be restored: the server refuses an index: {e}. The database is as it was before. `--no-indexes` restores without \
                 indexes.",
                entry.name
            )))
        })?;
        let made = catalog::list_all(&self.server, |name| name == temporary).await.map_err(server)?;
        let uuid = made.first().and_then(|it| it.uuid).ok_or_else(|| {
            Error::Backup(format!("The temporary collection {temporary} is gone: somebody has dropped it."))
        })?;
        Ok(Built { number, build: build.clone(), temporary, uuid, written, indexes, notes })
    }

    /// Builds the indexes: all or none.
    async fn indexes(
        &self,
        entry: &CatalogEntry,
        temporary: &str,
        notes: &mut Vec<String>,
    ) -> Result<usize, ServerError> {
        for index in &entry.indexes {
            if bytes::get(index.as_bytes(), "expireAfterSeconds").is_some() && expiry(index).is_none() {
                notes.push(format!(
                    "the expiry of the index {:?} of {:?} is no number of seconds; it was set to the longest there is",
                    index_name(index),
                    entry.name
                ));
            }
        }
        if entry.indexes.is_empty() {
            return Ok(0);
        }
        self.server.run_raw(create_indexes(entry, temporary, self.server.profile().longest_expiry()), None).await?;
        Ok(entry.indexes.len())
    }
}

/// Every document is there, and counted by a read that a majority answers for.
///
/// # Errors
/// The server's, and [`Error::Backup`] for a capped collection whose newest documents are not the backup's.
pub async fn count(server: &Server, built: &Built) -> Result<i64, ServerError> {
    let stored_in = CatalogEntry { name: built.temporary.clone(), ..built.build.part.entry.clone() }.stored_in();
    let reading = if server.transactions() { ReadMode::Majority } else { ReadMode::Local };
    ranges::count(server, &stored_in, reading).await
}

/// The steps that put what was built in its place.
pub fn steps(built: &Built) -> SwapStep {
    let entry = &built.build.part.entry;
    match built.build.moved_by {
        Move::Rename => {
            SwapStep::Replace { temporary: built.temporary.clone(), target: entry.name.clone(), uuid: built.uuid }
        }
        Move::Copy => SwapStep::Copy {
            temporary: built.temporary.clone(),
            target: entry.name.clone(),
            options: entry.options.clone(),
            indexes: entry.indexes.clone(),
            documents: built.written.documents,
        },
    }
}

/// The steps that let documents expire again.
pub fn expiries(part: &SourceCollection) -> Vec<SwapStep> {
    let entry = &part.entry;
    let own =
        expiry(&entry.options).map(|seconds| SwapStep::Expire { target: entry.name.clone(), index: None, seconds });
    let indexes = entry.indexes.iter().filter_map(|index| {
        let seconds = expiry(index)?;
        Some(SwapStep::Expire { target: entry.name.clone(), index: Some(index_name(index).to_owned()), seconds })
    });
    own.into_iter().chain(indexes).collect()
}

/// `expireAfterSeconds` of an index or of a collection's options, where it is a number of seconds. What an old server
/// stored beyond that (NaN) would expire everything at once or nothing ever, depending on its version.
fn expiry(options: &bson::RawDocument) -> Option<Bson> {
    let value = options.get("expireAfterSeconds").ok().flatten()?;
    match Bson::try_from(value).ok()? {
        Bson::Double(seconds) if !(0.0..=HELD_BACK as f64).contains(&seconds) => None,
        seconds @ (Bson::Int32(_) | Bson::Int64(_) | Bson::Double(_)) => Some(seconds),
        _ => None,
    }
}

/// The entry with options that this server takes and that its buckets follow.
pub async fn fitted(server: &Server, entry: &CatalogEntry) -> CatalogEntry {
    let mut fitted = entry.clone();
    if entry.kind == CollectionType::Timeseries
        && let Ok(mut options) = Document::try_from(entry.options.as_ref())
    {
        fit_bucketing(server, &mut options).await;
        fitted.options = RawDocumentBuf::try_from(&options).unwrap_or(fitted.options);
    }
    fitted
}

/// The command that creates `entry` under another name. Its documents do not expire until the end of the swap.
pub fn create(entry: &CatalogEntry, name: &str) -> RawDocumentBuf {
    let mut command = Builder::new();
    command.extend(bson::rawdoc! {"create": name}.as_bytes());
    // autoIndexId is no option any more, and true where it was.
    let obsolete = |name: &[u8]| matches!(name, b"expireAfterSeconds" | b"autoIndexId" | b"uuid");
    bytes::elements(entry.options.as_bytes()).filter(|it| !obsolete(it.name)).for_each(|it| command.push(&it));
    let clustered = bytes::get(entry.options.as_bytes(), "clusteredIndex").is_some();
    if let Some(index) = &entry.id_index
        && entry.kind == CollectionType::Collection
        && !clustered
    {
        command.document("idIndex", index.as_bytes());
    }
    command.extend(bson::rawdoc! {"writeConcern": {"w": "majority"}}.as_bytes());
    command.finish()
}

/// The command that builds the indexes of `entry` on another collection, with an expiry of `held_back` seconds, which
/// [`Profile::longest_expiry`](crate::mongo::profile::Profile::longest_expiry) gives.
pub fn create_indexes(entry: &CatalogEntry, name: &str, held_back: i64) -> RawDocumentBuf {
    let mut command = Builder::new();
    command.extend(bson::rawdoc! {"createIndexes": name}.as_bytes());
    let collated = bytes::get(entry.options.as_bytes(), "collation").is_some();
    let specs: Vec<RawDocumentBuf> = entry.indexes.iter().map(|index| index_spec(index, collated, held_back)).collect();
    command.array("indexes", specs.iter().map(|spec| spec.as_bytes()));
    command.extend(bson::rawdoc! {"writeConcern": {"w": "majority"}}.as_bytes());
    command.finish()
}

fn index_spec(index: &RawDocumentBuf, collated: bool, held_back: i64) -> RawDocumentBuf {
    let mut spec = Builder::new();
    for element in bytes::elements(index.as_bytes()) {
        if element.name == b"expireAfterSeconds" {
            spec.extend(bson::rawdoc! {"expireAfterSeconds": held_back}.as_bytes());
        } else {
            spec.push(&element);
        }
    }
    // Without a word an index takes its collection's collation; the catalog shows a simple one by its absence.
    if collated && bytes::get(index.as_bytes(), "collation").is_none() {
        spec.extend(bson::rawdoc! {"collation": {"locale": "simple"}}.as_bytes());
    }
    spec.finish()
}

fn refused(collection: &str, error: ServerError, document: Option<i64>) -> Error {
    let place = document.map(|number| format!(", document {number}")).unwrap_or_default();
    if error.is_passing() || error.authentication || error.is(codes::UNAUTHORIZED) || error.is(codes::LEASE_LOST) {
        return Error::server(format!("Restoring {collection:?}{place}"))(error);
    }
    Error::Backup(format!("{collection:?}{place} cannot be restored: {error}. The database is as it was before."))
}

/// The command that raises the fencing token in restored records of unfinished migrations: a run that lost its lease
/// before this restore must not take them for its own.
pub fn fence(temporary: &str, token: i64) -> bson::Document {
    doc! {
        "update": temporary,
        "updates": [{
            "q": {"status": {"$in": ["applying", "rolling_back", "failed"]}},
            "u": {"$max": {"token": token}},
            "multi": true,
        }],
        "bypassDocumentValidation": true,
        "writeConcern": {"w": "majority"},
    }
}

#[cfg(test)]
#[path = "build_tests.rs"]
mod tests;
