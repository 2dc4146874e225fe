//! The server as we use it: the one connection, what its errors mean, what is tried again, how its bytes are read and
//! what its catalog says.

pub mod catalog;
pub mod connecting;
mod credentials;
pub mod cursor;
pub mod demands;
pub mod expiry;
pub mod guard;
pub mod hashes;
pub mod id;
pub mod indexes;
pub mod local;
pub mod movable;
pub mod obstacle;
pub mod profile;
pub mod query;
pub mod raw;
pub mod reply;
pub mod retry;
pub mod rights;
pub mod sample;
pub mod server;
pub mod stats;
mod tls_files;
pub mod waiting;
