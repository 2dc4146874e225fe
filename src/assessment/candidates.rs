//! Documents that are to be written, and how the server is asked about them before they are.

use std::collections::HashSet;

use bson::{Document, RawArrayBuf, RawDocument, RawDocumentBuf, doc, rawdoc};

use super::names::ASSESSMENTS;
use crate::error::server::ServerError;
use crate::mongo::id::Id;
use crate::mongo::server::Server;

/// Documents that the server is asked about at once, and their bytes at most.
pub(super) const AT_ONCE: usize = 500;
const BYTES: usize = 4 * 1024 * 1024;
/// A command with a document beyond this might be too large itself.
const LARGEST: usize = 15 * 1024 * 1024;

/// A document that is to be written.
#[derive(Debug)]
pub struct Candidate {
    /// As it will be.
    pub after: RawDocumentBuf,
    /// As it is, where it is changed in place.
    pub before: Option<RawDocumentBuf>,
}

/// How the server is asked which of some documents match a filter.
pub(super) struct Asking<'a> {
    pub(super) server: &'a Server,
    pub(super) source: &'a str,
    pub(super) collation: Option<&'a Document>,
}

impl Asking<'_> {
    /// The numbers of those documents that do not match. The server itself evaluates the filter: they are literals of a
    /// pipeline.
    pub(super) async fn not_matching(
        &self,
        documents: &[(usize, &RawDocument)],
        filter: &Document,
    ) -> Result<Vec<usize>, ServerError> {
        let filter = RawDocumentBuf::try_from(filter).map_err(mongodb::error::Error::from)?;
        let collation = self.collation.cloned().unwrap_or_else(|| doc! {"locale": "simple"});
        let collation = RawDocumentBuf::try_from(&collation).map_err(mongodb::error::Error::from)?;
        let mut missing = Vec::new();
        let mut rest: Vec<_> = documents.iter().filter(|(_, each)| each.as_bytes().len() <= LARGEST).collect();
        while !rest.is_empty() {
            let mut bytes = 0;
            let fitting = rest.iter().take(AT_ONCE).take_while(|(_, each)| {
                bytes += each.as_bytes().len();
                bytes <= BYTES
            });
            let these: Vec<_> = rest.drain(..fitting.count().max(1)).collect();
            let mut literals = RawArrayBuf::new();
            these.iter().for_each(|(_, each)| literals.push((*each).to_owned()));
            let stages: RawArrayBuf = [
                rawdoc! {"$limit": 1},
                rawdoc! {"$project": {"_id": 0, "each": {"$literal": literals}}},
                rawdoc! {"$unwind": "$each"},
                rawdoc! {"$replaceRoot": {"newRoot": "$each"}},
                rawdoc! {"$match": filter.clone()},
                rawdoc! {"$project": {"_id": 1}},
            ]
            .into_iter()
            .collect();
            let command = rawdoc! {
                "aggregate": self.source, "pipeline": stages, "collation": collation.clone(), "cursor": {},
            };
            let found = self.server.read_all(command).await?;
            let matching: HashSet<Id> = found.iter().filter_map(|document| Id::of_stored(document)).collect();
            missing.extend(these.iter().filter_map(|(at, each)| {
                let passes = Id::of_stored(each).is_some_and(|id| matching.contains(&id));
                (!passes).then_some(*at)
            }));
        }
        Ok(missing)
    }

    /// Whether any document of the assessments' collection is selected by one of the clauses, among those that `partial`
    /// selects.
    pub(super) async fn any(
        &self,
        clauses: &[&RawDocumentBuf],
        partial: Option<&Document>,
        collation: Option<&Document>,
    ) -> Result<bool, ServerError> {
        let clauses: RawArrayBuf = clauses.iter().map(|clause| (*clause).clone()).collect();
        let mut all = RawArrayBuf::new();
        all.push(rawdoc! {"$or": clauses});
        if let Some(partial) = partial {
            all.push(RawDocumentBuf::try_from(partial).map_err(mongodb::error::Error::from)?);
        }
        let collation = collation.cloned().unwrap_or_else(|| doc! {"locale": "simple"});
        let collation = RawDocumentBuf::try_from(&collation).map_err(mongodb::error::Error::from)?;
        let find = rawdoc! {
            "find": ASSESSMENTS, "filter": {"$and": all}, "projection": {"_id": 1}, "limit": 1, "collation": collation,
        };
        Ok(!self.server.read(find, None, usize::MAX).await?.is_empty())
    }
}
