//! Comparing two databases of one server: what stood before, and what stands now.
//!
//! Catalogs are compared entry by entry. Of documents, those of a collection are read only where the server's own hash
//! of them (`dbHash`) differs or there is none; both sides are then read as bytes along `_id` and joined, a batch of
//! either in memory. The collections of this tool are left out: a ledger is not what a rollback brings back.

mod catalog;
mod documents;
pub mod fields;
pub mod report;
mod timeseries;

use std::collections::BTreeMap;
use std::time::Instant;

use self::report::{CollectionDifference, Comparison, Hashes, Presence};
use crate::backup::catalog::{CatalogEntry, CollectionType, list};
use crate::backup::ranges;
use crate::backup::snapshot::ReadMode;
use crate::error::server::ServerError;
use crate::error::{Error, Result};
use crate::mongo::hashes;
use crate::mongo::server::Server;
use crate::names::Names;
use crate::observe::Stop;

/// Whether a collection holds this tool's records. Its others are in no listing.
fn records(own: &Names, collection: &str) -> bool {
    // Entries of the history move from where they were to where they are.
    let moved = own.former_history() == Some(collection);
    collection == own.ledger() || collection == own.history() || moved
}

/// What differs between the database of `before` and that of `after`. Of a `before` that has been compared already and
/// stands as it did, the hashes are `known`.
///
/// # Errors
/// [`Error::Interrupted`], or the server's.
pub async fn compare(before: &Server, after: &Server, known: Option<Hashes>, stop: &Stop) -> Result<Comparison> {
    // It only reads, and may be given up anywhere: a hash of much data takes its time.
    tokio::select! {
        biased;
        () = stop.cancelled() => {
            Err(Error::Interrupted("Stopped while two databases were compared.".to_owned()))
        }
        compared = all(before, after, known) => compared,
    }
}

async fn all(before: &Server, after: &Server, known: Option<Hashes>) -> Result<Comparison> {
    let clock = Instant::now();
    let (was, is) = tokio::try_join!(entries(before), entries(after))?;
    let of_before = async {
        match known {
            Some(known) => Ok(known),
            None => hashes(before, &was).await,
        }
    };
    let (hashed_before, hashed_after) = tokio::try_join!(of_before, hashes(after, &is))?;
    let mut collections = Vec::new();
    for entry in &was {
        let Some(now) = is.iter().find(|it| it.name == entry.name && it.kind == entry.kind) else {
            collections.push(alone(before, entry, Presence::Missing).await?);
            continue;
        };
        let mut found = CollectionDifference::of(entry, Presence::Stands);
        catalog::compare(entry, now, &mut found);
        let stored = entry.stored_in();
        let same_bytes = hashed_before.get(&stored).is_some_and(|hash| hashed_after.get(&stored) == Some(hash));
        content(before, after, entry, same_bytes, &mut found)
            .await
            .map_err(Error::server(format!("Comparing {:?}", entry.name)))?;
        if !found.identical() {
            collections.push(found);
        }
    }
    for entry in &is {
        if !was.iter().any(|it| it.name == entry.name && it.kind == entry.kind) {
            collections.push(alone(after, entry, Presence::Added).await?);
        }
    }
    collections.sort_by(|a, b| a.collection.cmp(&b.collection));
    Ok(Comparison {
        before: before.database().to_owned(),
        after: after.database().to_owned(),
        same: collections.iter().all(CollectionDifference::same),
        collections,
        hashes: hashed_before,
        seconds: clock.elapsed().as_secs_f64(),
    })
}

/// Adds what differs in the documents of a collection that stands on both sides.
async fn content(
    before: &Server,
    after: &Server,
    entry: &CatalogEntry,
    same_bytes: bool,
    found: &mut CollectionDifference,
) -> Result<(), ServerError> {
    match entry.kind {
        CollectionType::View => {}
        CollectionType::Timeseries if same_bytes => {}
        CollectionType::Timeseries => timeseries::compare(before, after, entry, &mut found.documents).await?,
        CollectionType::Collection => {
            if !same_bytes {
                found.documents = documents::compare(before, after, entry).await?;
            }
            // Hashes are computed along `_id`, and a capped collection has an order of its own.
            if entry.capped() && found.documents.identical() {
                found.reordered = !documents::same_order(before, after, entry).await?;
            }
        }
    }
    Ok(())
}

async fn entries(server: &Server) -> Result<Vec<CatalogEntry>> {
    list(server, |name| !records(server.names(), name)).await
}

/// A collection that stands on one side only, and how many documents it has there.
async fn alone(server: &Server, entry: &CatalogEntry, standing: Presence) -> Result<CollectionDifference> {
    let mut found = CollectionDifference::of(entry, standing);
    if entry.kind != CollectionType::View {
        let context = format!("Counting {:?}", entry.name);
        let count = ranges::count(server, &entry.name, ReadMode::Local).await.map_err(Error::server(context))?;
        let side = if standing == Presence::Missing {
            found.documents.missing = count;
            &mut found.documents.before
        } else {
            found.documents.added = count;
            &mut found.documents.after
        };
        *side = count;
    }
    Ok(found)
}

/// The server's hashes of the collections' documents; none where it computes none: a `mongos` does not, nor does a
/// server on which the user may not.
async fn hashes(server: &Server, entries: &[CatalogEntry]) -> Result<Hashes> {
    let names: Vec<String> =
        entries.iter().filter(|it| it.kind != CollectionType::View).map(CatalogEntry::stored_in).collect();
    if names.is_empty() {
        return Ok(BTreeMap::new());
    }
    match hashes::hashes(server, &names).await {
        Err(e) if e.is_passing() => Err(Error::server("Asking for the hashes of the collections")(e)),
        found => Ok(found.unwrap_or_default()),
    }
}
