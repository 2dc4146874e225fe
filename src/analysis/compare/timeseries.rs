//! Measurements of a time-series collection on both sides, as multisets.
//!
//! Its buckets say nothing: they have new identifiers, and may be cut otherwise, once documents were inserted again. Two
//! measurements may be alike, and their fields come in whatever order the server unpacks them. So each counts by a
//! fingerprint of its fields sorted by name; what is read from both sides leaves the memory again.

use std::collections::HashMap;

use bson::rawdoc;

use super::report::DocumentDifferences;
use crate::backup::catalog::CatalogEntry;
use crate::error::server::ServerError;
use crate::mongo::raw::{self, Builder};
use crate::mongo::retry::{Backoff, Policy};
use crate::mongo::server::Server;

/// Adds what differs in the measurements. They come in no order, so a lost cursor begins it anew.
pub async fn compare(
    before: &Server,
    after: &Server,
    entry: &CatalogEntry,
    found: &mut DocumentDifferences,
) -> Result<(), ServerError> {
    let as_was = found.clone();
    let mut backoff = Backoff::new(Policy::READ);
    loop {
        match compare_once(before, after, entry, found).await {
            Err(e) if e.is_passing() && backoff.wait().await => found.clone_from(&as_was),
            answer => return answer,
        }
    }
}

async fn compare_once(
    before: &Server,
    after: &Server,
    entry: &CatalogEntry,
    found: &mut DocumentDifferences,
) -> Result<(), ServerError> {
    let mut open: HashMap<[u8; 16], i64> = HashMap::new();
    let command = rawdoc! {"find": &*entry.name};
    let (mut was, mut is) = tokio::try_join!(before.find(command.clone()), after.find(command))?;
    loop {
        let (old, new) = tokio::try_join!(was.next(), is.next())?;
        if old.is_none() && new.is_none() {
            break;
        }
        for (document, count, weight) in [(old, &mut found.before, 1), (new, &mut found.after, -1)] {
            let Some(document) = document else { continue };
            *count += 1;
            let key = fingerprint(document.as_bytes());
            let balance = open.entry(key).or_default();
            *balance += weight;
            if *balance == 0 {
                open.remove(&key);
            }
        }
    }
    found.missing = open.values().filter(|it| **it > 0).sum();
    found.added = -open.values().filter(|it| **it < 0).sum::<i64>();
    Ok(())
}

fn fingerprint(document: &[u8]) -> [u8; 16] {
    let mut elements: Vec<_> = raw::elements(document).collect();
    elements.sort_by(|a, b| a.name.cmp(b.name));
    let mut builder = Builder::new();
    elements.iter().for_each(|element| builder.push(element));
    raw::fingerprint(builder.finish().as_bytes())
}
