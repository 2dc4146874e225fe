//! One attempt at a transaction. Trying again is its callers' decision: a chunk shrinks first.

use std::future::Future;
use std::time::{Duration, Instant};

use bson::raw::cstr;
use bson::{Document, RawDocumentBuf, doc, rawdoc};
use mongodb::ClientSession;
use mongodb::options::{ReadConcern, WriteConcern};

use crate::error::server::ServerError;
use crate::mongo::retry::{Backoff, Policy};
use crate::mongo::server::Server;
use crate::mongo::waiting::Waits;

/// What a transaction writes. It may run several times, each time from the start.
pub trait Body: Send {
    /// What it finds out.
    type Output: Send;
    /// Whether it writes anything at all.
    const WRITES: bool = true;

    /// Writes, through `session` where there is a transaction. `Ok(None)` means that a guard did not hold
    /// and nothing must be kept.
    fn write(
        &mut self,
        server: &Server,
        session: Option<&mut ClientSession>,
    ) -> impl Future<Output = Result<Option<Self::Output>, ServerError>> + Send;

    /// Hears how long the commit took.
    fn committed(&mut self, _: Duration) {}
}

/// Runs `body` in one transaction, committed to a majority; without transactions, simply runs it.
/// `Ok(None)` where its guard did not hold: then nothing was written, if there are transactions.
pub async fn attempt<B: Body>(
    server: &Server,
    session: Option<&mut ClientSession>,
    body: &mut B,
) -> Result<Option<B::Output>, ServerError> {
    let Some(session) = session else {
        return body.write(server, None).await;
    };
    session.start_transaction().read_concern(ReadConcern::snapshot()).write_concern(WriteConcern::majority()).await?;
    match body.write(server, Some(session)).await {
        Ok(Some(output)) => {
            let began = Instant::now();
            server.telling(Waits::of_commit(), commit(session)).await?;
            body.committed(began.elapsed());
            Ok(Some(output))
        }
        other => {
            // The server aborts it in any case; the answer changes nothing.
            let _ = session.abort_transaction().await;
            other
        }
    }
}

async fn commit(session: &mut ClientSession) -> Result<(), ServerError> {
    let mut backoff = Backoff::new(Policy::COMMIT);
    loop {
        let error = match session.commit_transaction().await {
            Ok(()) => return Ok(()),
            Err(e) => ServerError::from(e),
        };
        // Committing again is safe and tells whether it happened. Source: transactions specification,
        // "commitTransaction", UnknownTransactionCommitResult.
        // What lasts longer the journal is asked about, before anything is tried again.
        if !error.commit_unknown || !backoff.wait().await {
            return Err(error);
        }
    }
}

/// Adds the write concern a command needs when no transaction brings it.
pub fn with_majority(mut command: Document) -> Document {
    command.insert("writeConcern", doc! {"w": "majority"});
    command
}

/// Sends a write, to a majority where no transaction says so.
///
/// # Errors
/// The server's.
pub async fn send(
    server: &Server,
    session: Option<&mut ClientSession>,
    mut command: RawDocumentBuf,
) -> Result<Document, ServerError> {
    if session.is_none() {
        command.append(cstr!("writeConcern"), rawdoc! {"w": "majority"});
    }
    server.run_raw(command, session).await
}
