//! What of an update would happen, in numbers.

use std::time::Duration;

/// What of an update would happen.
#[derive(Debug, Clone, Copy, Default)]
pub struct Numbers {
    /// Documents that it selects.
    pub matched: i64,
    /// Documents that it would change.
    pub changes: i64,
    /// Whether that is just so, else at most.
    pub exact: bool,
    /// Documents that the server would refuse to update, whatever the update.
    pub refused: i64,
    /// Documents whose `_id` a pipeline would change.
    pub moved: i64,
    /// How long a plain read of them takes.
    pub took: Duration,
}
