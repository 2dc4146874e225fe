//! Refusing, before anything is written, to restore what the swap could not put in its place.

use bson::Document;

use super::super::catalog::CatalogEntry;
use super::plan::RestorePlan;
use crate::error::server::ServerError;
use crate::error::{Error, Result};
use crate::mongo::movable::{self, ENCRYPTED, SHARDED};
use crate::mongo::server::Server;

/// Refuses a plan in which a collection is encrypted, where the user may not rename it, or replaces one that is sharded.
/// `live` is the catalog of the target.
///
/// # Errors
/// [`Error::Backup`] with every such collection and the way out, or the server's.
pub async fn refuse(server: &Server, plan: &RestorePlan, live: &[CatalogEntry]) -> Result<()> {
    let found = barred(server, plan, live).await.map_err(Error::server("Looking at the collections to replace"))?;
    if found.is_empty() {
        return Ok(());
    }
    let names: Vec<String> = found.iter().map(|(name, why)| format!("{name:?} ({why})")).collect();
    Err(Error::Backup(format!(
        "The backup cannot be restored into {}: {} cannot be replaced. Nothing was written. Name the other collections with \
         --collections to restore them without it.",
        server.database(),
        names.join(", ")
    )))
}

async fn barred(
    server: &Server,
    plan: &RestorePlan,
    live: &[CatalogEntry],
) -> Result<Vec<(String, &'static str)>, ServerError> {
    let standing = |name: &str| live.iter().find(|entry| entry.name == name);
    let mut found = Vec::new();
    let built = plan.build.iter().map(|build| &build.part.entry);
    let mut renames = None;
    for entry in built.chain(&plan.views).chain(&plan.drop) {
        let there = standing(&entry.name);
        if encrypted(entry) || there.is_some_and(encrypted) {
            let may = match renames {
                Some(known) => known,
                None => *renames.insert(movable::may_rename_encrypted(server).await?),
            };
            if !may {
                found.push((entry.name.clone(), ENCRYPTED));
                continue;
            }
        }
        if let Some(there) = there
            && movable::sharded(server, &there.name, there.kind.as_str()).await?
        {
            found.push((entry.name.clone(), SHARDED));
        }
    }
    Ok(found)
}

fn encrypted(entry: &CatalogEntry) -> bool {
    movable::encrypted(&entry.name, &Document::try_from(entry.options.as_ref()).unwrap_or_default())
}
