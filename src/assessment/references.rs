//! Whether what refers to assessments finds them: results and submissions name them by `assessment_id`.

use bson::{RawArrayBuf, RawDocumentBuf, rawdoc};

use super::copies::counterparts;
use super::names::TEACHER_ASSESSMENTS;
use super::report::{Meant, References};
use super::survey::next_batch;
use super::values::{id_text, text_of};
use crate::error::codes;
use crate::error::server::ServerError;
use crate::mongo::cursor::DocumentCursor;
use crate::mongo::id::Id;
use crate::mongo::raw::{Builder, Element, OBJECT_ID, TEXT, first, get};
use crate::mongo::retry::{Backoff, Policy};
use crate::mongo::server::Server;

/// The collections that refer to assessments.
const REFERRING: [&str; 2] = ["teacher_assessment_results", "assessment_submissions"];
/// References looked up at once.
const AT_ONCE: usize = 1_000;

/// Looks every assessment up that is referred to.
///
/// # Errors
/// The server's.
pub async fn check(server: &Server) -> Result<References, ServerError> {
    let mut references = References::default();
    for collection in REFERRING {
        let mut backoff = Backoff::new(Policy::READ);
        // Groups come in no order: a lost cursor begins the collection anew.
        references = loop {
            match check_one(server, collection, references).await {
                Err(e) if e.is_passing() && backoff.wait().await => {}
                counted => break counted?,
            }
        };
    }
    Ok(references)
}

/// Adds what one collection refers to.
async fn check_one(server: &Server, collection: &str, mut references: References) -> Result<References, ServerError> {
    let Some(mut groups) = groups(server, collection).await? else { return Ok(references) };
    while let Some(batch) = next_batch(&mut groups).await? {
        look_up(server, &batch, &mut references).await?;
    }
    Ok(references)
}

/// How many documents refer to teacher assessments under whose `_id` there is none in the assessments' collection: those
/// that will mean the copies, where these get the same `_id`s.
///
/// # Errors
/// The server's.
pub async fn meant(server: &Server) -> Result<Meant, ServerError> {
    let mut counts = [0; REFERRING.len()];
    for (collection, count) in REFERRING.into_iter().zip(&mut counts) {
        let mut backoff = Backoff::new(Policy::READ);
        *count = loop {
            match meant_in(server, collection).await {
                Err(e) if e.is_passing() && backoff.wait().await => {}
                counted => break counted?,
            }
        };
    }
    Ok(Meant { results: counts[0], submissions: counts[1] })
}

async fn meant_in(server: &Server, collection: &str) -> Result<i64, ServerError> {
    let mut count = 0;
    let Some(mut groups) = groups(server, collection).await? else { return Ok(count) };
    while let Some(batch) = next_batch(&mut groups).await? {
        let meant: Vec<Vec<Id>> = batch.iter().map(meant_by).collect();
        let ids: Vec<Id> = meant.iter().flatten().cloned().collect();
        let there = counterparts(server, None, &ids).await?;
        let originals = originals(server, &ids).await?;
        for (ids, group) in meant.iter().zip(&batch) {
            if ids.iter().any(|id| originals.contains(id)) && !ids.iter().any(|id| there.contains_key(id)) {
                count += group.get_i64("n").unwrap_or_default();
            }
        }
    }
    Ok(count)
}

/// What documents of a collection refer to, with the number of those that do: `None` where there is no such collection.
async fn groups(server: &Server, collection: &str) -> Result<Option<DocumentCursor>, ServerError> {
    let group = rawdoc! {"$group": {"_id": "$assessment_id", "n": {"$sum": 1_i64}}};
    let there = rawdoc! {"$match": {"assessment_id": {"$exists": true, "$ne": null}}};
    let pipeline: RawArrayBuf = [there, group].into_iter().collect();
    let command = rawdoc! {"aggregate": collection, "pipeline": pipeline, "allowDiskUse": true, "cursor": {}};
    match server.find(command).await {
        Err(e) if e.is(codes::NAMESPACE_NOT_FOUND) => Ok(None),
        found => found.map(Some),
    }
}

