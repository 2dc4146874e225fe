//! Reading documents by their `_id`s.

use bson::{RawDocumentBuf, rawdoc};
use mongodb::ClientSession;

use crate::error::server::ServerError;
use crate::mongo::id::Id;
use crate::mongo::server::Server;

/// Documents read by one list of `_id`s, and bytes of that list: the server takes commands of 16 MiB.
const LISTED: usize = 50_000;
const LIST_BYTES: usize = 8 * 1024 * 1024;

/// The documents with these `_id`s. More than `limit` bytes of them are an error, as for [`Server::read`].
///
/// # Errors
/// The server's.
pub async fn read_by_id<'a>(
    server: &Server,
    mut session: Option<&mut ClientSession>,
    collection: &str,
    ids: impl IntoIterator<Item = &'a Id>,
    limit: usize,
) -> Result<Vec<RawDocumentBuf>, ServerError> {
    let ids: Vec<&Id> = ids.into_iter().collect();
    let mut found = Vec::new();
    let mut left = limit;
    for ids in lists(&ids) {
        let filter = rawdoc! {"_id": Id::any_of(ids.iter().copied())};
        let find = rawdoc! {"find": collection, "filter": filter, "hint": {"_id": 1}};
        let part = server.read(find, session.as_deref_mut(), left).await?;
        left = left.saturating_sub(part.iter().map(|document| document.as_bytes().len()).sum());
        found.extend(part);
    }
    Ok(found)
}

/// `_id`s cut into lists that a command takes.
pub fn lists<'i, 'a>(ids: &'i [&'a Id]) -> impl Iterator<Item = &'i [&'a Id]> {
    let mut start = 0;
    std::iter::from_fn(move || {
        let rest = ids.get(start..).filter(|rest| !rest.is_empty())?;
        let mut bytes = 0;
        let fitting = rest.iter().take(LISTED).take_while(|id| {
            bytes += id.as_bytes().len();
            bytes <= LIST_BYTES
        });
        let list = &rest[..fitting.count().max(1)];
        start += list.len();
        Some(list)
    })
}
