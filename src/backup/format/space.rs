//! Room: in the file system of the backup directory, and on the server's disk.

use std::path::Path;

use bson::{Document, doc};

use crate::error::{Error, Result};
use crate::model::number::field;
use crate::mongo::server::Server;

/// The bytes that this user can still write where `directory` is or will be; `None` where nobody can tell.
pub fn free(directory: &Path) -> Option<u64> {
    let existing = directory.ancestors().find(|it| it.exists() || it.as_os_str().is_empty())?;
    let existing = if existing.as_os_str().is_empty() { Path::new(".") } else { existing };
    let found = rustix::fs::statvfs(existing).ok()?;
    found.f_bavail.checked_mul(found.f_frsize)
}

/// What has to be said before a whole database is backed up. It is an estimate: a full disk ends the backup, and leaves
/// nothing.
pub async fn warning(server: &Server, directory: &Path) -> Option<String> {
    let free = free(directory)?;
    let statistics = statistics(server).await?;
    // Compressed on the server, where space of deleted documents counts, too; and as BSON.
    let needed = bytes(&statistics, "storageSize")?.min(bytes(&statistics, "dataSize")?);
    short(free, needed).then(|| {
        format!(
            "{} has room for {}, and the backup may need {}",
            directory.display(),
            megabytes(free),
            megabytes(needed)
        )
    })
}

/// Refuses a restore that the server's disk has no room for: what is built stands beside what is there until the swap. What
/// is not known is no reason.
///
/// # Errors
/// [`Error::Backup`].
pub async fn refuse_full_server(server: &Server, stored: u64) -> Result<()> {
    let Some(statistics) = statistics(server).await else { return Ok(()) };
    let (Some(total), Some(used)) = (bytes(&statistics, "fsTotalSize"), bytes(&statistics, "fsUsedSize")) else {
        return Ok(());
    };
    let free = total.saturating_sub(used);
    if total == 0 || !short(free, stored) {
        return Ok(());
    }
    Err(Error::Backup(format!(
        "The server's disk has room for {}, and the backup is {} in its files; the data is built beside what is there. Make room on the \
         server, or restore a part with --collections or --exclude. Nothing was written.",
        megabytes(free),
        megabytes(stored)
    )))
}

fn short(free: u64, needed: u64) -> bool {
    free < needed
}

async fn statistics(server: &Server) -> Option<Document> {
    server.run(doc! {"dbStats": 1}, None).await.ok()
}

fn megabytes(bytes: u64) -> String {
    format!("{}.{} MB", bytes / 1_000_000, bytes / 100_000 % 10)
}

fn bytes(reply: &Document, name: &str) -> Option<u64> {
    field(reply, name).and_then(|bytes| u64::try_from(bytes).ok())
}
