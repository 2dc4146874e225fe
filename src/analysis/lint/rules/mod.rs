//! The rules, by what they look at.

pub mod danger;
pub mod down;
pub mod hygiene;
pub mod order;
pub mod wider;

use std::collections::HashMap;

use super::file::File;
use super::filters::touched;
use crate::model::script::operation::Action;
use crate::run::report::Direction;

/// The operations of both scripts of one file, by collection.
///
/// Names that the up script's renames lead from one to another are taken for the same collection.
pub struct Scripts<'a> {
    /// A name that stands for all of a renamed collection's.
    names: HashMap<&'a str, &'a str>,
    up: HashMap<&'a str, Vec<RuleStep<'a>>>,
    down: HashMap<&'a str, Vec<RuleStep<'a>>>,
}

/// One operation of a script.
pub struct RuleStep<'a> {
    /// Its index.
    pub at: usize,
    /// What it does.
    pub action: &'a Action,
    /// The fields that it changes, if it is an update whose text tells.
    pub touched: Option<Vec<String>>,
}

impl<'a> Scripts<'a> {
    /// Those of the file.
    pub fn of(file: &'a File) -> Self {
        let mut names: HashMap<&str, &str> = HashMap::new();
        for (_, operation) in file.operations(Direction::Up) {
            let Action::RenameCollection { to } = &operation.action else { continue };
            let (from, to) = (operation.collection.as_str(), to.as_str());
            let kept = *names.entry(from).or_insert(from);
            if let Some(joined) = names.insert(to, kept).filter(|other| *other != kept) {
                names.values_mut().filter(|name| **name == joined).for_each(|name| *name = kept);
            }
        }
        let by_collection = |direction| {
            let mut found: HashMap<&str, Vec<RuleStep>> = HashMap::new();
            for (at, operation) in file.operations(direction) {
                let collection = operation.collection.as_str();
                let name = names.get(collection).copied().unwrap_or(collection);
                let touched = match &operation.action {
                    Action::UpdateDocuments(update) => touched(&update.update),
                    _ => None,
                };
                found.entry(name).or_default().push(RuleStep { at, action: &operation.action, touched });
            }
            found
        };
        let (up, down) = (by_collection(Direction::Up), by_collection(Direction::Down));
        Self { names, up, down }
    }

    /// What a script does to the collection, in order.
    pub fn on(&self, direction: Direction, collection: &str) -> impl Iterator<Item = &RuleStep<'a>> {
        let script = match direction {
            Direction::Up => &self.up,
            Direction::Down => &self.down,
        };
        let name = self.names.get(collection).copied().unwrap_or(collection);
        script.get(name).into_iter().flatten()
    }

    /// Whether the up script does something to the collection for which `holds`.
    pub fn up_has(&self, collection: &str, holds: impl Fn(&Action) -> bool) -> bool {
        self.on(Direction::Up, collection).any(|step| holds(step.action))
    }

    /// Whether the down script does.
    pub fn down_has(&self, collection: &str, holds: impl Fn(&Action) -> bool) -> bool {
        self.on(Direction::Down, collection).any(|step| holds(step.action))
    }
}
