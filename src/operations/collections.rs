//! Operations on collections and their options. Each describes an end state.

use bson::{Bson, Document, doc};

use super::error::{Failure, SchemaError};
use super::position::Settled;
use crate::error::codes;
use crate::model::equivalence::same;
use crate::mongo::catalog::{self, difference};
use crate::mongo::server::Server;
use crate::run::transaction::with_majority;

/// `create_collection`.
pub async fn create(server: &Server, name: &str, options: &Document) -> Result<Settled, SchemaError> {
    let mut command = doc! {"create": name};
    command.extend(options.clone());
    let error = match server.run(with_majority(command), None).await {
        Ok(_) => return Ok(Settled::done()),
        Err(e) => e,
    };
    // Code 48 also where the standing one is equal, and where this very command was sent before a kill.
    if !error.is(codes::NAMESPACE_EXISTS) && !error.is(codes::COLLECTION_EXISTS) {
        return Err(error.into());
    }
    let Some(existing) = catalog::collection(server, name).await? else {
        return Err(error.into());
    };
    match difference(options, &existing) {
        None => Ok(Settled::existing(format!("the {} exists already, as asked", existing.noun()))),
        Some(what) => Err(Failure {
            written: None,
            cause: format!("a {} of this name exists already and differs: {what}", existing.noun()),
            code: Some(codes::NAMESPACE_EXISTS),
            remedy: Some(
                "Change it with modify_collection, drop or rename it, or ask for the options that it has.".to_owned(),
            ),
        }
        .into()),
    }
}

/// `drop_collection`.
pub async fn drop_collection(server: &Server, name: &str) -> Result<Settled, SchemaError> {
    if catalog::collection(server, name).await?.is_none() {
        return Ok(Settled::absent("there is no such collection"));
    }
    match server.run(with_majority(doc! {"drop": name}), None).await {
        Ok(_) => Ok(Settled::done()),
        Err(e) if e.is(codes::NAMESPACE_NOT_FOUND) => Ok(Settled::absent("there is no such collection")),
        Err(e) => Err(e.into()),
    }
}

/// `modify_collection`.
pub async fn modify(server: &Server, name: &str, options: &Document) -> Result<Settled, SchemaError> {
    let Some(existing) = catalog::collection(server, name).await? else {
        return Err(Failure {
            written: None,
            cause: "there is no such collection".to_owned(),
            code: Some(codes::NAMESPACE_NOT_FOUND),
            remedy: None,
        }
        .into());
    };
    let mut all_stand = true;
    for (option, asked) in options {
        all_stand = all_stand
            && match option.as_str() {
                "comment" => true,
                "index" => index_stands(server, name, asked).await?,
                _ => option_agrees(option, asked, &existing.options),
            };
    }
    if all_stand {
        return Ok(Settled::existing("the options are as asked already"));
    }
    let mut command = doc! {"collMod": name};
    command.extend(options.clone());
    server.run(with_majority(command), None).await?;
    Ok(Settled::done())
}

/// Whether an option of `collMod` is as asked already.
pub(crate) fn option_agrees(option: &str, asked: &Bson, existing: &Document) -> bool {
    match (option, existing.get(option)) {
        (_, Some(present)) => same(asked, present),
        ("validationLevel", None) => asked.as_str() == Some("strict"),
        ("validationAction", None) => asked.as_str() == Some("error"),
        ("validator", None) => asked.as_document().is_some_and(Document::is_empty),
        ("changeStreamPreAndPostImages", None) => {
            asked.as_document().is_some_and(|images| images.get_bool("enabled").is_ok_and(|enabled| !enabled))
        }
        ("expireAfterSeconds", None) => asked.as_str() == Some("off"),
        _ => false,
    }
}

/// Whether the index that `collMod` is to change is as asked already.
async fn index_stands(server: &Server, collection: &str, asked: &Bson) -> Result<bool, SchemaError> {
    let Some(asked) = asked.as_document() else { return Ok(false) };
    Ok(index_is_in(&catalog::indexes(server, collection).await?, asked))
}

/// Whether among these indexes the one that `collMod` is to change is as asked already.
pub(crate) fn index_is_in(indexes: &[Document], asked: &Document) -> bool {
    let found = indexes.iter().find(|index| match (asked.get("name"), asked.get("keyPattern")) {
        (Some(name), _) => index.get("name") == Some(name),
        (None, Some(keys)) => index.get("key").is_some_and(|own| same(own, keys)),
        _ => false,
    });
    let Some(found) = found else { return false };
    asked.iter().filter(|(key, _)| !matches!(key.as_str(), "name" | "keyPattern")).all(|(key, value)| {
        match found.get(key) {
            Some(present) => same(value, present),
            None => value.as_bool() == Some(false),
        }
    })
}

/// `rename_collection`.
pub async fn rename(server: &Server, from: &str, to: &str) -> Result<Settled, SchemaError> {
    let source = catalog::collection(server, from).await?;
    let target = catalog::collection(server, to).await?;
    match (&source, &target) {
        (None, Some(_)) => {
            return Ok(Settled::existing(format!("{from:?} is gone and {to:?} exists: it was renamed already")));
        }
        (None, None) => {
            return Err(Failure {
                written: None,
                cause: format!("neither {from:?} nor {to:?} exists"),
                code: Some(codes::NAMESPACE_NOT_FOUND),
                remedy: Some("Correct the names, or create the collection first.".to_owned()),
            }
            .into());
        }
        (Some(_), Some(_)) => {
            return Err(Failure {
                written: None,
                cause: format!("both {from:?} and {to:?} exist"),
                code: Some(codes::NAMESPACE_EXISTS),
                remedy: Some("Drop or rename one of them first; this operation overwrites nothing.".to_owned()),
            }
            .into());
        }
        (Some(_), None) => {}
    }
    server.rename_collection(from, to).await?;
    Ok(Settled::done())
}
