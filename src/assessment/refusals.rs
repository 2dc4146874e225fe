//! Documents that the server refuses, by a unique index, a validator or anything else of the collection's: they are left
//! alone like those that cannot be mapped, and everything else is migrated.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::mapping::Unmapped;
use super::model::AssessmentKind;
use super::values::shown;
use crate::error::codes;
use crate::error::server::ServerError;
use crate::mongo::id::Id;
use crate::mongo::raw::first;

/// So many documents that the server would refuse are tried all the same, to hear its own reason. Each costs an attempt at
/// a chunk.
const TRIED: usize = 100;

/// A document, and why the server would refuse it.
pub type ForeseenRefusal = ((AssessmentKind, Id), Unmapped);

/// Documents that the server refuses in a run, with the reasons.
#[derive(Debug, Default)]
pub struct Refusals {
    met: Mutex<HashMap<(AssessmentKind, Id), Unmapped>>,
    /// Refused documents that are tried all the same.
    foreseen: HashMap<(AssessmentKind, Id), Unmapped>,
}

impl Refusals {
    /// None yet, but for what the server would refuse: where that is much, it is not tried.
    pub fn foreseeing(foreseen: Vec<ForeseenRefusal>) -> Self {
        let all: HashMap<_, _> = foreseen.into_iter().collect();
        if all.len() > TRIED {
            Self { met: Mutex::new(all), ..Self::default() }
        } else {
            Self { foreseen: all, ..Self::default() }
        }
    }

    fn all(&self) -> MutexGuard<'_, HashMap<(AssessmentKind, Id), Unmapped>> {
        self.met.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Why the server refuses a document, if it does.
    pub fn reason(&self, side: AssessmentKind, id: &Id) -> Option<Unmapped> {
        let all = self.all();
        if all.is_empty() { None } else { all.get(&(side, id.clone())).cloned() }
    }

    /// What an error of a write becomes. `ids` are the documents of its statements. Where it refuses one of them, the same
    /// chunk is tried again without that one.
    pub fn learn(&self, error: ServerError, side: AssessmentKind, ids: &[Id]) -> ServerError {
        let Some(id) = error.index.and_then(|index| ids.get(index)) else { return error };
        if !error.refuses_document() {
            let shown = first(id.as_bytes()).map_or_else(String::new, |id| shown(&id).to_string());
            return ServerError { message: format!("{} (document {shown})", error.message), ..error };
        }
        let key = (side, id.clone());
        let field = self.foreseen.get(&key).map_or_else(|| field_of(&error), |foreseen| foreseen.field.clone());
        let reason = Unmapped { field, reason: format!("the server refuses it: {error}") };
        match self.all().insert(key, reason) {
            None => ServerError::found(codes::TRY_AGAIN, error.message),
            // It was not among the documents of this attempt, or should not have been.
            Some(_) => error,
        }
    }
}

/// The field that the server's words name; empty where it refuses the document as a whole.
fn field_of(error: &ServerError) -> String {
    match error.code {
        Some(codes::DUPLICATE_KEY) => {
            let key = error.message.split_once("dup key: { ").and_then(|(_, key)| key.split_once(':'));
            key.map_or_else(String::new, |(name, _)| name.to_owned())
        }
        Some(codes::LANGUAGE_OVERRIDE_TYPE | codes::LANGUAGE_OVERRIDE_UNSUPPORTED) => "language".to_owned(),
        _ => String::new(),
    }
}
