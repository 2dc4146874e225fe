//! The codes of findings. Each is explained, with an example, in `docs/reference/lint.md`; a test holds the two together.

use serde::Serialize;

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// `apply` refuses the file.
    Error,
    /// It may lose data, or do something else than its author meant.
    Warning,
    /// It could be better.
    Advice,
}

/// What a finding is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Code {
    /// As in `EM303`.
    pub code: &'static str,
    /// A short name, as in `no-filter`.
    pub name: &'static str,
    /// How bad it is.
    pub level: Severity,
    /// What to do about it.
    pub remedy: &'static str,
}

macro_rules! codes {
    ($($ident:ident = $code:literal, $name:literal, $level:ident, $remedy:literal;)*) => {
        $(#[doc = $name] pub const $ident: Code =
            Code { code: $code, name: $name, level: Severity::$level, remedy: $remedy };)*
        /// All of them.
        pub const ALL: &[Code] = &[$($ident),*];
    };
}

codes! {
    UNREADABLE = "EM101", "unreadable-file", Error,
        "Correct the file where the message points; a migration is one JSON object in UTF-8.";
    MISSING_FIELD = "EM102", "missing-field", Error, "Add the field.";
    UNKNOWN_NAME = "EM103", "unknown-name", Error, "Correct the spelling, or take it out.";
    INVALID_VALUE = "EM104", "invalid-value", Error, "Correct the value as the message says.";
    DUPLICATE_NUMBER = "EM105", "duplicate-number", Error, "Rename one of the files, so that their order is plain.";
    MISNAMED_FILE = "EM106", "misnamed-file", Warning,
        "Name it migration_<number>_<name>.json, or move it out of the migrations directory.";

    MISSING_DOWN = "EM201", "missing-down", Warning,
        "Write a down script, or say under \"allow\" why there is none; `rollback --exact` works without.";
    INCOMPLETE_DOWN = "EM202", "incomplete-down", Warning, "Add the operation that takes it back to the down script.";
    DOWN_ORDER = "EM203", "down-order", Warning,
        "Undo in reverse order: what the up script did last comes first in the down script.";
    DOWN_WIDER = "EM204", "down-wider", Warning,
        "Let the up script set a field that marks what it changed and filter by that, or roll back with `--exact`.";
    LOSSY_DOWN = "EM205", "lossy-down", Warning,
        "Roll back with `--exact`, which brings the documents back, and say so under \"allow\".";
    DELETE_BY_FILTER = "EM206", "delete-by-filter", Advice,
        "Give the inserted documents an \"_id\" each, and delete by those.";

    CAPTURE_OFF = "EM301", "capture-off", Warning,
        "Take \"capture\": false out, or say under \"allow\" why this need not come back.";
    SERVER_CODE = "EM302", "server-side-code", Warning,
        "Write it with query operators and $expr: JavaScript is slow, and servers may have it turned off.";
    NO_FILTER = "EM303", "no-filter", Warning,
        "Filter for the documents that need it, or say under \"allow\" that all of them are meant.";
    UNCHECKED_UNIQUE = "EM304", "unchecked-unique-index", Warning,
        "Add a check of the collection to \"checks\".\"before\", so that duplicates stop the migration before it begins.";
    USED_BEFORE_CREATED = "EM305", "used-before-created", Warning, "Create the collection first.";
    USED_AFTER_DROP = "EM306", "used-after-drop", Warning, "Do this before the collection goes, or not at all.";
    REFUSED = "EM307", "refused-by-server", Warning, "Correct it: the server refuses it with any data.";
    EXPIRES = "EM308", "deletes-by-expiry", Warning,
        "Look with `plan` how many documents expire at once, take a backup, and say under \"allow\" that they may go.";

    EMPTY_NAME = "EM401", "name-says-nothing", Advice, "Name what it does, as in add_user_preferences.";
    EMPTY_MIGRATION = "EM402", "empty-migration", Advice,
        "Write its operations: `apply` refuses a file as `create` left it, unless it says \"empty\": true.";
    DUPLICATE_NAME = "EM403", "duplicate-name", Warning,
        "Rename one of them: `apply NAME` and `rollback NAME` cannot distinguish them.";
    LISTING_ORDER = "EM404", "listing-order", Advice, "Give the numbers the same number of digits, as `create` does.";
    UNUSED_ALLOWANCE = "EM405", "unused-allow", Advice, "Take it out.";
    UNKNOWN_ALLOWANCE = "EM406", "unknown-allow", Warning,
        "Use a code that `lint` reports; errors, EM405 and EM406 cannot be allowed.";
}

impl Code {
    /// Whether an `allow` may silence it: an error stays one, because `apply` refuses the file anyway.
    pub fn can_be_allowed(&self) -> bool {
        self.level != Severity::Error && *self != UNUSED_ALLOWANCE && *self != UNKNOWN_ALLOWANCE
    }
}
