//! What opening a dump works with, and what it finds.

use std::path::{Path, PathBuf};

use super::collection::DumpedCollection;
use crate::observe::{Reporter, Stop};

/// What opening a dump works with.
#[derive(Debug)]
pub struct Opening<'a> {
    /// What mongodump wrote.
    pub path: &'a Path,
    /// The database whose dump is taken where there are several.
    pub database: &'a str,
    /// Where there is room for what a gzipped archive holds, which is not kept in memory.
    pub room: &'a Path,
    /// The reporter of progress and warnings.
    pub reporter: &'a Reporter,
    /// What asks to stop.
    pub stop: &'a Stop,
}

/// What a dump holds, before its collections are looked into.
#[derive(Debug)]
pub(super) struct DumpListing {
    pub(super) name: PathBuf,
    pub(super) database: String,
    pub(super) collections: Vec<DumpedCollection>,
    pub(super) users: bool,
    pub(super) oplog: bool,
    pub(super) notes: Vec<String>,
}

/// What has to be said of every dump but archives.
pub(super) fn no_checksums() -> Vec<String> {
    vec![
        "mongodump writes no checksums: every file is made of whole documents, but a change inside one, or documents missing at an end, cannot be seen".to_owned(),
    ]
}
