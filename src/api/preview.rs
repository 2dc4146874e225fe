//! The class `Preview`: looking before doing, blocking and awaitable, over one private function each.

use std::sync::Arc;

use pyo3::prelude::*;

use super::bridge::verb;
use super::engine::{Callback, Outcome, PyEngine, Token, awaitable, blocking};
use crate::engine::apply::Wanted;
use crate::engine::plan::{ApplyOptions, RollbackOptions};
use crate::engine::reports::CheckReport;
use crate::engine::{Engine, Verb, check, preview};
use crate::preview::report::PlanReport;

/// What runs on an engine's database would do, and whether there is anything to stop at.
#[pyclass(frozen, name = "Preview", module = "edulearn_migrate._native")]
pub struct PyPreview(Arc<Engine>);

async fn plan(engine: Arc<Engine>, verb: Verb, wanted: Wanted) -> Outcome<PlanReport> {
    Ok(preview::plan(&engine, &verb, wanted).await?)
}

async fn check(engine: Arc<Engine>) -> Outcome<CheckReport> {
    Ok(check::check(&engine).await?)
}

#[pymethods]
#[allow(clippy::too_many_arguments)] // Python's keyword arguments
impl PyPreview {
    #[new]
    fn new(engine: &Bound<'_, PyEngine>) -> Self {
        Self(engine.get().0.clone())
    }

    /// What `apply` would do. Reads only.
    #[pyo3(signature = (id = None, *, rolled_back = false, strict_order = false, capture = true, observer = None, stop = None))]
    fn apply(
        &self,
        py: Python<'_>,
        id: Option<String>,
        rolled_back: bool,
        strict_order: bool,
        capture: bool,
        observer: Callback,
        stop: Token<'_, '_>,
    ) -> PyResult<Py<PyAny>> {
        let verb = verb(observer, stop);
        let wanted = Wanted::Apply(ApplyOptions { id, rolled_back, strict_order, uncaptured: !capture });
        blocking(py, &verb, plan(self.0.clone(), verb.clone(), wanted))
    }

    /// `apply` as an awaitable.
    #[pyo3(signature = (id = None, *, rolled_back = false, strict_order = false, capture = true, observer = None, stop = None))]
    fn apply_async<'py>(
        &self,
        py: Python<'py>,
        id: Option<String>,
        rolled_back: bool,
        strict_order: bool,
        capture: bool,
        observer: Callback,
        stop: Token<'_, '_>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let verb = verb(observer, stop);
        let wanted = Wanted::Apply(ApplyOptions { id, rolled_back, strict_order, uncaptured: !capture });
        awaitable(py, &verb, plan(self.0.clone(), verb.clone(), wanted))
    }

    /// What `rollback` would do. Reads only.
    #[pyo3(signature = (id = None, *, from_file = false, exact = false, capture = true, observer = None, stop = None))]
    fn rollback(
        &self,
        py: Python<'_>,
        id: Option<String>,
        from_file: bool,
        exact: bool,
        capture: bool,
        observer: Callback,
        stop: Token<'_, '_>,
    ) -> PyResult<Py<PyAny>> {
        let verb = verb(observer, stop);
        let wanted = Wanted::Rollback(RollbackOptions { id, from_file, exact, uncaptured: !capture });
        blocking(py, &verb, plan(self.0.clone(), verb.clone(), wanted))
    }

    /// `rollback` as an awaitable.
    #[pyo3(signature = (id = None, *, from_file = false, exact = false, capture = true, observer = None, stop = None))]
    fn rollback_async<'py>(
        &self,
        py: Python<'py>,
        id: Option<String>,
        from_file: bool,
        exact: bool,
        capture: bool,
        observer: Callback,
        stop: Token<'_, '_>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let verb = verb(observer, stop);
        let wanted = Wanted::Rollback(RollbackOptions { id, from_file, exact, uncaptured: !capture });
        awaitable(py, &verb, plan(self.0.clone(), verb.clone(), wanted))
    }

    /// What a pipeline should stop at. Reads only.
    #[pyo3(signature = (*, observer = None, stop = None))]
    fn check(&self, py: Python<'_>, observer: Callback, stop: Token<'_, '_>) -> PyResult<Py<PyAny>> {
        blocking(py, &verb(observer, stop), check(self.0.clone()))
    }

    /// `check` as an awaitable.
    #[pyo3(signature = (*, observer = None, stop = None))]
    fn check_async<'py>(
        &self,
        py: Python<'py>,
        observer: Callback,
        stop: Token<'_, '_>,
    ) -> PyResult<Bound<'py, PyAny>> {
        awaitable(py, &verb(observer, stop), check(self.0.clone()))
    }
}
