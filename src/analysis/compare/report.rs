//! What a comparison found.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::backup::catalog::CatalogEntry;

/// How many examples are kept of each thing that differs.
pub const EXAMPLES: usize = 3;
/// How many fields of a collection are told apart; documents that differ in further ones only are counted together.
pub const FIELDS: usize = 100;

/// What differs between two databases.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Comparison {
    /// The database of what was.
    pub before: String,
    /// The database of what is.
    pub after: String,
    /// Whether nothing differs but the order of fields.
    pub same: bool,
    /// The collections that differ, in the order of fields too, by name.
    pub collections: Vec<CollectionDifference>,
    /// The hashes of what was, to be handed in again while it stands as it does.
    pub hashes: Hashes,
    /// How long it took.
    pub seconds: f64,
}

/// Where a collection or an index stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Presence {
    /// On both sides.
    Stands,
    /// It was there and is not.
    Missing,
    /// It is there and was not.
    Added,
}

/// What differs in one collection, view or time-series collection.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CollectionDifference {
    /// Its name.
    pub collection: String,
    /// `collection`, `view` or `timeseries`.
    pub kind: String,
    /// Whether it stands on both sides.
    pub standing: Presence,
    /// Options that differ.
    pub options: Vec<OptionDifference>,
    /// Indexes that differ.
    pub indexes: Vec<IndexDifference>,
    /// Documents that differ.
    pub documents: DocumentDifferences,
    /// Whether a capped collection has the same documents in another order.
    pub reordered: bool,
}

impl CollectionDifference {
    /// Nothing found yet.
    pub fn of(entry: &CatalogEntry, standing: Presence) -> Self {
        Self {
            collection: entry.name.clone(),
            kind: entry.kind.as_str().to_owned(),
            standing,
            options: Vec::new(),
            indexes: Vec::new(),
            documents: DocumentDifferences::default(),
            reordered: false,
        }
    }

    /// Whether nothing differs but the order of fields.
    pub fn same(&self) -> bool {
        self.standing == Presence::Stands
            && self.options.is_empty()
            && self.indexes.is_empty()
            && self.documents.same()
            && !self.reordered
    }

    /// Whether nothing differs at all.
    pub fn identical(&self) -> bool {
        self.same() && self.documents.identical()
    }
}

/// An option that differs; as Extended JSON, absent where it was not set.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct OptionDifference {
    /// Its name.
    pub option: String,
    /// What it was.
    pub before: Option<String>,
    /// What it is.
    pub after: Option<String>,
}

/// An index that differs; its specification as Extended JSON.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct IndexDifference {
    /// Its name.
    pub index: String,
    /// Whether it stands on both sides, with another specification.
    pub standing: Presence,
    /// What it was.
    pub before: Option<String>,
    /// What it is.
    pub after: Option<String>,
}

/// Documents that differ. Identifiers and values are Extended JSON, shortened where they are long.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct DocumentDifferences {
    /// How many there were, where they were read.
    pub before: i64,
    /// How many there are, where they were read.
    pub after: i64,
    /// How many were there and are not.
    pub missing: i64,
    /// How many are there and were not.
    pub added: i64,
    /// How many have another content.
    pub changed: i64,
    /// How many have the same content in another order of fields.
    pub reordered: i64,
    /// Identifiers of some that are missing.
    pub missing_examples: Vec<String>,
    /// Identifiers of some that were added.
    pub added_examples: Vec<String>,
    /// Identifiers of some whose fields are in another order.
    pub reordered_examples: Vec<String>,
    /// The fields in which the changed ones differ, by path.
    pub fields: Vec<FieldDifference>,
    /// How many of the changed ones differ in fields beyond those.
    pub elsewhere: i64,
}

impl DocumentDifferences {
    /// Whether every document has the fields that it had, in whatever order.
    pub fn same(&self) -> bool {
        self.missing == 0 && self.added == 0 && self.changed == 0
    }

    /// Whether every document is what it was, byte for byte.
    pub fn identical(&self) -> bool {
        self.same() && self.reordered == 0
    }
}

/// A field in which documents differ.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct FieldDifference {
    /// Its path with dots; `[]` stands for the elements of an array.
    pub field: String,
    /// In how many documents.
    pub documents: i64,
    /// How many of them had it and have it no more.
    pub lost: i64,
    /// How many of them have it and had it not.
    pub gained: i64,
    /// Some of them.
    pub examples: Vec<Example>,
}

/// A field of one document.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Example {
    /// The document's `_id`.
    pub id: String,
    /// The value it had.
    pub before: Option<String>,
    /// The value it has.
    pub after: Option<String>,
}

/// The server's hashes of collections, by the names that they are stored under.
pub type Hashes = BTreeMap<String, String>;
