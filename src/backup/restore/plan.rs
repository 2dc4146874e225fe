//! Deciding what a restore does, before it does any of it.

use super::super::catalog::{CatalogEntry, CollectionType};
use super::super::format::manifest::BackupScope;
use super::super::names::{kept, the_servers};
use super::super::source::{BackupSource, SourceCollection};
use crate::error::{Error, Result};
use crate::mongo::raw as bytes;
use crate::names::Names;
use crate::plural::counted_were;

/// What to do besides restoring everything.
#[derive(Debug, Clone, Default)]
pub struct Choice {
    /// These collections only.
    pub collections: Option<Vec<String>>,
    /// These stay as they are.
    pub exclude: Vec<String>,
    /// Whether collections that the backup lacks stay.
    pub keep_extra: bool,
    /// Whether no indexes are built besides those on `_id`.
    pub no_indexes: bool,
}

/// What a restore does.
#[derive(Debug)]
pub struct RestorePlan {
    /// What is built under a temporary name.
    pub build: Vec<Build>,
    /// What is defined.
    pub views: Vec<CatalogEntry>,
    /// Views that stand and go before any is defined: the server refuses a view of another collation than those it
    /// has to do with.
    pub views_in_the_way: Vec<CatalogEntry>,
    /// What is dropped because the backup lacks it.
    pub drop: Vec<CatalogEntry>,
    /// What the backup holds and is left as it is.
    pub left_alone: Vec<String>,
    /// What has to be said.
    pub notes: Vec<String>,
    /// What must be saved first: what is replaced or dropped.
    pub saved: BackupScope,
    /// Whether there is anything to save.
    pub replaces: bool,
}

/// A collection to build.
#[derive(Debug, Clone)]
pub struct Build {
    /// Its documents, and the options and indexes it gets.
    pub part: SourceCollection,
    /// How it gets its name.
    pub moved_by: Move,
}

/// How what was built takes its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Move {
    /// `renameCollection`, at once.
    Rename,
    /// Made anew and filled from the copy: the server renames no time-series collection.
    Copy,
}

/// The longest name of a collection together with its database's. Source: MongoDB manual, "Limits".
const LONGEST_NAMESPACE: usize = 255;

