//! The class `Assessments`: the unification of the assessment model, blocking and awaitable, over one private function each.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use pyo3::prelude::*;

use super::bridge::verb;
use super::engine::{Callback, Outcome, PyEngine, Token, awaitable, blocking, seconds};
use crate::assessment::report::{MigrateReport, RollbackReport};
use crate::engine::assessment::MigrateOptions;
use crate::engine::{Engine, Verb, assessment};

/// The assessment model of one database; backups go into one directory.
#[pyclass(frozen, name = "Assessments", module = "edulearn_migrate._native")]
pub struct PyAssessments {
    engine: Arc<Engine>,
    directory: PathBuf,
}

async fn migrate(
    engine: Arc<Engine>,
    verb: Verb,
    directory: PathBuf,
    options: MigrateOptions,
    wait: Duration,
) -> Outcome<MigrateReport> {
    assessment::migrate(&engine, &verb, &directory, options, wait).await
}

async fn rollback(engine: Arc<Engine>, verb: Verb, wait: Duration) -> Outcome<RollbackReport> {
    assessment::rollback(&engine, &verb, wait).await
}

#[pymethods]
impl PyAssessments {
    #[new]
    fn new(engine: &Bound<'_, PyEngine>, directory: PathBuf) -> Self {
        Self { engine: engine.get().0.clone(), directory }
    }

    /// Unifies the assessment model.
    #[pyo3(signature = (*, accept_unmapped = false, dry_run = false, lock_timeout = 10.0, observer = None, stop = None))]
    fn migrate(
        &self,
        py: Python<'_>,
        accept_unmapped: bool,
        dry_run: bool,
        lock_timeout: f64,
        observer: Callback,
        stop: Token<'_, '_>,
    ) -> PyResult<Py<PyAny>> {
        let (verb, wait) = (verb(observer, stop), seconds(py, "lock_timeout", lock_timeout)?);
        let options = MigrateOptions { accept_unmapped, dry_run };
        blocking(py, &verb, migrate(self.engine.clone(), verb.clone(), self.directory.clone(), options, wait))
    }

    /// `migrate` as an awaitable.
    #[pyo3(signature = (*, accept_unmapped = false, dry_run = false, lock_timeout = 10.0, observer = None, stop = None))]
    fn migrate_async<'py>(
        &self,
        py: Python<'py>,
        accept_unmapped: bool,
        dry_run: bool,
        lock_timeout: f64,
        observer: Callback,
        stop: Token<'_, '_>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let (verb, wait) = (verb(observer, stop), seconds(py, "lock_timeout", lock_timeout)?);
        let options = MigrateOptions { accept_unmapped, dry_run };
        awaitable(py, &verb, migrate(self.engine.clone(), verb.clone(), self.directory.clone(), options, wait))
    }

    /// Takes that back, without losing later work.
    #[pyo3(signature = (*, lock_timeout = 10.0, observer = None, stop = None))]
    fn rollback(
        &self,
        py: Python<'_>,
        lock_timeout: f64,
        observer: Callback,
        stop: Token<'_, '_>,
    ) -> PyResult<Py<PyAny>> {
        let (verb, wait) = (verb(observer, stop), seconds(py, "lock_timeout", lock_timeout)?);
        blocking(py, &verb, rollback(self.engine.clone(), verb.clone(), wait))
    }

    /// `rollback` as an awaitable.
    #[pyo3(signature = (*, lock_timeout = 10.0, observer = None, stop = None))]
    fn rollback_async<'py>(
        &self,
        py: Python<'py>,
        lock_timeout: f64,
        observer: Callback,
        stop: Token<'_, '_>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let (verb, wait) = (verb(observer, stop), seconds(py, "lock_timeout", lock_timeout)?);
        awaitable(py, &verb, rollback(self.engine.clone(), verb.clone(), wait))
    }
}
