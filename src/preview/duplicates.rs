//! Keys that a unique index would meet more than once.
//!
//! The fields of the index are read out and their keys hashed here; a second look at the keys whose hash occurs
//! twice tells which they are. That takes a few scans of the collection, where a `$group` on the server takes tens,
//! and eight bytes of memory for each key: of large collections the hashes are taken in several passes, a part of
//! them at a time. Under a collation only the server can tell which texts are equal, and groups.

use std::collections::HashMap;
use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};

use bson::{Bson, Document, RawDocumentBuf};

use super::keys::Keys;
use super::look::{EXAMPLES, Look, Unseen, find as find_command, id_text};
use super::report::{Duplicates, OperationPlan};
use crate::catalog::same_collation;
use crate::run::query::{Query, raw};
use crate::script::Operation;
use crate::script::operation::CreateIndex;
use crate::server_error::{codes, show};

/// Keys of one pass: 64 MB of hashes.
const AT_ONCE: i64 = 8_000_000;
/// Keys that occur twice and are looked at closely.
const CLOSELY: usize = 100_000;

/// Looks for them and notes what the build would fail at.
pub async fn find(
    look: &Look<'_>,
    operation: &Operation,
    index: &CreateIndex,
    collation: Option<&Document>,
    plan: &mut OperationPlan,
) -> Result<(), Unseen> {
    let name = &operation.collection;
    let sparse = index.options.get_bool("sparse").unwrap_or(false);
    let partial = index.options.get_document("partialFilterExpression").cloned().unwrap_or_default();
    let query = Query { collection: name, hint: None, collation: None, variables: None };
    let filter = raw(&partial)?;
    let Some(keys) = Keys::of(&index.keys, sparse) else {
        plan.notes.push("whether keys occur twice is not known for an index of this kind".to_owned());
        return Ok(());
    };
    let collation = index.options.get_document("collation").ok().or(collation);
    if !same_collation(collation, None) {
        return grouped(look, operation, index, &filter, collation, plan).await;
    }
    let found = match read_out(look, &query, &filter, &keys).await? {
        Ok(found) => found,
        Err(id) => {
            plan.fails(format!("the document _id {id} has arrays in two fields of the index"), Some(PARALLEL_ARRAYS));
            return Ok(());
        }
    };
    plan.exact = true;
    report(found, plan);
    Ok(())
}

/// "cannot index parallel arrays".
const PARALLEL_ARRAYS: i32 = 171;

fn report(found: Duplicates, plan: &mut OperationPlan) {
    if found.keys > 0 {
        let message = format!(
            "{} keys occur in more than one document, {} documents in all: {}",
            found.keys,
            found.documents,
            found.examples.join("; ")
        );
        plan.fails(message, Some(codes::DUPLICATE_KEY));
    }
    plan.duplicates = Some(found);
}

/// Reads the keys out; the `_id` of a document that cannot be in the index, if there is one.
async fn read_out(
    look: &Look<'_>,
    query: &Query<'_>,
    filter: &RawDocumentBuf,
    keys: &Keys,
) -> Result<Result<Duplicates, String>, Unseen> {
    let hasher = BuildHasherDefault::<DefaultHasher>::default();
    let (documents, _) = look.size(query.collection).await.unwrap_or((0, 0));
    let passes = u64::try_from(documents / AT_ONCE).unwrap_or(0) + 1;
    let command = find_command(query, filter, &keys.fields())?;
    let mut found = Duplicates { keys: 0, documents: 0, examples: Vec::new() };
    let mut closely: Vec<u64> = Vec::new();
    let mut parallel = None;
    for pass in 0..passes {
        let mut hashes: Vec<u64> = Vec::new();
        look.each(command.clone(), |document| match keys.of_document(document.as_bytes()) {
            Ok(own) => {
                hashes.extend(own.iter().map(|key| hasher.hash_one(key)).filter(|hash| hash % passes == pass));
            }
            Err(_) => drop(parallel.get_or_insert_with(|| id_text(document))),
        })
        .await?;
        if let Some(id) = parallel {
            return Ok(Err(id));
        }
        hashes.sort_unstable();
        for run in hashes.chunk_by(|one, other| one == other).filter(|run| run.len() > 1) {
            found.keys += 1;
            found.documents += i64::try_from(run.len()).unwrap_or(i64::MAX);
            if closely.len() < CLOSELY {
                closely.push(run[0]);
            }
        }
    }
    if found.keys > 0 {
        look_closely(look, command, keys, &hasher, &closely, &mut found).await?;
    }
    Ok(Ok(found))
}

