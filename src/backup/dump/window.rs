//! The server's snapshot window: how long it keeps the state that a snapshot reads.
//!
//! `minSnapshotHistoryWindowInSeconds`, 300 by default, changeable at run time by whoever has the right. A dump that
//! comes near its end raises it and puts it back afterwards; what was raised is written beside the dump first, so
//! that after a kill the next run puts it back. Of several backups in one directory that have raised it, the last to end
//! puts it back to what it was before the first.

use std::path::{Path, PathBuf};
use std::time::Duration;

use bson::{Document, doc};
use serde::{Deserialize, Serialize};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::backup::format::{directory, files};
use crate::error::Result;
use crate::error::server::ServerError;
use crate::model::number::field;
use crate::mongo::server::Server;
use crate::observe::{Kind, Level, Reporter};

const PARAMETER: &str = "minSnapshotHistoryWindowInSeconds";
/// The note of what was raised, in the unfinished backup's directory.
const NOTE: &str = "snapshot_window.json";
/// What it is called once its backup no longer needs the window: other backups do not count it any more, and what it says is
/// still put back after a kill.
const ENDING: &str = "snapshot_window.ending.json";

/// What was raised where.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Raised {
    /// The member, as `hello` names it.
    member: String,
    original: i64,
    /// What it was raised to last; for people who find the note.
    raised: i64,
}

impl Raised {
    /// Whether backups that double the window have raised it to `seconds`.
    fn raised_to(&self, seconds: i64) -> bool {
        let mut doubled = self.original;
        while doubled < seconds {
            doubled = doubled.saturating_mul(2).max(2);
        }
        doubled == seconds && seconds != self.original
    }
}

/// Watches the window while a dump runs.
#[derive(Debug)]
pub struct SnapshotWindow {
    server: Server,
    note: PathBuf,
    reporter: Reporter,
    watch: JoinHandle<()>,
}

impl SnapshotWindow {
    /// Begins to watch on behalf of the dump in `directory`, whose snapshot was taken just now.
    pub fn watch(server: &Server, directory: &Path, reporter: &Reporter) -> Self {
        let note = directory.join(NOTE);
        let watch = tokio::spawn(keep_open(server.clone(), note.clone(), reporter.clone()));
        Self { server: server.clone(), note, reporter: reporter.clone(), watch }
    }

    /// Ends the watch and puts the window back, if it was raised.
    pub async fn close(self) {
        self.watch.abort();
        // Aborted is not yet ended.
        let _ = self.watch.await;
        put_back(&self.server, &self.note, &self.reporter).await;
        // What could not be put back was told; the note is no part of the backup.
        let _ = std::fs::remove_file(&self.note);
        let _ = std::fs::remove_file(self.note.with_file_name(ENDING));
    }
}

/// Puts back what a dead run raised; false where that was another server's, and so not ours to do.
pub async fn recover(server: &Server, directory: &Path, reporter: &Reporter) -> bool {
    put_back(server, &directory.join(NOTE), reporter).await
}

async fn keep_open(server: Server, note: PathBuf, reporter: Reporter) {
    let began = Instant::now();
    let Ok(Some((member, original))) = standing(&server).await else {
        return;
    };
    // What stands now may be what another backup raised it to. It writes its note before it raises anything.
    let original = others(&note, &member).into_iter().map(|it| it.original).min().unwrap_or(original);
    let mut window = original;
    loop {
        // Half of the window is left to raise it in; a window of one second is no reason to spin.
        let pause = Duration::from_secs_f64((window as f64 / 2.0).max(0.5));
        tokio::time::sleep_until(began + pause).await;
        let raised = Raised { member: member.clone(), original, raised: window.saturating_mul(2).max(2) };
        let set = match write_note(&note, &raised) {
            Ok(()) => set(&server, &member, raised.raised).await.map_err(|e| e.to_string()),
            Err(e) => Err(e.to_string()),
        };
        match set {
            Ok(()) => {
                window = raised.raised;
                reporter.tell(
                    Kind::Warning,
                    Level::Info,
                    format!(
                        "The backup takes long: raised the snapshot window of {member} to {window} s until it is done."
                    ),
                );
            }
            Err(e) => {
                // Without the right to raise it, the snapshot lasts as long as the server keeps it anyway.
                reporter.tell(
                    Kind::Warning,
                    Level::Warning,
                    format!("The snapshot window of {member} ({window} s) could not be raised ({e}); the backup fails if it takes much longer."),
                );
                return;
            }
        }
    }
}

