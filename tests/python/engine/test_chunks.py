"""The chunked writer: whatever the `_id`s are and whoever else writes, once each and to the end."""

from __future__ import annotations

import threading
import uuid
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from datetime import datetime, timedelta, timezone
from functools import partial
from itertools import count
from typing import Any

import bson
import pytest
from bson import (
    Binary,
    Code,
    DatetimeMS,
    Decimal128,
    Int64,
    MaxKey,
    MinKey,
    ObjectId,
    Timestamp,
)
from bson.codec_options import CodecOptions
from bson.raw_bson import DEFAULT_RAW_BSON_OPTIONS, RawBSONDocument
from pymongo import ReturnDocument

from conftest import Cli
from features import require
from harness import (
    Documents,
    as_json,
    delete,
    finish,
    record_of,
    start_holding,
    until,
    update,
    write_migration,
)

EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
COLLATIONS: dict[str, dict[str, Any]] = {
    "plain": {},
    "clustered": {"clusteredIndex": {"key": {"_id": 1}, "unique": True}},
    "strength_2": {"collation": {"locale": "en", "strength": 2}},
    "numeric_ordering": {"collation": {"locale": "de", "numericOrdering": True}},
    "clustered_and_collated": {
        "clusteredIndex": {"key": {"_id": 1}, "unique": True},
        "collation": {"locale": "en", "strength": 1},
    },
}
ONCE = {"$inc": {"n": 1}}


def ids_of_every_type(each: int = 120) -> list[Any]:
    """`each` of every type that an `_id` can have, no two of them equal by any collation."""
    rows = range(each)
    text = [f"{'aÄzБ漢😀'[at % 6]}{at}" for at in rows]
    return [
        MinKey(),
        None,
        float("nan"),
        float("-inf"),
        float("inf"),
        Decimal128("-1E+6000"),
        Decimal128("1E+6000"),
        Int64(-(2**63)),
        Int64(2**63 - 1),
        *(at for at in rows),
        *(Int64(2**40 + at) for at in rows),
        *(-at - 0.5 for at in rows),
        *(Decimal128(f"{at}.25") for at in rows),
        "",
        *text,
        *(f"item {at}" for at in rows),
        {},
        *({"a": at, "b": {"c": [at, None, text[at]]}} for at in rows),
        *({"b": text[at], "": at} for at in rows),
        {"a": MinKey()},
        {"a": MaxKey()},
        *(Binary(at.to_bytes(1 + at % 3, "big"), at % 2 * 128) for at in rows),
        Binary(b""),
        *(Binary.from_uuid(uuid.UUID(int=at + 1)) for at in rows),
        *(ObjectId(f"{at:024x}") for at in rows),
        False,
        True,
        *(EPOCH + timedelta(days=at * 400 - 9_000) for at in rows),
        DatetimeMS(-(2**63)),
        DatetimeMS(2**63 - 1),
        *(Timestamp(at, 1) for at in rows),
        *(Code(f"f({at})") for at in rows),
        *(Code(f"f({at})", {"x": at}) for at in rows),
        MaxKey(),
    ]


def raw_id(identifier: Any) -> bytes:
    """An `_id` as its bytes: the only comparison that holds for every type, NaN included."""
    return bson.encode({"_id": identifier})


def raw_ids(db: Documents, filter: Mapping[str, Any] | None = None) -> list[bytes]:
    """The `_id`s in the server's order."""
    collection = db.get_collection("c", codec_options=DEFAULT_RAW_BSON_OPTIONS)
    return [found.raw for found in collection.find(filter or {}, {"_id": 1}).sort("_id", 1)]


def times(db: Documents, filter: Mapping[str, Any] | None = None) -> dict[Any, int]:
    """How many documents there are by the value of `n`."""
    stages: list[dict[str, Any]] = [
        {"$match": filter or {}},
        {"$group": {"_id": "$n", "count": {"$sum": 1}}},
    ]
    return {row["_id"]: row["count"] for row in db["c"].aggregate(stages)}


def apply(cli: Cli, *operations: Any) -> list[dict[str, Any]]:
    """Applies a migration of these operations and returns their reports."""
    write_migration(cli.directory, 1, operations)
    result = cli("apply", "--json")
    assert result.code == 0, result.stdout + result.stderr
    reports: list[dict[str, Any]] = as_json(result.stdout)["migrations"][0]["operations"]
    assert [report["outcome"] for report in reports] == ["done"] * len(operations)
    return reports


