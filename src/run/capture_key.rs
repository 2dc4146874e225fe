//! Where a run keeps what it captures: the names of its collections.

use bson::oid::ObjectId;

use crate::names::{Form, Names};

/// A header's place among the entries of its run.
pub const HEADER: i32 = -1;

/// What one run of a script captured, or captures.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct CaptureId(pub ObjectId);

/// What one operation of a run captures.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct CaptureKey {
    /// The run's captures.
    pub capture: CaptureId,
    /// The operation, from 0.
    pub operation: i32,
}

impl CaptureId {
    /// The collection of its packs; the names of its other collections begin with it.
    pub fn packs(self, names: &Names) -> String {
        format!("{}_{}", names.captures(), self.0.to_hex())
    }

    /// What the names of the collections that it set aside begin with.
    pub fn kept(self, names: &Names) -> String {
        format!("{}{}_", names.kept(), self.0.to_hex())
    }

    /// Whether the collection is one of its own.
    pub fn owns(self, names: &Names, collection: &str) -> bool {
        names.form(collection) == Some(Form::OfCapture(&self.0.to_hex()))
    }

    /// What its operation `index`, from 0, captures.
    pub fn capture_key(self, index: usize) -> CaptureKey {
        CaptureKey { capture: self, operation: i32::try_from(index).unwrap_or(i32::MAX) }
    }
}

impl CaptureKey {
    /// Those of this operation's parts where it is the run's last: each as if it were an operation of its own.
    pub fn parts(self) -> impl Iterator<Item = Self> {
        (self.operation..).map(move |operation| Self { operation, ..self })
    }

    /// The collection of documents kept whole.
    pub fn whole(self, names: &Names) -> String {
        format!("{}_{}", self.capture.packs(names), self.operation + 1)
    }

    /// Another collection of the operation's captures: one of the parts that `names` knows.
    pub fn part(self, names: &Names, part: &str) -> String {
        format!("{}_{part}", self.whole(names))
    }

    /// The name under which a dropped collection is set aside.
    pub fn aside(self, names: &Names) -> String {
        format!("{}{}", self.capture.kept(names), self.operation + 1)
    }

    /// The name under which people ask for it: the run's last eight digits and the operation's number.
    pub fn name(self) -> String {
        format!("{}-{}", &self.capture.0.to_hex()[16..], self.operation + 1)
    }
}
