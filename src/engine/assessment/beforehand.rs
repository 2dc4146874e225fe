//! What comes before the first write: every document is looked at, and both collections are backed up, in one read where
//! that is possible.

use std::path::Path;
use std::sync::Arc;

use bson::DateTime;

use super::disk_space;
use super::preconditions::Preconditions;
use crate::assessment::copies::KnownCopies;
use crate::assessment::ids::Ids;
use crate::assessment::look::Look;
use crate::assessment::looked::Looked;
use crate::assessment::model::Rules;
use crate::assessment::names::{ASSESSMENTS, TEACHER_ASSESSMENTS};
use crate::assessment::report::BackupTaken;
use crate::assessment::survey::{Extent, Survey};
use crate::backup::dump::attempt::{DumpRequest, Onlooker};
use crate::backup::dump::dump;
use crate::backup::format::manifest::{BackupKind, BackupScope, Consistency};
use crate::error::Result;
use crate::run::handle::Run;

/// What is known and done before the first write.
pub(super) struct Beforehand {
    pub(super) survey: Survey,
    /// The backup, where it was written by the same read.
    pub(super) backup: Option<BackupTaken>,
    /// What that read found.
    pub(super) looked: Option<Looked>,
}

impl Beforehand {
    /// Of a run that is carried on.
    pub(super) fn knowing(known: KnownCopies) -> Self {
        Self { survey: Survey::knowing(known), backup: None, looked: None }
    }

    /// Looks at every document. Writes a backup unless there is nothing to do, or the documents had to be read for
    /// themselves.
    pub(super) async fn look(run: &Run, directory: &Path, preconditions: &Preconditions, ids: Ids) -> Result<Self> {
        let server = &run.server;
        let survey = preconditions.survey(server, Extent::AnyWork, ids, &run.stop).await?;
        if !survey.has_work() {
            return Ok(Self { survey, backup: None, looked: None });
        }
        if preconditions.may_refuse() {
            let survey = preconditions.survey(server, Extent::Whole, ids, &run.stop).await?;
            return Ok(Self { survey, backup: None, looked: None });
        }
        let look = Arc::new(Look::new(Rules::at(DateTime::now())));
        let backup = back_up(run, directory, Some(Arc::clone(&look) as Arc<dyn Onlooker>)).await?;
        let looked = Some(look.found()).filter(|looked| !looked.doubtful);
        let survey = match looked {
            Some(looked) => preconditions.complete(server, looked, ids, &run.stop).await?,
            None => preconditions.survey(server, Extent::Whole, ids, &run.stop).await?,
        };
        Ok(Self { survey, backup: Some(backup), looked })
    }
}

/// Writes the backup, which `onlooker` sees.
pub(super) async fn back_up(run: &Run, directory: &Path, onlooker: Option<Arc<dyn Onlooker>>) -> Result<BackupTaken> {
    disk_space::check(&run.server, directory).await?;
    let request = DumpRequest {
        kind: BackupKind::Assessment,
        // Also what is not there: a restore of this backup removes it again.
        scope: BackupScope::Collections(vec![ASSESSMENTS.to_owned(), TEACHER_ASSESSMENTS.to_owned()]),
        consistency: Consistency::Snapshot,
        raise_window: true,
        onlooker,
    };
    let written = dump(&run.server, directory, &request, &run.reporter, &run.stop).await?;
    Ok(BackupTaken { name: written.name, path: written.path, documents: written.documents })
}
