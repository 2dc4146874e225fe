"""What the verbs of the assessment model answer, as frozen dataclasses.

Durations are in seconds, counts are documents, an `_id` is Extended JSON.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from edulearn_migrate.reports.base import Report


@dataclass(frozen=True, slots=True)
class AssessmentBackup(Report):
    """The backup of both collections. `path` is absolute."""

    name: str
    path: str
    documents: int


@dataclass(frozen=True, slots=True)
class AssessmentSide(Report):
    """What became of one kind of assessment.

    `migrated` by this migration, or to be migrated in a dry run; `already` unified before;
    `unmapped` left as they are. `dates_converted` were text; `clashes` got a new `_id` because
    another document has theirs.
    """

    migrated: int
    already: int
    unmapped: int
    dates_converted: int
    clashes: int = 0


@dataclass(frozen=True, slots=True)
class UnmappedDocument(Report):
    """A document that cannot be mapped, or that the server refuses, and was left as it is.

    `field` is empty where the server refuses the document as a whole.
    """

    collection: str
    id: Any = dataclasses.field(metadata={"key": "_id"})
    field: str
    reason: str


@dataclass(frozen=True, slots=True)
class AssessmentClash(Report):
    """A teacher assessment whose `_id` another document has; its copy has `new_id`.

    `references` of results and submissions now mean the other document.
    """

    id: Any = dataclasses.field(metadata={"key": "_id"})
    new_id: Any
    references: int


@dataclass(frozen=True, slots=True)
class AssessmentReported(Report):
    """Unified documents with no batches beside filled `assigned_batches`, as the old tool left."""

    empty_batches: int
    ids: tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class AssessmentIndexes(Report):
    """Names of the indexes made and of those that stood; what is in the way, in words.

    `notes` name those that stand under another name.
    """

    created: tuple[str, ...]
    standing: tuple[str, ...]
    conflicts: tuple[str, ...]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class AssessmentCopies(Report):
    """Copies of teacher assessments: under the original's `_id`, and under another."""

    kept_ids: int
    new_ids: int


@dataclass(frozen=True, slots=True)
class AssessmentMeant(Report):
    """With `ids="keep"`: results and submissions that refer to what was copied under its `_id`."""

    results: int
    submissions: int


@dataclass(frozen=True, slots=True)
class AssessmentReferences(Report):
    """Assessments that results and submissions refer to, each counted once.

    `found` in `assessments`; `elsewhere` only as a teacher assessment whose copy has another `_id`
    or that has none; `dangling` nowhere, before and now; `lost` found before and not now.
    """

    distinct: int
    found: int
    elsewhere: int
    dangling: int
    lost: int


@dataclass(frozen=True, slots=True)
class AssessmentValidation(Report):
    """What was found in the end. `valid` when there are no `problems`."""

    valid: bool
    total: int
    unified: int
    regular: int
    teacher: int
    unmapped: int
    missing_fields: int
    added_meanwhile: int
    references: AssessmentReferences
    problems: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class AssessmentReport(Report):
    """The answer of `assessment_migrate`, and the `report` of an exception it raises.

    `ids` is `"new"` or `"keep"`. `meant` is None with new ones, and where nothing was to migrate.
    """

    database: str
    dry_run: bool
    resumed: bool
    backup: AssessmentBackup | None
    regular: AssessmentSide
    teacher: AssessmentSide
    ids: str
    copies: AssessmentCopies
    meant: AssessmentMeant | None
    unmapped: tuple[UnmappedDocument, ...]
    clashes: tuple[AssessmentClash, ...]
    clashing: int
    reported: AssessmentReported
    indexes: AssessmentIndexes
    validation: AssessmentValidation
    seconds: float

    @property
    def ok(self) -> bool:
        """Whether the validation found no problem."""
        return self.validation.valid


@dataclass(frozen=True, slots=True)
class AssessmentRestored(Report):
    """What became of one kind of assessment in a rollback.

    `restored` are as they were before the migration; `restored_with_edits` too, with what was
    edited since. `gone` were removed since. `conflicts`: of a teacher assessment the same was
    edited in both, and its own stays; of a regular one (counted in `restored_with_edits`, too)
    something that the migration had changed was changed again, and that stays.
    """

    restored: int
    restored_with_edits: int
    gone: int
    conflicts: int


@dataclass(frozen=True, slots=True)
class AssessmentRollbackReport(Report):
    """The answer of `assessment_rollback`, and the `report` of an exception it raises.

    `kept_newer` documents of `assessments` were made since and stay. `carried_back` teacher
    assessments got back what was edited in their copies; `kept_copies` stay because their original
    is gone or cannot take the edits. `from_old_backup` is the old tool's backup document that was
    used, and `unknown` says what it could not tell. `migrated_at` is when what is undone was done.
    """

    database: str
    nothing_to_roll_back: bool
    resumed: bool
    migrated_at: datetime | None
    regular: AssessmentRestored
    teacher: AssessmentRestored
    kept_newer: int
    carried_back: int
    kept_copies: int
    indexes_dropped: tuple[str, ...]
    from_old_backup: str | None
    unknown: tuple[str, ...]
    seconds: float
