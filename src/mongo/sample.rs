//! Drawing `_id`s at random, to cut a collection into about equal ranges.

use bson::raw::cstr;
use bson::{RawArrayBuf, RawDocumentBuf, rawdoc};

use super::server::Server;
use crate::error::codes;
use crate::error::server::ServerError;

/// What is drawn.
pub struct Sample<'a> {
    /// The collection.
    pub collection: &'a str,
    /// How many documents are drawn.
    pub size: i64,
    /// Of which documents; selects by `_id`.
    pub filter: RawDocumentBuf,
    /// Whether that is nearly the whole collection: then the server draws before it filters, and reads only what it draws.
    /// Otherwise it reads all keys that the filter selects, and only those.
    pub whole: bool,
    /// The read concern, where it is not the default.
    pub concern: Option<RawDocumentBuf>,
}

impl Sample<'_> {
    /// Draws, and returns documents that have the `_id` only, in the server's order: only it knows the order across types and
    /// collations. One may be there twice.
    ///
    /// # Errors
    /// The server's.
    pub async fn draw(&self, server: &Server) -> Result<Vec<RawDocumentBuf>, ServerError> {
        match server.read_all(self.command(self.whole)).await {
            // A cursor that jumps at random may meet the same documents again and again, and the server gives up.
            Err(e) if self.whole && e.is(codes::ONLY_DUPLICATES_DRAWN) => server.read_all(self.command(false)).await,
            drawn => drawn,
        }
    }

    fn command(&self, draws_first: bool) -> RawDocumentBuf {
        let sample = rawdoc! {"$sample": {"size": self.size}};
        let filter = rawdoc! {"$match": self.filter.clone()};
        let keys = rawdoc! {"$project": {"_id": 1}};
        let mut pipeline: RawArrayBuf = match draws_first {
            true => [sample, keys, filter].into_iter().collect(),
            false => [filter, keys, sample].into_iter().collect(),
        };
        pipeline.push(rawdoc! {"$sort": {"_id": 1}});
        let mut command = rawdoc! {"aggregate": self.collection, "pipeline": pipeline, "cursor": {}};
        if let Some(concern) = &self.concern {
            command.append(cstr!("readConcern"), concern.clone());
        }
        command
    }
}
