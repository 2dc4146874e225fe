//! How far a script is, as its record keeps it.

use bson::{Document, RawDocument, RawDocumentBuf, doc, oid::ObjectId, rawdoc};
use serde::{Deserialize, Serialize};

use super::capture_key::CaptureId;
use super::report::{Counts, Direction, Outcome};
use crate::error::foreign;
use crate::mongo::id::Id;

/// How far one script is.
#[derive(Debug, Clone, PartialEq)]
pub struct Progress {
    /// Which script.
    pub direction: Direction,
    /// Number of the last entry.
    pub seq: i64,
    /// The operations begun, in order; only the last may be unfinished.
    pub operations: Vec<OperationProgress>,
    /// Where the unfinished operation is.
    pub position: Option<Position>,
    /// Where it captures what it does, if it does.
    pub capture: Option<CaptureId>,
    /// Whether it undoes captures instead of running the script.
    pub exact: bool,
    /// The `_id` of the entry in the history that will say that it has run: whichever run closes it, there is one.
    pub note: ObjectId,
}

/// Which operation of which script.
#[derive(Debug, Clone, Copy)]
pub struct OperationIndex {
    /// From 0.
    pub index: usize,
    /// How many the script has.
    pub operations: usize,
}

/// How far one operation is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct OperationProgress {
    /// The operation's fingerprint: a resumed run compares it.
    pub hash: String,
    /// Whether some of it may stand in the database.
    pub begun: bool,
    /// How it ended, once it has.
    pub outcome: Option<Outcome>,
    /// Documents so far.
    #[serde(flatten)]
    pub counts: Counts,
    /// Transactions so far, or writes where there are none.
    pub chunks: i64,
    /// Attempts that met another writer.
    pub conflicts: i64,
    /// What else there is to say.
    pub note: Option<String>,
}

/// Where an unfinished operation is.
#[derive(Debug, Clone, PartialEq)]
pub enum Position {
    /// Working through a collection by `_id`: done up to `after`, to be done up to `upper`.
    Ids {
        /// The last `_id` there was at the start.
        upper: Id,
        /// The last `_id` done.
        after: Option<Id>,
    },
    /// Working through a collection by `_id` in so many parts, each with a document of its own in the ledger
    /// ([`parts`](super::parts)).
    Parts(usize),
    /// Working through the documents of an insert: `next` comes next.
    List {
        /// Index of the next document.
        next: usize,
        /// What the `_id`s of documents without one are counted from, so that a resumed run gives the same.
        seed: ObjectId,
    },
    /// In one step.
    Whole,
}

impl OperationProgress {
    /// An operation not yet begun.
    pub fn new(hash: &str) -> Self {
        Self {
            hash: hash.to_owned(),
            begun: false,
            outcome: None,
            counts: Counts::default(),
            chunks: 0,
            conflicts: 0,
            note: None,
        }
    }
}

impl Position {
    /// As the record keeps it.
    pub fn to_raw(&self) -> RawDocumentBuf {
        match self {
            Self::Ids { upper, after: None } => rawdoc! {"kind": "ids", "upper": upper.document()},
            Self::Ids { upper, after: Some(after) } => {
                rawdoc! {"kind": "ids", "upper": upper.document(), "after": after.document()}
            }
            Self::Parts(count) => rawdoc! {"kind": "parts", "count": i64::try_from(*count).unwrap_or(i64::MAX)},
            Self::List { next, seed } => {
                rawdoc! {"kind": "list", "next": i64::try_from(*next).unwrap_or(i64::MAX), "seed": *seed}
            }
            Self::Whole => rawdoc! {"kind": "whole"},
        }
    }

    /// Reads what [`to_raw`](Self::to_raw) writes.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn from_raw(raw: &RawDocument) -> Result<Self, String> {
        let id = |name: &str| raw.get_document(name).ok().and_then(Id::of);
        let number = |name: &str| raw.get_i64(name).ok().and_then(|number| usize::try_from(number).ok());
        match raw.get_str("kind") {
            Ok("ids") => Ok(Self::Ids { upper: id("upper").ok_or("position.upper is missing")?, after: id("after") }),
            Ok("parts") => Ok(Self::Parts(number("count").ok_or("position.count is missing")?)),
            Ok("list") => Ok(Self::List {
                next: number("next").ok_or("position.next is missing")?,
                seed: raw.get_object_id("seed").map_err(|_| "position.seed is missing")?,
            }),
            Ok("whole") => Ok(Self::Whole),
            _ => Err("position.kind is unknown".to_owned()),
        }
    }
}

impl Progress {
    /// Nothing done yet.
    pub fn new(direction: Direction, capture: Option<CaptureId>, exact: bool) -> Self {
        Self { direction, seq: 0, operations: Vec::new(), position: None, capture, exact, note: ObjectId::new() }
    }

    /// Operations finished.
    pub fn finished(&self) -> usize {
        self.operations.iter().filter(|operation| operation.outcome.is_some()).count()
    }

    /// The same without an operation of which nothing stands in the database.
    pub fn settled(mut self) -> Self {
        if self.operations.last().is_some_and(|last| last.outcome.is_none() && !last.begun) {
            self.operations.pop();
            self.position = None;
        }
        self
    }

    /// As a ledger record that begins has it.
    pub fn fresh(&self) -> Document {
        doc! {
            "direction": self.direction.as_str(),
            "seq": 0_i64,
            "operations": [],
            "capture": self.capture.map(|capture| capture.0),
            "exact": self.exact,
            "note": self.note,
        }
    }

    /// Reads what [`fresh`](Self::fresh) and [`Journal::advance`](super::journal::Journal::advance) write.
    ///
    /// # Errors
    /// What is wrong with it, for a record that somebody edited.
    pub fn from_raw(raw: &RawDocument) -> Result<Self, String> {
        let direction = match raw.get_str("direction") {
            Ok("up") => Direction::Up,
            Ok("down") => Direction::Down,
            _ => return Err("progress.direction is neither up nor down".to_owned()),
        };
        let mut operations = Vec::new();
        for item in raw.get_array("operations").map_err(|_| "progress.operations is no array")? {
            let document =
                item.ok().and_then(|value| value.as_document()).ok_or("progress.operations holds something else")?;
            operations.push(
                bson::deserialize_from_slice(document.as_bytes())
                    .map_err(|e| format!("progress.operations: {}", foreign::bson(&e)))?,
            );
        }
        let position = match raw.get_document("position") {
            Ok(position) => Some(Position::from_raw(position)?),
            Err(_) => None,
        };
        let progress = Self {
            direction,
            seq: raw.get_i64("seq").map_err(|_| "progress.seq is no 64-bit number")?,
            operations,
            position,
            capture: raw.get_object_id("capture").ok().map(CaptureId),
            exact: raw.get_bool("exact").unwrap_or(false),
            note: raw.get_object_id("note").unwrap_or_else(|_| ObjectId::new()),
        };
        let unfinished = progress.operations.len() - progress.finished();
        let last_open = progress.operations.last().is_some_and(|last| last.outcome.is_none());
        if unfinished > 1 || (unfinished == 1 && !last_open) {
            return Err("an operation before the last one is unfinished".to_owned());
        }
        if last_open && progress.position.is_none() {
            return Err("progress.position is missing".to_owned());
        }
        Ok(progress)
    }
}
