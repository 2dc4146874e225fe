//! The registry of captures: a header for each run, an entry for each of its operations.
//!
//! An entry says what existed before the operation (`before`, `made`) and is written, in one transaction with
//! the journal's, before the operation is carried out; a run that carries on with it after a kill keeps it.
//! The state afterwards (`after`) is added when the operation has finished.

use bson::{Bson, Document, RawDocumentBuf, doc};
use mongodb::ClientSession;

use crate::error::server::ServerError;
use crate::mongo::reply::written;
use crate::mongo::server::Server;
use crate::names::Names;
use crate::run::capture_key::{CaptureId, CaptureKey, HEADER};
use crate::run::header::MigrationHeader;
use crate::run::report::Direction;
use crate::run::transaction::{Body, with_majority};

/// The type of the task on regular assessments, in the journal and in the registry of captures.
pub const UNIFY: &str = "unify_assessments";
/// The type of the task on teacher assessments.
pub const BRING_OVER: &str = "bring_over_teacher_assessments";

/// What a run's header says.
#[derive(Debug, Clone)]
pub struct CaptureHeader {
    /// The run's captures.
    pub capture: CaptureId,
    /// The migration.
    pub migration: String,
    /// Which script it ran.
    pub direction: Direction,
    /// Whether it undid captures instead of running a script.
    pub exact: bool,
    /// The migration's name.
    pub name: String,
    /// Whether an exact rollback has undone it.
    pub undone: bool,
    /// Whether freeing it has begun: it is no longer whole.
    pub purging: bool,
    /// How many bytes it had when that began.
    pub purged: Option<i64>,
    /// When it began, by the server's clock.
    pub at: Option<bson::DateTime>,
}

/// The command that writes a run's header, to be sent with the ledger's.
pub fn header(
    names: &Names,
    capture: CaptureId,
    migration: &MigrationHeader<'_>,
    direction: Direction,
    run: Document,
) -> Document {
    doc! {
        "update": names.captures(),
        "updates": [{
            "q": {"_id": id(CaptureKey { capture, operation: HEADER })},
            "u": {
                "$set": {
                    "migration": migration.id, "name": migration.name, "direction": direction.as_str(), "exact": migration.exact,
                    "run": run,
                },
                "$currentDate": {"at": true},
            },
            "upsert": true,
        }],
    }
}

fn id(capture_key: CaptureKey) -> Document {
    doc! {"run": capture_key.capture.0, "op": capture_key.operation}
}

/// Entries of operations, or additions to them, as the body of the journal's transaction.
#[derive(Default)]
pub struct RegistryEntry {
    statements: Vec<Document>,
}

impl RegistryEntry {
    /// Makes the entry, in place of one of an attempt that did nothing.
    pub fn first(capture_key: CaptureKey, kind: &str, collection: &str, what: Document) -> Self {
        let mut fields = doc! {"type": kind, "collection": collection};
        fields.extend(what);
        Self { statements: vec![statement(capture_key, fields, true)] }
    }

    /// Adds to the entry.
    pub fn more(capture_key: CaptureKey, what: Document) -> Self {
        let nothing = what.is_empty();
        Self { statements: if nothing { Vec::new() } else { vec![statement(capture_key, doc! {"$set": what}, false)] } }
    }

    /// Nothing to write: the operation is not captured.
    pub fn none() -> Self {
        Self::default()
    }

    /// Writes another one, too.
    pub fn and(&mut self, other: Self) {
        self.statements.extend(other.statements);
    }
}

fn statement(capture_key: CaptureKey, change: Document, upsert: bool) -> Document {
    doc! {"q": {"_id": id(capture_key)}, "u": change, "upsert": upsert}
}

fn update(names: &Names, statements: Vec<Document>) -> Document {
    doc! {"update": names.captures(), "updates": statements}
}

impl Body for RegistryEntry {
    type Output = ();

