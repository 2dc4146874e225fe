//! What kind of server a connection leads to: its version and its topology, asked once when connecting.
//!
//! Whoever needs to know what the server can do asks here. [`Profile::adapt`] changes commands to what this server
//! takes, so that the rest of the engine speaks one language.

use std::fmt;
use std::time::{SystemTime, UNIX_EPOCH};

use bson::raw::{CStr, cstr};
use bson::{Document, RawBson, RawDocument, RawDocumentBuf};

/// The version of a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version(pub u32, pub u32, pub u32);

impl Version {
    /// The oldest version that is supported. Source: the captured options of 5.0 cannot be stored by 4.4 (code 52).
    pub const OLDEST: Self = Self(5, 0, 0);
    /// From here on collections may be clustered by `_id`, and commands may name that order.
    const CLUSTERED: Self = Self(5, 3, 0);
    /// From here on an operator may limit the time of every read that does not say its own limit (`defaultMaxTimeMS`).
    const LIMITS_READS: Self = Self(8, 0, 0);
    /// From here on the buckets of a time-series collection are read and written under its own name with `rawData`,
    /// whether or not there is a `system.buckets` collection.
    const RAW_DATA: Self = Self(8, 3, 0);
    /// From here on time-series collections have the option `fixedBucketing`, where the feature compatibility is the same.
    pub const FIXED_BUCKETING: Self = Self(9, 0, 0);

    /// Whether features of this version are not to be used yet.
    pub fn behind(self, compatible: Self) -> bool {
        (compatible.0, compatible.1) < (self.0, self.1)
    }

    /// Reads `8.0.12`, also with a suffix as in `8.0.0-rc3`.
    pub fn parse(text: &str) -> Option<Self> {
        let mut numbers = text.split(['.', '-', '+']).map(|part| part.parse().ok());
        Some(Self(numbers.next()??, numbers.next()??, numbers.next().flatten().unwrap_or(0)))
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.0, self.1, self.2)
    }
}

/// How the servers of a deployment belong together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Topology {
    /// One server, without transactions.
    Standalone,
    /// A replica set of this name.
    ReplicaSet(String),
    /// A sharded cluster: the server is a `mongos`.
    Sharded,
}

/// What is known of a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Profile {
    /// The version as the server writes it.
    pub version_text: String,
    /// The version, to be compared.
    pub version: Version,
    /// The kind of deployment.
    pub topology: Topology,
}

impl Profile {
    /// Reads the answers to `hello` and `buildInfo`. `None` where they hold no version.
    pub fn of(hello: &Document, build: &Document) -> Option<Self> {
        let version_text = build.get_str("version").ok()?.to_owned();
        Some(Self { version: Version::parse(&version_text)?, version_text, topology: topology(hello) })
    }

    /// Whether there are multi-document transactions.
    pub fn transactions(&self) -> bool {
        self.topology != Topology::Standalone
    }

    /// Whether the server is the router of a sharded cluster.
    pub fn sharded(&self) -> bool {
        self.topology == Topology::Sharded
    }

    /// The longest expiry that `createIndexes` takes, in seconds. Up to MongoDB 5.x it must not reach back beyond 1970;
    /// a day is left for clocks that differ. `collMod` takes [`LONGEST_EXPIRY`] there, too.
    pub fn longest_expiry(&self) -> i64 {
        if self.version >= Version(6, 0, 0) {
            return LONGEST_EXPIRY;
        }
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        i64::try_from(now).unwrap_or(LONGEST_EXPIRY).min(LONGEST_EXPIRY) - 86_400
    }

    /// Whether a read of a time-series collection's buckets may be told to go along `_id`. They are clustered by it, and
    /// MongoDB 5.0 knows no index there (code 2).
    pub fn buckets_by_id(&self) -> bool {
        self.version >= Version::CLUSTERED
    }

    /// Whether the buckets of time-series collections are reached by `rawData`.
    pub fn raw_data(&self) -> bool {
        self.version >= Version::RAW_DATA
    }

    /// The command as this server takes it.
    /// - A read says that its time is not limited. It ends with its caller, and never because of an operator's default.
    /// - What is about `system.buckets.x` is about the raw data of `x` where there is no such collection.
    pub fn adapt(&self, mut command: RawDocumentBuf) -> RawDocumentBuf {
        if self.version < Version::LIMITS_READS {
            return command;
        }
        let name = name_of(&command).to_owned();
        if self.raw_data()
            && let Some(collection) = buckets_of(&command)
        {
            command = with_raw_data(&command, &collection);
        }
        if LIMITED.contains(&name.as_str()) && !matches!(command.get("maxTimeMS"), Ok(Some(_))) {
            command.append(cstr!("maxTimeMS"), 0);
        }
        command
    }
}

