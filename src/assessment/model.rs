//! The unified model: its fields, where each comes from, of which type it is, and what it is where nothing says it.

use std::sync::LazyLock;

/// A field of a document: its name, and that of the embedded document it lies in, if it does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Path {
    /// `settings` or `config`; empty at the top.
    pub within: &'static str,
    /// Its name there.
    pub name: &'static str,
}

/// What values a field may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum FieldType {
    Text,
    /// Text, or an ObjectId, which becomes its hexadecimal text.
    TextOrObjectId,
    Number,
    Boolean,
    Array,
    /// A date, or an RFC 3339 text, which becomes one.
    Date,
}

/// What a field is where no source has it.
#[derive(Debug, Clone, Copy, PartialEq)]
#[allow(missing_docs)]
pub enum Fallback {
    Text(&'static str),
    Number(i32),
    Boolean(bool),
    EmptyArray,
    Null,
    /// The run's time.
    Now,
}

/// A field of the model.
#[derive(Debug, Clone, Copy)]
pub struct Field {
    /// The path of the field.
    pub path: Path,
    /// Its type.
    pub kind: FieldType,
    /// Where a regular assessment has it, first found wins.
    pub regular: &'static [Path],
    /// Where a teacher assessment has it.
    pub teacher: &'static [Path],
    /// What it is otherwise.
    pub default: Fallback,
    /// What it is otherwise for a teacher assessment, where that differs.
    pub teacher_default: Option<Fallback>,
}

/// Which of the two kinds of assessment a document is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub enum AssessmentKind {
    Regular,
    Teacher,
}

impl AssessmentKind {
    /// What `migration_source` says.
    pub fn source(self) -> &'static str {
        match self {
            Self::Regular => "regular_assessment",
            Self::Teacher => "teacher_assessment",
        }
    }
}

impl Field {
    /// Where a document of that kind has it.
    pub fn sources(&self, side: AssessmentKind) -> &'static [Path] {
        match side {
            AssessmentKind::Regular => self.regular,
            AssessmentKind::Teacher => self.teacher,
        }
    }

    /// What it is where no source has it.
    pub fn default(&self, side: AssessmentKind) -> Fallback {
        match (side, self.teacher_default) {
            (AssessmentKind::Teacher, Some(own)) => own,
            _ => self.default,
        }
    }
}

const fn top(name: &'static str) -> Path {
    Path { within: "", name }
}

const fn config(name: &'static str) -> Path {
    Path { within: "config", name }
}

const fn settings(name: &'static str) -> Path {
    Path { within: "settings", name }
}

const fn same(path: Path, kind: FieldType, sources: &'static [Path], default: Fallback) -> Field {
    Field { path, kind, regular: sources, teacher: sources, default, teacher_default: None }
}

macro_rules! plain {
    ($name:literal, $kind:expr, $default:expr) => {
        same(top($name), $kind, &[top($name)], $default)
    };
}

/// Whether an empty array counts as absent unless nothing else is there: the old tool wrote one beside a filled
/// `assigned_batches`.
pub const BATCHES: &str = "batches";
/// The field that counts the questions.
pub const TOTAL_QUESTIONS: &str = "total_questions";
/// The field whose elements are counted.
pub const QUESTIONS: &str = "questions";
/// The run's time.
pub const UPDATED_AT: &str = "updated_at";
/// Which kind of assessment it was.
pub const MIGRATION_SOURCE: &str = "migration_source";
/// Its `_id` before, as text.
pub const ORIGINAL_ID: &str = "original_id";
/// The embedded documents that sources lie in.
pub const EMBEDDED: [&str; 2] = ["config", "settings"];

const COUNT: usize = 23;

