//! What a down script reaches beyond its up script: documents that it would change although the up script had
//! not touched them. `{"$unset": {"role": ""}}` on every student takes the role from those who had it before.

use std::collections::HashSet;

use bson::{Document, RawDocumentBuf, rawdoc};

use crate::capture::{pack, registry};
use crate::catalog;
use crate::error::{Error, Result};
use crate::observe::{Kind, Level};
use crate::run::Run;
use crate::run::id::Id;
use crate::run::ledger;
use crate::run::query::Query;
use crate::run::report::Beyond;
use crate::run::slot::{Capture, Slot};
use crate::run::step::{Step, Task};
use crate::script::Operation;
use crate::script::operation::Action;
use crate::server::{Documents, Server};
use crate::server_error::ServerError;

/// Documents looked up at once.
const AT_ONCE: usize = 5_000;

/// Counts them, operation by operation, on the data as it is before the down script starts, and warns.
///
/// # Errors
/// The server's.
pub async fn count(run: &Run, step: &Step) -> Result<Vec<Beyond>> {
    let reading = || Error::server("Comparing the down script with what the up script changed");
    let record = ledger::read_one(&run.server, &step.id).await?;
    let captures: Option<Vec<Capture>> = record.map(|record| record.captures).unwrap_or_default().into_iter().collect();
    let captures = captures.filter(|captures| !captures.is_empty());
    let headers = registry::headers(&run.server).await.map_err(reading())?;
    let known = captures.filter(|all| {
        all.iter().all(|one| headers.iter().any(|header| header.capture == *one && header.uncaptured.is_empty()))
    });
    let mut found = Vec::new();
    for (index, task) in (1..).zip(&step.tasks) {
        let Task::Operation(operation) = task else { continue };
        let Some(selects) = Selects::of(&run.server, operation).await.map_err(reading())? else { continue };
        let documents = match &known {
            None => None,
            Some(captures) => match untouched(&run.server, captures, operation, &selects).await {
                Ok(0) => continue,
                Ok(documents) => Some(documents),
                Err(e) => return Err(reading()(e)),
            },
        };
        if documents.is_none() && selects.count(&run.server).await.map_err(reading())? == 0 {
            continue;
        }
        found.push(Beyond { index, collection: operation.collection.clone(), documents });
    }
    warn(run, step, &found);
    Ok(found)
}

fn warn(run: &Run, step: &Step, found: &[Beyond]) {
    let tell = |message: String| run.reporter.tell(Kind::Warning, Level::Warning, message);
    for beyond in found {
        let place = format!("operation {} of the down script ({})", beyond.index, beyond.collection);
        if let Some(documents) = beyond.documents {
            tell(format!(
                "{}: {place} reaches {documents} documents that the up script had not touched. \
                 `rollback {} --exact` undoes only what it did, also after this rollback.",
                step.id, step.id
            ));
        }
    }
    if found.iter().any(|beyond| beyond.documents.is_none()) {
        tell(format!(
            "{}: whether the down script reaches documents that the up script had not touched cannot be told: \
             what it changed was not captured.",
            step.id
        ));
    }
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
    async fn of(server: &Server, operation: &'a Operation) -> Result<Option<Self>, ServerError> {
        let everything = Document::new();
        let (filter, collation, variables, first_only) = match &operation.action {
            Action::UpdateDocuments(update) => {
                (&update.filter, update.collation.as_ref(), update.variables.as_ref(), !update.multi)
            }
            Action::DeleteDocuments(delete) => (&delete.filter, delete.collation.as_ref(), None, false),
            Action::DropCollection => (&everything, None, None, false),
            _ => return Ok(None),
        };
        let stands = catalog::collection(server, &operation.collection).await?;
        if stands.is_none_or(|found| found.kind != "collection") {
            return Ok(None);
        }
        let query = Query { collection: &operation.collection, hint: None, collation, variables };
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

/// How many documents it is about that no captured operation on the collection touched.
async fn untouched(
    server: &Server,
    captures: &[Capture],
    operation: &Operation,
    selects: &Selects<'_>,
) -> Result<i64, ServerError> {
    let all = selects.count(server).await?;
    if all == 0 {
        return Ok(0);
    }
    let mut touched = 0;
    let mut seen = HashSet::new();
    let mut batch = Vec::new();
    let mut slots = Vec::new();
    for capture in captures {
        for (slot, entry) in registry::entries(server, *capture).await? {
            if entry.get_str("collection").is_ok_and(|own| own == operation.collection) {
                slots.push(slot);
            }
        }
    }
    for slot in &slots {
        let mut packs = packs_of(server, *slot).await?;
        while let Some(pack) = packs.next().await? {
            for entry in pack::entries(&pack).unwrap_or_default() {
                // A document may have been touched by several operations.
                if slots.len() == 1 || seen.insert(entry.id.clone()) {
                    batch.push(entry.id);
                }
            }
            if batch.len() >= AT_ONCE {
                touched += selects.count_of(server, &batch).await?;
                batch.clear();
            }
        }
    }
    touched += selects.count_of(server, &batch).await?;
    let untouched = all - touched;
    Ok(if selects.first_only { untouched.min(i64::from(touched == 0)) } else { untouched })
}

async fn packs_of(server: &Server, slot: Slot) -> Result<Documents, ServerError> {
    let within = rawdoc! {"$gte": {"o": slot.operation, "s": i64::MIN}, "$lte": {"o": slot.operation, "s": i64::MAX}};
    server.find(rawdoc! {"find": slot.capture.packs(), "filter": {"_id": within}}).await
}
