//! Setting a collection aside instead of dropping it, and bringing it back.
//!
//! A collection is renamed, with its documents, indexes, validator and identity; its TTL is suspended first, or
//! the server would go on deleting from it. Time-series collections cannot be renamed: their buckets are copied,
//! the copy is compared with them, and only then are they dropped. That is not atomic: what is written in
//! between is lost.

use bson::{Bson, Document, RawDocumentBuf, doc};

use super::kept::{Barred, insert};
use super::registry;
use crate::error::codes;
use crate::error::server::ServerError;
use crate::mongo::catalog;
use crate::mongo::hashes;
use crate::mongo::profile::BUCKETS;
use crate::mongo::profile::LONGEST_EXPIRY;
use crate::mongo::retry::Policy;
use crate::mongo::server::Server;
use crate::run::capture_key::CaptureKey;
use crate::run::transaction::with_majority;

/// Buckets read at once.
const BATCH: usize = 16 * 1024 * 1024;

/// Sets `name` aside as `aside`. `before` is its entry of the registry: what it was when the operation began.
///
/// # Errors
/// The server's; then it is as it was.
pub async fn set_aside(server: &Server, name: &str, aside: &str, before: &Document) -> Result<(), ServerError> {
    if before.get_str("type").is_ok_and(|kind| kind == "timeseries") {
        return copy_and_drop(server, name, aside).await;
    }
    suspend(server, name, before).await?;
    let Err(error) = server.rename_collection(name, aside).await else { return Ok(()) };
    if is_gone(server, name, aside).await? {
        return Ok(());
    }
    resume_expiry(server, name, before).await?;
    Err(error)
}

/// Brings `aside` back as `name`, which must be free, unless an earlier attempt was killed or its answer was lost.
///
/// # Errors
/// The server's.
pub async fn bring_back(server: &Server, aside: &str, name: &str, before: &Document) -> Result<(), ServerError> {
    if before.get_str("type").is_ok_and(|kind| kind == "timeseries") {
        if is_gone(server, aside, name).await? {
            return Ok(());
        }
        make_again(server, name, before).await?;
        return fill_buckets(server, aside, name).await;
    }
    let Some(_) = catalog::collection(server, aside).await? else {
        // An attempt whose answer was lost has renamed it.
        return resume_expiry(server, name, before).await.map(drop);
    };
    if let Err(error) = server.rename_collection(aside, name).await
        && !is_gone(server, aside, name).await?
    {
        return Err(error);
    }
    resume_expiry(server, name, before).await.map(drop)
}

/// Gives collections their expiry again that a killed run has left suspended: it was killed before it had set the
/// collection aside, or after it had brought it back. Returns their names.
///
/// # Errors
/// The server's.
pub async fn resume_left(server: &Server) -> Result<Vec<String>, ServerError> {
    let mut resumed = Vec::new();
    let dropped = registry::dropped(server).await?;
    let expires = |entry: &Document| entry.get_document("before").is_ok_and(suspends);
    let dropped: Vec<(CaptureKey, Document)> = dropped.into_iter().filter(|(_, entry)| expires(entry)).collect();
    if dropped.is_empty() {
        return Ok(resumed);
    }
    let listed = server.find_all(doc! {"listCollections": 1, "filter": {"type": "collection"}, "cursor": {}}).await?;
    for (capture_key, entry) in dropped {
        let (aside, before) = (entry.get_str("aside").unwrap_or_default(), entry.get_document("before").ok());
        let Some(before) =
            before.filter(|_| !listed.iter().any(|other| other.get_str("name").is_ok_and(|name| name == aside)))
        else {
            continue;
        };
        let same = listed.iter().find(|other| {
            let uuid = other.get_document("info").ok().and_then(|info| info.get("uuid").ok().flatten());
            uuid.and_then(|uuid| Bson::try_from(uuid).ok()).as_ref() == entry.get("uuid")
        });
        let name = same.and_then(|same| same.get_str("name").ok());
        // Set aside again, by a later drop.
        if name.is_some_and(|name| name.starts_with(&server.names().kept())) {
            continue;
        }
        if let Some(name) = name
            && resume_expiry(server, name, before).await?
        {
            resumed.push(name.to_owned());
        }
        registry::amend(server, capture_key, doc! {"expires": true}).await?;
    }
    Ok(resumed)
}

/// Whether setting it aside suspends an expiry.
fn suspends(before: &Document) -> bool {
    let own = before.get_document("options").is_ok_and(|options| options.contains_key("expireAfterSeconds"));
    before.get_str("type").is_ok_and(|kind| kind == "collection") && (own || expiring(before).next().is_some())
}

/// Makes a view or an empty time-series collection again as the registry has it.
///
/// # Errors
/// The server's.
pub async fn make_again(server: &Server, name: &str, before: &Document) -> Result<(), ServerError> {
    let mut command = doc! {"create": name};
    let mut options = before.get_document("options").cloned().unwrap_or_default();
    catalog::fit_bucketing(server, &mut options).await;
    command.extend(options);
    match server.run(with_majority(command), None).await {
        Err(e) if e.is(codes::NAMESPACE_EXISTS) => {}
        other => drop(other?),
    }
    let existing = catalog::indexes(server, name).await.unwrap_or_default();
    for index in indexes(before).filter(|index| !existing.contains(index)) {
        create_index(server, name, index.clone()).await?;
    }
    Ok(())
}

/// Makes an index again as `listIndexes` had it.
///
/// # Errors
/// The server's.
pub async fn create_index(server: &Server, collection: &str, mut index: Document) -> Result<(), ServerError> {
    index.remove("ns");
    server.run(with_majority(doc! {"createIndexes": collection, "indexes": [index]}), None).await.map(drop)
}

