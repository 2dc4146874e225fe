//! Where the tokio runtime, Python's signals and its lock meet. Nothing else touches more than one of them.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use serde::Serialize;
use tokio::runtime::Runtime;
use tokio::task::JoinError;

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
pub fn verb(observer: Callback, stop: Token<'_, '_>) -> Verb {
    let observer: Arc<dyn Observer> = match observer {
        Some(callable) => Arc::new(PythonObserver(callable)),
        None => Arc::new(Silent),
    };
    // A child, so that a signal to this call stops no other call of the same token.
    let stop = stop.map_or_else(Stop::new, |token| token.get().0.child_token());
    Verb::new(observer, stop)
}

/// What a verb ends with.
pub type Outcome<R> = Result<R, Failed<R>>;
/// A Python callable that events go to.
pub type Callback = Option<Py<PyAny>>;
/// What a caller stops a verb by.
pub type Token<'a, 'py> = Option<&'a Bound<'py, StopToken>>;

/// How a verb ended, to be told to Python; the flag says whether a signal was to be raised meanwhile, which makes an error of
/// any end.
type Ending = Box<dyn FnOnce(Python<'_>, bool) -> PyResult<Py<PyAny>> + Send>;

/// A verb with its arguments, carried out once.
#[pyclass(frozen, module = "edulearn_migrate._native")]
pub struct Work {
    stop: Stop,
    work: Mutex<Option<Pin<Box<dyn Future<Output = Ending> + Send>>>>,
}

impl Work {
    /// A verb whose report becomes dictionaries.
    pub fn new<R, W>(verb: Verb, work: impl FnOnce(Verb) -> W) -> Self
    where
        R: Serialize + std::fmt::Debug + Send + 'static,
        W: Future<Output = Outcome<R>> + Send + 'static,
    {
        Self::converted(verb, work, |py, report| to_python(py, &report).map(Bound::unbind))
    }

    /// A verb whose answer becomes what `convert` makes of it.
    pub fn converted<R, W>(
        verb: Verb,
        work: impl FnOnce(Verb) -> W,
        convert: fn(Python<'_>, R) -> PyResult<Py<PyAny>>,
    ) -> Self
    where
        R: Serialize + std::fmt::Debug + Send + 'static,
        W: Future<Output = Outcome<R>> + Send + 'static,
    {
        let stop = verb.stop.clone();
        let work = work(verb);
        let work = async move {
            let outcome = work.await;
            let ending: Ending = Box::new(move |py, signalled| match outcome {
                // The run ended by itself before its next safe point: the caller must still learn of the signal.
                Ok(report) if signalled => {
                    let error = Error::Interrupted("The run had finished before it could be stopped.".to_owned());
                    Err(failed(py, &Failed { error, report: Some(Box::new(report)) }))
                }
                Ok(report) => convert(py, report),
                Err(error) => Err(failed(py, &error)),
            });
            ending
        };
        Self { stop, work: Mutex::new(Some(Box::pin(work))) }
    }

    fn take(&self) -> PyResult<Pin<Box<dyn Future<Output = Ending> + Send>>> {
        let work = self.work.lock().unwrap_or_else(PoisonError::into_inner).take();
        work.ok_or_else(|| PyRuntimeError::new_err("This was carried out already."))
    }
}

#[pymethods]
impl Work {
    /// Carries it out with Python's lock released. A signal whose handler raises (Ctrl-C) asks the run to stop at its next
    /// safe point and is raised once it has; a second one gives the run up where it stands.
    pub fn run(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        let runtime = runtime()?;
        let mut signal: Option<PyErr> = None;
        let mut task = runtime.spawn(self.take()?);
        let ending = loop {
            let waited = py.detach(|| runtime.block_on(async { tokio::time::timeout(SIGNAL_POLL, &mut task).await }));
            if let Ok(joined) = waited {
                break joined.map_err(unexpected)?;
            }
            if let Err(raised) = py.check_signals() {
                if signal.is_some() {
                    task.abort();
                    return Err(raised);
                }
                self.stop.cancel();
                signal = Some(raised);
            }
        };
        let Some(raised) = signal else { return ending(py, false) };
        raised.set_cause(py, ending(py, true).err());
        Err(raised)
    }

    /// Starts it and returns an awaitable. Cancelling that asks the run to stop at its next safe point; the run goes on to
    /// that point by itself, with the lease released behind it.
    fn start<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let runtime = runtime()?;
        let work = self.take()?;
        let guard = self.stop.clone().drop_guard();
        pyo3_async_runtimes::tokio::future_into_py(py, async move {
            let ending = runtime.spawn(work).await;
            guard.disarm();
            let ending = ending.map_err(unexpected)?;
            Python::attach(|py| ending(py, false))
        })
    }
}

fn unexpected(error: JoinError) -> PyErr {
    PyRuntimeError::new_err(format!("The engine stopped unexpectedly: {error}"))
}
