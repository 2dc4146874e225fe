//! What schema operations overwrite or remove: the state before them, for the registry.

use bson::spec::BinarySubtype;
use bson::{Binary, Bson, Document, doc};

use crate::error::server::ServerError;
use crate::model::script::Operation;
use crate::model::script::operation::{Action, IndexRef};
use crate::mongo::catalog;
use crate::mongo::indexes;
use crate::mongo::server::Server;
use crate::run::capture_key::CaptureKey;

/// The state before an operation.
///
/// # Errors
/// The server's.
pub async fn before(server: &Server, operation: &Operation, capture_key: CaptureKey) -> Result<Document, ServerError> {
    let name = operation.collection.as_str();
    Ok(match &operation.action {
        Action::CreateCollection { .. } => doc! {"before": definition(server, name).await?},
        Action::DropCollection => {
            let before = definition(server, name).await?;
            let kind = before.as_document().and_then(|before| before.get_str("type").ok());
            match kind {
                None | Some("view") => doc! {"before": before},
                Some(_) => {
                    doc! {"before": before, "aside": capture_key.aside(server.names()), "uuid": uuid(server, name).await?}
                }
            }
        }
        Action::CreateIndex(index) => {
            let made = catalog::collection(server, name).await?.is_none();
            doc! {
                "index": &index.name, "before": named(server, name, &index.name).await?, "made": made,
                "uuid": uuid(server, name).await?,
            }
        }
        Action::DropIndex(IndexRef::Name(index)) => {
            doc! {"before": [named(server, name, index).await?], "uuid": uuid(server, name).await?}
        }
        Action::DropIndex(keys) => {
            let listed = catalog::indexes(server, name).await?;
            let same: Vec<Document> = listed
                .iter()
                .filter(|index| indexes::means(keys, index))
                .map(|index| catalog::specification(index).clone())
                .collect();
            doc! {"before": same, "uuid": uuid(server, name).await?}
        }
        Action::ModifyCollection { options } => {
            doc! {
                "before": definition(server, name).await?, "modified": options.clone(), "uuid": uuid(server, name).await?,
            }
        }
        Action::RenameCollection { to } => {
            let from = catalog::collection(server, name).await?.is_some();
            let target = catalog::collection(server, to).await?.is_some();
            doc! {"to": to, "renames": from && !target, "uuid": uuid(server, name).await?}
        }
        Action::UpdateDocuments(_) | Action::InsertDocuments(_) | Action::DeleteDocuments(_) => {
            doc! {"made": catalog::collection(server, name).await?.is_none()}
        }
    })
}

/// The state after an operation that has finished, where that is to be compared later.
///
/// # Errors
/// The server's.
pub async fn after(server: &Server, operation: &Operation) -> Result<Document, ServerError> {
    let name = operation.collection.as_str();
    Ok(match &operation.action {
        Action::CreateCollection { .. } | Action::ModifyCollection { .. } => {
            doc! {"after": definition(server, name).await?}
        }
        Action::CreateIndex(index) => doc! {"after": named(server, name, &index.name).await?},
        _ => Document::new(),
    })
}

/// What tells a collection from another of its name.
///
/// # Errors
/// The server's.
pub async fn uuid(server: &Server, name: &str) -> Result<Bson, ServerError> {
    let bytes = catalog::uuid(server, name).await?;
    Ok(bytes.map_or(Bson::Null, |bytes| Bson::Binary(Binary { subtype: BinarySubtype::Uuid, bytes })))
}

/// A collection or view with its options and indexes, or null.
///
/// # Errors
/// The server's.
pub async fn definition(server: &Server, name: &str) -> Result<Bson, ServerError> {
    let Some(found) = catalog::collection(server, name).await? else { return Ok(Bson::Null) };
    let indexes = if found.kind == "view" { Vec::new() } else { catalog::indexes(server, name).await? };
    Ok(Bson::Document(doc! {"type": found.kind, "options": found.options, "indexes": indexes}))
}

async fn named(server: &Server, collection: &str, index: &str) -> Result<Bson, ServerError> {
    Ok(catalog::indexes(server, collection)
        .await?
        .iter()
        .map(catalog::specification)
        .find(|listed| listed.get_str("name").is_ok_and(|name| name == index))
        .map_or(Bson::Null, |found| Bson::Document(found.clone())))
}
