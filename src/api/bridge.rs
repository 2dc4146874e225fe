//! Where the tokio runtime, Python's signals and its lock meet. Nothing else touches more than one of them.

use std::future::Future;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use serde::Serialize;
use tokio::runtime::Runtime;

use super::convert::to_python;
use super::errors::failed;
use crate::engine::Verb;
use crate::error::{Error, Failed};
use crate::observe::{Event, Observer, Silent, Stop};

/// How long a signal may wait to be seen.
const SIGNAL_POLL: Duration = Duration::from_millis(100);

/// The process that started the runtime; in a fork of it the runtime's threads do not exist.
static RUNTIME_PROCESS: OnceLock<u32> = OnceLock::new();

fn runtime() -> PyResult<&'static Runtime> {
    let process = *RUNTIME_PROCESS.get_or_init(|| {
        let mut builder = tokio::runtime::Builder::new_multi_thread();
        builder.enable_all().worker_threads(2).thread_name("edulearn_migrate");
        pyo3_async_runtimes::tokio::init(builder);
        std::process::id()
    });
    if process != std::process::id() {
        return Err(PyRuntimeError::new_err(
            "edulearn_migrate was used in this process's parent before it forked; its threads do not survive a fork. \
             Start the process with the `spawn` method, or use edulearn_migrate only after forking.",
        ));
    }
    Ok(pyo3_async_runtimes::tokio::get_runtime())
}

/// Asks a run to stop at its next safe point.
#[pyclass(frozen, module = "edulearn_migrate._native")]
pub struct StopToken(Stop);

#[pymethods]
impl StopToken {
    #[new]
    fn new() -> Self {
        Self(Stop::new())
    }

    /// Asks every run that was given this token to stop at its next safe point.
    fn set(&self) {
        self.0.cancel();
    }
}

/// Forwards events to a Python callable.
struct PythonObserver(Py<PyAny>);

impl Observer for PythonObserver {
    fn notify(&self, event: &Event) {
        // No interpreter any more: nobody is left to listen.
        Python::try_attach(|py| {
            let told = to_python(py, event).and_then(|event| self.0.call1(py, (event,)));
            if let Err(error) = told {
                // A listener's mistake must not break a migration.
                error.write_unraisable(py, Some(self.0.bind(py)));
            }
        });
    }
}

/// What a call of a verb reports to and is stopped by.
pub fn verb(observer: Option<Py<PyAny>>, stop: Option<&Bound<'_, StopToken>>) -> Verb {
    let observer: Arc<dyn Observer> = match observer {
        Some(callable) => Arc::new(PythonObserver(callable)),
        None => Arc::new(Silent),
    };
    // A child, so that a signal to this call stops no other call of the same token.
    let stop = stop.map_or_else(Stop::new, |token| token.get().0.child_token());
    Verb::new(observer, stop)
}

/// Runs `work` to its end with Python's lock released. A signal whose handler raises (Ctrl-C) asks the run
/// to stop at its next safe point and is raised once it has; a second one gives the run up where it stands.
pub fn run_sync<R, T>(
    py: Python<'_>,
    verb: &Verb,
    work: impl Future<Output = Result<R, Failed<R>>> + Send + 'static,
    convert: impl FnOnce(Python<'_>, R) -> PyResult<T>,
) -> PyResult<T>
where
    R: Serialize + std::fmt::Debug + Send + 'static,
{
    let runtime = runtime()?;
    let stop = verb.stop.clone();
    let mut signal: Option<PyErr> = None;
    let mut task = runtime.spawn(work);
    let result = loop {
        let waited = py.detach(|| runtime.block_on(async { tokio::time::timeout(SIGNAL_POLL, &mut task).await }));
        if let Ok(joined) = waited {
            break joined;
        }
        if let Err(raised) = py.check_signals() {
            if signal.is_some() {
                task.abort();
                return Err(raised);
            }
            stop.cancel();
            signal = Some(raised);
        }
    };
    let result = result.map_err(|e| PyRuntimeError::new_err(format!("The engine stopped unexpectedly: {e}")))?;
    match (result, signal) {
        // The run ended by itself before its next safe point: the caller must still learn of the signal.
        (Ok(report), Some(raised)) => {
            let error = Error::Interrupted("The run had finished before it could be stopped.".to_owned());
            raised.set_cause(py, Some(failed(py, &Failed { error, report: Some(Box::new(report)) })));
            Err(raised)
        }
        (Ok(report), None) => convert(py, report),
        (Err(error), Some(raised)) => {
            raised.set_cause(py, Some(failed(py, &error)));
            Err(raised)
        }
        (Err(error), None) => Err(failed(py, &error)),
    }
}

/// Starts `work` and returns an awaitable. Cancelling it asks the run to stop at its next safe point; the
/// run goes on to that point by itself, with the lease released behind it.
pub fn run_async<'py, R, T>(
    py: Python<'py>,
    verb: &Verb,
    work: impl Future<Output = Result<R, Failed<R>>> + Send + 'static,
    convert: impl FnOnce(Python<'_>, R) -> PyResult<T> + Send + 'static,
) -> PyResult<Bound<'py, PyAny>>
where
    R: Serialize + std::fmt::Debug + Send + 'static,
    T: for<'a> IntoPyObject<'a> + Send + 'static,
{
    let runtime = runtime()?;
    let guard = verb.stop.clone().drop_guard();
    pyo3_async_runtimes::tokio::future_into_py(py, async move {
        let result = runtime.spawn(work).await;
        guard.disarm();
        let result = result.map_err(|e| PyRuntimeError::new_err(format!("The engine stopped unexpectedly: {e}")))?;
        Python::attach(|py| match result {
            Ok(report) => convert(py, report),
            Err(error) => Err(failed(py, &error)),
        })
    })
}
