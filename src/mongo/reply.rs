//! Numbers out of a reply.

use bson::Document;

/// How many documents a write matched or made.
pub fn written(reply: &Document) -> i64 {
    reply.get_i32("n").map_or_else(|_| reply.get_i64("n").unwrap_or_default(), i64::from)
}
