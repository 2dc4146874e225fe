//! Reading results that fit into memory, whole.

use bson::raw::cstr;
use bson::{Document, RawDocumentBuf, doc};
use futures_util::StreamExt;
use mongodb::ClientSession;
use mongodb::raw_batch_cursor::RawBatch;

use super::Server;
use crate::error::codes;
use crate::error::server::ServerError;
use crate::mongo::retry::{Backoff, Policy};

/// Documents of one reply where all of them are wanted: the server ends it at 16 MB.
const REPLY: i32 = 10_000_000;
/// How long a primary may take to make sure that it is one, in milliseconds.
const CERTAINTY_MILLISECONDS: i32 = 15_000;

impl Server {
    /// [`find_all`](Self::find_all) for one document by its `_id`, from a primary that has made sure that it
    /// still is one: what a deposed primary shows may yet be undone.
    pub async fn find_certain(&self, mut command: Document) -> Result<Vec<RawDocumentBuf>, ServerError> {
        if !self.profile.transactions() {
            return self.find_all(command).await;
        }
        command.insert("readConcern", doc! {"level": "linearizable"});
        command.insert("maxTimeMS", CERTAINTY_MILLISECONDS);
        let mut backoff = Backoff::new(Policy::READ);
        loop {
            match self.find_all(command.clone()).await {
                // A primary cut off from the others cannot make sure and runs into the time limit.
                Err(e) if e.is(codes::MAX_TIME_EXPIRED) => {
                    if !backoff.wait().await {
                        return Err(ServerError { connection: true, ..e });
                    }
                }
                answer => return answer,
            }
        }
    }

    /// All documents of a `find`, within a session's transaction if there is one, as the server stores them, in as
    /// few replies as there can be. More than `limit` bytes of them are an error like a transaction's that is too
    /// large, unless it is a single document.
    pub async fn read(
        &self,
        mut command: RawDocumentBuf,
        session: Option<&mut ClientSession>,
        limit: usize,
    ) -> Result<Vec<RawDocumentBuf>, ServerError> {
        command.append(cstr!("batchSize"), REPLY);
        let Some(session) = session else {
            return self.collect(command, limit).await;
        };
        let ours = self.is_ours(&command);
        let marked = |e: mongodb::error::Error| ServerError { ours, ..ServerError::from(e) };
        let action = self.db.run_raw_cursor_command(self.profile.adapt(command));
        let mut read = Read { documents: Vec::new(), bytes: 0, limit };
        let mut cursor = action.session(&mut *session).batch().await.map_err(marked)?;
        let mut batches = cursor.stream(session);
        while let Some(batch) = batches.next().await {
            self.count_round_trip();
            read.take(&batch.map_err(marked)?)?;
        }
        Ok(read.documents)
    }

    /// All documents of a cursor command.
    pub async fn find_all(&self, command: Document) -> Result<Vec<RawDocumentBuf>, ServerError> {
        let raw = RawDocumentBuf::try_from(&command).map_err(|e| ServerError::from(mongodb::error::Error::from(e)))?;
        self.collect(raw, usize::MAX).await
    }

    /// [`find_all`](Self::find_all) for a command that is built already.
    pub async fn read_all(&self, command: RawDocumentBuf) -> Result<Vec<RawDocumentBuf>, ServerError> {
        self.collect(command, usize::MAX).await
    }

    /// Reads a cursor to its end, from the start again where it is lost.
    async fn collect(&self, command: RawDocumentBuf, limit: usize) -> Result<Vec<RawDocumentBuf>, ServerError> {
        let mut backoff = Backoff::new(Policy::READ);
        loop {
            match self.collect_once(command.clone(), limit).await {
                Err(e) if e.is_passing() && backoff.wait().await => {}
                answer => return answer,
            }
        }
    }

    async fn collect_once(&self, command: RawDocumentBuf, limit: usize) -> Result<Vec<RawDocumentBuf>, ServerError> {
        let ours = self.is_ours(&command);
        let mut read = Read { documents: Vec::new(), bytes: 0, limit };
        let mut batches = self.batches(command).await?;
        while let Some(batch) = batches.next().await {
            self.count_round_trip();
            read.take(&batch.map_err(|e| ServerError { ours, ..ServerError::from(e) })?)?;
        }
        Ok(read.documents)
    }
}

/// Documents read so far.
struct Read {
    documents: Vec<RawDocumentBuf>,
    bytes: usize,
    limit: usize,
}

impl Read {
    fn take(&mut self, batch: &RawBatch) -> Result<(), ServerError> {
        for slice in batch.doc_slices()? {
            let value = slice.map_err(mongodb::error::Error::from)?;
            let Some(document) = value.as_document() else { continue };
            self.bytes += document.as_bytes().len();
            if self.bytes > self.limit && !self.documents.is_empty() {
                let message = format!("the documents have more than {} MB together", self.limit / 1_000_000);
                return Err(ServerError::found(codes::TRANSACTION_TOO_LARGE, message));
            }
            self.documents.push(document.to_owned());
        }
        Ok(())
    }
}
