//! Reading every byte of a backup and comparing it with what the manifest says.

use std::sync::Arc;

use sha2::{Digest, Sha256};
use tokio::task::JoinSet;

use super::format::files::{blocking, read_small};
use super::format::frames::{Written, size};
use super::format::manifest::corrupt;
use super::format::reader::FileDocuments;
use super::meter::Meter;
use super::parallelism;
use super::source::{BackupSource, SourceCollection};
use crate::error::{Error, Result};
use crate::hex::hex;
use crate::observe::{Reporter, Stop};
use crate::plural::{counted, number};

/// How much is decoded between two looks at the stop token.
const STEP: usize = 4 * 1024 * 1024;

/// Reads all of it. Where the source knows no counts, they are set to what was read.
///
/// # Errors
/// [`Error::BackupCorrupt`] naming the first file that is not as it was written.
pub async fn verify(source: &mut BackupSource, reporter: &Reporter, stop: &Stop) -> Result<Written> {
    check_files(source).await?;
    let sum = |of: fn(&Written) -> i64| {
        let known: Option<Vec<i64>> =
            source.parts.iter().filter(|it| it.data.is_some()).map(|it| it.expected.as_ref().map(of)).collect();
        known.map(|all| all.into_iter().sum())
    };
    let meter = Arc::new(Meter::new("Verifying", sum(|it| it.documents), sum(|it| it.bytes)));
    let mut waiting: Vec<usize> = (0..source.parts.len()).filter(|at| source.parts[*at].data.is_some()).collect();
    waiting.sort_by_key(|at| source.parts[*at].expected.unwrap_or_default().bytes); // popped from the end
    let mut tasks: JoinSet<Result<(usize, Written)>> = JoinSet::new();
    let halt = stop.child_token();
    let mut all = Written::default();
    let mut failure = None;
    loop {
        while tasks.len() < parallelism() && failure.is_none() {
            let Some(at) = waiting.pop() else { break };
            let (part, meter, reporter, halt) =
                (source.parts[at].clone(), meter.clone(), reporter.clone(), halt.clone());
            tasks.spawn(blocking(move || Ok((at, read(&part, &meter, &reporter, &halt)?))));
        }
        let Some(ended) = tasks.join_next().await else { break };
        match ended.map_err(|_| Error::broke_off("Verifying")).and_then(|it| it) {
            Ok((at, written)) => {
                source.parts[at].expected = Some(written);
                all += written;
            }
            Err(e) => {
                halt.cancel();
                failure.get_or_insert(e);
            }
        }
    }
    if stop.is_cancelled() {
        return Err(interrupted());
    }
    failure.map_or(Ok(all), Err)
}

/// The largest file without documents, in bytes.
const LARGEST_FILE: u64 = 512_000_000;

fn interrupted() -> Error {
    Error::Interrupted("Stopped while the backup was verified; nothing was written.".to_owned())
}

/// The files that hold no documents.
async fn check_files(source: &BackupSource) -> Result<()> {
    let files = source.files.clone();
    blocking(move || {
        for (path, stored) in &files {
            let bytes =
                read_small(path, LARGEST_FILE).map_err(|e| corrupt(path, &format!("it cannot be read ({e})")))?;
            if size(bytes.len()) != stored.bytes || hex(&Sha256::digest(&bytes)) != stored.sha256 {
                return Err(corrupt(path, "its SHA-256 is not the manifest's: it was changed after it was written"));
            }
        }
        Ok(())
    })
    .await
}

fn read(part: &SourceCollection, meter: &Meter, reporter: &Reporter, stop: &Stop) -> Result<Written> {
    let Some(data) = &part.data else { return Ok(Written::default()) };
    let mut documents = FileDocuments::open(data)?;
    let mut buffer = Vec::with_capacity(STEP);
    let mut told = Written::default();
    let mut more = true;
    while more {
        if stop.is_cancelled() {
            return Err(interrupted());
        }
        buffer.clear();
        while buffer.len() < STEP && more {
            more = documents.next_into(&mut buffer)?;
        }
        let written = documents.written();
        let done = Written { documents: written.documents - told.documents, bytes: written.bytes - told.bytes };
        told = written;
        meter.add(done, reporter);
    }
    let written = documents.finish()?;
    match part.expected {
        Some(expected) if expected != written => Err(corrupt(
            data.path(),
            &format!(
                "it holds {} in {} bytes instead of {} in {}",
                counted(written.documents, "document"),
                number(written.bytes),
                number(expected.documents),
                number(expected.bytes)
            ),
        )),
        _ => Ok(written),
    }
}
