//! What an exact rollback would do: documents by the three-way rule as it would be applied now.

use std::collections::{HashMap, HashSet};

use super::look::{PlanContext, PlanError};
use super::report::OperationPlan;
use crate::error::{Error, Result};
use crate::mongo::catalog;
use crate::run::report::{Outcome, Undone};
use crate::undo::operation::UndoOperation;
use crate::undo::{self, moved};

/// What the operations undone so far, of the same rollback, bring back.
#[derive(Debug, Default)]
pub struct UndoneBefore {
    /// Their documents, as hashes: what becomes of these when an older operation is undone cannot be told.
    met: HashSet<u64>,
    /// Collections that get their names back, with the names that they have now; `None` where it cannot be told.
    returning: HashMap<String, Option<String>>,
}

impl UndoneBefore {
    /// Whether the collection gets its name back when something later is undone first.
    fn returns(&self, task: &UndoOperation) -> bool {
        self.returning.contains_key(&task.collection)
    }

    /// The name that the collection of an operation has now; `None` where it cannot be told.
    async fn name_now(
        &self,
        look: &PlanContext<'_>,
        task: &UndoOperation,
    ) -> std::result::Result<Option<String>, PlanError> {
        let Some(now) = self.now(&task.collection) else { return Ok(None) };
        if moved::moves(task) || self.returns(task) {
            return Ok(Some(now.to_owned()));
        }
        // As the rollback does: somebody may have renamed it since.
        Ok(Some(moved::name_now(look.server, task).await?.unwrap_or_else(|| now.to_owned())))
    }

    /// The name that a collection has now.
    fn now<'a>(&'a self, name: &'a str) -> Option<&'a str> {
        self.returning.get(name).map_or(Some(name), |now| now.as_deref())
    }

    async fn then(&mut self, look: &PlanContext<'_>, task: &UndoOperation) -> std::result::Result<(), PlanError> {
        let name = task.collection.as_str();
        let source = match task.done.as_str() {
            "drop_collection" => task.entry.get_str("aside").ok().map(str::to_owned),
            "rename_collection" if task.entry.get_bool("renames").unwrap_or(false) => {
                task.entry.get_str("to").ok().and_then(|to| self.now(to)).map(str::to_owned)
            }
            _ => return Ok(()),
        };
        // It stays away where somebody has made another one.
        let free = catalog::collection(look.server, name).await?.is_none();
        self.returning.insert(name.to_owned(), source.filter(|_| free));
        Ok(())
    }
}

/// What undoing one operation would do, as the `index`-th (from 1) of the rollback.
///
/// # Errors
/// Where the server is gone, or the look was stopped.
pub async fn foresee(
    look: &PlanContext<'_>,
    index: i64,
    task: &UndoOperation,
    before: &mut UndoneBefore,
) -> Result<OperationPlan> {
    let mut plan = OperationPlan::new(index, &task.kind, &task.collection);
    match look_at(look, task, before, &mut plan).await {
        Ok(()) => Ok(plan),
        Err(PlanError::Refused(e)) => {
            plan.unknown(format!("what it would do cannot be looked at: {e}"));
            Ok(plan)
        }
        Err(PlanError::Lost(e)) => Err(Error::server("Looking at the data")(e)),
        Err(PlanError::Stopped(error)) => Err(error),
    }
}

async fn look_at(
    look: &PlanContext<'_>,
    task: &UndoOperation,
    before: &mut UndoneBefore,
    plan: &mut OperationPlan,
) -> std::result::Result<(), PlanError> {
    plan.ends(Outcome::Done, None);
    if task.entry.get_bool("lost").unwrap_or(false) {
        plan.notes.push("it was not captured, and stays as it is".to_owned());
        return Ok(());
    }
    let text = |name: &str| task.entry.get_str(name).unwrap_or_default();
    let now = before.name_now(look, task).await?;
    if let Some(now) = now.as_deref().filter(|now| *now != task.collection && !before.returns(task)) {
        plan.notes.push(format!("its collection is called {now:?} now"));
    }
    match task.done.as_str() {
        "update_documents" | "insert_documents" | "delete_documents" => {
            look.safe_point()?;
            let Some(now) = now else {
                plan.unknown("what becomes of its documents is left to the rollback");
                return Ok(());
            };
            let foreseen = undo::foresee(look.server, task, &now, &mut before.met).await?;
            plan.undone = Some(foreseen.undone);
            plan.changes = Some(documents(&foreseen.undone));
            plan.exact = foreseen.met_again == 0;
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
                format!("{:?} comes back as it was set aside, unless another one is in its place", task.collection)
            }
            Err(_) => "what was dropped comes back, unless another one is in its place".to_owned(),
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
    before.then(look, task).await
}

fn documents(undone: &Undone) -> i64 {
    undone.restored + undone.restored_with_edits
}
