//! Rights of database users: what they are about, and what to say where some are missing.

use std::fmt;

/// What a right is about.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Resource {
    /// A database as a whole.
    Database(String),
    /// A collection of a database.
    Collection(String, String),
    /// The deployment.
    Cluster,
}

impl fmt::Display for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Database(name) => write!(f, "the database {name}"),
            Self::Collection(database, name) => write!(f, "{database}.{name}"),
            Self::Cluster => f.write_str("the cluster"),
        }
    }
}

/// An action that may be done to a resource.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Right {
    /// The server's name for it.
    pub action: &'static str,
    /// What it is done to.
    pub on: Resource,
}

impl fmt::Display for Right {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` on {}", self.action, self.on)
    }
}

/// Rights that a user lacks, for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lacking {
    /// The user, where known.
    pub user: Option<String>,
    /// The rights; where nobody knows which of them, all that are needed.
    pub rights: Vec<Right>,
    /// Whether these are known to be missing.
    pub known: bool,
}

impl Lacking {
    /// The rights, as parts of a sentence.
    pub fn list(&self) -> String {
        let all: Vec<String> = self.rights.iter().map(ToString::to_string).collect();
        all.join(" and ")
    }

    /// What to do, as a sentence without its end.
    pub fn advice(&self) -> String {
        let user =
            self.user.as_ref().map_or_else(|| "the user of MONGO_URI".to_owned(), |user| format!("the user {user}"));
        let one = if self.rights.len() == 1 { "right" } else { "rights" };
        let roles = roles(&self.rights);
        if self.known {
            format!("Grant {user} the missing {one} {}{roles}", self.list())
        } else {
            format!("Check that {user} has the {one} {}{roles}", self.list())
        }
    }
}

const READ: [&str; 6] = ["find", "listCollections", "listIndexes", "collStats", "dbStats", "dbHash"];
const ADMINISTER: [&str; 2] = ["collMod", "bypassDocumentValidation"];
const HOSTS: [&str; 2] = ["killAnySession", "setParameter"];

/// Which built-in roles have these rights, in brackets.
fn roles(rights: &[Right]) -> String {
    let mut roles: Vec<String> = Vec::new();
    let mut add = |role: String| {
        if !roles.contains(&role) {
            roles.push(role);
        }
    };
    let mut databases: Vec<&str> = Vec::new();
    let mut buckets = false;
    for right in rights {
        match &right.on {
            Resource::Cluster if HOSTS.contains(&right.action) => add("hostManager on admin".to_owned()),
            Resource::Cluster => add("clusterMonitor on admin".to_owned()),
            Resource::Collection(_, name) if name.starts_with("system.buckets.") => buckets = true,
            Resource::Collection(database, _) | Resource::Database(database) => databases.push(database),
        }
    }
    databases.dedup();
    for database in databases {
        let here = |right: &&Right| match &right.on {
            Resource::Collection(own, name) => own == database && !name.starts_with("system.buckets."),
            Resource::Database(own) => own == database,
            Resource::Cluster => false,
        };
        let actions: Vec<&str> = rights.iter().filter(here).map(|right| right.action).collect();
        let plain: Vec<&&str> = actions.iter().filter(|action| !ADMINISTER.contains(action)).collect();
        if !plain.is_empty() {
            let reads = plain.iter().all(|action| READ.contains(action));
            add(format!("{} on {database}", if reads { "read" } else { "readWrite" }));
        }
        if plain.len() < actions.len() {
            add(format!("dbAdmin on {database}"));
        }
    }
    let mut text = if roles.is_empty() { String::new() } else { format!(" (built-in: {})", roles.join(", ")) };
    if buckets {
        text.push_str(
            "; no role of a single database covers system.buckets collections, so give it by a role of your own, or by backup \
             (find) and restore (insert, bypassDocumentValidation) on admin",
        );
    }
    text
}
