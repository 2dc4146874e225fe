"""What a database holds, with everything of ours, apart from times and identifiers.

Two runs of the same verb leave the same snapshot, however the work fell into chunks and whoever did
it. Documents of the application are compared byte for byte.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import datetime, timedelta, timezone
from typing import Any

from bson import SON, CodecOptions, DatetimeMS, ObjectId, Timestamp, decode, encode
from bson.codec_options import DatetimeConversion
from bson.raw_bson import RawBSONDocument
from pymongo.database import Database

Documents = Database[dict[str, Any]]
Snapshot = dict[str, Any]

_RAW: CodecOptions[Any] = CodecOptions(document_class=RawBSONDocument)
_ORDERED: CodecOptions[Any] = CodecOptions(
    document_class=SON, tz_aware=True, datetime_conversion=DatetimeConversion.DATETIME_AUTO
)
# The identifiers of runs, of captures and of what `undrop` brings back, and the names of backups.
_HEX = re.compile(r"[0-9a-f]{24}|\b[0-9a-f]{8}(?=-\d+\b)|(?<=edulearn_backup_)\d{8}_\d{6}")
# What is younger was made by the verb; the tests' own documents are of the past.
_RECENT = datetime.now(timezone.utc) - timedelta(days=1)
# Fields of ours that depend on who did it, when, how fast, in how many pieces and attempts.
_VARYING = frozenset(
    {"token", "run", "runs", "pid", "process_start", "boot", "session", "host", "user", "version"}
    | {"duration_ms", "seconds", "chunks", "resumed", "seq", "uuid", "bytes", "nonce"}
    # What a restore drops may have been dropped by one that was cut short.
    | {"owner", "dropped", "backup_path"}
)
# What an operation says that was carried on with, and where nothing is made exactly once.
_NOTED = frozenset({"note", "outcome"})
_COUNTS = frozenset({"matched", "modified", "inserted", "deleted", "upserted", "undone", "mapped"})
# What a run that was cut short leaves in the history, besides what was done in the end.
_CUT_SHORT = frozenset({"failed", "interrupted", "unlocked"})
# What a run notes in the history that it did: less than all where it carried on with another's.
_OPERATIONS = "operations"
_LEASE = "lock"
_FINGERPRINTS = frozenset("fiuvw")
_HISTORY = ("migrations_log", "migrations_history")
_UNDO = ("migrations_undo",)
_PACKS = re.compile(r"undo_<id>$")


def snapshot(db: Documents, *, once: bool = True) -> Snapshot:
    """Every collection's options, indexes and documents.

    Where nothing is made exactly `once`, the counts in the history are left out, and what was
    captured twice counts once.
    """
    taken: Snapshot = {}
    listed = sorted(db.list_collections(), key=lambda entry: str(entry["name"]))
    names = {str(entry["name"]) for entry in listed}
    for entry in listed:
        name = str(entry["name"])
        ours = is_ours(name)
        shown = _HEX.sub("<id>", name) if name.startswith("migrations") else name
        what: dict[str, Any] = {
            "type": entry["type"],
            "options": encode(entry["options"]),
            "indexes": [] if entry["type"] == "view" else _indexes(db, name),
        }
        if entry["type"] != "view":
            documents = db.get_collection(name, codec_options=_RAW if not ours else None).find()
            found = [_as_it_is(document, names) if ours else document for document in documents]
            what["documents"] = _ours(shown, found) if ours else _bytes(found)
            if ours and not once and _PACKS.search(shown):
                # Captured before the write, and again by the attempt that made it.
                what["documents"] = list({repr(each): each for each in what["documents"]}.values())
            if ours and not _PACKS.search(shown):
                what[_OPERATIONS] = _operations(found, _NOTED if once else _NOTED | _COUNTS)
        # Two captures' collections of one kind are told apart by what they hold.
        taken.setdefault(shown, []).append(what)
    for several in taken.values():
        several.sort(key=repr)
    return taken


def is_ours(name: str) -> bool:
    """Whether the collection is one of ours, and not a dropped one that is kept."""
    return name.startswith("migrations") and "_kept_" not in name


def _bytes(documents: Iterable[Any]) -> list[bytes]:
    return sorted(_lasting(document.raw) for document in documents)


def _lasting(document: bytes) -> bytes:
    """The document as it is, but for `_id`s and times that the verb has made."""
    decoded = decode(document, _ORDERED)
    lasting = _without_recent(decoded)
    return document if lasting == decoded else encode(lasting)


def _without_recent(value: Any) -> Any:
    if isinstance(value, dict):
        return SON((name, _without_recent(part)) for name, part in value.items())
    if isinstance(value, list):
        return [_without_recent(part) for part in value]
    if isinstance(value, ObjectId) and value.generation_time > _RECENT:
        return ObjectId(bytes(12))
    if isinstance(value, datetime) and value > _RECENT:
        return datetime(1970, 1, 1, tzinfo=timezone.utc)
    return value


def _indexes(db: Documents, name: str) -> list[bytes]:
    reply = db.command({"listIndexes": name}, codec_options=_RAW)
    return sorted(index.raw for index in reply["cursor"]["firstBatch"])


def _ours(name: str, found: list[dict[str, Any]]) -> list[Any]:
    if _PACKS.search(name):
        return _entries(found)
    if name.endswith(_LEASE):
        # Who held it how often does not matter, but nobody may hold it any more.
        return [{"held": "owner" in document} for document in found]
    exact = {
        document["_id"]["run"] for document in found if document.get("exact") and name in _UNDO
    }
    kept = [
        {part: value for part, value in document.items() if part not in _left_out(document, exact)}
        for document in found
        if document.get("event") not in _CUT_SHORT
    ]
    return sorted((_plain(document) for document in kept), key=repr)


def _as_it_is(document: dict[str, Any], names: set[str]) -> dict[str, Any]:
    """The document without what a run has seen of a collection that was brought back."""
    if document.get("aside", "") in names:
        return document
    return {name: value for name, value in document.items() if name != "expires"}


def _left_out(document: dict[str, Any], exact: set[ObjectId]) -> tuple[str, ...]:
    """Parts of a document of ours that depend on which attempt did it."""
    if document.get("event") == "validated":
        return ("regular", "teacher")  # how many this attempt migrated
    _id = document["_id"]
    if isinstance(_id, dict) and _id.get("run") in exact:
        return (_OPERATIONS, "after")  # noted by the attempt that did it, and nobody asks for it
    return (_OPERATIONS,)


def _operations(found: list[dict[str, Any]], without: frozenset[str]) -> list[Any]:
    kept = [document for document in found if document.get("event") not in _CUT_SHORT]
    return [
        _plain({name: value for name, value in operation.items() if name not in without})
        for document in kept
        for operation in document.get(_OPERATIONS, ())
    ]


def _entries(packs: list[dict[str, Any]]) -> list[Any]:
    """What packs hold, by operation, in the order in which it was captured."""
    packs.sort(key=lambda pack: (pack["_id"]["o"], -pack["_id"]["s"]))
    return [[pack["_id"]["o"], _entry(entry)] for pack in packs for entry in pack["e"]]


def _entry(entry: dict[str, Any]) -> Any:
    plain = _plain(entry)
    if isinstance(entry.get("_id"), ObjectId):
        # The fingerprint is of a document with an `_id` or a time that the run has made.
        plain = {name: value for name, value in plain.items() if name not in _FINGERPRINTS}
    return plain


def _plain(value: Any) -> Any:
    """A value of ours without what differs from run to run."""
    if isinstance(value, dict):
        # Beside a number of chunks, these are the other writers that they met, and not an undo's.
        varying = _VARYING | {"conflicts"} if "chunks" in value else _VARYING
        return {
            _HEX.sub("<id>", name): "<varies>" if name in varying else _plain(part)
            for name, part in value.items()
        }
    if isinstance(value, list):
        return [_plain(part) for part in value]
    if isinstance(value, ObjectId):
        return "<id>"
    if isinstance(value, (datetime, DatetimeMS, Timestamp)):
        return "<time>"
    if isinstance(value, str):
        return _HEX.sub("<id>", value)
    return value


def noted_once(taken: Snapshot) -> Snapshot:
    """The same, with the history of what was done twice as if it had been done once."""
    once = dict(taken)
    for name in _HISTORY:
        for part in once.get(name, ()):
            documents = {repr(each): each for each in part["documents"]}
            once[name] = [{**part, "documents": list(documents.values())}]
    return once


def without_lock(taken: Snapshot) -> Snapshot:
    """The same, whoever holds the lock."""
    return {name: part for name, part in taken.items() if not name.endswith(_LEASE)}


def without_captures(taken: Snapshot) -> Snapshot:
    """The same, whatever is kept for an undo."""
    return {name: part for name, part in taken.items() if not name.startswith("migrations_undo")}


def without_temporary(taken: Snapshot) -> Snapshot:
    """The same, without what a restore builds to put it in its place."""
    return {
        name: part for name, part in taken.items() if not name.startswith("migrations_restore_")
    }


def without_ledger(taken: Snapshot) -> Snapshot:
    """The application's own."""
    return {name: part for name, part in taken.items() if not name.startswith(("migrations", "("))}


