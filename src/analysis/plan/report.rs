//! What a plan tells.

use serde::Serialize;

use crate::analysis::checks::CheckResult;
use crate::model::source::Ignored;
use crate::mongo::demands::MissingRight;
use crate::run::report::{Direction, Outcome, Overreaches, Undone};

/// What `apply` or `rollback` would do.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PlanReport {
    /// The database.
    pub database: String,
    /// Which scripts would run.
    pub direction: Direction,
    /// Whether captures would be undone instead of running scripts.
    pub exact: bool,
    /// The migrations, in the order they would run.
    pub migrations: Vec<MigrationPlan>,
    /// The one that was asked for, where it is applied already.
    pub already_applied: Option<String>,
    /// Where the run would stop behind these migrations.
    pub blocked: Option<Blocked>,
    /// What the database user may not do and the run would have to. It is no problem of the plan: another user may run it.
    pub rights: RightsReport,
    /// How many things were found that the run would fail at, or that it would leave wrong.
    pub problems: i64,
    /// How many operations could not be judged, or only by today's data, which earlier operations will have changed.
    pub undecided: i64,
    /// About how long it would take, in seconds; of operations whose time is known.
    pub seconds_estimate: f64,
    /// Rolled back migrations that `apply` without an id would leave as they are.
    pub passed_over: Vec<String>,
    /// Files in the migrations directory that are none.
    pub ignored: Vec<Ignored>,
}

/// Whether the database user may do what the run would do.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RightsReport {
    /// The user, as `name@database`; none where nobody has logged in.
    pub user: Option<String>,
    /// Why it is not known what the user may do, where it is not.
    pub not_known: Option<String>,
    /// The rights that the user lacks.
    pub missing: Vec<MissingRight>,
}

/// A migration whose turn would come and that could not run.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Blocked {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Why.
    pub error: String,
}

/// What one migration would do.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct MigrationPlan {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Which of its scripts would run.
    pub direction: Direction,
    /// Whether captures would be undone instead of running the script.
    pub exact: bool,
    /// Whether it is pending although one that sorts after it is applied.
    pub out_of_order: bool,
    /// Whether an earlier run has begun it.
    pub resumed: bool,
    /// How many of its operations are done already; they are not listed.
    pub done: i64,
    /// How its checks before come out now.
    pub checks: Vec<CheckResult>,
    /// The checks before are left to the run: earlier migrations of this plan come first.
    pub checks_depend: bool,
    /// Its operations.
    pub operations: Vec<OperationPlan>,
    /// Of a rollback by script: documents that the down script would change and the up script had not touched.
    #[serde(flatten)]
    pub overreach: Overreaches,
}

/// What one operation would do, by the data as it is now.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct OperationPlan {
    /// Its number, from 1.
    pub index: i64,
    /// Its type.
    #[serde(rename = "type")]
    pub kind: String,
    /// The collection it works on.
    pub collection: String,
    /// How it would end, as far as that can be told.
    pub outcome: Option<Outcome>,
    /// How many documents it selects.
    pub matched: Option<i64>,
    /// How many documents it would change, insert or delete.
    pub changes: Option<i64>,
    /// How many documents an upsert would make.
    pub upserted: Option<i64>,
    /// Whether the numbers are exact; else they are the most there can be.
    pub exact: bool,
    /// What a drop would set aside.
    pub sets_aside: Option<SetsAside>,
    /// Keys that a unique index would meet more than once.
    pub duplicates: Option<Duplicates>,
    /// Documents that a validator does not admit.
    pub rejected: Option<Rejected>,
    /// Of an exact rollback: what would become of the documents, as they are now.
    pub undone: Option<Undone>,
    /// How many documents a TTL would delete as soon as it stands.
    pub expires: Option<i64>,
    /// What it would fail at, or leave wrong.
    pub problems: Vec<Problem>,
    /// What it would fail at on today's data; the operations that it depends on may change that.
    pub doubts: Vec<Problem>,
    /// Earlier operations that it depends on. What is told is told of today's data, before they have run.
    pub depends_on: Vec<Dependency>,
    /// Whether today's data says anything of it.
    pub looked_at: bool,
    /// Whether it runs in chunks, else in one transaction; of operations on documents.
    pub chunks: Option<bool>,
    /// Whether it is exactly-once, else at-least-once; of operations on documents.
    pub transactions: Option<bool>,
    /// About how long it would take, in seconds, from the time that reading took just now.
    pub seconds_estimate: Option<f64>,
    /// What else there is to say.
    pub notes: Vec<String>,
}

impl OperationPlan {
    /// Nothing known yet.
    pub fn new(index: i64, kind: &str, collection: &str) -> Self {
        Self {
            index,
            kind: kind.to_owned(),
            collection: collection.to_owned(),
            outcome: None,
            matched: None,
            changes: None,
            upserted: None,
            exact: false,
            sets_aside: None,
            duplicates: None,
            rejected: None,
            undone: None,
            expires: None,
            problems: Vec::new(),
            doubts: Vec::new(),
            depends_on: Vec::new(),
            looked_at: true,
            chunks: None,
            transactions: None,
            seconds_estimate: None,
            notes: Vec::new(),
        }
    }

    /// Something that it would fail at.
    pub fn fails(&mut self, message: impl Into<String>, code: Option<i32>) {
        self.outcome = Some(Outcome::Failed);
        self.problems.push(Problem { message: message.into(), code, fails: true });
    }

    /// Something that it would leave wrong, although it does not fail.
    pub fn leaves(&mut self, message: impl Into<String>, code: i32) {
        self.problems.push(Problem { message: message.into(), code: Some(code), fails: false });
    }

    /// What cannot be found out.
    pub fn unknown(&mut self, note: impl Into<String>) {
        self.looked_at = false;
        self.notes.push(note.into());
    }

    /// Takes what was found for what it is where earlier operations come first.
    pub fn of_today(&mut self) {
        self.doubts = std::mem::take(&mut self.problems);
        self.exact = false;
        self.outcome = None;
    }

    /// Whether nobody can say before the run how it ends.
    pub fn undecided(&self) -> bool {
        !self.looked_at || !self.depends_on.is_empty()
    }

    /// How it ends where nothing is in its way.
    pub fn ends(&mut self, outcome: Outcome, note: Option<&str>) {
        self.outcome = Some(outcome);
        self.notes.extend(note.map(str::to_owned));
    }
}

/// What an operation would fail at, or leave wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// What was found.
    pub message: String,
    /// The server's code for it.
    pub code: Option<i32>,
    /// Whether it would fail; else it is carried out, and later writes fail.
    pub fails: bool,
}

/// An earlier operation of the plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Dependency {
    /// Its migration.
    pub migration: String,
    /// Its number there, from 1.
    pub operation: i64,
}

/// What a drop would set aside.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SetsAside {
    /// Documents.
    pub documents: i64,
    /// Their size, before the server's compression.
    pub bytes: i64,
    /// Names of indexes.
    pub indexes: Vec<String>,
    /// Whether it is kept, to be brought back with `undrop` or an exact rollback.
    pub kept: bool,
}

/// Keys that more than one document has.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Duplicates {
    /// How many keys.
    pub keys: i64,
    /// How many documents have one of them.
    pub documents: i64,
    /// Some of them: the key, and the `_id`s of documents that have it, as Extended JSON.
    pub examples: Vec<String>,
}

/// Documents that a validator does not admit.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Rejected {
    /// How many.
    pub documents: i64,
    /// The `_id`s of some, as Extended JSON.
    pub examples: Vec<String>,
}