/// The member that answers, and its window; `None` on a standalone server.
async fn standing(server: &Server) -> std::result::Result<Option<(String, i64)>, ServerError> {
    let hello = server.run_admin(doc! {"hello": 1}).await?;
    let Ok(member) = hello.get_str("me") else { return Ok(None) };
    Ok(Some((member.to_owned(), read(server, member).await?)))
}

/// Runs a command there. Asked first who answers: a direct connection may know the member by another address.
async fn on_member(server: &Server, member: &str, command: Document) -> std::result::Result<Document, ServerError> {
    let hello = server.run_admin(doc! {"hello": 1}).await?;
    if hello.get_str("me").is_ok_and(|me| me == member) {
        return server.run_admin(command).await;
    }
    server.run_admin_on(member, command).await
}

async fn read(server: &Server, member: &str) -> std::result::Result<i64, ServerError> {
    let reply = on_member(server, member, doc! {"getParameter": 1, PARAMETER: 1}).await?;
    Ok(field(&reply, PARAMETER).unwrap_or(300))
}

async fn set(server: &Server, member: &str, seconds: i64) -> std::result::Result<(), ServerError> {
    on_member(server, member, doc! {"setParameter": 1, PARAMETER: seconds}).await.map(drop)
}

fn write_note(note: &Path, raised: &Raised) -> Result<()> {
    // Written beside and renamed, so that a kill leaves the old note or the new one.
    let next = note.with_extension("new");
    let _ = std::fs::remove_file(&next);
    files::write_synced(&next, &serde_json::to_vec(raised).unwrap_or_default())?;
    std::fs::rename(&next, note).map_err(files::failed("write", note))
}

/// Puts the window back and removes the note. True where nothing is left to be put back.
async fn put_back(server: &Server, note: &Path, reporter: &Reporter) -> bool {
    let ending = note.with_file_name(ENDING);
    let Some(raised) = read_note(note).or_else(|| read_note(&ending)) else { return true };
    if !is_member(server, &raised.member).await {
        return false;
    }
    // First this one stops counting, then the others are looked for: of two that end at once, at least one finds none.
    let _ = std::fs::rename(note, &ending);
    let needed = !others(note, &raised.member).is_empty();
    let done = async {
        // Somebody who has set it to something else since meant it.
        if !needed && raised.raised_to(read(server, &raised.member).await?) {
            set(server, &raised.member, raised.original).await?;
        }
        Ok::<(), ServerError>(())
    };
    match done.await {
        Ok(()) => {
            let _ = std::fs::remove_file(ending);
            true
        }
        Err(e) => {
            reporter.tell(
                Kind::Warning,
                Level::Warning,
                format!(
                    "The snapshot window of {} could not be put back to {} s ({e}): run db.adminCommand({{setParameter: 1, {PARAMETER}: {}}}) there.",
                    raised.member, raised.original, raised.original
                ),
            );
            false
        }
    }
}

/// What other backups in the same directory have raised the window of `member` to, and still need.
fn others(note: &Path, member: &str) -> Vec<Raised> {
    let Some(own) = note.parent() else { return Vec::new() };
    let Some(parent) = own.parent() else { return Vec::new() };
    let unfinished = directory::entries(parent).unwrap_or_default().into_iter().map(|name| parent.join(name));
    let notes = unfinished.filter(|path| path != own).filter_map(|path| read_note(&path.join(NOTE)));
    notes.filter(|raised| raised.member == member).collect()
}

fn read_note(path: &Path) -> Option<Raised> {
    let stored = files::read_small(path, directory::LARGEST_NOTE).ok()?;
    serde_json::from_slice(&stored).ok()
}

async fn is_member(server: &Server, member: &str) -> bool {
    let Ok(hello) = server.run_admin(doc! {"hello": 1}).await else { return false };
    let listed =
        |name: &str| hello.get_array(name).is_ok_and(|hosts| hosts.iter().any(|host| host.as_str() == Some(member)));
    listed("hosts") || listed("passives") || listed("arbiters")
}
