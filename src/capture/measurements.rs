//! Bringing measurements back into a time-series collection.
//!
//! Nothing names one of them there, and no transaction spans two collections. So what is kept says itself whether it is
//! back: it is marked before the insert, and again after it. Where a run ended in between, the measurements that stand
//! tell which of them are.

use std::collections::{HashMap, HashSet};

use bson::{RawDocumentBuf, rawdoc};

use super::by_id::lists;
use super::documents::MEASUREMENT;
use super::kept::{Barred, insert, nested};
use crate::error::server::ServerError;
use crate::mongo::catalog::Collection;
use crate::mongo::id::Id;
use crate::mongo::raw::{ARRAY, Builder, fields, fingerprint, get};
use crate::mongo::server::Server;
use crate::run::transaction::send;

/// Times asked for together.
const TIMES: usize = 1_000;
/// The field that says how far a kept measurement is.
const RETURN: &str = "r";
const BEGUN: i32 = 1;
const BACK: i32 = 2;

/// How many are back.
#[derive(Debug, Clone, Copy, Default)]
pub struct ReturnedMeasurements {
    /// Since now.
    pub now: i64,
    /// Since before.
    pub before: i64,
}

/// Brings the measurements of these wrappers from `kept` back into `target`, each once.
///
/// # Errors
/// The server's.
pub async fn bring_back(
    server: &Server,
    kept: &str,
    target: &str,
    existing: &Collection,
    wrappers: Vec<RawDocumentBuf>,
) -> Result<ReturnedMeasurements, ServerError> {
    let mut back = ReturnedMeasurements::default();
    let mut begun = Vec::new();
    let mut missing = Vec::new();
    for wrapper in &wrappers {
        let (Some(id), Some(measurement)) = (Id::of_stored(wrapper), nested(wrapper, MEASUREMENT)) else { continue };
        match wrapper.get_i32(RETURN) {
            Ok(BACK) => back.before += 1,
            Ok(_) => begun.push((id, measurement)),
            Err(_) => missing.push((id, measurement)),
        }
    }
    let mut there = existing_like(server, target, existing, &begun).await?;
    let mut ids: Vec<Id> = Vec::new();
    for (id, measurement) in begun {
        match there.get_mut(&unordered(&measurement)) {
            Some(count) if *count > 0 => {
                *count -= 1;
                ids.push(id);
            }
            _ => missing.push((id, measurement)),
        }
    }
    mark(server, kept, &missing.iter().map(|(id, _)| id.clone()).collect::<Vec<_>>(), BEGUN).await?;
    insert(server, None, target, missing.iter().map(|(_, measurement)| measurement), Barred::Fails).await?;
    ids.extend(missing.into_iter().map(|(id, _)| id));
    mark(server, kept, &ids, BACK).await?;
    back.now = i64::try_from(ids.len()).unwrap_or(i64::MAX);
    Ok(back)
}

async fn mark(server: &Server, kept: &str, ids: &[Id], how_far: i32) -> Result<(), ServerError> {
    for ids in lists(&ids.iter().collect::<Vec<_>>()) {
        let filter = rawdoc! {"_id": Id::any_of(ids.iter().copied())};
        let update = rawdoc! {"q": filter, "u": {"$set": {"r": how_far}}, "multi": true};
        send(server, None, rawdoc! {"update": kept, "updates": [update]}).await?;
    }
    Ok(())
}

/// How many measurements like these there are, each by its fingerprint.
async fn existing_like(
    server: &Server,
    target: &str,
    existing: &Collection,
    measurements: &[(Id, RawDocumentBuf)],
) -> Result<HashMap<[u8; 16], usize>, ServerError> {
    let mut there = HashMap::new();
    let time = existing.options.get_document("timeseries").ok().and_then(|series| series.get_str("timeField").ok());
    let Some(time) = time else { return Ok(there) };
    let own: HashSet<(u8, &[u8])> = measurements
        .iter()
        .filter_map(|(_, measurement)| get(measurement.as_bytes(), time))
        .map(|own| (own.kind, own.value))
        .collect();
    for times in own.into_iter().collect::<Vec<_>>().chunks(TIMES) {
        let mut listed = Builder::default();
        for (at, (kind, value)) in times.iter().enumerate() {
            listed.value(*kind, at.to_string().as_bytes(), value);
        }
        let mut within = Builder::default();
        within.value(ARRAY, b"$in", listed.finish().as_bytes());
        let mut filter = Builder::default();
        filter.document(time, within.finish().as_bytes());
        let mut found = server.walk(rawdoc! {"find": target, "filter": filter.finish()}).await?;
        while let Some(document) = found.next().await? {
            *there.entry(unordered(&document)).or_default() += 1;
        }
    }
    Ok(there)
}

/// A measurement's fingerprint whatever the order of its fields: the server's buckets decide that.
pub fn unordered(measurement: &RawDocumentBuf) -> [u8; 16] {
    let mut sorted = fields(measurement.as_bytes()).unwrap_or_default();
    sorted.sort_by_key(|field| (field.name, field.kind, field.value));
    let mut document = Builder::default();
    sorted.iter().for_each(|field| document.push(field));
    fingerprint(document.finish().as_bytes())
}
