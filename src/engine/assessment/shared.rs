//! What both verbs share: a run of tasks, and what it did.

use crate::assessment::ids::Ids;
use crate::assessment::names::{NAME, RECORD};
use crate::engine::planned::{PlannedMigration, WorkItem};
use crate::error::server::ServerError;
use crate::error::{Error, Result};
use crate::mongo::server::Server;
use crate::run::progress::Progress;
use crate::run::report::{Counts, MigrationReport, Outcome};
use bson::{DateTime, Document, doc};

pub(super) fn reading() -> impl FnOnce(ServerError) -> Error {
    Error::server("Reading the assessments")
}

/// A run of these tasks.
pub(super) fn plan_of(
    items: Vec<WorkItem>,
    exact: bool,
    resume: Option<Progress>,
    assessment: Document,
) -> PlannedMigration {
    PlannedMigration {
        id: RECORD.to_owned(),
        name: NAME.to_owned(),
        items,
        exact,
        capture: true,
        origin: NAME.to_owned(),
        resume,
        assessment: Some(assessment),
        ..PlannedMigration::default()
    }
}

/// The server's clock.
pub(super) async fn server_time(server: &Server) -> Result<DateTime> {
    let reply = server.run(doc! {"hello": 1}, None).await.map_err(reading())?;
    Ok(reply.get_datetime("localTime").copied().unwrap_or_else(|_| DateTime::now()))
}

/// What a task did.
pub(super) struct Done {
    /// Its number, from 0.
    pub(super) index: usize,
    pub(super) counts: Counts,
    pub(super) outcome: Outcome,
    pub(super) note: Option<String>,
}

/// What the tasks did, in the run that is carried on as well.
pub(super) fn done(planned: &PlannedMigration, migration: &MigrationReport) -> Vec<Done> {
    let earlier = planned.resume.iter().flat_map(|progress| progress.operations.iter().enumerate());
    let earlier = earlier.filter_map(|(index, own)| {
        Some(Done { index, counts: own.counts, outcome: own.outcome?, note: own.note.clone() })
    });
    let now = migration.operations.iter().filter_map(|own| {
        let index = usize::try_from(own.index - 1).ok()?;
        Some(Done { index, counts: own.counts, outcome: own.outcome, note: own.note.clone() })
    });
    earlier.chain(now).collect()
}

/// How to migrate.
#[derive(Debug, Clone, Copy, Default)]
pub struct MigrateOptions {
    /// Whether documents that cannot be mapped are no failure.
    pub accept_unmapped: bool,
    /// Whether nothing is to be written.
    pub dry_run: bool,
    /// Under which `_id`s copies are made; `None` for new ones, or as the run that is carried on began.
    pub ids: Option<Ids>,
}
