//! `assessment-migrate` and `assessment-rollback`: the unification of the assessment model, and taking it back.
//!
//! A run of tasks like a migration's, with a record of its own in the ledger. Its captures add up from run to run, and a
//! rollback undoes all of them, the latest first.

mod beforehand;
mod disk_space;
mod migrate;
mod preconditions;
mod record;
mod rollback;
mod shared;
mod steps;
mod unmapped;

pub use self::migrate::migrate;
pub use self::record::unfinished;
pub use self::rollback::rollback;
pub use self::shared::MigrateOptions;
