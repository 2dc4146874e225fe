//! The names that operations and their options have.

/// The types of operations.
pub const TYPES: [&str; 9] = [
    "create_collection",
    "drop_collection",
    "create_index",
    "drop_index",
    "update_documents",
    "insert_documents",
    "delete_documents",
    "modify_collection",
    "rename_collection",
];

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
