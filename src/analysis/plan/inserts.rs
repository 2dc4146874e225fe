//! Inserts: which `_id`s stand already, and which documents the validator does not admit.

use std::collections::HashSet;

use bson::{Bson, Document, RawArrayBuf, RawBson, RawDocumentBuf, rawdoc};

use super::documents::ways;
use super::keys::canonical_element;
use super::look::{EXAMPLES, PlanContext, PlanError, id_text};
use super::report::{OperationPlan, Rejected};
use crate::error::codes;
use crate::error::message::show;
use crate::error::server::ServerError;
use crate::model::script::Operation;
use crate::model::script::operation::InsertDocuments;
use crate::mongo::catalog::{self, Collection};
use crate::mongo::raw;
use crate::operations::documents::is_a_view;
use crate::plural::counted_are;
use crate::run::progress::Position;
use crate::run::report::Outcome;

/// Documents looked up at once.
const AT_ONCE: usize = 1_000;

/// `insert_documents`.
pub async fn insert(
    look: &PlanContext<'_>,
    operation: &Operation,
    insert: &InsertDocuments,
    position: Option<&Position>,
    plan: &mut OperationPlan,
) -> Result<(), PlanError> {
    let name = &operation.collection;
    let existing = catalog::collection(look.server, name).await?;
    if existing.as_ref().is_some_and(|found| found.kind == "view") {
        let failure = is_a_view(name);
        plan.fails(failure.cause, failure.code);
        return Ok(());
    }
    let done = match position {
        Some(Position::List { next, .. }) => *next,
        _ => 0,
    };
    let documents: Vec<&Document> = insert.documents.iter().skip(done).collect();
    plan.changes = i64::try_from(documents.len()).ok();
    plan.exact = true;
    plan.ends(Outcome::Done, None);
    let plain = Collection { kind: "collection".to_owned(), options: Document::new(), uuid: None };
    ways(look, existing.as_ref().unwrap_or(&plain), None, plan);
    let Some(existing) = existing else {
        plan.notes.push("the first insert makes the collection".to_owned());
        return Ok(());
    };
    if existing.kind == "collection" {
        taken_ids(look, name, &documents, plan).await?;
    }
    if !insert.bypass_document_validation {
        refused(look, &existing, &documents, plan).await?;
    }
    Ok(())
}

/// `_id`s that stand already, or occur twice.
async fn taken_ids(
    look: &PlanContext<'_>,
    name: &str,
    documents: &[&Document],
    plan: &mut OperationPlan,
) -> Result<(), PlanError> {
    let ids: Vec<&Bson> = documents.iter().filter_map(|document| document.get("_id")).collect();
    let mut own = HashSet::new();
    let mut twice = Vec::new();
    for id in &ids {
        let wrapped = encoded(&bson::doc! {"_id": (*id).clone()})?;
        if let Some(element) = raw::first(wrapped.as_bytes())
            && !own.insert(canonical_element(&element))
        {
            twice.push(show(id));
        }
    }
    let (mut existing, mut examples) = (0, Vec::new());
    for part in ids.chunks(AT_ONCE) {
        let listed: RawArrayBuf = part.iter().filter_map(|id| RawBson::try_from((*id).clone()).ok()).collect();
        let command = rawdoc! {"find": name, "filter": {"_id": {"$in": listed}}, "projection": {"_id": 1}};
        look.each(command, |document| {
            existing += 1;
            if examples.len() < EXAMPLES {
                examples.push(id_text(document));
            }
        })
        .await?;
    }
    if existing > 0 {
        let message =
            format!("{} already in {name:?}, for example {}", counted_are(existing, "new _id"), examples.join(", "));
        plan.fails(message, Some(codes::DUPLICATE_KEY));
    }
    if !twice.is_empty() {
        twice.truncate(EXAMPLES);
        plan.fails(format!("the operation has an _id twice: {}", twice.join(", ")), Some(codes::DUPLICATE_KEY));
    }
    Ok(())
}

/// Documents that the collection's validator does not admit.
async fn refused(
    look: &PlanContext<'_>,
    existing: &Collection,
    documents: &[&Document],
    plan: &mut OperationPlan,
) -> Result<(), PlanError> {
    let Ok(validator) = existing.options.get_document("validator") else { return Ok(()) };
    let level = existing.options.get_str("validationLevel").unwrap_or("strict");
    let warns = existing.options.get_str("validationAction").is_ok_and(|action| action == "warn");
    if validator.is_empty() || level == "off" || warns {
        return Ok(());
    }
    let mut rejected = Rejected { documents: 0, examples: Vec::new() };
    for part in documents.chunks(AT_ONCE) {
        let literal: Vec<Bson> = part.iter().map(|document| Bson::Document((*document).clone())).collect();
        let pipeline = vec![
            bson::doc! {"$documents": {"$literal": literal}},
            bson::doc! {"$match": {"$nor": [validator.clone()]}},
        ];
        let command = encoded(&bson::doc! {"aggregate": 1, "pipeline": pipeline, "cursor": {}})?;
        let looked = look
            .each(command, |document| {
                rejected.documents += 1;
                if rejected.examples.len() < EXAMPLES {
                    rejected.examples.push(
                        document
                            .get("_id")
                            .ok()
                            .flatten()
                            .map_or_else(|| "a document without _id".to_owned(), |_| id_text(document)),
                    );
                }
            })
            .await;
        match looked {
            Ok(_) => {}
            // Before 5.1 there is no $documents, and a batch of them may be too large for a command.
            Err(PlanError::Refused(_)) => {
                plan.unknown("whether the validator admits the documents is not known");
                return Ok(());
            }
            Err(stopped) => return Err(stopped),
        }
    }
    if rejected.documents > 0 {
        let message = format!(
            "the collection's validator does not admit {} of the documents: {}",
            rejected.documents,
            rejected.examples.join(", ")
        );
        plan.fails(message, Some(codes::DOCUMENT_VALIDATION_FAILURE));
        plan.rejected = Some(rejected);
    }
    Ok(())
}

fn encoded(document: &Document) -> Result<RawDocumentBuf, ServerError> {
    crate::mongo::query::raw(document)
}
