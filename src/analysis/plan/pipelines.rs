//! What an update by a pipeline would change.

use bson::raw::cstr;
use bson::{Bson, RawArrayBuf, RawDocumentBuf, rawdoc};

use super::changes::touched;
use super::look::{EXAMPLES, PlanContext, PlanError, id_text, selecting};
use super::numbers::Numbers;
use crate::mongo::catalog::Collection;
use crate::mongo::query::{Query, raw};
use crate::mongo::raw::first;

/// What comparing a document with what a pipeline makes of it costs, as a multiple of reading its fields.
const PIPED: f64 = 5.0;
/// Documents between two looks at whether to stop.
const SAFE_POINT: i64 = 1_000;

/// Runs the pipeline as an aggregation and compares what it makes of each document with the document. The two are
/// read side by side in one order, at one time of the cluster where there is such a thing.
pub async fn run(
    look: &PlanContext<'_>,
    query: &Query<'_>,
    filter: &RawDocumentBuf,
    stages: &[Bson],
    existing: &Collection,
    examples: &mut Vec<String>,
) -> Result<Numbers, PlanError> {
    let concern = match look.server.transactions() && existing.takes_transactions() {
        true => snapshot_of(look, query.collection).await?,
        false => None,
    };
    // In the order in which the documents lie, which is the same for both; a hint's index may have one document
    // several times, and so needs them sorted.
    let as_they_lie = Bson::Document(bson::doc! {"$natural": 1});
    let hinted = query.hint.is_some();
    let query = Query { hint: query.hint.or(Some(&as_they_lie)), ..*query };
    let mut before = rawdoc! {"find": query.collection, "filter": filter.clone(), "allowDiskUse": true};
    let mut pipeline = RawArrayBuf::new();
    pipeline.push(rawdoc! {"$match": filter.clone()});
    if hinted {
        before.append(cstr!("sort"), rawdoc! {"_id": 1});
        pipeline.push(rawdoc! {"$sort": {"_id": 1}});
    }
    for stage in stages.iter().filter_map(Bson::as_document) {
        pipeline.push(raw(stage)?);
    }
    if let Some(fields) = touched(stages) {
        let mut projection = bson::doc! {"_id": 1};
        projection.extend(fields.into_iter().map(|field| (field, Bson::Int32(1))));
        before.append(cstr!("projection"), raw(&projection)?);
        pipeline.push(rawdoc! {"$project": raw(&projection)?});
    }
    let mut after = rawdoc! {
        "aggregate": query.collection, "pipeline": pipeline, "cursor": {}, "allowDiskUse": true,
    };
    for command in [&mut before, &mut after] {
        selecting(&query, command)?;
        if let Some(concern) = &concern {
            command.append(cstr!("readConcern"), concern.clone());
        }
    }
    let began = std::time::Instant::now();
    // Ahead, so that the server works on both at once.
    let mut before = look.server.find(before).await?.ahead();
    let mut after = look.server.find(after).await?.ahead();
    let mut numbers = Numbers { exact: concern.is_some(), ..Numbers::default() };
    loop {
        match (before.next().await?, after.next().await?) {
            (Some(one), Some(other)) => {
                numbers.matched += 1;
                if numbers.matched % SAFE_POINT == 0 {
                    look.safe_point()?;
                }
                numbers.changes += i64::from(one.as_bytes() != other.as_bytes());
                // A pipeline that leaves the `_id` out keeps it.
                let ids = (first(one.as_bytes()), other.get("_id").ok().flatten());
                if let (Some(_), Some(id)) = ids
                    && one.get("_id").ok().flatten() != Some(id)
                {
                    numbers.exact = false;
                    // Without a snapshot, the two may be different documents.
                    if concern.is_some() {
                        numbers.moved += 1;
                        if examples.len() < EXAMPLES {
                            examples.push(id_text(&one));
                        }
                    }
                }
            }
            (None, None) => break,
            (one, other) => {
                numbers.exact = false;
                numbers.matched += i64::from(one.is_some());
                numbers.changes += i64::from(one.is_some() || other.is_some());
            }
        }
    }
    numbers.took = began.elapsed().div_f64(PIPED);
    Ok(numbers)
}

/// The read concern of this moment.
async fn snapshot_of(look: &PlanContext<'_>, collection: &str) -> Result<Option<RawDocumentBuf>, PlanError> {
    let command = bson::doc! {
        "find": collection, "projection": {"_id": 1}, "limit": 1, "singleBatch": true, "readConcern": {"level": "snapshot"},
    };
    let time = match look.server.run(command, None).await {
        Ok(reply) => reply.get_document("cursor").ok().and_then(|cursor| cursor.get_timestamp("atClusterTime").ok()),
        // Before 5.0 there are no snapshots outside transactions.
        Err(e) if e.is_passing() || e.authentication => return Err(e.into()),
        Err(_) => None,
    };
    Ok(time.map(|time| rawdoc! {"level": "snapshot", "atClusterTime": time}))
}
