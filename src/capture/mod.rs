//! Capture: what a migration overwrites, removes or drops is kept in the database, in the very transaction
//! that does it, so that it can be brought back exactly.
//!
//! Each run of a script, up or down, captures under an id of its own, in collections of its own
//! ([`capture_key`](crate::run::capture_key) names them):
//!
//! - `migrations_undo` has a header for the run and an entry for each operation: what stood before it
//!   ([`registry`], [`schema`]);
//! - `migrations_undo_<run>` has packs ([`pack`]): what changed in which document ([`delta`]), and which
//!   documents were inserted;
//! - `migrations_undo_<run>_<operation>` has documents whole, as they were, 16 MiB ones too: those deleted,
//!   and those whose fields cannot be told apart by name; `…_left` beside it has the `_id`s of those that an exact
//!   rollback could not bring back ([`left`]);
//! - `migrations_kept_<run>_<operation>` is a dropped collection, renamed aside.
//!
//! Freeing what was captured is dropping collections.

pub mod beforehand;
pub mod by_id;
pub mod delta;
pub mod documents;
pub mod earlier;
pub mod foreseen;
pub mod kept;
pub mod left;
pub mod measurements;
pub mod pack;
pub mod registry;
pub mod reversal;
pub mod schema;
pub mod stash;
