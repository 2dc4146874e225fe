//! Operations on collections: what stands already, what would be set aside, what a validator would not admit.

use bson::{Document, RawDocumentBuf};

use super::look::{EXAMPLES, PlanContext, PlanError, find, id_text};
use super::report::{OperationPlan, Rejected, SetsAside};
use super::{duplicates, expiry};
use crate::error::codes;
use crate::model::script::Operation;
use crate::model::script::operation::CreateIndex;
use crate::model::script::refusals::refusals;
use crate::mongo::catalog::{self, Collection, difference};
use crate::mongo::movable;
use crate::mongo::profile::BUCKETS;
use crate::mongo::query::{Query, raw};
use crate::operations::collections::{index_is_in, option_agrees};
use crate::plural::number;
use crate::run::report::Outcome;

/// `create_collection`.
pub async fn create(
    look: &PlanContext<'_>,
    operation: &Operation,
    options: &Document,
    plan: &mut OperationPlan,
) -> Result<(), PlanError> {
    let Some(existing) = catalog::collection(look.server, &operation.collection).await? else {
        plan.ends(Outcome::Done, None);
        refused(operation, plan);
        if plan.problems.is_empty()
            && let Some(validator) = validator(options)
        {
            // Of a collection that is not there yet the server says whether it understands the question.
            let query = Query { collection: &operation.collection, hint: None, collation: None, variables: None };
            look.understands(&query, &raw(validator)?).await?;
        }
        return Ok(());
    };
    match difference(options, &existing) {
        Some(what) => plan.fails(
            format!("a {} of this name exists already and differs: {what}", existing.noun()),
            Some(codes::NAMESPACE_EXISTS),
        ),
        None => {
            plan.ends(Outcome::Standing, Some("exists already, as asked"));
            not_admitted(look, operation, options, &existing, plan).await?;
        }
    }
    Ok(())
}

/// `drop_collection`.
pub async fn drop_collection(
    look: &PlanContext<'_>,
    operation: &Operation,
    plan: &mut OperationPlan,
) -> Result<(), PlanError> {
    let name = &operation.collection;
    let Some(existing) = catalog::collection(look.server, name).await? else {
        plan.ends(Outcome::Absent, Some("there is no such collection"));
        return Ok(());
    };
    let kept = operation.capture && !look.uncaptured;
    plan.ends(Outcome::Done, (!kept).then_some("nothing is kept of it"));
    if existing.kind == "view" {
        plan.notes.push("a view: its definition is kept".to_owned());
        return Ok(());
    }
    let query = Query { collection: name, hint: None, collation: None, variables: None };
    let documents = look.count(&query, &RawDocumentBuf::new()).await?.0;
    if kept && let Some(why) = movable::bars_stash(look.server, name, &existing).await? {
        plan.fails(format!("{name:?} cannot be set aside: {why}"), None);
        return Ok(());
    }
    let stored = if existing.kind == "timeseries" { format!("{BUCKETS}{name}") } else { name.clone() };
    let bytes = look.size(&stored).await.map_or(0, |(_, bytes)| bytes);
    let indexes = catalog::indexes(look.server, name).await?;
    let indexes = indexes.iter().filter_map(|index| index.get_str("name").ok()).map(str::to_owned).collect();
    plan.sets_aside = Some(SetsAside { documents, bytes, indexes, kept });
    plan.exact = true;
    if kept && existing.kind == "timeseries" {
        plan.notes.push("a time-series collection cannot be renamed: it is copied".to_owned());
    }
    Ok(())
}

/// `modify_collection`.
pub async fn modify(
    look: &PlanContext<'_>,
    operation: &Operation,
    options: &Document,
    plan: &mut OperationPlan,
) -> Result<(), PlanError> {
    let name = &operation.collection;
    let Some(existing) = catalog::collection(look.server, name).await? else {
        plan.fails("there is no such collection", Some(codes::NAMESPACE_NOT_FOUND));
        return Ok(());
    };
    let indexes = if existing.kind == "view" { Vec::new() } else { catalog::indexes(look.server, name).await? };
    let all_stand = options.iter().all(|(option, asked)| match (option.as_str(), asked.as_document()) {
        ("comment", _) => true,
        ("index", Some(index)) => index_is_in(&indexes, index),
        _ => option_agrees(option, asked, &existing.options),
    });
    if all_stand {
        plan.ends(Outcome::Standing, Some("the options are as asked already"));
    } else {
        plan.ends(Outcome::Done, None);
        refused(operation, plan);
    }
    if let Ok(asked) = options.get_document("index") {
        let there = indexes.iter().find(|index| match (asked.get("name"), asked.get_document("keyPattern")) {
            (Some(name), _) => index.get("name") == Some(name),
            (None, Ok(keys)) => {
                index.get_document("key").is_ok_and(|own| crate::model::equivalence::same_keys(own, keys))
            }
            _ => false,
        });
        match there {
            None => plan.fails("there is no such index", Some(codes::INDEX_NOT_FOUND)),
            Some(index) if !all_stand => modified_index(look, operation, asked, index, &existing, plan).await?,
            Some(_) => {}
        }
    }
    if !all_stand && let Some(after) = options.get("expireAfterSeconds") {
        let series = existing.options.get_document("timeseries").and_then(|series| series.get_str("timeField"));
        expiry::count(look, name, series.unwrap_or("_id"), after, None, plan).await?;
    }
    if !plan.problems.is_empty() {
        return Ok(());
    }
    not_admitted(look, operation, options, &existing, plan).await
}

