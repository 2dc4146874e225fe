//! Events on their way from the engine to a Python callable.
//!
//! The engine puts them into a [`Queue`] and goes on. A Python thread of the listener's own takes them out, so that
//! a callback that blocks, or a terminal that nobody reads, delays neither the renewal of the lease nor the end
//! of the run, and no thread of the runtime ever needs Python's lock.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bson::DateTime;
use tokio::sync::Notify;

use crate::observe::{Event, Kind, Level, Observer};

/// How many events may wait. Progress takes one place whatever its number, so only a listener that has stopped
/// listening lets so many gather.
const WAITING: usize = 10_000;
/// How long the end of a run waits for a listener that takes no event.
const PATIENCE: Duration = Duration::from_secs(2);

/// Events that wait for their listener.
#[derive(Default)]
pub struct Queue {
    state: Mutex<EventsState>,
    arrived: Condvar,
    taken: Notify,
}

#[derive(Default)]
struct EventsState {
    waiting: VecDeque<Event>,
    left_out: u64,
    /// No event will come any more.
    closed: bool,
    /// The listener has dealt with the last one.
    finished: bool,
}

impl Queue {
    fn state(&self) -> MutexGuard<'_, EventsState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// No event will come any more; those that wait are still taken.
    pub fn close(&self) {
        self.state().closed = true;
        self.arrived.notify_all();
    }

    /// Waits until the listener has dealt with every event, as long as it keeps taking them. Meant for a closed queue.
    pub async fn listened_to(&self) {
        loop {
            let taken = self.taken.notified();
            if self.state().finished || tokio::time::timeout(PATIENCE, taken).await.is_err() {
                return;
            }
        }
    }

    /// The next event; waits for one. `None` at the end.
    pub fn next(&self) -> Option<Event> {
        let mut state = self.state();
        let event = loop {
            if let Some(event) = state.waiting.pop_front() {
                break Some(event);
            }
            if state.closed {
                state.finished = true;
                break None;
            }
            state = self.arrived.wait(state).unwrap_or_else(PoisonError::into_inner);
        };
        drop(state);
        self.taken.notify_waiters();
        event
    }
}

impl Observer for Queue {
    fn notify(&self, event: &Event) {
        let mut state = self.state();
        if state.closed {
            return;
        }
        let last = state.waiting.back_mut();
        if let Some(last) = last.filter(|last| is_newer(event, last)) {
            last.clone_from(event);
        } else if state.waiting.len() < WAITING {
            state.waiting.push_back(event.clone());
        } else {
            state.left_out += 1;
            let left_out = state.left_out;
            if let Some(last) = state.waiting.back_mut() {
                *last = left_out_notice(event, left_out);
            }
        }
        drop(state);
        self.arrived.notify_one();
    }
}

/// Returns true if `event` is a later progress report on the same work as `last`.
fn is_newer(event: &Event, last: &Event) -> bool {
    let work = |of: &Event| (of.kind, of.index, of.bytes.is_some());
    event.kind == Kind::Progress && work(event) == work(last) && event.migration == last.migration
}

fn left_out_notice(event: &Event, left_out: u64) -> Event {
    Event {
        kind: Kind::Warning,
        level: Level::Warning,
        message: format!("{left_out} events are not reported, because the listener does not take them."),
        at: DateTime::now(),
        ..event.clone()
    }
}
