//! The rules, by what they look at.

pub mod danger;
pub mod down;
pub mod hygiene;
pub mod order;
pub mod wider;

use std::collections::HashSet;

use super::file::File;
use crate::run::report::Direction;
use crate::script::Operation;
use crate::script::operation::Action;

/// The names that stand for the same collection in a migration that renames it.
pub struct Aliases<'a> {
    pairs: Vec<(&'a str, &'a str)>,
}

impl<'a> Aliases<'a> {
    /// Those that the file's up script makes.
    pub fn of(file: &'a File) -> Self {
        let pairs = file.operations(Direction::Up).filter_map(|(_, operation)| match &operation.action {
            Action::RenameCollection { to } => Some((operation.collection.as_str(), to.as_str())),
            _ => None,
        });
        Self { pairs: pairs.collect() }
    }

    /// Whether both names may be one collection.
    pub fn same(&self, a: &str, b: &str) -> bool {
        if a == b {
            return true;
        }
        let (mut reached, mut next) = (HashSet::from([a]), vec![a]);
        while let Some(name) = next.pop() {
            for (from, to) in &self.pairs {
                let other = if *from == name {
                    *to
                } else if *to == name {
                    *from
                } else {
                    continue;
                };
                if other == b {
                    return true;
                }
                if reached.insert(other) {
                    next.push(other);
                }
            }
        }
        false
    }

    /// Whether the up script has an operation on that collection for which `holds`.
    pub fn any(&self, operations: &[&Operation], collection: &str, holds: impl Fn(&Action) -> bool) -> bool {
        operations.iter().any(|it| self.same(&it.collection, collection) && holds(&it.action))
    }
}

/// The operations of one direction that can be read.
pub fn all(file: &File, direction: Direction) -> Vec<&Operation> {
    file.operations(direction).map(|(_, operation)| operation).collect()
}
