//! Lease, fencing token, journal and takeover.
//!
//! A run takes the lease, fences whoever held it before, reads the record, writes that the migration begins, works through its
//! chunks and writes that it is applied. Each arrow is a command: it may be lost on the way, its reply may be lost, and it may arrive
//! long after its sender has given it up or died. A paused run is one that does nothing while the others and the clock go on.

use super::broken;
use stateright::{Checker, Model, Property};

const RUNS: usize = 2;
const CHUNKS: usize = 2;
/// The lease lasts one tick: each run can lose it to the other.
const LAST_TICK: u8 = 2;
const LEASE: u8 = 1;

/// The rules of the protocol, and whether the server has transactions.
#[derive(Clone, Copy)]
struct Protocol {
    /// Work and its journal entry are one transaction. Without, the work comes first.
    transactions: bool,
    /// An entry carries the run's token in its filter.
    token_in_filter: bool,
    /// An entry carries the number of the entry before it in its filter.
    number_in_filter: bool,
    /// Taking over raises the token in the record before anything else is done.
    fences: bool,
    /// `begin` carries in its filter what the run was planned from.
    begins_as_planned: bool,
    /// After a reply that was lost the record is asked before anything is tried again.
    asks_the_record: bool,
}

const RULES: Protocol = Protocol {
    transactions: true,
    token_in_filter: true,
    number_in_filter: true,
    fences: true,
    begins_as_planned: true,
    asks_the_record: true,
};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Status {
    Pending,
    Applying,
    Applied,
}

/// The migration's record, as the server has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Record {
    status: Status,
    token: u8,
    /// How many entries the journal has: chunks that are done.
    entries: u8,
}

/// What a run sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Command {
    TakeLease,
    Fence,
    Read,
    Begin {
        planned: Record,
    },
    /// The documents of a chunk, where there are no transactions.
    Write {
        chunk: u8,
    },
    /// The entry of a chunk; with the documents, where there are transactions.
    Enter {
        chunk: u8,
    },
    /// Whether the last entry, or the last status, is this run's.
    Ask {
        chunk: u8,
    },
    Finish,
    AskFinished,
}

