//! The protocols that the guarantees rest on, checked exhaustively: every order in which two runs, the server, the
//! network and the clock can act. The properties are the sentences of `docs/explanation/guarantees.md`.
//!
//! The models are small on purpose: two runs, two chunks, a clock of a few ticks. What they leave out (several migrations, several
//! collections of one kind) repeats what is in them. Each model is also checked with one of its rules taken away: the checker
//! must then find a counterexample, or the rule, or the model, is worth nothing.

#[cfg(test)]
mod parts;
#[cfg(test)]
mod restore;
#[cfg(test)]
mod runs;

/// Checks that the property is broken once a rule is gone.
#[cfg(test)]
fn broken<M>(protocol: M, property: &'static str)
where
    M: stateright::Model + Send + Sync + 'static,
    M::State: Clone + std::fmt::Debug + PartialEq + std::hash::Hash + Send + Sync + 'static,
    M::Action: Clone + std::fmt::Debug + PartialEq,
{
    use stateright::{Checker, HasDiscoveries};

    let found = HasDiscoveries::AllOf([property].into());
    let checker = protocol.checker().threads(2).finish_when(found).spawn_bfs().join();
    assert!(checker.discovery(property).is_some(), "nothing broke: {property}");
}