fn refused(operation: &Operation, plan: &mut OperationPlan) {
    for refusal in refusals(operation) {
        plan.fails(refusal.message, None);
    }
}

fn validator(options: &Document) -> Option<&Document> {
    options.get_document("validator").ok().filter(|validator| !validator.is_empty())
}

/// A change of one index: one that becomes unique, or that expires documents from now on.
async fn modified_index(
    look: &PlanContext<'_>,
    operation: &Operation,
    asked: &Document,
    index: &Document,
    existing: &Collection,
    plan: &mut OperationPlan,
) -> Result<(), PlanError> {
    let on = |of: &Document, name: &str| of.get_bool(name).unwrap_or(false);
    let becomes = CreateIndex {
        keys: index.get_document("key").cloned().unwrap_or_default(),
        name: index.get_str("name").unwrap_or_default().to_owned(),
        options: index.clone(),
        commit_quorum: None,
        comment: None,
    };
    if let (Some(after), Some((field, _))) = (asked.get("expireAfterSeconds"), becomes.keys.iter().next()) {
        let partial = index.get_document("partialFilterExpression").ok();
        expiry::count(look, &operation.collection, field, after, partial, plan).await?;
    }
    if !on(asked, "unique") || on(index, "unique") {
        return Ok(());
    }
    if !on(asked, "prepareUnique") && !on(index, "prepareUnique") {
        let message = "the index has to be prepared first: set \"prepareUnique\": true by an operation before this one";
        plan.fails(message, Some(codes::INVALID_OPTIONS));
        return Ok(());
    }
    let collation = existing.options.get_document("collation").ok();
    duplicates::find(look, operation, &becomes, collation, plan).await?;
    for problem in plan.problems.iter_mut().filter(|problem| problem.code == Some(codes::DUPLICATE_KEY)) {
        problem.code = Some(codes::CANNOT_CONVERT_INDEX_TO_UNIQUE);
    }
    Ok(())
}

/// `rename_collection`.
pub async fn rename(
    look: &PlanContext<'_>,
    operation: &Operation,
    to: &str,
    plan: &mut OperationPlan,
) -> Result<(), PlanError> {
    let from = &operation.collection;
    let source: Option<Collection> = catalog::collection(look.server, from).await?;
    let target = catalog::collection(look.server, to).await?;
    match (source, target) {
        (None, Some(_)) => plan.ends(Outcome::Standing, Some("it was renamed already")),
        (None, None) => plan.fails(format!("neither {from:?} nor {to:?} exists"), Some(codes::NAMESPACE_NOT_FOUND)),
        (Some(_), Some(_)) => plan.fails(format!("both {from:?} and {to:?} exist"), Some(codes::NAMESPACE_EXISTS)),
        (Some(source), None) if source.kind == "collection" => {
            match movable::bars_rename(look.server, from, &source).await? {
                Some(why) => plan.fails(format!("{from:?} cannot be renamed: {why}"), None),
                None => plan.ends(Outcome::Done, None),
            }
        }
        (Some(source), None) => {
            plan.fails(
                format!("{from:?} is a {}, which cannot be renamed", source.noun()),
                Some(codes::COMMAND_NOT_SUPPORTED_ON_VIEW),
            );
        }
    }
    Ok(())
}

/// Documents that stand already and that the validator asked for does not admit. It does not touch them, but the server
/// refuses later updates of them.
async fn not_admitted(
    look: &PlanContext<'_>,
    operation: &Operation,
    options: &Document,
    existing: &Collection,
    plan: &mut OperationPlan,
) -> Result<(), PlanError> {
    let Some(validator) = validator(options) else { return Ok(()) };
    let query = Query { collection: &operation.collection, hint: None, collation: None, variables: None };
    let filter = raw(&bson::doc! {"$nor": [validator.clone()]})?;
    let documents = look.count(&query, &filter).await?.0;
    let mut rejected = Rejected { documents, examples: Vec::new() };
    if documents > 0 {
        let mut command = find(&query, &filter, &[])?;
        command.append(bson::raw::cstr!("limit"), i64::try_from(EXAMPLES).unwrap_or(1));
        look.each(command, |document| rejected.examples.push(id_text(document))).await?;
    }
    let set = |option: &str, default: &'static str| -> String {
        let own = options.get_str(option).or_else(|_| existing.options.get_str(option));
        own.unwrap_or(default).to_owned()
    };
    let enforced = set("validationLevel", "strict") == "strict" && set("validationAction", "error") == "error";
    if documents > 0 && enforced && plan.outcome == Some(Outcome::Done) {
        let message = format!(
            "{} not meet the validator, and the server will refuse updates of them: _id {}",
            if documents == 1 { "1 document does".to_owned() } else { format!("{} documents do", number(documents)) },
            rejected.examples.join(", ")
        );
        plan.leaves(message, codes::DOCUMENT_VALIDATION_FAILURE);
    }
    plan.rejected = Some(rejected);
    Ok(())
}
