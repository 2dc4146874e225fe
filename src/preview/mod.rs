//! What operations would do, asked of the live data: reads only, takes no lease and makes nothing.
//!
//! A number is called exact where the operation, run at this moment and alone, would do exactly that; else it is
//! the most that there can be. What an earlier operation of the same plan touches is not guessed at.

pub mod changes;
mod collections;
mod documents;
mod duplicates;
mod indexes;
mod inserts;
pub mod keys;
mod look;
pub mod report;
pub mod touched;
mod undone;

use self::look::Unseen;
use self::report::OperationPlan;
use self::touched::Touched;
use crate::error::{Error, Result};
use crate::retry::{Backoff, Policy};
use crate::run::progress::Position;
use crate::script::Operation;
use crate::script::operation::Action;

pub use self::look::Look;
pub use self::undone::{Before, foresee};

/// What `operation`, the `index`-th (from 1) of its script, would do; from `position` on where a run has begun it.
/// Collections are read as they lie, where nothing can be carried on with: a look that is lost begins anew.
///
/// # Errors
/// Where the server is gone, or the look was stopped.
pub async fn operation(
    look: &Look<'_>,
    index: i64,
    operation: &Operation,
    position: Option<&Position>,
    touched: &Touched,
) -> Result<OperationPlan> {
    let mut backoff = Backoff::new(Policy::READ);
    loop {
        match operation_once(look, index, operation, position, touched).await {
            Ok(plan) => return Ok(plan),
            Err(Unseen::Lost(_)) if backoff.wait().await => {}
            Err(Unseen::Lost(e) | Unseen::Refused(e)) => return Err(Error::server("Looking at the data")(e)),
            Err(Unseen::Stopped(error)) => return Err(error),
        }
    }
}

async fn operation_once(
    look: &Look<'_>,
    index: i64,
    operation: &Operation,
    position: Option<&Position>,
    touched: &Touched,
) -> Result<OperationPlan, Unseen> {
    let mut plan = OperationPlan::new(index, operation.kind(), &operation.collection);
    plan.depends_on = touched.before(operation);
    let looked = if plan.depends_on.is_empty() {
        match &operation.action {
            Action::UpdateDocuments(update) => documents::update(look, operation, update, position, &mut plan).await,
            Action::DeleteDocuments(delete) => documents::delete(look, operation, delete, position, &mut plan).await,
            Action::InsertDocuments(insert) => inserts::insert(look, operation, insert, position, &mut plan).await,
            Action::CreateIndex(asked) => indexes::create(look, operation, asked, &mut plan).await,
            Action::DropIndex(asked) => indexes::drop_index(look, operation, asked, &mut plan).await,
            Action::CreateCollection { options } => collections::create(look, operation, options, &mut plan).await,
            Action::DropCollection => collections::drop_collection(look, operation, &mut plan).await,
            Action::ModifyCollection { options } => collections::modify(look, operation, options, &mut plan).await,
            Action::RenameCollection { to } => collections::rename(look, operation, to, &mut plan).await,
        }
    } else {
        if let Action::InsertDocuments(insert) = &operation.action {
            plan.changes = i64::try_from(insert.documents.len()).ok();
        }
        Ok(())
    };
    match looked {
        Ok(()) => Ok(plan),
        Err(Unseen::Refused(e)) => {
            plan.fails(format!("the server refuses it: {e}"), e.code);
            Ok(plan)
        }
        Err(lost) => Err(lost),
    }
}
