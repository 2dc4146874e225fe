//! Keys that a unique index would meet more than once.
//!
//! The fields of the index are read out and their keys hashed here; a second look at the keys whose hash occurs
//! twice tells which they are. That takes a few scans of the collection, where a `$group` on the server takes tens.
//! Where there are many keys the hashes are taken in several passes, a part of them at a time, so that the memory
//! depends neither on the documents nor on their keys. Under a collation only the server can tell which texts are equal, and groups.

use std::collections::HashMap;
use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};

use bson::{Bson, Document, RawDocumentBuf};

use super::keys::Keys;
use super::look::{EXAMPLES, PlanContext, PlanError, find as find_command, id_text};
use super::report::{Duplicates, OperationPlan};
use super::sieve::Sieve;
use crate::error::codes;
use crate::error::message::show;
use crate::model::equivalence::same_collation;
use crate::model::script::Operation;
use crate::model::script::operation::CreateIndex;
use crate::mongo::query::{Query, raw};
use crate::mongo::raw::fingerprint;
use crate::plural::counted;

/// Hashes of one pass: 24 MB.
const AT_ONCE: usize = 3_000_000;
/// Keys that occur twice and are looked at closely.
const CLOSELY: usize = 50_000;
/// Keys of which `_id`s are kept for examples.
const NAMED: usize = 1_000;

/// Looks for them and notes what the build would fail at.
pub async fn find(
    look: &PlanContext<'_>,
    operation: &Operation,
    index: &CreateIndex,
    collation: Option<&Document>,
    plan: &mut OperationPlan,
) -> Result<(), PlanError> {
    let name = &operation.collection;
    let sparse = index.options.get_bool("sparse").unwrap_or(false);
    let partial = index.options.get_document("partialFilterExpression").cloned().unwrap_or_default();
    let query = Query { collection: name, hint: None, collation: None, variables: None };
    let filter = raw(&partial)?;
    let Some(keys) = Keys::of(&index.keys, sparse) else {
        plan.unknown("whether keys occur twice is not known for an index of this kind");
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
            "{} {} in more than one document, {} in all: {}",
            counted(found.keys, "key"),
            if found.keys == 1 { "occurs" } else { "occur" },
            counted(found.documents, "document"),
            found.examples.join("; ")
        );
        plan.fails(message, Some(codes::DUPLICATE_KEY));
    }
    plan.duplicates = Some(found);
}

/// Reads the keys out; the `_id` of a document that cannot be in the index, if there is one.
async fn read_out(
    look: &PlanContext<'_>,
    query: &Query<'_>,
    filter: &RawDocumentBuf,
    keys: &Keys,
) -> Result<Result<Duplicates, String>, PlanError> {
    let hasher = BuildHasherDefault::<DefaultHasher>::default();
    let (documents, _) = look.size(query.collection).await.unwrap_or((0, 0));
    let command = find_command(query, filter, &keys.fields())?;
    let mut found = Duplicates { keys: 0, documents: 0, examples: Vec::new() };
    let mut closely: Vec<u64> = Vec::new();
    let mut parallel = None;
    let mut sieve = Sieve::new(AT_ONCE, u64::try_from(documents).unwrap_or(0));
    let mut own: Vec<u64> = Vec::new();
    loop {
        look.each(command.clone(), |document| {
            own.clear();
            let told = keys.of_document(document.as_bytes(), |key| {
                let hash = hasher.hash_one(key);
                if sieve.takes(hash) {
                    own.push(hash);
                }
            });
            if told.is_err() {
                parallel.get_or_insert_with(|| id_text(document));
            }
            // A key that one document has twice is no duplicate.
            own.sort_unstable();
            own.dedup();
            own.iter().for_each(|hash| sieve.push(*hash));
        })
        .await?;
        if let Some(id) = parallel {
            return Ok(Err(id));
        }
        let (repeated, more) = sieve.next_pass();
        for one in repeated {
            found.keys += 1;
            found.documents += one.times;
            if closely.len() < CLOSELY {
                closely.push(one.hash);
            }
        }
        if more.is_none() {
            break;
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
    look: &PlanContext<'_>,
    command: RawDocumentBuf,
    keys: &Keys,
    hasher: &BuildHasherDefault<DefaultHasher>,
    closely: &[u64],
    found: &mut Duplicates,
) -> Result<(), PlanError> {
    let mut sorted = closely.to_vec();
    sorted.sort_unstable();
    // By their fingerprints: a key may be as long as a document.
    let mut met: HashMap<[u8; 16], (i64, Vec<String>)> = HashMap::new();
    let mut own: Vec<[u8; 16]> = Vec::new();
    look.each(command, |document| {
        own.clear();
        let told = keys.of_document(document.as_bytes(), |key| {
            if sorted.binary_search(&hasher.hash_one(key)).is_ok() {
                own.push(fingerprint(key));
            }
        });
        // One that has arrays in two fields by now, and had not before.
        if told.is_err() {
            return;
        }
        own.sort_unstable();
        own.dedup();
        for key in &own {
            let known = met.len();
            let entry = match met.get_mut(key) {
                Some(entry) => entry,
                None if known >= 2 * CLOSELY => continue,
                None => met.entry(*key).or_default(),
            };
            entry.0 += 1;
            if known < NAMED && entry.1.len() < 2 || entry.1.len() == 1 {
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
    for (documents, ids) in twice.into_iter().filter(|(_, ids)| ids.len() == 2).take(EXAMPLES) {
        found.examples.push(format!(
            "{} with the key of _id {}",
            counted(*documents, "document"),
            ids.join(" and _id ")
        ));
    }
    Ok(())
}

/// Lets the server group under a collation, slow as that is.
async fn grouped(
    look: &PlanContext<'_>,
    operation: &Operation,
    index: &CreateIndex,
    filter: &RawDocumentBuf,
    collation: Option<&Document>,
    plan: &mut OperationPlan,
) -> Result<(), PlanError> {
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
                "{} with the key of _id {} and _id {}",
                counted(group.get_i32("n").unwrap_or(2), "document"),
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
