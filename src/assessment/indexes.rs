//! The five indexes of the unified collection, and what prevents them.

use std::collections::BTreeMap;

use bson::{Bson, Document, doc};

use super::names::ASSESSMENTS;
use super::regular::finish;
use crate::capture::registry;
use crate::error::message::show;
use crate::error::server::ServerError;
use crate::model::equivalence::{same_collation, same_keys};
use crate::model::script::Operation;
use crate::model::script::operation::{Action, CreateIndex};
use crate::mongo::catalog::{self, Collection};
use crate::mongo::retry::{Retry, retry};
use crate::mongo::server::Server;
use crate::operations::documents::look_up;
use crate::operations::error::OperationError;
use crate::operations::schema;
use crate::run::capture_key::CaptureId;
use crate::run::handle::Run;
use crate::run::journal::Journal;
use crate::run::progress::OperationIndex;
use crate::run::report::Outcome;

/// Their names and keys.
pub fn wanted() -> [(&'static str, Document); 5] {
    [
        ("creator_timestamp_idx", doc! {"created_by": 1, "created_at": -1}),
        ("type_status_idx", doc! {"type": 1, "status": 1}),
        ("batch_status_idx", doc! {"batches": 1, "status": 1}),
        ("subject_difficulty_idx", doc! {"subject": 1, "difficulty": 1}),
        ("published_timestamp_idx", doc! {"published_at": -1}),
    ]
}

/// What makes those that are not passed over.
fn operations(passed_over: &ExistingIndexes) -> Vec<Operation> {
    let operation = |(name, keys): (&'static str, Document)| Operation {
        collection: ASSESSMENTS.to_owned(),
        action: Action::CreateIndex(CreateIndex {
            keys,
            name: name.to_owned(),
            options: Document::new(),
            commit_quorum: None,
            comment: None,
        }),
        capture: true,
        fingerprint: format!("create_index {name}"),
    };
    wanted().into_iter().filter(|(name, _)| !passed_over.otherwise.contains_key(name)).map(operation).collect()
}

/// Makes them. Documents that could not be mapped may have arrays in two of an index's fields, which none takes; it is
/// left out then, and the validation says so.
///
/// # Errors
/// [`OperationError`].
pub async fn execute(
    run: &mut Run,
    journal: &mut Journal,
    hash: &str,
    place: OperationIndex,
) -> Result<(), OperationError> {
    // Where nothing was migrated into it, there is no collection, and none is made for its indexes.
    let Some(collection) = look_up(run, ASSESSMENTS).await? else {
        let note = Some("there is no such collection".to_owned());
        return finish(run, journal, hash, place, Outcome::Absent, note).await;
    };
    let capture_key = journal.progress.capture.map(|capture| capture.capture_key(place.index));
    let reporter = run.reporter.clone();
    let stop = run.stop.clone();
    let mut retry = Retry::new(&reporter, &stop);
    let existing = retry!(retry, look(&run.server, Some(&collection))).map_err(OperationError::from)?;
    let operations = operations(&existing);
    if operations.is_empty() {
        return finish(run, journal, hash, place, Outcome::Standing, None).await;
    }
    schema::change(run, journal, &schema::SchemaChange::Indexes(&operations), hash, capture_key, place).await
}

/// Which of them the run with these captures has made.
///
/// # Errors
/// The server's.
pub async fn made(server: &Server, capture: CaptureId) -> Result<Vec<String>, ServerError> {
    let entries = registry::entries(server, capture).await?.into_iter();
    let made = entries.filter(|(_, entry)| registry::made_index(entry) == Some(true));
    Ok(made.filter_map(|(_, entry)| entry.get_str("index").ok().map(str::to_owned)).collect())
}

/// The state of the indexes.
#[derive(Debug, Default)]
pub struct ExistingIndexes {
    /// The indexes to be made.
    pub missing: Vec<String>,
    /// The indexes that exist, as wanted or under another name.
    pub equal: Vec<String>,
    /// The other name, where an index has one.
    pub otherwise: BTreeMap<&'static str, String>,
    /// What is in the way of the others, in words.
    pub conflicts: Vec<String>,
}

/// Compares what exists with what is wanted.
///
/// # Errors
/// The server's.
pub async fn look(server: &Server, collection: Option<&Collection>) -> Result<ExistingIndexes, ServerError> {
    let mut existing = ExistingIndexes::default();
    let listed: Vec<Document> = match collection {
        None => Vec::new(),
        Some(_) => catalog::indexes(server, ASSESSMENTS).await?.iter().map(catalog::specification).cloned().collect(),
    };
    // An index that says nothing of a collation gets the collection's.
    let collation = collection.and_then(|collection| collection.options.get_document("collation").ok());
    for (name, keys) in wanted() {
        let named = |index: &&Document| index.get_str("name").is_ok_and(|own| own == name);
        let alike = |index: &&Document| is_plain(index, &keys, collation);
        match listed.iter().find(named) {
            Some(index) if alike(&index) => existing.equal.push(name.to_owned()),
            Some(index) => existing.conflicts.push(conflict(name, &keys, index)),
            None => match listed.iter().find(|index| is_the_same(index, &keys, collation)) {
                Some(index) => {
                    existing.equal.push(name.to_owned());
                    existing.otherwise.insert(name, index.get_str("name").unwrap_or_default().to_owned());
                }
                None => existing.missing.push(name.to_owned()),
            },
        }
    }
    Ok(existing)
}

impl ExistingIndexes {
    /// What is to be said of those under another name.
    pub fn notes(&self) -> Vec<String> {
        let note = |(name, other): (&&str, &String)| format!("{name:?} is not made: {other:?} has the same keys");
        self.otherwise.iter().map(note).collect()
    }
}

/// Whether the server takes an index for the same as one with these keys and no option: it makes no second one under
/// another name (85). Source: MongoDB manual, "createIndexes", "Index Names"; of 5.0 on.
fn is_the_same(index: &Document, keys: &Document, collation: Option<&Document>) -> bool {
    let is = |option: &str| index.get_bool(option).unwrap_or(false);
    index.get_document("key").is_ok_and(|own| same_keys(own, keys))
        && !is("unique")
        && !is("sparse")
        && !index.contains_key("partialFilterExpression")
        && same_collation(index.get_document("collation").ok(), collation)
}

/// Whether an index has these keys and no option of its own.
fn is_plain(index: &Document, keys: &Document, collation: Option<&Document>) -> bool {
    let optional = |name: &str, value: &Bson| match name {
        "v" | "key" | "name" | "ns" | "background" | "collation" => false,
        // The server writes some options out.
        _ => *value != Bson::Boolean(false),
    };
    index.get_document("key").is_ok_and(|own| same_keys(own, keys))
        && !index.iter().any(|(name, value)| optional(name, value))
        && same_collation(index.get_document("collation").ok(), collation)
}

fn conflict(name: &str, keys: &Document, existing: &Document) -> String {
    let mut existing = existing.clone();
    existing.remove("v");
    format!(
        "the index {name:?} cannot be made: asked for {}, found {}",
        show(&Bson::Document(doc! {"key": keys.clone(), "name": name})),
        show(&Bson::Document(existing))
    )
}