/// Drops what was set aside if it holds nothing.
///
/// # Errors
/// The server's.
pub async fn discard_if_empty(server: &Server, aside: &str) -> Result<bool, ServerError> {
    let found = server.find_all(doc! {"find": aside, "filter": {}, "limit": 1}).await?;
    if found.is_empty()
        && let Err(error) = server.run(with_majority(doc! {"drop": aside}), None).await
        // The answer may be lost, not the drop.
        && catalog::collection(server, aside).await?.is_some()
    {
        return Err(error);
    }
    Ok(found.is_empty())
}

/// Whether it was done although the answer was an error.
async fn is_gone(server: &Server, name: &str, aside: &str) -> Result<bool, ServerError> {
    let gone = catalog::collection(server, name).await?.is_none();
    Ok(gone && catalog::collection(server, aside).await?.is_some())
}

fn indexes(before: &Document) -> impl Iterator<Item = &Document> {
    before.get_array("indexes").into_iter().flatten().filter_map(Bson::as_document)
}

/// The indexes that expire documents. Later releases of 6.0 list the key of a clustered collection among the indexes, with
/// the collection's own expiry, which is an option and no index to `collMod` (code 27).
fn expiring(before: &Document) -> impl Iterator<Item = (&str, &Bson)> {
    let indexes = indexes(before).filter(|index| !index.get_bool("clustered").unwrap_or(false));
    indexes.filter_map(|index| Some((index.get_str("name").ok()?, index.get("expireAfterSeconds")?)))
}

async fn suspend(server: &Server, name: &str, before: &Document) -> Result<(), ServerError> {
    for (index, _) in expiring(before) {
        let change = doc! {"collMod": name, "index": {"name": index, "expireAfterSeconds": LONGEST_EXPIRY}};
        server.run(with_majority(change), None).await?;
    }
    if before.get_document("options").is_ok_and(|options| options.contains_key("expireAfterSeconds")) {
        server.run(with_majority(doc! {"collMod": name, "expireAfterSeconds": "off"}), None).await?;
    }
    Ok(())
}

/// Gives a collection the expiry that it had, where it is suspended; whether it was.
///
/// # Errors
/// The server's.
pub async fn resume_expiry(server: &Server, name: &str, before: &Document) -> Result<bool, ServerError> {
    let mut resumed = false;
    let existing = catalog::indexes(server, name).await?;
    let suspended = |index: &str| {
        let listed = existing.iter().find(|listed| listed.get_str("name").is_ok_and(|own| own == index));
        listed
            .and_then(|listed| listed.get("expireAfterSeconds"))
            .is_some_and(|now| crate::model::equivalence::same(now, &LONGEST_EXPIRY.into()))
    };
    for (index, seconds) in expiring(before).filter(|(index, _)| suspended(index)) {
        let change = doc! {"collMod": name, "index": {"name": index, "expireAfterSeconds": seconds.clone()}};
        server.run(with_majority(change), None).await?;
        resumed = true;
    }
    let own = before.get_document("options").ok().and_then(|options| options.get("expireAfterSeconds"));
    if let Some(seconds) = own
        && let Some(now) = catalog::collection(server, name).await?
        && !now.options.contains_key("expireAfterSeconds")
    {
        let change = doc! {"collMod": name, "expireAfterSeconds": seconds.clone()};
        server.run(with_majority(change), None).await?;
        resumed = true;
    }
    Ok(resumed)
}

fn buckets(name: &str) -> String {
    format!("{BUCKETS}{name}")
}

async fn copy_and_drop(server: &Server, name: &str, aside: &str) -> Result<(), ServerError> {
    let source = buckets(name);
    // Somebody may write to it meanwhile.
    for _ in 0..Policy::COPY.attempts {
        let copy =
            doc! {"aggregate": &source, "pipeline": [{"$out": aside}], "cursor": {}, "writeConcern": {"w": "majority"}};
        server.run(copy, None).await?;
        // $out makes no collection of nothing.
        match server.run(with_majority(doc! {"create": aside}), None).await {
            Err(e) if e.is(codes::NAMESPACE_EXISTS) => {}
            other => drop(other?),
        }
        if hashes::same(server, &source, aside).await? {
            let Err(error) = server.run(with_majority(doc! {"drop": name}), None).await else { return Ok(()) };
            return if is_gone(server, name, aside).await? { Ok(()) } else { Err(error) };
        }
    }
    Err(ServerError::found(
        codes::CONFLICTING_OPERATION,
        format!(
            "the time-series collection {name:?} is being written to, so its copy never was the same; stop the writers first"
        ),
    ))
}

async fn fill_buckets(server: &Server, aside: &str, name: &str) -> Result<(), ServerError> {
    let target = buckets(name);
    let mut find = RawDocumentBuf::new();
    find.append(bson::raw::cstr!("find"), aside);
    let mut found = server.walk(find).await?;
    let mut batch = Vec::new();
    let mut bytes = 0;
    while let Some(bucket) = found.next().await? {
        bytes += bucket.as_bytes().len();
        batch.push(bucket);
        if bytes > BATCH {
            insert(server, None, &target, &batch, Barred::PassedOver).await?;
            batch.clear();
            bytes = 0;
        }
    }
    insert(server, None, &target, &batch, Barred::PassedOver).await?;
    if !hashes::same(server, &target, aside).await? {
        return Err(ServerError::found(
            codes::CONFLICTING_OPERATION,
            format!(
                "the time-series collection {name:?} was written to while it was brought back; its copy {aside:?} stays"
            ),
        ));
    }
    server.run(with_majority(doc! {"drop": aside}), None).await.map(drop)
}
