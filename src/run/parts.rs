//! The parts of an operation that several workers share: ranges of `_id`, each with a document of its own in the ledger.
//!
//! A record that two workers write would conflict in every chunk. So each part has its journal in a document of its own,
//! with the fencing token of the run and a `progress` like a record's. The parts are cut once, when the operation
//! begins, more of them than workers, and made in one transaction with the record's entry that counts them; a run that
//! resumes takes those that are not done, with as many workers as it has. When all are done, one transaction removes them
//! and writes their sum into the record.

use bson::{Bson, Document, RawDocumentBuf, doc};
use mongodb::ClientSession;

use super::id_ranges::{Scope, within};
use super::progress::{OperationProgress, Position, Progress};
use super::transaction::Body;
use crate::error::server::ServerError;
use crate::error::{Error, Result};
use crate::mongo::id::Id;
use crate::mongo::sample::Sample;
use crate::mongo::server::Server;
use crate::names::Names;

/// The `kind` of the documents in the ledger that are parts.
pub const KIND: &str = "part";

/// Documents drawn for each part, so that the parts are about equal.
const DRAWN: usize = 20;

/// A part, as the ledger keeps it.
#[derive(Debug, Clone)]
pub struct Part {
    /// Its number, from 1.
    pub number: i64,
    /// How far it is: a single operation, and where.
    pub progress: Progress,
}

impl Part {
    /// The `_id` of its document.
    pub fn key(&self, migration: &str) -> Bson {
        doc! {"of": migration, "part": self.number}.into()
    }

    /// The operation's progress in it.
    pub fn operation(&self) -> Option<&OperationProgress> {
        self.progress.operations.first()
    }

    /// The last `_id` of it.
    pub fn upper(&self) -> Option<&Id> {
        match &self.progress.position {
            Some(Position::Ids { upper, .. }) => Some(upper),
            _ => None,
        }
    }

    /// Whether everything in it is done.
    pub fn is_done(&self) -> bool {
        matches!(&self.progress.position, Some(Position::Ids { upper, after: Some(after) }) if after == upper)
    }
}

/// `_id`s that cut what lies above `after`, up to `upper`, into about so many equal parts, in ascending order.
///
/// # Errors
/// The server's.
pub async fn boundaries(
    server: &Server,
    scope: &Scope,
    after: Option<&Id>,
    upper: &Id,
    parts: usize,
) -> Result<Vec<Id>, ServerError> {
    let sample = Sample {
        collection: &scope.collection,
        size: i64::try_from(parts * DRAWN).unwrap_or(i64::MAX),
        filter: within(after, upper),
        whole: after.is_none(),
        concern: None,
    };
    let found = sample.draw(server).await?;
    let drawn: Vec<Id> = found.iter().filter_map(|document| Id::of(document)).collect();
    let step = drawn.len().div_ceil(parts.max(1)).max(1);
    let mut bounds: Vec<Id> = drawn.into_iter().skip(step).step_by(step).filter(|id| id != upper).collect();
    // A document may be drawn twice.
    bounds.dedup();
    Ok(bounds)
}

/// Cuts what lies above `after`, up to and with `upper`, at these `_id`s in ascending order. `done` is what was done
/// before, which the first part counts as its own.
pub fn cut(whole: &Progress, done: &OperationProgress, after: Option<Id>, upper: Id, bounds: Vec<Id>) -> Vec<Part> {
    let mut after = after;
    let mut parts = Vec::new();
    for (number, upper) in (1..).zip(bounds.into_iter().chain([upper])) {
        let mut progress = Progress::new(whole.direction, None, whole.exact);
        let first = number == 1;
        progress.operations.push(if first { done.clone() } else { OperationProgress::new(&done.hash) });
        progress.position = Some(Position::Ids { upper: upper.clone(), after: after.replace(upper) });
        parts.push(Part { number, progress });
    }
    parts
}

/// Makes the parts, in the transaction of the entry that counts them, in place of any that are there.
pub struct Make<'a> {
    /// The migration.
    pub migration: &'a str,
    /// The run's fencing token.
    pub token: i64,
    /// The record's status.
    pub status: &'a str,
    /// What to make.
    pub parts: &'a [Part],
}

