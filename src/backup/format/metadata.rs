//! `<collection>.metadata.json` as mongodump writes it and mongorestore reads it.

use std::path::Path;

use bson::{Bson, Document, RawDocument, RawDocumentBuf};
use serde_json::{Value, json};

use super::manifest::corrupt;
use super::strict_json;
use crate::backup::catalog::{CatalogEntry, CollectionType, index_name};
use crate::backup::old_tool::options;
use crate::error::Result;
use crate::hex::hex;

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
    let (value, more) = strict_json::parse(bytes).map_err(|why| corrupt(file, &why))?;
    if !value.is_object() {
        return Err(corrupt(file, "it is no object"));
    }
    if more {
        notes.push(format!("{}: what follows after the end of its object was passed over", file.display()));
    }
    let parsed = Bson::try_from(strict_json::upgraded(value)).map_err(|_| unreadable())?;
    let Bson::Document(metadata) = parsed else { return Err(corrupt(file, "it is no object")) };
    let raw = |document: &Document| RawDocumentBuf::try_from(document).map_err(|_| unreadable());
    let name = metadata
        .get_str("collectionName")
        .ok()
        .filter(|name| !name.is_empty())
        .map(str::to_owned)
        .or(name)
        .ok_or_else(|| corrupt(file, "it does not say which collection it is of"))?;
    let wrong = |member: &str| corrupt(file, &format!("its member {member:?} is not what mongodump writes there"));
    let options = match metadata.get("options") {
        None | Some(Bson::Null) => Document::new(),
        Some(Bson::Document(options)) => options.clone(),
        Some(_) => return Err(wrong("options")),
    };
    if metadata.get("collectionName").is_some_and(|name| !matches!(name, Bson::String(_) | Bson::Null)) {
        return Err(wrong("collectionName"));
    }
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
    let kind = metadata.get_str("type").ok().filter(|kind| !kind.is_empty()).unwrap_or(guessed);
    let known = kind == "collection" || kind == guessed;
    if !known {
        notes.push(format!(
            "{name:?}: its metadata calls it a {kind}, which its options are not: it comes back as a {guessed}"
        ));
    }
    let kind = if known { kind } else { guessed };
    let mut entry = CatalogEntry::bare(name, CollectionType::of(kind), raw(&options)?);
    let indexes = match metadata.get("indexes") {
        None | Some(Bson::Null) => &[],
        Some(Bson::Array(indexes)) => indexes.as_slice(),
        Some(_) => return Err(wrong("indexes")),
    };
    for index in indexes {
        let Bson::Document(index) = index else { return Err(wrong("indexes")) };
        let named = index.get_str("name").unwrap_or_default();
        let Some(key) = index.get_document("key").ok().filter(|key| !key.is_empty()) else {
            return Err(corrupt(file, &format!("its index {named:?} has no key")));
        };
        let mut index = index.clone();
        if named.is_empty() {
            // As the shell and drivers name one.
            let parts = key.iter().map(|(field, direction)| match direction {
                Bson::String(direction) => format!("{field}_{direction}"),
                direction => format!("{field}_{direction}"),
            });
            let generated = parts.collect::<Vec<_>>().join("_");
            notes.push(format!("{:?}: an index without a name became {generated:?}", entry.name));
            index.insert("name", generated);
        }
        add_index(&mut entry, &index, notes).map_err(|_| unreadable())?;
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
