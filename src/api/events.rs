//! The listener's end of a queue of events.

use std::sync::Arc;

use pyo3::prelude::*;

use super::convert::to_python;
use super::ending;
use super::queue::Queue;

/// An iterator that waits for the next event with Python's lock released.
#[pyclass(frozen, module = "edulearn_migrate._native")]
pub struct Events(pub Arc<Queue>);

#[pymethods]
impl Events {
    fn __iter__(this: Py<Self>) -> Py<Self> {
        this
    }

    fn __next__<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        let event = ending::detached(py, || self.0.next()).flatten();
        event.map(|event| to_python(py, &event)).transpose()
    }

    /// Reports what a listener raised, which must not break a migration.
    fn raised(&self, py: Python<'_>, error: Bound<'_, PyAny>, listener: &Bound<'_, PyAny>) {
        PyErr::from_value(error).write_unraisable(py, Some(listener));
    }
}