/// The longest expiry there is, in seconds: 68 years.
pub const LONGEST_EXPIRY: i64 = 2_147_483_647;

/// The reads that the default limit applies to. Source: MongoDB manual, `defaultMaxTimeMS`.
const LIMITED: [&str; 5] = ["find", "aggregate", "count", "distinct", "dbHash"];
/// The commands that take `rawData` and that the engine sends to buckets.
const RAW: [&str; 7] = ["find", "aggregate", "count", "insert", "update", "delete", "createIndexes"];
/// What the name of a collection of buckets begins with.
pub const BUCKETS: &str = "system.buckets.";

fn topology(hello: &Document) -> Topology {
    if hello.get_str("msg").is_ok_and(|it| it == "isdbgrid") {
        return Topology::Sharded;
    }
    match hello.get_str("setName") {
        Ok(name) => Topology::ReplicaSet(name.to_owned()),
        Err(_) => Topology::Standalone,
    }
}

fn name_of(command: &RawDocument) -> &str {
    command.iter().next().and_then(Result::ok).map_or("", |(name, _)| name.as_str())
}

/// The time-series collection whose buckets the command is about.
fn buckets_of(command: &RawDocument) -> Option<String> {
    let (name, target) = command.iter().next()?.ok()?;
    let collection = target.as_str()?.strip_prefix(BUCKETS)?;
    RAW.contains(&name.as_str()).then(|| collection.to_owned())
}

/// The command about the raw data of a collection.
fn with_raw_data(command: &RawDocument, collection: &str) -> RawDocumentBuf {
    let mut adapted = RawDocumentBuf::new();
    for (at, element) in command.iter_elements().flatten().enumerate() {
        let key: &CStr = element.key();
        match RawBson::try_from(element) {
            Ok(_) if at == 0 => adapted.append(key, collection),
            Ok(value) => adapted.append(key, value),
            Err(_) => {}
        }
    }
    adapted.append(cstr!("rawData"), true);
    adapted
}

#[cfg(test)]
mod tests {
    use bson::{doc, rawdoc};

    use super::*;

    fn server(version: &str) -> Profile {
        Profile::of(&doc! {"setName": "rs0"}, &doc! {"version": version}).expect("a profile")
    }

    #[test]
    fn versions_are_compared_by_number() {
        assert!(Version::parse("4.4.29").is_some_and(|it| it < Version::OLDEST));
        assert!(Version::parse("5.0.0-rc1").is_some_and(|it| it >= Version::OLDEST));
        assert!(Version::parse("10.0.1").is_some_and(|it| it > Version(9, 0, 0)));
        assert_eq!(Version::parse("8.3"), Some(Version(8, 3, 0)));
        assert_eq!(Version::parse("unknown"), None);
    }

    #[test]
    fn topologies_are_told_apart() {
        assert_eq!(topology(&doc! {"setName": "a"}), Topology::ReplicaSet("a".to_owned()));
        assert_eq!(topology(&doc! {"msg": "isdbgrid"}), Topology::Sharded);
        assert_eq!(topology(&doc! {"isWritablePrimary": true}), Topology::Standalone);
    }

    #[test]
    fn an_expiry_fits_the_server() {
        assert_eq!(server("6.0.5").longest_expiry(), LONGEST_EXPIRY);
        assert!((1_500_000_000..LONGEST_EXPIRY).contains(&server("5.0.4").longest_expiry()));
    }

    #[test]
    fn an_old_server_is_asked_as_ever() {
        let find = rawdoc! {"find": "system.buckets.t", "filter": {"a": 1}};
        assert_eq!(server("7.0.14").adapt(find.clone()), find);
    }

    #[test]
    fn a_read_says_its_own_limit() {
        let adapted = server("8.0.0").adapt(rawdoc! {"find": "system.buckets.t"});
        assert_eq!(adapted, rawdoc! {"find": "system.buckets.t", "maxTimeMS": 0});
        let limited = rawdoc! {"find": "c", "maxTimeMS": 5};
        assert_eq!(server("8.0.0").adapt(limited.clone()), limited);
        let write = rawdoc! {"update": "c", "updates": []};
        assert_eq!(server("8.0.0").adapt(write.clone()), write);
    }

    #[test]
    fn buckets_are_raw_data() {
        let new = server("8.3.0");
        let adapted = new.adapt(rawdoc! {"insert": "system.buckets.t", "documents": [{"_id": 1}], "ordered": true});
        assert_eq!(adapted, rawdoc! {"insert": "t", "documents": [{"_id": 1}], "ordered": true, "rawData": true});
        let create = rawdoc! {"create": "system.buckets.t"};
        assert_eq!(new.adapt(create.clone()), create);
    }
}
