//! Scripts that would write to what the tool itself keeps, under the name that `--ledger` gives.

use crate::engine::planned::{PlannedMigration, WorkItem};
use crate::error::{Error, Result};
use crate::model::script::operation::Action;
use crate::names::Names;

/// Refuses a script with such an operation. What the default ledger's names are, no file may hold at all.
///
/// # Errors
/// [`Error::Invalid`] with the operation.
pub fn refuse(names: &Names, planned: &PlannedMigration) -> Result<()> {
    let owned = |name: &str| names.owns(name) || names.begins_like_ours(name);
    for (index, item) in (1..).zip(&planned.items) {
        let WorkItem::Operation(operation) = item else { continue };
        let target = match &operation.action {
            Action::RenameCollection { to } => Some(to.as_str()),
            _ => None,
        };
        let named = [Some(operation.collection.as_str()), target].into_iter().flatten().find(|name| owned(name));
        if let Some(name) = named {
            return Err(Error::invalid(
                None,
                format!(
                    "{}: operation {index} ({}) is about the collection {name:?}, which belongs to the migration tool: it holds \
                     its state in the ledger {:?} (--ledger). Nothing was done. Give the operation another collection, or the \
                     tool another ledger.",
                    planned.origin,
                    item.kind(),
                    names.ledger(),
                ),
            ));
        }
    }
    Ok(())
}
