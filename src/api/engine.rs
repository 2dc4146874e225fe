//! The class `Engine`: the verbs of migrations.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bson::RawDocumentBuf;
use pyo3::prelude::*;
use pyo3::types::PyBool;

use super::bridge::{Callback, PendingCall, Token, call_context};
use super::convert::documents_to_python;
use super::errors::exception;
use crate::engine::selection::{ApplyOptions, RollbackOptions};
use crate::engine::{Engine, mark, purge, register, scripts, status, undrop, unlock};
use crate::error::Error;
use crate::names::Names;

/// One database and one migrations directory. Connects at first use.
#[pyclass(frozen, name = "Engine", module = "edulearn_migrate._native")]
pub struct PyEngine(pub(super) Arc<Engine>);

fn records_to_python(py: Python<'_>, records: Vec<RawDocumentBuf>) -> PyResult<Py<PyAny>> {
    documents_to_python(py, &records).map(Bound::unbind)
}

/// A number of seconds that an argument of this name says.
pub(super) fn seconds(py: Python<'_>, name: &str, value: f64) -> PyResult<Duration> {
    Duration::try_from_secs_f64(value).map_err(|_| {
        let message = format!("{name} must be a number of seconds from 0 on, not {value}.");
        exception(py, &Error::Settings(message))
    })
}

#[pymethods]
#[allow(clippy::too_many_arguments)] // Python's keyword arguments
impl PyEngine {
    #[new]
    #[pyo3(signature = (uri, database, *, migrations_dir = None, ledger = "migrations"))]
    fn new(py: Python<'_>, uri: &str, database: &str, migrations_dir: Option<PathBuf>, ledger: &str) -> PyResult<Self> {
        Names::new(ledger)
            .and_then(|names| Engine::new(uri, database, migrations_dir, names))
            .map(|engine| Self(Arc::new(engine)))
            .map_err(|error| exception(py, &error))
    }

    /// The state of every migration. Reads only.
    #[pyo3(signature = (*, observer = None, stop = None))]
    fn status(&self, observer: Callback, stop: Token<'_, '_>) -> PendingCall {
        let engine = self.0.clone();
        PendingCall::new(call_context(observer, stop), |_| async move { Ok(status::status(&engine).await?) })
    }

    /// The ledger's documents as they are, by `applied_at`. Reads only.
    #[pyo3(signature = (*, observer = None, stop = None))]
    fn records(&self, observer: Callback, stop: Token<'_, '_>) -> PendingCall {
        let engine = self.0.clone();
        PendingCall::converted(
            call_context(observer, stop),
            |_| async move { Ok(status::records(&engine).await?) },
            records_to_python,
        )
    }

    /// Whether another database of the same server has a ledger. Reads only.
    #[pyo3(signature = (database, *, observer = None, stop = None))]
    fn has_ledger(&self, database: String, observer: Callback, stop: Token<'_, '_>) -> PendingCall {
        let engine = self.0.clone();
        PendingCall::converted(
            call_context(observer, stop),
            |_| async move { Ok(status::has_ledger(&engine, &database).await?) },
            |py, found: bool| Ok(PyBool::new(py, found).to_owned().into_any().unbind()),
        )
    }

    /// Applies every pending migration in order, or the one named.
    #[pyo3(signature = (id = None, *, rolled_back = false, strict_order = false, capture = true, workers = None, lock_timeout = 10.0, observer = None, stop = None))]
    fn apply(
        &self,
        py: Python<'_>,
        id: Option<String>,
        rolled_back: bool,
        strict_order: bool,
        capture: bool,
        workers: Option<usize>,
        lock_timeout: f64,
        observer: Callback,
        stop: Token<'_, '_>,
    ) -> PyResult<PendingCall> {
        let call = call_context(observer, stop).with_workers(py, workers)?;
        let (engine, wait) = (self.0.clone(), seconds(py, "lock_timeout", lock_timeout)?);
        let options = ApplyOptions { id, rolled_back, strict_order, uncaptured: !capture };
        Ok(PendingCall::new(call, |call| async move { scripts::apply(&engine, &call, options, wait).await }))
    }

