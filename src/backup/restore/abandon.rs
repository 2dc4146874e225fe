//! Giving a restore up: for a swap that can never end, or that this user may not take to its end.
//!
//! Where nothing was swapped yet the database is as it was before. Else it is neither the old state nor the new one, which
//! is said collection by collection. What is not in its place and cannot be had elsewhere is kept.

use super::journal;
use super::steps::SwapStep;
use super::swap::{clean_up, named, take};
use crate::backup::catalog::CollectionType;
use crate::backup::report::EarlierRestore;
use crate::error::Result;
use crate::observe::{Kind, Level};
use crate::run::handle::Run;

/// How far a step is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum StepState {
    Done,
    Begun,
    Untouched,
}

/// Gives up the restore that was begun and has not ended. Says what became of it and, where its swap had begun, what is in
/// the database now.
///
/// # Errors
/// [`Error::LeaseLost`](crate::error::Error::LeaseLost) or the server's.
pub async fn abandon(run: &mut Run) -> Result<(EarlierRestore, Vec<String>)> {
    let Some(head) = journal::read(&run.server).await? else { return Ok((EarlierRestore::None, Vec::new())) };
    let message = format!("Giving up the restore of {}.", head.unfinished.backup);
    run.reporter.tell(Kind::RestoreStarted, Level::Warning, message);
    // A step that somebody has edited can be taken by nobody; what is in the database is looked at all the same.
    let steps = if head.swapping { journal::steps(&run.server).await? } else { Vec::new() };
    let mut reached = Vec::with_capacity(steps.len());
    for (step, number) in steps.iter().zip(0..) {
        reached.push(how_far(run, step, number, head.at).await?);
    }
    let mut keep = Vec::new();
    let mut notes = Vec::new();
    let of = |wanted: StepState| {
        let those = steps
            .iter()
            .zip(&reached)
            .filter(move |(step, it)| **it == wanted && !matches!(step, SwapStep::Expire { .. }));
        those.map(|(step, _)| step.clone()).collect::<Vec<SwapStep>>()
    };
    let (done, begun) = (of(StepState::Done), of(StepState::Begun));
    for step in &begun {
        if let SwapStep::Replace { temporary, target, .. } | SwapStep::Copy { temporary, target, .. } = step {
            keep.push(temporary.clone());
            notes.push(format!(
                "{target:?} is missing or not whole; all that the backup holds of it is in {temporary:?}"
            ));
        } else {
            notes.push(format!("{:?} may be missing or as before", step.target()));
        }
    }
    if !done.is_empty() {
        notes.push(format!("as in the backup: {}", targets(&done)));
        notes.push(format!("as before: {}", targets(&of(StepState::Untouched))));
    }
    // Documents of what is in its place expire again.
    for step in steps.iter().filter(|step| matches!(step, SwapStep::Expire { .. })) {
        if done.iter().any(|it| it.target() == step.target()) {
            take(run, step).await?;
        }
    }
    clean_up(run, &keep).await?;
    if done.is_empty() && begun.is_empty() {
        return Ok((EarlierRestore::Undone, Vec::new()));
    }
    if let Some(safety) = &head.unfinished.safety_backup {
        notes.push(format!("`restore {safety}` brings back what was there before"));
    }
    Ok((EarlierRestore::Abandoned, notes))
}

fn targets(steps: &[SwapStep]) -> String {
    let names: Vec<&str> = steps.iter().map(SwapStep::target).collect();
    if names.is_empty() { "nothing".to_owned() } else { names.join(", ") }
}

/// `at` is the step that was begun last.
async fn how_far(run: &Run, step: &SwapStep, number: i64, at: Option<i64>) -> Result<StepState> {
    if at.is_some_and(|at| number > at) {
        return Ok(StepState::Untouched);
    }
    if at.is_some_and(|at| number < at) {
        return Ok(StepState::Done);
    }
    // The one that was begun last, or one of an earlier version's journal: the database says what became of it.
    let there = named(run, step.target()).await?;
    Ok(match step {
        SwapStep::Replace { temporary, uuid, .. } => {
            if named(run, temporary).await?.is_none_or(|it| it.uuid != Some(*uuid)) {
                StepState::Done
            } else if there.as_ref().is_some_and(|it| it.kind == CollectionType::Collection) {
                StepState::Untouched
            } else {
                StepState::Begun
            }
        }
        SwapStep::Copy { temporary, .. } if named(run, temporary).await?.is_none() => StepState::Done,
        SwapStep::View { options, .. }
            if there.as_ref().is_some_and(|it| it.kind == CollectionType::View && it.options == *options) =>
        {
            StepState::Done
        }
        SwapStep::Drop { uuid, .. } => match there {
            Some(it) if it.uuid == *uuid => StepState::Untouched,
            _ => StepState::Done,
        },
        SwapStep::Copy { .. } | SwapStep::View { .. } | SwapStep::Expire { .. } => StepState::Begun,
    })
}