/// Decides. `live` is the catalog of `database`, the target, where the tool's own collections have these `names`.
///
/// # Errors
/// [`Error::Settings`] for a collection asked for that the backup does not hold, for one to leave out that is nowhere, and
/// for one whose name is too long for a database of this name.
pub fn plan(
    source: &BackupSource,
    database: &str,
    names: &Names,
    live: &[CatalogEntry],
    choice: &Choice,
) -> Result<RestorePlan> {
    if let Some(asked) = &choice.collections {
        let holds = |name: &str| source.parts.iter().any(|part| part.entry.name == name);
        let missing: Vec<&str> = asked.iter().map(String::as_str).filter(|name| !holds(name)).collect();
        if asked.is_empty() || !missing.is_empty() {
            let held: Vec<&str> = source.parts.iter().map(|part| part.entry.name.as_str()).collect();
            return Err(Error::Settings(format!(
                "{} does not hold the collection {}. It holds {}.",
                source.name,
                missing.join(", "),
                held.join(", ")
            )));
        }
    }
    let excluded = |name: &str| choice.exclude.iter().any(|it| it == name);
    let chosen = |name: &str| choice.collections.as_ref().is_none_or(|names| names.iter().any(|it| it == name));
    let standing = |name: &str| live.iter().find(|entry| entry.name == name);
    let held = |name: &str| source.parts.iter().any(|part| part.entry.name == name);
    // One that is misspelt would be replaced, not kept.
    if let Some(unknown) = choice.exclude.iter().find(|name| !held(name) && standing(name).is_none()) {
        return Err(Error::Settings(format!(
            "{unknown:?} is to stay as it is, and is neither in {} nor in {database}. Nothing was written.",
            source.name
        )));
    }
    let mut plan = RestorePlan {
        build: Vec::new(),
        views: Vec::new(),
        views_in_the_way: Vec::new(),
        drop: Vec::new(),
        left_alone: Vec::new(),
        notes: source.notes.clone(),
        saved: BackupScope::Full,
        replaces: false,
    };
    let mut unbuilt = 0;
    for part in source.parts.iter().filter(|part| chosen(&part.entry.name) && !the_servers(&part.entry.name)) {
        let name = &part.entry.name;
        if excluded(name) {
            plan.left_alone.push(name.clone());
            continue;
        }
        if part.entry.temporary() {
            plan.notes.push(format!("{name:?} is a temporary collection of a running $out and is not restored"));
            continue;
        }
        if let Some(why) = invalid(name) {
            return Err(Error::Settings(format!(
                "The collection {name:?} cannot be restored: {why}. Nothing was written. --exclude restores the others \
                 without it."
            )));
        }
        let there = standing(name);
        // Whatever wrote the backup took them along. Nothing of a run that is over may come back.
        if names.form(name).is_some() || (kept(names, name) && there.is_some()) {
            plan.left_alone.push(name.clone());
            continue;
        }
        if database.len() + 1 + part.entry.stored_in().len() > LONGEST_NAMESPACE {
            return Err(Error::Settings(format!(
                "{name:?} cannot be restored into {database}: together their names are longer than {LONGEST_NAMESPACE} bytes. \
                 Restore into a database of a shorter name, or leave it out with --exclude."
            )));
        }
        let mut part = part.clone();
        if !source.catalogued
            && let Some(there) = there
        {
            if there.kind != CollectionType::Collection {
                plan.notes.push(format!("{name:?} is a {} now and was left as it is", there.kind.as_str()));
                plan.left_alone.push(name.clone());
                continue;
            }
            part.entry = there.clone();
        }
        if choice.no_indexes {
            unbuilt += std::mem::take(&mut part.entry.indexes).len();
        }
        match part.entry.kind {
            CollectionType::View => {
                let standing =
                    there.filter(|it| it.kind == CollectionType::View && collation(it) != collation(&part.entry));
                plan.views_in_the_way.extend(standing.cloned());
                plan.views.push(part.entry);
            }
            CollectionType::Timeseries => plan.build.push(Build { part, moved_by: Move::Copy }),
            CollectionType::Collection => plan.build.push(Build { part, moved_by: Move::Rename }),
        }
    }
    if choice.collections.is_none() && !choice.keep_extra {
        let extra = live.iter().filter(|entry| source.scope.includes(&entry.name) && !kept(names, &entry.name));
        let extra = extra.filter(|entry| !excluded(&entry.name));
        // Earlier versions left whatever has such a name out of backups: it may well have been there.
        let (resembling, extra): (Vec<&CatalogEntry>, Vec<&CatalogEntry>) =
            extra.filter(|entry| !held(&entry.name)).partition(|entry| names.begins_like_ours(&entry.name));
        plan.drop = extra.into_iter().cloned().collect();
        plan.left_alone.extend(resembling.into_iter().map(|entry| entry.name.clone()));
    }
    let touched: Vec<String> = (plan.build.iter().map(|build| &build.part.entry))
        .chain(&plan.views)
        .chain(&plan.drop)
        .map(|entry| entry.name.clone())
        .collect();
    plan.replaces = touched.iter().any(|name| standing(name).is_some());
    if unbuilt > 0 {
        let were = counted_were(unbuilt, "index");
        plan.notes.push(format!("{were} not built (--no-indexes): nothing is unique or expires because of them"));
    }
    if source.scope != BackupScope::Full
        || choice.collections.is_some()
        || choice.keep_extra
        || !choice.exclude.is_empty()
    {
        plan.saved = BackupScope::Collections(touched);
    }
    Ok(plan)
}

/// Why the server takes no collection of this name.
fn invalid(name: &str) -> Option<&'static str> {
    let checks = [
        (name.is_empty(), "its name is empty"),
        (name.contains('$'), "its name holds a $"),
        (name.contains('\0'), "its name holds a NUL"),
        (name.starts_with('.') || name.ends_with('.'), "its name begins or ends with a dot"),
    ];
    checks.into_iter().find_map(|(wrong, why)| wrong.then_some(why))
}

fn collation(entry: &CatalogEntry) -> Option<&[u8]> {
    bytes::get(entry.options.as_bytes(), "collation").map(|it| it.value)
}

/// The error of a restore that was asked to stop.
pub fn interrupted() -> Error {
    Error::Interrupted("Stopped; the database is as it was before.".to_owned())
}

#[cfg(test)]
mod tests {
    use bson::{RawDocumentBuf, rawdoc};