@pytest.mark.parametrize("kind", COLLATIONS)
def test_ids_of_every_type_are_each_changed_once(db: Documents, cli: Cli, kind: str) -> None:
    require(db, COLLATIONS[kind])
    db.create_collection("c", **COLLATIONS[kind])
    ids = ids_of_every_type()
    db["c"].insert_many({"_id": it, "n": 0, "odd": at % 2} for at, it in enumerate(ids))
    kept = raw_ids(db, {"odd": 0})
    everything, odd = apply(cli, update("c", {}, ONCE), delete("c", {"odd": 1}))
    assert everything["matched"] == everything["modified"] == len(ids)
    assert everything["chunks"] >= 2
    assert odd["deleted"] == len(ids) - len(kept)
    assert times(db) == {1: len(kept)}
    assert raw_ids(db) == kept


@pytest.mark.parametrize("kind", COLLATIONS)
def test_a_few_ids_of_every_type_among_many(db: Documents, cli: Cli, kind: str) -> None:
    require(db, COLLATIONS[kind])
    db.create_collection("c", **COLLATIONS[kind])
    few = ids_of_every_type(2)
    db["c"].insert_many({"_id": it, "n": 0, "pick": True} for it in few)
    db["c"].insert_many(
        {"_id": f"other {at}", "n": 0, "pick": False} for at in range(30 * len(few))
    )
    updated, deleted = apply(cli, update("c", {"pick": True}, ONCE), delete("c", {"n": 1}))
    assert updated["modified"] == deleted["deleted"] == len(few)
    assert times(db) == {0: 30 * len(few)}


@pytest.mark.parametrize("only", [float("nan"), MinKey(), MaxKey(), None, {}, "", Binary(b"")])
def test_a_single_document_of_a_peculiar_id(db: Documents, cli: Cli, only: Any) -> None:
    db["c"].insert_one({"_id": only, "n": 0})
    updated, deleted = apply(cli, update("c", {}, ONCE), delete("c", {"n": 1}))
    assert (updated["modified"], deleted["deleted"]) == (1, 1)
    assert times(db) == {}


@pytest.mark.parametrize("kind", ["plain", "clustered", "numeric_ordering"])
def test_a_live_writer_s_transactions_shrink_the_chunks_to_one_document(
    db: Documents, cli: Cli, kind: str
) -> None:
    """Before each held document the run stands until it is let go, down to chunks of one."""
    require(db, COLLATIONS[kind])
    db.create_collection("c", **COLLATIONS[kind])
    db["c"].insert_many({"_id": it, "n": 0, "live": 0} for it in ids_of_every_type(20))
    order = raw_ids(db)
    # Spread over all types; before each of them stands one that is not held.
    held = list(range(20, len(order), 45))
    migration = write_migration(cli.directory, 1, [update("c", {}, ONCE)])
    with ExitStack() as transactions:
        holders = [
            transactions.enter_context(held_document(db, bson.decode(order[at])["_id"]))
            for at in held
        ]
        process = cli.start("apply", "--json")
        for at, let_go in zip(held, holders, strict=True):
            until(partial(stands_at, db, migration, order[at - 1]), f"it stands before {at}", 30)
            assert process.poll() is None
            let_go()
        code, stdout, stderr = finish(process)
    assert code == 0, stdout + stderr
    (report,) = as_json(stdout)["migrations"][0]["operations"]
    assert report["conflicts"] >= len(held)
    assert report["modified"] == len(order)
    assert times(db) == {1: len(order)}
    assert db["c"].count_documents({"live": 1}) == len(held)


@contextmanager
def held_document(db: Documents, identifier: Any) -> Iterator[Callable[[], None]]:
    """A document that another client's open transaction has changed; yields what commits it."""
    with db.client.start_session() as session:
        session.start_transaction()
        db["c"].update_one({"_id": identifier}, {"$set": {"live": 1}}, session=session)
        yield session.commit_transaction


def stands_at(db: Documents, migration: str, identifier: bytes) -> bool:
    """Whether the run has done everything up to this `_id`, and nothing more."""
    raw: CodecOptions[RawBSONDocument] = CodecOptions(document_class=RawBSONDocument)
    migrations = db.client.get_database(db.name, codec_options=raw)["migrations"]
    found = migrations.find_one(
        {"_id": migration, "progress.position.after": {"$exists": True}},
        {"_id": "$progress.position.after._id"},
    )
    return found is not None and bson.encode(found) == identifier


