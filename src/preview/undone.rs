//! What an exact rollback would do: documents by the three-way rule as it would be applied now.

use std::collections::HashSet;

use super::look::{Look, Unseen};
use super::report::OperationPlan;
use crate::error::Result;
use crate::run::report::{Outcome, Undone};
use crate::run::step::Undo;
use crate::undo;

/// What undoing one operation would do, as the `index`-th (from 1) of the rollback. `met` holds the documents that
/// operations undone before it, of the same rollback, bring back: of these, only that can be told.
///
/// # Errors
/// Where the server is gone, or the look was stopped.
pub async fn foresee(look: &Look<'_>, index: i64, task: &Undo, met: &mut HashSet<u64>) -> Result<OperationPlan> {
    let mut plan = OperationPlan::new(index, &task.kind, &task.collection);
    match look_at(look, task, met, &mut plan).await {
        Ok(()) => Ok(plan),
        Err(Unseen::Refused(e)) => {
            plan.notes.push(format!("what it would do cannot be looked at: {e}"));
            Ok(plan)
        }
        Err(Unseen::Stopped(error)) => Err(error),
    }
}

async fn look_at(
    look: &Look<'_>,
    task: &Undo,
    met: &mut HashSet<u64>,
    plan: &mut OperationPlan,
) -> std::result::Result<(), Unseen> {
    plan.ends(Outcome::Done, None);
    if task.entry.get_bool("lost").unwrap_or(false) {
        plan.notes.push("it was not captured, and stays as it is".to_owned());
        return Ok(());
    }
    let text = |name: &str| task.entry.get_str(name).unwrap_or_default();
    match task.done.as_str() {
        "update_documents" | "insert_documents" | "delete_documents" => {
            look.safe_point()?;
            let met_before = met.len();
            let foreseen = undo::foresee(look.server, task, met).await?;
            plan.undone = Some(foreseen.undone);
            plan.changes = Some(documents(&foreseen.undone));
            plan.exact = foreseen.met_again == 0 && met_before + foreseen.looked_at == met.len();
            if foreseen.met_again > 0 {
                plan.notes.push(format!(
                    "{} more documents are brought back by undoing later operations first; what then becomes of them here \
                     is left to the rollback",
                    foreseen.met_again
                ));
            }
        }
        "drop_collection" => plan.notes.push(match task.entry.get_str("aside") {
            Ok(_) => {
                format!("{:?} comes back as it was set aside, unless another one stands in its place", task.collection)
            }
            Err(_) => "what was dropped comes back, unless another one stands in its place".to_owned(),
        }),
        "create_collection" => {
            plan.notes.push("is dropped if it is as it was made and empty; else it stays".to_owned());
        }
        "create_index" => plan.notes.push(format!("the index {:?} is dropped if it is as it was made", text("index"))),
        "drop_index" => plan.notes.push("the index is built again".to_owned()),
        "modify_collection" => {
            plan.notes.push("the options go back to what they were, but for those changed since".to_owned())
        }
        "rename_collection" => plan.notes.push(format!("{:?} gets its name back", text("to"))),
        _ => {}
    }
    Ok(())
}

fn documents(undone: &Undone) -> i64 {
    undone.restored + undone.restored_with_edits
}
