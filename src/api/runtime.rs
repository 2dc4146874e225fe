//! The tokio runtime, and the process that it lives in.

use std::sync::OnceLock;
use std::time::Duration;

use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use tokio::runtime::Runtime;

/// How long a signal may wait to be seen.
pub const SIGNAL_POLL: Duration = Duration::from_millis(100);

/// The stack of a thread of the runtime, in bytes: twice the usual. Unoptimised builds need more than the half of that.
const STACK: usize = 4 * 1024 * 1024;

/// The runtime, and the process that started it; in a fork of that the runtime's threads do not exist.
static RUNTIME: OnceLock<(u32, Runtime)> = OnceLock::new();

/// The runtime, started at the first need.
///
/// # Errors
/// Where its threads cannot be started, and in a fork of the process that started it.
pub fn runtime() -> PyResult<&'static Runtime> {
    if RUNTIME.get().is_none() {
        let mut builder = tokio::runtime::Builder::new_multi_thread();
        builder.enable_all().worker_threads(2).thread_stack_size(STACK).thread_name("edulearn_migrate");
        let runtime = builder
            .build()
            .map_err(|error| PyRuntimeError::new_err(format!("The engine's threads cannot be started: {error}.")))?;
        // Another thread may have been faster.
        let _ = RUNTIME.set((std::process::id(), runtime));
    }
    let Some((process, runtime)) = RUNTIME.get() else { unreachable!("it was set above") };
    if *process != std::process::id() {
        return Err(PyRuntimeError::new_err(
            "edulearn_migrate was used in this process's parent before it forked; its threads do not survive a fork. \
             Use edulearn_migrate only after the fork (with `gunicorn --preload`: in the `post_fork` hook or in the \
             application's start-up event), or start the process with the `spawn` method.",
        ));
    }
    Ok(runtime)
}

/// Whether the runtime was started, and in this process.
pub fn started_here() -> bool {
    RUNTIME.get().is_some_and(|(process, _)| *process == std::process::id())
}
