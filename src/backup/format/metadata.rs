//! `<collection>.metadata.json` as mongodump writes it and mongorestore reads it.

use std::path::Path;

use bson::{Bson, Document, RawDocument, RawDocumentBuf};
use serde_json::{Value, json};

use super::manifest::{corrupt, hex};
use crate::backup::catalog::{CatalogEntry, CollectionType, index_name};
use crate::backup::old_tool::options;
use crate::error::Result;

/// The metadata of a collection. For people and mongorestore: our own restore takes the manifest's catalog, because
/// JSON cannot hold a name twice.
pub fn write(entry: &CatalogEntry) -> Vec<u8> {
    let indexes: Vec<Value> = entry.id_index.iter().chain(&entry.indexes).map(|index| extended(index)).collect();
    let metadata = json!({
        "indexes": indexes,
        "uuid": entry.uuid.map(|uuid| hex(&uuid)).unwrap_or_default(),
        "collectionName": entry.name,
        "type": entry.kind.as_str(),
        "options": extended(&entry.options),
    });
    metadata.to_string().into_bytes()
}

fn extended(document: &RawDocument) -> Value {
    Bson::Document(Document::try_from(document).unwrap_or_default()).into_canonical_extjson()
}

/// Reads the metadata that mongodump wrote for a collection, which is `name` unless the metadata says otherwise. What
/// was passed over or converted is added to `notes`.
///
/// # Errors
/// [`Error::BackupCorrupt`](crate::error::Error::BackupCorrupt).
pub fn read(bytes: &[u8], file: &Path, name: Option<String>, notes: &mut Vec<String>) -> Result<CatalogEntry> {
    // The parsers' words name no place that helps.
    let unreadable = || corrupt(file, "it is no Extended JSON");
    let value: Value = serde_json::from_slice(bytes).map_err(|_| unreadable())?;
    let parsed = Bson::try_from(value).map_err(|_| unreadable())?;
    let Bson::Document(metadata) = parsed else { return Err(corrupt(file, "it is no object")) };
    let raw = |document: &Document| RawDocumentBuf::try_from(document).map_err(|_| unreadable());
    let name = metadata
        .get_str("collectionName")
        .ok()
        .filter(|name| !name.is_empty())
        .map(str::to_owned)
        .or(name)
        .ok_or_else(|| corrupt(file, "it does not say which collection it is of"))?;
    let options = metadata.get_document("options").cloned().unwrap_or_default();
    let temporary = options.get_bool("temp").unwrap_or(false);
    let mut options = options::collection(&name, &options, notes);
    if temporary {
        options.insert("temp", true);
    }
    // Before version 100.3 mongodump wrote no type.
    let guessed = if options.contains_key("viewOn") {
        "view"
    } else if options.contains_key("timeseries") {
        "timeseries"
    } else {
        "collection"
    };
    let kind = CollectionType::of(metadata.get_str("type").ok().filter(|kind| !kind.is_empty()).unwrap_or(guessed));
    let mut entry = CatalogEntry::bare(name, kind, raw(&options)?);
    for index in metadata.get_array("indexes").map(Vec::as_slice).unwrap_or_default() {
        let Bson::Document(index) = index else { return Err(corrupt(file, "it holds an index that is no object")) };
        add_index(&mut entry, index, notes).map_err(|_| unreadable())?;
    }
    Ok(entry)
}

/// Adds an index as a dump describes it.
///
/// # Errors
/// For what cannot be BSON.
pub fn add_index(entry: &mut CatalogEntry, index: &Document, notes: &mut Vec<String>) -> bson::error::Result<()> {
    if index.get_bool("clustered").unwrap_or(false) {
        return Ok(());
    }
    let index = RawDocumentBuf::try_from(&options::index(&entry.name, index, notes))?;
    match index_name(&index) {
        // A clustered collection has none of its own.
        "_id_" if entry.options.get("clusteredIndex").is_ok_and(|it| it.is_none()) => entry.id_index = Some(index),
        "_id_" => {}
        _ => entry.indexes.push(index),
    }
    Ok(())
}
