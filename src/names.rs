//! The names of the tool's own collections in a database.
//!
//! The ledger's name comes from `--ledger`. Every other collection of the tool has that name and a suffix, so that two
//! ledgers in one database never meet.

use std::sync::Arc;

use crate::error::{Error, Result};

/// The ledger's name unless another is given.
pub const DEFAULT_LEDGER: &str = "migrations";
/// Where the history of the default ledger was kept before it had a name of its own. Beanie uses that name, too.
const FORMER_HISTORY: &str = "migrations_log";
/// The longest name of a ledger, in bytes. The longest suffix and the longest name of a database still fit beside it
/// into the 255 bytes that the server allows.
const LONGEST: usize = 100;
/// What follows the ledger's name in the names of the other collections.
const SUFFIXES: [&str; 6] = [LOCK, HISTORY, "_log", CAPTURES, STASH, JOURNAL];

const LOCK: &str = "_lock";
const HISTORY: &str = "_history";
/// What the name of a collection that belongs to the captures of one operation ends with, besides the one of its whole documents.
const PARTS: [&str; 3] = [COPIES, LEFT, ORIGINALS];
/// Copies of documents that an update is tried on, where there are no transactions.
pub const COPIES: &str = "copies";
/// What an exact rollback could not bring back.
pub const LEFT: &str = "left";
/// Originals that copies were made of.
pub const ORIGINALS: &str = "originals";
const CAPTURES: &str = "_undo";
const STASH: &str = "_kept";
const JOURNAL: &str = "_restore";

/// Where the old tool left them.
pub const OLD_BACKUPS: &str = "backups";

/// What the old tool kept of an assessment migration.
pub const OLD_ASSESSMENT_BACKUP: &str = "assessment_backup";

/// What kind of collection of ours a name can be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form<'a> {
    /// The lock, or the collection that lists captures or the steps of a restore: one of each.
    Fixed,
    /// Something that the run with these captures captured.
    OfCapture(&'a str),
    /// Something that the restore of this run builds.
    OfRestore(&'a str),
}

/// The names of one ledger's collections.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Names {
    ledger: Arc<str>,
}

impl Default for Names {
    fn default() -> Self {
        Self { ledger: DEFAULT_LEDGER.into() }
    }
}

