//! What a [look](super::look) at every document has found, and what it makes the run expect.

use std::sync::Arc;

use super::copies::KnownCopies;
use super::expected::{CollectionSize, ExpectedCollections};
use super::report::{KindReport, MigrateReport};

/// What was found in both collections.
#[derive(Debug, Default, Clone, Copy)]
pub struct Looked {
    /// Regular assessments that are not unified.
    pub regular: KindReport,
    /// Teacher assessments, as if none had a copy.
    pub teacher: KindReport,
    /// The assessments' collection.
    pub assessments: CollectionSize,
    /// The teacher assessments.
    pub teachers: CollectionSize,
    /// Regular assessments that are unified.
    pub unified: i64,
    /// Copies of teacher assessments.
    pub copies: i64,
    /// Whether something is to be said of those that are unified already.
    pub to_report: bool,
    /// Whether the server may take documents for unified that are not, or the other way round.
    pub doubtful: bool,
}

impl Looked {
    /// What is there after a run that has done what `report` says, by which the assessments' collection has `grown`; `None`
    /// where what was unified before has to be read again, because something is to be said of it.
    pub fn after(self, report: &MigrateReport, grown: i64, known: Arc<KnownCopies>) -> Option<ExpectedCollections> {
        let made = report.teacher.migrated;
        let mut assessments = self.assessments;
        assessments += CollectionSize { documents: made, bytes: grown };
        (!self.to_report).then_some(ExpectedCollections {
            assessments,
            teachers: self.teachers,
            regular: self.unified + report.regular.migrated,
            copies: self.copies + made,
            all_copied: self.copies == 0 && made == self.teachers.documents && report.teacher.clashes == Some(0),
            known,
        })
    }
}

impl std::ops::AddAssign for Looked {
    fn add_assign(&mut self, other: Self) {
        for (own, other) in [(&mut self.regular, other.regular), (&mut self.teacher, other.teacher)] {
            own.migrated += other.migrated;
            own.unmapped += other.unmapped;
            own.dates_converted += other.dates_converted;
        }
        self.assessments += other.assessments;
        self.teachers += other.teachers;
        self.unified += other.unified;
        self.copies += other.copies;
        self.to_report |= other.to_report;
        self.doubtful |= other.doubtful;
    }
}
