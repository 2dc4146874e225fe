//! Running the checks of a migration. They read, and never write.

use bson::{Bson, Document, RawDocumentBuf};
use serde::Serialize;

use crate::error::message::show;
use crate::error::server::ServerError;
use crate::model::script::checks::{Check, Demand};
use crate::model::script::operation::IndexRef;
use crate::mongo::catalog::{self, Collection, difference};
use crate::mongo::indexes;
use crate::mongo::query::Query;
use crate::mongo::server::Server;

/// How one check came out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CheckResult {
    /// Its number among those before, or after, from 1.
    pub index: i64,
    /// What it demands, in words.
    pub demand: String,
    /// Whether that holds.
    pub holds: bool,
    /// What was found.
    pub found: String,
    /// Why it is demanded, in the words of the file.
    pub reason: Option<String>,
}

impl CheckResult {
    /// A failed check as part of a sentence.
    pub fn failure(&self) -> String {
        let reason = self.reason.as_ref().map(|reason| format!(" ({reason})")).unwrap_or_default();
        format!("check {} demands {}, but {}{reason}", self.index, self.demand, self.found)
    }
}

/// Runs checks one after the other, whatever the ones before found.
///
/// # Errors
/// Where the server is gone; what it refuses is a check that does not hold.
pub async fn run(server: &Server, checks: &[Check]) -> Result<Vec<CheckResult>, ServerError> {
    let mut results = Vec::new();
    for (index, check) in (1..).zip(checks) {
        let (holds, found) = match examine(server, check).await {
            Ok(found) => found,
            Err(e) if e.is_passing() || e.authentication => return Err(e),
            Err(e) => (false, format!("the server refuses to look: {e}")),
        };
        results.push(CheckResult { index, demand: check.describe(), holds, found, reason: check.reason.clone() });
    }
    Ok(results)
}

async fn examine(server: &Server, check: &Check) -> Result<(bool, String), ServerError> {
    let name = &check.collection;
    if let Demand::Count { filter, bounds } = &check.demand {
        let query = Query { collection: name, hint: None, collation: None, variables: None };
        let filter = RawDocumentBuf::try_from(filter).map_err(mongodb::error::Error::from)?;
        let number = query.count(server, filter).await?;
        return Ok((bounds.hold(number), format!("there are {number}")));
    }
    let existing = catalog::collection(server, name).await?;
    Ok(match &check.demand {
        Demand::Count { .. } => (false, String::new()),
        Demand::Collection { options, exists } => collection(existing.as_ref(), options.as_ref(), *exists),
        Demand::Index { index, options, exists } => {
            let listed = catalog::indexes(server, name).await?;
            index_of(&listed, index, options.as_ref(), *exists)
        }
        Demand::Validator { validator, exists } => validator_of(existing.as_ref(), validator.as_ref(), *exists),
    })
}

fn collection(existing: Option<&Collection>, options: Option<&Document>, exists: bool) -> (bool, String) {
    match (existing, options) {
        (None, _) => (!exists, "there is none".to_owned()),
        (Some(existing), None) => (exists, format!("a {} exists", existing.noun())),
        (Some(existing), Some(options)) => match difference(options, existing) {
            None => (exists, format!("the {} is as demanded", existing.noun())),
            Some(what) => (false, format!("a {} exists and differs: {what}", existing.noun())),
        },
    }
}

/// The index that stands under a name or with these keys, and whether it is finished.
pub fn find_index<'a>(listed: &'a [Document], index: &IndexRef) -> Option<(&'a Document, bool)> {
    listed.iter().find_map(|entry| {
        let (spec, finished) = entry.get_document("spec").map_or((entry, true), |spec| (spec, false));
        indexes::means(index, entry).then_some((spec, finished))
    })
}

fn index_of(listed: &[Document], index: &IndexRef, options: Option<&Document>, exists: bool) -> (bool, String) {
    match find_index(listed, index) {
        None => (!exists, "there is none".to_owned()),
        Some((_, false)) => (false, "it is still being built".to_owned()),
        Some((spec, true)) => match options.and_then(|options| indexes::difference_in(options, spec)) {
            None => (exists, "it exists".to_owned()),
            Some(what) => (false, format!("it exists and differs: {what}")),
        },
    }
}

fn validator_of(existing: Option<&Collection>, validator: Option<&Document>, exists: bool) -> (bool, String) {
    let Some(existing) = existing else { return (!exists, "there is no such collection".to_owned()) };
    let own = existing.options.get_document("validator").ok().filter(|own| !own.is_empty());
    match (own, validator) {
        (None, _) => (!exists, "there is none".to_owned()),
        (Some(own), Some(asked))
            if !crate::model::equivalence::same(&Bson::Document(asked.clone()), &Bson::Document(own.clone())) =>
        {
            (false, format!("there is another one: {}", show(&Bson::Document(own.clone()))))
        }
        (Some(_), _) => (exists, "there is one".to_owned()),
    }
}
