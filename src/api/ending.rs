//! The end of the interpreter.
//!
//! A thread that asks for Python's lock while the interpreter ends is stopped by it for good, or crashes the process.
//! So the end waits, with the lock released, until the runs have stopped and no thread is within a call of ours any
//! more. The threads of the runtime do not count: none of them touches Python.

use std::collections::HashMap;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::ThreadId;
use std::time::{Duration, Instant};

use pyo3::prelude::*;

use super::queue::Queue;
use super::runtime::{SIGNAL_POLL, started_here};
use crate::observe::Stop;

/// How long the end waits for runs that nobody waits for any more to reach their next safe point.
const SAFE_POINT: Duration = Duration::from_secs(10);
/// How long it waits after that for threads to leave.
const LEAVING: Duration = Duration::from_secs(5);

static STATE: Mutex<Option<RunsState>> = Mutex::new(None);
static CHANGED: Condvar = Condvar::new();

#[derive(Default)]
struct RunsState {
    runs: HashMap<u64, (Stop, Arc<Queue>)>,
    next: u64,
    /// Threads within a call that has released Python's lock.
    inside: usize,
    /// The thread that ends the interpreter.
    ending: Option<ThreadId>,
    /// Whether the runs were given up.
    given_up: bool,
}

fn with<T>(work: impl FnOnce(&mut RunsState) -> T) -> T {
    let mut state = STATE.lock().unwrap_or_else(PoisonError::into_inner);
    work(state.get_or_insert_default())
}

/// A run that is going on, for as long as it lives.
pub struct LiveRun(u64);

/// Notes a run that has begun.
pub fn run(stop: Stop, queue: Arc<Queue>) -> LiveRun {
    with(|state| {
        state.next += 1;
        state.runs.insert(state.next, (stop, queue));
        LiveRun(state.next)
    })
}

impl Drop for LiveRun {
    fn drop(&mut self) {
        with(|state| state.runs.remove(&self.0));
        CHANGED.notify_all();
    }
}

/// Does some work with Python's lock released. Where the interpreter ends without this thread, it would never get the
/// lock back: then nothing is done, and the answer is `None`.
pub fn detached<T: Send>(py: Python<'_>, work: impl FnOnce() -> T + Send) -> Option<T> {
    let this = std::thread::current().id();
    let allowed = with(|state| {
        let allowed = state.ending.is_none_or(|thread| thread == this);
        state.inside += usize::from(allowed);
        allowed
    });
    if !allowed {
        return None;
    }
    let inside = Inside;
    let answer = py.detach(work);
    // Only now, with the lock.
    drop(inside);
    Some(answer)
}

/// A thread that is within a call, for as long as it lives.
struct Inside;

impl Drop for Inside {
    fn drop(&mut self) {
        with(|state| state.inside -= 1);
        CHANGED.notify_all();
    }
}

/// Whether the run that this thread waits for was given up.
pub fn given_up() -> bool {
    let this = std::thread::current().id();
    with(|state| state.given_up && state.ending != Some(this))
}

/// Ends what is going on, to be called when the interpreter ends: asks every run to stop at its next safe point and
/// waits for that, for ten seconds at most or until Ctrl-C, and then until no thread is within a call.
#[pyfunction]
pub fn end_runs(py: Python<'_>) {
    if !started_here() {
        return;
    }
    let runs = with(|state| {
        state.ending = Some(std::thread::current().id());
        state.runs.values().map(|(stop, _)| stop.clone()).collect::<Vec<_>>()
    });
    for stop in runs {
        stop.cancel();
    }
    wait(py, SAFE_POINT, |state| state.runs.is_empty());
    with(|state| {
        state.given_up = true;
        state.runs.values().for_each(|(_, queue)| queue.close());
    });
    wait(py, LEAVING, |state| state.inside == 0);
}

fn wait(py: Python<'_>, limit: Duration, until: impl Fn(&RunsState) -> bool + Sync) {
    let end = Instant::now() + limit;
    let mut left = limit;
    while !left.is_zero() && py.check_signals().is_ok() {
        let over = py.detach(|| {
            let state = STATE.lock().unwrap_or_else(PoisonError::into_inner);
            let unless = |state: &mut Option<RunsState>| !until(state.get_or_insert_default());
            let waited = CHANGED.wait_timeout_while(state, left.min(SIGNAL_POLL), unless);
            !waited.unwrap_or_else(PoisonError::into_inner).1.timed_out()
        });
        if over {
            return;
        }
        left = end.saturating_duration_since(Instant::now());
    }
}
