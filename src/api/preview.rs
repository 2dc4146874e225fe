//! The class `Preview`: looking before doing.

use std::sync::Arc;

use pyo3::prelude::*;

use super::bridge::{Callback, PendingCall, Token, call_context};
use super::engine::PyEngine;
use crate::engine::selection::RunOptions;
use crate::engine::selection::{ApplyOptions, RollbackOptions};
use crate::engine::{Engine, check, plan};

/// What runs on an engine's database would do, and whether there is anything to stop at.
#[pyclass(frozen, name = "Preview", module = "edulearn_migrate._native")]
pub struct PyPreview(Arc<Engine>);

impl PyPreview {
    fn plan(&self, wanted: RunOptions, observer: Callback, stop: Token<'_, '_>) -> PendingCall {
        let (engine, call) = (self.0.clone(), call_context(observer, stop));
        PendingCall::new(call, |call| async move { Ok(plan::plan(&engine, &call, wanted).await?) })
    }
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
        id: Option<String>,
        rolled_back: bool,
        strict_order: bool,
        capture: bool,
        observer: Callback,
        stop: Token<'_, '_>,
    ) -> PendingCall {
        let wanted = RunOptions::Apply(ApplyOptions { id, rolled_back, strict_order, uncaptured: !capture });
        self.plan(wanted, observer, stop)
    }

    /// What `rollback` would do. Reads only.
    #[pyo3(signature = (id = None, *, from_file = false, exact = false, capture = true, observer = None, stop = None))]
    fn rollback(
        &self,
        id: Option<String>,
        from_file: bool,
        exact: bool,
        capture: bool,
        observer: Callback,
        stop: Token<'_, '_>,
    ) -> PendingCall {
        let wanted = RunOptions::Rollback(RollbackOptions { id, from_file, exact, uncaptured: !capture });
        self.plan(wanted, observer, stop)
    }

    /// What a pipeline should stop at. Reads only.
    #[pyo3(signature = (*, allow_rolled_back = false, observer = None, stop = None))]
    fn check(&self, allow_rolled_back: bool, observer: Callback, stop: Token<'_, '_>) -> PendingCall {
        let engine = self.0.clone();
        PendingCall::new(call_context(observer, stop), |_| async move {
            Ok(check::check(&engine, allow_rolled_back).await?)
        })
    }
}
