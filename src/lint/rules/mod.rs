//! The rules, by what they look at.

pub mod danger;
pub mod down;
pub mod hygiene;
pub mod order;
pub mod wider;

use std::collections::HashMap;

use super::file::File;
use crate::run::report::Direction;
use crate::script::Operation;
use crate::script::operation::Action;

/// The names that stand for the same collection in a migration that renames it.
pub struct Aliases<'a> {
    /// Names with one number may be one collection.
    groups: HashMap<&'a str, usize>,
}

impl<'a> Aliases<'a> {
    /// Those that the file's up script makes.
    pub fn of(file: &'a File) -> Self {
        let mut groups = HashMap::new();
        for (at, operation) in file.operations(Direction::Up) {
            let Action::RenameCollection { to } = &operation.action else { continue };
            let (from, to) = (operation.collection.as_str(), to.as_str());
            let kept = *groups.entry(from).or_insert(at);
            if let Some(joined) = groups.insert(to, kept).filter(|other| *other != kept) {
                groups.values_mut().filter(|group| **group == joined).for_each(|group| *group = kept);
            }
        }
        Self { groups }
    }

    /// Whether both names may be one collection.
    pub fn same(&self, a: &str, b: &str) -> bool {
        a == b || (!self.groups.is_empty() && self.groups.get(a).is_some_and(|group| self.groups.get(b) == Some(group)))
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
