//! Measurements of a time-series collection on both sides, as multisets.
//!
//! Its buckets say nothing: they have new identifiers, and may be cut otherwise, once documents were inserted again. Two
//! measurements may be alike, and their fields come in whatever order the server unpacks them. So each counts by a
//! fingerprint of its fields sorted by name; what is read from both sides leaves the memory again.

use std::collections::HashMap;

use bson::rawdoc;

use super::report::CollectionDifference;
use super::stopped;
use crate::backup::catalog::Entry;
use crate::error::Result;
use crate::observe::Stop;
use crate::raw::{self, Builder};
use crate::server::Server;
use crate::server_error::ServerError;

/// How many measurements are read between two looks at whether to stop.
const BATCH: usize = 1_000;

/// Adds what differs in the measurements.
pub async fn compare(
    before: &Server,
    after: &Server,
    entry: &Entry,
    stop: &Stop,
    found: &mut CollectionDifference,
) -> Result<Result<(), ServerError>> {
    let mut open: HashMap<[u8; 16], i64> = HashMap::new();
    let command = rawdoc! {"find": &*entry.name};
    let (mut was, mut is) = match tokio::try_join!(before.find(command.clone()), after.find(command)) {
        Ok(both) => both,
        Err(e) => return Ok(Err(e)),
    };
    let documents = &mut found.documents;
    let (mut more_was, mut more_is) = (true, true);
    while more_was || more_is {
        stopped(stop)?;
        let sides =
            [(&mut was, &mut more_was, &mut documents.before, 1), (&mut is, &mut more_is, &mut documents.after, -1)];
        for (cursor, more, count, weight) in sides {
            for _ in 0..BATCH {
                if !*more {
                    break;
                }
                match cursor.next().await {
                    Err(e) => return Ok(Err(e)),
                    Ok(None) => *more = false,
                    Ok(Some(document)) => {
                        *count += 1;
                        let key = fingerprint(document.as_bytes());
                        let balance = open.entry(key).or_default();
                        *balance += weight;
                        if *balance == 0 {
                            open.remove(&key);
                        }
                    }
                }
            }
        }
    }
    documents.missing = open.values().filter(|it| **it > 0).sum();
    documents.added = -open.values().filter(|it| **it < 0).sum::<i64>();
    Ok(Ok(()))
}

fn fingerprint(document: &[u8]) -> [u8; 16] {
    let mut elements: Vec<_> = raw::elements(document).collect();
    elements.sort_by(|a, b| a.name.cmp(b.name));
    let mut builder = Builder::new();
    elements.iter().for_each(|element| builder.push(element));
    raw::fingerprint(builder.finish().as_bytes())
}