/// Reads the keys once more, to name some of those that occur twice; where they are not too many, their number no
/// longer depends on hashes.
async fn look_closely(
    look: &Look<'_>,
    command: RawDocumentBuf,
    keys: &Keys,
    hasher: &BuildHasherDefault<DefaultHasher>,
    closely: &[u64],
    found: &mut Duplicates,
) -> Result<(), Unseen> {
    let mut sorted = closely.to_vec();
    sorted.sort_unstable();
    let mut met: HashMap<Vec<u8>, (i64, Vec<String>)> = HashMap::new();
    look.each(command, |document| {
        for key in keys.of_document(document.as_bytes()).unwrap_or_default() {
            if sorted.binary_search(&hasher.hash_one(&key)).is_err() {
                continue;
            }
            let full = met.len() >= 2 * CLOSELY;
            let entry = match met.get_mut(&key) {
                Some(entry) => entry,
                None if full => continue,
                None => met.entry(key).or_default(),
            };
            entry.0 += 1;
            if entry.1.len() < 2 {
                entry.1.push(id_text(document));
            }
        }
    })
    .await?;
    let mut twice: Vec<&(i64, Vec<String>)> = met.values().filter(|(documents, _)| *documents > 1).collect();
    if closely.len() < CLOSELY {
        found.keys = i64::try_from(twice.len()).unwrap_or(i64::MAX);
        found.documents = twice.iter().map(|(documents, _)| documents).sum();
    }
    twice.sort_by(|one, other| other.0.cmp(&one.0).then_with(|| one.1.cmp(&other.1)));
    for (documents, ids) in twice.into_iter().take(EXAMPLES) {
        found.examples.push(format!("{documents} documents with the key of _id {}", ids.join(" and _id ")));
    }
    Ok(())
}

/// Lets the server group under a collation, slow as that is.
async fn grouped(
    look: &Look<'_>,
    operation: &Operation,
    index: &CreateIndex,
    filter: &RawDocumentBuf,
    collation: Option<&Document>,
    plan: &mut OperationPlan,
) -> Result<(), Unseen> {
    let mut key = Document::new();
    let mut projection = Document::new();
    let mut exists = Vec::new();
    for (at, path) in index.keys.keys().enumerate() {
        // An index holds an absent field as null.
        key.insert(at.to_string(), bson::doc! {"$ifNull": [format!("${path}"), Bson::Null]});
        projection.insert(path.clone(), 1);
        let mut one = Document::new();
        one.insert(path.clone(), bson::doc! {"$exists": true});
        exists.push(one);
    }
    let filter = Document::try_from(filter.as_ref()).map_err(mongodb::error::Error::from)?;
    let mut selected = vec![filter];
    if index.options.get_bool("sparse").unwrap_or(false) {
        selected.push(bson::doc! {"$or": exists});
    }
    let group = bson::doc! {"_id": key, "n": {"$sum": 1}, "a": {"$first": "$_id"}, "b": {"$last": "$_id"}};
    let pipeline = vec![
        bson::doc! {"$match": {"$and": selected}},
        bson::doc! {"$project": projection},
        bson::doc! {"$group": group},
        bson::doc! {"$match": {"n": {"$gt": 1}}},
    ];
    let mut command = bson::doc! {
        "aggregate": &operation.collection, "pipeline": pipeline, "cursor": {}, "allowDiskUse": true,
    };
    if let Some(collation) = collation {
        let mut collation = collation.clone();
        collation.remove("version");
        command.insert("collation", collation);
    }
    let mut found = Duplicates { keys: 0, documents: 0, examples: Vec::new() };
    look.each(raw(&command)?, |document| {
        let Ok(group) = Document::try_from(document) else { return };
        found.keys += 1;
        found.documents += group.get_i32("n").map_or(1, i64::from);
        if found.examples.len() < EXAMPLES {
            let id = |name: &str| group.get(name).map(show).unwrap_or_default();
            found.examples.push(format!(
                "{} documents with the key of _id {} and _id {}",
                group.get_i32("n").unwrap_or(2),
                id("a"),
                id("b")
            ));
        }
    })
    .await?;
    plan.notes.push("grouped under the index's collation; arrays are compared as a whole".to_owned());
    report(found, plan);
    Ok(())
}
