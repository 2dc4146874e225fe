//! Looking at every document while the backup is written, so that both collections are read once for both.
//!
//! What the server would have to be asked about each document is not asked here: where something may refuse documents, and
//! for teacher assessments that may have copies already, a [survey](super::survey) reads for itself.

use std::sync::{Mutex, PoisonError};

use super::looked::Looked;
use super::mapping::map;
use super::model::{AssessmentKind, MIGRATION_SOURCE, ORIGINAL_ID, Rules};
use super::names::{ASSESSMENTS, TEACHER_ASSESSMENTS};
use super::report::KindReport;
use super::validate::ValidationResult;
use crate::backup::dump::attempt::Onlooker;
use crate::mongo::raw::{TEXT, get};

/// Looks at the documents of both collections.
#[derive(Debug)]
pub struct Look {
    rules: Rules,
    found: Mutex<Looked>,
}

impl Look {
    /// Maps by these rules.
    pub fn new(rules: Rules) -> Self {
        Self { rules, found: Mutex::default() }
    }

    /// What was found.
    pub fn found(&self) -> Looked {
        *self.found.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Onlooker for Look {
    fn see(&self, collection: &str, documents: &mut (dyn Iterator<Item = &[u8]> + Send)) {
        let mut found = Looked::default();
        match collection {
            ASSESSMENTS => {
                let mut unified = ValidationResult::default();
                for document in documents {
                    found.assessments.add(document);
                    if unified.look_at(document) {
                        continue;
                    }
                    found.doubtful |= is_doubtful(document);
                    judge(document, AssessmentKind::Regular, self.rules, &mut found.regular);
                }
                let validation = &unified.validation;
                found.to_report = validation.missing_fields > 0 || unified.reported.empty_batches > 0;
                found.unified = validation.regular;
                found.copies = validation.teacher;
            }
            TEACHER_ASSESSMENTS => {
                for document in documents {
                    found.teachers.add(document);
                    judge(document, AssessmentKind::Teacher, self.rules, &mut found.teacher);
                }
            }
            _ => {}
        }
        *self.found.lock().unwrap_or_else(PoisonError::into_inner) += found;
    }

    fn start_over(&self) {
        *self.found.lock().unwrap_or_else(PoisonError::into_inner) = Looked::default();
    }
}

/// A text may be a symbol to the server, or one of several in an array.
fn is_doubtful(document: &[u8]) -> bool {
    [MIGRATION_SOURCE, ORIGINAL_ID].iter().any(|name| get(document, name).is_some_and(|field| field.kind != TEXT))
}

fn judge(document: &[u8], side: AssessmentKind, rules: Rules, counted: &mut KindReport) {
    match map(document, side, rules).and_then(|unified| unified.check(document, side).map(|()| unified)) {
        Ok(unified) => {
            counted.migrated += 1;
            counted.dates_converted += unified.dates_converted;
        }
        Err(_) => counted.unmapped += 1,
    }
}
