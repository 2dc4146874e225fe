//! What a down script reaches beyond its up script: documents that it would change although the up script had
//! not touched them. `{"$unset": {"role": ""}}` on every student takes the role from those who had it before.

use std::collections::HashSet;
use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher, Hash};

use bson::{Document, RawDocumentBuf, rawdoc};

use crate::capture::{pack, registry};
use crate::engine::planned::{PlannedMigration, WorkItem};
use crate::error::server::ServerError;
use crate::error::{Error, Result};
use crate::model::script::Operation;
use crate::model::script::operation::Action;
use crate::mongo::catalog;
use crate::mongo::cursor::DocumentCursor;
use crate::mongo::id::Id;
use crate::mongo::query::Query;
use crate::mongo::server::Server;
use crate::observe::{Kind, Level};
use crate::plural::counted;
use crate::run::capture_key::{CaptureId, CaptureKey};
use crate::run::handle::Run;
use crate::run::ledger;
use crate::run::report::Overreach;

/// Documents looked up at once.
const AT_ONCE: usize = 5_000;
/// Identifiers, as hashes, that are told apart in one pass: 20 MB.
const APART: u64 = 1_800_000;

/// Counts them, operation by operation, on the data as it is before the down script starts, and warns.
///
/// # Errors
/// The server's.
pub async fn count(run: &Run, planned: &PlannedMigration) -> Result<Vec<Overreach>> {
    let found = survey(&run.server, planned).await?;
    warn(run, planned, &found);
    Ok(found)
}

/// Counts them without a run.
///
/// # Errors
/// The server's.
pub async fn survey(server: &Server, planned: &PlannedMigration) -> Result<Vec<Overreach>> {
    let reading = || Error::server("Comparing the down script with what the up script changed");
    let record = ledger::read_one(server, &planned.id).await?;
    let captures = record.map(|record| record.captures).unwrap_or_default();
    let touched = TouchedByCaptures::read(server, &captures).await.map_err(reading())?;
    let mut found = Vec::new();
    for (index, item) in (1..).zip(&planned.items) {
        let WorkItem::Operation(operation) = item else { continue };
        // What an earlier operation of the down script will rename has its old name still.
        let collection = named_now(planned, index - 1, &operation.collection);
        let documents = match Selects::of(server, operation, collection).await {
            Ok(None) => continue,
            Ok(Some(selects)) => match &touched {
                Some(touched) => touched.others(server, &selects).await.map(Some),
                None => selects.count(server).await.map(|count| (count == 0).then_some(0)),
            },
            Err(e) => Err(e),
        };
        let documents = match documents {
            Ok(documents) => documents,
            Err(e) if e.is_passing() => return Err(reading()(e)),
            // A filter that works only within its script, such as $text before its index is built.
            Err(_) => None,
        };
        if documents != Some(0) {
            let index = i64::try_from(index).unwrap_or(i64::MAX);
            found.push(Overreach { index, collection: operation.collection.clone(), documents });
        }
    }
    Ok(found)
}

fn warn(run: &Run, planned: &PlannedMigration, found: &[Overreach]) {
    let tell = |message: String| run.reporter.tell(Kind::Warning, Level::Warning, message);
    for each in found {
        let place = format!("operation {} of the down script ({})", each.index, each.collection);
        if let Some(documents) = each.documents {
            let undo = if planned.capture && planned.items.iter().all(WorkItem::captures) {
                format!(" `rollback {} --exact` undoes only what it did, also after this rollback.", planned.id)
            } else {
                String::new()
            };
            tell(format!(
                "{}: {place} reaches {} that the up script had not touched.{undo}",
                planned.id,
                counted(documents, "document")
            ));
        }
    }
    if found.iter().any(|each| each.documents.is_none()) {
        tell(format!(
            "{}: it is not known whether the down script reaches documents that the up script had not touched: \
             what it changed was not captured.",
            planned.id
        ));
    }
}

/// The name that a collection has before the down script, of which operation `at` (from 0) calls it `name`.
fn named_now<'a>(planned: &'a PlannedMigration, at: usize, name: &'a str) -> &'a str {
    let mut name = name;
    for item in planned.items[..at].iter().rev() {
        if let WorkItem::Operation(operation) = item
            && let Action::RenameCollection { to } = &operation.action
            && to == name
        {
            name = &operation.collection;
        }
    }
    name
}

/// The documents that an operation of a down script is about.
struct Selects<'a> {
    query: Query<'a>,
    filter: RawDocumentBuf,
    /// At most one of them.
    first_only: bool,
}

impl<'a> Selects<'a> {
    /// `None` for an operation that takes nothing away, and where there is no such collection.
    async fn of(server: &Server, operation: &'a Operation, collection: &'a str) -> Result<Option<Self>, ServerError> {
        let everything = Document::new();
        let (filter, collation, variables, first_only) = match &operation.action {
            Action::UpdateDocuments(update) => {
                (&update.filter, update.collation.as_ref(), update.variables.as_ref(), !update.multi)
            }
            Action::DeleteDocuments(delete) => (&delete.filter, delete.collation.as_ref(), None, false),
            Action::DropCollection => (&everything, None, None, false),
            _ => return Ok(None),
        };
        let exists = catalog::collection(server, collection).await?;
        if exists.is_none_or(|found| found.kind != "collection") {
            return Ok(None);
        }
        let query = Query { collection, hint: None, collation, variables };
        let filter = RawDocumentBuf::try_from(filter).map_err(mongodb::error::Error::from)?;
        Ok(Some(Self { query, filter, first_only }))
    }

