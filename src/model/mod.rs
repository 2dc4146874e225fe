//! What migration files say. Nothing here talks to a server.

pub mod equivalence;
pub mod migration;
pub mod number;
pub mod script;
pub mod source;
