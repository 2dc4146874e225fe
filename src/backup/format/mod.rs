//! The format of a backup: its directory, its files, and the manifest that vouches for them.

pub mod directory;
pub mod files;
pub mod frames;
pub mod manifest;
pub mod metadata;
pub mod pieces;
pub mod reader;
pub mod space;
mod strict_json;
pub mod trust;
