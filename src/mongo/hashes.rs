//! Hashes of what collections hold, to tell whether two hold the same.

use std::collections::BTreeMap;

use bson::{RawDocumentBuf, doc, rawdoc};
use sha2::{Digest, Sha256};

use super::profile::BUCKETS;
use super::server::Server;
use crate::error::server::ServerError;

/// The server's hashes of these collections (`dbHash`), by name. One that the server has no hash of is missing.
///
/// # Errors
/// The server's: a `mongos` has no such command, and a user may lack the right.
pub async fn hashes(server: &Server, names: &[String]) -> Result<BTreeMap<String, String>, ServerError> {
    let raw = server.profile().raw_data();
    // Where there is no collection of buckets, the time-series collection itself holds them.
    let own = names.iter().filter(|_| raw).filter_map(|name| name.strip_prefix(BUCKETS));
    let asked: Vec<&str> = names.iter().map(String::as_str).chain(own).collect();
    let reply = server.run(doc! {"dbHash": 1, "collections": asked}, None).await?;
    let found = reply.get_document("collections").cloned().unwrap_or_default();
    // There are words instead of a hash where there was no index to read along.
    let hash = |name: &str| found.get_str(name).ok().filter(|it| it.len() == 32 && !it.contains(' '));
    let of = |name: &String| {
        let own = name.strip_prefix(BUCKETS).filter(|_| raw);
        Some((name.clone(), hash(name).or_else(|| own.and_then(hash))?.to_owned()))
    };
    Ok(names.iter().filter_map(of).collect())
}

/// Whether two collections of the database hold the same documents, to the byte. A `mongos` computes no hash, so both are
/// read there.
///
/// # Errors
/// The server's.
pub async fn same(server: &Server, one: &str, other: &str) -> Result<bool, ServerError> {
    if server.profile().sharded() {
        return Ok(read(server, one).await? == read(server, other).await?);
    }
    let found = hashes(server, &[one.to_owned(), other.to_owned()]).await?;
    // An empty collection has a hash as well: none means that nothing is known.
    Ok(found.contains_key(one) && found.get(one) == found.get(other))
}

/// A hash of the documents of a collection in the order of their `_id`s.
async fn read(server: &Server, collection: &str) -> Result<Vec<u8>, ServerError> {
    let command: RawDocumentBuf = rawdoc! {"find": collection};
    let mut documents = server.walk(command).await?;
    let mut hash = Sha256::new();
    while let Some(document) = documents.next().await? {
        hash.update(document.as_bytes());
    }
    Ok(hash.finalize().to_vec())
}
