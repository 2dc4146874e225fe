//! The journal of a restore: what was begun, and how to take it to its end.
//!
//! The head says which phase it is in. While `building`, the database is as it was and everything under a temporary name
//! can go. Once `swapping`, written with every step in one transaction, the restore is taken to its end, by whichever
//! run comes next; every step can be taken again.

use bson::{Bson, DateTime, Document, RawDocumentBuf, doc};

use super::steps::SwapStep;
use crate::backup::report::UnfinishedRestore;
use crate::error::{Error, Result};
use crate::mongo::server::Server;
use crate::run::handle::Run;

/// The `_id` of the head.
pub const HEAD: &str = "restore";
const BUILDING: &str = "building";
const SWAPPING: &str = "swapping";
/// Steps written at once; their size is bounded by the server's for a document.
const BATCH: usize = 500;

/// What stands in the journal.
#[derive(Debug, Clone)]
pub struct Head {
    /// For people.
    pub unfinished: UnfinishedRestore,
    /// Whether the swap has begun.
    pub swapping: bool,
    /// The run that builds; the names of what it builds hold it.
    pub run: String,
    /// Which step was begun last, from 0; -1 before the first. Earlier versions did not say.
    pub at: Option<i64>,
    /// Whether what is moved aside is named after the run, which earlier versions did not do.
    pub names_aside: bool,
}

/// The restore that was begun and has not ended, if there is one. Reads only.
///
/// # Errors
/// The server's.
pub async fn unfinished(server: &Server) -> Result<Option<UnfinishedRestore>> {
    Ok(read(server).await?.map(|head| head.unfinished))
}

/// Refuses to go on while a restore is unfinished.
///
/// # Errors
/// [`Error::WrongState`].
pub async fn refuse_unfinished(server: &Server) -> Result<()> {
    let Some(unfinished) = unfinished(server).await? else { return Ok(()) };
    let state = if unfinished.phase == SWAPPING {
        "A part of the database comes from the backup, the rest is as it was before"
    } else {
        "The database is as it was before, with some temporary collections"
    };
    Err(Error::WrongState(format!(
        "A restore of {:?} was begun on {} and has not ended. {state}. If it no longer runs, run `restore` again: it finishes \
         that one first. `restore --abandon` gives it up.",
        unfinished.backup, unfinished.host
    )))
}

/// The journal's head.
///
/// # Errors
/// The server's.
pub async fn read(server: &Server) -> Result<Option<Head>> {
    let command = doc! {"find": server.names().restore_journal(), "filter": {"_id": HEAD}, "limit": 1};
    let found = server.find_all(command).await.map_err(Error::server("Reading the journal of restores"))?;
    let Some(head) = found.first().and_then(|raw| Document::try_from(raw.as_ref()).ok()) else { return Ok(None) };
    let text = |name: &str| head.get_str(name).unwrap_or_default().to_owned();
    Ok(Some(Head {
        run: text("run"),
        names_aside: head.get_bool("names_aside").unwrap_or(false),
        at: head.get_i64("at").ok(),
        swapping: head.get_str("phase").is_ok_and(|phase| phase == SWAPPING),
        unfinished: UnfinishedRestore {
            backup: text("backup"),
            phase: text("phase"),
            since: head.get_datetime("since").ok().copied(),
            host: text("host"),
            user: text("user"),
            safety_backup: head.get_str("safety_backup").ok().map(str::to_owned),
        },
    }))
}

/// Writes that a restore is begun.
///
/// # Errors
/// [`Error::LeaseLost`] or the server's.
pub async fn begin(run: &mut Run, backup: &str, safety_backup: Option<&str>) -> Result<()> {
    let mut head = run.entry();
    head.insert("names_aside", true);
    head.insert("phase", BUILDING);
    head.insert("backup", backup);
    head.insert("safety_backup", safety_backup);
    head.insert("since", DateTime::now());
    let journal = run.server.names().restore_journal();
    // Steps without a head are of a journal that was emptied because its user could not drop it.
    let empty = doc! {"delete": &journal, "deletes": [{"q": {"_id": {"$type": "long"}}, "limit": 0}]};
    let begun = doc! {"update": &journal, "updates": [{"q": {"_id": HEAD}, "u": head, "upsert": true}]};
    guarded(run, vec![empty, begun]).await
}

/// Writes that a step of the swap is begun.
///
/// # Errors
/// [`Error::LeaseLost`] or the server's.
pub async fn mark(run: &mut Run, step: i64) -> Result<()> {
    let journal = run.server.names().restore_journal();
    let mark = doc! {"update": journal, "updates": [{"q": {"_id": HEAD}, "u": {"$set": {"at": step}}}]};
    guarded(run, vec![mark]).await
}

/// Writes every step and, with the last of them, that the swap begins: from here on there is no way back.
///
/// # Errors
/// [`Error::LeaseLost`] or the server's.
pub async fn commit(run: &mut Run, steps: &[SwapStep]) -> Result<()> {
    let numbered: Vec<Document> = steps.iter().zip(0_i64..).map(|(step, number)| step.to_document(number)).collect();
    for batch in numbered.chunks(BATCH) {
        // Upserts: a commit whose answer is lost is made again.
        let upserts = batch.iter().map(|step| doc! {"q": {"_id": step.get("_id")}, "u": step.clone(), "upsert": true});
        let written = doc! {"update": run.server.names().restore_journal(), "updates": upserts.map(Bson::from).collect::<Vec<_>>()};
        guarded(run, vec![written]).await?;
    }
    let begins = doc! {
        "update": run.server.names().restore_journal(),
        "updates": [{"q": {"_id": HEAD}, "u": {"$set": {"phase": SWAPPING, "at": -1_i64, "steps": i64::try_from(steps.len()).unwrap_or(i64::MAX)}}}],
    };
    guarded(run, vec![begins]).await
}

/// The steps, in their order.
///
/// # Errors
/// The server's, and [`Error::WrongState`] for a journal that somebody edited.
pub async fn steps(server: &Server) -> Result<Vec<SwapStep>> {
    let command =
        doc! {"find": server.names().restore_journal(), "filter": {"_id": {"$type": "long"}}, "sort": {"_id": 1}};
    let found = server.find_all(command).await.map_err(Error::server("Reading the journal of restores"))?;
    found
        .iter()
        .map(|raw: &RawDocumentBuf| {
            Document::try_from(raw.as_ref()).ok().and_then(|it| SwapStep::from_document(&it)).ok_or_else(|| {
                Error::WrongState(format!(
                    "A step in the journal {} cannot be read: somebody has changed it.",
                    server.names().restore_journal()
                ))
            })
        })
        .collect()
}

/// Removes the journal: the restore has ended.
///
/// # Errors
/// [`Error::LeaseLost`] or the server's.
pub async fn end(run: &mut Run) -> Result<()> {
    let journal = run.server.names().restore_journal();
    if super::commands::drop_if_allowed(run, &journal).await? {
        return Ok(());
    }
    // The head first: without it nobody looks at the steps.
    let delete = |filter: Document| doc! {"delete": &journal, "deletes": [{"q": filter, "limit": 0}]};
    guarded(run, vec![delete(doc! {"_id": HEAD}), delete(doc! {})]).await
}

/// Writes only while the lease is ours.
async fn guarded(run: &mut Run, writes: Vec<Document>) -> Result<()> {
    run.write("Writing the journal of the restore", writes).await
}
