"""What such a platform has stored: documents of every shape, users, submissions and results."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any

from bson import ObjectId
from pymongo.database import Database

Document = dict[str, Any]

SINCE = datetime(2024, 9, 2, 8, tzinfo=timezone.utc)
RED, BLUE = "66d5a0000000000000000b01", "66d5a0000000000000000b02"
TEACHER = "66d5a0000000000000000c01"
QUESTIONS = [
    {"question": "1 + 1?", "options": ["1", "2", "3"], "correct_answer": 1},
    {"question": "2 + 2?", "options": ["4", "5", "6"], "correct_answer": 0},
]


def key(number: int) -> str:
    """The `_id` of an assessment, as text."""
    return f"66d5a00000000000{number:08x}"


def _regular(number: int, **fields: Any) -> Document:
    """As the platform's route for new assessments writes it."""
    return {
        "_id": ObjectId(key(number)),
        "title": f"Regular {number}",
        "subject": "Mathematics",
        "difficulty": "easy",
        "description": "",
        "time_limit": 45,
        "max_attempts": 1,
        "type": "mcq",
        "created_by": TEACHER,
        "created_at": SINCE + timedelta(days=number),
        "status": "active",
        "question_count": 2,
        "questions": QUESTIONS,
        "assigned_batches": [RED],
        "is_active": True,
        **fields,
    }


def _teacher(number: int, **fields: Any) -> Document:
    """As the platform's routes for teachers write it."""
    return {
        "_id": ObjectId(key(number)),
        "title": f"Teacher {number}",
        "topic": "Plants",
        "difficulty": "hard",
        "question_count": 2,
        "type": "ai_generated",
        "status": "active",
        "is_active": True,
        "teacher_id": TEACHER,
        "batches": [RED],
        "created_at": SINCE + timedelta(days=number),
        "updated_at": SINCE + timedelta(days=number),
        "published_at": SINCE + timedelta(days=number),
        "time_limit": 20,
        "questions": QUESTIONS,
        "config": {
            "shuffle_questions": True,
            "shuffle_options": False,
            "show_correct_answers": False,
            "allow_review": True,
            "max_attempts": 2,
        },
        **fields,
    }


def _without(document: Document, *names: str) -> Document:
    return {name: value for name, value in document.items() if name not in names}


# Old, and without a word on whether it is active: the model says yes.
OLD: Document = {"_id": ObjectId(key(3)), "title": "Old", "created_by": TEACHER}
REGULAR: list[Document] = [
    _regular(1),
    _regular(2, status="draft", due_date=SINCE, published_at=None),
    OLD,
    _regular(4, created_by=ObjectId(TEACHER), assigned_batches=[RED, BLUE]),
    _regular(
        5,
        batches=[],
        assigned_students=["s1"],
        total_attempts=3,
        average_score=0.5,
        completion_rate=1.0,
        tags=["t"],
        randomize_questions=True,
        show_correct_answers=False,
        allow_review=False,
        time_limit_enforced=True,
    ),
    _without(_regular(6), "difficulty", "time_limit", "description"),
    {**_regular(7), "_id": "legacy-7"},
    _regular(8, status="published", assigned_batches=[BLUE]),
]
MINE, SUBMITTED, CLOSED, FOR_EDITS, FOR_DELETION = 0x65, 0x66, 0x67, 0x68, 0x69
TEACHERS: list[Document] = [
    _teacher(MINE),
    _teacher(SUBMITTED),
    _teacher(CLOSED, status="draft"),
    _teacher(FOR_EDITS, type="mcq"),
    _teacher(FOR_DELETION, type="challenge", batches=[RED, BLUE]),
    _teacher(0x70, type="coding", questions=[], question_count=0, batches=[BLUE]),
    _without(_teacher(0x71), "difficulty", "time_limit", "config"),
    _teacher(0x72, config={"max_attempts": 1}, status="published"),
    _teacher(0x73, teacher_id=ObjectId(TEACHER), batches=[]),
    {**_teacher(0x74), "_id": "legacy-74"},
]
STUDENTS = {"s1": RED, "s2": RED, "s3": RED, "s4": BLUE}


def fill(db: Database[Document]) -> None:
    """All of it, into an empty database."""
    for name in db.list_collection_names():
        db.drop_collection(name)
    db["assessments"].insert_many(REGULAR)
    db["teacher_assessments"].insert_many(TEACHERS)
    db["users"].insert_many(
        {"_id": name, "role": "student", "batch_id": batch} for name, batch in STUDENTS.items()
    )
    gone = "f" * 24
    db["assessment_submissions"].insert_many(
        {"assessment_id": each, "student_id": "s1", "score": 1} for each in (key(1), gone)
    )
    db["teacher_assessment_results"].insert_many(
        {"assessment_id": key(each), "student_id": student, "score": 2}
        for each in (SUBMITTED, FOR_EDITS, FOR_DELETION)
        for student in ("s1", "s2")
    )
