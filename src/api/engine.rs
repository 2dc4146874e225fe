//! The class `Engine`: every verb twice, blocking and awaitable, over one private function each.

use std::future::Future;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bson::RawDocumentBuf;
use pyo3::prelude::*;
use serde::Serialize;

use super::bridge::{StopToken, run_async, run_sync, verb};
use super::convert::{documents_to_python, to_python};
use super::errors::exception;
use crate::engine::plan::{ApplyOptions, RollbackOptions};
use crate::engine::reports::{
    Dropped, MarkReport, PurgeReport, RegisterReport, StatusReport, UndropReport, UnlockReport,
};
use crate::engine::{Engine, Verb, apply, mark, purge, register, status, undrop, unlock};
use crate::error::{Error, Failed};
use crate::run::report::RunReport;

/// One database and one migrations directory. Connects at first use.
#[pyclass(frozen, name = "Engine", module = "edulearn_migrate._native")]
pub struct PyEngine(pub(super) Arc<Engine>);

pub(super) type Outcome<R> = Result<R, Failed<R>>;

fn report_to_python<R: Serialize>(py: Python<'_>, report: R) -> PyResult<Py<PyAny>> {
    to_python(py, &report).map(Bound::unbind)
}

fn records_to_python(py: Python<'_>, records: Vec<RawDocumentBuf>) -> PyResult<Py<PyAny>> {
    documents_to_python(py, &records).map(Bound::unbind)
}

pub(super) fn seconds(py: Python<'_>, name: &str, value: f64) -> PyResult<Duration> {
    Duration::try_from_secs_f64(value).map_err(|_| {
        let message = format!("{name} must be a number of seconds from 0 on, not {value}.");
        exception(py, &Error::Settings(message))
    })
}

fn optional_seconds(py: Python<'_>, older_than: Option<f64>) -> PyResult<Option<Duration>> {
    older_than.map(|age| seconds(py, "older_than", age)).transpose()
}

async fn status(engine: Arc<Engine>) -> Outcome<StatusReport> {
    Ok(status::status(&engine).await?)
}

async fn records(engine: Arc<Engine>) -> Outcome<Vec<RawDocumentBuf>> {
    Ok(status::records(&engine).await?)
}

async fn apply(engine: Arc<Engine>, verb: Verb, options: ApplyOptions, wait: Duration) -> Outcome<RunReport> {
    apply::apply(&engine, &verb, options, wait).await
}

async fn rollback(engine: Arc<Engine>, verb: Verb, options: RollbackOptions, wait: Duration) -> Outcome<RunReport> {
    apply::rollback(&engine, &verb, options, wait).await
}

async fn mark(engine: Arc<Engine>, verb: Verb, id: String, state: String, wait: Duration) -> Outcome<MarkReport> {
    Ok(mark::mark(&engine, &verb, &id, &state, wait).await?)
}

async fn purge(
    engine: Arc<Engine>,
    verb: Verb,
    id: Option<String>,
    older_than: Option<Duration>,
    wait: Duration,
) -> Outcome<PurgeReport> {
    purge::purge(&engine, &verb, id.as_deref(), older_than, wait).await
}

async fn dropped(engine: Arc<Engine>) -> Outcome<Vec<Dropped>> {
    Ok(undrop::dropped(&engine).await?)
}

async fn undrop(
    engine: Arc<Engine>,
    verb: Verb,
    name: String,
    to: Option<String>,
    wait: Duration,
) -> Outcome<UndropReport> {
    Ok(undrop::undrop(&engine, &verb, &name, to.as_deref(), wait).await?)
}

async fn unlock(engine: Arc<Engine>, verb: Verb, force: bool) -> Outcome<UnlockReport> {
    Ok(unlock::unlock(&engine, &verb, force).await?)
}

async fn register(
    engine: Arc<Engine>,
    verb: Verb,
    name: String,
    up: String,
    down: String,
    description: String,
) -> Outcome<RegisterReport> {
    Ok(register::register(&engine, &verb, &name, &up, &down, &description).await?)
}

pub(super) fn blocking<R: Serialize + std::fmt::Debug + Send + 'static>(
    py: Python<'_>,
    verb: &Verb,
    work: impl Future<Output = Outcome<R>> + Send + 'static,
) -> PyResult<Py<PyAny>> {
    run_sync(py, verb, work, report_to_python)
}

pub(super) fn awaitable<'py, R: Serialize + std::fmt::Debug + Send + 'static>(
    py: Python<'py>,
    verb: &Verb,
    work: impl Future<Output = Outcome<R>> + Send + 'static,
) -> PyResult<Bound<'py, PyAny>> {
    run_async(py, verb, work, report_to_python)
}

pub(super) type Callback = Option<Py<PyAny>>;
pub(super) type Token<'a, 'py> = Option<&'a Bound<'py, StopToken>>;

