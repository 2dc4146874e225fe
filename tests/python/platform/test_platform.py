"""A learning platform's answers before the migration, after it and after the rollback."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest

from assessment_documents import both
from assessment_model import copy_id
from assessment_runs import Documents, migrate, rollback
from conftest import Cli
from school_app import Reads, make_app
from school_data import (
    BLUE,
    CLOSED,
    FOR_DELETION,
    FOR_EDITS,
    MINE,
    OLD,
    RED,
    REGULAR,
    STUDENTS,
    SUBMITTED,
    TEACHER,
    TEACHERS,
    fill,
    key,
)

KEYS = [str(each["_id"]) for each in (*REGULAR, *TEACHERS)]
COPIES = {str(copy_id(each["_id"])) for each in TEACHERS}

Call = tuple[str, str, Any]
Answers = dict[str, tuple[int, Any]]

READS: list[Call] = [
    *(("GET", f"/assessments/{each}", None) for each in (*KEYS, "f" * 24)),
    *(("GET", f"/assessments/{each}/results", None) for each in KEYS),
    *(("GET", f"/students/{each}/available", None) for each in STUDENTS),
    *(("GET", f"/students/{each}/results", None) for each in STUDENTS),
    ("GET", f"/teachers/{TEACHER}/assessments", None),
    ("GET", "/admin/assessments", None),
]
WRITES: list[Call] = [
    # Submitted before, not yet, twice, and one that is not offered.
    ("POST", f"/assessments/{key(SUBMITTED)}/submit", {"student": "s1", "given": [1, 0]}),
    ("POST", f"/assessments/{key(1)}/submit", {"student": "s1", "given": [1, 0]}),
    ("POST", f"/assessments/{key(MINE)}/submit", {"student": "s1", "given": [1, 1]}),
    ("POST", f"/assessments/{key(MINE)}/submit?again", {"student": "s1", "given": [1, 0]}),
    ("POST", f"/assessments/{key(4)}/submit", {"student": "s4", "given": [1, 0]}),
    ("POST", f"/assessments/{key(CLOSED)}/submit", {"student": "s1", "given": []}),
    # A teacher assigns batches; an admin edits, deactivates and deletes.
    ("PUT", f"/assessments/{key(MINE)}/batches", {"batches": [RED, BLUE]}),
    ("PUT", f"/assessments/{key(CLOSED)}/batches", {"batches": []}),
    ("PATCH", f"/admin/assessments/{key(FOR_EDITS)}", {"title": "New", "is_active": False}),
    ("PATCH", f"/admin/assessments/{key(5)}", {"title": "New", "status": "draft"}),
    ("PATCH", f"/admin/assessments/{key(CLOSED)}", {"status": "published", "time_limit": 5}),
    ("DELETE", f"/admin/assessments/{key(FOR_DELETION)}", None),
    ("DELETE", f"/admin/assessments/{key(8)}", None),
]


@asynccontextmanager
async def opened(uri: str, name: str, reads: Reads) -> AsyncIterator[httpx.AsyncClient]:
    app = make_app(uri, name, reads)
    async with app.router.lifespan_context(app):
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://school") as client:
            yield client


class Platform:
    """The application on the test's database, and the commands."""

    def __init__(self, uri: str, db: Documents, cli: Cli) -> None:
        self.uri, self.db, self.cli = uri, db, cli

    async def ask(self, calls: list[Call], reads: Reads = "both") -> Answers:
        """The answer to each call."""
        found: Answers = {}
        async with opened(self.uri, self.db.name, reads) as client:
            for method, path, body in calls:
                answered = await client.request(method, path, json=body)
                content = answered.json() if answered.status_code < 500 else answered.text
                found[f"{method} {path}"] = answered.status_code, content
        return found

    async def whole_day(self, reads: Reads = "both") -> list[Answers]:
        """Everything is read, then written, then read again."""
        return [await self.ask(each, reads) for each in (READS, WRITES, READS)]


@pytest.fixture
def platform(server_uri: str, db: Documents, cli: Cli) -> Platform:
    fill(db)
    return Platform(server_uri, db, cli)


def active(answers: Answers) -> Answers:
    """The old document that does not say so is active now: that is the model's default."""

    def said(content: Any) -> Any:
        if isinstance(content, list):
            return [said(each) for each in content]
        if isinstance(content, dict) and content.get("id") == str(OLD["_id"]):
            return {**content, "is_active": True}
        return content

    return {path: (status, said(content)) for path, (status, content) in answers.items()}


