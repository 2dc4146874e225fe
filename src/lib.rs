//! Migrations for MongoDB that resume exactly where they were killed.
//!
//! The engine is plain Rust: [`engine`] has one function per verb over [`ops`], [`script`] and
//! [`migration`]; [`server`] is the only place that talks to MongoDB. The Python binding, in `api`, is
//! compiled only with the feature `python`.

pub mod engine;
pub mod error;
pub mod migration;
pub mod observe;
pub mod ops;
pub mod redact;
pub mod script;
pub mod server;
pub mod source;

#[cfg(feature = "python")]
mod api;