    use super::super::super::format::manifest::Consistency;
    use super::*;

    fn entry(name: &str, kind: CollectionType) -> CatalogEntry {
        CatalogEntry {
            name: name.to_owned(),
            kind,
            options: RawDocumentBuf::new(),
            id_index: None,
            indexes: Vec::new(),
            unfinished: Vec::new(),
            uuid: Some([1; 16]),
        }
    }

    fn source(names: &[(&str, CollectionType)], scope: BackupScope) -> BackupSource {
        let part = |(name, kind): &(&str, CollectionType)| SourceCollection {
            entry: entry(name, *kind),
            data: None,
            expected: None,
            consistency: Consistency::Snapshot,
        };
        BackupSource {
            name: "b".to_owned(),
            database: "d".to_owned(),
            scope,
            catalogued: true,
            parts: names.iter().map(part).collect(),
            files: Vec::new(),
            notes: Vec::new(),
        }
    }

    fn names<'a>(entries: impl IntoIterator<Item = &'a CatalogEntry>) -> Vec<&'a str> {
        entries.into_iter().map(|entry| entry.name.as_str()).collect()
    }

    fn built(plan: &RestorePlan) -> Vec<&str> {
        names(plan.build.iter().map(|build| &build.part.entry))
    }

    use CollectionType::{Collection, Timeseries, View};

    #[test]
    fn a_full_backup_replaces_adds_and_drops() {
        let own = Names::default();
        let source = source(
            &[
                ("a", Collection),
                ("migrations", Collection),
                ("migrations_history", Collection),
                ("backups", Collection),
                ("v", View),
                ("t", Timeseries),
            ],
            BackupScope::Full,
        );
        let live =
            ["a", "extra", "migrations", "migrations_history", "assessment_backup"].map(|name| entry(name, Collection));
        let all = plan(&source, "d", &own, &live, &Choice::default()).expect("plans");
        assert_eq!(built(&all), ["a", "migrations", "backups", "t"]);
        assert_eq!(names(&all.views), ["v"]);
        assert_eq!(names(&all.drop), ["extra"]);
        assert_eq!(all.left_alone, ["migrations_history"]);
        assert!(all.replaces && all.saved == BackupScope::Full);
        assert_eq!(all.build[3].moved_by, Move::Copy);
        let kept = plan(&source, "d", &own, &live, &Choice { keep_extra: true, ..Choice::default() }).expect("plans");
        assert!(kept.drop.is_empty());
        assert!(!kept.saved.includes("extra") && kept.saved.includes("a"));
    }

    #[test]
    fn a_part_touches_only_its_part() {
        let own = Names::default();
        let full = source(&[("a", Collection), ("b", Collection)], BackupScope::Full);
        let live = ["a", "b", "c"].map(|name| entry(name, Collection));
        let one =
            plan(&full, "d", &own, &live, &Choice { collections: Some(vec!["b".to_owned()]), ..Choice::default() })
                .expect("plans");
        assert_eq!(built(&one), ["b"]);
        assert!(one.drop.is_empty() && one.saved == BackupScope::Collections(vec!["b".to_owned()]));
        let misspelt = Choice { collections: Some(vec!["x".to_owned()]), ..Choice::default() };
        assert!(plan(&full, "d", &own, &live, &misspelt).is_err());
        // A safety backup of "a", which was, and "c", which was not yet.
        let safety = source(&[("a", Collection)], BackupScope::Collections(vec!["a".to_owned(), "c".to_owned()]));
        let back = plan(&safety, "d", &own, &live, &Choice::default()).expect("plans");
        assert_eq!((built(&back), names(&back.drop)), (vec!["a"], vec!["c"]));
    }

    #[test]
    fn an_old_backup_takes_the_live_options() {
        let own = Names::default();
        let mut old = source(&[("a", Collection), ("v", Collection), ("new", Collection)], BackupScope::Full);
        old.catalogued = false;
        let mut live = [entry("a", Collection), entry("v", View)];
        live[0].options = rawdoc! {"validator": {"x": 1}};
        let plan = plan(&old, "d", &own, &live, &Choice::default()).expect("plans");
        assert_eq!(built(&plan), ["a", "new"]);
        assert_eq!(plan.build[0].part.entry.options, rawdoc! {"validator": {"x": 1}});
        assert_eq!(plan.left_alone, ["v"]);
    }
}
