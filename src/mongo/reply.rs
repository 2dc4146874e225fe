//! Numbers out of a reply.

use bson::Document;

use crate::model::number::field;

/// How many documents a write matched or made.
pub fn written(reply: &Document) -> i64 {
    field(reply, "n").unwrap_or_default()
}
