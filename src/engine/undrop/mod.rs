//! `undrop`: what was set aside, and bringing it back.

mod collections;
mod documents;
mod stashed;

use std::collections::HashMap;
use std::time::Duration;

use bson::{Bson, Document};

use self::stashed::{Stashed, unknown};
use super::retention::sizes;
use super::{CallContext, Engine, start};
use crate::assessment::names::OLD_TOOL;
use crate::capture::left;
use crate::capture::registry::{self, CaptureHeader};
use crate::engine::reports::{Dropped, UndropReport};
use crate::error::server::ServerError;
use crate::error::{Error, Result};
use crate::mongo::catalog;
use crate::mongo::retry::Retry;
use crate::mongo::server::Server;
use crate::mongo::stats::Stats;
use crate::names::Names;
use crate::observe::{Kind, Level};
use crate::operations::error::SchemaError;
use crate::run::capture_key::CaptureKey;
use crate::run::handle::Run;
use crate::run::history;
use crate::undo::indexes::index_again;

/// Lists what was set aside: dropped collections and views, dropped indexes, deleted documents. Reads only.
///
/// # Errors
/// The server's.
pub async fn dropped(engine: &Engine) -> Result<Vec<Dropped>> {
    let found = find_all(engine.server().await?).await.map_err(Error::server("Reading what was captured"))?;
    Ok(found.into_iter().filter(|found| !found.back).map(|found| found.entry).collect())
}

async fn find_all(server: &Server) -> Result<Vec<Stashed>, ServerError> {
    let mut all = Vec::new();
    let headers = registry::headers(server).await?;
    if headers.is_empty() {
        return Ok(all);
    }
    let sizes = sizes(server).await?;
    for header in headers.iter().filter(|header| !header.purging) {
        for (capture_key, registered) in registry::entries(server, header.capture).await? {
            // What an exact rollback has undone is back, but for what it could not bring back.
            let listed = describe(server.names(), header, capture_key, &registered, &sizes)
                .filter(|entry| !header.undone || entry.kind.ends_with("collection") || left::has(&registered));
            if let Some(entry) = listed {
                let back = registered.get_str("aside").is_ok_and(|aside| !sizes.contains_key(aside));
                all.push(Stashed { entry, capture_key, registered, undone: header.undone, back });
            }
        }
    }
    Ok(all)
}

fn describe(
    names: &Names,
    header: &CaptureHeader,
    capture_key: CaptureKey,
    registered: &Document,
    sizes: &HashMap<String, Stats>,
) -> Option<Dropped> {
    let text = |name: &str| registered.get_str(name).unwrap_or_default();
    let before = registered.get_document("before").ok();
    let mut index = None;
    let (kind, size) = match text("type") {
        "drop_collection" => {
            let before = before?;
            match (registered.get_str("aside"), before.get_str("type")) {
                (Err(_), _) => ("view", None),
                (Ok(aside), kind) => {
                    let size = sizes.get(aside).copied();
                    if size.is_none() && !collections::noted(registered) {
                        return None;
                    }
                    (
                        if kind.is_ok_and(|kind| kind == "timeseries") {
                            "time-series collection"
                        } else {
                            "collection"
                        },
                        size,
                    )
                }
            }
        }
        "drop_index" => match registered.get_array("before").ok()?.as_slice() {
            [Bson::Document(before)] => {
                index = before.get_str("name").ok().map(str::to_owned);
                ("index", None)
            }
            _ => return None,
        },
        "delete_documents"
        | "undo insert_documents"
        | "undo update_documents"
        | "undo unify_assessments"
        | "undo bring_over_teacher_assessments"
        | OLD_TOOL => {
            let whole = *sizes.get(&capture_key.whole(names))?;
            let documents = if header.undone {
                sizes.get(&left::collection(names, capture_key)).map_or(0, |left| left.documents)
            } else {
                whole.documents
            };
            ("documents", Some(Stats { documents, ..whole }))
        }
        // Of a collection that was removed while somebody put documents into it.
        _ if registered.get_bool("overtaken").unwrap_or(false) => {
            let size = registered.get_str("aside").ok().and_then(|aside| sizes.get(aside).copied());
            if size.is_none() && !collections::noted(registered) {
                return None;
            }
            ("collection", size)
        }
        _ => return None,
    };
    Some(Dropped {
        name: capture_key.name(),
        migration: header.migration.clone(),
        direction: header.direction,
        kind: kind.to_owned(),
        collection: text("collection").to_owned(),
        index,
        documents: size.filter(|_| kind != "time-series collection").map(|size| size.documents),
        bytes: size.map(|size| size.bytes),
        at: header.at,
    })
}

