//! The catalog: every collection, view and time-series collection with its options and indexes, as the server
//! answered. It is in no snapshot, so a backup lists it before and after and compares.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bson::{RawDocument, RawDocumentBuf, doc};

use super::names::{BUCKETS, the_servers};
use super::own::Own;
use crate::error::codes;
use crate::error::server::ServerError;
use crate::error::{Error, Result};
use crate::mongo::raw::{self as bytes, Builder};
use crate::mongo::server::Server;

/// What an entry is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CollectionType {
    /// A collection, capped and clustered ones too.
    Collection,
    /// A view: a definition without documents.
    View,
    /// A time-series collection; its documents are the buckets.
    Timeseries,
}

impl CollectionType {
    /// As the server names it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Collection => "collection",
            Self::View => "view",
            Self::Timeseries => "timeseries",
        }
    }

    /// Reads the server's name.
    pub fn of(name: &str) -> Self {
        match name {
            "view" => Self::View,
            "timeseries" => Self::Timeseries,
            _ => Self::Collection,
        }
    }
}

/// One entry of the catalog.
#[derive(Debug, Clone, PartialEq)]
pub struct CatalogEntry {
    /// Its name.
    pub name: String,
    /// What it is.
    pub kind: CollectionType,
    /// Its options.
    pub options: RawDocumentBuf,
    /// The index on `_id`, where `create` takes one.
    pub id_index: Option<RawDocumentBuf>,
    /// The other indexes.
    pub indexes: Vec<RawDocumentBuf>,
    /// Indexes that are still being built: nobody knows whether they will stand.
    pub unfinished: Vec<String>,
    /// Which collection it is: one of the same name made again has another.
    pub uuid: Option<[u8; 16]>,
}

impl CatalogEntry {
    /// One without indexes.
    pub fn bare(name: String, kind: CollectionType, options: RawDocumentBuf) -> Self {
        Self { name, kind, options, id_index: None, indexes: Vec::new(), unfinished: Vec::new(), uuid: None }
    }

    /// Whether it is what a running `$out` fills: it takes another's place in a moment, or the server drops it when it
    /// starts anew.
    pub fn temporary(&self) -> bool {
        self.options.get_bool("temp").unwrap_or(false)
    }

    /// Where its documents are stored.
    pub fn stored_in(&self) -> String {
        match self.kind {
            CollectionType::Timeseries => format!("{BUCKETS}{}", self.name),
            CollectionType::Collection | CollectionType::View => self.name.clone(),
        }
    }

    /// Whether it keeps its documents' order and has no room for more than its limits say. Capped collections are
    /// read by no snapshot (246).
    pub fn capped(&self) -> bool {
        self.options.get_bool("capped").unwrap_or(false)
    }

    /// Options and indexes as one value for the manifest, byte for byte.
    pub fn encoded(&self) -> String {
        let mut builder = Builder::new();
        builder.document("options", self.options.as_bytes());
        if let Some(index) = &self.id_index {
            builder.document("idIndex", index.as_bytes());
        }
        builder.array("indexes", self.indexes.iter().map(|index| index.as_bytes()));
        STANDARD.encode(builder.finish().as_bytes())
    }

    /// Reads what [`encoded`](Self::encoded) made; `None` for anything else.
    pub fn decode(name: &str, kind: CollectionType, encoded: &str) -> Option<Self> {
        let all = RawDocumentBuf::from_bytes(STANDARD.decode(encoded).ok()?).ok()?;
        let part = |name: &str| all.get_document(name).ok().map(RawDocument::to_owned);
        let indexes = bytes::get(all.as_bytes(), "indexes")?.value;
        Some(Self {
            name: name.to_owned(),
            kind,
            options: part("options")?,
            id_index: part("idIndex"),
            indexes: bytes::documents(indexes).filter_map(|it| RawDocumentBuf::from_bytes(it.to_vec()).ok()).collect(),
            unfinished: Vec::new(),
            uuid: None,
        })
    }
}

/// The name of an index.
pub fn index_name(index: &RawDocument) -> &str {
    index.get_str("name").unwrap_or_default()
}

/// Which parts of a database a backup holds, and which it does not.
#[derive(Debug, Default)]
pub struct Listing {
    /// What it holds, by name.
    pub entries: Vec<CatalogEntry>,
    /// What it leaves out because it is this tool's own or the server's.
    pub left_out: Vec<String>,
    /// What has a name like this tool's own, and is none of it.
    pub resembling: Vec<String>,
    /// Which are this tool's own.
    pub own: Own,
}

/// Everything in the database that `wanted` takes and a backup holds, and what it leaves out.
///
/// # Errors
/// The server's.
pub async fn listing(server: &Server, wanted: impl Fn(&str) -> bool) -> Result<Listing, ServerError> {
    let answer = list_collections(server).await?;
    let own = Own::read(server).await?;
    let mut listing = Listing { own: own.clone(), ..Listing::default() };
    for name in answer.iter().filter_map(|found| found.get_str("name").ok()).filter(|name| wanted(name)) {
        // Time-series collections and views are stored there and are in every backup.
        let stores = name.starts_with(BUCKETS) || name == "system.views";
        if own.holds(name) || (the_servers(name) && !stores) {
            listing.left_out.push(name.to_owned());
        } else if own.resembles(name) {
            listing.resembling.push(name.to_owned());
        }
    }
    listing.left_out.sort();
    listing.resembling.sort();
    listing.entries = described(server, &answer, |name| !own.holds(name) && !the_servers(name) && wanted(name)).await?;
    Ok(listing)
}

