//! Reports and documents as Python values.

use bson::{Bson, RawDocumentBuf};
use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyList, PyString};
use serde::Serialize;

/// A report, event or holder as dictionaries, lists and plain values; dates as aware UTC datetimes.
pub fn to_python<'py>(py: Python<'py>, value: &impl Serialize) -> PyResult<Bound<'py, PyAny>> {
    let bson = bson::serialize_to_bson(value).map_err(|e| PyRuntimeError::new_err(e.to_string()))?;
    value_to_python(py, &bson)
}

/// Documents as the database has them: PyMongo's types where it is installed, else Extended JSON's.
pub fn documents_to_python<'py>(py: Python<'py>, documents: &[RawDocumentBuf]) -> PyResult<Bound<'py, PyAny>> {
    // Another package is also called bson.
    let decode = py.import("bson").and_then(|bson| bson.getattr("decode")).ok();
    let list = PyList::empty(py);
    for document in documents {
        let value = match &decode {
            Some(decode) => decode.call1((PyBytes::new(py, document.as_bytes()),))?,
            None => {
                let decoded =
                    bson::Document::try_from(document.as_ref()).map_err(|e| PyRuntimeError::new_err(e.to_string()))?;
                json_to_python(py, &Bson::Document(decoded))?
            }
        };
        list.append(value)?;
    }
    Ok(list.into_any())
}

fn value_to_python<'py>(py: Python<'py>, value: &Bson) -> PyResult<Bound<'py, PyAny>> {
    Ok(match value {
        Bson::Null => py.None().into_bound(py),
        Bson::Boolean(value) => value.into_pyobject(py)?.to_owned().into_any(),
        Bson::Int32(value) => value.into_pyobject(py)?.into_any(),
        Bson::Int64(value) => value.into_pyobject(py)?.into_any(),
        Bson::Double(value) => value.into_pyobject(py)?.into_any(),
        Bson::String(value) => PyString::new(py, value).into_any(),
        Bson::DateTime(value) => datetime(py, value.timestamp_millis())?,
        Bson::Array(items) => {
            let list = PyList::empty(py);
            for item in items {
                list.append(value_to_python(py, item)?)?;
            }
            list.into_any()
        }
        Bson::Document(fields) => {
            let dict = PyDict::new(py);
            for (key, field) in fields {
                dict.set_item(key, value_to_python(py, field)?)?;
            }
            dict.into_any()
        }
        other => json_to_python(py, other)?,
    })
}

/// An aware UTC datetime. One beyond Python's years becomes the last it has, less a day for the zones, or the first.
fn datetime(py: Python<'_>, milliseconds: i64) -> PyResult<Bound<'_, PyAny>> {
    const FIRST: i64 = -62_135_510_400_000; // 0001-01-02
    const LAST: i64 = 253_402_214_400_000; // 9999-12-31
    let module = py.import("datetime")?;
    let utc = module.getattr("timezone")?.getattr("utc")?;
    let epoch = module.getattr("datetime")?.call1((1970, 1, 1, 0, 0, 0, 0, utc))?;
    let arguments = PyDict::new(py);
    arguments.set_item("milliseconds", milliseconds.clamp(FIRST, LAST))?;
    let since = module.getattr("timedelta")?.call((), Some(&arguments))?;
    epoch.call_method1("__add__", (since,))
}

fn json_to_python<'py>(py: Python<'py>, value: &Bson) -> PyResult<Bound<'py, PyAny>> {
    let text = value.clone().into_relaxed_extjson().to_string();
    py.import("json")?.call_method1("loads", (text,))
}
