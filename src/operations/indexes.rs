//! Operations on indexes. Each describes an end state.

use bson::{Bson, Document, doc};

use super::error::{Failure, SchemaError};
use super::position::Settled;
use crate::error::codes;
use crate::error::message::show;
use crate::error::server::ServerError;
use crate::model::equivalence::same_collation;
use crate::model::script::Operation;
use crate::model::script::operation::{Action, CreateIndex, IndexRef};
use crate::mongo::catalog;
use crate::mongo::indexes;
use crate::mongo::server::Server;
use crate::run::transaction::with_majority;

/// `create_index`. The command is sent even if the index is already listed. The server then joins a running build and
/// answers when the build ends. An index whose build fails later is therefore never counted as existing.
pub async fn create(server: &Server, collection: &str, index: &CreateIndex) -> Result<Settled, SchemaError> {
    let mut command = doc! {"createIndexes": collection, "indexes": [specification(index)]};
    if let Some(quorum) = &index.commit_quorum {
        command.insert("commitQuorum", quorum.clone());
    }
    if let Some(comment) = &index.comment {
        command.insert("comment", comment.clone());
    }
    let reply = match server.run(with_majority(command), None).await {
        Ok(reply) => reply,
        // The server calls a second text index one that cannot be made (67).
        Err(e)
            if e.is(codes::INDEX_OPTIONS_CONFLICT)
                || e.is(codes::INDEX_KEY_SPECS_CONFLICT)
                || (e.is(codes::CANNOT_CREATE_INDEX) && e.message.contains("only one text index")) =>
        {
            // A newer server may have another default than the one that built it (`2dsphereIndexVersion`).
            if index_exists(server, collection, index).await? {
                return Ok(Settled::existing(format!("the index {:?} exists already, as asked", index.name)));
            }
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
            "Run the same command again.",
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
        Settled::existing(format!("the index {:?} exists already, as asked", index.name))
    } else {
        Settled::done()
    })
}

/// Whether an index of this name exists, with everything that was asked for.
async fn index_exists(server: &Server, name: &str, index: &CreateIndex) -> Result<bool, ServerError> {
    let Some(collection) = catalog::collection(server, name).await? else { return Ok(false) };
    let collation = collection.options.get_document("collation").ok();
    let listed = catalog::indexes(server, name).await?;
    let place = indexes::place(&listed, &index.name, &index.keys, &index.options, collation);
    Ok(place == indexes::IndexPlace::Taken)
}

/// What the server says of several indexes where one of them cannot be made.
const ONE_IN_THE_WAY: [i32; 3] =
    [codes::CANNOT_INDEX_PARALLEL_ARRAYS, codes::INDEX_OPTIONS_CONFLICT, codes::INDEX_KEY_SPECS_CONFLICT];

/// Several indexes of one collection, in one pass over its documents. An index that cannot hold one of the documents
/// is left out. The note has one line for each such index and begins it with the name.
pub async fn create_all(server: &Server, operations: &[Operation]) -> Result<Settled, SchemaError> {
    let wanted = operations.iter().filter_map(|operation| match &operation.action {
        Action::CreateIndex(index) => Some((operation.collection.as_str(), index)),
        _ => None,
    });
    let wanted: Vec<_> = wanted.collect();
    let Some((collection, _)) = wanted.first() else { return Ok(Settled::done()) };
    let specifications: Vec<Document> = wanted.iter().map(|(_, index)| specification(index)).collect();
    let command = doc! {"createIndexes": *collection, "indexes": specifications};
    match server.run(with_majority(command), None).await {
        Ok(_) => return Ok(Settled::done()),
        // One is in the way of all: which one, and whether the others can be made, is seen one by one.
        Err(e) if ONE_IN_THE_WAY.iter().any(|code| e.is(*code)) => {}
        Err(e) => return Err(e.into()),
    }
    let mut left_out = Vec::new();
    for (collection, index) in wanted {
        match create(server, collection, index).await {
            Err(SchemaError::Server(e)) if e.is(codes::CANNOT_INDEX_PARALLEL_ARRAYS) => {
                left_out.push(format!(
                    "{} was left out, because a document has arrays in two of its fields: {e}",
                    index.name
                ));
            }
            other => drop(other?),
        }
    }
    Ok(Settled { note: (!left_out.is_empty()).then(|| left_out.join("\n")), ..Settled::done() })
}

/// As `createIndexes` takes it.
fn specification(index: &CreateIndex) -> Document {
    let mut specification = doc! {"key": index.keys.clone(), "name": &index.name};
    specification.extend(index.options.clone());
    specification
}

/// The index that is in the way, beside the one asked for.
async fn conflict(
    server: &Server,
    collection: &str,
    index: &CreateIndex,
    error: &ServerError,
) -> Result<Failure, ServerError> {
    let listed = catalog::indexes(server, collection).await?;
    let by_keys = IndexRef::Keys(index.keys.clone());
    let in_the_way =
        listed.iter().find(|listed| listed.get_str("name").is_ok_and(|it| it == index.name.as_str())).or_else(|| {
            listed.iter().find(|listed| {
                // A collection has one text index at most.
                (indexes::is_text(&index.keys) && listed.contains_key("textIndexVersion"))
                    || (indexes::means(&by_keys, listed)
                        && same_collation(
                            listed.get_document("collation").ok(),
                            index.options.get_document("collation").ok(),
                        ))
            })
        });
    Ok(match in_the_way {
        Some(existing) => different(index, existing, error.code.unwrap_or_default()),
        None => error.clone().into(),
    })
}

fn different(index: &CreateIndex, existing: &Document, code: i32) -> Failure {
    let asked = specification(index);
    let mut existing = existing.clone();
    existing.remove("v");
    Failure {
        written: None,
        cause: format!(
            "an index exists already and differs: asked for {}, found {} (code {code})",
            show(&Bson::Document(asked)),
            show(&Bson::Document(existing))
        ),
        code: Some(code),
        remedy: None,
    }
}

/// `drop_index`.
pub async fn drop_index(server: &Server, collection: &str, index: &IndexRef) -> Result<Settled, SchemaError> {
    let listed = catalog::indexes(server, collection).await?;
    let wanted: Vec<&Document> = listed.iter().filter(|listed| indexes::means(index, listed)).collect();
    let name = match wanted.as_slice() {
        [] => return Ok(Settled::absent("there is no such index")),
        [one] => {
            finish_together(server, collection, one, &listed).await?;
            listed_name(one)
        }
        several => {
            let names: Vec<&str> = several.iter().filter_map(|listed| listed_name(listed)).collect();
            return Err(Failure::found(
                format!("{} indexes have these keys: {}", names.len(), names.join(", ")),
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

fn listed_name(listed: &Document) -> Option<&str> {
    catalog::specification(listed).get_str("name").ok()
}

/// Waits for an index that is being built together with others: the server stops such a build for all of them only.
async fn finish_together(
    server: &Server,
    collection: &str,
    index: &Document,
    listed: &[Document],
) -> Result<(), ServerError> {
    let Some(build) = index.get("buildUUID") else { return Ok(()) };
    if listed.iter().filter(|other| other.get("buildUUID") == Some(build)).count() < 2 {
        return Ok(());
    }
    let specification = catalog::specification(index).clone();
    match server.run(doc! {"createIndexes": collection, "indexes": [specification]}, None).await {
        Err(e) if e.is_passing() || e.is(codes::LEASE_LOST) => Err(e),
        // A build that has failed leaves nothing to drop.
        _ => Ok(()),
    }
}
