//! Who answers the reads of a dump.
//!
//! A scan in natural order carries on behind a record id. Each member numbers its records itself. Another member may have
//! other ids for the same documents. A restart replays the last writes, so the same member may have other ids afterwards,
//! too. A scan therefore carries on only if the same process has been primary since the scan began.

use std::time::{Duration, Instant};

use bson::doc;
use bson::oid::ObjectId;

use crate::error::server::ServerError;
use crate::mongo::server::Server;

/// A process of a server, and since when it is primary.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Member {
    process: ObjectId,
    /// Differs after every election; a standalone server has none.
    election: Option<ObjectId>,
}

impl Member {
    /// The one that answers now; `None` where it does not say who it is.
    ///
    /// # Errors
    /// The server's.
    pub(super) async fn now(server: &Server) -> Result<Option<Self>, ServerError> {
        let hello = server.run_admin(doc! {"hello": 1}).await?;
        let process = hello.get_document("topologyVersion").and_then(|version| version.get_object_id("processId"));
        Ok(process.ok().map(|process| Self { process, election: hello.get_object_id("electionId").ok() }))
    }

    /// [`now`](Self::now), and how long the answer took.
    ///
    /// # Errors
    /// The server's.
    pub(super) async fn timed(server: &Server) -> Result<(Option<Self>, Duration), ServerError> {
        let asked = Instant::now();
        Ok((Self::now(server).await?, asked.elapsed()))
    }
}
