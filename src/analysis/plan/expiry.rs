//! How many documents a TTL would delete as soon as it stands.

use bson::{Bson, Document};

use super::look::{PlanContext, PlanError};
use super::report::OperationPlan;
use crate::mongo::expiry::expired;
use crate::mongo::query::Query;

/// Counts the documents of which `field` is a date more than `after` ago.
pub async fn count(
    look: &PlanContext<'_>,
    collection: &str,
    field: &str,
    after: &Bson,
    partial: Option<&Document>,
    plan: &mut OperationPlan,
) -> Result<(), PlanError> {
    let Some(filter) = expired(look.server, field, after, partial).await? else { return Ok(()) };
    let query = Query { collection, hint: None, collation: None, variables: None };
    let expires = look.count(&query, &filter).await?.0;
    if expires > 0 {
        plan.notes
            .push("the server deletes what has expired within about a minute, and nothing is kept of it".to_owned());
    }
    plan.expires = Some(plan.expires.unwrap_or_default() + expires);
    Ok(())
}