#[pymethods]
#[allow(clippy::too_many_arguments)] // Python's keyword arguments
impl PyEngine {
    #[new]
    #[pyo3(signature = (uri, database, *, migrations_dir = None))]
    fn new(py: Python<'_>, uri: &str, database: &str, migrations_dir: Option<PathBuf>) -> PyResult<Self> {
        Engine::new(uri, database, migrations_dir)
            .map(|engine| Self(Arc::new(engine)))
            .map_err(|error| exception(py, &error))
    }

    /// Where every migration stands. Reads only.
    #[pyo3(signature = (*, observer = None, stop = None))]
    fn status(&self, py: Python<'_>, observer: Callback, stop: Token<'_, '_>) -> PyResult<Py<PyAny>> {
        blocking(py, &verb(observer, stop), status(self.0.clone()))
    }

    /// `status` as an awaitable.
    #[pyo3(signature = (*, observer = None, stop = None))]
    fn status_async<'py>(
        &self,
        py: Python<'py>,
        observer: Callback,
        stop: Token<'_, '_>,
    ) -> PyResult<Bound<'py, PyAny>> {
        awaitable(py, &verb(observer, stop), status(self.0.clone()))
    }

    /// The ledger's documents as they are, by `applied_at`. Reads only.
    #[pyo3(signature = (*, observer = None, stop = None))]
    fn records(&self, py: Python<'_>, observer: Callback, stop: Token<'_, '_>) -> PyResult<Py<PyAny>> {
        run_sync(py, &verb(observer, stop), records(self.0.clone()), records_to_python)
    }

    /// `records` as an awaitable.
    #[pyo3(signature = (*, observer = None, stop = None))]
    fn records_async<'py>(
        &self,
        py: Python<'py>,
        observer: Callback,
        stop: Token<'_, '_>,
    ) -> PyResult<Bound<'py, PyAny>> {
        run_async(py, &verb(observer, stop), records(self.0.clone()), records_to_python)
    }

    /// Applies every pending migration in order, or the one named.
    #[pyo3(signature = (id = None, *, rolled_back = false, strict_order = false, capture = true, lock_timeout = 10.0, observer = None, stop = None))]
    fn apply(
        &self,
        py: Python<'_>,
        id: Option<String>,
        rolled_back: bool,
        strict_order: bool,
        capture: bool,
        lock_timeout: f64,
        observer: Callback,
        stop: Token<'_, '_>,
    ) -> PyResult<Py<PyAny>> {
        let verb = verb(observer, stop);
        let options = ApplyOptions { id, rolled_back, strict_order, uncaptured: !capture };
        let wait = seconds(py, "lock_timeout", lock_timeout)?;
        blocking(py, &verb, apply(self.0.clone(), verb.clone(), options, wait))
    }

    /// `apply` as an awaitable.
    #[pyo3(signature = (id = None, *, rolled_back = false, strict_order = false, capture = true, lock_timeout = 10.0, observer = None, stop = None))]
    fn apply_async<'py>(
        &self,
        py: Python<'py>,
        id: Option<String>,
        rolled_back: bool,
        strict_order: bool,
        capture: bool,
        lock_timeout: f64,
        observer: Callback,
        stop: Token<'_, '_>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let verb = verb(observer, stop);
        let options = ApplyOptions { id, rolled_back, strict_order, uncaptured: !capture };
        let wait = seconds(py, "lock_timeout", lock_timeout)?;
        awaitable(py, &verb, apply(self.0.clone(), verb.clone(), options, wait))
    }

    /// Rolls every applied migration back in reverse order of application, or the one named.
    #[pyo3(signature = (id = None, *, from_file = false, exact = false, capture = true, lock_timeout = 10.0, observer = None, stop = None))]
    fn rollback(
        &self,
        py: Python<'_>,
        id: Option<String>,
        from_file: bool,
        exact: bool,
        capture: bool,
        lock_timeout: f64,
        observer: Callback,
        stop: Token<'_, '_>,
    ) -> PyResult<Py<PyAny>> {
        let verb = verb(observer, stop);
        let options = RollbackOptions { id, from_file, exact, uncaptured: !capture };
        let wait = seconds(py, "lock_timeout", lock_timeout)?;
        blocking(py, &verb, rollback(self.0.clone(), verb.clone(), options, wait))
    }

    /// `rollback` as an awaitable.
    #[pyo3(signature = (id = None, *, from_file = false, exact = false, capture = true, lock_timeout = 10.0, observer = None, stop = None))]
    fn rollback_async<'py>(
        &self,
        py: Python<'py>,
        id: Option<String>,
        from_file: bool,
        exact: bool,
        capture: bool,
        lock_timeout: f64,
        observer: Callback,
        stop: Token<'_, '_>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let verb = verb(observer, stop);
        let options = RollbackOptions { id, from_file, exact, uncaptured: !capture };
        let wait = seconds(py, "lock_timeout", lock_timeout)?;
        awaitable(py, &verb, rollback(self.0.clone(), verb.clone(), options, wait))
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
    ) -> PyResult<Py<PyAny>> {
        let verb = verb(observer, stop);
        let wait = seconds(py, "lock_timeout", lock_timeout)?;
        blocking(py, &verb, mark(self.0.clone(), verb.clone(), id, state, wait))
    }

    /// `mark` as an awaitable.
    #[pyo3(signature = (id, state, *, lock_timeout = 10.0, observer = None, stop = None))]
    fn mark_async<'py>(
        &self,
        py: Python<'py>,
        id: String,
        state: String,
        lock_timeout: f64,
        observer: Callback,
        stop: Token<'_, '_>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let verb = verb(observer, stop);
        let wait = seconds(py, "lock_timeout", lock_timeout)?;
        awaitable(py, &verb, mark(self.0.clone(), verb.clone(), id, state, wait))
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
    ) -> PyResult<Py<PyAny>> {
        let verb = verb(observer, stop);
        let (age, wait) = (optional_seconds(py, older_than)?, seconds(py, "lock_timeout", lock_timeout)?);
        blocking(py, &verb, purge(self.0.clone(), verb.clone(), id, age, wait))
    }

    /// `purge` as an awaitable.
    #[pyo3(signature = (id = None, *, older_than = None, lock_timeout = 10.0, observer = None, stop = None))]
    fn purge_async<'py>(
        &self,
        py: Python<'py>,
        id: Option<String>,
        older_than: Option<f64>,
        lock_timeout: f64,
        observer: Callback,
        stop: Token<'_, '_>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let verb = verb(observer, stop);
        let (age, wait) = (optional_seconds(py, older_than)?, seconds(py, "lock_timeout", lock_timeout)?);
        awaitable(py, &verb, purge(self.0.clone(), verb.clone(), id, age, wait))
    }

    /// What was set aside and can be brought back. Reads only.
    #[pyo3(signature = (*, observer = None, stop = None))]
    fn dropped(&self, py: Python<'_>, observer: Callback, stop: Token<'_, '_>) -> PyResult<Py<PyAny>> {
        blocking(py, &verb(observer, stop), dropped(self.0.clone()))
    }

    /// `dropped` as an awaitable.
    #[pyo3(signature = (*, observer = None, stop = None))]
    fn dropped_async<'py>(
        &self,
        py: Python<'py>,
        observer: Callback,
        stop: Token<'_, '_>,
    ) -> PyResult<Bound<'py, PyAny>> {
        awaitable(py, &verb(observer, stop), dropped(self.0.clone()))
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
    ) -> PyResult<Py<PyAny>> {
        let verb = verb(observer, stop);
        let wait = seconds(py, "lock_timeout", lock_timeout)?;
        blocking(py, &verb, undrop(self.0.clone(), verb.clone(), name, to, wait))
    }

    /// `undrop` as an awaitable.
    #[pyo3(signature = (name, *, to = None, lock_timeout = 10.0, observer = None, stop = None))]
    fn undrop_async<'py>(
        &self,
        py: Python<'py>,
        name: String,
        to: Option<String>,
        lock_timeout: f64,
        observer: Callback,
        stop: Token<'_, '_>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let verb = verb(observer, stop);
        let wait = seconds(py, "lock_timeout", lock_timeout)?;
        awaitable(py, &verb, undrop(self.0.clone(), verb.clone(), name, to, wait))
    }

    /// Breaks the lock of a run that is gone; with `force`, of any run.
    #[pyo3(signature = (*, force = false, observer = None, stop = None))]
    fn unlock(&self, py: Python<'_>, force: bool, observer: Callback, stop: Token<'_, '_>) -> PyResult<Py<PyAny>> {
        let verb = verb(observer, stop);
        blocking(py, &verb, unlock(self.0.clone(), verb.clone(), force))
    }

    /// `unlock` as an awaitable.
    #[pyo3(signature = (*, force = false, observer = None, stop = None))]
    fn unlock_async<'py>(
        &self,
        py: Python<'py>,
        force: bool,
        observer: Callback,
        stop: Token<'_, '_>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let verb = verb(observer, stop);
        awaitable(py, &verb, unlock(self.0.clone(), verb.clone(), force))
    }

    /// Registers a migration that lives in the database only.
    #[pyo3(signature = (name, up_script, down_script, description = "", *, observer = None, stop = None))]
    fn register(
        &self,
        py: Python<'_>,
        name: String,
        up_script: String,
        down_script: String,
        description: &str,
        observer: Callback,
        stop: Token<'_, '_>,
    ) -> PyResult<Py<PyAny>> {
        let verb = verb(observer, stop);
        let work = register(self.0.clone(), verb.clone(), name, up_script, down_script, description.to_owned());
        blocking(py, &verb, work)
    }

    /// `register` as an awaitable.
    #[pyo3(signature = (name, up_script, down_script, description = "", *, observer = None, stop = None))]
    fn register_async<'py>(
        &self,
        py: Python<'py>,
        name: String,
        up_script: String,
        down_script: String,
        description: &str,
        observer: Callback,
        stop: Token<'_, '_>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let verb = verb(observer, stop);
        let work = register(self.0.clone(), verb.clone(), name, up_script, down_script, description.to_owned());
        awaitable(py, &verb, work)
    }
}