/// Everything in the database that `wanted` takes and a backup holds, by name.
///
/// # Errors
/// The server's.
pub async fn list(server: &Server, wanted: impl Fn(&str) -> bool) -> Result<Vec<CatalogEntry>> {
    let mut entries = listing(server, wanted).await.map_err(Error::server("Reading the catalog"))?.entries;
    entries.retain(|entry| !entry.temporary());
    Ok(entries)
}

/// Everything in the database that `wanted` takes, by name.
///
/// # Errors
/// The server's.
pub async fn list_all(server: &Server, wanted: impl Fn(&str) -> bool) -> Result<Vec<CatalogEntry>, ServerError> {
    let answer = list_collections(server).await?;
    described(server, &answer, wanted).await
}

async fn list_collections(server: &Server) -> Result<Vec<RawDocumentBuf>, ServerError> {
    server.find_all(doc! {"listCollections": 1, "cursor": {}}).await
}

async fn described(
    server: &Server,
    answer: &[RawDocumentBuf],
    wanted: impl Fn(&str) -> bool,
) -> Result<Vec<CatalogEntry>, ServerError> {
    let uuid_of = |name: &str| {
        let found = answer.iter().find(|it| it.get_str("name").is_ok_and(|it| it == name))?;
        let info = found.get_document("info").ok()?;
        <[u8; 16]>::try_from(info.get_binary("uuid").ok()?.bytes).ok()
    };
    let mut entries = Vec::new();
    for found in answer {
        let Ok(name) = found.get_str("name") else { continue };
        if !wanted(name) {
            continue;
        }
        let kind = CollectionType::of(found.get_str("type").unwrap_or_default());
        let options = found.get_document("options").map(RawDocument::to_owned).unwrap_or_default();
        let mut entry = CatalogEntry {
            name: name.to_owned(),
            kind,
            options,
            id_index: found.get_document("idIndex").ok().map(without_namespace),
            indexes: Vec::new(),
            unfinished: Vec::new(),
            uuid: None,
        };
        // A time-series collection of MongoDB 9.0 has no collection of buckets, and is one itself.
        entry.uuid = uuid_of(&entry.stored_in()).or_else(|| uuid_of(name));
        if kind != CollectionType::View {
            indexes(server, &mut entry).await?;
        }
        entries.push(entry);
    }
    entries.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(entries)
}

async fn indexes(server: &Server, entry: &mut CatalogEntry) -> Result<(), ServerError> {
    let command = doc! {"listIndexes": &entry.name, "includeBuildUUIDs": true, "cursor": {}};
    let found = match server.find_all(command).await {
        // Dropped since it was listed: the second listing tells.
        Err(e) if e.is(codes::NAMESPACE_NOT_FOUND) => return Ok(()),
        found => found?,
    };
    for index in found {
        if let Ok(spec) = index.get_document("spec") {
            entry.unfinished.push(index_name(spec).to_owned());
        } else if !index.get_bool("clustered").unwrap_or(false) && index_name(&index) != "_id_" {
            entry.indexes.push(without_namespace(&index));
        }
    }
    Ok(())
}

/// An index specification without the namespace that servers before 4.4 wrote into it.
fn without_namespace(index: &RawDocument) -> RawDocumentBuf {
    let mut builder = Builder::new();
    bytes::elements(index.as_bytes()).filter(|it| it.name != b"ns").for_each(|it| builder.push(&it));
    builder.finish()
}

/// What changed between two listings, in words.
pub fn difference(before: &[CatalogEntry], after: &[CatalogEntry]) -> Option<String> {
    let missing = |these: &[CatalogEntry], those: &[CatalogEntry]| {
        these
            .iter()
            .find(|it| !those.iter().any(|other| other.name == it.name && other.uuid == it.uuid))
            .map(|it| it.name.clone())
    };
    if let Some(name) = missing(before, after) {
        return Some(format!("{name:?} was dropped, renamed or replaced"));
    }
    if let Some(name) = missing(after, before) {
        return Some(format!("{name:?} was created or renamed"));
    }
    let changed = before.iter().find(|it| !after.contains(it))?;
    Some(format!("the indexes or options of {:?} changed", changed.name))
}

#[cfg(test)]
mod tests {
    use bson::rawdoc;

    use super::*;

    fn entry(name: &str, uuid: u8) -> CatalogEntry {
        CatalogEntry {
            name: name.to_owned(),
            kind: CollectionType::Collection,
            options: rawdoc! {"validator": {"a": {"$gt": 1}}, "capped": true},
            id_index: Some(rawdoc! {"v": 2, "key": {"_id": 1}, "name": "_id_"}),
            indexes: vec![rawdoc! {"v": 2, "key": {"a": -1}, "name": "a"}],
            unfinished: Vec::new(),
            uuid: Some([uuid; 16]),
        }
    }

    #[test]
    fn an_entry_comes_back_from_the_manifest() {
        let one = entry("a", 1);
        let again = CatalogEntry::decode("a", CollectionType::Collection, &one.encoded()).expect("decodes");
        assert_eq!(again, CatalogEntry { uuid: None, ..one });
        assert!(CatalogEntry::decode("a", CollectionType::Collection, "no base64!").is_none());
        assert!(CatalogEntry::decode("a", CollectionType::Collection, "").is_none());
    }

    #[test]
    fn every_change_is_seen() {
        let before = [entry("a", 1), entry("b", 2)];
        assert_eq!(difference(&before, &before), None);
        let mut other = before.clone();
        other[1].indexes.clear();
        let changed: [(&[CatalogEntry], &str); 4] = [
            (&before[..1], "dropped"),
            (&[entry("a", 1), entry("b", 2), entry("c", 3)], "created"),
            (&[entry("a", 1), entry("b", 9)], "replaced"),
            (&other, "indexes"),
        ];
        for (after, word) in changed {
            assert!(difference(&before, after).is_some_and(|it| it.contains(word)), "{word}");
        }
    }
}
