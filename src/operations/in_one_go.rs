//! Operations on documents that cannot be cut into chunks: why, and how they are carried out in one transaction.

use std::time::Duration;

use bson::{Bson, Document, doc};
use tokio::time::Instant;

use super::announce::weaker;
use super::error::{Failure, OperationError};
use crate::error::codes;
use crate::model::equivalence::same_collation;
use crate::model::script::operation::{DeleteDocuments, UpdateDocuments};
use crate::mongo::catalog::Collection;
use crate::mongo::retry::Retry;
use crate::mongo::server::Server;
use crate::run::handle::Run;
use crate::run::journal::{Journal, JournalError};
use crate::run::line::{ChunkBody, Selected};
use crate::run::progress::{OperationIndex, OperationProgress, Position};
use crate::run::report::{Counts, Outcome};

/// One write, in one transaction with its journal entry; `why` it cannot be cut.
///
/// # Errors
/// [`OperationError`].
pub async fn in_one_go<B: ChunkBody>(
    run: &mut Run,
    journal: &mut Journal,
    hash: &str,
    mut whole: Selected<'_, B>,
    why: &str,
    atomic: bool,
    place: OperationIndex,
) -> Result<(), OperationError> {
    let mut progress = OperationProgress::new(hash);
    progress.begun = !atomic;
    journal.note(run, place.index, progress.clone(), Some(Position::Whole)).await?;
    let reporter = run.reporter.clone();
    let stop = run.stop.clone();
    let mut retry = Retry::new(&reporter, &stop);
    loop {
        run.safe_point()?;
        let started = Instant::now();
        let entry = |counts: Counts| {
            let mut done = progress.clone();
            done.begun = true;
            done.outcome = Some(Outcome::Done);
            done.counts = counts;
            done.chunks = 1;
            done.note = weaker(atomic);
            (done, None)
        };
        let error = match journal.advance(&mut run.worker(), place.index, atomic, &mut whole, entry).await {
            Ok(()) => return Ok(()),
            Err(JournalError::Server(e)) => e,
            Err(stopped) => return Err(stopped.into()),
        };
        let lifetime = transaction_lifetime(&run.server).await;
        if atomic
            && started.elapsed() >= lifetime
            && (error.is(codes::NO_SUCH_TRANSACTION) || error.transient_transaction)
        {
            return Err(OperationError::Failed(Failure {
                written: None,
                cause: format!(
                    "{why} needs one transaction, and this one did not finish within the server's limit of {} s: {error}",
                    lifetime.as_secs()
                ),
                code: error.code,
                remedy: Some(
                    "Narrow the filter and split the operation, add an index that its filter can use, or raise the server's \
                     transactionLifetimeLimitSeconds for the maintenance window. Then run the same command again."
                        .to_owned(),
                ),
            }));
        }
        if error.is(codes::TRANSACTION_TOO_LARGE) {
            return Err(OperationError::Failed(Failure {
                written: None,
                cause: format!("{why} needs one transaction, with what it captures: {error}"),
                code: error.code,
                remedy: Some(
                    "Narrow the filter and split the operation, or write \"capture\": false into it to capture nothing. Then run the same command again."
                        .to_owned(),
                ),
            }));
        }
        if error.is(codes::WRITE_CONFLICT) {
            progress.conflicts += 1;
        }
        retry.wait(error).await?.map_err(OperationError::from)?;
    }
}

/// Why an update cannot be cut into chunks, whatever its collection.
pub fn update_in_one_go(update: &UpdateDocuments) -> Option<&'static str> {
    if update.upsert {
        Some("upsert")
    } else if !update.multi {
        Some("multi: false")
    } else {
        must_be_whole(&update.filter)
    }
}

/// Why a delete cannot be cut into chunks, whatever its collection.
pub fn delete_in_one_go(delete: &DeleteDocuments) -> Option<&'static str> {
    must_be_whole(&delete.filter)
}

/// Why an operation on documents cannot be cut into chunks: its `own` reason, or the collection's.
pub fn in_one_go_because(
    existing: &Collection,
    collation: Option<&Document>,
    own: Option<&'static str>,
) -> Option<&'static str> {
    if existing.kind == "timeseries" {
        Some("a time-series collection")
    } else if collation.is_some() && !same_collation(collation, existing.options.get_document("collation").ok()) {
        Some("a collation other than the collection's")
    } else {
        own
    }
}

/// Why a filter cannot be combined with bounds on `_id`.
fn must_be_whole(filter: &Document) -> Option<&'static str> {
    filter.iter().find_map(|(key, value)| match key.as_str() {
        "$text" => Some("$text"),
        "$near" | "$nearSphere" => Some("$near"),
        _ => in_value(value),
    })
}

fn in_value(value: &Bson) -> Option<&'static str> {
    match value {
        Bson::Document(document) => must_be_whole(document),
        Bson::Array(items) => items.iter().find_map(in_value),
        _ => None,
    }
}

/// How long the server lets a transaction live.
async fn transaction_lifetime(server: &Server) -> Duration {
    // A user of the database may lack the right to ask; then the server's default.
    let seconds = server
        .run_admin(doc! {"getParameter": 1, "transactionLifetimeLimitSeconds": 1})
        .await
        .ok()
        .and_then(|reply| reply.get_i32("transactionLifetimeLimitSeconds").ok())
        .and_then(|seconds| u64::try_from(seconds).ok())
        .unwrap_or(60);
    Duration::from_secs(seconds)
}
