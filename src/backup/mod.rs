//! Backups: directories of compressed BSON that a restore can trust.
//!
//! A backup exists when its manifest does: it is written under another name, synced, and renamed last
//! ([`directory`](format::directory)). It is one state of all collections, at one cluster time, on a replica set ([`dump`],
//! [`snapshot`]). [`verify`] reads every byte of it; [`restore`] does so before it writes any, builds each collection
//! under a temporary name and swaps them in by a journal. Documents pass through as the server's bytes and are never
//! decoded.

pub mod catalog;
pub mod dump;
pub mod format;
pub mod meter;
pub mod mongodump;
pub mod names;
pub mod old_tool;
pub mod own;
pub mod ranges;
pub mod report;
pub mod restore;
pub mod rights;
pub mod snapshot;
pub mod source;
pub mod store;
pub mod verify;

/// How many things are read or written at once: enough to keep the server and the disk busy while blocks are
/// compressed, few enough to bound memory.
pub fn parallelism() -> usize {
    std::thread::available_parallelism().map_or(2, usize::from).clamp(2, 8)
}
