//! The five steps of a migration, told as they happen.

use std::sync::Arc;

use crate::assessment::report::Meant;
use crate::assessment::survey::Survey;
use crate::observe::{Event, Kind, Level, Observer, Reporter};
use crate::plural::{counted, number};

/// How many there are.
const STEPS: usize = 5;

/// Tells of the steps, and passes everything else on.
#[derive(Clone)]
pub struct Steps {
    to: Reporter,
}

impl Steps {
    /// Tells `reporter`.
    pub fn over(reporter: &Reporter) -> Self {
        Self { to: reporter.clone() }
    }

    /// A reporter of whose operations the steps are told.
    pub fn reporter(&self) -> Reporter {
        Reporter::new(Arc::new(self.clone()))
    }

    /// Tells what was found before anything is written. `meant` is of kept `_id`s.
    pub fn surveyed(&self, found: &Survey, meant: Option<Meant>) {
        let unmapped = found.regular.unmapped + found.teacher.unmapped;
        let mut message = format!(
            "To be migrated: {} regular and {} teacher assessments. Cannot be mapped: {}.",
            number(found.regular.migrated),
            number(found.teacher.migrated),
            number(unmapped)
        );
        if let Some(meant) = meant {
            let clashes = found.teacher.clashes.unwrap_or_default();
            message.push_str(&format!(" Have an _id that another document has: {}.", number(clashes)));
            if found.teacher.migrated > 0 {
                message.push_str(&format!(
                    " Copies keep the _id: {} and {} refer to them.",
                    counted(meant.results, "result"),
                    counted(meant.submissions, "submission")
                ));
            }
        }
        self.to.tell(Kind::Surveyed, Level::Info, message);
    }

    /// Tells that step `number` begins.
    pub fn tell(&self, number: usize, what: String) {
        let message = format!("Step {number} of {STEPS}: {what}.");
        self.to.operation(Kind::StepStarted, number, STEPS, message);
    }
}

impl Observer for Steps {
    fn notify(&self, event: &Event) {
        if event.kind == Kind::OperationStarted {
            match event.index {
                Some(1) => self.tell(2, "Transforming regular assessments in place".to_owned()),
                Some(2) => self.tell(3, "Bringing teacher assessments over".to_owned()),
                Some(3) => self.tell(4, "Creating indexes".to_owned()),
                _ => {}
            }
        }
        self.to.pass_on(event);
    }
}

impl std::fmt::Debug for Steps {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Steps").field("level", &Level::Info).finish_non_exhaustive()
    }
}
