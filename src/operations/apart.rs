//! Whether chunks of an operation may be under way at once.
//!
//! Chunks in sequence can pass a unique value from one document to the next. Chunks in parallel may write the new
//! holder before the old one gives the value up. The server would then refuse a correct update.

use std::collections::HashSet;

use bson::{Bson, Document};

use super::error::OperationError;
use crate::error::server::ServerError;
use crate::model::script::operation::UpdateDocuments;
use crate::mongo::catalog;
use crate::mongo::retry::{Retry, retry};
use crate::mongo::server::Server;
use crate::run::handle::Run;

/// Whether an update of many documents writes nothing that a unique index of the collection is about.
///
/// # Errors
/// The server's.
pub async fn update_is_apart(server: &Server, collection: &str, update: &UpdateDocuments) -> Result<bool, ServerError> {
    let unique = unique_fields(server, collection).await?;
    Ok(unique.is_empty() || written(&update.update).is_some_and(|written| written.is_disjoint(&unique)))
}

/// Whether the collection has no unique index but the one on `_id`.
async fn has_no_unique_index(server: &Server, collection: &str) -> Result<bool, ServerError> {
    Ok(unique_fields(server, collection).await?.is_empty())
}

/// [`has_no_unique_index`], tried again while the server cannot be used.
///
/// # Errors
/// [`OperationError`].
pub async fn is_apart(run: &Run, collection: &str) -> Result<bool, OperationError> {
    let mut retry = Retry::new(&run.reporter, &run.stop);
    Ok(retry!(retry, has_no_unique_index(&run.server, collection))?)
}

/// The fields at the top of documents that decide about keys of unique indexes.
async fn unique_fields(server: &Server, collection: &str) -> Result<HashSet<String>, ServerError> {
    let mut fields = HashSet::new();
    for listed in catalog::indexes(server, collection).await? {
        let index = catalog::specification(&listed);
        if !index.get_bool("unique").unwrap_or(false) {
            continue;
        }
        let keys = index.get_document("key").ok();
        fields.extend(keys.into_iter().flat_map(Document::keys).map(|path| top(path)));
        if let Ok(filter) = index.get_document("partialFilterExpression") {
            named(filter, &mut fields);
        }
    }
    Ok(fields)
}

/// The fields that a filter names.
fn named(filter: &Document, fields: &mut HashSet<String>) {
    for (key, value) in filter {
        if !key.starts_with('$') {
            fields.insert(top(key));
        }
        let inner = match value {
            Bson::Array(items) => items.iter().collect(),
            value => vec![value],
        };
        for document in inner.into_iter().filter_map(Bson::as_document) {
            named(document, fields);
        }
    }
}

/// The fields at the top of a document that an update may write; `None` where it may be any.
fn written(update: &Bson) -> Option<HashSet<String>> {
    let mut fields = HashSet::new();
    match update {
        Bson::Document(operators) => {
            for (operator, what) in operators {
                let what = what.as_document().filter(|_| operator.starts_with('$'))?;
                fields.extend(what.keys().map(|path| top(path)));
                if operator == "$rename" {
                    fields.extend(what.values().filter_map(Bson::as_str).map(top));
                }
            }
        }
        Bson::Array(stages) => {
            for (stage, what) in stages.iter().filter_map(Bson::as_document).flatten() {
                match (stage.as_str(), what) {
                    ("$set" | "$addFields", Bson::Document(set)) => fields.extend(set.keys().map(|path| top(path))),
                    ("$unset", Bson::String(path)) => drop(fields.insert(top(path))),
                    ("$unset", Bson::Array(paths)) => fields.extend(paths.iter().filter_map(Bson::as_str).map(top)),
                    _ => return None,
                }
            }
        }
        _ => return None,
    }
    Some(fields)
}

fn top(path: &str) -> String {
    path.split('.').next().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use bson::{bson, doc};

    use super::*;

    #[test]
    fn the_fields_that_an_update_writes() {
        let fields = |update: Bson| {
            let mut fields: Vec<String> = written(&update)?.into_iter().collect();
            fields.sort();
            Some(fields.join(" "))
        };
        assert_eq!(fields(bson!({"$set": {"a.b": 1, "c.$[].d": 2}, "$inc": {"e": 1}})).as_deref(), Some("a c e"));
        assert_eq!(fields(bson!({"$rename": {"a": "b.c"}})).as_deref(), Some("a b"));
        assert_eq!(
            fields(bson!([{"$set": {"a": 1}}, {"$unset": ["b.c", "d"]}, {"$unset": "e"}])).as_deref(),
            Some("a b d e")
        );
        assert_eq!(fields(bson!([{"$replaceWith": {"a": 1}}])), None);
        assert_eq!(fields(bson!({"a": 1})), None);
    }

    #[test]
    fn a_partial_index_is_about_the_fields_of_its_filter_too() {
        let mut fields = HashSet::new();
        named(&doc! {"$and": [{"a.b": {"$exists": true}}, {"c": 1}]}, &mut fields);
        assert_eq!(fields, HashSet::from(["a".to_owned(), "c".to_owned()]));
    }
}