    async fn count(&self, server: &Server) -> Result<i64, ServerError> {
        self.query.count(server, self.filter.clone()).await
    }

    async fn count_of(&self, server: &Server, ids: &[Id]) -> Result<i64, ServerError> {
        self.query.count(server, rawdoc! {"$and": [self.filter.clone(), {"_id": Id::any_of(ids)}]}).await
    }
}

/// Where what the captured operations touched is kept, by the name that its collection has now.
struct TouchedByCaptures(Vec<(String, CaptureKey)>);

impl TouchedByCaptures {
    /// `None` where not all of it was captured.
    async fn read(server: &Server, captures: &[Option<CaptureId>]) -> Result<Option<Self>, ServerError> {
        let headers = registry::headers(server).await?;
        let mut capture_keys: Vec<(String, CaptureKey)> = Vec::new();
        for capture in captures {
            let Some(capture) =
                capture.filter(|own| headers.iter().any(|header| header.capture == *own && !header.purging))
            else {
                return Ok(None);
            };
            for (capture_key, entry) in registry::entries(server, capture).await? {
                if ["uncaptured", "lost"].iter().any(|name| entry.get_bool(name).unwrap_or(false)) {
                    return Ok(None);
                }
                let text = |name: &str| entry.get_str(name).unwrap_or_default();
                if text("type") == "rename_collection" {
                    let renamed = capture_keys.iter_mut().filter(|(name, _)| name == text("collection"));
                    renamed.for_each(|(name, _)| text("to").clone_into(name));
                }
                capture_keys.push((text("collection").to_owned(), capture_key));
            }
        }
        Ok((!captures.is_empty()).then_some(Self(capture_keys)))
    }

    /// How many documents are selected that none of the operations touched.
    async fn others(&self, server: &Server, selects: &Selects<'_>) -> Result<i64, ServerError> {
        let all = selects.count(server).await?;
        if all == 0 {
            return Ok(0);
        }
        let capture_keys: Vec<CaptureKey> = self
            .0
            .iter()
            .filter(|(name, _)| name == selects.query.collection)
            .map(|(_, capture_key)| *capture_key)
            .collect();
        let mut touched = 0;
        let mut batch = Vec::new();
        // A document may have been touched by several operations. They are told apart in passes, each of a part of the
        // hashes, so that memory does not grow with their number.
        let passes = match capture_keys.as_slice() {
            [] | [_] => 1,
            several => identifiers(server, several).await? / APART + 1,
        };
        for pass in 0..passes {
            let mut apart = Apart::new(pass, passes);
            for capture_key in &capture_keys {
                let mut packs = packs_of(server, *capture_key).await?;
                while let Some(pack) = packs.next().await? {
                    for entry in pack::entries(&pack).unwrap_or_default() {
                        if capture_keys.len() == 1 || apart.meets_first(&entry.id) {
                            batch.push(entry.id);
                        }
                    }
                    if batch.len() >= AT_ONCE {
                        touched += selects.count_of(server, &batch).await?;
                        batch.clear();
                    }
                }
            }
        }
        touched += selects.count_of(server, &batch).await?;
        let untouched = all - touched;
        Ok(if selects.first_only { untouched.min(i64::from(touched == 0)) } else { untouched })
    }
}

/// Identifiers met in one of several passes, as hashes.
struct Apart {
    pass: u64,
    passes: u64,
    hasher: BuildHasherDefault<DefaultHasher>,
    seen: HashSet<u64>,
}

impl Apart {
    fn new(pass: u64, passes: u64) -> Self {
        Self { pass, passes, hasher: BuildHasherDefault::default(), seen: HashSet::new() }
    }

    /// Whether this is the pass of the identifier, and it was not met before.
    fn meets_first(&mut self, id: &impl Hash) -> bool {
        let hash = self.hasher.hash_one(id);
        hash % self.passes == self.pass && self.seen.insert(hash)
    }
}

/// How many identifiers are kept, counting one again for each operation.
async fn identifiers(server: &Server, capture_keys: &[CaptureKey]) -> Result<u64, ServerError> {
    let mut all = 0;
    for capture_key in capture_keys {
        let mut packs = packs_of(server, *capture_key).await?;
        while let Some(pack) = packs.next().await? {
            all += pack::entries(&pack).map_or(0, |entries| entries.len() as u64);
        }
    }
    Ok(all)
}

async fn packs_of(server: &Server, capture_key: CaptureKey) -> Result<DocumentCursor, ServerError> {
    let within = rawdoc! {"$gte": {"o": capture_key.operation, "s": i64::MIN}, "$lte": {"o": capture_key.operation, "s": i64::MAX}};
    server.walk(rawdoc! {"find": capture_key.capture.packs(server.names()), "filter": {"_id": within}}).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_identifier_is_met_first_in_one_pass_and_few_are_held() {
        // Touched by two operations each.
        const IDS: u64 = 1_000_000;
        let passes = 2 * IDS / 200_000 + 1;
        let mut first = 0;
        for pass in 0..passes {
            let mut apart = Apart::new(pass, passes);
            first += (0..2 * IDS).filter(|n| apart.meets_first(&(n % IDS))).count() as u64;
            assert!(apart.seen.len() < 110_000, "{}", apart.seen.len());
        }
        assert_eq!(first, IDS);
    }
}