    async fn write(&mut self, server: &Server, session: Option<&mut ClientSession>) -> Result<Option<()>, ServerError> {
        if !self.statements.is_empty() {
            let update = update(server.names(), self.statements.clone());
            let command = if session.is_some() { update } else { with_majority(update) };
            server.run(command, session).await?;
        }
        Ok(Some(()))
    }
}

/// Whether the operation of an entry on an index made that index; `None` where it was killed before it could note it.
/// There may have been another index of the name before, which somebody has dropped since.
pub fn made_index(entry: &Document) -> Option<bool> {
    match (entry.get_document("before").ok(), entry.get("after")) {
        (None, None) => None,
        (Some(_), None) => Some(false),
        (before, Some(after)) => {
            let key = before.and_then(|before| before.get("key"));
            Some(after.as_document().is_some_and(|after| key.is_none() || key != after.get("key")))
        }
    }
}

/// The command that changes an operation's entry.
pub fn change(names: &Names, capture_key: CaptureKey, change: Document) -> Document {
    update(names, vec![statement(capture_key, change, false)])
}

/// Adds to an entry outside a run of scripts.
///
/// # Errors
/// The server's.
pub async fn amend(server: &Server, capture_key: CaptureKey, what: Document) -> Result<(), ServerError> {
    let command = update(server.names(), vec![statement(capture_key, doc! {"$set": what}, false)]);
    server.run(with_majority(command), None).await.map(drop)
}

/// Adds to an entry outside a run of scripts, where `field` is still as it was read; false where it is not. A run that has
/// lost its lease without knowing it may send this after another one has finished the work.
///
/// # Errors
/// The server's.
pub async fn amend_unchanged(
    server: &Server,
    capture_key: CaptureKey,
    (field, read): (&str, Option<&Bson>),
    what: Document,
) -> Result<bool, ServerError> {
    let mut amended = statement(capture_key, doc! {"$set": what}, false);
    let filter = doc! {"_id": id(capture_key), field: {"$eq": read.cloned().unwrap_or(Bson::Null)}};
    amended.insert("q", filter);
    let reply = server.run(with_majority(update(server.names(), vec![amended])), None).await?;
    Ok(written(&reply) > 0)
}

/// Changes an operation's entry, within a transaction if there is one.
///
/// # Errors
/// The server's.
pub async fn mark(
    server: &Server,
    session: Option<&mut ClientSession>,
    capture_key: CaptureKey,
    change: Document,
) -> Result<(), ServerError> {
    let update = update(server.names(), vec![statement(capture_key, change, false)]);
    let command = if session.is_some() { update } else { with_majority(update) };
    server.run(command, session).await.map(drop)
}

/// An operation's entry.
///
/// # Errors
/// The server's.
pub async fn load(server: &Server, capture_key: CaptureKey) -> Result<Option<Document>, ServerError> {
    let found = server
        .find_all(doc! {"find": server.names().captures(), "filter": {"_id": id(capture_key)}, "limit": 1})
        .await?;
    found.first().map(decode).transpose()
}

/// The entries of a run by operation, without its header.
///
/// # Errors
/// The server's.
pub async fn entries(server: &Server, capture: CaptureId) -> Result<Vec<(CaptureKey, Document)>, ServerError> {
    let filter = doc! {"_id": {"$gt": {"run": capture.0, "op": HEADER}, "$lte": {"run": capture.0, "op": i32::MAX}}};
    let found = server.find_all(doc! {"find": server.names().captures(), "filter": filter, "sort": {"_id": 1}}).await?;
    let mut entries = Vec::new();
    for raw in &found {
        let entry = decode(raw)?;
        if let Some(operation) = entry.get_document("_id").ok().and_then(|id| id.get_i32("op").ok()) {
            entries.push((CaptureKey { capture, operation }, entry));
        }
    }
    Ok(entries)
}

