//! Bringing deleted documents back, beside the documents that exist.

use std::collections::HashSet;

use bson::{RawDocumentBuf, rawdoc};

use super::stashed::Stashed;
use crate::capture::by_id::read_by_id;
use crate::capture::documents::MEASUREMENT;
use crate::capture::kept::{Barred, insert, nested, unwrapped};
use crate::capture::{left, measurements};
use crate::error::server::ServerError;
use crate::error::{Error, Result};
use crate::mongo::catalog::{self, Collection};
use crate::mongo::id::Id;
use crate::mongo::retry::{Retry, retry};
use crate::mongo::server::Server;
use crate::run::capture_key::CaptureKey;
use crate::run::handle::Run;

/// Bytes of documents, and documents, looked at together.
const BYTES: usize = 16 * 1024 * 1024;
const DOCUMENTS: usize = 10_000;

/// What became of them.
#[derive(Debug, Clone, Copy, Default)]
pub struct Returned {
    /// Brought back.
    pub documents: i64,
    /// Passed over: others have their `_id`s, or they are back already.
    pub existing: i64,
    /// Passed over: a unique index bars them.
    pub barred: i64,
}

/// Inserts the documents whose place is free.
pub async fn bring_back(run: &mut Run, found: &Stashed, target: &str) -> Result<Returned> {
    let failed = || Error::server(format!("Bringing documents back into {target:?}"));
    let server = run.server.clone();
    let existing = catalog::collection(&server, target).await.map_err(failed())?;
    let series = existing.filter(|existing| existing.kind == "timeseries");
    let back = ReturnedDocuments {
        capture_key: found.capture_key,
        target,
        measurements: found.registered.get_bool("measurements").unwrap_or(series.is_some()),
        series,
        only_left: found.undone,
    };
    // Of what an exact rollback has undone, those that it could not bring back.
    let source = if back.only_left {
        left::collection(server.names(), found.capture_key)
    } else {
        found.capture_key.whole(server.names())
    };
    let mut kept = server.walk(rawdoc! {"find": source, "filter": {}}).await.map_err(failed())?;
    let mut all = Returned::default();
    let mut batch: Vec<RawDocumentBuf> = Vec::new();
    let mut bytes = 0;
    loop {
        let next = kept.next().await.map_err(failed())?;
        bytes += next.as_ref().map_or(0, |document| document.as_bytes().len());
        let last = next.is_none();
        batch.extend(next);
        if !last && bytes < BYTES && batch.len() < DOCUMENTS {
            continue;
        }
        run.safe_point()?;
        let mut retry = Retry::new(&run.reporter, &run.stop);
        let part = retry!(retry, back.take(&server, &batch)).map_err(failed())?;
        all.documents += part.documents;
        all.existing += part.existing;
        all.barred += part.barred;
        batch.clear();
        bytes = 0;
        if last {
            return Ok(all);
        }
    }
}

struct ReturnedDocuments<'a> {
    capture_key: CaptureKey,
    target: &'a str,
    /// Whether what is kept are measurements.
    measurements: bool,
    /// The target, where it holds measurements.
    series: Option<Collection>,
    only_left: bool,
}

impl ReturnedDocuments<'_> {
    /// Some of what is kept, or of the `_id`s of what is left of it.
    async fn take(&self, server: &Server, batch: &[RawDocumentBuf]) -> Result<Returned, ServerError> {
        let kept = if self.only_left {
            let ids: Vec<Id> = batch.iter().filter_map(|left| Id::of_stored(left)).collect();
            read_by_id(server, None, &self.capture_key.whole(server.names()), &ids, usize::MAX).await?
        } else {
            batch.to_vec()
        };
        if let Some(series) = self.series.as_ref().filter(|_| self.measurements) {
            let ids: Vec<Id> = kept.iter().filter_map(|wrapper| Id::of_stored(wrapper)).collect();
            let back =
                measurements::bring_back(server, &self.capture_key.whole(server.names()), self.target, series, kept)
                    .await?;
            self.forget(server, &ids).await?;
            return Ok(Returned { documents: back.now, existing: back.before, barred: 0 });
        }
        let documents = kept.into_iter().filter_map(|kept| {
            let own = Id::of_stored(&kept)?;
            if self.measurements { Some((own, nested(&kept, MEASUREMENT)?)) } else { Some((own, unwrapped(kept))) }
        });
        let documents: Vec<(Id, RawDocumentBuf)> = documents.collect();
        let there = self.existing_by_id(server, &documents).await?;
        let mut returned = Returned::default();
        let mut back = Vec::new();
        let mut missing = Vec::new();
        for (own, document) in documents {
            if Id::of_stored(&document).is_some_and(|id| there.contains(&id)) {
                returned.existing += 1;
            } else {
                back.push(own);
                missing.push(document);
            }
        }
        let barred = insert(server, None, self.target, &missing, Barred::PassedOver).await?;
        for at in barred.iter().rev() {
            back.remove(*at);
        }
        returned.barred = i64::try_from(barred.len()).unwrap_or(i64::MAX);
        returned.documents = i64::try_from(back.len()).unwrap_or(i64::MAX);
        self.forget(server, &back).await?;
        Ok(returned)
    }

    async fn forget(&self, server: &Server, back: &[Id]) -> Result<(), ServerError> {
        if self.only_left { left::forget(server, self.capture_key, back).await } else { Ok(()) }
    }

    /// The `_id`s of documents whose place is taken.
    async fn existing_by_id(
        &self,
        server: &Server,
        documents: &[(Id, RawDocumentBuf)],
    ) -> Result<HashSet<Id>, ServerError> {
        let mut there = HashSet::new();
        let ids: Vec<Id> = documents.iter().filter_map(|(_, document)| Id::of_stored(document)).collect();
        for ids in ids.chunks(DOCUMENTS) {
            let find = rawdoc! {
                "find": self.target, "filter": {"_id": Id::any_of(ids)}, "projection": {"_id": 1},
            };
            let found = server.read(find, None, usize::MAX).await?;
            there.extend(found.iter().filter_map(|document| Id::of_stored(document)));
        }
        Ok(there)
    }
}
