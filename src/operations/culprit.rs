//! Which document a pipeline fails on: the server says why, and not where.
//!
//! The pipeline runs as an aggregation, which writes nothing. It is read up to the error; among the documents after
//! those that came, the one is found by halving.

use std::ops::Range;

use bson::raw::cstr;
use bson::{Bson, Document, RawArrayBuf, RawDocumentBuf, rawdoc};

use crate::error::codes;
use crate::error::message::show;
use crate::error::server::ServerError;
use crate::mongo::query::{Query, raw};
use crate::mongo::server::Server;

/// Documents that are looked at together, at first.
const TOGETHER: i64 = 1_000;

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
    if pipeline.fails_on(0..0).await?.is_some() {
        return Ok(None);
    }
    let Some(passed) = pipeline.passes().await? else { return Ok(None) };
    // The reply that it fails in may have any number of documents.
    let (mut from, mut number) = (passed, TOGETHER);
    while pipeline.fails_on(from..from + number).await?.is_none() {
        from += number;
        number *= 2;
        if pipeline.id_at(from).await?.is_none() {
            // Somebody has changed it meanwhile.
            return Ok(None);
        }
    }
    while number > 1 {
        let half = number / 2;
        if pipeline.fails_on(from..from + half).await?.is_some() {
            number = half;
        } else {
            from += half;
            number -= half;
        }
    }
    let error = pipeline.fails_on(from..from + 1).await?;
    Ok(error.zip(pipeline.id_at(from).await?).map(|(error, id)| Culprit { id, error }))
}

struct Pipeline<'a> {
    server: &'a Server,
    query: &'a Query<'a>,
    filter: &'a RawDocumentBuf,
    stages: &'a [Bson],
}

impl Pipeline<'_> {
    /// The pipeline on the documents of these numbers in the order of `_id`, or on all.
    fn command(&self, part: Option<Range<i64>>) -> Result<RawDocumentBuf, ServerError> {
        let mut stages = RawArrayBuf::new();
        stages.push(rawdoc! {"$match": self.filter.clone()});
        stages.push(rawdoc! {"$sort": {"_id": 1}});
        match part {
            // None: only whether the server understands it.
            Some(part) if part.is_empty() => stages.push(rawdoc! {"$match": {"$expr": false}}),
            Some(part) => {
                stages.push(rawdoc! {"$skip": part.start});
                stages.push(rawdoc! {"$limit": part.end - part.start});
            }
            None => {}
        }
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
        let mut made = match settled(self.server.find(self.command(None)?).await)? {
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

    /// The `_id` of the document of this number, as Extended JSON.
    async fn id_at(&self, number: i64) -> Result<Option<String>, ServerError> {
        let mut command = rawdoc! {
            "find": self.query.collection, "filter": self.filter.clone(), "projection": {"_id": 1}, "sort": {"_id": 1},
            "skip": number, "limit": 1, "allowDiskUse": true,
        };
        self.selecting(&mut command)?;
        let found = self.server.find(command).await?.next().await?;
        Ok(found.map(|document| {
            let decoded = Document::try_from(&*document).ok();
            decoded.and_then(|mut it| it.remove("_id")).as_ref().map_or_else(|| "that cannot be shown".to_owned(), show)
        }))
    }

    /// What the server says where it fails on one of these.
    async fn fails_on(&self, part: Range<i64>) -> Result<Option<ServerError>, ServerError> {
        let mut made = match settled(self.server.find(self.command(Some(part))?).await)? {
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
