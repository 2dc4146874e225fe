//! Server error codes the engine acts on.
//! Source: `src/mongo/base/error_codes.yml` of the MongoDB server.

#![allow(missing_docs)]

/// None of the server's: an attempt that learned something and is to be made again at once.
pub const TRY_AGAIN: i32 = -1;
/// None of the server's: the proof of the lease touched nothing. Every error that is made of it stops the run.
pub const LEASE_LOST: i32 = -2;
pub const UNAUTHORIZED: i32 = 13;
pub const AUTHENTICATION_FAILED: i32 = 18;
pub const ILLEGAL_OPERATION: i32 = 20;
pub const TYPE_MISMATCH: i32 = 14;
pub const INVALID_BSON: i32 = 22;
pub const NAMESPACE_NOT_FOUND: i32 = 26;
pub const INDEX_NOT_FOUND: i32 = 27;
pub const PATH_NOT_VIABLE: i32 = 28;
pub const CURSOR_NOT_FOUND: i32 = 43;
pub const NAMESPACE_EXISTS: i32 = 48;
/// MongoDB 5.0 says so where a view is to be made and a collection has its name.
pub const COLLECTION_EXISTS: i32 = 17399;
pub const MAX_TIME_EXPIRED: i32 = 50;
pub const CANNOT_CREATE_INDEX: i32 = 67;
pub const INDEX_OPTIONS_CONFLICT: i32 = 85;
pub const INDEX_KEY_SPECS_CONFLICT: i32 = 86;
pub const INVALID_OPTIONS: i32 = 72;
pub const IMMUTABLE_FIELD: i32 = 66;
pub const WRITE_CONFLICT: i32 = 112;
pub const CONFLICTING_OPERATION: i32 = 117;
pub const DOCUMENT_VALIDATION_FAILURE: i32 = 121;
pub const NO_SUCH_TRANSACTION: i32 = 251;
/// The cursor was ended, with its session or by hand.
pub const CURSOR_KILLED: i32 = 237;
/// A capped collection was overwritten faster than it was read.
pub const CAPPED_POSITION_LOST: i32 = 136;
pub const CANNOT_INDEX_PARALLEL_ARRAYS: i32 = 171;
/// The collection of a cursor was dropped or renamed, or an index that its plan used.
pub const QUERY_PLAN_KILLED: i32 = 175;
pub const LOCK_TIMEOUT: i32 = 24;
pub const NOT_SUPPORTED_IN_TRANSACTION: i32 = 263;
pub const SNAPSHOT_TOO_OLD: i32 = 239;
pub const SNAPSHOT_UNAVAILABLE: i32 = 246;
pub const COMMAND_NOT_SUPPORTED_ON_VIEW: i32 = 166;
pub const TRANSACTION_TOO_LARGE: i32 = 257;
pub const CANNOT_CONVERT_INDEX_TO_UNIQUE: i32 = 359;
pub const TRANSACTION_TOO_LARGE_FOR_CACHE: i32 = 388;
pub const BSON_OBJECT_TOO_LARGE: i32 = 10334;
pub const DUPLICATE_KEY: i32 = 11000;
pub const INTERRUPTED: i32 = 11601;
pub const OUT_OF_DISK_SPACE: i32 = 14031;
/// The language that a document says for a text index is no text, or none that the server knows.
pub const LANGUAGE_OVERRIDE_TYPE: i32 = 17261;
pub const LANGUAGE_OVERRIDE_UNSUPPORTED: i32 = 17262;
/// `$sample` met only documents that it had drawn before.
pub const ONLY_DUPLICATES_DRAWN: i32 = 28799;
/// A scan cannot carry on behind a record that is no longer there.
pub const KEY_NOT_FOUND: i32 = 211;
/// `min` and `max` leave nothing between them.
pub const EMPTY_RANGE: i32 = 51175;
/// The primary changed, or the node is going away or has too much to do: the command was not carried out, or its
/// result is unknown, and it is worth asking again.
/// In order: host unreachable, host not found, network timeout, shutdown in progress, no member fits the read
/// preference, majority reads not yet possible, primary stepped down, exceeded time limit, temporarily unavailable,
/// too many requests, socket closed, not primary (old form), not primary, interrupted at shutdown, interrupted by a
/// state change, not primary and no secondary reads, neither.
pub const PASSING: [i32; 17] =
    [6, 7, 89, 91, 133, 134, 189, 262, 365, 462, 9001, 10058, 10107, 11600, 11602, 13435, 13436];