/// Brings back what is listed under `name`, a collection or view as `to` if that is given.
///
/// # Errors
/// [`Error::Unknown`], [`Error::WrongState`] where something else has its place, [`Error::LockHeld`], or the
/// server's. Run again, it carries on.
pub async fn undrop(
    engine: &Engine,
    call: &CallContext,
    name: &str,
    to: Option<&str>,
    lock_timeout: Duration,
) -> Result<UndropReport> {
    let server = engine.server().await?;
    if let Some(to) = to {
        crate::model::script::operation::collection_name("new", to.to_owned())
            .map_err(|e| Error::Settings(format!("{e}.")))?;
    }
    let mut run = start(server, "undrop", lock_timeout, call).await?;
    let result = bring_back(&mut run, name, to).await;
    run.close().await;
    result
}

async fn bring_back(run: &mut Run, name: &str, to: Option<&str>) -> Result<UndropReport> {
    let failed = || Error::server(format!("Bringing back {name}"));
    let all = find_all(&run.server).await.map_err(Error::server("Reading what was captured"))?;
    let Some(found) = all.into_iter().find(|found| found.entry.name == name) else {
        return Err(unknown(name));
    };
    let target = to.unwrap_or(&found.entry.collection).to_owned();
    let mut note = None;
    let mut report =
        UndropReport { entry: found.entry.clone(), to: target.clone(), documents: None, standing: None, barred: None };
    match found.entry.kind.as_str() {
        "documents" => {
            let returned = documents::bring_back(run, &found, &target).await?;
            report.documents = Some(returned.documents);
            report.standing = Some(returned.existing);
            report.barred = Some(returned.barred);
        }
        "index" => {
            let Some(Bson::Document(index)) = found.registered.get_array("before").ok().and_then(|all| all.first())
            else {
                return Err(Error::Unknown(format!("{name} has no index.")));
            };
            let definition = catalog::collection(&run.server, &target).await.map_err(failed())?;
            let definition = definition
                .ok_or_else(|| Error::WrongState(format!("There is no collection {target:?} to make the index in.")))?;
            let index = index_again(index, &definition);
            let (reporter, stop) = (run.reporter.clone(), run.stop.clone());
            let mut retry = Retry::new(&reporter, &stop);
            loop {
                match crate::operations::indexes::create(&run.server, &target, &index).await {
                    Ok(_) => break,
                    Err(SchemaError::Server(error)) => retry.wait(error).await?.map_err(failed())?,
                    Err(SchemaError::Found(failure)) => {
                        return Err(Error::WrongState(format!("{name}: {}.", failure.cause)));
                    }
                }
            }
        }
        _ => match collections::bring_back(run, &found, &target).await? {
            Some(id) => note = Some(id),
            None => return Ok(report),
        },
    }
    let mut entry = history::document(run, &found.entry.migration, "undropped");
    entry.insert("entry", name);
    entry.insert("collection", &target);
    entry.extend(note.map(|note| ("_id".to_owned(), Bson::ObjectId(note))));
    let mut writes = vec![history::append(&run.server, entry)];
    writes.extend(note.map(|_| collections::returned(&run.server, found.capture_key, &target)));
    run.write(history::WRITING, writes).await?;
    let message = format!("Brought back {} of {} as {target}.", found.entry.kind, found.entry.collection);
    run.reporter.for_migration(&found.entry.migration).tell(Kind::Undropped, Level::Info, message);
    Ok(report)
}
