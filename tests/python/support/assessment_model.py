"""The unified assessment model in plain Python, as the table of the documentation has it.

An oracle: written from the table alone, on decoded documents, one document at a time.
"""

from __future__ import annotations

import hashlib
import json
import re
import struct
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import Any, Literal

from bson import Decimal128, Int64, ObjectId, encode
from bson.codec_options import CodecOptions

Kind = Literal["regular", "teacher"]
Document = dict[str, Any]

KINDS: tuple[Kind, Kind] = ("regular", "teacher")
COLLECTIONS: dict[Kind, str] = {"regular": "assessments", "teacher": "teacher_assessments"}
SOURCE: dict[Kind, str] = {"regular": "regular_assessment", "teacher": "teacher_assessment"}
INDEXES = {
    "creator_timestamp_idx": [("created_by", 1), ("created_at", -1)],
    "type_status_idx": [("type", 1), ("status", 1)],
    "batch_status_idx": [("batches", 1), ("status", 1)],
    "subject_difficulty_idx": [("subject", 1), ("difficulty", 1)],
    "published_timestamp_idx": [("published_at", -1)],
}
# What is read to be compared: aware dates, and no failure at bytes that are no text.
AWARE: CodecOptions[Document] = CodecOptions(tz_aware=True, unicode_decode_error_handler="replace")

RFC_3339 = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)[Tt](\d\d):(\d\d):(\d\d)(?:\.(\d+))?(?:([Zz])|([+-])(\d\d):(\d\d))"
)


class _RunTime:
    """Stands for the time of the run where the table says so."""

    def __repr__(self) -> str:
        return "the run's time"


class _Absent:
    """Stands for a field that is not there."""

    def __repr__(self) -> str:
        return "absent"


RUN_TIME = _RunTime()
ABSENT = _Absent()


@dataclass(frozen=True)
class Row:
    """A field of the model: where it comes from, what it is where nothing says, and its type."""

    field: str
    regular: tuple[str, ...]
    teacher: tuple[str, ...]
    default: Any
    type: str

    def sources(self, kind: Kind) -> tuple[str, ...]:
        """The paths that are looked at, in their order."""
        return self.regular if kind == "regular" else self.teacher

    def default_of(self, kind: Kind) -> Any:
        """The default, which for `type` alone depends on the kind."""
        return self.default[kind] if isinstance(self.default, dict) else self.default


def _row(field: str, type: str, default: Any, *others: str) -> Row:
    sources = (field, *others)
    return Row(field, sources, sources, default, type)


ROWS = (
    _row("title", "text", ""),
    _row("description", "text", ""),
    Row("subject", ("subject",), ("subject", "topic"), "", "text"),
    _row("difficulty", "text", "medium"),
    _row("time_limit", "number", 30, "config.time_limit"),
    _row("questions", "array", []),
    Row("created_by", ("created_by",), ("teacher_id", "created_by"), "", "identifier"),
    _row("created_at", "date", RUN_TIME),
    _row("is_active", "boolean", True),
    _row("type", "text", {"regular": "mcq", "teacher": "ai_generated"}),
    _row("max_attempts", "number", 1, "config.max_attempts"),
    _row("batches", "array", [], "assigned_batches", "batches"),
    _row("assigned_students", "array", []),
    _row("status", "text", "draft"),
    _row("published_at", "date", None),
    _row("due_date", "date", None),
    _row("total_attempts", "number", 0),
    _row("average_score", "number", 0),
    _row("completion_rate", "number", 0),
    _row(
        "settings.randomize_questions",
        "boolean",
        False,
        "randomize_questions",
        "config.shuffle_questions",
    ),
    _row(
        "settings.show_correct_answers",
        "boolean",
        True,
        "show_correct_answers",
        "config.show_correct_answers",
        "config.show_results",
    ),
    _row("settings.allow_review", "boolean", True, "allow_review", "config.allow_review"),
    _row("settings.time_limit_enforced", "boolean", True, "time_limit_enforced"),
)
ROW = {row.field: row for row in ROWS}
# What the model has besides, and does not take from the document's own fields.
MADE = ("total_questions", "updated_at", "migration_source", "original_id")
MODEL = {row.field.partition(".")[0] for row in ROWS} | set(MADE)


def at_path(document: Any, path: str) -> Any:
    """The value of a field, or of one inside embedded documents; ABSENT where there is none."""
    for name in path.split("."):
        if not isinstance(document, Mapping) or name not in document:
            return ABSENT
        document = document[name]
    return document


def given(value: Any) -> bool:
    """Whether a source is present and not null."""
    return value is not ABSENT and value is not None


def winner(document: Mapping[str, Any], row: Row, kind: Kind) -> str | None:
    """The path that a field's value comes from; None where it is the default's."""
    sources = row.sources(kind)
    for at, path in enumerate(sources):
        value = at_path(document, path)
        # An empty array counts as present, but for batches where it comes first.
        passed_over = row.field == "batches" and at == 0 and value == []
        if given(value) and not passed_over:
            return path
    return None


