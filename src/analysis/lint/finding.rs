//! A finding, and the list that a file's findings are collected in.

use serde::Serialize;

use super::codes::{Code, Severity, UNKNOWN_ALLOWANCE, UNUSED_ALLOWANCE};
use super::file::{File, FileOperation};
use super::positions::TextPosition;
use crate::model::script::allow::Allowance;
use crate::run::report::Direction;

/// Something about a file that its author should know.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The file, as it was named.
    pub file: String,
    /// The migration's id, where the file's name has one.
    pub migration: Option<String>,
    /// The operation, as in `up 2`.
    pub operation: Option<String>,
    /// The line, from 1.
    pub line: i64,
    /// The column in characters, from 1.
    pub column: i64,
    /// As in `EM303`; see `docs/reference/lint.md`.
    pub code: String,
    /// The code's short name.
    pub name: String,
    /// How bad it is.
    pub level: Severity,
    /// What was found.
    pub message: String,
    /// What to do about it.
    pub remedy: String,
}

/// Where in a file something was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FindingPlace<'a> {
    /// A field of the file, as in `/name`; the file itself without one.
    Field(&'a str),
    /// An operation, or a field of it, as in `/filter`.
    Operation(Direction, usize, &'a str),
    /// Known from elsewhere.
    At(TextPosition),
}

/// The findings of one file that nothing allows.
#[derive(Debug, Default)]
pub struct Findings {
    /// Them.
    pub found: Vec<Finding>,
    used: Vec<(Option<(Direction, usize)>, &'static str)>,
}

impl Findings {
    /// Adds one, unless its operation or the file allows it.
    pub fn add(&mut self, file: &File, code: Code, place: FindingPlace, message: impl Into<String>) {
        let operation = match place {
            FindingPlace::Operation(direction, at, _) => Some((direction, at)),
            _ => None,
        };
        if code.can_be_allowed() {
            let holds = |allowed: &[Allowance]| allowed.iter().any(|each| each.code == code.code);
            let allows =
                |(direction, at)| file.script(direction).get(at).is_some_and(|it: &FileOperation| holds(&it.allow));
            if operation.is_some_and(allows) {
                self.used.push((operation, code.code));
                return;
            }
            if holds(&file.allow) {
                self.used.push((None, code.code));
                return;
            }
        }
        self.push(file, code, place, message.into());
    }

    fn push(&mut self, file: &File, code: Code, place: FindingPlace, message: String) {
        let (operation, position) = match place {
            FindingPlace::Field(field) => (None, file.positions.at(field)),
            FindingPlace::Operation(direction, at, field) => {
                let path = format!("/{}/operations/{at}{field}", direction.as_str());
                (Some(format!("{} {}", direction.as_str(), at + 1)), file.positions.at(&path))
            }
            FindingPlace::At(position) => (None, Some(position)),
        };
        let position = position.unwrap_or(TextPosition { line: 1, column: 1 });
        let number = |n: usize| i64::try_from(n).unwrap_or(i64::MAX);
        self.found.push(Finding {
            file: file.shown.clone(),
            migration: file.id.clone(),
            operation,
            line: number(position.line),
            column: number(position.column),
            code: code.code.to_owned(),
            name: code.name.to_owned(),
            level: code.level,
            message,
            remedy: code.remedy.to_owned(),
        });
    }

    /// Adds what is to be said about the file's `allow` fields, and puts all in the order of the text.
    pub fn finish(mut self, file: &File) -> Vec<Finding> {
        let mut of_file = vec![(None, &file.allow)];
        for direction in [Direction::Up, Direction::Down] {
            let operations = file.script(direction).iter().enumerate();
            of_file.extend(operations.map(|(at, it)| (Some((direction, at)), &it.allow)));
        }
        for (operation, allowances) in of_file {
            for each in allowances {
                let path = format!("/allow/{}", each.code);
                let place = match operation {
                    Some((direction, at)) => FindingPlace::Operation(direction, at, &path),
                    None => FindingPlace::Field(&path),
                };
                let code = super::codes::ALL.iter().find(|code| code.code == each.code);
                match code {
                    None => self.push(file, UNKNOWN_ALLOWANCE, place, format!("there is no code {:?}.", each.code)),
                    Some(code) if !code.can_be_allowed() => {
                        let message = format!("{} ({}) cannot be allowed.", code.code, code.name);
                        self.push(file, UNKNOWN_ALLOWANCE, place, message);
                    }
                    // What a broken file would be told of once it is read cannot be known.
                    Some(code) if file.whole && !self.used.contains(&(operation, code.code)) => {
                        let message = format!("nothing here is {} ({}).", code.code, code.name);
                        self.push(file, UNUSED_ALLOWANCE, place, message);
                    }
                    Some(_) => {}
                }
            }
        }
        self.found.sort_by(|a, b| (a.line, a.column, &a.code).cmp(&(b.line, b.column, &b.code)));
        self.found
    }
}
