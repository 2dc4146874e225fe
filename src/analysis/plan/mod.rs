//! What operations would do, asked of the live data: reads only, takes no lease and makes nothing.
//!
//! A number is called exact where the operation, run at this moment and alone, would do exactly that; else it is
//! the most that there can be. Of an operation that depends on earlier ones of the same plan the answer is that of
//! today's data, and called so.

pub mod changes;
mod collections;
mod documents;
mod duplicates;
mod expiry;
mod indexes;
mod inserts;
pub mod keys;
mod look;
mod misfits;
mod numbers;
mod pipelines;
pub mod report;
mod sieve;
pub mod touched;
mod undone;

use std::borrow::Cow;

use self::look::PlanError;
use self::report::OperationPlan;
use self::touched::Touched;
use crate::error::{Error, Result};
use crate::model::script::Operation;
use crate::model::script::operation::Action;
use crate::mongo::catalog;
use crate::mongo::retry::{Backoff, Policy};
use crate::run::progress::Position;

pub use self::look::PlanContext;
pub use self::undone::{UndoneBefore, foresee};

/// What `operation`, the `index`-th (from 1) of its script, would do; from `position` on where a run has begun it.
/// Collections are read as they lie, where nothing can be carried on with: a look that is lost begins anew.
///
/// # Errors
/// Where the server is gone, or the look was stopped.
pub async fn operation(
    look: &PlanContext<'_>,
    index: i64,
    operation: &Operation,
    position: Option<&Position>,
    touched: &Touched,
) -> Result<OperationPlan> {
    let mut backoff = Backoff::new(Policy::READ);
    loop {
        match operation_once(look, index, operation, position, touched).await {
            Ok(plan) => return Ok(plan),
            Err(PlanError::Lost(_)) if backoff.wait().await => {}
            Err(PlanError::Lost(e) | PlanError::Refused(e)) => return Err(Error::server("Looking at the data")(e)),
            Err(PlanError::Stopped(error)) => return Err(error),
        }
    }
}

async fn operation_once(
    look: &PlanContext<'_>,
    index: i64,
    operation: &Operation,
    position: Option<&Position>,
    touched: &Touched,
) -> Result<OperationPlan, PlanError> {
    let mut plan = OperationPlan::new(index, operation.kind(), &operation.collection);
    plan.depends_on = touched.before(operation);
    let looked = match under_todays_name(look, operation, touched, &plan).await {
        Ok(Some(today)) => look_at(look, &today, position, &mut plan).await,
        Ok(None) => {
            plan.looked_at = false;
            if let Action::InsertDocuments(insert) = &operation.action {
                plan.changes = i64::try_from(insert.documents.len()).ok();
            }
            Ok(())
        }
        Err(stopped) => Err(stopped),
    };
    match looked {
        Ok(()) => {}
        Err(PlanError::Refused(e)) => plan.fails(format!("the server refuses it: {e}"), e.code),
        Err(lost) => return Err(lost),
    }
    if !plan.depends_on.is_empty() {
        plan.of_today();
    }
    Ok(plan)
}

/// The operation with the name that its collection has today, before earlier ones rename it. `None` where an earlier one
/// makes the collection, so that today's data says nothing.
async fn under_todays_name<'a>(
    look: &PlanContext<'_>,
    operation: &'a Operation,
    touched: &Touched,
    plan: &OperationPlan,
) -> std::result::Result<Option<Cow<'a, Operation>>, PlanError> {
    if plan.depends_on.is_empty() {
        return Ok(Some(Cow::Borrowed(operation)));
    }
    let Some(name) = touched.today(&operation.collection) else { return Ok(None) };
    if catalog::collection(look.server, name).await?.is_none() {
        return Ok(None);
    }
    Ok(Some(match name == operation.collection {
        true => Cow::Borrowed(operation),
        false => Cow::Owned(Operation { collection: name.to_owned(), ..operation.clone() }),
    }))
}

async fn look_at(
    look: &PlanContext<'_>,
    operation: &Operation,
    position: Option<&Position>,
    plan: &mut OperationPlan,
) -> std::result::Result<(), PlanError> {
    match &operation.action {
        Action::UpdateDocuments(update) => documents::update(look, operation, update, position, plan).await,
        Action::DeleteDocuments(delete) => documents::delete(look, operation, delete, position, plan).await,
        Action::InsertDocuments(insert) => inserts::insert(look, operation, insert, position, plan).await,
        Action::CreateIndex(asked) => indexes::create(look, operation, asked, plan).await,
        Action::DropIndex(asked) => indexes::drop_index(look, operation, asked, plan).await,
        Action::CreateCollection { options } => collections::create(look, operation, options, plan).await,
        Action::DropCollection => collections::drop_collection(look, operation, plan).await,
        Action::ModifyCollection { options } => collections::modify(look, operation, options, plan).await,
        Action::RenameCollection { to } => collections::rename(look, operation, to, plan).await,
    }
}
