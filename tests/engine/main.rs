//! The engine against a real server, without Python.
//!
//! The server is named by `EDULEARN_TEST_URI`; `make test` starts one. Each test has a database of its own
//! and drops it.

mod chunked;
mod copies;
mod fencing;
mod schema;
mod support;
