"""A small learning platform, written for these tests: it looks assessments up as EDULEARN does.

The one that reads both collections looks into `assessments` first, then into
`teacher_assessments`, and writes to where it found one. The one that reads `assessments` only is
what an application is after the day on which it is switched over.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime, timezone
from typing import Annotated, Any, Literal

from bson import ObjectId
from fastapi import APIRouter, Body, FastAPI, HTTPException, Request
from motor.motor_asyncio import AsyncIOMotorClient
from pydantic import BaseModel

# As the platform makes its client.
CLIENT_OPTIONS: dict[str, Any] = {
    "maxPoolSize": 10,
    "minPoolSize": 1,
    "maxIdleTimeMS": 30_000,
    "serverSelectionTimeoutMS": 5_000,
    "connectTimeoutMS": 10_000,
    "socketTimeoutMS": 20_000,
}
OFFERED = ["published", "active"]

Reads = Literal["both", "assessments"]
Document = dict[str, Any]


class Assessment(BaseModel):
    """An assessment as every route answers it. No other difficulty is valid: error 500."""

    id: str
    title: str
    subject: str
    difficulty: Literal["easy", "medium", "hard"]
    time_limit: int
    question_count: int
    status: str
    is_active: bool
    type: str
    created_by: str


class Result(BaseModel):
    """One student's result."""

    student: str
    score: int
    title: str


def answer(document: Document) -> Assessment:
    """A document of either collection, with the defaults of the platform."""
    questions = document.get("questions") or []
    return Assessment(
        id=str(document["_id"]),
        title=document.get("title") or "Untitled",
        subject=document.get("subject") or document.get("topic") or "General",
        difficulty=document.get("difficulty", "medium"),
        time_limit=document.get("time_limit", 30),
        question_count=document.get("question_count", len(questions)),
        status=document.get("status", "draft"),
        is_active=document.get("is_active", False),
        type=document.get("type", "mcq"),
        created_by=str(document.get("created_by") or document.get("teacher_id") or ""),
    )


def answers(documents: list[Document]) -> list[Assessment]:
    return sorted(map(answer, documents), key=lambda each: each.id)


class School:
    """The lookups, over one database."""

    def __init__(self, db: Any, reads: Reads) -> None:
        self.db, self.both = db, reads == "both"

    async def find(self, text: str) -> tuple[Document, Any]:
        """An assessment by its `_id`, and the collection that it was found in."""
        if not ObjectId.is_valid(text):
            raise HTTPException(400, "Invalid assessment ID")
        names = ("assessments", "teacher_assessments") if self.both else ("assessments",)
        for name in names:
            found = await self.db[name].find_one({"_id": ObjectId(text)})
            if found:
                return found, self.db[name]
        raise HTTPException(404, "Assessment not found")

    def results_of(self, collection: Any) -> Any:
        """Where submissions to what was found there go."""
        of_teachers = collection.name == "teacher_assessments"
        return self.db["teacher_assessment_results" if of_teachers else "assessment_submissions"]

    async def all_results(self, query: Document) -> list[Document]:
        found: list[Document] = []
        for name in ("assessment_submissions", "teacher_assessment_results"):
            found += await self.db[name].find(query).to_list(None)
        return found

    async def assigned(self, batch: str) -> list[Document]:
        """What a batch is offered."""
        offered = {"status": {"$in": OFFERED}, "is_active": True}
        if not self.both:
            return list(await self.db.assessments.find({"batches": batch, **offered}).to_list(None))
        found = await self.db.assessments.find({"assigned_batches": batch, **offered}).to_list(None)
        found += await self.db.teacher_assessments.find({"batches": batch, **offered}).to_list(None)
        return list(found)

    async def of_teacher(self, teacher: str) -> list[Document]:
        found = await self.db.assessments.find({"created_by": teacher}).to_list(None)
        if self.both:
            found += await self.db.teacher_assessments.find({"teacher_id": teacher}).to_list(None)
        return list(found)

    async def everything(self) -> list[Document]:
        found = await self.db.assessments.find().to_list(None)
        if self.both:
            found += await self.db.teacher_assessments.find().to_list(None)
        return list(found)


routes = APIRouter()


def school(request: Request) -> School:
    found: School = request.app.state.school
    return found


@routes.get("/assessments/{key}")
async def details(request: Request, key: str) -> Assessment:
    return answer((await school(request).find(key))[0])