/// Every field that a document has a source or a default for, in the model's order. Beside them stand
/// [`TOTAL_QUESTIONS`], [`UPDATED_AT`], [`MIGRATION_SOURCE`] and [`ORIGINAL_ID`], which no source has.
pub static FIELDS: [Field; COUNT] = [
    plain!("title", FieldType::Text, Fallback::Text("")),
    plain!("description", FieldType::Text, Fallback::Text("")),
    Field {
        path: top("subject"),
        kind: FieldType::Text,
        regular: &[top("subject")],
        teacher: &[top("subject"), top("topic")],
        default: Fallback::Text(""),
        teacher_default: None,
    },
    // What the platform takes an absent one for: its model has no "beginner".
    plain!("difficulty", FieldType::Text, Fallback::Text("medium")),
    same(top("time_limit"), FieldType::Number, &[top("time_limit"), config("time_limit")], Fallback::Number(30)),
    plain!("questions", FieldType::Array, Fallback::EmptyArray),
    Field {
        path: top("created_by"),
        kind: FieldType::TextOrObjectId,
        regular: &[top("created_by")],
        teacher: &[top("teacher_id"), top("created_by")],
        default: Fallback::Text(""),
        teacher_default: None,
    },
    plain!("created_at", FieldType::Date, Fallback::Now),
    plain!("is_active", FieldType::Boolean, Fallback::Boolean(true)),
    Field {
        path: top("type"),
        kind: FieldType::Text,
        regular: &[top("type")],
        teacher: &[top("type")],
        default: Fallback::Text("mcq"),
        teacher_default: Some(Fallback::Text("ai_generated")),
    },
    same(top("max_attempts"), FieldType::Number, &[top("max_attempts"), config("max_attempts")], Fallback::Number(1)),
    same(top(BATCHES), FieldType::Array, &[top(BATCHES), top("assigned_batches")], Fallback::EmptyArray),
    plain!("assigned_students", FieldType::Array, Fallback::EmptyArray),
    plain!("status", FieldType::Text, Fallback::Text("draft")),
    plain!("published_at", FieldType::Date, Fallback::Null),
    plain!("due_date", FieldType::Date, Fallback::Null),
    plain!("total_attempts", FieldType::Number, Fallback::Number(0)),
    plain!("average_score", FieldType::Number, Fallback::Number(0)),
    plain!("completion_rate", FieldType::Number, Fallback::Number(0)),
    same(
        settings("randomize_questions"),
        FieldType::Boolean,
        &[settings("randomize_questions"), top("randomize_questions"), config("shuffle_questions")],
        Fallback::Boolean(false),
    ),
    same(
        settings("show_correct_answers"),
        FieldType::Boolean,
        &[
            settings("show_correct_answers"),
            top("show_correct_answers"),
            config("show_correct_answers"),
            config("show_results"),
        ],
        Fallback::Boolean(true),
    ),
    same(
        settings("allow_review"),
        FieldType::Boolean,
        &[settings("allow_review"), top("allow_review"), config("allow_review")],
        Fallback::Boolean(true),
    ),
    same(
        settings("time_limit_enforced"),
        FieldType::Boolean,
        &[settings("time_limit_enforced"), top("time_limit_enforced")],
        Fallback::Boolean(true),
    ),
];

/// An edition of the table. What was migrated by one is rolled back, and carried on, by the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Edition {
    /// Of the old tool, and of this package before editions were recorded.
    First,
    /// [`FIELDS`].
    #[default]
    Second,
}

static SHOWN_AT_FIRST: [Path; 3] =
    [settings("show_correct_answers"), top("show_correct_answers"), config("show_results")];

/// [`Edition::First`]: other defaults, and `config.show_results` alone.
static FIRST: LazyLock<[Field; COUNT]> = LazyLock::new(|| {
    FIELDS.map(|field| match field.path.name {
        "difficulty" => Field { default: Fallback::Text("beginner"), ..field },
        "time_limit" => Field { default: Fallback::Number(60), ..field },
        "show_correct_answers" => Field { regular: &SHOWN_AT_FIRST, teacher: &SHOWN_AT_FIRST, ..field },
        _ => field,
    })
});

impl Edition {
    /// Its table.
    pub fn fields(self) -> &'static [Field; COUNT] {
        match self {
            Self::First => &FIRST,
            Self::Second => &FIELDS,
        }
    }

    /// Its number, as it is recorded.
    pub fn number(self) -> i32 {
        match self {
            Self::First => 1,
            Self::Second => 2,
        }
    }

    /// The edition with this number. Where none was recorded, it was the first.
    pub fn numbered(number: Option<i32>) -> Self {
        match number {
            Some(2) => Self::Second,
            _ => Self::First,
        }
    }
}

/// By what a document is mapped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rules {
    /// The run's time.
    pub now: bson::DateTime,
    /// The table.
    pub edition: Edition,
}

impl Rules {
    /// The newest edition, at this time.
    pub fn at(now: bson::DateTime) -> Self {
        Self { now, edition: Edition::default() }
    }
}
