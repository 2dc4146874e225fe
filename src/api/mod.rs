//! The Python binding: the only place that knows PyO3. It converts, and leaves every decision to the
//! engine.

mod assessment;
mod backups;
mod bridge;
mod compare;
mod convert;
mod ending;
mod engine;
mod errors;
mod events;
mod functions;
mod preview;
mod queue;
mod runtime;

use pyo3::pymodule;

/// The native half of the `edulearn_migrate` package.
#[pymodule(gil_used = true)]
mod _native {
    use pyo3::prelude::*;

    #[pymodule_export]
    use super::assessment::PyAssessments;
    #[pymodule_export]
    use super::backups::PyBackups;
    #[pymodule_export]
    use super::bridge::{PendingCall, StopToken};
    #[pymodule_export]
    use super::compare::{
        compare_databases, copy_database, describe_server, drop_copy, pending_in_backup, server_version, stored_backups,
    };
    #[pymodule_export]
    use super::ending::end_runs;
    #[pymodule_export]
    use super::engine::PyEngine;
    #[pymodule_export]
    use super::errors::{
        BackupCorruptError, BackupError, BackupNotFoundError, CheckFailedError, DiskFullError, ForeignLedgerError,
        InterruptedRunError, InvalidMigrationError, LeaseLostError, LockHeldError, MigrateError, OperationFailedError,
        OtherDatabaseError, OutOfOrderError, ScriptChangedError, ServerUnavailableError, SettingsError,
        SnapshotLostError, UnknownMigrationError, WrongStateError,
    };
    #[pymodule_export]
    use super::events::Events;
    #[pymodule_export]
    use super::functions::{create_migration, describe_target, lint, local_command, redact};
    #[pymodule_export]
    use super::preview::PyPreview;

    #[pymodule_init]
    fn init(module: &Bound<'_, PyModule>) -> PyResult<()> {
        super::bridge::prepare(module)?;
        module.add("__version__", env!("CARGO_PKG_VERSION"))
    }
}