@routes.post("/assessments/{key}/submit")
async def submit(
    request: Request, key: str, student: Annotated[str, Body()], given: Annotated[list[int], Body()]
) -> dict[str, Any]:
    here = school(request)
    found, collection = await here.find(key)
    if found.get("status") not in OFFERED:
        raise HTTPException(403, "Assessment not available")
    results = here.results_of(collection)
    before = {"assessment_id": key, "student_id": student}
    there = await here.all_results(before) if not here.both else await results.find_one(before)
    if there:
        raise HTTPException(400, "Assessment already submitted")
    questions = found.get("questions") or []
    score = sum(
        each.get("correct_answer") == own for each, own in zip(questions, given, strict=False)
    )
    await results.insert_one({**before, "score": score, "at": datetime.now(timezone.utc)})
    return {"score": score, "of": len(questions)}


@routes.get("/assessments/{key}/results")
async def results_of_one(request: Request, key: str) -> list[Result]:
    here = school(request)
    found, collection = await here.find(key)
    query = {"assessment_id": key}
    there = (
        await here.results_of(collection).find(query).to_list(None)
        if here.both
        else await here.all_results(query)
    )
    title = found.get("title") or "Untitled"
    listed = [
        Result(student=each["student_id"], score=each["score"], title=title) for each in there
    ]
    return sorted(listed, key=lambda each: (each.student, each.score))


@routes.put("/assessments/{key}/batches")
async def assign(
    request: Request, key: str, batches: Annotated[list[str], Body(embed=True)]
) -> Document:
    """Assigns batches; answers how many students that reaches."""
    here = school(request)
    found, collection = await here.find(key)
    regular = here.both and collection.name == "assessments"
    field = "assigned_batches" if regular else "batches"
    await collection.update_one({"_id": found["_id"]}, {"$set": {field: batches}})
    query = {"role": "student", "batch_id": {"$in": batches}}
    return {"students": await here.db.users.count_documents(query)}


@routes.get("/students/{student}/available")
async def available(request: Request, student: str) -> list[Assessment]:
    """What is assigned to the student's batch and not yet submitted."""
    here = school(request)
    user = await here.db.users.find_one({"_id": student})
    if user is None:
        raise HTTPException(404, "No such student")
    done = {each["assessment_id"] for each in await here.all_results({"student_id": student})}
    offered = answers(await here.assigned(user["batch_id"]))
    return [each for each in offered if each.id not in done]


@routes.get("/students/{student}/results")
async def results_of_student(request: Request, student: str) -> list[Result]:
    """Every result with the title of what it is of, where that can be found."""
    here = school(request)
    listed = []
    for each in await here.all_results({"student_id": student}):
        try:
            title = (await here.find(each["assessment_id"]))[0].get("title") or "Untitled"
        except HTTPException:
            title = "Unknown Assessment"
        listed.append(Result(student=student, score=each["score"], title=title))
    return sorted(listed, key=lambda each: (each.title, each.score))


@routes.get("/teachers/{teacher}/assessments")
async def of_teacher(request: Request, teacher: str) -> list[Assessment]:
    return answers(await school(request).of_teacher(teacher))


@routes.get("/admin/assessments")
async def everything(request: Request) -> list[Assessment]:
    return answers(await school(request).everything())


@routes.patch("/admin/assessments/{key}")
async def edit(request: Request, key: str, change: Annotated[Document, Body()]) -> Assessment:
    here = school(request)
    found, collection = await here.find(key)
    await collection.update_one({"_id": found["_id"]}, {"$set": change})
    return answer({**found, **change})


@routes.delete("/admin/assessments/{key}")
async def delete(request: Request, key: str) -> dict[str, int]:
    """Deletes an assessment and its results."""
    here = school(request)
    found, collection = await here.find(key)
    await collection.delete_one({"_id": found["_id"]})
    names = ["assessment_submissions", "teacher_assessment_results"]
    if here.both:
        names = [here.results_of(collection).name]
    gone = [await here.db[name].delete_many({"assessment_id": key}) for name in names]
    return {"results": sum(each.deleted_count for each in gone)}


def make_app(uri: str, name: str, reads: Reads) -> FastAPI:
    """The platform on one database."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        client: Any = AsyncIOMotorClient(uri, **CLIENT_OPTIONS)
        app.state.school = School(client[name], reads)
        yield
        client.close()

    app = FastAPI(lifespan=lifespan)
    app.include_router(routes)
    return app
