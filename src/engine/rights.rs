//! The rights that a run is going to need, so that it is refused before its first write where one is missing.

use bson::Document;

use super::end_state::EndState;
use super::planned::{PlannedMigration, WorkItem};
use crate::error::rights::Resource;
use crate::error::server::ServerError;
use crate::model::script::Operation;
use crate::model::script::operation::Action;
use crate::mongo::catalog;
use crate::mongo::demands::Demands;
use crate::mongo::rights::{self, Need, Rights, all_of};
use crate::mongo::server::Server;
use crate::undo::moved;
use crate::undo::operation::UndoOperation;

/// What any run needs that takes the lock and keeps records.
pub fn of_lock(server: &Server) -> Demands {
    let (database, names) = (server.database(), server.names());
    let mut demands = Demands::default();
    let whole = Resource::Database(database.to_owned());
    demands.add("every run", [Need::one("listCollections", whole)]);
    for collection in [names.lock(), names.ledger().to_owned()] {
        demands.add("every run", all_of(database, &collection, &["find", "insert", "update"]));
    }
    demands.add("every run", all_of(database, &names.history(), &["insert"]));
    demands
}

/// What a run of these migrations needs.
///
/// # Errors
/// The server's.
pub async fn of_run(server: &Server, migrations: &[PlannedMigration]) -> Result<Demands, ServerError> {
    let mut demands = of_lock(server);
    let (database, names) = (server.database(), server.names());
    // The parts of an operation that several workers share are records, too, and go when it is done.
    demands.add("every run", all_of(database, names.ledger(), &["remove"]));
    let mut earlier: Vec<&str> = Vec::new();
    for migration in migrations {
        let captures = names.captures();
        if migration.capture || migration.exact {
            demands.add("captures", all_of(database, &captures, &["find", "insert", "update"]));
            if !server.transactions() {
                // A header that a killed run left.
                demands.add("captures", all_of(database, &captures, &["remove"]));
            }
        }
        let done = migration.resume.as_ref().map_or(0, |progress| progress.finished());
        for (at, item) in migration.items.iter().enumerate().skip(done) {
            let what = format!("{} operation {}, {}", migration.id, at + 1, item.kind());
            if packs(migration, item) {
                // Its own name is known only once it is made.
                let packs = format!("{captures}_{}", "0".repeat(24));
                demands.add(&what, all_of(database, &packs, &["insert", "bypassDocumentValidation"]));
            }
            match item {
                WorkItem::Operation(operation) => {
                    let captured = migration.capture && operation.capture;
                    let first = !earlier.contains(&operation.collection.as_str());
                    demands.add(&what, of_operation(server, operation, captured, first).await?);
                    earlier.push(&operation.collection);
                    if let Action::RenameCollection { to } = &operation.action {
                        earlier.push(to);
                    }
                }
                WorkItem::Undo(undo) => demands.add(&what, of_undo(server, undo).await?),
                WorkItem::Assessment(_) => {}
            }
        }
    }
    Ok(demands)
}

/// Whether an item keeps documents: a change of the schema is kept in the registry alone.
fn packs(migration: &PlannedMigration, item: &WorkItem) -> bool {
    match item {
        WorkItem::Operation(operation) => {
            let documents = matches!(
                operation.action,
                Action::UpdateDocuments(_) | Action::InsertDocuments(_) | Action::DeleteDocuments(_)
            );
            documents && operation.capture && migration.capture
        }
        WorkItem::Undo(undo) => undo.done.ends_with("_documents"),
        WorkItem::Assessment(_) => true,
    }
}

