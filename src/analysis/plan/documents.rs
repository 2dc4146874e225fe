//! Updates and deletes: how many documents they would select and change.

use bson::{Bson, Document, RawDocumentBuf};

use super::changes::{Assignments, Effect, repeatable};
use super::look::{EXAMPLES, PlanContext, PlanError, find, id_text};
use super::numbers::Numbers;
use super::report::OperationPlan;
use super::{misfits, pipelines};
use crate::error::codes;
use crate::error::server::ServerError;
use crate::model::script::Operation;
use crate::model::script::operation::{DeleteDocuments, UpdateDocuments};
use crate::mongo::catalog::{self, Collection};
use crate::mongo::query::{Query, raw};
use crate::operations::announce::weaker;
use crate::operations::culprit::{self, Culprit};
use crate::operations::documents::is_a_view;
use crate::operations::in_one_go::{delete_in_one_go, in_one_go_because, update_in_one_go};
use crate::plural::counted;
use crate::run::id_ranges::IdRange;
use crate::run::progress::Position;
use crate::run::report::Outcome;

/// What a changed document costs beyond being read, as a multiple of reading one: measured on 1,000,000 documents of
/// 350 bytes, captured.
const WRITE: f64 = 20.0;
/// The same without capture.
const WRITE_UNCAPTURED: f64 = 12.0;

/// `update_documents`.
pub async fn update(
    look: &PlanContext<'_>,
    operation: &Operation,
    update: &UpdateDocuments,
    position: Option<&Position>,
    plan: &mut OperationPlan,
) -> Result<(), PlanError> {
    let query = Query {
        collection: &operation.collection,
        hint: update.hint.as_ref(),
        collation: update.collation.as_ref(),
        variables: update.variables.as_ref(),
    };
    let Some(existing) = existing(look, operation, plan).await? else {
        if plan.problems.is_empty() {
            absent(plan);
            plan.upserted = update.upsert.then_some(1);
            plan.chunks = Some(!update.upsert);
            plan.transactions = Some(look.server.transactions());
        }
        return Ok(());
    };
    let whole = in_one_go_because(&existing, update.collation.as_ref(), update_in_one_go(update));
    ways(look, &existing, whole, plan);
    let filter = rest(&update.filter, position, plan)?;
    if existing.kind == "collection"
        && let Some(error) = misunderstood(look, &query, update).await?
    {
        plan.fails(format!("the server refuses the update: {error}"), error.code);
        return Ok(());
    }
    misfits::find(look, &query, &filter, update, plan).await?;
    let mut examples = Vec::new();
    let mut culprit = None;
    let numbers = match &update.update {
        Bson::Document(operators) => match Assignments::of(operators).filter(|_| update.array_filters.is_none()) {
            Some(assignments) => assigned(look, &query, &filter, &assignments, &mut examples).await?,
            None => at_most(look, &query, &filter).await?,
        },
        Bson::Array(stages) if repeatable(stages) => {
            match pipelines::run(look, &query, &filter, stages, &existing, &mut examples).await {
                Ok(numbers) => numbers,
                // A document that the pipeline fails on; or else the filter is one that only an update takes.
                Err(PlanError::Refused(_)) => {
                    culprit = culprit::find(look.server, &query, &filter, stages).await?;
                    at_most(look, &query, &filter).await?
                }
                Err(stopped) => return Err(stopped),
            }
        }
        _ => at_most(look, &query, &filter).await?,
    };
    let one = |number: i64| if update.multi { number } else { number.min(1) };
    plan.matched = Some(one(numbers.matched));
    plan.changes = Some(one(numbers.changes));
    // Which of them the server would take is not known.
    let settled = update.multi || numbers.changes == 0 || numbers.changes == numbers.matched;
    plan.exact = numbers.exact && settled;
    plan.upserted = update.upsert.then_some(i64::from(numbers.matched == 0));
    if numbers.matched == 0 && !update.upsert {
        plan.exact = true;
    }
    if plan.problems.is_empty() {
        plan.ends(Outcome::Done, None);
    }
    if let Some(Culprit { id, error }) = culprit {
        let message = format!("the pipeline fails on the document _id {id}: {error}");
        if update.multi || numbers.matched == 1 {
            plan.fails(message, error.code);
        } else {
            plan.notes.push(message);
            plan.exact = false;
        }
    }
    if numbers.moved > 0 {
        let message = format!(
            "the pipeline changes the _id of {}, and an _id cannot change; for example _id {}",
            counted(numbers.moved, "document"),
            examples.join(", ")
        );
        if update.multi || numbers.moved == numbers.matched {
            plan.fails(message, Some(codes::IMMUTABLE_FIELD));
        } else {
            plan.notes.push(message);
            plan.exact = false;
        }
    }
    if numbers.refused > 0 {
        let message = format!(
            "of {} a field cannot be set, because a value that has no fields is in its way; for example _id {}",
            counted(numbers.refused, "document"),
            examples.join(", ")
        );
        if update.multi || numbers.refused == numbers.matched {
            plan.fails(message, Some(codes::PATH_NOT_VIABLE));
        } else {
            plan.notes.push(message);
            plan.exact = false;
        }
    }
    let captured = operation.capture && !look.uncaptured;
    plan.seconds_estimate = Some(estimate(&numbers, plan.changes.unwrap_or_default(), captured));
    Ok(())
}

