//! Operations on collections: what stands already, what would be set aside, what a validator would not admit.

use bson::{Document, RawDocumentBuf};

use super::look::{EXAMPLES, Look, Unseen, find, id_text};
use super::report::{OperationPlan, Rejected, SetsAside};
use crate::catalog::{self, Collection, difference};
use crate::ops::collections::{index_stands_in, option_stands};
use crate::run::query::{Query, raw};
use crate::run::report::Outcome;
use crate::script::Operation;
use crate::server_error::codes;

/// `create_collection`.
pub async fn create(
    look: &Look<'_>,
    operation: &Operation,
    options: &Document,
    plan: &mut OperationPlan,
) -> Result<(), Unseen> {
    let Some(standing) = catalog::collection(look.server, &operation.collection).await? else {
        plan.ends(Outcome::Done, None);
        return Ok(());
    };
    match difference(options, &standing) {
        Some(what) => plan.fails(
            format!("a {} of this name stands already and differs: {what}", standing.noun()),
            Some(codes::NAMESPACE_EXISTS),
        ),
        None => {
            plan.ends(Outcome::Standing, Some("stands already, as asked"));
            not_admitted(look, operation, options, plan).await?;
        }
    }
    Ok(())
}

/// `drop_collection`.
pub async fn drop_collection(look: &Look<'_>, operation: &Operation, plan: &mut OperationPlan) -> Result<(), Unseen> {
    let name = &operation.collection;
    let Some(standing) = catalog::collection(look.server, name).await? else {
        plan.ends(Outcome::Absent, Some("there is no such collection"));
        return Ok(());
    };
    let kept = operation.capture && !look.uncaptured;
    plan.ends(Outcome::Done, (!kept).then_some("nothing is kept of it"));
    if standing.kind == "view" {
        plan.notes.push("a view: its definition is kept".to_owned());
        return Ok(());
    }
    let query = Query { collection: name, hint: None, collation: None, variables: None };
    let documents = look.count(&query, &RawDocumentBuf::new()).await?.0;
    let stored = if standing.kind == "timeseries" { format!("system.buckets.{name}") } else { name.clone() };
    let bytes = look.size(&stored).await.map_or(0, |(_, bytes)| bytes);
    let indexes = catalog::indexes(look.server, name).await?;
    let indexes = indexes.iter().filter_map(|index| index.get_str("name").ok()).map(str::to_owned).collect();
    plan.sets_aside = Some(SetsAside { documents, bytes, indexes, kept });
    plan.exact = true;
    if kept && standing.kind == "timeseries" {
        plan.notes.push("a time-series collection cannot be renamed: it is copied".to_owned());
    }
    Ok(())
}

/// `modify_collection`.
pub async fn modify(
    look: &Look<'_>,
    operation: &Operation,
    options: &Document,
    plan: &mut OperationPlan,
) -> Result<(), Unseen> {
    let name = &operation.collection;
    let Some(standing) = catalog::collection(look.server, name).await? else {
        plan.fails("there is no such collection", Some(codes::NAMESPACE_NOT_FOUND));
        return Ok(());
    };
    let indexes = if standing.kind == "view" { Vec::new() } else { catalog::indexes(look.server, name).await? };
    let all_stand = options.iter().all(|(option, asked)| match (option.as_str(), asked.as_document()) {
        ("comment", _) => true,
        ("index", Some(index)) => index_stands_in(&indexes, index),
        _ => option_stands(option, asked, &standing.options),
    });
    if all_stand {
        plan.ends(Outcome::Standing, Some("the options stand already, as asked"));
    } else {
        plan.ends(Outcome::Done, None);
    }
    if let Ok(asked) = options.get_document("index") {
        let there = indexes.iter().any(|index| match (asked.get("name"), asked.get_document("keyPattern")) {
            (Some(name), _) => index.get("name") == Some(name),
            (None, Ok(keys)) => index.get_document("key").is_ok_and(|own| catalog::same_keys(own, keys)),
            _ => false,
        });
        if !there {
            plan.fails("there is no such index", Some(codes::INDEX_NOT_FOUND));
        }
    }
    not_admitted(look, operation, options, plan).await
}

/// `rename_collection`.
pub async fn rename(look: &Look<'_>, operation: &Operation, to: &str, plan: &mut OperationPlan) -> Result<(), Unseen> {
    let from = &operation.collection;
    let source: Option<Collection> = catalog::collection(look.server, from).await?;
    let target = catalog::collection(look.server, to).await?;
    match (source, target) {
        (None, Some(_)) => plan.ends(Outcome::Standing, Some("it was renamed already")),
        (None, None) => plan.fails(format!("neither {from:?} nor {to:?} exists"), Some(codes::NAMESPACE_NOT_FOUND)),
        (Some(_), Some(_)) => plan.fails(format!("both {from:?} and {to:?} exist"), Some(codes::NAMESPACE_EXISTS)),
        (Some(source), None) if source.kind == "collection" => plan.ends(Outcome::Done, None),
        (Some(source), None) => {
            plan.fails(
                format!("{from:?} is a {}, which cannot be renamed", source.noun()),
                Some(codes::COMMAND_NOT_SUPPORTED_ON_VIEW),
            );
        }
    }
    Ok(())
}

/// Documents that stand already and that the validator asked for would not admit. It does not touch them, but later
/// updates of them may be refused.
async fn not_admitted(
    look: &Look<'_>,
    operation: &Operation,
    options: &Document,
    plan: &mut OperationPlan,
) -> Result<(), Unseen> {
    let Some(validator) = options.get_document("validator").ok().filter(|validator| !validator.is_empty()) else {
        return Ok(());
    };
    let query = Query { collection: &operation.collection, hint: None, collation: None, variables: None };
    let filter = raw(&bson::doc! {"$nor": [validator.clone()]})?;
    let documents = look.count(&query, &filter).await?.0;
    let mut rejected = Rejected { documents, examples: Vec::new() };
    if documents > 0 {
        let mut command = find(&query, &filter, &[])?;
        command.append(bson::raw::cstr!("limit"), i64::try_from(EXAMPLES).unwrap_or(1));
        look.each(command, |document| rejected.examples.push(id_text(document))).await?;
    }
    plan.rejected = Some(rejected);
    Ok(())
}
