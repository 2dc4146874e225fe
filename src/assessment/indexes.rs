//! The five indexes of the unified collection, and what stands in their way.

use bson::{Bson, Document, doc};

use super::ASSESSMENTS;
use super::regular::finish;
use crate::catalog::{self, Collection, same_collation, same_keys};
use crate::ops::documents::look_up;
use crate::ops::{Halt, Place, schema};
use crate::run::Run;
use crate::run::journal::Journal;
use crate::run::report::Outcome;
use crate::run::step::Task;
use crate::script::Operation;
use crate::script::operation::{Action, CreateIndex};
use crate::server::Server;
use crate::server_error::{ServerError, codes, show};

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

/// The tasks that make them.
pub fn tasks() -> impl Iterator<Item = Task> {
    wanted().into_iter().map(|(name, keys)| {
        let index =
            CreateIndex { keys, name: name.to_owned(), options: Document::new(), commit_quorum: None, comment: None };
        Task::Assessment(super::Task::index(Operation {
            collection: ASSESSMENTS.to_owned(),
            action: Action::CreateIndex(index),
            capture: true,
            fingerprint: format!("create_index {name}"),
        }))
    })
}

/// Makes one. Documents that could not be mapped may have arrays in two of its fields, which no index takes; it is left out
/// then, and the validation says so.
///
/// # Errors
/// [`Halt`].
pub async fn carry_out(run: &mut Run, journal: &mut Journal, operation: &Operation, place: Place) -> Result<(), Halt> {
    // Where nothing was migrated into it, there is no collection, and none is made for its indexes.
    let Some(_) = look_up(run, ASSESSMENTS).await? else {
        let note = Some("there is no such collection".to_owned());
        return finish(run, journal, &operation.fingerprint, place, Outcome::Absent, note).await;
    };
    let slot = journal.progress.capture.map(|capture| capture.slot(place.index));
    let change = schema::Change::Operation(operation);
    match schema::change(run, journal, &change, &operation.fingerprint, slot, place).await {
        Err(Halt::Failed(failure)) if failure.code == Some(codes::CANNOT_INDEX_PARALLEL_ARRAYS) => {
            let note = Some(format!(
                "left out, because a document that cannot be mapped has arrays in two of its fields: {}",
                failure.cause
            ));
            finish(run, journal, &operation.fingerprint, place, Outcome::Failed, note).await
        }
        other => other,
    }
}

/// How they stand.
#[derive(Debug, Default)]
pub struct Standing {
    /// Those to be made.
    pub missing: Vec<String>,
    /// Those that stand, as wanted.
    pub equal: Vec<String>,
    /// What is in the way of the others, in words.
    pub conflicts: Vec<String>,
}

/// Compares what stands with what is wanted.
///
/// # Errors
/// The server's.
pub async fn look(server: &Server, collection: Option<&Collection>) -> Result<Standing, ServerError> {
    let mut standing = Standing::default();
    let listed: Vec<Document> = match collection {
        None => Vec::new(),
        Some(_) => catalog::indexes(server, ASSESSMENTS)
            .await?
            .into_iter()
            // One that is being built is listed with its specification inside.
            .map(|listed| listed.get_document("spec").cloned().unwrap_or(listed))
            .collect(),
    };
    // An index that says nothing of a collation gets the collection's.
    let collation = collection.and_then(|collection| collection.options.get_document("collation").ok());
    for (name, keys) in wanted() {
        let named = |index: &&Document| index.get_str("name").is_ok_and(|own| own == name);
        let alike = |index: &&Document| is_plain(index, &keys, collation);
        match listed.iter().find(named) {
            Some(index) if alike(&index) => standing.equal.push(name.to_owned()),
            Some(index) => standing.conflicts.push(conflict(name, &keys, index)),
            None => match listed.iter().find(alike) {
                Some(index) => standing.conflicts.push(conflict(name, &keys, index)),
                None => standing.missing.push(name.to_owned()),
            },
        }
    }
    Ok(standing)
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

fn conflict(name: &str, keys: &Document, standing: &Document) -> String {
    let mut standing = standing.clone();
    standing.remove("v");
    format!(
        "the index {name:?} cannot be made: asked for {}, stands {}",
        show(&Bson::Document(doc! {"key": keys.clone(), "name": name})),
        show(&Bson::Document(standing))
    )
}
