//! The class `Assessments`: the unification of the assessment model.

use std::path::PathBuf;
use std::sync::Arc;

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

use super::bridge::{Callback, PendingCall, Token, call_context};
use super::engine::{PyEngine, seconds};
use crate::assessment::ids::Ids;
use crate::engine::assessment::MigrateOptions;
use crate::engine::{Engine, assessment};

/// The assessment model of one database; backups go into one directory.
#[pyclass(frozen, name = "Assessments", module = "edulearn_migrate._native")]
pub struct PyAssessments {
    engine: Arc<Engine>,
    directory: PathBuf,
}

#[pymethods]
#[allow(clippy::too_many_arguments)] // Python's keyword arguments
impl PyAssessments {
    #[new]
    fn new(engine: &Bound<'_, PyEngine>, directory: PathBuf) -> Self {
        Self { engine: engine.get().0.clone(), directory }
    }

    /// Unifies the assessment model.
    #[pyo3(signature = (
        *, accept_unmapped = false, dry_run = false, ids = None, workers = None, lock_timeout = 10.0, observer = None,
        stop = None
    ))]
    fn migrate(
        &self,
        py: Python<'_>,
        accept_unmapped: bool,
        dry_run: bool,
        ids: Option<&str>,
        workers: Option<usize>,
        lock_timeout: f64,
        observer: Callback,
        stop: Token<'_, '_>,
    ) -> PyResult<PendingCall> {
        let (engine, directory) = (self.engine.clone(), self.directory.clone());
        let (call, wait) =
            (call_context(observer, stop).with_workers(py, workers)?, seconds(py, "lock_timeout", lock_timeout)?);
        let ids = ids.map(|ids| Ids::named(ids).ok_or_else(|| wrong_ids(ids))).transpose()?;
        let options = MigrateOptions { accept_unmapped, dry_run, ids };
        Ok(PendingCall::new(call, |call| async move {
            assessment::migrate(&engine, &call, &directory, options, wait).await
        }))
    }

    /// Takes that back, without losing later work.
    #[pyo3(signature = (*, workers = None, lock_timeout = 10.0, observer = None, stop = None))]
    fn rollback(
        &self,
        py: Python<'_>,
        workers: Option<usize>,
        lock_timeout: f64,
        observer: Callback,
        stop: Token<'_, '_>,
    ) -> PyResult<PendingCall> {
        let engine = self.engine.clone();
        let (call, wait) =
            (call_context(observer, stop).with_workers(py, workers)?, seconds(py, "lock_timeout", lock_timeout)?);
        Ok(PendingCall::new(call, |call| async move { assessment::rollback(&engine, &call, wait).await }))
    }
}

fn wrong_ids(ids: &str) -> PyErr {
    PyValueError::new_err(format!("ids must be \"new\" or \"keep\", not {ids:?}"))
}
