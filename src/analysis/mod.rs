//! Looking without writing: the rules of `lint`, what a `plan` would do to the live data, the checks of a migration
//! file, and the comparison of two databases.

pub mod checks;
pub mod compare;
pub mod lint;
pub mod plan;