/// The entries of collections that were set aside, as long as nobody has seen that they are back and expire again.
///
/// # Errors
/// The server's.
pub async fn dropped(server: &Server) -> Result<Vec<(CaptureKey, Document)>, ServerError> {
    let filter = doc! {"type": "drop_collection", "aside": {"$exists": true}, "expires": {"$ne": true}};
    let found = server.find_all(doc! {"find": server.names().captures(), "filter": filter, "sort": {"_id": 1}}).await?;
    let mut entries = Vec::new();
    for raw in &found {
        let entry = decode(raw)?;
        let id = entry.get_document("_id").ok();
        let capture_key = id.and_then(|id| Some((id.get_object_id("run").ok()?, id.get_i32("op").ok()?)));
        if let Some((run, operation)) = capture_key {
            entries.push((CaptureKey { capture: CaptureId(run), operation }, entry));
        }
    }
    Ok(entries)
}

/// The header of every run, oldest first.
///
/// # Errors
/// The server's.
pub async fn headers(server: &Server) -> Result<Vec<CaptureHeader>, ServerError> {
    let command = doc! {"find": server.names().captures(), "filter": {"_id.op": HEADER}, "sort": {"at": 1, "_id": 1}};
    Ok(server.find_all(command).await?.iter().filter_map(read_header).collect())
}

fn read_header(raw: &RawDocumentBuf) -> Option<CaptureHeader> {
    Some(CaptureHeader {
        capture: CaptureId(raw.get_document("_id").ok()?.get_object_id("run").ok()?),
        migration: raw.get_str("migration").ok()?.to_owned(),
        direction: if raw.get_str("direction").ok()? == "up" { Direction::Up } else { Direction::Down },
        exact: raw.get_bool("exact").unwrap_or(false),
        name: raw.get_str("name").unwrap_or_default().to_owned(),
        undone: raw.get_bool("undone").unwrap_or(false),
        purging: raw.get_bool("purging").unwrap_or(false),
        purged: raw.get_i64("bytes").ok(),
        at: raw.get_datetime("at").ok(),
    })
}

/// The command that notes that a run's captures are about to be freed, and how many bytes they have: from now on nothing
/// relies on them.
pub fn removal_begins(names: &Names, capture: CaptureId, bytes: i64) -> Document {
    let header = doc! {"_id": id(CaptureKey { capture, operation: HEADER }), "purging": {"$ne": true}};
    doc! {
        "update": names.captures(),
        "updates": [{"q": header, "u": {"$set": {"purging": true, "bytes": bytes}}}],
    }
}

/// The command that removes a run's header and entries.
pub fn removal(names: &Names, capture: CaptureId) -> Document {
    let range = doc! {"$gte": {"run": capture.0, "op": HEADER}, "$lte": {"run": capture.0, "op": i32::MAX}};
    doc! {"delete": names.captures(), "deletes": [{"q": {"_id": range}, "limit": 0}]}
}

fn decode(raw: &RawDocumentBuf) -> Result<Document, ServerError> {
    Ok(Document::try_from(raw.as_ref()).map_err(mongodb::error::Error::from)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_made_an_index_is_told_from_its_entry() {
        let index = |field: &str| doc! {"key": {field: 1}, "name": "x"};
        let entry = |before: Option<Document>, after: Option<Bson>| {
            let mut entry = doc! {"index": "x", "before": before};
            entry.extend(after.map(|after| ("after".to_owned(), after)));
            entry
        };
        for (before, after, made) in [
            (None, None, None),
            (Some(index("a")), None, Some(false)),
            (None, Some(Bson::Document(index("a"))), Some(true)),
            // Left out.
            (None, Some(Bson::Null), Some(false)),
            (Some(index("a")), Some(Bson::Document(index("a"))), Some(false)),
            // Another of the name, which somebody dropped.
            (Some(index("b")), Some(Bson::Document(index("a"))), Some(true)),
        ] {
            let entry = entry(before, after);
            assert_eq!(made_index(&entry), made, "{entry}");
        }
    }
}
