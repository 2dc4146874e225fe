//! Documents from a file into a collection: one thread reads and puts commands together, several are under way.

use std::sync::Arc;

use bson::{RawDocumentBuf, rawdoc};
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;

use super::super::format::frames::{Written, size};
use super::super::format::reader::{Data, FileDocuments};
use super::super::meter::Meter;
use crate::error::server::ServerError;
use crate::error::{Error, Result, foreign};
use crate::mongo::raw::{self as bytes, Builder};
use crate::mongo::server::Server;
use crate::observe::{Reporter, Stop};

/// How much an insert carries, but for a document that is larger by itself. The whole command may have 16 MiB and
/// 16 KiB: this and one more document always fit.
const BATCH: usize = 2 * 1024 * 1024;
const BATCH_DOCUMENTS: usize = 50_000;
/// The greatest document that joins a batch.
const JOINS: usize = 8 * 1024 * 1024;

/// Where documents go.
pub struct Target {
    /// The server.
    pub server: Server,
    /// The collection.
    pub collection: String,
    /// One after the other, for capped collections.
    pub in_order: bool,
    /// How many inserts may be under way, over all collections.
    pub inserts: Arc<Semaphore>,
    /// Progress.
    pub meter: Arc<Meter>,
    /// The reporter of progress and warnings.
    pub reporter: Reporter,
    /// What asks to stop.
    pub stop: Stop,
}

/// Why documents could not be loaded.
pub enum LoadError {
    /// The server's error, and the number of the document (from 1) it is about, where it is about one.
    Server(ServerError, Option<i64>),
    /// Anything else.
    Failed(Error),
}

