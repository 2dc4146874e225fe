"""The assessment unification: ours with all it does, and other ways of the writes alone.

Ours are whole processes: backup, capture, indexes and validation included. The others have none of
these: the old tool's loop, one `update_one` or `insert_one` each, on a part and scaled; a good
PyMongo version, `bulk_write` in thousands; and two pipelines that the server runs by itself.
"""

from __future__ import annotations

import json
import random
import shutil
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime, timedelta, timezone
from itertools import islice
from typing import Any

from bson import ObjectId
from pymongo import InsertOne, UpdateOne

from backup import VOCABULARY
from figures import Bound, Timing
from ground import SINCE, Ground

Document = dict[str, Any]
COLLECTIONS = ("assessments", "teacher_assessments")
BATCH = 1_000
MEMORY = Bound(150)
# Of each kind of analytics and settings: what the model has where a document says nothing.
NUMBERS = ("total_attempts", "average_score", "completion_rate")
SETTINGS: dict[str, tuple[str | None, bool]] = {
    "randomize_questions": ("shuffle_questions", False),
    "show_correct_answers": ("show_results", True),
    "allow_review": ("allow_review", True),
    "time_limit_enforced": (None, True),
}
DEFAULTS: Document = {
    "title": "",
    "description": "",
    "difficulty": "beginner",
    "questions": [],
    "is_active": True,
    "assigned_students": [],
    "status": "draft",
    "published_at": None,
    "due_date": None,
    **dict.fromkeys(NUMBERS, 0),
}


def generate(ground: Ground, regular: int, teacher: int) -> int:
    """Makes what each round begins with; the average size of a document in bytes."""
    dice = random.Random(20261122)
    size = 0
    for name, total in zip(COLLECTIONS, (regular, teacher), strict=True):
        source = ground.db[f"source_{name}"]
        source.drop()
        for first in range(0, total, BATCH * 5):
            rows = range(first, min(first + BATCH * 5, total))
            make = regular_assessment if name == "assessments" else teacher_assessment
            source.insert_many([make(at, dice) for at in rows], ordered=False)
        size += ground.db.command("collStats", source.name)["size"]
    return size // (regular + teacher)


def questions(dice: random.Random) -> list[Document]:
    """Nine questions, about 3 kB."""
    return [
        {
            "question": " ".join(dice.choices(VOCABULARY, k=12)),
            "options": [" ".join(dice.choices(VOCABULARY, k=3)) for _ in range(4)],
            "correct_answer": dice.randrange(4),
            "explanation": " ".join(dice.choices(VOCABULARY, k=7)),
            "points": dice.randrange(1, 5),
        }
        for _ in range(9)
    ]


def regular_assessment(at: int, dice: random.Random) -> Document:
    """As the platform's own form writes it."""
    return {
        "title": f"Assessment {at}",
        "subject": dice.choice(VOCABULARY),
        "difficulty": "medium",
        "description": " ".join(dice.choices(VOCABULARY, k=8)),
        "time_limit": 45,
        "max_attempts": 2,
        "type": "mcq",
        "created_by": f"{dice.randrange(16**24):024x}",
        "created_at": SINCE + timedelta(seconds=at),
        "status": "active",
        "question_count": 9,
        "questions": questions(dice),
        "assigned_batches": [f"{dice.randrange(16**24):024x}"],
        "is_active": True,
    }


def teacher_assessment(at: int, dice: random.Random) -> Document:
    """As the teachers' form writes it."""
    return {
        "title": f"Teacher's {at}",
        "topic": dice.choice(VOCABULARY),
        "difficulty": "medium",
        "question_count": 9,
        "type": "ai_generated",
        "status": "published",
        "is_active": True,
        "teacher_id": f"{dice.randrange(16**24):024x}",
        "batches": [f"{dice.randrange(16**24):024x}"],
        "created_at": SINCE + timedelta(seconds=at),
        "updated_at": SINCE + timedelta(seconds=at + 9),
        "published_at": SINCE + timedelta(seconds=at + 9),
        "time_limit": 30,
        "questions": questions(dice),
        "config": {
            "shuffle_questions": True,
            "shuffle_options": False,
            "show_results": False,
            "allow_review": True,
            "max_attempts": 3,
        },
    }


