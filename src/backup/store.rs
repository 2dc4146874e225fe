//! The backup directory: which backups there are, which one a name means, and which ones may go.

use std::path::{Path, PathBuf};

use super::format::directory::{absolute, entries};
use super::format::manifest::{BackupKind, BackupScope, FILE, Manifest};
use super::format::trust;
use super::names;
use super::old_tool;
use super::report::BackupSummary;
use super::source::BackupSource;
use crate::error::failure::MissingBackup;
use crate::error::{Error, Result};
use crate::mongo::server::Server;
use crate::names::OLD_BACKUPS;

/// Names that stand for the newest full manual backup of the database; the second is the old guide's placeholder.
const LATEST: [&str; 2] = ["latest", "latest_backup_name"];
/// How many names a backup that was not found is answered with.
const SHOWN: usize = 5;

/// A backup in the directory.
#[derive(Debug, Clone)]
pub struct Stored {
    /// Its name.
    pub name: String,
    /// Its directory.
    pub path: PathBuf,
    /// Its manifest.
    pub manifest: Manifest,
}

impl Stored {
    /// What has to be said of its date.
    fn warning(&self) -> String {
        format!(
            "{} says that it was made on {}, which is in the future: a clock was wrong, or somebody has changed it. `latest` passes it \
             over, and pruning neither counts nor removes it",
            self.name, self.manifest.created_at
        )
    }

    /// Its summary.
    pub fn summary(&self) -> BackupSummary {
        BackupSummary::of(&self.name, &self.path.display().to_string(), &self.manifest)
    }
}

/// What looks like a backup and cannot be read: its name, and why.
pub type Unreadable = (String, Error);

/// The backups in `parent`, newest first, and what looks like one and cannot be read. Blocks.
///
/// # Errors
/// The file system's.
pub fn list(parent: &Path) -> Result<(Vec<Stored>, Vec<Unreadable>)> {
    let parent = absolute(parent)?;
    let mut found = Vec::new();
    let mut problems = Vec::new();
    for name in entries(&parent)? {
        let path = parent.join(&name);
        if name.starts_with('.') || !path.join(FILE).exists() {
            continue;
        }
        match Manifest::read(&path) {
            Ok(manifest) => found.push(Stored { name, path, manifest }),
            Err(e) => problems.push((name, e)),
        }
    }
    found.sort_by(|a, b| (b.manifest.created(), &b.name).cmp(&(a.manifest.created(), &a.name)));
    Ok((found, problems))
}

/// What has to be said of the dates of backups.
pub fn warnings(stored: &[Stored]) -> Vec<String> {
    stored.iter().filter(|it| it.manifest.is_of_the_future()).map(Stored::warning).collect()
}

/// The backup that `name` means. Where the directory has none, the old tool's are looked through.
///
/// # Errors
/// [`Error::BackupMissing`], [`Error::BackupCorrupt`], or the server's.
pub async fn find(parent: &Path, name: &str, server: Option<&Server>, database: &str) -> Result<BackupSource> {
    names::check(name)?;
    trust::refuse_open_to_all(parent)?;
    let directory = parent.to_owned();
    let (stored, unreadable) = super::format::files::blocking(move || list(&directory)).await?;
    let latest = LATEST.contains(&name);
    let path = absolute(parent)?.join(name);
    let mut passed_over = Vec::new();
    let found = if latest && !path.exists() {
        let full = stored.iter().filter(|it| {
            it.manifest.kind == BackupKind::Manual
                && it.manifest.scope == BackupScope::Full
                && it.manifest.database == database
        });
        let (future, past): (Vec<&Stored>, Vec<&Stored>) = full.partition(|it| it.manifest.is_of_the_future());
        passed_over = future.into_iter().map(Stored::warning).collect();
        past.into_iter().next()
    } else {
        stored.iter().find(|it| it.name == name)
    };
    if let Some(found) = found {
        // Whoever says `latest` does not mean an older one because the latest is damaged. Names sort by time.
        if latest && let Some((_, error)) = unreadable.into_iter().find(|(name, _)| *name > found.name) {
            return Err(error);
        }
        trust::refuse_open_to_all(&found.path)?;
        let mut source = BackupSource::of_backup(&found.path, &found.name, &found.manifest)?;
        source.notes.extend(trust::notes(parent).into_iter().chain(trust::notes(&found.path)).chain(passed_over));
        if found.manifest.is_of_the_future() {
            source.notes.push(found.warning());
        }
        return Ok(source);
    }
    if let Some(only) = passed_over.first() {
        return Err(Error::Settings(format!(
            "{only}. There is no other full backup of {database}: restore it by its name if it is the one."
        )));
    }
    if !latest && path.join(FILE).exists() {
        // There, and not in the list: its manifest says why.
        let manifest = Manifest::read(&path)?;
        return BackupSource::of_backup(&path, name, &manifest);
    }
    let mut old = Vec::new();
    if let Some(server) = server {
        if !latest && let Some(source) = old_tool::load(server, name).await? {
            return Ok(source);
        }
        old = old_tool::list(server).await?;
    }
    Err(Error::BackupMissing(Box::new(missing(parent, name, latest, &stored, old, server, database)?)))
}

fn missing(
    parent: &Path,
    name: &str,
    latest: bool,
    stored: &[Stored],
    old: Vec<BackupSummary>,
    server: Option<&Server>,
    database: &str,
) -> Result<MissingBackup> {
    let mut looked_in = vec![absolute(parent)?.display().to_string()];
    if latest {
        looked_in[0].push_str(&format!(" for a full backup of {database} made by hand"));
    } else if server.is_some() {
        looked_in.push(format!("the collection {} of {database}", OLD_BACKUPS));
    }
    let mut all: Vec<BackupSummary> = stored.iter().map(Stored::summary).chain(old).collect();
    all.sort_by_key(|it| std::cmp::Reverse(it.created_at));
    Ok(MissingBackup {
        name: name.to_owned(),
        looked_in,
        newest: all.into_iter().take(SHOWN).map(|it| it.name).collect(),
    })
}
