//! The operations of a script, carried out. One file per group; each follows the journal's protocol, so
//! that a run finds out what a killed one has done.

pub mod announce;
pub mod apart;
pub mod collections;
pub mod culprit;
pub mod documents;
pub mod error;
pub mod in_one_go;
pub mod indexes;
pub mod inserts;
pub mod position;
pub mod schema;
pub mod statements;
mod write_command;

use self::error::OperationError;
use self::position::capture_key;
use crate::model::script::Operation;
use crate::model::script::operation::Action;
use crate::run::handle::Run;
use crate::run::journal::Journal;
use crate::run::progress::OperationIndex;

/// Carries out one operation, from where the journal says.
///
/// # Errors
/// [`OperationError`].
pub async fn execute(
    run: &mut Run,
    journal: &mut Journal,
    operation: &Operation,
    place: OperationIndex,
) -> Result<(), OperationError> {
    match &operation.action {
        Action::UpdateDocuments(update) => documents::update(run, journal, operation, update, place).await,
        Action::InsertDocuments(insert) => inserts::insert(run, journal, operation, insert, place).await,
        Action::DeleteDocuments(delete) => documents::delete(run, journal, operation, delete, place).await,
        _ => {
            let capture_key = capture_key(journal, operation, place);
            let change = schema::SchemaChange::Operation(operation);
            schema::change(run, journal, &change, &operation.fingerprint, capture_key, place).await
        }
    }
}
