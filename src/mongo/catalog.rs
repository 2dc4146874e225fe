//! What the server's catalog says of a collection, and whether it is what was asked for.

use bson::{Bson, Document, doc};

use crate::error::codes;
use crate::error::server::ServerError;
use crate::model::equivalence::{FIXED_BUCKETING, differences};
use crate::mongo::profile::{BUCKETS, Version};
use crate::mongo::server::Server;

/// A collection, view or time-series collection as `listCollections` has it.
#[derive(Debug, Clone, PartialEq)]
pub struct Collection {
    /// `collection`, `view` or `timeseries`.
    pub kind: String,
    /// Its options.
    pub options: Document,
    /// What it is the same by, however it is renamed; a view has none.
    pub uuid: Option<Vec<u8>>,
}

impl Collection {
    /// What it is, in words.
    pub fn noun(&self) -> &'static str {
        match self.kind.as_str() {
            "view" => "view",
            "timeseries" => "time-series collection",
            _ => "collection",
        }
    }

    /// Whether it can take part in transactions: capped and time-series collections cannot (263).
    pub fn takes_transactions(&self) -> bool {
        self.kind == "collection" && !self.options.get_bool("capped").unwrap_or(false)
    }
}

/// The names of the collections and views that `filter` selects among the entries of the catalog.
///
/// # Errors
/// The server's.
pub async fn names(server: &Server, filter: Document) -> Result<Vec<String>, ServerError> {
    let command = doc! {"listCollections": 1, "nameOnly": true, "filter": filter, "cursor": {}};
    let found = server.find_all(command).await?;
    Ok(found.iter().filter_map(|entry| entry.get_str("name").ok().map(str::to_owned)).collect())
}

/// Looks a collection up.
///
/// # Errors
/// The server's.
pub async fn collection(server: &Server, name: &str) -> Result<Option<Collection>, ServerError> {
    let found = server.find_all(doc! {"listCollections": 1, "filter": {"name": name}, "cursor": {}}).await?;
    let Some(raw) = found.first() else { return Ok(None) };
    let entry = Document::try_from(raw.as_ref()).map_err(mongodb::error::Error::from)?;
    let uuid = match entry.get_document("info").ok().and_then(|info| info.get("uuid")) {
        Some(Bson::Binary(uuid)) => Some(uuid.bytes.clone()),
        _ => None,
    };
    Ok(Some(Collection {
        kind: entry.get_str("type").unwrap_or("collection").to_owned(),
        options: entry.get_document("options").cloned().unwrap_or_default(),
        uuid,
    }))
}

/// Fits the options of a time-series collection to a server that is to take buckets as another one had them: from MongoDB
/// 9.0 on a new collection has `fixedBucketing`, which not all buckets of an older one follow.
pub async fn fit_bucketing(server: &Server, options: &mut Document) {
    let Ok(series) = options.get_document_mut("timeseries") else { return };
    let since = Version::FIXED_BUCKETING;
    let known = server.profile().version >= since
        && server.feature_compatibility().await.is_none_or(|compatible| compatible >= since);
    if !known {
        series.remove(FIXED_BUCKETING);
    } else if !series.contains_key(FIXED_BUCKETING) {
        series.insert(FIXED_BUCKETING, false);
    }
}

/// The UUID of a collection, or of the buckets of a time-series collection.
///
/// # Errors
/// The server's.
pub async fn uuid(server: &Server, name: &str) -> Result<Option<Vec<u8>>, ServerError> {
    match collection(server, name).await? {
        // From MongoDB 9.0 on it has one itself, and there is no collection of buckets.
        Some(found) if found.kind == "timeseries" && found.uuid.is_none() => {
            Ok(collection(server, &format!("{BUCKETS}{name}")).await?.and_then(|buckets| buckets.uuid))
        }
        found => Ok(found.and_then(|found| found.uuid)),
    }
}

/// The name of the collection with this UUID, or of the time-series collection whose buckets have it.
///
/// # Errors
/// The server's.
pub async fn name_of(server: &Server, uuid: &Bson) -> Result<Option<String>, ServerError> {
    let command = doc! {"listCollections": 1, "filter": {"info.uuid": uuid.clone()}, "nameOnly": false, "cursor": {}};
    let found = server.find_all(command).await?;
    let name = found.first().and_then(|entry| entry.get_str("name").ok());
    Ok(name.map(|name| name.strip_prefix(BUCKETS).unwrap_or(name).to_owned()))
}

