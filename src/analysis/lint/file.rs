//! One file as `lint` sees it: what of it can be read.

use super::positions::Positions;
use crate::model::script::Operation;
use crate::model::script::allow::Allowance;
use crate::run::report::Direction;

/// A file, as far as it can be read.
#[derive(Debug, Default)]
pub struct File {
    /// Its path, as it was named.
    pub shown: String,
    /// The migration's id and number, where the file's name has them.
    pub id: Option<String>,
    /// The number's digits.
    pub number: Option<String>,
    /// The migration's name.
    pub name: Option<String>,
    /// The up script.
    pub up: Vec<FileOperation>,
    /// The down script, where there is one.
    pub down: Option<Vec<FileOperation>>,
    /// The collections that `checks`.`before` looks at.
    pub checked_before: Vec<String>,
    /// What the whole file allows.
    pub allow: Vec<Allowance>,
    /// Where everything stands.
    pub positions: Positions,
    /// Whether `apply` would read it.
    pub whole: bool,
    /// Whether it says that it is meant to do nothing.
    pub empty: bool,
}

/// One operation of a script, as far as it can be read.
#[derive(Debug)]
pub struct FileOperation {
    /// The operation, if the reader takes it.
    pub operation: Option<Operation>,
    /// What it allows.
    pub allow: Vec<Allowance>,
}

impl File {
    /// The operations of one direction; none where there is no such script.
    pub fn script(&self, direction: Direction) -> &[FileOperation] {
        match direction {
            Direction::Up => &self.up,
            Direction::Down => self.down.as_deref().unwrap_or_default(),
        }
    }

    /// The operations of one direction that can be read, with their indexes.
    pub fn operations(&self, direction: Direction) -> impl Iterator<Item = (usize, &Operation)> {
        self.script(direction).iter().enumerate().filter_map(|(at, part)| Some((at, part.operation.as_ref()?)))
    }
}