/// `delete_documents`.
pub async fn delete(
    look: &PlanContext<'_>,
    operation: &Operation,
    delete: &DeleteDocuments,
    position: Option<&Position>,
    plan: &mut OperationPlan,
) -> Result<(), PlanError> {
    let query = Query {
        collection: &operation.collection,
        hint: delete.hint.as_ref(),
        collation: delete.collation.as_ref(),
        variables: None,
    };
    let Some(existing) = existing(look, operation, plan).await? else {
        if plan.problems.is_empty() {
            absent(plan);
            plan.chunks = Some(true);
            plan.transactions = Some(look.server.transactions());
        }
        return Ok(());
    };
    let whole = in_one_go_because(&existing, delete.collation.as_ref(), delete_in_one_go(delete));
    ways(look, &existing, whole, plan);
    let filter = rest(&delete.filter, position, plan)?;
    let (matched, took) = look.count(&query, &filter).await?;
    plan.matched = Some(matched);
    plan.changes = Some(matched);
    plan.exact = true;
    plan.ends(Outcome::Done, None);
    let captured = operation.capture && !look.uncaptured;
    if !captured && matched > 0 {
        plan.notes.push("nothing is kept of them".to_owned());
    }
    let numbers = Numbers { matched, changes: matched, exact: true, took, ..Numbers::default() };
    plan.seconds_estimate = Some(estimate(&numbers, matched, captured));
    Ok(())
}

/// What the server finds wrong with the update itself. It is asked how it would carry it out, and does not.
async fn misunderstood(
    look: &PlanContext<'_>,
    query: &Query<'_>,
    update: &UpdateDocuments,
) -> Result<Option<ServerError>, PlanError> {
    let mut statement = bson::doc! {
        "q": update.filter.clone(), "u": update.update.clone(), "multi": update.multi, "upsert": update.upsert,
    };
    if let Some(filters) = &update.array_filters {
        statement.insert("arrayFilters", filters.clone());
    }
    if let Some(collation) = query.collation {
        statement.insert("collation", collation.clone());
    }
    if let Some(hint) = query.hint {
        statement.insert("hint", hint.clone());
    }
    let mut command = bson::doc! {"update": query.collection, "updates": [statement]};
    if let Some(variables) = query.variables {
        command.insert("let", variables.clone());
    }
    let explain = bson::doc! {"explain": command, "verbosity": "queryPlanner"};
    match look.server.run(explain, None).await {
        Ok(_) => Ok(None),
        Err(e) if e.is_passing() || e.authentication => Err(e.into()),
        // To ask takes the right to update.
        Err(e) if e.is(codes::UNAUTHORIZED) => Ok(None),
        Err(e) => Ok(Some(e)),
    }
}

/// The collection, unless it is absent or a view, through which nothing can be written.
async fn existing(
    look: &PlanContext<'_>,
    operation: &Operation,
    plan: &mut OperationPlan,
) -> Result<Option<Collection>, PlanError> {
    let found = catalog::collection(look.server, &operation.collection).await?;
    match found {
        Some(found) if found.kind == "view" => {
            let failure = is_a_view(&operation.collection);
            plan.fails(failure.cause, failure.code);
            Ok(None)
        }
        found => Ok(found),
    }
}

fn absent(plan: &mut OperationPlan) {
    plan.matched = Some(0);
    plan.changes = Some(0);
    plan.exact = true;
    plan.ends(Outcome::Done, Some("there is no such collection"));
}

/// How it would be written: in chunks or not, exactly once or not.
pub fn ways(look: &PlanContext<'_>, existing: &Collection, whole: Option<&str>, plan: &mut OperationPlan) {
    let atomic = look.server.transactions() && existing.takes_transactions();
    plan.chunks = Some(whole.is_none());
    plan.transactions = Some(atomic);
    plan.notes.extend(weaker(atomic));
    if let Some(why) = whole {
        let one = if atomic { "one transaction, which the server ends after 60 s" } else { "one statement" };
        plan.notes.push(format!("{why} needs {one}"));
    }
}

/// The filter for what an earlier run has left.
fn rest(filter: &Document, position: Option<&Position>, plan: &mut OperationPlan) -> Result<RawDocumentBuf, PlanError> {
    let filter = raw(filter)?;
    let Some(Position::Ids { upper, after }) = position else { return Ok(filter) };
    plan.notes.push("carries on where an earlier run stopped: these are what is left".to_owned());
    Ok(IdRange::Range { after: after.clone(), through: upper.clone() }.select(&filter))
}

async fn at_most(look: &PlanContext<'_>, query: &Query<'_>, filter: &RawDocumentBuf) -> Result<Numbers, PlanError> {
    let (matched, took) = look.count(query, filter).await?;
    Ok(Numbers { matched, changes: matched, exact: matched == 0, took, ..Numbers::default() })
}

/// Reads the fields that are set or removed.
async fn assigned(
    look: &PlanContext<'_>,
    query: &Query<'_>,
    filter: &RawDocumentBuf,
    assignments: &Assignments,
    examples: &mut Vec<String>,
) -> Result<Numbers, PlanError> {
    let mut numbers = Numbers { exact: true, ..Numbers::default() };
    let command = find(query, filter, &assignments.fields())?;
    numbers.took = look
        .each(command, |document| {
            numbers.matched += 1;
            match assignments.effect(document.as_bytes()) {
                Effect::Nothing => {}
                Effect::Change => numbers.changes += 1,
                Effect::Refused => {
                    numbers.refused += 1;
                    if examples.len() < EXAMPLES {
                        examples.push(id_text(document));
                    }
                }
            }
        })
        .await?;
    Ok(numbers)
}

/// Reading what is to be changed once more, and writing it.
fn estimate(numbers: &Numbers, changes: i64, captured: bool) -> f64 {
    let took = numbers.took.as_secs_f64();
    let each = took / numbers.matched.max(1) as f64;
    let factor = if captured { WRITE } else { WRITE_UNCAPTURED };
    took + changes as f64 * each * factor
}
