//! What rehearsals and the testing of migrations need besides the verbs. Blocking only: they run in a thread of their own.

use std::path::PathBuf;

use pyo3::prelude::*;

use super::bridge::{Callback, PendingCall, Token, call_context};
use super::engine::PyEngine;
use crate::analysis::compare::report::Hashes;
use crate::engine::{backups, compare};

/// What differs between another database of the same server, as what was, and the engine's.
#[pyfunction]
#[pyo3(signature = (engine, before, *, known = None, observer = None, stop = None))]
pub fn compare_databases(
    py: Python<'_>,
    engine: &Bound<'_, PyEngine>,
    before: String,
    known: Option<Hashes>,
    observer: Callback,
    stop: Token<'_, '_>,
) -> PyResult<Py<PyAny>> {
    let (engine, call) = (engine.get().0.clone(), call_context(observer, stop));
    PendingCall::new(call, |call| async move { Ok(compare::compare(&engine, &call, &before, known).await?) }).run(py)
}

/// Brings another database of the same server to the state of the engine's, by a backup in `directory`.
#[pyfunction]
#[pyo3(signature = (engine, into, directory, *, collections = None, observer = None, stop = None))]
pub fn copy_database(
    py: Python<'_>,
    engine: &Bound<'_, PyEngine>,
    into: String,
    directory: PathBuf,
    collections: Option<Vec<String>>,
    observer: Callback,
    stop: Token<'_, '_>,
) -> PyResult<()> {
    let (engine, call) = (engine.get().0.clone(), call_context(observer, stop));
    PendingCall::new(
        call,
        |call| async move { Ok(compare::copy(&engine, &call, &into, &directory, collections).await?) },
    )
    .run(py)
    .map(drop)
}

/// Drops another database of the same server.
#[pyfunction]
#[pyo3(signature = (engine, database, *, observer = None, stop = None))]
pub fn drop_copy(
    py: Python<'_>,
    engine: &Bound<'_, PyEngine>,
    database: String,
    observer: Callback,
    stop: Token<'_, '_>,
) -> PyResult<()> {
    let engine = engine.get().0.clone();
    let call = call_context(observer, stop);
    PendingCall::new(call, |_| async move { Ok(compare::drop_copy(&engine, &database).await?) }).run(py).map(drop)
}

/// The backups in `directory`, newest first. No server is asked.
#[pyfunction]
#[pyo3(signature = (directory, *, observer = None, stop = None))]
pub fn stored_backups(
    py: Python<'_>,
    directory: PathBuf,
    observer: Callback,
    stop: Token<'_, '_>,
) -> PyResult<Py<PyAny>> {
    PendingCall::new(call_context(observer, stop), |_| async move { Ok(backups::stored(&directory).await?) }).run(py)
}

/// What is pending by the ledger in the backup `name` of `database`, and the files that are ignored. No server is asked.
#[pyfunction]
#[pyo3(signature = (directory, name, database, migrations_dir, *, ledger, observer = None, stop = None))]
#[allow(clippy::too_many_arguments)] // As Python names them.
pub fn pending_in_backup(
    py: Python<'_>,
    directory: PathBuf,
    name: String,
    database: String,
    migrations_dir: Option<PathBuf>,
    ledger: String,
    observer: Callback,
    stop: Token<'_, '_>,
) -> PyResult<Py<PyAny>> {
    PendingCall::new(call_context(observer, stop), |_| async move {
        Ok(backups::pending(&directory, &name, &database, migrations_dir.as_deref(), &ledger).await?)
    })
    .run(py)
}

/// The version of the engine's server, where it tells.
#[pyfunction]
#[pyo3(signature = (engine, *, observer = None, stop = None))]
pub fn server_version(
    py: Python<'_>,
    engine: &Bound<'_, PyEngine>,
    observer: Callback,
    stop: Token<'_, '_>,
) -> PyResult<Py<PyAny>> {
    let engine = engine.get().0.clone();
    PendingCall::new(call_context(observer, stop), |_| async move { Ok(compare::server_version(&engine).await?) })
        .run(py)
}

/// The version and the kind of deployment of the engine's server, for people.
#[pyfunction]
#[pyo3(signature = (engine, *, observer = None, stop = None))]
pub fn describe_server(
    py: Python<'_>,
    engine: &Bound<'_, PyEngine>,
    observer: Callback,
    stop: Token<'_, '_>,
) -> PyResult<Py<PyAny>> {
    let engine = engine.get().0.clone();
    PendingCall::new(call_context(observer, stop), |_| async move { Ok(compare::describe_server(&engine).await?) })
        .run(py)
}
