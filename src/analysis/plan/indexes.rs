//! Operations on indexes: what stands in their place, and which keys a unique one would meet twice.

use bson::{Bson, Document};

use super::look::{PlanContext, PlanError};
use super::report::OperationPlan;
use super::{duplicates, expiry};
use crate::error::codes;
use crate::error::message::show;
use crate::model::script::Operation;
use crate::model::script::operation::{CreateIndex, IndexRef};
use crate::model::script::refusals::refusals;
use crate::mongo::catalog;
use crate::mongo::indexes::{self, IndexPlace};
use crate::mongo::query::{Query, raw};
use crate::run::report::Outcome;

/// Documents that a build indexes in a second, by a build of one field over 1,000,000 documents of 350 bytes.
const INDEXED_PER_SECOND: f64 = 500_000.0;

/// `create_index`.
pub async fn create(
    look: &PlanContext<'_>,
    operation: &Operation,
    index: &CreateIndex,
    plan: &mut OperationPlan,
) -> Result<(), PlanError> {
    let name = &operation.collection;
    let Some(existing) = catalog::collection(look.server, name).await? else {
        plan.ends(Outcome::Done, Some("makes the collection, which does not exist yet"));
        return understood(look, operation, index, None, plan).await;
    };
    if existing.kind == "view" {
        plan.fails(
            format!("{name:?} is a view, and a view has no indexes"),
            Some(codes::COMMAND_NOT_SUPPORTED_ON_VIEW),
        );
        return Ok(());
    }
    let listed = catalog::indexes(look.server, name).await?;
    let collation = existing.options.get_document("collation").ok();
    match indexes::place(&listed, &index.name, &index.keys, &index.options, collation) {
        IndexPlace::Taken => {
            plan.ends(Outcome::Standing, Some("exists already, as asked"));
            return Ok(());
        }
        IndexPlace::Building => {
            plan.unknown("somebody is building an index of this name: it is waited for");
            return Ok(());
        }
        IndexPlace::InTheWay { existing, why, code } => {
            let mut asked = bson::doc! {"key": index.keys.clone(), "name": &index.name};
            asked.extend(index.options.clone());
            let mut existing = existing;
            existing.remove("v");
            let message = format!(
                "an index exists already and differs ({why}): asked for {}, found {}",
                show(&Bson::Document(asked)),
                show(&Bson::Document(existing))
            );
            plan.fails(message, Some(code));
            return Ok(());
        }
        IndexPlace::Free => plan.ends(Outcome::Done, None),
    }
    understood(look, operation, index, collation, plan).await?;
    if !plan.problems.is_empty() {
        return Ok(());
    }
    if let (Some(after), Some((field, _)), 1) =
        (index.options.get("expireAfterSeconds"), index.keys.iter().next(), index.keys.len())
    {
        let partial = index.options.get_document("partialFilterExpression").ok();
        expiry::count(look, name, field, after, partial, plan).await?;
    }
    if index.options.get_bool("unique").unwrap_or(false) {
        duplicates::find(look, operation, index, collation, plan).await?;
    }
    if let Some((documents, _)) = look.size(name).await {
        plan.seconds_estimate = Some(documents as f64 / INDEXED_PER_SECOND);
    }
    Ok(())
}

/// What the server would refuse of the index itself: known from its text, or asked by a query that has the same parts.
async fn understood(
    look: &PlanContext<'_>,
    operation: &Operation,
    index: &CreateIndex,
    collation: Option<&Document>,
    plan: &mut OperationPlan,
) -> Result<(), PlanError> {
    for refusal in refusals(operation) {
        plan.fails(refusal.message, Some(codes::CANNOT_CREATE_INDEX));
    }
    let uncollated = |kind: &Bson| matches!(kind.as_str(), Some("text" | "2d"));
    if !index.options.contains_key("collation") && collation.is_some() && index.keys.values().any(uncollated) {
        let message = "a text or 2d index has no collation, and would get the collection's own: write \
                       {\"collation\": {\"locale\": \"simple\"}}";
        plan.fails(message, Some(codes::CANNOT_CREATE_INDEX));
    }
    let partial = index.options.get_document("partialFilterExpression").cloned().unwrap_or_default();
    let asked = index.options.get_document("collation").ok();
    if plan.problems.is_empty() && !(partial.is_empty() && asked.is_none()) {
        let query = Query { collection: &operation.collection, hint: None, collation: asked, variables: None };
        look.understands(&query, &raw(&partial)?).await?;
    }
    Ok(())
}

/// `drop_index`.
pub async fn drop_index(
    look: &PlanContext<'_>,
    operation: &Operation,
    index: &IndexRef,
    plan: &mut OperationPlan,
) -> Result<(), PlanError> {
    let name = &operation.collection;
    let existing = catalog::collection(look.server, name).await?;
    if existing.is_some_and(|existing| existing.kind == "view") {
        plan.fails(
            format!("{name:?} is a view, and a view has no indexes"),
            Some(codes::COMMAND_NOT_SUPPORTED_ON_VIEW),
        );
        return Ok(());
    }
    let listed = catalog::indexes(look.server, name).await?;
    let found: Vec<&str> = listed
        .iter()
        .filter(|listed| indexes::means(index, listed))
        .filter_map(|listed| catalog::specification(listed).get_str("name").ok())
        .collect();
    match found.as_slice() {
        [] => plan.ends(Outcome::Absent, Some("there is no such index")),
        ["_id_"] => plan.fails("the index on _id cannot be dropped", Some(codes::INVALID_OPTIONS)),
        [_] => plan.ends(Outcome::Done, None),
        several => {
            plan.fails(format!("{} indexes have these keys: {}", several.len(), several.join(", ")), None);
        }
    }
    Ok(())
}
