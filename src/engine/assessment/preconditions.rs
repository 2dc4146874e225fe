//! What exists where the migration works.

use bson::DateTime;

use super::shared::reading;
use crate::assessment::constraints::Constraints;
use crate::assessment::ids::Ids;
use crate::assessment::indexes;
use crate::assessment::looked::Looked;
use crate::assessment::model::Rules;
use crate::assessment::names::{ASSESSMENTS, TEACHER_ASSESSMENTS};
use crate::assessment::report::Indexes;
use crate::assessment::survey::{Extent, Survey, SurveyContext, completed, survey};
use crate::error::server::ServerError;
use crate::error::{Error, Result};
use crate::mongo::catalog::{self, Collection};
use crate::mongo::server::Server;
use crate::observe::Stop;

/// What exists where the migration works.
pub(super) struct Preconditions {
    pub(super) assessments: Option<Collection>,
    pub(super) teacher: Option<Collection>,
    pub(super) existing: indexes::ExistingIndexes,
    pub(super) constraints: Constraints,
}

impl Preconditions {
    pub(super) async fn look(server: &Server) -> Result<Self> {
        let assessments = catalog::collection(server, ASSESSMENTS).await.map_err(reading())?;
        let teacher = catalog::collection(server, TEACHER_ASSESSMENTS).await.map_err(reading())?;
        for (name, found) in [(ASSESSMENTS, &assessments), (TEACHER_ASSESSMENTS, &teacher)] {
            let Some(found) = found else { continue };
            if found.kind != "collection" || found.options.get_bool("capped").unwrap_or(false) {
                let noun = if found.kind == "collection" { "capped collection" } else { found.noun() };
                return Err(Error::WrongState(format!(
                    "{name:?} is a {noun}, and the assessment migration works on plain collections only. Nothing was changed. \
                     Put its documents into a plain collection of this name first."
                )));
            }
        }
        let existing = indexes::look(server, assessments.as_ref()).await.map_err(reading())?;
        let constraints = Constraints::read(server, assessments.as_ref()).await.map_err(reading())?;
        Ok(Self { assessments, teacher, existing, constraints })
    }

    pub(super) fn indexes(&self) -> Indexes {
        let absent = self.assessments.is_none() && self.teacher.is_none();
        Indexes {
            created: if absent { Vec::new() } else { self.existing.missing.clone() },
            standing: self.existing.equal.clone(),
            conflicts: self.existing.conflicts.clone(),
            notes: self.existing.notes(),
        }
    }

    /// Refuses where an index is in the way.
    pub(super) fn free(&self) -> Result<()> {
        if self.existing.conflicts.is_empty() {
            return Ok(());
        }
        Err(Error::WrongState(format!(
            "Indexes of {ASSESSMENTS:?} are in the way: {}. Nothing was changed. Drop them, then run the same command \
             again.",
            self.existing.conflicts.join("; ")
        )))
    }

    /// Looks at the documents.
    pub(super) async fn survey(&self, server: &Server, extent: Extent, ids: Ids, stop: &Stop) -> Result<Survey> {
        if self.assessments.is_none() && self.teacher.is_none() {
            return Ok(Survey::new());
        }
        until_stopped(survey(server, self.looking(extent, ids)), stop).await
    }

    /// Looks at what a look at all documents has left.
    pub(super) async fn complete(&self, server: &Server, looked: Looked, ids: Ids, stop: &Stop) -> Result<Survey> {
        until_stopped(completed(server, self.looking(Extent::Whole, ids), looked), stop).await
    }

    fn looking(&self, extent: Extent, ids: Ids) -> SurveyContext<'_> {
        SurveyContext { extent, rules: Rules::at(DateTime::now()), ids, constraints: &self.constraints }
    }

    /// Whether the server has to be asked about single documents: it may refuse some, or compares in its own way.
    pub(super) fn may_refuse(&self) -> bool {
        let collated = |found: &Collection| found.options.contains_key("collation");
        !self.constraints.is_empty() || self.assessments.as_ref().is_some_and(collated)
    }

    /// The collections that there are, in words.
    pub(super) fn names(&self) -> String {
        let both = [(ASSESSMENTS, &self.assessments), (TEACHER_ASSESSMENTS, &self.teacher)];
        both.iter().filter(|(_, found)| found.is_some()).map(|(name, _)| *name).collect::<Vec<_>>().join(" and ")
    }

    /// Whether indexes are to be made, where there is a collection.
    pub(super) fn lacks_indexes(&self) -> bool {
        self.assessments.is_some() && !self.existing.missing.is_empty()
    }
}

async fn until_stopped(found: impl Future<Output = Result<Survey, ServerError>>, stop: &Stop) -> Result<Survey> {
    tokio::select! {
        found = found => found.map_err(reading()),
        () = stop.cancelled() => {
            Err(Error::Interrupted("Stopped before this run wrote anything. Run the same command again.".to_owned()))
        }
    }
}
