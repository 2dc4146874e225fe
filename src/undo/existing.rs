//! What exists under a name, and whether it is what it was.

use bson::{Document, doc};

use crate::error::server::ServerError;
use crate::mongo::catalog;
use crate::mongo::server::Server;

/// A collection as the server makes one at the first insert.
pub(super) fn plain() -> Document {
    doc! {"type": "collection", "options": {}, "indexes": [{"v": 2, "key": {"_id": 1}, "name": "_id_"}]}
}

/// A collection or view with its options and indexes.
///
/// # Errors
/// The server's.
pub(crate) async fn definition(server: &Server, name: &str) -> Result<Option<Document>, ServerError> {
    Ok(crate::capture::schema::definition(server, name).await?.as_document().cloned())
}

/// Whether a collection's kind, options and indexes mean the same.
pub(crate) fn same_definition(a: &Document, b: &Document) -> bool {
    let options = |of: &Document| catalog::Collection {
        kind: of.get_str("type").unwrap_or_default().to_owned(),
        options: of.get_document("options").cloned().unwrap_or_default(),
        uuid: None,
    };
    let (one, other) = (options(a), options(b));
    let indexes = |of: &Document| {
        let mut listed: Vec<Document> =
            of.get_array("indexes").into_iter().flatten().filter_map(|index| index.as_document().cloned()).collect();
        listed.sort_by_key(|index| index.get_str("name").unwrap_or_default().to_owned());
        listed
    };
    one.kind == other.kind && catalog::difference(&one.options, &other).is_none() && indexes(a) == indexes(b)
}
