//! Migrations for MongoDB that resume exactly where they were killed.
//!
//! The engine is plain Rust. [`engine`] has one function for each verb. The function decides what is to be done, and
//! these modules do it:
//!
//! - [`model`] reads migration files, and [`analysis`] looks at them and at the live data without writing.
//! - [`run`] holds the lease, the ledger, the journal and the chunked writer. [`operations`] executes the operations of
//!   scripts over it.
//! - [`capture`] keeps what operations change, and [`undo`] puts it back.
//! - [`backup`] writes, verifies and restores backups.
//! - [`assessment`] is the migration of EDULEARN's assessment model.
//! - [`mongo`] is the only place that talks to MongoDB. [`names`] names the collections of ours in it.
//! - [`error`] holds the errors and their sentences, and [`observe`] is what a caller hears and stops a run by.
//!
//! The Python binding, in `api`, is compiled only with the feature `python`.

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
