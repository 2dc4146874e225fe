//! What is known of a failure, as fields for programs and as sentences for people.

use serde::Serialize;

use super::server::codes;

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
    /// All of it as sentences.
    pub fn sentence(&self) -> String {
        let there = match self.newest.as_slice() {
            [] => "There are no backups there.".to_owned(),
            names => format!("The newest there: {}.", names.join(", ")),
        };
        format!("There is no backup {:?}. Looked in {}. {there}", self.name, self.looked_in.join(" and in "))
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
    /// What of this script stands in the database.
    pub done: String,
    /// What to do next.
    pub remedy: String,
}

impl OperationFailure {
    /// All of it as sentences.
    pub fn sentence(&self) -> String {
        format!(
            "{}: operation {} of {} ({} on {:?}, {} script) failed: {}. {} {}",
            self.source,
            self.index,
            self.operations,
            self.kind,
            self.collection,
            self.direction,
            self.cause.trim_end_matches('.'),
            self.done,
            self.remedy
        )
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
    /// All of it as sentences.
    pub fn sentence(&self) -> String {
        let (place, remedy) = match self.when {
            When::Before => (
                "before the migration".to_owned(),
                "Nothing was done. Mend what the check is about, or correct the check in the file; then apply again."
                    .to_owned(),
            ),
            When::After => (
                "after the migration".to_owned(),
                format!(
                    "All its operations are done and the migration is marked failed. `rollback {}` undoes exactly what it did; or mend \
                     what the check is about and apply again, which only checks again.",
                    self.migration
                ),
            ),
            When::EndState => (
                "the end state that its operations ask for does not stand".to_owned(),
                format!(
                    "All its operations are done, so somebody has changed this meanwhile; the migration is marked failed. Put it right and \
                     apply again, which only looks again; or `rollback {}` undoes exactly what the migration did.",
                    self.migration
                ),
            ),
        };
        format!("{}: {place}: {}. {remedy}", self.source, self.failed.join("; "))
    }
}

/// What to do about a server error of an operation.
pub fn remedy(code: Option<i32>, kind: &str) -> &'static str {
    match code {
        Some(codes::DUPLICATE_KEY) if kind == "create_index" => {
            "Make the values unique (the message names one), then apply again."
        }
        Some(codes::DUPLICATE_KEY) => {
            "Remove or change the document that has this key, or the operation that would make it twice, then apply again."
        }
        Some(codes::DOCUMENT_VALIDATION_FAILURE) => {
            "Change the operation so that its result meets the collection's validator, or set bypass_document_validation, then apply again."
        }
        Some(codes::INDEX_OPTIONS_CONFLICT | codes::INDEX_KEY_SPECS_CONFLICT) => {
            "Drop the standing index first (drop_index), or ask for the one that stands."
        }
        Some(codes::WRITE_CONFLICT) => {
            "Another client keeps the document in an open transaction; find it with db.currentOp() and end it, then apply again."
        }
        Some(codes::NAMESPACE_NOT_FOUND) => "Create the collection first (create_collection).",
        Some(codes::NAMESPACE_EXISTS) => "Drop or rename the one that stands, or choose another name.",
        Some(codes::UNAUTHORIZED) => {
            "Grant the user of MONGO_URI the rights that the documentation lists for the operation, then apply again."
        }
        Some(codes::CANNOT_CREATE_INDEX) => "Correct the index's keys or options in the file, then apply again.",
        _ => "Mend the cause, then run the same command again: it carries on at this operation.",
    }
}
