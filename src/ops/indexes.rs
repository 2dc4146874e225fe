//! Operations on indexes. Each describes an end state.

use bson::{Bson, Document, doc};

use super::{Failure, SchemaError, Settled};
use crate::catalog::{self, same_collation, same_keys};
use crate::run::transaction::with_majority;
use crate::script::operation::{CreateIndex, IndexRef};
use crate::server::Server;
use crate::server_error::{ServerError, codes, show};

/// `create_index`. Sent also where an index of that name is listed: the server joins a build that is
/// under way and answers when it has finished, well or not, so that an index is never taken for standing
/// whose build fails later.
pub async fn create(server: &Server, collection: &str, index: &CreateIndex) -> Result<Settled, SchemaError> {
    let mut spec = doc! {"key": index.keys.clone(), "name": &index.name};
    spec.extend(index.options.clone());
    let mut command = doc! {"createIndexes": collection, "indexes": [spec]};
    if let Some(quorum) = &index.commit_quorum {
        command.insert("commitQuorum", quorum.clone());
    }
    if let Some(comment) = &index.comment {
        command.insert("comment", comment.clone());
    }
    let reply = match server.run(with_majority(command), None).await {
        Ok(reply) => reply,
        Err(e) if e.is(codes::INDEX_OPTIONS_CONFLICT) || e.is(codes::INDEX_KEY_SPECS_CONFLICT) => {
            return Err(conflict(server, collection, index, &e).await?.into());
        }
        Err(e) => return Err(e.into()),
    };
    let listed = catalog::indexes(server, collection).await?;
    let Some(built) = listed.iter().find(|listed| listed.get_str("name").is_ok_and(|it| it == index.name.as_str()))
    else {
        return Err(Failure::found(
            format!(
                "the server accepted the index {:?} but does not list it: somebody dropped it meanwhile",
                index.name
            ),
            "Apply again.",
        )
        .into());
    };
    // createIndexes passes over `hidden`, so an equal answer says nothing about it.
    let hidden = |spec: &Document| spec.get_bool("hidden").unwrap_or(false);
    if hidden(built) != hidden(&index.options) {
        return Err(different(index, built, codes::INDEX_OPTIONS_CONFLICT).into());
    }
    let before = reply.get_i32("numIndexesBefore").ok();
    Ok(if before.is_some() && before == reply.get_i32("numIndexesAfter").ok() {
        Settled::standing(format!("the index {:?} stands already, as asked", index.name))
    } else {
        Settled::done()
    })
}

/// The index that is in the way, beside the one asked for.
async fn conflict(
    server: &Server,
    collection: &str,
    index: &CreateIndex,
    error: &ServerError,
) -> Result<Failure, ServerError> {
    let listed = catalog::indexes(server, collection).await?;
    let in_the_way =
        listed.iter().find(|listed| listed.get_str("name").is_ok_and(|it| it == index.name.as_str())).or_else(|| {
            listed.iter().find(|listed| {
                listed.get_document("key").is_ok_and(|keys| same_keys(keys, &index.keys))
                    && same_collation(
                        listed.get_document("collation").ok(),
                        index.options.get_document("collation").ok(),
                    )
            })
        });
    Ok(match in_the_way {
        Some(standing) => different(index, standing, error.code.unwrap_or_default()),
        None => error.clone().into(),
    })
}

fn different(index: &CreateIndex, standing: &Document, code: i32) -> Failure {
    let mut asked = doc! {"key": index.keys.clone(), "name": &index.name};
    asked.extend(index.options.clone());
    let mut standing = standing.clone();
    standing.remove("v");
    Failure {
        cause: format!(
            "an index stands already and differs: asked for {}, stands {} (code {code})",
            show(&Bson::Document(asked)),
            show(&Bson::Document(standing))
        ),
        code: Some(code),
        remedy: None,
    }
}

/// `drop_index`.
pub async fn drop_index(server: &Server, collection: &str, index: &IndexRef) -> Result<Settled, SchemaError> {
    let listed: Vec<Document> = catalog::indexes(server, collection)
        .await?
        .into_iter()
        // One that is being built is listed with its specification inside.
        .map(|listed| listed.get_document("spec").cloned().unwrap_or(listed))
        .collect();
    let wanted: Vec<&str> = listed
        .iter()
        .filter(|listed| match index {
            IndexRef::Name(name) => listed.get_str("name").is_ok_and(|it| it == name),
            IndexRef::Keys(keys) => listed.get_document("key").is_ok_and(|own| same_keys(own, keys)),
        })
        .filter_map(|listed| listed.get_str("name").ok())
        .collect();
    let name = match wanted.as_slice() {
        [] => return Ok(Settled::absent("there is no such index")),
        [name] => *name,
        several => {
            return Err(Failure::found(
                format!("{} indexes have these keys: {}", several.len(), several.join(", ")),
                "Name the one to drop.",
            )
            .into());
        }
    };
    match server.run(with_majority(doc! {"dropIndexes": collection, "index": name}), None).await {
        Ok(_) => Ok(Settled::done()),
        Err(e) if e.is(codes::INDEX_NOT_FOUND) || e.is(codes::NAMESPACE_NOT_FOUND) => {
            Ok(Settled::absent("there is no such index"))
        }
        Err(e) => Err(e.into()),
    }
}
