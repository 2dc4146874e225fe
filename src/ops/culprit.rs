//! Which document a pipeline fails on: the server says why, and not where.
//!
//! The pipeline runs as an aggregation, which writes nothing. It is read up to the error, and the documents of the
//! reply that it ended are halved until one is left.

use bson::raw::cstr;
use bson::{Bson, Document, RawArrayBuf, RawDocumentBuf, rawdoc};

use crate::run::id::Id;
use crate::run::query::{Query, raw};
use crate::server::Server;
use crate::server_error::{ServerError, codes, show};

/// Documents of one reply, as [`Server::find`] asks for them, and as many again for those that change meanwhile.
const REPLY: i64 = 2_000;

/// A document that a pipeline fails on.
#[derive(Debug, Clone)]
pub struct Culprit {
    /// Its `_id`, as Extended JSON.
    pub id: String,
    /// What the server says.
    pub error: ServerError,
}

/// The first document by `_id`, of those that `filter` selects, that these stages fail on. `None` where there is none,
/// and where only an update takes the filter or the stages.
///
/// # Errors
/// Where the server is gone.
pub async fn find(
    server: &Server,
    query: &Query<'_>,
    filter: &RawDocumentBuf,
    stages: &[Bson],
) -> Result<Option<Culprit>, ServerError> {
    let pipeline = Pipeline { server, query, filter, stages };
    if pipeline.fails_on(&[]).await?.is_some() {
        return Ok(None);
    }
    let passed = match pipeline.passes().await? {
        Some(passed) => passed,
        None => return Ok(None),
    };
    let mut command = rawdoc! {
        "find": query.collection, "filter": filter.clone(), "projection": {"_id": 1}, "sort": {"_id": 1}, "skip": passed,
        "limit": REPLY, "allowDiskUse": true,
    };
    pipeline.selecting(&mut command)?;
    let mut found = server.find(command).await?;
    let mut ids: Vec<Id> = Vec::new();
    while let Some(document) = found.next().await? {
        ids.extend(Id::of(&document));
    }
    let mut suspects = ids.as_slice();
    if pipeline.fails_on(suspects).await?.is_none() {
        // Somebody has changed it meanwhile.
        return Ok(None);
    }
    while suspects.len() > 1 {
        let (first, second) = suspects.split_at(suspects.len() / 2);
        suspects = if pipeline.fails_on(first).await?.is_some() { first } else { second };
    }
    let error = pipeline.fails_on(suspects).await?;
    Ok(error.zip(suspects.first()).map(|(error, id)| Culprit { id: id_text(id), error }))
}

struct Pipeline<'a> {
    server: &'a Server,
    query: &'a Query<'a>,
    filter: &'a RawDocumentBuf,
    stages: &'a [Bson],
}

impl Pipeline<'_> {
    fn command(&self, filter: RawDocumentBuf) -> Result<RawDocumentBuf, ServerError> {
        let mut stages = RawArrayBuf::new();
        stages.push(rawdoc! {"$match": filter});
        stages.push(rawdoc! {"$sort": {"_id": 1}});
        for stage in self.stages.iter().filter_map(Bson::as_document) {
            stages.push(raw(stage)?);
        }
        let mut command = rawdoc! {
            "aggregate": self.query.collection, "pipeline": stages, "cursor": {}, "allowDiskUse": true,
        };
        self.selecting(&mut command)?;
        Ok(command)
    }

    fn selecting(&self, command: &mut RawDocumentBuf) -> Result<(), ServerError> {
        if let Some(collation) = self.query.collation {
            command.append(cstr!("collation"), raw(collation)?);
        }
        if let Some(variables) = self.query.variables {
            command.append(cstr!("let"), raw(variables)?);
        }
        Ok(())
    }

    /// How many documents come before the one that it fails on; `None` where it fails on none.
    async fn passes(&self) -> Result<Option<i64>, ServerError> {
        let mut passed = 0;
        let mut made = match settled(self.server.find(self.command(self.filter.clone())?).await)? {
            Ok(made) => made,
            Err(_) => return Ok(Some(passed)),
        };
        loop {
            match settled(made.next().await)? {
                Ok(Some(_)) => passed += 1,
                Ok(None) => return Ok(None),
                Err(_) => return Ok(Some(passed)),
            }
        }
    }

    /// What the server says where it fails on one of these.
    async fn fails_on(&self, ids: &[Id]) -> Result<Option<ServerError>, ServerError> {
        let command = self.command(rawdoc! {"$and": [{"_id": Id::any_of(ids)}, self.filter.clone()]})?;
        let mut made = match settled(self.server.find(command).await)? {
            Ok(made) => made,
            Err(error) => return Ok(Some(error)),
        };
        loop {
            match settled(made.next().await)? {
                Ok(Some(_)) => {}
                Ok(None) => return Ok(None),
                Err(error) => return Ok(Some(error)),
            }
        }
    }
}

/// Tells the server's answer from a server that is gone.
fn settled<T>(answer: Result<T, ServerError>) -> Result<Result<T, ServerError>, ServerError> {
    match answer {
        Err(e) if e.is_passing() || e.authentication || e.is(codes::CURSOR_NOT_FOUND) => Err(e),
        answer => Ok(answer),
    }
}

fn id_text(id: &Id) -> String {
    let shown = Document::try_from(&*id.keyed("_id")).ok().and_then(|mut document| document.remove("_id"));
    shown.as_ref().map_or_else(|| "that cannot be shown".to_owned(), show)
}
