//! The engine's errors as Python exceptions: one base, one class per thing a caller would treat
//! differently. This is the only place that makes one of the other.

use pyo3::create_exception;
use pyo3::exceptions::PyException;
use pyo3::prelude::*;
use pyo3::types::PyType;
use serde::Serialize;

use super::convert::to_python;
use crate::error::{Error, Failed};

create_exception!(edulearn_migrate, MigrateError, PyException, "Base of every error of this package.");
create_exception!(edulearn_migrate, SettingsError, MigrateError, "A setting or argument that cannot be used.");
create_exception!(
    edulearn_migrate,
    InvalidMigrationError,
    MigrateError,
    "A migration file or script that cannot be read."
);
create_exception!(
    edulearn_migrate,
    UnknownMigrationError,
    MigrateError,
    "No migration answers to the id, or several do."
);
create_exception!(edulearn_migrate, WrongStateError, MigrateError, "The migration is not in a state that allows it.");
create_exception!(
    edulearn_migrate,
    ScriptChangedError,
    MigrateError,
    "A script changed after it was applied or begun."
);
create_exception!(edulearn_migrate, ForeignLedgerError, MigrateError, "The ledger's collection is somebody else's.");
create_exception!(edulearn_migrate, OutOfOrderError, MigrateError, "strict_order refused a migration.");
create_exception!(edulearn_migrate, LockHeldError, MigrateError, "Another run holds the lock.");
create_exception!(edulearn_migrate, LeaseLostError, MigrateError, "This run lost its lease and has stopped.");
create_exception!(edulearn_migrate, ServerUnavailableError, MigrateError, "No server answers, or it refuses us.");
create_exception!(edulearn_migrate, OperationFailedError, MigrateError, "An operation of a migration failed.");
create_exception!(edulearn_migrate, CheckFailedError, MigrateError, "A check of a migration does not hold.");
create_exception!(edulearn_migrate, InterruptedRunError, MigrateError, "The run stopped on request, at a safe point.");
create_exception!(edulearn_migrate, BackupError, MigrateError, "A backup could not be made, read or restored.");
create_exception!(edulearn_migrate, BackupNotFoundError, BackupError, "No backup has this name.");
create_exception!(edulearn_migrate, BackupCorruptError, BackupError, "A backup is not as it was written.");
create_exception!(edulearn_migrate, OtherDatabaseError, BackupError, "The backup is another database's.");
create_exception!(
    edulearn_migrate,
    SnapshotLostError,
    BackupError,
    "The server gave up the state that was being read."
);
create_exception!(
    edulearn_migrate,
    DiskFullError,
    BackupError,
    "A file system is full, or a limit on files is reached."
);

/// The exception for an error that carries a report of what was done so far.
pub fn failed<R: Serialize + std::fmt::Debug>(py: Python<'_>, failed: &Failed<R>) -> PyErr {
    let exception = exception(py, &failed.error);
    let attached = failed
        .report
        .as_ref()
        .map_or(Ok(()), |report| exception.value(py).setattr("report", to_python(py, report.as_ref())?));
    attached.err().unwrap_or(exception)
}

/// The exception for an error.
pub fn exception(py: Python<'_>, error: &Error) -> PyErr {
    let kind: Bound<'_, PyType> = match error {
        Error::Settings(_) => py.get_type::<SettingsError>(),
        Error::Invalid { .. } => py.get_type::<InvalidMigrationError>(),
        Error::Unknown(_) => py.get_type::<UnknownMigrationError>(),
        Error::WrongState(_) => py.get_type::<WrongStateError>(),
        Error::ScriptChanged(_) => py.get_type::<ScriptChangedError>(),
        Error::ForeignLedger(_) => py.get_type::<ForeignLedgerError>(),
        Error::OutOfOrder(_) => py.get_type::<OutOfOrderError>(),
        Error::LockHeld { .. } => py.get_type::<LockHeldError>(),
        Error::LeaseLost(_) => py.get_type::<LeaseLostError>(),
        Error::Unavailable(_) => py.get_type::<ServerUnavailableError>(),
        Error::Server { .. } => py.get_type::<MigrateError>(),
        Error::Operation(_) => py.get_type::<OperationFailedError>(),
        Error::Check(_) => py.get_type::<CheckFailedError>(),
        Error::Interrupted(_) => py.get_type::<InterruptedRunError>(),
        Error::BackupMissing(_) => py.get_type::<BackupNotFoundError>(),
        Error::BackupCorrupt { .. } => py.get_type::<BackupCorruptError>(),
        Error::OtherDatabase(_) => py.get_type::<OtherDatabaseError>(),
        Error::SnapshotLost(_) => py.get_type::<SnapshotLostError>(),
        Error::DiskFull(_) => py.get_type::<DiskFullError>(),
        Error::Backup(_) => py.get_type::<BackupError>(),
    };
    let exception = PyErr::from_type(kind, error.to_string());
    let attached = set_attributes(py, exception.value(py).as_any(), error);
    attached.err().unwrap_or(exception)
}

fn set_attributes(py: Python<'_>, value: &Bound<'_, PyAny>, error: &Error) -> PyResult<()> {
    value.setattr("report", py.None())?;
    if let Some(parts) = error.parts() {
        // For the layout of the command line.
        value.setattr("_parts", parts)?;
    }
    match error {
        Error::Invalid { file, .. } => {
            value.setattr("file", file.as_ref().map(|path| path.display().to_string()))?;
        }
        Error::BackupMissing(missing) => {
            value.setattr("name", &missing.name)?;
            value.setattr("looked_in", &missing.looked_in)?;
            value.setattr("newest", &missing.newest)?;
        }
        Error::BackupCorrupt { file, .. } => value.setattr("file", file.display().to_string())?,
        Error::LockHeld { owner, .. } => value.setattr("owner", to_python(py, owner.as_ref())?)?,
        Error::Check(failure) => {
            value.setattr("migration_id", &failure.migration)?;
            value.setattr("when", failure.when.as_str())?;
            value.setattr("failed", &failure.failed)?;
        }
        Error::Operation(failure) => {
            value.setattr("migration_id", &failure.migration)?;
            value.setattr("operation", failure.index)?;
            value.setattr("server_code", failure.code)?;
        }
        _ => {}
    }
    Ok(())
}