class Contest:
    """The contenders, each on the same data made afresh."""

    def __init__(self, ground: Ground, regular: int, teacher: int) -> None:
        self.ground, self.regular, self.teacher = ground, regular, teacher
        self.timings: dict[str, list[Timing]] = defaultdict(list)
        self.megabytes: dict[str, float] = defaultdict(float)

    def fresh(self) -> None:
        """Both collections as they were at first, and everything written to disk."""
        self.ground.clear()
        shutil.rmtree(self.ground.directory / "backups", ignore_errors=True)
        for name in COLLECTIONS:
            self.ground.db.drop_collection(name)
            self.ground.db[f"source_{name}"].aggregate([{"$out": name}])
        self.ground.db.client.admin.command("fsync")

    def ours(self) -> None:
        """There and back, each a whole process with all that it does."""
        self.fresh()
        self._process("assessment-migrate")
        self.check(self.regular + self.teacher)
        self.ground.db.client.admin.command("fsync")
        self._process("assessment-rollback")
        self.check(0)
        for name in COLLECTIONS:
            if self.ground.db[name].estimated_document_count() != self.total_of(name):
                raise RuntimeError(f"{name} is not as it was before")

    def total_of(self, name: str) -> int:
        """Documents of that collection at first."""
        return self.regular if name == "assessments" else self.teacher

    def _process(self, command: str) -> None:
        done = self.ground.ours(command, "--json")
        self.timings[command].append(done.timing)
        self.megabytes[command] = max(self.megabytes[command], done.megabytes)
        report: Document = json.loads(done.stdout)
        if command == "assessment-migrate" and not report["validation"]["valid"]:
            raise RuntimeError(f"the migration is not valid: {report['validation']}")

    def in_process(self, name: str, work: Callable[[Ground], None]) -> None:
        """Another way, over a connection that exists."""
        self.fresh()
        self.timings[name].append(self.ground.time(lambda: work(self.ground)))
        self.check(self.regular + self.teacher)

    def old_loop(self, part: int) -> None:
        """The old tool's loop on one document of `part`, and scaled."""
        self.fresh()
        regular, teacher = self.regular // part, self.teacher // part
        took = self.ground.time(lambda: one_by_one(self.ground, regular, teacher))
        self.check(regular + teacher)
        scale = (self.regular + self.teacher) / (regular + teacher)
        self.timings["the old tool's loop, scaled"].append(took.scaled(scale))

    def check(self, unified: int) -> None:
        """That so many documents are unified, whoever it was that did it."""
        filter = {"migration_source": {"$exists": True}}
        found = self.ground.db["assessments"].count_documents(filter)
        if found != unified:
            raise RuntimeError(f"{found} of {unified} assessments are unified")


def unified(document: Document, *, teacher: bool, now: datetime) -> Document:
    """The model's fields of a document, as a good Python version would find them."""

    def first(default: Any, *names: str) -> Any:
        return next((document[name] for name in names if document.get(name) is not None), default)

    config: Document = document.get("config") or {}
    settings: Document = document.get("settings") or {}
    made = {name: first(default, name) for name, default in DEFAULTS.items()}
    made["subject"] = first("", *(("subject", "topic") if teacher else ("subject",)))
    made["created_by"] = str(
        first("", *(("teacher_id", "created_by") if teacher else ("created_by",)))
    )
    made["time_limit"] = first(config.get("time_limit") or 60, "time_limit")
    made["max_attempts"] = first(config.get("max_attempts") or 1, "max_attempts")
    made["created_at"], made["updated_at"] = first(now, "created_at"), now
    made["type"] = first("ai_generated" if teacher else "mcq", "type")
    made["batches"] = document.get("batches") or first([], "assigned_batches", "batches")
    made["total_questions"] = len(made["questions"])
    made["settings"] = dict(settings)
    for name, (other, default) in SETTINGS.items():
        values = (settings.get(name), document.get(name), config.get(other) if other else None)
        made["settings"][name] = next((each for each in values if each is not None), default)
    made["migration_source"] = "teacher_assessment" if teacher else "regular_assessment"
    made["original_id"] = str(document["_id"])
    return made


def batches(documents: Iterable[Document]) -> Iterator[list[Document]]:
    """A thousand at a time."""
    found = iter(documents)
    while batch := list(islice(found, BATCH)):
        yield batch


def bulk_writes(ground: Ground) -> None:
    """A good PyMongo version."""
    now = datetime.now(timezone.utc)
    assessments = ground.db["assessments"]
    for batch in batches(assessments.find()):
        updates = [
            UpdateOne({"_id": each["_id"]}, {"$set": unified(each, teacher=False, now=now)})
            for each in batch
        ]
        assessments.bulk_write(updates, ordered=False)
    for batch in batches(ground.db["teacher_assessments"].find()):
        inserts = [InsertOne({**each, **unified(each, teacher=True, now=now)}) for each in batch]
        assessments.bulk_write(inserts, ordered=False)


def server_side(ground: Ground) -> None:
    """Two pipelines; nothing leaves the server."""
    now = datetime.now(timezone.utc)
    ground.db["assessments"].update_many({}, [{"$set": stage(teacher=False, now=now)}])
    merge = {"into": "assessments", "whenMatched": "fail", "whenNotMatched": "insert"}
    pipeline = [{"$set": stage(teacher=True, now=now)}, {"$merge": merge}]
    ground.db["teacher_assessments"].aggregate(pipeline)


