//! What an error means to the attempt that meets it.

use crate::error::codes;
use crate::error::server::ServerError;

/// A unique value that somebody else has taken since: the next attempt goes without it.
pub(super) fn taken(error: &ServerError) -> bool {
    error.is(codes::DUPLICATE_KEY)
}

/// Tells the chunked writer to try a smaller chunk again, with what was learned.
pub(super) fn again(error: &ServerError) -> ServerError {
    ServerError::found(codes::TRY_AGAIN, error.message.clone())
}
