//! The class `Backups`: backup and restore, blocking and awaitable, over one private function each.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use pyo3::prelude::*;

use super::bridge::{StopToken, verb};
use super::engine::{Callback, Outcome, PyEngine, Token, awaitable, blocking, seconds};
use crate::backup::report::{BackupReport, ListReport, PruneReport, RestoreReport, VerifyReport};
use crate::engine::backup::BackupOptions;
use crate::engine::restore::{From, RestoreOptions};
use crate::engine::{Engine, Verb, backup, backups, restore};

/// The backups of one database, in one directory.
#[pyclass(frozen, name = "Backups", module = "edulearn_migrate._native")]
pub struct PyBackups {
    engine: Arc<Engine>,
    directory: PathBuf,
}

async fn write(engine: Arc<Engine>, verb: Verb, directory: PathBuf, options: BackupOptions) -> Outcome<BackupReport> {
    Ok(backup::backup(&engine, &verb, &directory, options).await?)
}

async fn bring_back(
    engine: Arc<Engine>,
    verb: Verb,
    directory: PathBuf,
    from: From,
    options: RestoreOptions,
    wait: Duration,
) -> Outcome<RestoreReport> {
    Ok(restore::restore(&engine, &verb, &directory, from, options, wait).await?)
}

async fn list(engine: Arc<Engine>, directory: PathBuf) -> Outcome<ListReport> {
    Ok(backups::list(&engine, &directory).await?)
}

async fn verify(engine: Arc<Engine>, verb: Verb, directory: PathBuf, name: String) -> Outcome<VerifyReport> {
    Ok(backups::verify(&engine, &verb, &directory, &name).await?)
}

async fn prune(engine: Arc<Engine>, verb: Verb, directory: PathBuf, keep: usize, kind: String) -> Outcome<PruneReport> {
    Ok(backups::prune(&engine, &verb, &directory, keep, &kind).await?)
}