/// What an operation needs. `first` is true if no earlier operation of the run works on the collection. The present
/// state then shows whether there is anything to do.
async fn of_operation(
    server: &Server,
    operation: &Operation,
    captured: bool,
    first: bool,
) -> Result<Vec<Need>, ServerError> {
    let (database, name) = (server.database(), operation.collection.as_str());
    let on = |actions: &[&'static str]| all_of(database, name, actions);
    Ok(match &operation.action {
        Action::UpdateDocuments(update) => {
            let mut needs = on(&["find", "update"]);
            if update.upsert {
                needs.extend(on(&["insert"]));
            }
            if update.multi && !update.upsert && server.transactions() {
                // Whether workers may share it depends on its unique indexes.
                needs.extend(on(&["listIndexes"]));
            }
            if update.bypass_document_validation {
                needs.extend(on(&["bypassDocumentValidation"]));
            }
            needs
        }
        Action::InsertDocuments(insert) => {
            let mut needs = on(&["insert"]);
            if insert.bypass_document_validation {
                needs.extend(on(&["bypassDocumentValidation"]));
            }
            needs
        }
        Action::DeleteDocuments(_) => on(&["find", "remove"]),
        Action::CreateIndex(_) => on(&["createIndex", "listIndexes"]),
        // The others send nothing where their end state is there already.
        _ if first && EndState::of(&[operation]).violations(server).await?.is_empty() => Vec::new(),
        Action::DropIndex(_) => on(&["dropIndex", "listIndexes"]),
        Action::CreateCollection { options } => {
            let capped = options.get_bool("capped").unwrap_or(false);
            let view = options.contains_key("viewOn");
            let mut needs = rights::create(database, name, capped, view);
            if !view {
                needs.extend(on(&["listIndexes"]));
            }
            needs
        }
        Action::ModifyCollection { .. } => match catalog::collection(server, name).await? {
            Some(found) if found.kind == "view" => on(&["collMod"]),
            _ => on(&["collMod", "listIndexes"]),
        },
        Action::RenameCollection { to } => {
            let mut needs = all_of(database, to, &["listIndexes"]);
            needs.push(rights::rename(database, name, to, false));
            needs
        }
        Action::DropCollection if captured => of_stash(server, name).await?,
        Action::DropCollection => on(&["dropCollection"]),
    })
}

/// What setting a collection aside needs.
async fn of_stash(server: &Server, name: &str) -> Result<Vec<Need>, ServerError> {
    let database = server.database();
    let aside = format!("{}{}", server.names().kept(), "0".repeat(24));
    let Some(found) = catalog::collection(server, name).await? else { return Ok(Vec::new()) };
    Ok(match found.kind.as_str() {
        "view" => all_of(database, name, &["dropCollection"]),
        // It cannot be renamed: its buckets are copied.
        "timeseries" => {
            let mut needs = all_of(database, &format!("system.buckets.{name}"), &["find"]);
            needs.extend(all_of(database, &aside, &["insert", "remove"]));
            needs.push(Need::one("dbHash", Resource::Database(database.to_owned())));
            needs.extend(all_of(database, name, &["dropCollection", "listIndexes"]));
            needs
        }
        _ => {
            let mut needs = all_of(database, name, &["listIndexes"]);
            needs.push(rights::rename(database, name, &aside, false));
            let expires = |it: &Document| it.contains_key("expireAfterSeconds");
            if expires(&found.options) || catalog::indexes(server, name).await?.iter().any(expires) {
                needs.extend(all_of(database, name, &["collMod"]));
            }
            needs
        }
    })
}

/// What undoing an operation needs.
async fn of_undo(server: &Server, undo: &UndoOperation) -> Result<Vec<Need>, ServerError> {
    let database = server.database();
    let now = moved::name_now(server, undo).await?;
    let name = now.as_deref().unwrap_or(&undo.collection);
    let on = |actions: &[&'static str]| all_of(database, name, actions);
    let renamed = |key: &str| undo.entry.get_str(key).unwrap_or_default().to_owned();
    Ok(match undo.done.as_str() {
        "update_documents" => on(&["find", "update", "bypassDocumentValidation"]),
        "insert_documents" => on(&["find", "remove"]),
        "delete_documents" => on(&["find", "insert", "bypassDocumentValidation"]),
        "create_index" => on(&["dropIndex", "listIndexes"]),
        "drop_index" => on(&["createIndex", "listIndexes"]),
        "rename_collection" if undo.entry.get_bool("renames").unwrap_or(false) => {
            vec![rights::rename(database, &renamed("to"), &undo.collection, false)]
        }
        "drop_collection" if undo.entry.contains_key("aside") => {
            vec![rights::rename(database, &renamed("aside"), &undo.collection, false)]
        }
        _ => Vec::new(),
    })
}

/// What the user may do and what of `demands` is missing, for a plan.
pub async fn known(server: &Server, demands: &Demands) -> crate::analysis::plan::report::RightsReport {
    let rights = server.rights().await;
    crate::analysis::plan::report::RightsReport {
        user: rights.user().map(str::to_owned),
        not_known: match &rights {
            Rights::Unknown(why) => Some(why.clone()),
            _ => None,
        },
        missing: demands.missing(&rights),
    }
}
