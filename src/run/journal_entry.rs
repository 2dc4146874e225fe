//! One entry of the journal, and the work that is done in its transaction.

use std::time::{Duration, Instant};

use bson::{Bson, RawBson, RawDocumentBuf, rawdoc};
use mongodb::ClientSession;

use super::chunk_size::Costs;
use super::progress::{OperationProgress, Position};
use super::transaction::{Body, send};
use crate::error::server::ServerError;
use crate::mongo::reply::written;
use crate::mongo::server::Server;

/// What an entry says: how far the operation is, and where.
pub(super) type Made = (OperationProgress, Option<Position>);

/// No work: the entry alone.
pub(super) struct NoWork;

impl Body for NoWork {
    type Output = ();
    const WRITES: bool = false;

    async fn write(&mut self, _: &Server, _: Option<&mut ClientSession>) -> Result<Option<()>, ServerError> {
        Ok(Some(()))
    }
}

/// The place of one entry.
pub(super) struct EntryPlace {
    pub(super) key: Bson,
    pub(super) token: i64,
    pub(super) status: &'static str,
    pub(super) seq: i64,
    pub(super) index: usize,
}

impl EntryPlace {
    /// The command that makes the entry, once.
    pub(super) fn command(&self, server: &Server, (operation, position): &Made) -> Result<RawDocumentBuf, ServerError> {
        let document = bson::serialize_to_raw_document_buf(operation)
            .map_err(|e| ServerError::from(mongodb::error::Error::from(e)))?;
        let capture_key = format!("progress.operations.{}", self.index);
        let capture_key = <&bson::raw::CStr>::try_from(capture_key.as_str())
            .map_err(|e| ServerError::from(mongodb::error::Error::from(e)))?
            .to_owned();
        let mut set = rawdoc! {"progress.seq": self.seq + 1};
        set.append(&capture_key, document);
        let mut change = RawDocumentBuf::new();
        match position {
            Some(position) => {
                set.append(bson::raw::cstr!("progress.position"), position.to_raw());
                change.append(bson::raw::cstr!("$set"), set);
            }
            None => {
                change.append(bson::raw::cstr!("$set"), set);
                change.append(bson::raw::cstr!("$unset"), rawdoc! {"progress.position": ""});
            }
        }
        let key = RawBson::try_from(self.key.clone()).map_err(|e| ServerError::from(mongodb::error::Error::from(e)))?;
        Ok(rawdoc! {
            "update": server.names().ledger(),
            "updates": [{
                "q": {"_id": key, "token": self.token, "status": self.status, "progress.seq": self.seq},
                "u": change,
            }],
        })
    }
}

/// Work and its entry, as one transaction's body.
pub(super) struct JournalEntry<'a, W: Body, F> {
    pub(super) work: &'a mut W,
    pub(super) make: F,
    pub(super) entry_place: &'a EntryPlace,
    pub(super) made: Option<Made>,
    pub(super) costs: Costs,
}

impl<W, F> Body for JournalEntry<'_, W, F>
where
    W: Body,
    W::Output: Copy,
    F: FnMut(W::Output) -> Made + Send,
{
    type Output = ();

    async fn write(
        &mut self,
        server: &Server,
        mut session: Option<&mut ClientSession>,
    ) -> Result<Option<()>, ServerError> {
        let Some(output) = self.work.write(server, session.as_deref_mut()).await? else {
            return Ok(None);
        };
        let made = (self.make)(output);
        let command = self.entry_place.command(server, &made)?;
        self.made = Some(made);
        let began = Instant::now();
        let reply = send(server, session, command).await?;
        self.costs.entry = began.elapsed();
        Ok((written(&reply) > 0).then_some(()))
    }

    fn committed(&mut self, took: Duration) {
        self.costs.commit = took;
    }
}
