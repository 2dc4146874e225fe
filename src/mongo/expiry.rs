//! Documents that a TTL deletes: those whose date is old enough. The server does so within about a minute, and nothing is
//! kept of them.

use bson::{Bson, DateTime, Document, RawDocumentBuf, doc};

use crate::error::server::ServerError;
use crate::model::number::cut;
use crate::mongo::query::{Query, raw};
use crate::mongo::server::Server;

/// The filter of what has expired: `field` lies more than `after` seconds back. Of several dates in an array one that is
/// old enough suffices. `None` for what is no number of seconds.
///
/// # Errors
/// The server's, which is asked for its time.
pub async fn expired(
    server: &Server,
    field: &str,
    after: &Bson,
    partial: Option<&Document>,
) -> Result<Option<RawDocumentBuf>, ServerError> {
    let Some(seconds) = seconds(after) else { return Ok(None) };
    let reply = server.run(doc! {"hello": 1}, None).await?;
    let now = reply.get_datetime("localTime").copied().unwrap_or_else(|_| DateTime::now());
    let before = now.timestamp_millis().saturating_sub(seconds.saturating_mul(1_000));
    let mut old = Document::new();
    old.insert(field, doc! {"$lt": DateTime::from_millis(before)});
    let filter = match partial {
        Some(partial) => doc! {"$and": [old, partial.clone()]},
        None => old,
    };
    raw(&filter).map(Some)
}

/// How many documents of `collection` have expired by a TTL index as `listIndexes` has it, or by a collection's own
/// `expireAfterSeconds` with its options.
///
/// # Errors
/// The server's.
pub async fn count(server: &Server, collection: &str, options: &Document) -> Result<i64, ServerError> {
    let Some(after) = options.get("expireAfterSeconds") else { return Ok(0) };
    let field = match (options.get_document("key"), options.get_document("timeseries")) {
        (Ok(keys), _) => keys.keys().next().map_or("_id", String::as_str),
        (_, Ok(series)) => series.get_str("timeField").unwrap_or("_id"),
        // A clustered collection expires by its key.
        _ => "_id",
    };
    let partial = options.get_document("partialFilterExpression").ok();
    let Some(filter) = expired(server, field, after, partial).await? else { return Ok(0) };
    Query { collection, hint: None, collation: None, variables: None }.count(server, filter).await
}

fn seconds(after: &Bson) -> Option<i64> {
    match after {
        Bson::Int32(n) => Some(i64::from(*n)),
        Bson::Int64(n) => Some(*n),
        Bson::Double(n) if n.is_finite() => Some(cut(*n)),
        _ => None,
    }
    .filter(|seconds| *seconds >= 0)
}