impl Names {
    /// The names of the ledger `ledger`.
    ///
    /// # Errors
    /// [`Error::Settings`] for what cannot be the name of a ledger.
    pub fn new(ledger: &str) -> Result<Self> {
        let plain = ledger.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte));
        let begins = ledger.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_');
        let taken = SUFFIXES.iter().any(|suffix| ledger.ends_with(suffix)) || ledger.starts_with("system.");
        let problem = if !plain || !begins || ledger.ends_with('.') {
            "it must begin with a letter or _ and hold only letters, digits, _ - and dots, without a dot at the end"
        } else if ledger.len() > LONGEST {
            "it must have at most 100 characters"
        } else if taken {
            "collections of this tool and of the server have such names"
        } else {
            return Ok(Self { ledger: ledger.into() });
        };
        Err(Error::Settings(format!("{ledger:?} cannot be the name of a ledger (--ledger): {problem}.")))
    }

    /// The records of migrations.
    pub fn ledger(&self) -> &str {
        &self.ledger
    }

    /// The lease.
    pub fn lock(&self) -> String {
        self.with(LOCK)
    }

    /// The history.
    pub fn history(&self) -> String {
        self.with(HISTORY)
    }

    /// Where entries of the history may still be that an earlier version wrote.
    pub fn former_history(&self) -> Option<&'static str> {
        (*self.ledger == *DEFAULT_LEDGER).then_some(FORMER_HISTORY)
    }

    /// The headers and entries of captures; the names of the collections that hold what was captured begin with it.
    pub fn captures(&self) -> String {
        self.with(CAPTURES)
    }

    /// What the names of collections set aside begin with.
    pub fn kept(&self) -> String {
        format!("{}{STASH}_", self.ledger)
    }

    /// The journal of a restore.
    pub fn restore_journal(&self) -> String {
        self.with(JOURNAL)
    }

    /// What the temporary collections of restores begin with.
    pub fn temporary(&self) -> String {
        format!("{}{JOURNAL}_", self.ledger)
    }

    /// Whether a collection has one of these names.
    pub fn owns(&self, collection: &str) -> bool {
        collection == self.ledger()
            || collection == self.history()
            || self.former_history() == Some(collection)
            || self.form(collection).is_some()
    }

    /// What the collection can be, by the exact form of its name.
    pub fn form<'a>(&self, collection: &'a str) -> Option<Form<'a>> {
        let rest = collection.strip_prefix(&*self.ledger)?;
        if [LOCK, CAPTURES, JOURNAL].contains(&rest) {
            return Some(Form::Fixed);
        }
        let of = |suffix: &str| rest.strip_prefix(suffix)?.strip_prefix('_').and_then(run_and_rest);
        if let Some((run, parts)) = of(CAPTURES) {
            let parts = parts.as_slice();
            let packs = matches!(parts, [] | ["edits"]);
            let of_operation = match parts {
                [n] => number(n),
                [n, part] => number(n) && PARTS.contains(part),
                _ => false,
            };
            return (packs || of_operation).then_some(Form::OfCapture(run));
        }
        if let Some((run, parts)) = of(STASH) {
            return matches!(parts.as_slice(), [n] if number(n)).then_some(Form::OfCapture(run));
        }
        let (run, parts) = of(JOURNAL)?;
        let built = matches!(parts.as_slice(), [n, attempt] if number(n) && number(attempt));
        (built || parts == ["aside"]).then_some(Form::OfRestore(run))
    }

    /// Whether the name begins like those of captures and of what restores build.
    pub fn begins_like_ours(&self, collection: &str) -> bool {
        let rest = collection.strip_prefix(&*self.ledger).unwrap_or_default();
        [CAPTURES, STASH, JOURNAL]
            .iter()
            .any(|suffix| rest.strip_prefix(suffix).is_some_and(|rest| rest.starts_with('_')))
    }

    fn with(&self, suffix: &str) -> String {
        format!("{}{suffix}", self.ledger)
    }
}

/// A run's identifier and what follows it.
fn run_and_rest(text: &str) -> Option<(&str, Vec<&str>)> {
    let mut parts = text.split('_');
    let run = parts
        .next()
        .filter(|run| run.len() == 24 && run.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b)))?;
    Some((run, parts.collect()))
}

fn number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_cannot_be_a_ledgers() {
        let long = "n".repeat(101);
        for name in
            ["", "a$b", "1a", ".a", "a.", "a b", "é", "system.x", "x_lock", "x_undo", "migrations_log", "a\0", &long]
        {
            let message = Names::new(name).expect_err(name).to_string();
            assert!(message.contains("--ledger"), "{message}");
        }
        for name in ["migrations", "schema_migrations", "_m", "team.migrations", "a-b", "N1", &long[1..]] {
            assert_eq!(Names::new(name).expect("a name").ledger(), name);
        }
    }

    #[test]
    fn every_name_begins_with_the_ledgers() {
        let names = Names::new("audit").expect("a name");
        assert_eq!(names.lock(), "audit_lock");
        assert_eq!(names.history(), "audit_history");
        assert_eq!(names.captures(), "audit_undo");
        assert_eq!(names.kept(), "audit_kept_");
        assert_eq!(names.restore_journal(), "audit_restore");
        assert_eq!(names.temporary(), "audit_restore_");
        assert_eq!(names.former_history(), None);
        assert_eq!(Names::default().former_history(), Some("migrations_log"));
        for own in [
            "audit",
            "audit_lock",
            "audit_undo",
            "audit_undo_R",
            "audit_undo_R_edits",
            "audit_undo_R_1",
            "audit_undo_R_1_copies",
            "audit_undo_R_1_left",
            "audit_undo_R_1_originals",
            "audit_kept_R_1",
            "audit_restore_R_3_1",
        ] {
            let own = own.replace('R', "0123456789abcdef01234567");
            assert!(names.owns(&own), "{own}");
        }
        for other in ["auditors", "audit_trail", "audit_undone", "audit_undo_65_1", "migrations", "users", "audit_log"]
        {
            assert!(!names.owns(other), "{other}");
        }
    }
}
