//! Migrations for MongoDB that resume exactly where they were killed.
//!
//! The engine is plain Rust: [`engine`] has one function per verb; it decides, and takes its decisions
//! through with [`ops`], the operations, over [`run`], which holds the lease, the journal and the chunked
//! writer; [`preview`] asks what they would do without doing it; [`backup`] writes, verifies and restores backups. [`server`] is the only place that talks to MongoDB. The Python binding, in `api`, is
//! compiled only with the feature `python`.

pub mod assessment;
pub mod backup;
pub mod capture;
pub mod catalog;
pub mod checks;
pub mod compare;
pub mod cursor;
pub mod engine;
pub mod error;
pub mod expiry;
pub mod guard;
pub mod holder;
pub mod index_spec;
pub mod lint;
pub mod migration;
pub mod names;
pub mod observe;
pub mod ops;
pub mod plural;
pub mod preview;
pub mod raw;
pub mod redact;
pub mod retry;
pub mod run;
pub mod script;
pub mod server;
pub mod server_error;
pub mod source;
pub mod undo;
pub mod waiting;

#[cfg(feature = "python")]
mod api;
