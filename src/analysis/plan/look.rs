//! Reading for a plan: collections as a whole, without decoding, until somebody asks to stop.

use std::time::{Duration, Instant};

use bson::raw::cstr;
use bson::{Bson, Document, RawBson, RawDocument, RawDocumentBuf, rawdoc};

use crate::error::Error;
use crate::error::message::show;
use crate::error::server::ServerError;
use crate::mongo::query::{Query, raw};
use crate::mongo::server::Server;
use crate::mongo::stats::Stats;
use crate::observe::Stop;

/// Examples that a plan gives of anything.
pub const EXAMPLES: usize = 3;

/// What it takes to look.
pub struct PlanContext<'a> {
    /// The database.
    pub server: &'a Server,
    /// What asks to stop.
    pub stop: &'a Stop,
    /// Whether the run would capture nothing.
    pub uncaptured: bool,
}

/// Why something could not be looked at.
#[derive(Debug)]
pub enum PlanError {
    /// The server refuses the question, and so would refuse the operation.
    Refused(ServerError),
    /// The server, or a cursor, was lost on the way: the look has to begin anew.
    Lost(ServerError),
    /// The server refuses who we are, or the look was stopped.
    Stopped(Error),
}

impl From<ServerError> for PlanError {
    fn from(error: ServerError) -> Self {
        if error.is_passing() {
            return Self::Lost(error);
        }
        if error.authentication {
            return Self::Stopped(Error::server("Looking at the data")(error));
        }
        Self::Refused(error)
    }
}

impl From<Error> for PlanError {
    fn from(error: Error) -> Self {
        Self::Stopped(error)
    }
}

impl From<mongodb::error::Error> for PlanError {
    fn from(error: mongodb::error::Error) -> Self {
        ServerError::from(error).into()
    }
}

impl PlanContext<'_> {
    /// Reads every document of a cursor command, and says how long that took.
    pub async fn each(
        &self,
        command: RawDocumentBuf,
        mut see: impl FnMut(&RawDocument) + Send,
    ) -> Result<Duration, PlanError> {
        let began = Instant::now();
        let mut documents = self.server.find(command).await?;
        while let Some(mut reply) = documents.next_reply().await? {
            self.safe_point()?;
            while let Some(document) = reply.take_next() {
                see(document);
            }
        }
        Ok(began.elapsed())
    }

    /// Where a look may stop.
    ///
    /// # Errors
    /// [`Error::Interrupted`].
    pub fn safe_point(&self) -> Result<(), PlanError> {
        match self.stop.is_cancelled() {
            true => Err(Error::Interrupted("Stopped on request. A plan changes nothing.".to_owned()).into()),
            false => Ok(()),
        }
    }

    /// How many documents a filter selects, also one that the server will not count.
    pub async fn count(&self, query: &Query<'_>, filter: &RawDocumentBuf) -> Result<(i64, Duration), PlanError> {
        let began = Instant::now();
        match query.count(self.server, filter.clone()).await {
            Ok(number) => Ok((number, began.elapsed())),
            Err(e) if e.is_passing() || e.authentication => Err(e.into()),
            // $near cannot be counted, and $where not together with variables.
            Err(_) => {
                let mut number = 0;
                let took = self.each(find(query, filter, &["_id"])?, |_| number += 1).await?;
                Ok((number, took))
            }
        }
    }

    /// Lets the server read a filter and a collation. It says how it would look, and does not.
    pub async fn understands(&self, query: &Query<'_>, filter: &RawDocumentBuf) -> Result<(), PlanError> {
        let command = rawdoc! {"explain": find(query, filter, &[])?, "verbosity": "queryPlanner"};
        self.server.run_raw(command, None).await?;
        Ok(())
    }

    /// Documents and bytes of a collection as the server keeps count of them; nothing where the user may not ask.
    pub async fn size(&self, collection: &str) -> Option<(i64, i64)> {
        Stats::of(self.server, collection).await.ok().map(|size| (size.documents, size.bytes))
    }
}

/// The `find` of what a query selects, with just these fields and the `_id`.
pub fn find(query: &Query<'_>, filter: &RawDocumentBuf, fields: &[&str]) -> Result<RawDocumentBuf, ServerError> {
    let mut projection = Document::new();
    projection.insert("_id", 1);
    for field in fields {
        projection.insert(*field, 1);
    }
    let mut command = rawdoc! {"find": query.collection, "filter": filter.clone(), "projection": raw(&projection)?};
    selecting(query, &mut command)?;
    Ok(command)
}

/// Appends how a query selects, besides by its filter.
pub fn selecting(query: &Query<'_>, command: &mut RawDocumentBuf) -> Result<(), ServerError> {
    if let Some(hint) = query.hint.and_then(|hint| RawBson::try_from(hint.clone()).ok()) {
        command.append(cstr!("hint"), hint);
    }
    if let Some(collation) = query.collation {
        command.append(cstr!("collation"), raw(collation)?);
    }
    if let Some(variables) = query.variables {
        command.append(cstr!("let"), raw(variables)?);
    }
    Ok(())
}

/// The `_id` of a document, for people.
pub fn id_text(document: &RawDocument) -> String {
    match document.get("_id").ok().flatten().and_then(|id| Bson::try_from(id).ok()) {
        Some(id) => show(&id),
        None => "an _id that cannot be shown".to_owned(),
    }
}
