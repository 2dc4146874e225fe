//! Migrations for MongoDB that resume exactly where they were killed.
//!
//! The engine is plain Rust: [`engine`] has one function per verb. It decides, and has its decisions carried out by
//! [`operations`] over [`run`], which holds the lease, the journal and the chunked writer. [`model`] is what migration
//! files say, and [`analysis`] looks at them and at the live data without writing. [`backup`] writes, verifies and
//! restores backups. [`mongo`] is the only place that talks to MongoDB. The Python binding, in `api`, is compiled only
//! with the feature `python`.

pub mod analysis;
pub mod assessment;
pub mod backup;
pub mod capture;
pub mod engine;
pub mod error;
pub mod hex;
pub mod holder;
pub mod model;
pub mod mongo;
pub mod names;
pub mod observe;
pub mod operations;
pub mod plural;
pub mod redact;
pub mod run;
pub mod sentence;
pub mod undo;

#[cfg(feature = "python")]
mod api;
