//! Rights: which a command needs, which the database user has, and what to say where one is missing.
//!
//! Source: the MongoDB manual, "Privilege Actions" and "Resource Document", and what a server with a login answered when
//! each right was taken away (`tests/python/engine/test_rights.py`).

use bson::raw::RawBsonRef;
use bson::{Bson, Document, RawDocument};

use crate::error::rights::{Resource, Right};

/// Rights that are needed: all of one of these lists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Need(pub Vec<Vec<Right>>);

impl Need {
    /// One right.
    pub fn one(action: &'static str, on: Resource) -> Self {
        Self(vec![vec![Right { action, on }]])
    }
}

/// Several rights on one collection, each needed.
pub fn all_of(database: &str, collection: &str, actions: &[&'static str]) -> Vec<Need> {
    let on = || Resource::Collection(database.to_owned(), collection.to_owned());
    actions.iter().map(|action| Need::one(action, on())).collect()
}

/// What a rename within a database needs; `replacing` where it drops the collection that has the name.
pub fn rename(database: &str, from: &str, to: &str, replacing: bool) -> Need {
    let right = |action, name: &str| Right { action, on: Resource::Collection(database.to_owned(), name.to_owned()) };
    let mut same = vec![Right { action: "renameCollectionSameDB", on: Resource::Database(database.to_owned()) }];
    let mut copy =
        vec![right("find", from), right("dropCollection", from), right("insert", to), right("createIndex", to)];
    if replacing {
        same.push(right("dropCollection", to));
        copy.push(right("dropCollection", to));
    }
    Need(vec![same, copy])
}

/// What making a collection or view with these options needs.
pub fn create(database: &str, name: &str, capped: bool, view: bool) -> Vec<Need> {
    let right = |action| Right { action, on: Resource::Collection(database.to_owned(), name.to_owned()) };
    let mut ways = vec![vec![right("createCollection")]];
    if !view {
        ways.push(vec![right("insert")]);
    }
    let mut needs = vec![Need(ways)];
    if capped {
        needs.push(Need(vec![vec![right("convertToCapped")]]));
    }
    needs
}

/// What a command on `database` needs.
pub fn of_command(database: &str, command: &RawDocument) -> Vec<Need> {
    let Some((name, value)) = command.iter().flatten().next() else { return Vec::new() };
    let flag = |of: &RawDocument, name: &str| of.get_bool(name).unwrap_or(false);
    let collection = value.as_str().unwrap_or_default();
    let needs = |actions: &[&'static str]| all_of(database, collection, actions);
    let cluster = |action: &'static str| vec![Need::one(action, Resource::Cluster)];
    let whole = |action: &'static str| vec![Need::one(action, Resource::Database(database.to_owned()))];
    let mut found = match name.as_str() {
        "find" | "count" | "distinct" => needs(&["find"]),
        "aggregate" => of_pipeline(database, collection, command),
        "insert" => needs(&["insert"]),
        "update" => {
            let upserts = command.get_array("updates").is_ok_and(|updates| {
                updates.into_iter().flatten().filter_map(RawBsonRef::as_document).any(|it| flag(it, "upsert"))
            });
            if upserts { needs(&["update", "insert"]) } else { needs(&["update"]) }
        }
        "findAndModify" if flag(command, "upsert") => needs(&["find", "update", "insert"]),
        "findAndModify" => needs(&["find", "update"]),
        "delete" => needs(&["remove"]),
        "create" => {
            let view = command.get_str("viewOn").is_ok();
            create(database, collection, flag(command, "capped"), view)
        }
        "createIndexes" => needs(&["createIndex"]),
        "dropIndexes" => needs(&["dropIndex"]),
        "drop" => needs(&["dropCollection"]),
        "collMod" => needs(&["collMod"]),
        "listIndexes" => needs(&["listIndexes"]),
        "collStats" => needs(&["collStats"]),
        "renameCollection" => {
            let to = command.get_str("to").unwrap_or_default();
            match (collection.split_once('.'), to.split_once('.')) {
                (Some((database, from)), Some((_, to))) => {
                    vec![rename(database, from, to, flag(command, "dropTarget"))]
                }
                _ => Vec::new(),
            }
        }
        "listCollections" => whole("listCollections"),
        "dbStats" => whole("dbStats"),
        "dbHash" => whole("dbHash"),
        "explain" => value.as_document().map(|inner| of_command(database, inner)).unwrap_or_default(),
        "getParameter" => cluster("getParameter"),
        "setParameter" => cluster("setParameter"),
        "serverStatus" => cluster("serverStatus"),
        "replSetGetStatus" => cluster("replSetGetStatus"),
        "killAllSessionsByPattern" => cluster("killAnySession"),
        _ => Vec::new(),
    };
    if flag(command, "bypassDocumentValidation") && name.as_str() != "aggregate" {
        found.extend(needs(&["bypassDocumentValidation"]));
    }
    found
}

fn of_pipeline(database: &str, collection: &str, command: &RawDocument) -> Vec<Need> {
    let stages: Vec<&RawDocument> =
        command.get_array("pipeline").into_iter().flatten().flatten().filter_map(RawBsonRef::as_document).collect();
    let statistics = stages.first().is_some_and(|stage| stage.get("$collStats").is_ok_and(|it| it.is_some()));
    let mut needs = all_of(database, collection, &[if statistics { "collStats" } else { "find" }]);
    if let Some(last) = stages.last() {
        let bypass = command.get_bool("bypassDocumentValidation").unwrap_or(false);
        let target = |stage: &str| match last.get(stage).ok().flatten() {
            Some(RawBsonRef::String(name)) => Some(name.to_owned()),
            Some(RawBsonRef::Document(it)) => it.get_str("into").ok().map(str::to_owned),
            _ => None,
        };
        if let Some(to) = target("$out") {
            needs.extend(all_of(database, &to, &["insert", "remove"]));
        }
        if let Some(to) = target("$merge") {
            needs.extend(all_of(database, &to, &["insert", "update"]));
            if bypass {
                needs.extend(all_of(database, &to, &["bypassDocumentValidation"]));
            }
        }
    }
    needs
}

/// What the user of a connection may do.
#[derive(Debug, Clone, PartialEq)]
pub enum Rights {
    /// Everything: nobody has logged in. Where a login is wanted, the server says that itself.
    Unrestricted,
    /// What the server lists, for the user `user@database`.
    Listed {
        /// The user.
        user: String,
        /// Resource documents and actions.
        privileges: Vec<Document>,
    },
    /// The server does not tell, for this reason.
    Unknown(String),
}

impl Rights {
    /// What the answer to `connectionStatus` says.
    pub fn of_status(status: &Document) -> Self {
        let listed = |name: &str| {
            let info = status.get_document("authInfo").ok()?;
            Some(info.get_array(name).ok()?.iter().filter_map(Bson::as_document).cloned().collect::<Vec<_>>())
        };
        let Some(users) = listed("authenticatedUsers") else {
            return Self::Unknown("the server does not say who is logged in".to_owned());
        };
        let Some(user) = users.first() else { return Self::Unrestricted };
        let part = |name: &str| user.get_str(name).unwrap_or_default();
        match listed("authenticatedUserPrivileges") {
            Some(privileges) => Self::Listed { user: format!("{}@{}", part("user"), part("db")), privileges },
            None => Self::Unknown("the server does not list privileges".to_owned()),
        }
    }

    /// The user, as `name@database`.
    pub fn user(&self) -> Option<&str> {
        match self {
            Self::Listed { user, .. } => Some(user),
            _ => None,
        }
    }

    /// Whether the user may do it, as far as is known.
    pub fn allow(&self, right: &Right) -> bool {
        let Self::Listed { privileges, .. } = self else { return true };
        privileges.iter().any(|it| {
            let action = it.get_array("actions").is_ok_and(|all| {
                all.iter().filter_map(Bson::as_str).any(|own| own == right.action || own == "anyAction")
            });
            action && it.get_document("resource").is_ok_and(|resource| covers(resource, &right.on))
        })
    }

    /// Which of the rights that are needed are known to be missing; of several ways, those of the nearest.
    pub fn missing(&self, needs: &[Need]) -> Vec<Right> {
        let mut missing: Vec<Right> = Vec::new();
        for Need(ways) in needs {
            let lacking = |way: &Vec<Right>| way.iter().filter(|it| !self.allow(it)).cloned().collect::<Vec<_>>();
            let nearest = ways.iter().map(lacking).min_by_key(Vec::len).unwrap_or_default();
            missing.extend(nearest);
        }
        missing.sort();
        missing.dedup();
        missing
    }
}

/// Whether a privilege's resource covers this one. Source: MongoDB manual, "Resource Document".
fn covers(resource: &Document, on: &Resource) -> bool {
    let text = |name: &str| resource.get_str(name).ok();
    if resource.get_bool("anyResource").unwrap_or(false) {
        return true;
    }
    let of_database = |database: &str| {
        text("db").is_none_or(|own| own == database || own.is_empty() && !["local", "config"].contains(&database))
    };
    match on {
        Resource::Cluster => resource.get_bool("cluster").unwrap_or(false),
        Resource::Database(database) => {
            text("db").is_some() && of_database(database) && text("collection").is_some_and(str::is_empty)
        }
        Resource::Collection(database, name) => {
            if let (Some(own), Some(series)) = (text("system_buckets"), name.strip_prefix("system.buckets.")) {
                return of_database(database) && (own.is_empty() || own == series);
            }
            // No name means all collections except those of the server.
            let normal = !name.starts_with("system.");
            text("db").is_some()
                && of_database(database)
                && text("collection").is_some_and(|own| own == name || own.is_empty() && normal)
        }
    }
}