impl From<Error> for LoadError {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

/// An insert put together, and what it holds.
struct InsertBatch {
    command: RawDocumentBuf,
    first: i64,
    holds: Written,
    /// Documents whose empty timestamps the server replaces.
    stamped: Vec<Vec<u8>>,
}

/// Inserts every document of `data`.
///
/// # Errors
/// The first error: nothing is skipped.
pub async fn load(target: Arc<Target>, data: Data) -> std::result::Result<Written, LoadError> {
    let (sender, mut receiver) = mpsc::channel::<InsertBatch>(2);
    let collection = target.collection.clone();
    let reading = tokio::task::spawn_blocking(move || read(&data, &collection, &sender));
    let mut tasks: JoinSet<std::result::Result<Written, LoadError>> = JoinSet::new();
    let at_once = if target.in_order { 1 } else { 3 };
    let mut failure = None;
    loop {
        while tasks.len() >= at_once || (failure.is_some() && !tasks.is_empty()) {
            note(tasks.join_next().await, &target, &mut failure);
        }
        if failure.is_some() {
            break;
        }
        let insert = tokio::select! {
            insert = receiver.recv() => insert,
            () = target.stop.cancelled() => return Err(LoadError::Failed(super::plan::interrupted())),
        };
        let Some(insert) = insert else { break };
        let Ok(permit) = target.inserts.clone().acquire_owned().await else { break };
        let target = target.clone();
        tasks.spawn(async move {
            let done = insert_one(&target, insert).await;
            drop(permit);
            done
        });
    }
    // The reader ends at its next batch: nobody takes it any more.
    drop(receiver);
    while let Some(ended) = tasks.join_next().await {
        note(Some(ended), &target, &mut failure);
    }
    let read = reading.await.map_err(|_| Error::broke_off("Reading the backup"))?;
    match failure {
        Some(failure) => Err(failure),
        None => Ok(read?),
    }
}

type LoadOutcome = std::result::Result<std::result::Result<Written, LoadError>, tokio::task::JoinError>;

fn note(ended: Option<LoadOutcome>, target: &Target, failure: &mut Option<LoadError>) {
    match ended {
        Some(Ok(Ok(written))) => target.meter.add(written, &target.reporter),
        Some(Ok(Err(e))) => {
            failure.get_or_insert(e);
        }
        Some(Err(_)) => {
            failure.get_or_insert(LoadError::Failed(Error::broke_off("Inserting")));
        }
        None => {}
    }
}

/// Reads the file to its end, or until nobody takes what is read. Blocks.
fn read(data: &Data, collection: &str, sender: &mpsc::Sender<InsertBatch>) -> Result<Written> {
    let mut documents = FileDocuments::open(data)?;
    let mut document = Vec::new();
    let mut first = 1;
    // A document that did not fit any more begins the next.
    let mut more = documents.next_into(&mut document)?;
    while more {
        let mut holds = Written::default();
        let mut stamped = Vec::new();
        let mut builder = Builder::new();
        builder.extend(rawdoc! {"insert": collection}.as_bytes());
        let mut array = builder.begin_array("documents");
        let mut count = 0;
        while more {
            array.push(&document);
            if bytes::has_zero_timestamp(&document) {
                stamped.push(document.clone());
            }
            holds += Written { documents: 1, bytes: size(document.len()) };
            count += 1;
            document.clear();
            more = documents.next_into(&mut document)?;
            let full = holds.bytes >= size(BATCH) || count >= BATCH_DOCUMENTS || document.len() > JOINS;
            if full {
                break;
            }
        }
        array.end();
        // Documents may violate the validator that stands now: they did so where they come from.
        builder
            .extend(rawdoc! {"ordered": true, "bypassDocumentValidation": true, "writeConcern": {"w": 1}}.as_bytes());
        let insert = InsertBatch { command: builder.finish(), first, holds, stamped };
        first += holds.documents;
        if sender.blocking_send(insert).is_err() {
            return Ok(documents.written());
        }
    }
    documents.finish()
}

async fn insert_one(target: &Target, insert: InsertBatch) -> std::result::Result<Written, LoadError> {
    let numbered = |e: ServerError| {
        let number = e.index.map(|index| insert.first + size(index));
        LoadError::Server(e, number)
    };
    target.server.run_raw(insert.command, None).await.map_err(numbered)?;
    for document in &insert.stamped {
        restamp(target, document).await?;
    }
    Ok(insert.holds)
}

/// The server replaces `Timestamp(0,0)` at the top level of a document that is inserted. An update by a pipeline puts
/// it back, and reading it again shows that every byte is as it was.
async fn restamp(target: &Target, document: &[u8]) -> std::result::Result<(), LoadError> {
    let server = |e| LoadError::Server(e, None);
    let Some(id) = bytes::id_of(document) else {
        return Err(LoadError::Failed(Error::Backup(format!(
            "A document of {:?} has neither an _id nor a timestamp that the server would keep.",
            target.collection
        ))));
    };
    let whole = RawDocumentBuf::from_bytes(document.to_vec()).map_err(|e| {
        Error::Backup(format!("A document of {:?} cannot be restored: {}.", target.collection, foreign::bson(&e)))
    })?;
    let mut value = Builder::new();
    if let Some(element) = bytes::get(id.as_bytes(), "_id") {
        value.value(element.kind, b"$eq", element.value);
    }
    let filter = rawdoc! {"_id": value.finish()};
    let update = rawdoc! {
        "update": target.collection.as_str(),
        "updates": [{"q": filter.clone(), "u": [{"$replaceWith": {"$literal": whole}}]}],
        "bypassDocumentValidation": true,
        "writeConcern": {"w": 1},
    };
    target.server.run_raw(update, None).await.map_err(server)?;
    let command = rawdoc! {"find": target.collection.as_str(), "filter": filter, "limit": 1};
    let mut found = target.server.find(command).await.map_err(server)?;
    let stands = found.next().await.map_err(server)?;
    if stands.is_some_and(|it| it.as_bytes() == document) {
        return Ok(());
    }
    Err(LoadError::Failed(Error::Backup(format!(
        "A document of {:?} with an empty timestamp did not come back byte for byte; its _id is {}.",
        target.collection,
        bson::Document::try_from(id.as_ref()).map(|it| it.to_string()).unwrap_or_default()
    ))))
}