/// What to restore, of the two ways to say it; neither means an unfinished restore.
fn from(name: Option<String>, mongodump: Option<PathBuf>) -> From {
    match (name, mongodump) {
        (_, Some(path)) => From::Mongodump(path),
        (Some(name), None) => From::Name(name),
        (None, None) => From::Unfinished,
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
    #[pyo3(signature = (*, collections = None, consistency = None, only_reading = false, observer = None, stop = None))]
    fn backup(
        &self,
        py: Python<'_>,
        collections: Option<Vec<String>>,
        consistency: Option<String>,
        only_reading: bool,
        observer: Callback,
        stop: Token<'_, '_>,
    ) -> PyResult<Py<PyAny>> {
        let verb = verb(observer, stop);
        let options = BackupOptions { collections, consistency, only_reading };
        blocking(py, &verb, write(self.engine.clone(), verb.clone(), self.directory.clone(), options))
    }

    /// `backup` as an awaitable.
    #[pyo3(signature = (*, collections = None, consistency = None, only_reading = false, observer = None, stop = None))]
    fn backup_async<'py>(
        &self,
        py: Python<'py>,
        collections: Option<Vec<String>>,
        consistency: Option<String>,
        only_reading: bool,
        observer: Callback,
        stop: Token<'_, '_>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let verb = verb(observer, stop);
        let options = BackupOptions { collections, consistency, only_reading };
        awaitable(py, &verb, write(self.engine.clone(), verb.clone(), self.directory.clone(), options))
    }

    /// Restores a backup, or a directory of mongodump; with neither, only takes a killed restore to its end.
    #[pyo3(signature = (name = None, *, from_mongodump = None, collections = None, keep_extra = false,
        safety_backup = true, allow_different_db = false, into = None, lock_timeout = 10.0, observer = None, stop = None))]
    fn restore(
        &self,
        py: Python<'_>,
        name: Option<String>,
        from_mongodump: Option<PathBuf>,
        collections: Option<Vec<String>>,
        keep_extra: bool,
        safety_backup: bool,
        allow_different_db: bool,
        into: Option<String>,
        lock_timeout: f64,
        observer: Callback,
        stop: Token<'_, '_>,
    ) -> PyResult<Py<PyAny>> {
        let verb = verb(observer, stop);
        let options =
            RestoreOptions { collections, keep_extra, no_safety_backup: !safety_backup, allow_different_db, into };
        let (from, wait) = (from(name, from_mongodump), seconds(py, "lock_timeout", lock_timeout)?);
        let work = bring_back(self.engine.clone(), verb.clone(), self.directory.clone(), from, options, wait);
        blocking(py, &verb, work)
    }

    /// `restore` as an awaitable.
    #[pyo3(signature = (name = None, *, from_mongodump = None, collections = None, keep_extra = false,
        safety_backup = true, allow_different_db = false, into = None, lock_timeout = 10.0, observer = None, stop = None))]
    fn restore_async<'py>(
        &self,
        py: Python<'py>,
        name: Option<String>,
        from_mongodump: Option<PathBuf>,
        collections: Option<Vec<String>>,
        keep_extra: bool,
        safety_backup: bool,
        allow_different_db: bool,
        into: Option<String>,
        lock_timeout: f64,
        observer: Callback,
        stop: Token<'_, '_>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let verb = verb(observer, stop);
        let options =
            RestoreOptions { collections, keep_extra, no_safety_backup: !safety_backup, allow_different_db, into };
        let (from, wait) = (from(name, from_mongodump), seconds(py, "lock_timeout", lock_timeout)?);
        let work = bring_back(self.engine.clone(), verb.clone(), self.directory.clone(), from, options, wait);
        awaitable(py, &verb, work)
    }

    /// Every backup, newest first.
    #[pyo3(signature = (*, observer = None, stop = None))]
    fn list(&self, py: Python<'_>, observer: Callback, stop: Token<'_, '_>) -> PyResult<Py<PyAny>> {
        blocking(py, &verb(observer, stop), list(self.engine.clone(), self.directory.clone()))
    }

    /// `list` as an awaitable.
    #[pyo3(signature = (*, observer = None, stop = None))]
    fn list_async<'py>(
        &self,
        py: Python<'py>,
        observer: Callback,
        stop: Option<&Bound<'_, StopToken>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        awaitable(py, &verb(observer, stop), list(self.engine.clone(), self.directory.clone()))
    }

    /// Reads a whole backup and compares it with its manifest.
    #[pyo3(signature = (name, *, observer = None, stop = None))]
    fn verify(&self, py: Python<'_>, name: String, observer: Callback, stop: Token<'_, '_>) -> PyResult<Py<PyAny>> {
        let verb = verb(observer, stop);
        blocking(py, &verb, verify(self.engine.clone(), verb.clone(), self.directory.clone(), name))
    }

    /// `verify` as an awaitable.
    #[pyo3(signature = (name, *, observer = None, stop = None))]
    fn verify_async<'py>(
        &self,
        py: Python<'py>,
        name: String,
        observer: Callback,
        stop: Token<'_, '_>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let verb = verb(observer, stop);
        awaitable(py, &verb, verify(self.engine.clone(), verb.clone(), self.directory.clone(), name))
    }

    /// Removes all but the newest backups of one kind, but none that a record still needs.
    #[pyo3(signature = (keep, *, kind = "manual", observer = None, stop = None))]
    fn prune(
        &self,
        py: Python<'_>,
        keep: usize,
        kind: &str,
        observer: Callback,
        stop: Token<'_, '_>,
    ) -> PyResult<Py<PyAny>> {
        let verb = verb(observer, stop);
        let work = prune(self.engine.clone(), verb.clone(), self.directory.clone(), keep, kind.to_owned());
        blocking(py, &verb, work)
    }

    /// `prune` as an awaitable.
    #[pyo3(signature = (keep, *, kind = "manual", observer = None, stop = None))]
    fn prune_async<'py>(
        &self,
        py: Python<'py>,
        keep: usize,
        kind: &str,
        observer: Callback,
        stop: Token<'_, '_>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let verb = verb(observer, stop);
        let work = prune(self.engine.clone(), verb.clone(), self.directory.clone(), keep, kind.to_owned());
        awaitable(py, &verb, work)
    }
}