/// The indexes of a collection; none where there is no such collection.
///
/// # Errors
/// The server's.
pub async fn indexes(server: &Server, collection: &str) -> Result<Vec<Document>, ServerError> {
    let command = doc! {"listIndexes": collection, "includeBuildUUIDs": true, "cursor": {}};
    let found = match server.find_all(command).await {
        Err(e) if e.is(codes::NAMESPACE_NOT_FOUND) => return Ok(Vec::new()),
        found => found?,
    };
    found.iter().map(|raw| Ok(Document::try_from(raw.as_ref()).map_err(mongodb::error::Error::from)?)).collect()
}

/// What an index is, as [`indexes`] lists it: one that is being built is listed with that inside.
pub fn specification(listed: &Document) -> &Document {
    listed.get_document("spec").unwrap_or(listed)
}

/// How an existing collection differs from the options asked for; `None` where it does not. Options that
/// were not asked for must have the server's defaults.
pub fn difference(asked: &Document, existing: &Collection) -> Option<String> {
    let differing: Vec<String> = differences(asked, &existing.options)
        .iter()
        .map(|(key, asked, found)| {
            format!("{key}: asked for {}, found {}", shown(asked.as_ref()), shown(found.as_ref()))
        })
        .collect();
    (!differing.is_empty()).then(|| differing.join("; "))
}

fn shown(value: Option<&Bson>) -> String {
    value.map_or_else(|| "nothing".to_owned(), crate::error::message::show)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn collection_with(options: Document) -> Collection {
        Collection { kind: "collection".to_owned(), options, uuid: None }
    }

    #[test]
    fn what_the_server_writes_out_is_no_difference() {
        let expanded = doc! {"locale": "en", "caseLevel": false, "caseFirst": "off", "strength": 2, "numericOrdering": false,
        "alternate": "non-ignorable", "maxVariable": "punct", "normalization": false, "backwards": false, "version": "57.1"};
        let equal = [
            (doc! {}, doc! {}),
            (doc! {"capped": true, "size": 1000}, doc! {"capped": true, "size": 1024}),
            (doc! {"collation": {"locale": "en", "strength": 2.0}}, doc! {"collation": expanded.clone()}),
            (doc! {"collation": {"locale": "simple"}, "validationLevel": "strict"}, doc! {}),
            (
                doc! {"timeseries": {"timeField": "t"}},
                doc! {"timeseries": {"timeField": "t", "granularity": "seconds", "bucketMaxSpanSeconds": 3600}},
            ),
            (
                doc! {"timeseries": {"timeField": "t"}},
                doc! {"timeseries": {"timeField": "t", "granularity": "seconds", "fixedBucketing": true}},
            ),
            (
                doc! {"timeseries": {"timeField": "t", "fixedBucketing": false}},
                doc! {"timeseries": {"timeField": "t", "granularity": "seconds"}},
            ),
            (
                doc! {"clusteredIndex": {"key": {"_id": 1}, "unique": true}},
                doc! {"clusteredIndex": {"v": 2, "key": {"_id": 1}, "name": "_id_", "unique": true}},
            ),
            (doc! {"viewOn": "c"}, doc! {"viewOn": "c", "pipeline": []}),
        ];
        for (asked, existing) in equal {
            assert_eq!(difference(&asked, &collection_with(existing.clone())), None, "{asked} / {existing}");
        }
        let different = [
            (doc! {}, doc! {"validator": {"a": 1}}),
            (doc! {"validator": {"a": 1}}, doc! {"validator": {"a": 2}}),
            (doc! {"validator": {"a": 1}}, doc! {}),
            (
                doc! {"timeseries": {"timeField": "t", "fixedBucketing": true}},
                doc! {"timeseries": {"timeField": "t", "fixedBucketing": false}},
            ),
            (doc! {"collation": {"locale": "en"}}, doc! {"collation": expanded}),
            (doc! {"capped": true, "size": 1000, "max": 5}, doc! {"capped": true, "size": 1024}),
        ];
        for (asked, existing) in different {
            assert!(difference(&asked, &collection_with(existing.clone())).is_some(), "{asked} / {existing}");
        }
    }
}