def rfc_3339(text: str) -> datetime | None:
    """The date that such a text says, to the millisecond; None where it says none."""
    found = RFC_3339.fullmatch(text)
    if not found:
        return None
    *numbers, fraction, _, sign, hours, minutes = found.groups()
    try:
        date = datetime(*map(int, numbers), tzinfo=timezone.utc)  # type: ignore[misc, arg-type]
    except ValueError:
        return None
    date += timedelta(milliseconds=int((fraction or "0").ljust(3, "0")[:3]))
    if sign:
        if int(hours) > 23 or int(minutes) > 59:
            return None
        offset = timedelta(hours=int(hours), minutes=int(minutes))
        date += -offset if sign == "+" else offset
    return date


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float | Int64 | Decimal128) and not isinstance(value, bool)


# Of each type of the model: whether a value can be taken, and is not guessed at.
FITS: dict[str, Callable[[Any], bool]] = {
    "text": lambda value: type(value) is str,
    "identifier": lambda value: type(value) is str or isinstance(value, ObjectId),
    "number": _is_number,
    "boolean": lambda value: isinstance(value, bool),
    "array": lambda value: isinstance(value, list),
    "date": lambda value: (
        isinstance(value, datetime) or (type(value) is str and rfc_3339(value) is not None)
    ),
}


@dataclass
class Unified:
    """What a document becomes. `sources` says where each field came from, `dates` which texts."""

    document: Document
    sources: dict[str, str | None]
    dates: list[str]


@dataclass
class Unmappable:
    """A document that stays as it is: the paths of the values that are of a wrong type."""

    wrong: list[str]


def unify(document: Mapping[str, Any], kind: Kind) -> Unified | Unmappable:
    """The table, applied to one document."""
    wrong = [
        name
        for name in ("config", "settings")
        if given(document.get(name, ABSENT)) and not isinstance(document[name], dict)
    ]
    values: Document = {}
    sources: dict[str, str | None] = {}
    dates: list[str] = []
    for row in ROWS:
        path = winner(document, row, kind)
        value = row.default_of(kind) if path is None else at_path(document, path)
        if path is not None:
            if not FITS[row.type](value):
                wrong.append(path)
                continue
            if isinstance(value, ObjectId):
                value = str(value)
            elif row.type == "date" and isinstance(value, str):
                value = rfc_3339(value)
                dates.append(path)
        values[row.field], sources[row.field] = value, path
    if wrong:
        return Unmappable(wrong)
    values["total_questions"] = len(values["questions"])
    values["updated_at"] = RUN_TIME
    values["migration_source"] = SOURCE[kind]
    values["original_id"] = id_text(document["_id"])
    return Unified(_with(document, values), sources, dates)


def _with(document: Mapping[str, Any], values: Document) -> Document:
    """The document with the model's fields: in their old place, or at the end."""
    made = dict(document)
    settings = made.get("settings")
    made["settings"] = dict(settings) if isinstance(settings, dict) else {}
    for field, value in values.items():
        name, _, inner = field.partition(".")
        if inner:
            made[name][inner] = value
        else:
            made[name] = value
    return made


def id_text(_id: Any) -> Any:
    """`_id` as `original_id` has it; ABSENT where any text will do."""
    if isinstance(_id, ObjectId):
        return str(_id)
    return _id if isinstance(_id, str) else ABSENT


def copy_id(_id: Any) -> ObjectId:
    """The `_id` of the copy of the teacher assessment with that `_id`; it never changes."""
    if isinstance(_id, str):
        kind, text = b"t", _id
    elif isinstance(_id, ObjectId):
        kind, text = b"o", str(_id)
    else:
        kind, text = b"x", json.dumps(_id, separators=(",", ":"))
    seed = b"copy of a teacher assessment" + kind + struct.pack("<I", 0) + text.encode()
    time = _id.binary[:4] if isinstance(_id, ObjectId) else bytes(4)
    return ObjectId(time + hashlib.sha256(seed).digest()[:8])


def as_bytes(value: Any) -> bytes:
    """A value as it is stored, type and order of keys included."""
    return encode({"": value})


def equal(one: Any, other: Any) -> bool:
    """Whether two values, either of which may be absent, are stored alike."""
    if one is ABSENT or other is ABSENT:
        return one is other
    return as_bytes(one) == as_bytes(other)


def problems(
    found: Mapping[str, Any], expected: Unified, began: datetime, ended: datetime
) -> Iterator[str]:
    """Where a unified document is not as it should be. The run was between the two times."""
    document = expected.document
    for name in {**document, **found}:
        value, other = document.get(name, ABSENT), found.get(name, ABSENT)
        if value is RUN_TIME:
            if not (isinstance(other, datetime) and began <= other <= ended):
                yield f"{name} is {other!r}, not between {began} and {ended}"
        elif name == "total_questions":
            if not _is_number(other) or other != value:
                yield f"total_questions is {other!r}, not {value}"
        elif name == "original_id" and value is ABSENT:
            if not (isinstance(other, str) and other):
                yield f"original_id is {other!r}"
        elif name == "settings" and isinstance(other, dict):
            # The order of keys that the migration itself adds is its own.
            if sorted(map(repr, value)) != sorted(map(repr, other)) or any(
                not equal(value[key], other[key]) for key in value
            ):
                yield f"settings is {other!r}, not {value!r}"
        elif not equal(value, other):
            yield f"{name} is {other!r}, not {value!r}"
