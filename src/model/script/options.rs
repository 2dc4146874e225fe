//! The names that operations and their options have.

/// What a type of operation may and must have.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Grammar {
    /// The type, as files write it.
    pub kind: &'static str,
    /// Every field it may have.
    pub fields: &'static [&'static str],
    /// The fields it must have, besides `type`.
    pub required: &'static [&'static str],
    /// What `options` may hold.
    pub options: &'static [&'static str],
}

/// The types of operations.
pub const GRAMMAR: [Grammar; 9] = [
    Grammar {
        kind: "create_collection",
        fields: &["type", "collection", "options", "capture", "allow"],
        required: &["collection"],
        options: CREATE_OPTIONS,
    },
    Grammar {
        kind: "drop_collection",
        fields: &["type", "collection", "capture", "allow"],
        required: &["collection"],
        options: &[],
    },
    Grammar {
        kind: "create_index",
        fields: &["type", "collection", "index", "options", "capture", "allow"],
        required: &["collection", "index"],
        options: INDEX_OPTIONS,
    },
    Grammar {
        kind: "drop_index",
        fields: &["type", "collection", "index", "capture", "allow"],
        required: &["collection", "index"],
        options: &[],
    },
    Grammar {
        kind: "update_documents",
        fields: &["type", "collection", "filter", "update", "options", "capture", "allow"],
        required: &["collection", "filter", "update"],
        options: UPDATE_OPTIONS,
    },
    Grammar {
        kind: "insert_documents",
        fields: &["type", "collection", "documents", "options", "capture", "allow"],
        required: &["collection", "documents"],
        options: INSERT_OPTIONS,
    },
    Grammar {
        kind: "delete_documents",
        fields: &["type", "collection", "filter", "options", "capture", "allow"],
        required: &["collection", "filter"],
        options: DELETE_OPTIONS,
    },
    Grammar {
        kind: "modify_collection",
        fields: &["type", "collection", "options", "capture", "allow"],
        required: &["collection", "options"],
        options: MODIFY_OPTIONS,
    },
    Grammar {
        kind: "rename_collection",
        fields: &["type", "collection", "to", "capture", "allow"],
        required: &["collection", "to"],
        options: &[],
    },
];

/// What the type `kind` may and must have; `None` where there is no such type.
pub fn grammar(kind: &str) -> Option<&'static Grammar> {
    GRAMMAR.iter().find(|each| each.kind == kind)
}

/// The sentence for a type that there is not.
pub fn unknown_type(kind: &str) -> String {
    super::fields::unknown("type", kind, &GRAMMAR.map(|each| each.kind))
}

/// What `update_documents` takes.
pub const UPDATE_OPTIONS: &[&str] =
    &["multi", "upsert", "array_filters", "collation", "hint", "let", "bypass_document_validation", "comment"];

/// What `insert_documents` takes.
pub const INSERT_OPTIONS: &[&str] = &["ordered", "bypass_document_validation", "comment"];

/// What `delete_documents` takes.
pub const DELETE_OPTIONS: &[&str] = &["collation", "hint", "comment"];

/// Everything `create` takes. Source: MongoDB manual, `create` command, 4.2 to 8.0.
pub const CREATE_OPTIONS: &[&str] = &[
    "capped",
    "timeseries",
    "expireAfterSeconds",
    "clusteredIndex",
    "changeStreamPreAndPostImages",
    "autoIndexId",
    "size",
    "max",
    "storageEngine",
    "validator",
    "validationLevel",
    "validationAction",
    "indexOptionDefaults",
    "viewOn",
    "pipeline",
    "collation",
    "encryptedFields",
    "comment",
];

/// Everything `createIndexes` takes for an index, and two of the command's own.
/// Source: MongoDB manual, `createIndexes` command, 4.2 to 8.0.
pub const INDEX_OPTIONS: &[&str] = &[
    "name",
    "unique",
    "partialFilterExpression",
    "sparse",
    "expireAfterSeconds",
    "hidden",
    "storageEngine",
    "weights",
    "default_language",
    "language_override",
    "textIndexVersion",
    "2dsphereIndexVersion",
    "bits",
    "min",
    "max",
    "collation",
    "wildcardProjection",
    "background",
    "prepareUnique",
    "v",
    "commitQuorum",
    "comment",
];

/// Everything `collMod` takes, but for `dryRun`, which would change nothing.
/// Source: MongoDB manual, `collMod` command, 4.2 to 8.0.
pub const MODIFY_OPTIONS: &[&str] = &[
    "index",
    "validator",
    "validationLevel",
    "validationAction",
    "viewOn",
    "pipeline",
    "cappedSize",
    "cappedMax",
    "expireAfterSeconds",
    "timeseries",
    "changeStreamPreAndPostImages",
    "recordPreImages",
    "timeseriesBucketsMayHaveMixedSchemaData",
    "comment",
];
