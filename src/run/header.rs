//! The description of a running migration that the ledger and the registry of captures store.

use bson::Document;

use crate::model::script::checks::Checks;

/// A migration as the ledger is to keep it.
#[derive(Debug, Clone, Copy)]
#[allow(missing_docs)] // the fields of a record
pub struct MigrationHeader<'a> {
    pub id: &'a str,
    pub name: &'a str,
    pub description: &'a str,
    pub up_text: &'a str,
    pub down_text: Option<&'a str>,
    pub checksum: Option<&'a str>,
    pub checks: &'a Checks,
    /// Whether the run undoes captures.
    pub exact: bool,
    /// Whether an earlier run began it.
    pub resumed: bool,
    /// What the record was when this was planned; `None` where there was none.
    pub seen: Option<&'a Document>,
    /// What the record keeps beside, where this is the unification of the assessment model.
    pub assessment: Option<&'a Document>,
}
