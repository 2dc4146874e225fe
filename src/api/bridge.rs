//! Where the tokio runtime, Python's signals and its lock meet. Nothing else touches more than one of them.
//!
//! No thread of the runtime ever touches Python: it would need Python's lock, which the end of the interpreter takes
//! away for good. What the engine reports goes into a [`Queue`], and what a verb ends with into a [`Slot`], both of
//! plain Rust; a thread of Python's own takes it out.

use std::future::Future;
use std::io::Write;
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::net::UnixStream;
use std::pin::Pin;
use std::sync::{Arc, Condvar, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use serde::Serialize;
use tokio::task::{AbortHandle, JoinError};

use super::convert::to_python;
use super::ending;
use super::errors::{exception, failed};
use super::events::Events;
use super::queue::Queue;
use super::runtime::{SIGNAL_POLL, runtime};
use crate::engine::CallContext;
use crate::error::{Error, Failed};
use crate::mongo::waiting::reporting;
use crate::observe::{Observer, Silent, Stop};
use crate::run::worker::Workers;

/// What a listener's thread runs, and what starts a thread.
static LISTENING: PyOnceLock<(Py<PyAny>, Py<PyAny>)> = PyOnceLock::new();

/// Registers the listener thread and the exit handler when the module is loaded. A thread that starts later may be
/// too late to register them.
pub fn prepare(module: &Bound<'_, PyModule>) -> PyResult<()> {
    let py = module.py();
    let listen = py.import("edulearn_migrate.listening")?.getattr("listen")?.unbind();
    // Not a `threading.Thread`: to start one, the caller releases Python's lock and waits.
    let start = py.import("_thread")?.getattr("start_new_thread")?.unbind();
    let _ = LISTENING.set(py, (listen, start));
    py.import("atexit")?.call_method1("register", (module.getattr("end_runs")?,))?;
    Ok(())
}

/// Asks a run to stop at its next safe point.
#[pyclass(frozen, module = "edulearn_migrate._native")]
pub struct StopToken(Stop);

#[pymethods]
impl StopToken {
    /// A token that is set by itself, and with the one that it is derived from.
    #[new]
    #[pyo3(signature = (of = None))]
    fn new(of: Token<'_, '_>) -> Self {
        Self(of.map_or_else(Stop::new, |token| token.get().0.child_token()))
    }

    /// Asks every run that was given this token to stop at its next safe point.
    fn set(&self) {
        self.0.cancel();
    }
}

/// A call of a verb: what it reports to and is stopped by, and the Python callable that hears of it.
pub struct Call {
    call: CallContext,
    queue: Arc<Queue>,
    listener: Option<Py<PyAny>>,
}

impl Call {
    /// The same with so many chunks under way at once, or as many as usual.
    pub fn with_workers(mut self, py: Python<'_>, number: Option<usize>) -> PyResult<Self> {
        if let Some(number) = number {
            self.call.workers = Workers::new(number).map_err(|error| exception(py, &error))?;
        }
        Ok(self)
    }
}

/// A call that reports to `observer` and is stopped by `stop`.
pub fn call_context(observer: Callback, stop: Token<'_, '_>) -> Call {
    let queue = Arc::<Queue>::default();
    let hears: Arc<dyn Observer> = if observer.is_some() { queue.clone() } else { Arc::new(Silent) };
    // A child, so that a signal to this call stops no other call of the same token.
    let StopToken(stop) = StopToken::new(stop);
    Call { call: CallContext::new(hears, stop), queue, listener: observer }
}

/// What a verb ends with.
pub type CallOutcome<R> = Result<R, Failed<R>>;
/// A Python callable that events go to.
pub type Callback = Option<Py<PyAny>>;
/// What a caller stops a verb by.
pub type Token<'a, 'py> = Option<&'a Bound<'py, StopToken>>;

/// Converts the end of a verb into a Python value or exception. If the flag is set, a signal is pending, and the
/// result is always an exception.
type Ending = Box<dyn FnOnce(Python<'_>, bool) -> PyResult<Py<PyAny>> + Send>;

type Pending = Pin<Box<dyn Future<Output = Ending> + Send>>;

/// A verb with its arguments, carried out once.
#[pyclass(frozen, module = "edulearn_migrate._native")]
pub struct PendingCall {
    stop: Stop,
    queue: Arc<Queue>,
    work: Mutex<Option<(Pending, Option<Py<PyAny>>)>>,
    begun: OnceLock<Begun>,
}

/// A verb that has begun.
struct Begun {
    slot: Arc<Slot>,
    task: AbortHandle,
    /// Can be read from once the verb has ended.
    ended: UnixStream,
    /// Who hears of the events after the end, where no thread could be started to hear of them meanwhile.
    listener: Option<Py<PyAny>>,
}

/// Where a verb's end is put.
struct Slot {
    ending: Mutex<Option<Result<Ending, JoinError>>>,
    filled: Condvar,
    signal: UnixStream,
}

impl Slot {
    fn fill(&self, ending: Result<Ending, JoinError>) {
        *self.ending.lock().unwrap_or_else(PoisonError::into_inner) = Some(ending);
        self.filled.notify_all();
        // Nobody may be there to read it any more.
        let _ = (&self.signal).write(&[0]);
    }

    /// The end, which can be taken once; waits for it this long.
    fn take(&self, wait: Duration) -> Option<Result<Ending, JoinError>> {
        let ending = self.ending.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.filled.wait_timeout_while(ending, wait, |ending| ending.is_none());
        waited.unwrap_or_else(PoisonError::into_inner).0.take()
    }
}

impl PendingCall {
    /// A verb whose report becomes dictionaries.
    pub fn new<R, W>(call: Call, work: impl FnOnce(CallContext) -> W) -> Self
    where
        R: Serialize + std::fmt::Debug + Send + 'static,
        W: Future<Output = CallOutcome<R>> + Send + 'static,
    {
        Self::converted(call, work, |py, report| to_python(py, &report).map(Bound::unbind))
    }

    /// A verb whose answer becomes what `convert` makes of it.
    pub fn converted<R, W>(
        call: Call,
        work: impl FnOnce(CallContext) -> W,
        convert: fn(Python<'_>, R) -> PyResult<Py<PyAny>>,
    ) -> Self
    where
        R: Serialize + std::fmt::Debug + Send + 'static,
        W: Future<Output = CallOutcome<R>> + Send + 'static,
    {
        let Call { call, queue, listener } = call;
        let stop = call.stop.clone();
        let reporter = call.reporter.clone();
        let work = reporting(reporter, work(call));
        let work: Pending = Box::pin(async move {
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
        });
        Self { stop, queue, work: Mutex::new(Some((work, listener))), begun: OnceLock::new() }
    }

    /// Starts it on the runtime, and the thread of its listener.
    fn spawn(&self, py: Python<'_>) -> PyResult<&Begun> {
        let runtime = runtime()?;
        let work = self.work.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some((work, listener)) = work else {
            return Err(PyRuntimeError::new_err("This was carried out already."));
        };
        let (ended, signal) = UnixStream::pair()?;
        let heard = listener.as_ref().is_some_and(|listener| self.listen(py, listener).is_ok());
        let listener = listener.filter(|_| !heard);
        let slot = Arc::new(Slot { ending: Mutex::new(None), filled: Condvar::new(), signal });
        let task = runtime.spawn(work);
        let abort = task.abort_handle();
        let (queue, fill) = (self.queue.clone(), slot.clone());
        let run = ending::run(self.stop.clone(), queue.clone());
        runtime.spawn(async move {
            let ending = task.await;
            queue.close();
            if heard {
                queue.listened_to().await;
            }
            fill.fill(ending);
            drop(run);
        });
        Ok(self.begun.get_or_init(|| Begun { slot, task: abort, ended, listener }))
    }

    /// Starts a thread for the listener. An error where no thread can be started any more.
    fn listen(&self, py: Python<'_>, listener: &Py<PyAny>) -> PyResult<()> {
        let (listen, start) = listening(py)?;
        start.call1(py, (listen, (Events(self.queue.clone()), listener))).map(drop)
    }

    /// What Python gets, once the verb has ended.
    fn end(
        &self,
        py: Python<'_>,
        begun: &Begun,
        ending: Result<Ending, JoinError>,
        signalled: bool,
    ) -> PyResult<Py<PyAny>> {
        if let Some(listener) = &begun.listener {
            listening(py)?.0.call1(py, (Events(self.queue.clone()), listener))?;
        }
        ending.map_err(unexpected)?(py, signalled)
    }
}

#[pymethods]
impl PendingCall {
    /// Carries it out with Python's lock released. A signal whose handler raises (Ctrl-C) asks the run to stop at its next
    /// safe point and is raised once it has; a second one gives the run up where it is.
    pub fn run(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        let begun = self.spawn(py)?;
        let mut signal: Option<PyErr> = None;
        let ending = loop {
            match ending::detached(py, || begun.slot.take(SIGNAL_POLL)) {
                Some(Some(ending)) => break ending,
                Some(None) if !ending::given_up() => {}
                _ => {
                    begun.task.abort();
                    return Err(PyRuntimeError::new_err("The interpreter is ending."));
                }
            }
            if let Err(raised) = py.check_signals() {
                if signal.is_some() {
                    begun.task.abort();
                    return Err(raised);
                }
                self.stop.cancel();
                signal = Some(raised);
            }
        };
        let Some(raised) = signal else { return self.end(py, begun, ending, false) };
        raised.set_cause(py, self.end(py, begun, ending, true).err());
        Err(raised)
    }

    /// Starts it, and returns the number of a file descriptor that can be read from once it has ended.
    fn begin(&self, py: Python<'_>) -> PyResult<RawFd> {
        Ok(self.spawn(py)?.ended.as_raw_fd())
    }

    /// What a verb that was begun and has ended returns or raises.
    fn outcome(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        let begun = self.begun.get().ok_or_else(|| PyRuntimeError::new_err("This has not begun."))?;
        let ending = begun.slot.take(Duration::ZERO);
        self.end(py, begun, ending.ok_or_else(|| PyRuntimeError::new_err("This has not ended."))?, false)
    }
}

fn listening<'a>(py: Python<'_>) -> PyResult<&'a (Py<PyAny>, Py<PyAny>)> {
    LISTENING.get(py).ok_or_else(|| PyRuntimeError::new_err("The module was not loaded."))
}

fn unexpected(error: JoinError) -> PyErr {
    PyRuntimeError::new_err(format!("The engine stopped unexpectedly: {error}"))
}