def stage(*, teacher: bool, now: datetime) -> Document:
    """The model's fields as expressions of the server."""

    def first(*sources: Any) -> Document:
        return {"$ifNull": list(sources)}

    made: Document = {name: first(f"${name}", default) for name, default in DEFAULTS.items()}
    made["subject"] = first("$subject", "$topic", "") if teacher else first("$subject", "")
    creators = ("$teacher_id", "$created_by", "") if teacher else ("$created_by", "")
    made["created_by"] = {"$toString": first(*creators)}
    made["time_limit"] = first("$time_limit", "$config.time_limit", 60)
    made["max_attempts"] = first("$max_attempts", "$config.max_attempts", 1)
    made["created_at"], made["updated_at"] = first("$created_at", now), now
    made["type"] = first("$type", "ai_generated" if teacher else "mcq")
    empty = {"$eq": [first("$batches", []), []]}
    other = first("$assigned_batches", "$batches", [])
    made["batches"] = {"$cond": [empty, other, "$batches"]}
    made["total_questions"] = {"$size": first("$questions", [])}
    for name, (config, default) in SETTINGS.items():
        sources = [f"$settings.{name}", f"${name}", *([f"$config.{config}"] if config else [])]
        made[f"settings.{name}"] = first(*sources, default)
    made["migration_source"] = "teacher_assessment" if teacher else "regular_assessment"
    made["original_id"] = {"$toString": "$_id"}
    return made


def one_by_one(ground: Ground, regular: int, teacher: int) -> None:
    """What the old tool did: everything in memory, and then one document at a time."""
    now = datetime.now(timezone.utc)
    assessments = ground.db["assessments"]
    rows = list(assessments.find().limit(regular))
    for each in rows:
        change = {"$set": unified(each, teacher=False, now=now)}
        assessments.update_one({"_id": each["_id"]}, change)
    others = list(ground.db["teacher_assessments"].find().limit(teacher))
    for each in others:
        made = {"_id": ObjectId(), **unified(each, teacher=True, now=now)}
        assessments.insert_one(made)


def assessments(ground: Ground, regular: int, teacher: int, rounds: int, part: int) -> None:
    """All contenders in turn; the old tool's loop on one document of `part`."""
    average = generate(ground, regular, teacher)
    contest = Contest(ground, regular, teacher)
    contenders: list[Callable[[], None]] = [
        contest.ours,
        lambda: contest.in_process("PyMongo bulk_write in thousands", bulk_writes),
        lambda: contest.in_process("server-side update and $merge", server_side),
    ]
    for at in range(rounds):
        # In turn, and each first as often as the others.
        for contender in contenders[at % 3 :] + contenders[: at % 3]:
            contender()
    for _ in range(min(2, rounds)):
        contest.old_loop(part)
    made = f"{regular:,} regular and {teacher:,} teacher assessments of {average:,} bytes"
    figures = ground.figures
    figures.section(f"unification of {made} on average, {rounds} rounds in turn")
    print("  ours with backup, capture, indexes and validation; the others without any of these")
    for name, timings in contest.timings.items():
        figures.row(name, timings)
    ours = contest.timings["assessment-migrate"]
    server = contest.timings["server-side update and $merge"]
    figures.ratio("assessment-migrate / server-side", ours, server, Bound(1.4))
    for theirs, bound in (
        ("PyMongo bulk_write in thousands", Bound(1.6, at_least=True)),
        ("the old tool's loop, scaled", Bound(20, at_least=True)),
    ):
        figures.ratio(f"{theirs} / migrate", contest.timings[theirs], ours, bound)
    undone = contest.timings["assessment-rollback"]
    figures.ratio("assessment-rollback / assessment-migrate", undone, ours, Bound(0.7))
    for name, most in contest.megabytes.items():
        figures.value(f"peak memory of {name}", most, " MB", MEMORY)


def large_assessments(ground: Ground, regular: int, teacher: int) -> None:
    """Peak memory must not grow with the collections."""
    generate(ground, regular, teacher)
    contest = Contest(ground, regular, teacher)
    contest.ours()
    figures = ground.figures
    figures.section(f"unification of {regular:,} regular and {teacher:,} teacher assessments, once")
    for name, timings in contest.timings.items():
        figures.row(name, timings)
    for name, most in contest.megabytes.items():
        figures.value(f"peak memory of {name}", most, " MB", MEMORY)
    for name in COLLECTIONS:
        ground.db.drop_collection(name)
        ground.db.drop_collection(f"source_{name}")
