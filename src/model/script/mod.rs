//! Migration scripts: reading them, and the operations they hold. Nothing here talks to a server.

pub mod allow;
pub mod checks;
pub mod extended;
pub mod fields;
pub mod keys;
pub mod numbers;
pub mod operation;
pub mod options;
mod parsing;
pub mod reader;
pub mod refusals;
pub mod text;
mod tuples;

pub use operation::{Operation, Script};
