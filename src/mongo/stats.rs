//! What the server remembers of a collection's size.

use bson::{RawDocument, doc};

use crate::error::server::ServerError;
use crate::model::number::raw_field;
use crate::mongo::server::Server;

/// Documents and bytes of a collection, before the server's compression. After a crash they may be wrong.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Stats {
    /// Documents.
    pub documents: i64,
    /// Their size in bytes.
    pub bytes: i64,
}

impl Stats {
    /// Asks for those of `collection`. A sharded cluster answers once for each shard; the answers are added up.
    ///
    /// # Errors
    /// The server's: a user may lack the right `collStats`, and views have no size.
    pub async fn of(server: &Server, collection: &str) -> Result<Self, ServerError> {
        let command = doc! {"aggregate": collection, "pipeline": [{"$collStats": {"storageStats": {}}}], "cursor": {}};
        let answers = server.find_all(command).await?;
        Ok(answers.iter().map(|answer| Self::read(answer)).fold(Self::default(), |sum, one| Self {
            documents: sum.documents + one.documents,
            bytes: sum.bytes + one.bytes,
        }))
    }

    fn read(answer: &RawDocument) -> Self {
        let Ok(storage) = answer.get_document("storageStats") else { return Self::default() };
        // Of a time-series collection the server counts the buckets apart.
        let buckets = storage.get_document("timeseries").ok().and_then(|it| raw_field(it, "bucketCount"));
        Self {
            documents: raw_field(storage, "count").or(buckets).unwrap_or(0),
            bytes: raw_field(storage, "size").unwrap_or(0),
        }
    }

    /// The average size of a document in bytes; `None` where there is none.
    pub fn average(self) -> Option<i64> {
        self.bytes.checked_div(self.documents)
    }
}
