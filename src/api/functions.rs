//! What needs no engine.

use std::path::PathBuf;

use pyo3::prelude::*;

use super::convert::to_python;
use super::ending;
use super::errors::exception;
use crate::analysis::lint as linting;
use crate::error::Error;
use crate::model::source;
use crate::mongo::local;

/// Writes a new migration file from the template.
#[pyfunction]
#[pyo3(signature = (directory, name, description = ""))]
pub fn create_migration<'py>(
    py: Python<'py>,
    directory: PathBuf,
    name: &str,
    description: &str,
) -> PyResult<Bound<'py, PyAny>> {
    match source::create(&directory, name, Some(description)) {
        Ok(created) => to_python(py, &created),
        Err(error) => Err(exception(py, &error)),
    }
}

/// What is wrong or risky in the files, and the migrations of the directories, among `paths`.
#[pyfunction]
pub fn lint(py: Python<'_>, paths: Vec<PathBuf>) -> PyResult<Bound<'_, PyAny>> {
    let report = ending::detached(py, || linting::lint(&paths));
    match report.unwrap_or_else(|| linting::lint(&paths)) {
        Ok(report) => to_python(py, &report),
        Err(error) => Err(exception(py, &error)),
    }
}

/// Hosts and database of a connection string, without credentials and options.
#[pyfunction]
pub fn describe_target(uri: &str, database: &str) -> String {
    crate::redact::describe_target(uri, database)
}

/// A text with the credentials of every connection string in it replaced.
#[pyfunction]
pub fn redact(text: &str) -> String {
    crate::redact::redact(text)
}

/// Runs a command, given as JSON, in `admin` of the server on a port of 127.0.0.1, and returns its reply.
#[pyfunction]
pub fn local_command<'py>(py: Python<'py>, port: u16, command: &str) -> PyResult<Bound<'py, PyAny>> {
    let reply = serde_json::from_str(command)
        .map_err(|error| Error::Settings(error.to_string()))
        .and_then(|command| ending::detached(py, || local::local_command(port, command)).unwrap_or_else(ended));
    match reply {
        Ok(reply) => to_python(py, &reply),
        Err(error) => Err(exception(py, &error)),
    }
}

fn ended<T>() -> Result<T, Error> {
    Err(Error::Unavailable("The interpreter is ending.".to_owned()))
}
