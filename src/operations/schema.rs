//! Changes of the schema, by the journal's protocol: noted as begun, which also proves the lease right before
//! the command is sent, then carried out, then noted as finished.
//!
//! A change describes an end state. A repeated command after a kill or a lost connection finds what already exists.
//! What it removes or overwrites is captured in the transaction of the first note.

use bson::{Bson, Document, doc};

use super::error::{Failure, OperationError, SchemaError};
use super::position::Settled;
use super::{collections, indexes};
use crate::capture::registry::{self, RegistryEntry};
use crate::capture::{schema as captured, stash};
use crate::error::ASK_FOR_RIGHTS;
use crate::error::codes;
use crate::error::server::ServerError;
use crate::model::script::Operation;
use crate::model::script::operation::{Action, IndexRef};
use crate::mongo::movable;
use crate::mongo::retry::Retry;
use crate::mongo::server::Server;
use crate::run::capture_key::CaptureKey;
use crate::run::handle::Run;
use crate::run::journal::Journal;
use crate::run::progress::OperationIndex;
use crate::run::progress::{OperationProgress, Position};

/// A change of the schema.
pub enum SchemaChange<'a> {
    /// As an operation says.
    Operation(&'a Operation),
    /// Several indexes of one collection, built in one pass over its documents. The last operation of its run: each index
    /// is captured as if an operation of its own had made it.
    Indexes(&'a [Operation]),
    /// An index is dropped and built as `listIndexes` had it.
    Rebuild {
        /// Its collection.
        collection: &'a str,
        /// How it was.
        index: &'a Document,
    },
    /// A collection that was set aside returns.
    Return {
        /// Its name.
        name: &'a str,
        /// The name that it has now; `None` where it exists and only its expiry was suspended.
        aside: Option<&'a str>,
        /// What it was.
        before: &'a Document,
    },
}

/// Carries out a change and captures in `capture_key` what it removes.
///
/// # Errors
/// [`OperationError`].
pub async fn change(
    run: &mut Run,
    journal: &mut Journal,
    change: &SchemaChange<'_>,
    hash: &str,
    capture_key: Option<CaptureKey>,
    place: OperationIndex,
) -> Result<(), OperationError> {
    let reporter = run.reporter.clone();
    let stop = run.stop.clone();
    let mut retry = Retry::new(&reporter, &stop);
    let mut progress = OperationProgress::new(hash);
    progress.begun = true;
    let (settled, mut after) = loop {
        let error = match attempt(run, journal, change, &progress, capture_key, place).await {
            Ok(settled) => break settled,
            Err(SchemaAttempt::Operation(halt)) => return Err(halt),
            Err(SchemaAttempt::Failed(error)) => error,
        };
        match error {
            SchemaError::Server(e) if e.is_passing() => retry.wait(e).await?.map_err(OperationError::from)?,
            error => {
                // Nothing of it is done, so the file may be mended and the run carried on; of several indexes some may.
                progress.begun = matches!(change, SchemaChange::Indexes(_));
                journal.note(run, place.index, progress, Some(Position::Whole)).await?;
                return Err(match error {
                    SchemaError::Server(e) => e.into(),
                    SchemaError::Found(failure) => OperationError::Failed(failure),
                });
            }
        }
    };
    progress.outcome = Some(settled.outcome);
    progress.note = settled.note;
    Ok(journal.note_with(run, place.index, &mut after, progress, None).await?)
}

enum SchemaAttempt {
    Operation(OperationError),
    Failed(SchemaError),
}

impl<E: Into<SchemaError>> From<E> for SchemaAttempt {
    fn from(error: E) -> Self {
        Self::Failed(error.into())
    }
}

async fn attempt(
    run: &mut Run,
    journal: &mut Journal,
    change: &SchemaChange<'_>,
    progress: &OperationProgress,
    capture_key: Option<CaptureKey>,
    place: OperationIndex,
) -> Result<(Settled, RegistryEntry), SchemaAttempt> {
    // The entries of several indexes are in the slots behind this one.
    debug_assert!(change.operations().len() < 2 || place.index + 1 == place.operations);
    let begun = journal.progress.operations.get(place.index).is_some_and(|operation| operation.begun);
    if let SchemaChange::Operation(operation) = change
        && !begun
    {
        refuse_unmovable(&run.server, operation, capture_key.is_some()).await?;
    }
    let mut entry = match (capture_key, change) {
        // The state before the first attempt counts.
        (Some(capture_key), _) if !begun => {
            let mut entry = RegistryEntry::none();
            for (capture_key, operation) in capture_key.parts().zip(change.operations()) {
                let before = captured::before(&run.server, operation, capture_key).await?;
                entry.and(RegistryEntry::first(capture_key, operation.kind(), &operation.collection, before));
            }
            entry
        }
        (None, SchemaChange::Operation(operation)) if !begun => super::position::uncaptured(journal, operation, place),
        _ => RegistryEntry::none(),
    };
    let begins = progress.clone();
    let noted = journal.note_with(run, place.index, &mut entry, begins, Some(Position::Whole)).await;
    noted.map_err(|error| SchemaAttempt::Operation(error.into()))?;
    let settled = settle(&run.server, change, capture_key).await?;
    let mut after = RegistryEntry::none();
    for (capture_key, operation) in capture_key.into_iter().flat_map(CaptureKey::parts).zip(change.operations()) {
        after.and(RegistryEntry::more(capture_key, captured::after(&run.server, operation).await?));
    }
    Ok((settled, after))
}

/// Refuses, before anything of it is done, to rename or set aside a collection that the server would not let go.
async fn refuse_unmovable(server: &Server, operation: &Operation, captured: bool) -> Result<(), SchemaError> {
    if !matches!(operation.action, Action::DropCollection | Action::RenameCollection { .. }) {
        return Ok(());
    }
    let name = operation.collection.as_str();
    let Some(found) = crate::mongo::catalog::collection(server, name).await? else { return Ok(()) };
    let (verb, barred, remedy) = match operation.action {
        Action::DropCollection if captured => {
            ("set aside", movable::bars_stash(server, name, &found).await?, movable::DROP_INSTEAD)
        }
        Action::RenameCollection { .. } => {
            ("renamed", movable::bars_rename(server, name, &found).await?, movable::RENAME_INSTEAD)
        }
        _ => return Ok(()),
    };
    match barred {
        None => Ok(()),
        Some(why) => Err(Failure::found(format!("{name:?} cannot be {verb}: {why}"), remedy).into()),
    }
}

impl<'a> SchemaChange<'a> {
    /// The operations that it carries out.
    fn operations(&self) -> &'a [Operation] {
        match self {
            Self::Operation(operation) => std::slice::from_ref(operation),
            Self::Indexes(operations) => operations,
            Self::Rebuild { .. } | Self::Return { .. } => &[],
        }
    }
}

