//! A script to run.

use super::progress::Progress;
use crate::script::Script;

/// A script to run, with everything the ledger is to know.
#[derive(Debug, Clone)]
#[allow(missing_docs)]
pub struct Step {
    pub id: String,
    pub name: String,
    pub description: String,
    /// What to run.
    pub script: Script,
    /// The scripts as the ledger keeps them.
    pub up_text: String,
    pub down_text: Option<String>,
    pub checksum: Option<String>,
    /// Where the script comes from, for messages.
    pub origin: String,
    /// How far an earlier run came.
    pub resume: Option<Progress>,
}
