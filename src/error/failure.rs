//! What is known of a failure, as fields for programs and as sentences for people.

use serde::Serialize;

use super::codes;
use crate::sentence::sentence;

/// A backup that was not found: where it was looked for, and what there is.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct MissingBackup {
    /// The name asked for.
    pub name: String,
    /// Where it was looked for.
    pub looked_in: Vec<String>,
    /// The newest names there are, newest first.
    pub newest: Vec<String>,
}

impl MissingBackup {
    /// All of it, as one text.
    pub fn message(&self) -> String {
        self.parts().join(" ")
    }

    /// What is missing, where it was looked for, and what there is.
    pub fn parts(&self) -> Vec<String> {
        let there = match self.newest.as_slice() {
            [] => "There are no backups there.".to_owned(),
            names => format!("The newest there: {}.", names.join(", ")),
        };
        vec![
            format!("There is no backup {:?}.", self.name),
            format!("Looked in {}.", self.looked_in.join(" and in ")),
            there,
        ]
    }
}

/// A failed operation: which, why, what is done so far, and what to do next.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct OperationFailure {
    /// The migration's id.
    pub migration: String,
    /// Where its script comes from: a file's path or the database.
    pub source: String,
    /// `up` or `down`.
    pub direction: String,
    /// Number of the operation, from 1.
    pub index: usize,
    /// How many the script has.
    pub operations: usize,
    /// The operation's type.
    pub kind: String,
    /// The collection it works on.
    pub collection: String,
    /// What the server, or the engine, said.
    pub cause: String,
    /// The server's error code.
    pub code: Option<i32>,
    /// The operations of this script that are done, as sentences.
    pub done: String,
    /// What to do next.
    pub remedy: String,
}

impl OperationFailure {
    /// All of it, as one text.
    pub fn message(&self) -> String {
        self.parts().join(" ")
    }

    /// What failed, what is done so far, and what to do next.
    pub fn parts(&self) -> Vec<String> {
        let failed = format!(
            "{}: operation {} of {} ({} on {:?}, {} script) failed: {}",
            self.source, self.index, self.operations, self.kind, self.collection, self.direction, self.cause,
        );
        vec![sentence(failed), self.done.clone(), self.remedy.clone()]
    }
}

/// When something was found that does not hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum When {
    /// A check before the migration.
    Before,
    /// A check after it.
    After,
    /// The verification of what its schema operations ask for.
    EndState,
}

impl When {
    /// As reports and records spell it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Before => "before",
            Self::After => "after",
            Self::EndState => "end_state",
        }
    }
}

/// Checks that do not hold: which, what was found, and what to do next.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CheckFailure {
    /// The migration's id.
    pub migration: String,
    /// Where its script comes from: a file's path or the database.
    pub source: String,
    /// When it was found.
    pub when: When,
    /// What does not hold, each a part of a sentence.
    pub failed: Vec<String>,
}

impl CheckFailure {
    /// All of it, as one text.
    pub fn message(&self) -> String {
        self.parts().join(" ")
    }

    /// What does not hold, what is done so far, and what to do next.
    pub fn parts(&self) -> Vec<String> {
        let undo = format!("`rollback {}` undoes exactly what it did.", self.migration);
        let (place, done, remedies) = match self.when {
            When::Before => (
                "before the migration",
                "Nothing was done.",
                vec!["Mend what the check is about or correct the check in the file, then apply again.".to_owned()],
            ),
            When::After => (
                "after the migration",
                "All its operations are done, and the migration is marked failed.",
                vec!["Mend what the check is about and apply again, which only checks again.".to_owned(), undo],
            ),
            When::EndState => (
                "the end state that its operations ask for is not there",
                "All its operations are done, so somebody has changed this since; the migration is marked failed.",
                vec!["Put it right and apply again, which only looks again.".to_owned(), undo],
            ),
        };
        let failed = sentence(format!("{}: {place}: {}", self.source, self.failed.join("; ")));
        [vec![failed, done.to_owned()], remedies].concat()
    }
}

/// What to do about a server error of an operation.
pub fn remedy(code: Option<i32>, kind: &str) -> &'static str {
    match code {
        Some(codes::DUPLICATE_KEY) if kind == "create_index" => {
            "Make the values unique (the message names one), then run the same command again."
        }
        Some(codes::DUPLICATE_KEY) => {
            "Remove or change the document that has this key, or the operation that would make it twice, then run the same command again."
        }
        Some(codes::DOCUMENT_VALIDATION_FAILURE) => {
            "Change the operation so that its result meets the collection's validator, or set bypass_document_validation, then run the same command again."
        }
        Some(codes::INDEX_OPTIONS_CONFLICT | codes::INDEX_KEY_SPECS_CONFLICT) => {
            "Drop the existing index first (drop_index), or ask for the one that exists."
        }
        Some(codes::WRITE_CONFLICT) => {
            "Another client keeps the document in an open transaction. Find it with db.currentOp() and end it, then run the same command again."
        }
        Some(codes::NAMESPACE_NOT_FOUND) => "Create the collection first (create_collection).",
        Some(codes::NAMESPACE_EXISTS) => "Drop or rename the one that exists, or choose another name.",
        Some(codes::UNAUTHORIZED) => {
            "Grant the user of MONGO_URI the rights that the documentation lists for the operation, then run the same command again."
        }
        Some(codes::CANNOT_CREATE_INDEX) => {
            "Correct the index's keys or options in the file, then run the same command again."
        }
        _ => "Remove the cause, then run the same command again. It carries on at this operation.",
    }
}