async fn settle(
    server: &Server,
    change: &SchemaChange<'_>,
    capture_key: Option<CaptureKey>,
) -> Result<Settled, SchemaError> {
    let operation = match change {
        SchemaChange::Operation(operation) => operation,
        SchemaChange::Indexes(operations) => return indexes::create_all(server, operations).await,
        SchemaChange::Rebuild { collection, index } => {
            let name = index.get_str("name").unwrap_or_default().to_owned();
            let existing = crate::mongo::catalog::indexes(server, collection).await?;
            if !existing.contains(index) {
                indexes::drop_index(server, collection, &IndexRef::Name(name)).await?;
                stash::create_index(server, collection, (*index).clone()).await?;
            }
            return Ok(Settled::done());
        }
        SchemaChange::Return { name, aside, before } => {
            match aside {
                Some(aside) => stash::bring_back(server, aside, name, before).await?,
                None => drop(stash::resume_expiry(server, name, before).await?),
            }
            return Ok(Settled::done());
        }
    };
    let name = operation.collection.as_str();
    match (&operation.action, capture_key) {
        (Action::CreateCollection { options }, _) => collections::create(server, name, options).await,
        (Action::DropCollection, None) => collections::drop_collection(server, name).await,
        (Action::DropCollection, Some(capture_key)) => drop_captured(server, name, capture_key).await,
        (Action::ModifyCollection { options }, _) => collections::modify(server, name, options).await,
        (Action::RenameCollection { to }, _) => collections::rename(server, name, to).await,
        (Action::CreateIndex(index), _) => indexes::create(server, name, index).await,
        (Action::DropIndex(index), _) => indexes::drop_index(server, name, index).await,
        (Action::UpdateDocuments(_) | Action::InsertDocuments(_) | Action::DeleteDocuments(_), _) => {
            Err(Failure::found("not a schema operation", "Report this as a defect.").into())
        }
    }
}

/// `drop_collection` where it is captured: a collection is set aside, and a view's definition is in the
/// registry.
async fn drop_captured(server: &Server, name: &str, capture_key: CaptureKey) -> Result<Settled, SchemaError> {
    let entry = registry::load(server, capture_key).await?.unwrap_or_default();
    let Ok(before) = entry.get_document("before") else {
        return Ok(Settled::absent("there is no such collection"));
    };
    let Ok(aside) = entry.get_str("aside") else {
        return collections::drop_collection(server, name).await;
    };
    let now = captured::uuid(server, name).await?;
    let kept = crate::mongo::catalog::collection(server, aside).await?.is_some();
    let copied = before.get_str("type").is_ok_and(|kind| kind == "timeseries");
    if now != Bson::Null && entry.get("uuid") == Some(&now) {
        // After a kill, the next run has seen that it expires again. Now that is suspended once more.
        if entry.contains_key("expires") {
            registry::mark(server, None, capture_key, doc! {"$unset": {"expires": ""}}).await?;
        }
        stash::set_aside(server, name, aside, before).await.map_err(|e| explain(e, copied))?;
        return Ok(kept_as(aside));
    }
    match (crate::mongo::catalog::collection(server, name).await?.is_some(), kept) {
        (true, _) => Err(Failure {
            written: None,
            cause: format!(
                "while this run was interrupted after {name:?} had been set aside or dropped, somebody has made a new {name:?}"
            ),
            code: Some(codes::NAMESPACE_EXISTS),
            remedy: Some("Rename or drop the new one, then run the same command again.".to_owned()),
        }
        .into()),
        (false, true) => Ok(kept_as(aside)),
        (false, false) => Ok(Settled::absent("somebody has dropped it meanwhile")),
    }
}

fn kept_as(aside: &str) -> Settled {
    Settled { note: Some(format!("set aside as {aside}")), ..Settled::done() }
}

fn explain(error: ServerError, copied: bool) -> SchemaError {
    if copied && error.is(codes::UNAUTHORIZED) {
        return Failure {
            written: None,
            cause: format!("the buckets of the time-series collection cannot be copied: {error}"),
            code: error.code,
            remedy: Some(format!(
                "{}, or write \"capture\": false into this operation; then run the same command again.",
                error.lacking.as_ref().map_or_else(|| ASK_FOR_RIGHTS.to_owned(), |lacking| lacking.advice())
            )),
        }
        .into();
    }
    error.into()
}
