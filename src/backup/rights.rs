//! The rights that a backup and a restore are going to need.

use super::catalog::{CatalogEntry, CollectionType};
use super::restore::build::expiries;
use super::restore::plan::{Move, RestorePlan};
use crate::error::rights::Resource;
use crate::mongo::demands::Demands;
use crate::mongo::rights::{self, Need, all_of};
use crate::mongo::server::Server;

/// What reading these collections for a backup needs.
pub fn of_backup<'a>(server: &Server, entries: impl IntoIterator<Item = &'a CatalogEntry>) -> Demands {
    let database = server.database();
    let mut demands = Demands::default();
    demands.add("the catalog", [Need::one("listCollections", Resource::Database(database.to_owned()))]);
    for entry in entries.into_iter().filter(|entry| entry.kind != CollectionType::View) {
        let what = format!("reading {:?}", entry.name);
        demands.add(&what, all_of(database, &entry.name, &["listIndexes"]));
        demands.add(&what, all_of(database, &entry.stored_in(), &["find"]));
    }
    demands
}

/// What a restore needs by this plan, from its first temporary collection to the end of its swap; `live` are the
/// collections that the database has, of which it saves those that it replaces, if it does (`saves`).
pub fn of_restore(server: &Server, plan: &RestorePlan, live: &[CatalogEntry], saves: bool) -> Demands {
    let (database, names) = (server.database(), server.names());
    let mut demands = Demands::default();
    let mut add = |what: &str, name: &str, actions: &[&'static str]| demands.add(what, all_of(database, name, actions));
    let journal = names.restore_journal();
    add("the journal of the restore", &journal, &["find", "insert", "update", "remove", "dropCollection"]);
    let prefix = format!("{}{}_0_0", names.temporary(), "0".repeat(24));
    for build in &plan.build {
        let entry = &build.part.entry;
        let what = format!("restoring {:?}", entry.name);
        let temporary = CatalogEntry { name: prefix.clone(), ..entry.clone() };
        let copied = build.moved_by == Move::Copy;
        demands.add(&what, rights::create(database, &prefix, entry.capped(), false));
        let mut add = |name: &str, actions: &[&'static str]| demands.add(&what, all_of(database, name, actions));
        add(&temporary.stored_in(), &["find", "insert", "bypassDocumentValidation"]);
        add(&prefix, &["listIndexes"]);
        if !entry.indexes.is_empty() {
            add(&prefix, &["createIndex"]);
        }
        if !expiries(&build.part).is_empty() {
            add(&entry.name, &["collMod"]);
        }
        if copied {
            add(&prefix, &["dropCollection"]);
            add(&entry.name, &["dropCollection"]);
            add(&entry.stored_in(), &["find", "insert", "bypassDocumentValidation"]);
            if !entry.indexes.is_empty() {
                add(&entry.name, &["createIndex"]);
            }
            demands.add(&what, rights::create(database, &entry.name, false, false));
        } else {
            demands.add(&what, [rights::rename(database, &prefix, &entry.name, true)]);
        }
    }
    for view in &plan.views {
        let what = format!("restoring the view {:?}", view.name);
        let in_the_way = plan.views_in_the_way.iter().any(|it| it.name == view.name);
        match live.iter().find(|it| it.name == view.name && it.kind == CollectionType::View && !in_the_way) {
            Some(same) if same.options == view.options => {}
            Some(_) => demands.add(&what, all_of(database, &view.name, &["collMod"])),
            None => demands.add(&what, rights::create(database, &view.name, false, true)),
        }
    }
    for entry in plan.drop.iter().chain(&plan.views_in_the_way) {
        let what = format!("dropping {:?}, which the backup lacks", entry.name);
        demands.add(&what, all_of(database, &entry.name, &["dropCollection"]));
    }
    let saved = |entry: &&CatalogEntry| saves && entry.kind != CollectionType::View && plan.saved.includes(&entry.name);
    for entry in live.iter().filter(saved) {
        let what = format!("saving {:?} first", entry.name);
        demands.add(&what, all_of(database, &entry.stored_in(), &["find"]));
    }
    demands
}
