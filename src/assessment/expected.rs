//! Whether a collection is as a run has left it, counted by the server: then what the run has written is not read again.

use std::sync::Arc;

use bson::{RawArrayBuf, rawdoc};

use super::copies::KnownCopies;
use super::names::{ASSESSMENTS, TEACHER_ASSESSMENTS};
use crate::error::server::ServerError;
use crate::model::number::raw_field;
use crate::mongo::server::Server;

/// How many documents a collection has, and their bytes: an edit that adds, removes or lengthens anything shows in them.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct CollectionSize {
    /// Documents.
    pub documents: i64,
    /// Their size as BSON.
    pub bytes: i64,
}

impl CollectionSize {
    /// With one more document.
    pub fn add(&mut self, document: &[u8]) {
        self.documents += 1;
        self.bytes += i64::try_from(document.len()).unwrap_or(i64::MAX);
    }
}

impl std::ops::AddAssign for CollectionSize {
    fn add_assign(&mut self, other: Self) {
        self.documents += other.documents;
        self.bytes += other.bytes;
    }
}

/// What is there after a run, unless somebody else has written.
#[derive(Debug, Clone)]
pub struct ExpectedCollections {
    /// The assessments' collection.
    pub assessments: CollectionSize,
    /// The teacher assessments.
    pub teachers: CollectionSize,
    /// Unified regular assessments.
    pub regular: i64,
    /// Unified copies of teacher assessments.
    pub copies: i64,
    /// Whether each teacher assessment has one of these copies, and all are under the `_id`s that the run was asked for.
    pub all_copied: bool,
    /// Copies that have another `_id`.
    pub known: Arc<KnownCopies>,
}

/// Which of these expectations the server confirms.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Confirmed {
    /// What is unified is complete: somebody had looked at it before the run, or the run has written it.
    pub unified: bool,
    /// Each teacher assessment has its copy.
    pub copies: bool,
}

impl ExpectedCollections {
    /// Asks the server how many documents there are, and how large.
    ///
    /// # Errors
    /// The server's.
    pub async fn confirm(&self, server: &Server) -> Result<Confirmed, ServerError> {
        let unified = size(server, ASSESSMENTS).await? == self.assessments;
        let copies = unified && self.all_copied && size(server, TEACHER_ASSESSMENTS).await? == self.teachers;
        Ok(Confirmed { unified, copies })
    }
}

async fn size(server: &Server, collection: &str) -> Result<CollectionSize, ServerError> {
    // What the server remembers of a collection may be wrong after a crash.
    let group = rawdoc! {"$group": {"_id": null, "n": {"$sum": 1_i64}, "bytes": {"$sum": {"$bsonSize": "$$ROOT"}}}};
    let pipeline: RawArrayBuf = [group].into_iter().collect();
    let found = server.read_all(rawdoc! {"aggregate": collection, "pipeline": pipeline, "cursor": {}}).await?;
    let field = |name: &str| found.first().and_then(|found| raw_field(found, name)).unwrap_or_default();
    Ok(CollectionSize { documents: field("n"), bytes: field("bytes") })
}