/// Which of these `_id`s teacher assessments have.
async fn originals(server: &Server, ids: &[Id]) -> Result<Vec<Id>, ServerError> {
    let find = rawdoc! {
        "find": TEACHER_ASSESSMENTS, "filter": {"_id": Id::any_of(ids)}, "hint": {"_id": 1}, "projection": {"_id": 1},
    };
    let found = server.read(find, None, usize::MAX).await?;
    Ok(found.iter().filter_map(|document| Id::of_stored(document)).collect())
}

async fn look_up(server: &Server, batch: &[RawDocumentBuf], references: &mut References) -> Result<(), ServerError> {
    let meant: Vec<Vec<Id>> = batch.iter().map(meant_by).collect();
    let ids: Vec<Id> = meant.iter().flatten().cloned().collect();
    let there = counterparts(server, None, &ids).await?;
    let originals = originals(server, &ids).await?;
    for ids in &meant {
        references.distinct += 1;
        if ids.iter().any(|id| there.contains_key(id)) {
            references.found += 1;
        } else if ids.iter().any(|id| originals.contains(id)) {
            // The original is where it was, whether it has a copy or cannot have one.
            references.elsewhere += 1;
        } else {
            references.dangling += 1;
        }
    }
    Ok(())
}

/// The `_id`s that a reference may mean: its own value, and an ObjectId that is written as text.
fn meant_by(reference: &RawDocumentBuf) -> Vec<Id> {
    let Some(value) = first(reference.as_bytes()) else { return Vec::new() };
    let mut meant: Vec<Id> = Id::from_element(&value).into_iter().collect();
    if let Some(bytes) = text_of(&value).and_then(object_id) {
        meant.extend(Id::from_element(&Element { kind: OBJECT_ID, name: b"_id", value: &bytes }));
    }
    meant
}

fn object_id(text: &[u8]) -> Option<Vec<u8>> {
    let text = std::str::from_utf8(text).ok().filter(|text| text.len() == 24)?;
    bson::oid::ObjectId::parse_str(text).ok().map(|id| id.bytes().to_vec())
}

fn id_of(id: &Id) -> Vec<u8> {
    first(id.as_bytes()).map(|id| id_text(&id)).unwrap_or_default()
}

/// How many references each of these `_id`s has.
///
/// # Errors
/// The server's.
pub async fn count(server: &Server, ids: &[Id]) -> Result<Vec<i64>, ServerError> {
    let mut counts = vec![0; ids.len()];
    for (ids, counts) in ids.chunks(AT_ONCE).zip(counts.chunks_mut(AT_ONCE)) {
        let texts: Vec<Vec<u8>> = ids.iter().map(id_of).collect();
        let mut values = Builder::new();
        for (index, (id, text)) in ids.iter().zip(&texts).enumerate() {
            if let Some(id) = first(id.as_bytes()) {
                values.value(id.kind, format!("{}", 2 * index).as_bytes(), id.value);
                values.value(TEXT, format!("{}", 2 * index + 1).as_bytes(), &super::values::text(text));
            }
        }
        let mut within = Builder::new();
        within.value(crate::mongo::raw::ARRAY, b"$in", values.finish().as_bytes());
        let within = within.finish();
        for collection in REFERRING {
            let chosen = rawdoc! {"$match": {"assessment_id": within.clone()}};
            let group = rawdoc! {"$group": {"_id": "$assessment_id", "n": {"$sum": 1_i64}}};
            let pipeline: RawArrayBuf = [chosen, group].into_iter().collect();
            let command = rawdoc! {"aggregate": collection, "pipeline": pipeline, "cursor": {}};
            for group in server.read_all(command).await? {
                let Some(value) = get(group.as_bytes(), "_id") else { continue };
                let text = id_text(&value);
                let n = group.get_i64("n").unwrap_or_default();
                if let Some(at) = texts.iter().position(|own| *own == text) {
                    counts[at] += n;
                }
            }
        }
    }
    Ok(counts)
}