    /// Rolls every applied migration back in reverse order of application, or the one named.
    #[pyo3(signature = (id = None, *, from_file = false, exact = false, capture = true, workers = None, lock_timeout = 10.0, observer = None, stop = None))]
    fn rollback(
        &self,
        py: Python<'_>,
        id: Option<String>,
        from_file: bool,
        exact: bool,
        capture: bool,
        workers: Option<usize>,
        lock_timeout: f64,
        observer: Callback,
        stop: Token<'_, '_>,
    ) -> PyResult<PendingCall> {
        let call = call_context(observer, stop).with_workers(py, workers)?;
        let (engine, wait) = (self.0.clone(), seconds(py, "lock_timeout", lock_timeout)?);
        let options = RollbackOptions { id, from_file, exact, uncaptured: !capture };
        Ok(PendingCall::new(call, |call| async move { scripts::rollback(&engine, &call, options, wait).await }))
    }

    /// Sets a migration's state by hand: `applied`, `pending` or `rolled_back`. Runs nothing.
    #[pyo3(signature = (id, state, *, lock_timeout = 10.0, observer = None, stop = None))]
    fn mark(
        &self,
        py: Python<'_>,
        id: String,
        state: String,
        lock_timeout: f64,
        observer: Callback,
        stop: Token<'_, '_>,
    ) -> PyResult<PendingCall> {
        let (engine, call, wait) =
            (self.0.clone(), call_context(observer, stop), seconds(py, "lock_timeout", lock_timeout)?);
        Ok(PendingCall::new(call, |call| async move { Ok(mark::mark(&engine, &call, &id, &state, wait).await?) }))
    }

    /// Frees what was captured: of one migration or of all, and only what is older than so many seconds.
    #[pyo3(signature = (id = None, *, older_than = None, lock_timeout = 10.0, observer = None, stop = None))]
    fn purge(
        &self,
        py: Python<'_>,
        id: Option<String>,
        older_than: Option<f64>,
        lock_timeout: f64,
        observer: Callback,
        stop: Token<'_, '_>,
    ) -> PyResult<PendingCall> {
        let (engine, call, wait) =
            (self.0.clone(), call_context(observer, stop), seconds(py, "lock_timeout", lock_timeout)?);
        let age = older_than.map(|age| seconds(py, "older_than", age)).transpose()?;
        Ok(PendingCall::new(call, |call| async move { purge::purge(&engine, &call, id.as_deref(), age, wait).await }))
    }

    /// What was set aside and can be brought back. Reads only.
    #[pyo3(signature = (*, observer = None, stop = None))]
    fn dropped(&self, observer: Callback, stop: Token<'_, '_>) -> PendingCall {
        let engine = self.0.clone();
        PendingCall::new(call_context(observer, stop), |_| async move { Ok(undrop::dropped(&engine).await?) })
    }

    /// Brings back what `dropped` lists under a name.
    #[pyo3(signature = (name, *, to = None, lock_timeout = 10.0, observer = None, stop = None))]
    fn undrop(
        &self,
        py: Python<'_>,
        name: String,
        to: Option<String>,
        lock_timeout: f64,
        observer: Callback,
        stop: Token<'_, '_>,
    ) -> PyResult<PendingCall> {
        let (engine, call, wait) =
            (self.0.clone(), call_context(observer, stop), seconds(py, "lock_timeout", lock_timeout)?);
        Ok(PendingCall::new(call, |call| async move {
            Ok(undrop::undrop(&engine, &call, &name, to.as_deref(), wait).await?)
        }))
    }

    /// Breaks the lock of a run that is gone; with `force`, of any run.
    #[pyo3(signature = (*, force = false, observer = None, stop = None))]
    fn unlock(&self, force: bool, observer: Callback, stop: Token<'_, '_>) -> PendingCall {
        let (engine, call) = (self.0.clone(), call_context(observer, stop));
        PendingCall::new(call, |call| async move { Ok(unlock::unlock(&engine, &call, force).await?) })
    }

    /// Registers a migration that lives in the database only.
    #[pyo3(signature = (name, up_script, down_script, description = "", *, observer = None, stop = None))]
    fn register(
        &self,
        name: String,
        up_script: String,
        down_script: String,
        description: &str,
        observer: Callback,
        stop: Token<'_, '_>,
    ) -> PendingCall {
        let (engine, call, description) = (self.0.clone(), call_context(observer, stop), description.to_owned());
        PendingCall::new(call, |call| async move {
            Ok(register::register(&engine, &call, &name, &up_script, &down_script, &description).await?)
        })
    }
}
