"""Realistic EDULEARN data, the same every time.

A school year of a mid-sized platform, in the shapes that the application has written over the
years: older documents lack fields that newer ones have, `created_by` is sometimes an ObjectId, some
results refer to assessments long gone.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from typing import Any

from bson import ObjectId
from pymongo.database import Database

Document = dict[str, Any]

SEED = 20261122
START = datetime(2025, 8, 18, 8, tzinfo=timezone.utc)
SUBJECTS = {
    "Mathematics": ["Linear equations", "Fractions", "Probability", "Trigonometry"],
    "Physics": ["Newton's laws", "Optics", "Circuits", "Thermodynamics"],
    "Biology": ["Photosynthesis", "Cell division", "Genetics", "Ecosystems"],
    "History": ["The Roman republic", "The printing press", "The Silk Road"],
    "Computer science": ["Recursion", "Sorting", "Graphs", "Databases"],
}
DIFFICULTIES = ["beginner", "easy", "medium", "hard"]
FIRST = [
    "Amara",
    "Bilal",
    "Chiara",
    "Dmitri",
    "Eun-ji",
    "Fatima",
    "Gabriel",
    "Hana",
    "Ivan",
    "Júlia",
]
LAST = ["Okafor", "Ahmed", "Rossi", "Petrov", "Kim", "Haddad", "Silva", "Sato", "Novák", "Costa"]
KINDS = {
    "assessment_assigned": "A new assessment waits for you: {}",
    "assessment_graded": "Your result for {} is in",
    "deadline": "{} is due tomorrow",
    "announcement": "Your batch has a new announcement about {}",
}
INSERT_BATCH = 5_000


def load(db: Database[Document], notifications: int) -> dict[str, int]:
    """Fills an empty database and returns how many documents each collection has."""
    school = School(random.Random(SEED))
    collections: dict[str, Iterator[Document]] = {
        "users": school.users(),
        "batches": school.batches(),
        "assessments": school.assessments(),
        "teacher_assessments": school.teacher_assessments(),
        "ai_questions": school.ai_questions(),
        "teacher_assessment_results": school.results(),
        "assessment_submissions": school.submissions(),
        "coding_problems": school.coding_problems(),
        "coding_submissions": school.coding_submissions(),
        "notifications": school.notifications(notifications),
    }
    return {
        name: _insert(db, name, map(school.identified, documents))
        for name, documents in collections.items()
    }


def _insert(db: Database[Document], name: str, documents: Iterator[Document]) -> int:
    count = 0
    batch: list[Document] = []
    for document in documents:
        batch.append(document)
        if len(batch) == INSERT_BATCH:
            db[name].insert_many(batch, ordered=False)
            count += len(batch)
            batch = []
    if batch:
        db[name].insert_many(batch, ordered=False)
    return count + len(batch)


class School:
    """Makes the documents; the later collections refer to the earlier ones."""

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance
        self._teachers = [self._id() for _ in range(60)]
        self._students = [self._id() for _ in range(2_400)]
        self._batches = [self._id() for _ in range(48)]
        self._assessments = [self._id() for _ in range(320)]
        self._teacher_assessments = [self._id() for _ in range(140)]
        self._problems = [self._id() for _ in range(90)]

    def identified(self, document: Document) -> Document:
        """The document with an `_id`; the driver's own would differ from run to run."""
        return document if "_id" in document else {"_id": self._id(), **document}

    def users(self) -> Iterator[Document]:
        """Teachers, and students of whom only the newer ones have a role."""
        for number, user in enumerate(self._teachers + self._students):
            first, last = self._chance.choice(FIRST), self._chance.choice(LAST)
            document: Document = {
                "_id": user,
                "email": f"user{number}@school.example",
                "name": f"{first} {last}",
                "is_active": self._chance.random() < 0.97,
                "created_at": self._moment(),
            }
            if number < len(self._teachers):
                document["role"] = "teacher"
            elif self._chance.random() < 0.25:
                document["role"] = "student"
            yield document

    def batches(self) -> Iterator[Document]:
        """Classes of fifty students."""
        for number, batch in enumerate(self._batches):
            students = self._students[number * 50 : number * 50 + 50]
            yield {
                "_id": batch,
                "name": f"{self._chance.choice(list(SUBJECTS))} {2025 + number % 2}/{number}",
                "teacher_id": str(self._chance.choice(self._teachers)),
                "student_ids": [str(student) for student in students],
                "created_at": self._moment(),
            }

    def assessments(self) -> Iterator[Document]:
        """As POST /assessments writes them; a third of them as older versions did."""
        for number, assessment in enumerate(self._assessments):
            subject, topic = self._topic()
            teacher = self._chance.choice(self._teachers)
            questions = self._questions(topic)
            document: Document = {
                "_id": assessment if number % 40 else str(assessment),
                "title": f"{topic} {number}",
                "subject": subject,
                "difficulty": self._chance.choice(DIFFICULTIES),
                "description": f"What everyone should know about {topic.lower()}",
                "time_limit": self._chance.choice([30, 45, 60, 90]),
                "max_attempts": self._chance.choice([1, 2, 3]),
                "type": self._chance.choice(["mcq", "coding"]),
                "created_by": teacher if number % 25 == 0 else str(teacher),
                "created_at": self._moment(),
                "status": self._chance.choice(["draft", "active", "published"]),
                "question_count": len(questions),
                "questions": questions,
                "assigned_batches": self._some_batches(),
                "is_active": True,
            }
            if number % 3 == 0:
                for field in ("max_attempts", "description", "is_active"):
                    del document[field]
                document["tags"] = [subject.lower()]
            elif document["status"] == "published":
                document["published_at"] = document["created_at"] + timedelta(days=2)
            yield document

    def teacher_assessments(self) -> Iterator[Document]:
        """As the teachers' page writes them: a topic, no subject, and settings in `config`."""
        for number, assessment in enumerate(self._teacher_assessments):
            _, topic = self._topic()
            questions = self._questions(topic)
            created = self._moment()
            yield {
                "_id": assessment,
                "title": f"{topic}, week {number % 40}",
                "topic": topic,
                "difficulty": self._chance.choice(DIFFICULTIES),
                "question_count": len(questions),
                "type": self._chance.choice(["ai_generated", "mcq", "coding", "challenge"]),
                "status": self._chance.choice(["draft", "published"]),
                "is_active": True,
                "teacher_id": str(self._chance.choice(self._teachers)),
                "batches": self._some_batches(),
                "created_at": created,
                "updated_at": created + timedelta(days=1),
                "time_limit": self._chance.choice([20, 30, 45]),
                "questions": questions,
                "config": {
                    "shuffle_questions": self._chance.random() < 0.5,
                    "shuffle_options": True,
                    "show_results": self._chance.random() < 0.8,
                    "allow_review": True,
                    "max_attempts": self._chance.choice([1, 2]),
                },
            }

    def ai_questions(self) -> Iterator[Document]:
        """Generated questions that teachers pick from."""
        for _ in range(600):
            subject, topic = self._topic()
            (question, *_) = self._questions(topic)
            yield {"subject": subject, "topic": topic, **question, "created_at": self._moment()}

    def results(self) -> Iterator[Document]:
        """Results of the teachers' assessments; a few of assessments long gone."""
        for _ in range(1_500):
            gone = self._chance.random() < 0.02
            assessment = self._id() if gone else self._chance.choice(self._teacher_assessments)
            yield {**self._attempt(assessment), "percentage": self._chance.randint(20, 100)}

    def submissions(self) -> Iterator[Document]:
        """Submissions of the regular assessments."""
        for _ in range(4_000):
            yield {
                **self._attempt(self._chance.choice(self._assessments)),
                "answers": [self._chance.randint(0, 3) for _ in range(5)],
                "score": self._chance.randint(0, 10),
            }

    def coding_problems(self) -> Iterator[Document]:
        """Problems with their test cases."""
        for number, problem in enumerate(self._problems):
            yield {
                "_id": problem,
                "title": f"{self._chance.choice(SUBJECTS['Computer science'])} {number}",
                "difficulty": self._chance.choice(DIFFICULTIES),
                "test_cases": [{"input": str(n), "expected": str(n * n)} for n in range(4)],
                "created_by": str(self._chance.choice(self._teachers)),
                "created_at": self._moment(),
            }

    def coding_submissions(self) -> Iterator[Document]:
        """What students sent in for them."""
        for _ in range(2_500):
            yield {
                "problem_id": str(self._chance.choice(self._problems)),
                "student_id": str(self._chance.choice(self._students)),
                "language": self._chance.choice(["python", "java", "javascript"]),
                "code": "def solve(n):\n    return n * n\n",
                "status": self._chance.choice(["accepted", "wrong_answer", "time_limit"]),
                "submitted_at": self._moment(),
            }

    def notifications(self, count: int) -> Iterator[Document]:
        """Notifications; two in three have been read."""
        for _ in range(count):
            _, topic = self._topic()
            kind = self._chance.choice(list(KINDS))
            yield {
                "user_id": str(self._chance.choice(self._students)),
                "type": kind,
                "title": kind.replace("_", " ").capitalize(),
                "message": KINDS[kind].format(topic),
                "is_read": self._chance.random() < 0.66,
                "reminders": 0,
                "created_at": self._moment(),
            }

    def _id(self) -> ObjectId:
        return ObjectId(self._chance.randbytes(12))

    def _moment(self) -> datetime:
        return START + timedelta(seconds=self._chance.randrange(300 * 24 * 3600))

    def _topic(self) -> tuple[str, str]:
        subject = self._chance.choice(list(SUBJECTS))
        return subject, self._chance.choice(SUBJECTS[subject])

    def _some_batches(self) -> list[str]:
        return [str(batch) for batch in self._chance.sample(self._batches, 2)]

    def _attempt(self, assessment: ObjectId) -> Document:
        return {
            "assessment_id": str(assessment),
            "student_id": str(self._chance.choice(self._students)),
            "submitted_at": self._moment(),
        }

    def _questions(self, topic: str) -> list[Document]:
        return [
            {
                "question": f"Which of these is true of {topic.lower()}? ({number})",
                "options": ["the first", "the second", "the third", "none of them"],
                "correct_answer": self._chance.randrange(4),
                "explanation": f"See the chapter on {topic.lower()}.",
                "points": self._chance.choice([1, 2, 3]),
            }
            for number in range(1, self._chance.randint(3, 8))
        ]