impl Command {
    fn writes(self) -> bool {
        !matches!(self, Self::TakeLease | Self::Read | Self::Ask { .. } | Self::AskFinished)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Reply {
    Lease {
        token: u8,
    },
    Record(Record),
    Done,
    /// The filter matched nothing.
    Nothing,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Run {
    /// Has a command to send.
    Ready(Command),
    /// Waits for the reply to a command that is on its way.
    Sent(Command),
    /// The reply is on its way.
    Answered(Command, Reply),
    /// Reported success.
    Succeeded,
    /// Reported an error: it does nothing more.
    Failed,
    Killed,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct State {
    clock: u8,
    owner: Option<usize>,
    token: u8,
    expires: u8,
    record: Record,
    /// How often the documents of each chunk were changed.
    changes: [u8; CHUNKS],
    /// Entries of the history that say "applied".
    history: u8,
    runs: [Run; RUNS],
    /// The token of each run, from its lease.
    tokens: [u8; RUNS],
    /// Commands that their sender no longer waits for and that may still arrive, with the token they carry.
    stray: [Option<(Command, u8)>; RUNS],
    /// The token of the newest run that has fenced the others.
    fenced: u8,
    /// Whether a run wrote to the record after another had fenced it.
    written_when_fenced: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Action {
    Send(usize),
    Arrive(usize),
    Deliver(usize),
    /// The connection breaks: the sender learns nothing, and the command, if it has not arrived, may still do so.
    LoseReply(usize),
    /// The command arrives after its sender has given it up.
    ArriveLate(usize),
    Kill(usize),
    Tick,
}

/// Counts to two, which is one too many: more would only make more states.
fn count(changes: &mut u8) {
    *changes = (*changes + 1).min(2);
}

impl Protocol {
    /// What the server does with a command of run `run` that carries `token`.
    fn execute(&self, state: &mut State, run: usize, token: u8, command: Command) -> Reply {
        let stale = token < state.fenced;
        let record = &mut state.record;
        let guard = !self.token_in_filter || record.token == token;
        let done = match command {
            Command::TakeLease => {
                if state.owner.is_some() && state.expires > state.clock {
                    return Reply::Nothing;
                }
                state.owner = Some(run);
                state.token += 1;
                state.expires = state.clock + LEASE;
                return Reply::Lease { token: state.token };
            }
            Command::Fence => {
                if self.fences && record.status == Status::Applying {
                    record.token = record.token.max(token);
                }
                state.fenced = state.fenced.max(token);
                return Reply::Done;
            }
            Command::Read => return Reply::Record(*record),
            Command::Begin { planned } => {
                // With transactions the proof of the lease is in the same one.
                let proven = !self.transactions || (state.owner == Some(run) && state.token == token);
                let as_planned = !self.begins_as_planned
                    || (record.status, record.entries) == (planned.status, planned.entries) && record.token <= token;
                if !proven || !as_planned {
                    return Reply::Nothing;
                }
                let entries = if planned.status == Status::Applying { record.entries } else { 0 };
                *record = Record { status: Status::Applying, token, entries };
                true
            }
            Command::Write { chunk } => {
                count(&mut state.changes[usize::from(chunk)]);
                return Reply::Done;
            }
            Command::Enter { chunk } => {
                let number = !self.number_in_filter || record.entries == chunk;
                if !guard || !number || record.status != Status::Applying {
                    return Reply::Nothing;
                }
                if self.transactions {
                    count(&mut state.changes[usize::from(chunk)]);
                }
                record.entries = chunk + 1;
                true
            }
            Command::Ask { chunk } => {
                let made = record.token == token && record.entries == chunk + 1;
                return if made { Reply::Done } else { Reply::Record(*record) };
            }
            Command::Finish => {
                if !guard || record.status != Status::Applying || usize::from(record.entries) < CHUNKS {
                    return Reply::Nothing;
                }
                record.status = Status::Applied;
                count(&mut state.history);
                true
            }
            Command::AskFinished => {
                let made = record.token == token && record.status == Status::Applied;
                return if made { Reply::Done } else { Reply::Record(*record) };
            }
        };
        state.written_when_fenced |= done && stale;
        Reply::Done
    }

    /// What a run does once it has its answer.
    fn next(&self, state: &mut State, run: usize, command: Command, reply: Reply) -> Run {
        let chunk = |chunk: u8| match (usize::from(chunk) < CHUNKS, self.transactions) {
            (false, _) => Command::Finish,
            (true, true) => Command::Enter { chunk },
            (true, false) => Command::Write { chunk },
        };
        match (command, reply) {
            (Command::TakeLease, Reply::Lease { token }) => {
                state.tokens[run] = token;
                Run::Ready(Command::Fence)
            }
            (Command::Fence, _) => Run::Ready(Command::Read),
            (Command::Read, Reply::Record(record)) if record.status == Status::Applied => Run::Succeeded,
            (Command::Read, Reply::Record(planned)) => Run::Ready(Command::Begin { planned }),
            (Command::Begin { planned }, Reply::Done) => {
                Run::Ready(chunk(if planned.status == Status::Applying { planned.entries } else { 0 }))
            }
            (Command::Write { chunk }, Reply::Done) => Run::Ready(Command::Enter { chunk }),
            (Command::Enter { chunk: made }, Reply::Done) | (Command::Ask { chunk: made }, Reply::Done) => {
                Run::Ready(chunk(made + 1))
            }
            // The guard did not hold: the entry of an attempt whose reply was lost, or another run's token.
            (Command::Enter { chunk }, Reply::Nothing) => Run::Ready(Command::Ask { chunk }),
            (Command::Ask { chunk }, Reply::Record(record))
                if record.token == state.tokens[run] && record.entries == chunk =>
            {
                Run::Ready(Command::Enter { chunk })
            }
            (Command::Finish, Reply::Done) | (Command::AskFinished, Reply::Done) => Run::Succeeded,
            (Command::Finish, Reply::Nothing) => Run::Ready(Command::AskFinished),
            (Command::AskFinished, Reply::Record(record))
                if record.token == state.tokens[run] && record.status == Status::Applying =>
            {
                Run::Ready(Command::Finish)
            }
            // The lock is held, or the lease is lost: an error, and nothing more is written.
            _ => Run::Failed,
        }
    }

    /// What a run does after an error of the connection.
    fn after_error(&self, command: Command) -> Run {
        Run::Ready(match command {
            // Whether the lease was taken is seen in the lock; the model gives the run up instead: it runs out.
            Command::TakeLease => return Run::Failed,
            Command::Enter { chunk } if self.asks_the_record => Command::Ask { chunk },
            Command::Finish if self.asks_the_record => Command::AskFinished,
            // Planned anew from what the record says now.
            Command::Begin { .. } => Command::Read,
            again => again,
        })
    }
}

impl Model for Protocol {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        vec![State {
            clock: 0,
            owner: None,
            token: 0,
            expires: 0,
            record: Record { status: Status::Pending, token: 0, entries: 0 },
            changes: [0; CHUNKS],
            history: 0,
            runs: [Run::Ready(Command::TakeLease); RUNS],
            tokens: [0; RUNS],
            stray: [None; RUNS],
            fenced: 0,
            written_when_fenced: false,
        }]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        if state.clock < LAST_TICK {
            actions.push(Action::Tick);
        }
        for run in 0..RUNS {
            match state.runs[run] {
                Run::Ready(_) => actions.push(Action::Send(run)),
                Run::Sent(_) => actions.extend([Action::Arrive(run), Action::LoseReply(run)]),
                Run::Answered(..) => actions.extend([Action::Deliver(run), Action::LoseReply(run)]),
                Run::Succeeded | Run::Failed | Run::Killed => {}
            }
            if matches!(state.runs[run], Run::Ready(_) | Run::Sent(_) | Run::Answered(..)) {
                actions.push(Action::Kill(run));
            }
            if state.stray[run].is_some() {
                actions.push(Action::ArriveLate(run));
            }
        }
    }

    fn next_state(&self, before: &State, action: Action) -> Option<State> {
        let mut state = before.clone();
        match action {
            Action::Tick => state.clock += 1,
            Action::Send(run) => {
                let Run::Ready(command) = state.runs[run] else { return None };
                state.runs[run] = Run::Sent(command);
            }
            Action::Arrive(run) => {
                let Run::Sent(command) = state.runs[run] else { return None };
                let token = state.tokens[run];
                let reply = self.execute(&mut state, run, token, command);
                state.runs[run] = Run::Answered(command, reply);
            }
            Action::Deliver(run) => {
                let Run::Answered(command, reply) = state.runs[run] else { return None };
                state.runs[run] = self.next(&mut state, run, command, reply);
            }
            Action::LoseReply(run) | Action::Kill(run) => {
                let command = match state.runs[run] {
                    Run::Sent(command) => {
                        // One stray command per run keeps the model small: the newest is the one that can do harm, and one that
                        // only reads can do none.
                        if command.writes() {
                            state.stray[run] = Some((command, state.tokens[run]));
                        }
                        command
                    }
                    Run::Answered(command, _) | Run::Ready(command) => command,
                    _ => return None,
                };
                state.runs[run] = match action {
                    Action::Kill(_) => Run::Killed,
                    _ => self.after_error(command),
                };
            }
            Action::ArriveLate(run) => {
                let (command, token) = state.stray[run].take()?;
                self.execute(&mut state, run, token, command);
            }
        }
        Some(state)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always(
                "a document is changed exactly once where there are transactions",
                |model: &Self, state: &State| {
                    let done = |chunk: usize| u8::from(chunk < usize::from(state.record.entries));
                    !model.transactions || (0..CHUNKS).all(|chunk| state.changes[chunk] == done(chunk))
                },
            ),
            Property::always("what the record says is done was done", |_, state: &State| {
                (0..usize::from(state.record.entries)).all(|chunk| state.changes[chunk] > 0)
            }),
            Property::always("success is reported only for what is done", |_, state: &State| {
                !state.runs.contains(&Run::Succeeded)
                    || (state.record.status == Status::Applied && state.changes.iter().all(|count| *count > 0))
            }),
            Property::always("the history says once that it was applied", |_, state: &State| {
                state.history == u8::from(state.record.status == Status::Applied)
            }),
            // Without transactions the proof of the lease comes before the write and not with it: what is on its way may arrive.
            Property::always(
                "a run that was fenced writes nothing more to the record",
                |model: &Self, state: &State| !model.transactions || !state.written_when_fenced,
            ),
            Property::sometimes("a killed run is carried on to its end", |_, state: &State| {
                state.runs.contains(&Run::Killed) && state.runs.contains(&Run::Succeeded)
            }),
            Property::sometimes("a run that lost its lease reports an error", |_, state: &State| {
                state.runs.contains(&Run::Failed) && state.token == 2 && state.record.status == Status::Applied
            }),
        ]
    }
}

#[test]
fn every_order_keeps_the_promises_with_transactions() {
    RULES.checker().threads(2).spawn_bfs().join().assert_properties();
}

#[test]
fn every_order_keeps_the_weaker_promises_without_transactions() {
    Protocol { transactions: false, ..RULES }.checker().threads(2).spawn_bfs().join().assert_properties();
}

#[test]
fn without_the_token_in_its_filter_a_fenced_run_writes() {
    broken(Protocol { token_in_filter: false, ..RULES }, "a run that was fenced writes nothing more to the record");
}

#[test]
fn without_fencing_two_runs_write() {
    broken(Protocol { fences: false, ..RULES }, "a run that was fenced writes nothing more to the record");
}

#[test]
fn without_the_number_in_its_filter_a_chunk_is_written_twice() {
    broken(
        Protocol { number_in_filter: false, asks_the_record: false, ..RULES },
        "a document is changed exactly once where there are transactions",
    );
}

#[test]
fn without_what_it_was_planned_from_a_stopped_run_applies_again() {
    broken(
        Protocol { begins_as_planned: false, transactions: false, ..RULES },
        "the history says once that it was applied",
    );
}
