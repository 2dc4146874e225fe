//! The class `Backups`: backup and restore.

use std::path::PathBuf;
use std::sync::Arc;

use pyo3::prelude::*;

use super::bridge::{Callback, PendingCall, Token, call_context};
use super::engine::{PyEngine, seconds};
use crate::engine::backup::BackupOptions;
use crate::engine::restore::{RestoreOptions, RestoreSource};
use crate::engine::{Engine, backup, backups, restore};

/// The backups of one database, in one directory.
#[pyclass(frozen, name = "Backups", module = "edulearn_migrate._native")]
pub struct PyBackups {
    engine: Arc<Engine>,
    directory: PathBuf,
}

/// What to restore, of the two ways to say it; neither means an unfinished restore.
fn from(name: Option<String>, mongodump: Option<PathBuf>, abandon: bool) -> RestoreSource {
    match (name, mongodump) {
        _ if abandon => RestoreSource::Abandoned,
        (_, Some(path)) => RestoreSource::Mongodump(path),
        (Some(name), None) => RestoreSource::Name(name),
        (None, None) => RestoreSource::Unfinished,
    }
}

impl PyBackups {
    fn own(&self) -> (Arc<Engine>, PathBuf) {
        (self.engine.clone(), self.directory.clone())
    }
}

#[pymethods]
#[allow(clippy::too_many_arguments)] // Python's keyword arguments
impl PyBackups {
    #[new]
    fn new(engine: &Bound<'_, PyEngine>, directory: PathBuf) -> Self {
        Self { engine: engine.get().0.clone(), directory }
    }

    /// Writes a backup.
    #[pyo3(signature = (*, collections = None, exclude = None, consistency = None, only_reading = false, observer = None, stop = None))]
    fn backup(
        &self,
        collections: Option<Vec<String>>,
        exclude: Option<Vec<String>>,
        consistency: Option<String>,
        only_reading: bool,
        observer: Callback,
        stop: Token<'_, '_>,
    ) -> PendingCall {
        let ((engine, directory), call) = (self.own(), call_context(observer, stop));
        let options = BackupOptions { collections, exclude, consistency, only_reading };
        PendingCall::new(call, |call| async move { Ok(backup::backup(&engine, &call, &directory, options).await?) })
    }

    /// Restores a backup, or what mongodump wrote; with neither, only takes a killed restore to its end, or gives it up.
    #[pyo3(signature = (name = None, *, from_mongodump = None, collections = None, exclude = None, keep_extra = false,
        drop_extra = false, no_indexes = false, abandon = false, safety_backup = true, allow_different_db = false, into = None, lock_timeout = 10.0, observer = None, stop = None))]
    fn restore(
        &self,
        py: Python<'_>,
        name: Option<String>,
        from_mongodump: Option<PathBuf>,
        collections: Option<Vec<String>>,
        exclude: Option<Vec<String>>,
        keep_extra: bool,
        drop_extra: bool,
        no_indexes: bool,
        abandon: bool,
        safety_backup: bool,
        allow_different_db: bool,
        into: Option<String>,
        lock_timeout: f64,
        observer: Callback,
        stop: Token<'_, '_>,
    ) -> PyResult<PendingCall> {
        let ((engine, directory), call) = (self.own(), call_context(observer, stop));
        let no_safety_backup = !safety_backup;
        let options = RestoreOptions {
            collections,
            exclude: exclude.unwrap_or_default(),
            no_indexes,
            keep_extra,
            drop_extra,
            no_safety_backup,
            allow_different_db,
            into,
        };
        let (from, wait) = (from(name, from_mongodump, abandon), seconds(py, "lock_timeout", lock_timeout)?);
        Ok(PendingCall::new(call, |call| async move {
            Ok(restore::restore(&engine, &call, &directory, from, options, wait).await?)
        }))
    }

    /// Every backup, newest first.
    #[pyo3(signature = (*, observer = None, stop = None))]
    fn list(&self, observer: Callback, stop: Token<'_, '_>) -> PendingCall {
        let (engine, directory) = self.own();
        PendingCall::new(call_context(observer, stop), |_| async move { Ok(backups::list(&engine, &directory).await?) })
    }

    /// Reads a whole backup and compares it with its manifest.
    #[pyo3(signature = (name, *, observer = None, stop = None))]
    fn verify(&self, name: String, observer: Callback, stop: Token<'_, '_>) -> PendingCall {
        let ((engine, directory), call) = (self.own(), call_context(observer, stop));
        PendingCall::new(call, |call| async move { Ok(backups::verify(&engine, &call, &directory, &name).await?) })
    }

    /// Removes all but the newest backups of one kind, but none that a record still needs.
    #[pyo3(signature = (keep, *, kind = "manual", observer = None, stop = None))]
    fn prune(&self, keep: usize, kind: &str, observer: Callback, stop: Token<'_, '_>) -> PendingCall {
        let ((engine, directory), call, kind) = (self.own(), call_context(observer, stop), kind.to_owned());
        PendingCall::new(call, |call| async move { Ok(backups::prune(&engine, &call, &directory, keep, &kind).await?) })
    }
}