@pytest.mark.parametrize("indexed", [False, True])
def test_a_sparse_filter(db: Documents, cli: Cli, indexed: bool) -> None:
    db["c"].insert_many({"_id": at, "n": 0, "rare": at % 100 == 7} for at in range(60_000))
    if indexed:
        db["c"].create_index("rare")
    updated, deleted = apply(cli, update("c", {"rare": True}, ONCE), delete("c", {"n": 1}))
    assert updated["modified"] == deleted["deleted"] == 600
    assert times(db) == {0: 59_400}


@pytest.mark.parametrize("rare", [False, True])
@pytest.mark.parametrize("indexed", [False, True])
def test_an_update_whose_result_matches_again(
    db: Documents, cli: Cli, indexed: bool, rare: bool
) -> None:
    """Who walked an index on what is raised would meet each changed document again."""
    low = 100 if rare else 1
    db["c"].insert_many({"_id": at, "n": 0 if at % low == 0 else -1} for at in range(20_000))
    if indexed:
        db["c"].create_index("n")
    (report,) = apply(cli, update("c", {"n": {"$gte": 0}}, ONCE))
    assert report["modified"] == 20_000 // low
    assert times(db, {"n": {"$gte": 0}}) == {1: 20_000 // low}


class Application(threading.Thread):
    """Another program: makes documents match and unmatch, and adds new ones at the end."""

    def __init__(self, db: Documents, total: int) -> None:
        super().__init__()
        self.db, self.total = db, total
        self.done = threading.Event()
        self.writes: Counter[str] = Counter()
        self.added: list[int] = []
        self.error: BaseException | None = None

    def run(self) -> None:
        try:
            for turn in count():
                if self.done.is_set():
                    return
                self.write(turn)
        except BaseException as error:  # for the test to raise
            self.error = error

    def write(self, turn: int) -> None:
        # Documents whose `_id` divides by 5 are the application's; the others are left alone.
        # Each twice in a row, so that there is as much of the one as of the other.
        at = turn // 2 * 7_919 % self.total // 5 * 5
        other = {"$cond": [{"$eq": ["$state", "open"]}, "closed", "open"]}
        found = self.db["c"].find_one_and_update(
            {"_id": at}, [{"$set": {"state": other}}], return_document=ReturnDocument.AFTER
        )
        self.writes[found["state"] if found else "none"] += 1
        if turn % 10 == 0:
            new = self.total + turn
            self.db["c"].insert_one({"_id": new, "n": 0, "state": "open"})
            self.added.append(new)


@pytest.mark.parametrize("share", [1, 40])
def test_another_writer_makes_documents_match_and_unmatch(
    db: Documents, cli: Cli, share: int
) -> None:
    total = 60_000
    states = ["open" if at % share == 0 else "closed" for at in range(total)]
    db["c"].insert_many({"_id": at, "n": 0, "state": states[at]} for at in range(total))
    migration = write_migration(cli.directory, 1, [update("c", {"state": "open"}, ONCE)])
    application = Application(db, total)
    process = start_holding(db, lambda: cli.start("apply", "--json"))
    until(lambda: "position" in record_of(db, migration).get("progress", {}), "the bound is fixed")
    application.start()
    code, stdout, stderr = finish(process)
    application.done.set()
    application.join()
    assert application.error is None
    assert code == 0, stdout + stderr
    (report,) = as_json(stdout)["migrations"][0]["operations"]
    assert min(application.writes["open"], application.writes["closed"]) > 5, application.writes
    assert application.added
    left_alone = {"_id": {"$lt": total, "$not": {"$mod": [5, 0]}}}
    expected = Counter(1 if states[at] == "open" else 0 for at in range(total) if at % 5)
    assert times(db, left_alone) == expected
    others = times(db, {"_id": {"$lt": total, "$mod": [5, 0]}})
    assert set(others) <= {0, 1}, "never twice"
    assert times(db, {"_id": {"$gte": total}}) == {0: len(application.added)}
    assert report["modified"] == expected[1] + others.get(1, 0)


def test_documents_as_large_as_they_can_be(db: Documents, cli: Cli) -> None:
    size = 16 * 1024 * 1024
    empty = {"_id": 0, "n": 0, "pad": b""}
    pad = b"\x55" * (size - len(bson.encode(empty)))
    assert len(bson.encode({**empty, "pad": pad})) == size
    for at in range(5):
        db["c"].insert_one({"_id": at, "n": 0, "pad": pad})
    updated, deleted = apply(cli, update("c", {}, ONCE), delete("c", {"_id": {"$gte": 3}}))
    assert (updated["modified"], deleted["deleted"]) == (5, 2)
    assert times(db) == {1: 3}


def test_a_document_that_would_grow_too_large_fails_the_operation(db: Documents, cli: Cli) -> None:
    db["c"].insert_many({"_id": at, "n": 0} for at in range(3_000))
    db["c"].insert_one({"_id": 2_500.5, "n": 0, "pad": b"\x55" * (15 * 1024 * 1024)})
    growth = {"$inc": {"n": 1}, "$set": {"more": "x" * (2 * 1024 * 1024)}}
    migration = write_migration(
        cli.directory, 1, [update("c", {"_id": {"$gte": 2_490, "$lt": 2_510}}, growth)]
    )
    result = cli("apply")
    assert result.code == 1
    assert "operation 1 of 1" in result.stdout + result.stderr
    record = record_of(db, migration)
    assert record["status"] == "failed"
    (operation,) = record["progress"]["operations"]
    # What the ledger says is what stands.
    assert times(db, {"n": 1}).get(1, 0) == operation["modified"]
    db["c"].delete_one({"_id": 2_500.5})
    assert cli("apply").code == 0
    assert times(db) == {0: 2_980, 1: 20}


def test_documents_that_grow_beyond_what_a_transaction_holds(db: Documents, cli: Cli) -> None:
    """The server refuses a transaction that does not fit into its cache (388): smaller ones do."""
    db["c"].insert_many({"_id": at, "n": 0} for at in range(350))
    growth = {"$inc": {"n": 1}, "$set": {"more": "x" * (3 * 1024 * 1024 // 2)}}
    (report,) = apply(cli, update("c", {}, growth))
    assert report["modified"] == 350
    assert report["chunks"] > 1
    assert times(db) == {1: 350}


def element(kind: int, name: bytes, value: bytes) -> bytes:
    return bytes([kind]) + name + b"\0" + value


def document(*elements: bytes) -> bytes:
    body = b"".join(elements) + b"\0"
    return (len(body) + 4).to_bytes(4, "little") + body


def string(value: bytes) -> bytes:
    return (len(value) + 1).to_bytes(4, "little") + value + b"\0"


def number(value: int) -> bytes:
    return value.to_bytes(4, "little", signed=True)


STRANGE: dict[str, tuple[int, Callable[[int], bytes]]] = {
    "duplicate_keys": (
        3,
        lambda at: document(element(16, b"a", number(at)), element(16, b"a", number(-at))),
    ),
    "text_that_is_no_utf8": (2, lambda at: string(b"\xff\xfe%d" % at)),
    "text_within_that_is_no_utf8": (
        3,
        lambda at: document(element(2, b"a", string(b"\xc3%d" % at))),
    ),
    "key_that_is_no_utf8": (3, lambda at: document(element(16, b"\xff", number(at)))),
    "symbol": (14, lambda at: string(b"%d" % at)),
    "pointer": (12, lambda at: string(b"c") + at.to_bytes(12, "big")),
    "old_binary": (5, lambda at: number(6) + b"\x02" + number(2) + at.to_bytes(2, "big")),
}


@pytest.mark.parametrize("rare", [False, True])
@pytest.mark.parametrize("name", STRANGE)
def test_ids_that_only_bytes_can_hold(db: Documents, cli: Cli, name: str, rare: bool) -> None:
    kind, value = STRANGE[name]
    many = 100 if rare else 2_500
    strange = [
        RawBSONDocument(
            document(
                element(kind, b"_id", value(at)),
                element(16, b"n", number(0)),
                element(8, b"s", b"\1"),
            )
        )
        for at in range(1, many + 1)
    ]
    raw = db.get_collection("c", codec_options=DEFAULT_RAW_BSON_OPTIONS)
    raw.insert_many(strange)
    others = 40 * many if rare else 100
    db["c"].insert_many({"_id": at, "n": 0, "s": False} for at in range(others))
    updated, deleted = apply(cli, update("c", {"s": True}, ONCE), delete("c", {"n": 1}))
    assert (updated["modified"], deleted["deleted"]) == (many, many)
    assert times(db) == {0: others}


def test_an_operation_begun_before_the_collection_has_documents(db: Documents, cli: Cli) -> None:
    db.create_collection("c")
    updated, deleted = apply(cli, update("c", {}, ONCE), delete("nowhere", {}))
    assert (updated["modified"], deleted["deleted"]) == (0, 0)
    assert "nowhere" not in db.list_collection_names(), "nothing is created unasked"
