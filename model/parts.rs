//! Several workers on one operation: parts with a journal of their own, and their sum.
//!
//! A run that has the lease fences the others, reads the record, begins, cuts the operation into parts, lets its workers
//! take them, writes their sum into the record and removes them. A run that takes over goes on with the parts that are
//! open. The lease itself is in the model of runs; here it changes hands once.
//!
//! A command is carried out and answered in one step, or its reply is lost, or it is lost and may arrive later, when its
//! sender has given it up. What a run does between an answer and its next command is nothing, so no order is left out.

use super::broken;
use stateright::{Checker, Model, Property};

const RUNS: usize = 2;
/// As many as there are workers: each takes the next that nobody has.
const PARTS: usize = 2;

/// The rules of the protocol.
#[derive(Clone, Copy)]
struct Protocol {
    /// The entry of a part carries the run's token in its filter.
    token_in_filter: bool,
    /// The entry of a part carries the number of the entry before it in its filter.
    number_in_filter: bool,
    /// After a reply that was lost the part is asked before anything is tried again.
    asks_the_part: bool,
    /// Taking over raises the token in the parts, too, and not only in the record.
    fences_parts: bool,
}

const RULES: Protocol =
    Protocol { token_in_filter: true, number_in_filter: true, asks_the_part: true, fences_parts: true };

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Status {
    Pending,
    Applying,
    /// The record says that there are parts.
    InParts,
    /// The record has the sum of the parts.
    Summed(u8),
    Applied,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Record {
    status: Status,
    token: u8,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Part {
    token: u8,
    done: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Command {
    Fence,
    Read,
    Begin {
        planned: Record,
    },
    /// Makes the parts, in the transaction of the entry that counts them.
    Cut,
    Enter {
        part: usize,
    },
    Ask {
        part: usize,
    },
    /// Writes their sum and removes them, in one transaction.
    Sum {
        parts: u8,
    },
    Finish,
    /// Reads the record again after a reply that was lost.
    Reread,
}

/// What one sender of a run does: the run itself, or a worker of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Sender {
    /// Has nothing to do yet, or nothing more.
    Idle,
    Ready(Command),
    Succeeded,
    Failed,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct State {
    /// The run whose the lease is; it passes to the next one once.
    owner: usize,
    record: Record,
    parts: [Option<Part>; PARTS],
    /// How often the documents of each part were changed.
    changes: [u8; PARTS],
    runs: [Sender; RUNS],
    workers: [[Sender; PARTS]; RUNS],
    killed: [bool; RUNS],
    /// Parts that the run knows to be done.
    known: [[bool; PARTS]; RUNS],
    /// A command of each sender that its sender no longer waits for.
    stray: [[Option<Command>; PARTS + 1]; RUNS],
    /// The token of the newest run that has fenced the others.
    fenced: u8,
    written_when_fenced: bool,
}

/// Who sends: a run, and its worker, where it is one.
type From = (usize, Option<usize>);

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Action {
    /// The command arrives and is answered.
    Do(From),
    /// The command arrives, and its reply is lost.
    LoseReply(From),
    /// The command is lost, or arrives later.
    Lose(From),
    ArriveLate(From),
    Kill(usize),
    /// The lease of the first run ends, and the second takes it.
    TakeOver,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Reply {
    Done,
    Nothing,
    Record(Record, [Option<Part>; PARTS]),
}

fn token_of(run: usize) -> u8 {
    u8::try_from(run + 1).expect("few runs")
}

impl State {
    fn sender(&mut self, (run, worker): From) -> &mut Sender {
        match worker {
            None => &mut self.runs[run],
            Some(worker) => &mut self.workers[run][worker],
        }
    }

    fn stray(&mut self, (run, worker): From) -> &mut Option<Command> {
        &mut self.stray[run][worker.map_or(PARTS, |worker| worker)]
    }

    fn done(&self) -> u8 {
        u8::try_from(self.parts.iter().flatten().filter(|part| part.done).count()).expect("few parts")
    }

    /// The run goes on once none of its workers has anything to do.
    fn gather(&mut self, run: usize) {
        let busy = self.workers[run].iter().any(|worker| matches!(worker, Sender::Ready(_)));
        if self.runs[run] != Sender::Idle || busy {
            return;
        }
        self.runs[run] = match self.workers[run].contains(&Sender::Failed) {
            true => Sender::Failed,
            false => {
                let parts = self.known[run].iter().filter(|known| **known).count();
                Sender::Ready(Command::Sum { parts: u8::try_from(parts).expect("few parts") })
            }
        };
    }
}

impl Protocol {
    /// What the server does with a command of that run.
    fn execute(&self, state: &mut State, run: usize, command: Command) -> Reply {
        let token = token_of(run);
        let stale = token < state.fenced;
        let guard = state.record.token == token;
        let status = state.record.status;
        let done = match command {
            Command::Fence => {
                if !matches!(status, Status::Pending | Status::Applied) {
                    state.record.token = state.record.token.max(token);
                    if self.fences_parts {
                        state.parts.iter_mut().flatten().for_each(|part| part.token = part.token.max(token));
                    }
                }
                state.fenced = state.fenced.max(token);
                return Reply::Done;
            }
            Command::Read | Command::Reread => return Reply::Record(state.record, state.parts),
            Command::Begin { planned } => {
                // With the proof of the lease in the same transaction.
                let as_planned = status == planned.status && state.record.token <= token;
                if state.owner != run || !as_planned {
                    return Reply::Nothing;
                }
                let status = if status == Status::Pending { Status::Applying } else { status };
                state.record = Record { status, token };
                if self.fences_parts {
                    state.parts.iter_mut().flatten().for_each(|part| part.token = token);
                }
                true
            }
            Command::Cut => {
                if !guard || status != Status::Applying {
                    return Reply::Nothing;
                }
                state.parts = [Some(Part { token, done: false }); PARTS];
                state.record.status = Status::InParts;
                true
            }
            Command::Enter { part } => {
                let Some(own) = &mut state.parts[part] else { return Reply::Nothing };
                if (self.token_in_filter && own.token != token) || (self.number_in_filter && own.done) {
                    return Reply::Nothing;
                }
                own.done = true;
                // Two is one too many: more would only make more states.
                state.changes[part] = (state.changes[part] + 1).min(2);
                true
            }
            Command::Ask { part } => {
                let made = state.parts[part].is_some_and(|own| own.token == token && own.done);
                return if made { Reply::Done } else { Reply::Record(state.record, state.parts) };
            }
            Command::Sum { parts } => {
                if !guard || status != Status::InParts {
                    return Reply::Nothing;
                }
                state.record.status = Status::Summed(parts);
                state.parts = [None; PARTS];
                true
            }
            Command::Finish => {
                if !guard || !matches!(status, Status::Summed(_)) {
                    return Reply::Nothing;
                }
                state.record.status = Status::Applied;
                true
            }
        };
        state.written_when_fenced |= done && stale;
        Reply::Done
    }

    /// What the sender does once it has its answer.
    fn next(&self, state: &mut State, from: From, command: Command, reply: Reply) {
        let (run, _) = from;
        let token = token_of(run);
        let next = match (command, reply) {
            (Command::Fence, _) => Sender::Ready(Command::Read),
            (Command::Read, Reply::Record(record, parts)) => match record.status {
                Status::Applied => Sender::Succeeded,
                _ => {
                    state.known[run] = parts.map(|part| part.is_some_and(|part| part.done));
                    Sender::Ready(Command::Begin { planned: record })
                }
            },
            (Command::Begin { planned }, Reply::Done) => self.go_on(state, run, planned.status),
            (Command::Cut, Reply::Done) => self.go_on(state, run, Status::InParts),
            (Command::Enter { part } | Command::Ask { part }, Reply::Done) => {
                state.known[run][part] = true;
                Sender::Idle
            }
            (Command::Enter { part }, Reply::Nothing) if self.asks_the_part => Sender::Ready(Command::Ask { part }),
            (Command::Ask { part }, Reply::Record(_, parts))
                if parts[part].is_some_and(|own| own.token == token && !own.done) =>
            {
                Sender::Ready(Command::Enter { part })
            }
            (Command::Sum { .. }, Reply::Done) => Sender::Ready(Command::Finish),
            (Command::Finish, Reply::Done) => Sender::Succeeded,
            (Command::Cut | Command::Sum { .. } | Command::Finish, Reply::Nothing) => Sender::Ready(Command::Reread),
            (Command::Reread, Reply::Record(record, parts)) if record.token == token => match record.status {
                Status::Applied => Sender::Succeeded,
                status => {
                    state.known[run] = parts.map(|part| part.is_some_and(|part| part.done));
                    self.go_on(state, run, status)
                }
            },
            // The lease is lost: an error, and nothing more is written.
            _ => Sender::Failed,
        };
        *state.sender(from) = next;
        state.gather(run);
    }

    /// Where a run is that has begun or reads what its record says.
    fn go_on(&self, state: &mut State, run: usize, status: Status) -> Sender {
        match status {
            Status::Pending | Status::Applying => Sender::Ready(Command::Cut),
            Status::InParts => {
                for part in 0..PARTS {
                    state.workers[run][part] =
                        if state.known[run][part] { Sender::Idle } else { Sender::Ready(Command::Enter { part }) };
                }
                Sender::Idle
            }
            Status::Summed(_) => Sender::Ready(Command::Finish),
            Status::Applied => Sender::Succeeded,
        }
    }

    /// What the sender does after an error of the connection.
    fn after_error(&self, command: Command) -> Sender {
        Sender::Ready(match command {
            Command::Enter { part } if self.asks_the_part => Command::Ask { part },
            Command::Begin { .. } => Command::Read,
            Command::Cut | Command::Sum { .. } | Command::Finish => Command::Reread,
            again => again,
        })
    }
}

impl Model for Protocol {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        vec![State {
            owner: 0,
            record: Record { status: Status::Pending, token: 0 },
            parts: [None; PARTS],
            changes: [0; PARTS],
            runs: [Sender::Ready(Command::Fence), Sender::Idle],
            workers: [[Sender::Idle; PARTS]; RUNS],
            killed: [false; RUNS],
            known: [[false; PARTS]; RUNS],
            stray: [[None; PARTS + 1]; RUNS],
            fenced: 0,
            written_when_fenced: false,
        }]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        if state.owner == 0 {
            actions.push(Action::TakeOver);
        }
        for run in 0..RUNS {
            for worker in std::iter::once(None).chain((0..PARTS).map(Some)) {
                let from = (run, worker);
                let sender = worker.map_or(state.runs[run], |worker| state.workers[run][worker]);
                if matches!(sender, Sender::Ready(_)) && !state.killed[run] {
                    actions.extend([Action::Do(from), Action::LoseReply(from), Action::Lose(from)]);
                }
                if state.stray[run][worker.map_or(PARTS, |worker| worker)].is_some() {
                    actions.push(Action::ArriveLate(from));
                }
            }
        }
        // Only the first: a killed second run would leave nobody.
        if !state.killed[0] && !matches!(state.runs[0], Sender::Succeeded | Sender::Failed) {
            actions.push(Action::Kill(0));
        }
    }

    fn next_state(&self, before: &State, action: Action) -> Option<State> {
        let mut state = before.clone();
        match action {
            Action::TakeOver => {
                state.owner = 1;
                state.runs[1] = Sender::Ready(Command::Fence);
            }
            Action::Kill(run) => state.killed[run] = true,
            Action::Do(from) => {
                let Sender::Ready(command) = *state.sender(from) else { return None };
                let reply = self.execute(&mut state, from.0, command);
                self.next(&mut state, from, command, reply);
            }
            Action::LoseReply(from) => {
                let Sender::Ready(command) = *state.sender(from) else { return None };
                self.execute(&mut state, from.0, command);
                *state.sender(from) = self.after_error(command);
            }
            Action::Lose(from) => {
                let Sender::Ready(command) = *state.sender(from) else { return None };
                // What only reads can do no harm later.
                if !matches!(command, Command::Read | Command::Reread | Command::Ask { .. }) {
                    *state.stray(from) = Some(command);
                }
                *state.sender(from) = self.after_error(command);
            }
            Action::ArriveLate(from) => {
                let command = state.stray(from).take()?;
                self.execute(&mut state, from.0, command);
            }
        }
        Some(state)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always("a document of a part is changed exactly once", |_, state: &State| {
                let over = matches!(state.record.status, Status::Summed(_) | Status::Applied);
                (0..PARTS).all(|part| {
                    let done = over || state.parts[part].is_some_and(|own| own.done);
                    state.changes[part] == u8::from(done)
                })
            }),
            Property::always("the sum is what the parts did", |_, state: &State| {
                let counted = state.changes.iter().filter(|count| **count > 0).count();
                !matches!(state.record.status, Status::Summed(sum) if usize::from(sum) != counted)
            }),
            Property::always("success is reported only for what is done", |_, state: &State| {
                !state.runs.contains(&Sender::Succeeded)
                    || (state.record.status == Status::Applied && state.changes == [1; PARTS])
            }),
            Property::always("a run that was fenced writes nothing more", |_, state: &State| {
                !state.written_when_fenced
            }),
            Property::sometimes("a killed run's open part is done by the next", |_, state: &State| {
                state.killed[0] && state.runs[1] == Sender::Succeeded
            }),
            Property::sometimes("a part that was done before is not done again", |_, state: &State| {
                state.runs[1] == Sender::Idle && state.known[1] != [false; PARTS] && state.done() == 1
            }),
        ]
    }
}

#[test]
fn every_order_of_workers_keeps_the_promises() {
    RULES.checker().threads(2).spawn_bfs().join().assert_properties();
}

#[test]
fn without_the_token_in_its_filter_a_fenced_worker_writes() {
    broken(Protocol { token_in_filter: false, ..RULES }, "a run that was fenced writes nothing more");
}

#[test]
fn without_fencing_the_parts_a_fenced_worker_writes() {
    broken(Protocol { fences_parts: false, ..RULES }, "a run that was fenced writes nothing more");
}

#[test]
fn without_the_number_in_its_filter_a_part_is_done_twice() {
    broken(
        Protocol { number_in_filter: false, asks_the_part: false, ..RULES },
        "a document of a part is changed exactly once",
    );
}