impl Body for Make<'_> {
    type Output = ();

    async fn write(
        &mut self,
        server: &Server,
        mut session: Option<&mut ClientSession>,
    ) -> Result<Option<()>, ServerError> {
        let mut documents = Vec::new();
        for part in self.parts {
            let mut progress = part.progress.fresh();
            let operations =
                part.progress.operations.iter().map(bson::serialize_to_bson).collect::<Result<Vec<_>, _>>();
            progress.insert("operations", operations.map_err(mongodb::error::Error::from)?);
            let position = part.progress.position.as_ref().map(Position::to_raw).unwrap_or_default();
            let mut document = RawDocumentBuf::try_from(&doc! {
                "_id": part.key(self.migration),
                "kind": KIND,
                "of": self.migration,
                "status": self.status,
                "token": self.token,
            })
            .map_err(mongodb::error::Error::from)?;
            // The position's `_id`s are never decoded.
            let mut raw = RawDocumentBuf::try_from(&progress).map_err(mongodb::error::Error::from)?;
            raw.append(bson::raw::cstr!("position"), position);
            document.append(bson::raw::cstr!("progress"), raw);
            documents.push(document);
        }
        let command = bson::rawdoc! {
            "insert": server.names().ledger(),
            "documents": documents.into_iter().collect::<bson::RawArrayBuf>(),
        };
        // A run that was stopped before any part had begun has left those that it had made.
        server.run(removal(server.names(), self.migration), session.as_deref_mut()).await?;
        super::transaction::send(server, session, command).await.map(|_| Some(()))
    }
}

/// Removes the parts, in the transaction of the entry that has their sum.
pub struct Remove<'a> {
    /// The migration.
    pub migration: &'a str,
}

impl Body for Remove<'_> {
    type Output = ();

    async fn write(&mut self, server: &Server, session: Option<&mut ClientSession>) -> Result<Option<()>, ServerError> {
        server.run(removal(server.names(), self.migration), session).await.map(|_| Some(()))
    }
}

/// The command that removes the parts of a migration.
pub fn removal(names: &Names, migration: &str) -> Document {
    doc! {"delete": names.ledger(), "deletes": [{"q": {"kind": KIND, "of": migration}, "limit": 0}]}
}

/// The command that gives the parts of a migration the fencing token of the run that takes it over.
pub fn taking(names: &Names, migration: &str, token: i64) -> Document {
    let take = doc! {"q": {"kind": KIND, "of": migration}, "u": {"$set": {"token": token}}, "multi": true};
    doc! {"update": names.ledger(), "updates": [take]}
}

/// The parts of a migration, in order; `None` where there are not `count` of them. To be trusted for what a run does next,
/// they are read after it has taken them.
///
/// # Errors
/// The server's.
pub async fn read(server: &Server, migration: &str, count: usize) -> Result<Option<Vec<Part>>, ServerError> {
    Ok(read_all(server, migration).await?.filter(|parts| parts.len() == count))
}

/// The parts of a migration, in order; `None` where one cannot be read.
async fn read_all(server: &Server, migration: &str) -> Result<Option<Vec<Part>>, ServerError> {
    let find = doc! {
        "find": server.names().ledger(),
        "filter": {"kind": KIND, "of": migration},
        "sort": {"_id": 1},
    };
    let found = server.find_certain(find).await?;
    let parts = found.iter().map(|document| {
        let number = document.get_document("_id").ok()?.get_i64("part").ok()?;
        let progress = Progress::from_raw(document.get_document("progress").ok()?).ok()?;
        Some(Part { number, progress }).filter(|part| part.operation().is_some() && part.upper().is_some())
    });
    Ok(parts.collect())
}

/// What all parts did.
pub fn sum(parts: &[Part], hash: &str) -> OperationProgress {
    let mut sum = OperationProgress::new(hash);
    for operation in parts.iter().filter_map(Part::operation) {
        sum.begun |= operation.begun;
        sum.counts += operation.counts;
        sum.chunks += operation.chunks;
        sum.conflicts += operation.conflicts;
    }
    sum
}

/// Fills in what the parts of an unfinished operation did, where it has parts; false where the parts are not as the record
/// says. Parts of which none has begun may be there without it: a run was stopped right after it had made them.
///
/// # Errors
/// The server's.
pub async fn add_up(server: &Server, migration: &str, progress: &mut Progress) -> Result<bool> {
    let parts = read_all(server, migration).await.map_err(Error::server("Reading the ledger"))?;
    let Some(parts) = parts else { return Ok(false) };
    let under_way = progress.operations.last_mut().filter(|last| last.outcome.is_none());
    match (progress.position.as_ref(), under_way) {
        (Some(Position::Parts(count)), _) if parts.len() != *count => return Ok(false),
        (Some(Position::Parts(_)), Some(last)) => {
            *last = OperationProgress { note: last.note.clone(), ..sum(&parts, &last.hash) };
        }
        _ => return Ok(!parts.iter().filter_map(Part::operation).any(|part| part.begun)),
    }
    Ok(true)
}

/// The error of a run whose migration's parts are not as its record says.
pub fn missing(names: &Names, migration: &str) -> Error {
    Error::WrongState(format!(
        "{migration} cannot be carried on: {}. Bring them back from a backup, or undo the migration with `rollback {migration} \
         --exact`.",
        problem(names)
    ))
}

/// What is wrong with a record whose parts are not as it says, in words that follow its id.
pub fn problem(names: &Names) -> String {
    format!(
        "its documents of kind {KIND:?} in the ledger {:?} are not as its record says: somebody has changed or removed some",
        names.ledger()
    )
}