def without_copies(answers: Answers) -> Answers:
    """Lists without the copies under an `_id` of their own."""

    def left(content: Any) -> Any:
        if not isinstance(content, list):
            return content
        return [each for each in content if each.get("id") not in COPIES]

    return {path: (status, left(content)) for path, (status, content) in answers.items()}


def differences(one: list[Answers], other: list[Answers]) -> dict[str, Any]:
    """By call, what differs."""
    return {
        f"{part}: {call}": (found, second[call])
        for part, (first, second) in enumerate(zip(one, other, strict=True))
        for call, found in first.items()
        if found != second[call]
    }


LISTS = {f"GET /teachers/{TEACHER}/assessments", "GET /admin/assessments"}


async def test_with_new_ids_every_answer_is_what_it_was(platform: Platform) -> None:
    """Also to submissions, edits and deletes: only lists of a whole collection show the copies."""
    before = await platform.whole_day()
    statuses = [status for answers in before for status, _ in answers.values()]
    assert {200, 400, 403, 404} == set(statuses), "each kind of answer is met"
    fill(platform.db)
    assert migrate(platform.cli)["teacher"]["migrated"] == len(TEACHERS)
    after = await platform.whole_day()
    changed = differences([active(each) for each in before], after)
    assert {call.partition(": ")[2] for call in changed} <= LISTS, changed
    own = [without_copies(each) for each in after]
    for answers, expected in zip(own, map(active, before), strict=True):
        for call in LISTS & set(answers):
            found = {each["id"]: each for each in answers[call][1]}
            wanted = {each["id"]: each for each in expected[call][1]}
            # An ObjectId as created_by is text now, so that its teacher's list has it.
            assert found == {**wanted, **{k: v for k, v in found.items() if k == key(4)}}
    # What the application did meanwhile is not undone, and nothing of the migration stays.
    rollback(platform.cli)
    assert differences([active(before[2])], [active(await platform.ask(READS))]) == {}


@pytest.mark.parametrize("ids", ["new", "keep"])
async def test_after_the_rollback_every_answer_is_what_it_was(platform: Platform, ids: str) -> None:
    stored = both(platform.db)
    before = await platform.whole_day()
    fill(platform.db)
    migrate(platform.cli, "--ids", ids)
    rollback(platform.cli)
    assert both(platform.db) == stored
    assert differences(before, await platform.whole_day()) == {}


async def test_with_kept_ids_for_the_application_that_reads_assessments_only(
    platform: Platform,
) -> None:
    """The day on which it is switched over: an earlier migration is taken back first."""
    before = await platform.whole_day()
    fill(platform.db)
    migrate(platform.cli)
    edit = [("PATCH", f"/admin/assessments/{key(MINE)}", {"title": "Edited since"})]
    await platform.ask(edit)
    await platform.ask([("PATCH", edit[0][1], {"title": f"Teacher {MINE}"})])
    rollback(platform.cli)
    report = migrate(platform.cli, "--ids", "keep")
    assert report["meant"] == {"results": 6, "submissions": 0}
    assert report["copies"] == {"kept_ids": len(TEACHERS), "new_ids": 0}
    after = await platform.whole_day("assessments")
    changed = differences([active(each) for each in before], after)
    # But for the teacher's list: it has what an ObjectId as teacher_id or created_by kept out.
    assert {call.partition(": ")[2] for call in changed} <= {
        f"GET /teachers/{TEACHER}/assessments"
    }, changed
    # Back to the application that reads both: its edits return to the teachers' own documents.
    rollback(platform.cli)
    edited = await platform.ask([("GET", f"/assessments/{key(FOR_EDITS)}", None)])
    ((status, found),) = edited.values()
    assert (status, found["title"], found["is_active"]) == (200, "New", False)


async def test_with_kept_ids_an_application_that_reads_both_misbehaves(
    platform: Platform,
) -> None:
    """Why new ones are the default; the documentation says it in these words."""
    migrate(platform.cli, "--ids", "keep")
    answers = await platform.ask(WRITES)
    again = answers[f"POST /assessments/{key(SUBMITTED)}/submit"]
    assert again == (200, {"score": 2, "of": 2}), "a student submits a second time"
    results = await platform.ask([("GET", f"/assessments/{key(FOR_EDITS)}/results", None)])
    assert list(results.values()) == [(200, [])], "the teacher's results are gone"
    offered = await platform.ask([("GET", "/students/s3/available", None)])
    ((_, listed),) = offered.values()
    assert key(FOR_EDITS) in {each["id"] for each in listed}, "a deactivated one is offered"
