//! The end of an undo.

use crate::operations::error::OperationError;
use crate::run::handle::Run;
use crate::run::journal::Journal;
use crate::run::progress::OperationIndex;
use crate::run::progress::OperationProgress;
use crate::run::report::{Counts, Outcome, Undone};
use crate::undo::operation::UndoOperation;

/// Makes the journal's last entry of an undo.
pub(super) async fn finish(
    run: &mut Run,
    journal: &mut Journal,
    undo: &UndoOperation,
    place: OperationIndex,
    counts: Undone,
    note: Option<String>,
) -> Result<(), OperationError> {
    let existing = journal.progress.operations.get(place.index).cloned();
    let mut progress = existing.unwrap_or_else(|| OperationProgress::new(&undo.hash));
    progress.outcome = Some(Outcome::Done);
    progress.counts += Counts { undone: counts, ..Counts::default() };
    progress.note = note;
    Ok(journal.note(run, place.index, progress, None).await?)
}
