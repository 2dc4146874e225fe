//! Backups that the old tool left: one document each in the collection `backups`, with every document of every
//! collection inside, and nothing about options and indexes.

pub mod options;

use std::path::PathBuf;
use std::sync::Arc;

use bson::{DateTime, Document, RawDocumentBuf, doc};

use super::catalog::{CatalogEntry, CollectionType};
use super::format::frames::{Written, size};
use super::format::manifest::{BackupScope, Consistency};
use super::format::reader::Data;
use super::report::BackupSummary;
use super::source::{BackupSource, SourceCollection};
use crate::error::{Error, Result};
use crate::model::number::field;
use crate::mongo::raw as bytes;
use crate::mongo::server::Server;
use crate::names::OLD_BACKUPS;

/// What `list` calls their kind.
pub const KIND: &str = "old_tool";

/// The old tool's backups of the database, newest first.
///
/// # Errors
/// The server's.
pub async fn list(server: &Server) -> Result<Vec<BackupSummary>> {
    let collections =
        doc! {"$objectToArray": {"$cond": [{"$eq": [{"$type": "$collections"}, "object"]}, "$collections", {}]}};
    let command = doc! {
        "aggregate": OLD_BACKUPS,
        "pipeline": [
            {"$match": {"backup_name": {"$type": "string"}, "collections": {"$type": "object"}}},
            // Counted there: the documents are large.
            {"$project": {
                "backup_name": 1,
                "timestamp": 1,
                "bytes": {"$bsonSize": "$$ROOT"},
                "collections": {"$size": collections.clone()},
                "documents": {"$sum": {"$map": {
                    "input": collections,
                    "in": {"$cond": [{"$isArray": "$$this.v"}, {"$size": "$$this.v"}, 0]},
                }}},
            }},
            {"$sort": {"timestamp": -1, "backup_name": -1}},
        ],
        "cursor": {},
    };
    let found = server.find_all(command).await.map_err(Error::server("Looking for backups of the old tool"))?;
    let summaries = found.iter().filter_map(|raw| Document::try_from(raw.as_ref()).ok()).map(|it| BackupSummary {
        name: it.get_str("backup_name").unwrap_or_default().to_owned(),
        kind: KIND.to_owned(),
        server_version: None,
        database: server.database().to_owned(),
        created_at: it.get_datetime("timestamp").copied().unwrap_or(DateTime::from_millis(0)),
        bytes: field(&it, "bytes").unwrap_or(0),
        stored_bytes: field(&it, "bytes").unwrap_or(0),
        documents: field(&it, "documents").unwrap_or(0),
        collections: field(&it, "collections").unwrap_or(0),
        consistency: Consistency::None.as_str().to_owned(),
        full: true,
        location: format!("the collection {OLD_BACKUPS} of {}", server.database()),
    });
    Ok(summaries.collect())
}

/// The one of this name, the newest where there are several; `None` where there is none.
///
/// # Errors
/// The server's, and [`Error::Backup`] for one that cannot be read.
pub async fn load(server: &Server, name: &str) -> Result<Option<BackupSource>> {
    let command = doc! {
        "find": OLD_BACKUPS,
        "filter": {"backup_name": {"$eq": name}, "collections": {"$type": "object"}},
        "sort": {"timestamp": -1},
        "limit": 1,
    };
    let found = server.find_all(command).await.map_err(Error::server("Looking for backups of the old tool"))?;
    found.first().map(|document| source(server.database(), name, document)).transpose()
}

/// What such a backup holds, from its document.
///
/// # Errors
/// [`Error::Backup`] for what cannot be read.
pub fn source(database: &str, name: &str, document: &RawDocumentBuf) -> Result<BackupSource> {
    let place = PathBuf::from(format!("{OLD_BACKUPS}/{name}"));
    let collections = bytes::get(document.as_bytes(), "collections").map(|it| it.value).unwrap_or_default();
    let mut parts = Vec::new();
    for element in bytes::elements(collections) {
        let unreadable =
            |what: &str| Error::Backup(format!("The old tool's backup {name:?} cannot be restored: {what}."));
        let collection =
            std::str::from_utf8(element.name).map_err(|_| unreadable("a collection's name in it is no text"))?;
        if element.kind != 4 {
            return Err(unreadable(&format!("it holds no documents for {collection:?} but something else")));
        }
        let mut written = Written::default();
        let mut all = Vec::with_capacity(element.value.len());
        for entry in bytes::elements(element.value) {
            if entry.kind != 3 {
                return Err(unreadable(&format!("something in {collection:?} is no document")));
            }
            all.extend_from_slice(entry.value);
            written += Written { documents: 1, bytes: size(entry.value.len()) };
        }
        parts.push(SourceCollection {
            entry: CatalogEntry {
                name: collection.to_owned(),
                kind: CollectionType::Collection,
                options: RawDocumentBuf::new(),
                id_index: None,
                indexes: Vec::new(),
                unfinished: Vec::new(),
                uuid: None,
            },
            data: Some(Data::Memory(place.join(collection), Arc::new(all))),
            expected: Some(written),
            consistency: Consistency::None,
        });
    }
    parts.sort_by(|a, b| a.entry.name.cmp(&b.entry.name));
    Ok(BackupSource {
        name: name.to_owned(),
        database: database.to_owned(),
        scope: BackupScope::Full,
        catalogued: false,
        parts,
        files: Vec::new(),
        notes: vec![
            "a backup of the old tool has no options and indexes: those of the live collections stay".to_owned(),
        ],
    })
}
