//! Operations on indexes: what stands in their place, and which keys a unique one would meet twice.

use bson::Bson;

use super::duplicates;
use super::look::{Look, Unseen};
use super::report::OperationPlan;
use crate::catalog::{self, same_keys};
use crate::index_spec::{self, Place};
use crate::run::report::Outcome;
use crate::script::Operation;
use crate::script::operation::{CreateIndex, IndexRef};
use crate::server_error::{codes, show};

/// Documents that a build indexes in a second, by a build of one field over 1,000,000 documents of 350 bytes.
const INDEXED_PER_SECOND: f64 = 500_000.0;

/// `create_index`.
pub async fn create(
    look: &Look<'_>,
    operation: &Operation,
    index: &CreateIndex,
    plan: &mut OperationPlan,
) -> Result<(), Unseen> {
    let name = &operation.collection;
    let Some(standing) = catalog::collection(look.server, name).await? else {
        plan.ends(Outcome::Done, Some("makes the collection, which does not stand yet"));
        return Ok(());
    };
    if standing.kind == "view" {
        plan.fails(
            format!("{name:?} is a view, and a view has no indexes"),
            Some(codes::COMMAND_NOT_SUPPORTED_ON_VIEW),
        );
        return Ok(());
    }
    let listed = catalog::indexes(look.server, name).await?;
    let collation = standing.options.get_document("collation").ok();
    match index_spec::place(&listed, &index.name, &index.keys, &index.options, collation) {
        Place::Taken => {
            plan.ends(Outcome::Standing, Some("stands already, as asked"));
            return Ok(());
        }
        Place::Building => {
            plan.notes.push("somebody is building an index of this name: it is waited for".to_owned());
            return Ok(());
        }
        Place::InTheWay { standing, why, code } => {
            let mut asked = bson::doc! {"key": index.keys.clone(), "name": &index.name};
            asked.extend(index.options.clone());
            let mut standing = standing;
            standing.remove("v");
            let message = format!(
                "an index stands already and differs ({why}): asked for {}, stands {}",
                show(&Bson::Document(asked)),
                show(&Bson::Document(standing))
            );
            plan.fails(message, Some(code));
            return Ok(());
        }
        Place::Free => plan.ends(Outcome::Done, None),
    }
    if index.options.get_bool("unique").unwrap_or(false) {
        duplicates::find(look, operation, index, collation, plan).await?;
    }
    if let Some((documents, _)) = look.size(name).await {
        plan.seconds_estimate = Some(documents as f64 / INDEXED_PER_SECOND);
    }
    Ok(())
}

/// `drop_index`.
pub async fn drop_index(
    look: &Look<'_>,
    operation: &Operation,
    index: &IndexRef,
    plan: &mut OperationPlan,
) -> Result<(), Unseen> {
    let name = &operation.collection;
    let standing = catalog::collection(look.server, name).await?;
    if standing.is_some_and(|standing| standing.kind == "view") {
        plan.fails(
            format!("{name:?} is a view, and a view has no indexes"),
            Some(codes::COMMAND_NOT_SUPPORTED_ON_VIEW),
        );
        return Ok(());
    }
    let listed = catalog::indexes(look.server, name).await?;
    let found: Vec<&str> = listed
        .iter()
        .map(catalog::specification)
        .filter(|listed| match index {
            IndexRef::Name(name) => listed.get_str("name").is_ok_and(|own| own == name),
            IndexRef::Keys(keys) => listed.get_document("key").is_ok_and(|own| same_keys(own, keys)),
        })
        .filter_map(|listed| listed.get_str("name").ok())
        .collect();
    match found.as_slice() {
        [] => plan.ends(Outcome::Absent, Some("there is no such index")),
        ["_id_"] => plan.fails("the index on _id cannot be dropped", Some(codes::INVALID_OPTIONS)),
        [_] => plan.ends(Outcome::Done, None),
        several => {
            plan.fails(format!("{} indexes have these keys: {}", several.len(), several.join(", ")), None);
        }
    }
    Ok(())
}
