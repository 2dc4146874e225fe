//! What rehearsals and the testing of migrations need besides the verbs. Blocking only: they run in a thread of their own.

use std::path::PathBuf;
use std::sync::Arc;

use pyo3::prelude::*;

use super::bridge::verb;
use super::engine::{Callback, Outcome, PyEngine, Token, blocking};
use crate::backup::report::ListReport;
use crate::compare::Hashes;
use crate::compare::report::Comparison;
use crate::engine::{Engine, Verb, backups, compare};

async fn compared(engine: Arc<Engine>, verb: Verb, before: String, known: Option<Hashes>) -> Outcome<Comparison> {
    Ok(compare::compare(&engine, &verb, &before, known).await?)
}

async fn copied(
    engine: Arc<Engine>,
    verb: Verb,
    into: String,
    directory: PathBuf,
    collections: Option<Vec<String>>,
) -> Outcome<()> {
    Ok(compare::copy(&engine, &verb, &into, &directory, collections).await?)
}

async fn stored(directory: PathBuf) -> Outcome<ListReport> {
    Ok(backups::stored(&directory).await?)
}

async fn version(engine: Arc<Engine>) -> Outcome<Option<String>> {
    Ok(compare::server_version(&engine).await?)
}

async fn dropped(engine: Arc<Engine>, database: String) -> Outcome<()> {
    Ok(compare::drop_copy(&engine, &database).await?)
}

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
    let verb = verb(observer, stop);
    blocking(py, &verb, compared(engine.get().0.clone(), verb.clone(), before, known))
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
    let verb = verb(observer, stop);
    blocking(py, &verb, copied(engine.get().0.clone(), verb.clone(), into, directory, collections)).map(drop)
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
    let verb = verb(observer, stop);
    blocking(py, &verb, dropped(engine.get().0.clone(), database)).map(drop)
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
    blocking(py, &verb(observer, stop), stored(directory))
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
    blocking(py, &verb(observer, stop), version(engine.get().0.clone()))
}