def differences(expected: Snapshot, found: Snapshot) -> list[str]:
    """Where two snapshots differ, in words."""
    faults = []
    for name in sorted({*expected, *found}):
        before, after = expected.get(name, []), found.get(name, [])
        if len(before) != len(after):
            faults.append(f"{name}: {len(after)} of it instead of {len(before)}")
        for one, other in zip(before, after, strict=False):
            faults += [
                f"{name}: {part} {_first_difference(one.get(part), other.get(part))}"
                for part in one
                if one.get(part) != other.get(part) and not _carried_on(one, other, part)
            ]
    return faults


def _carried_on(expected: dict[str, Any], found: dict[str, Any], part: str) -> bool:
    return part == _OPERATIONS and all(each in expected[part] for each in found[part])


def _first_difference(expected: Any, found: Any) -> str:
    if isinstance(expected, list) and isinstance(found, list):
        before, after = set(map(repr, expected)), set(map(repr, found))
        missing = [each for each in expected if repr(each) not in after]
        extra = [each for each in found if repr(each) not in before]
        if len(missing) == len(extra) == 1 and isinstance(missing[0], dict):
            one, other = missing[0], extra[0]
            return "; ".join(
                f"{name} is {_short(other.get(name))} instead of {_short(one.get(name))}"
                for name in {**one, **other}
                if one.get(name) != other.get(name)
            )
        return (
            f"{len(found)} instead of {len(expected)};"
            f" missing: {_short(missing[:3])}; too many: {_short(extra[:3])}"
        )
    return f"are {_short(found)} instead of {_short(expected)}"


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) < 700 else f"{text[:700]}…"
