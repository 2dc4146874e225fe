"""The three-way rule of `assessment-rollback` in plain Python, on decoded documents."""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from typing import Any

from assessment_documents import put
from assessment_model import ABSENT, ROW, Document, at_path, equal


def undo(before: Any, migrated: Any, current: Any) -> Any:
    """What a value becomes that was, that the migration wrote, and that stands now.

    Still as written it goes back; changed since it stays; embedded documents key by key.
    """
    if equal(before, migrated):
        return current
    if equal(migrated, current):
        return before
    if isinstance(migrated, dict) and isinstance(current, dict):
        old = {} if before is ABSENT else before
        if isinstance(old, dict):
            keys = {**old, **migrated, **current}
            made = {
                key: undo(*(each.get(key, ABSENT) for each in (old, migrated, current)))
                for key in keys
            }
            made = {key: value for key, value in made.items() if value is not ABSENT}
            return made if made or before is not ABSENT else ABSENT
    return current


def edits(base: Any, edited: Mapping[str, Any], path: str = "") -> dict[str, Any]:
    """What differs and to what it was set, by path; embedded documents key by key."""
    found: dict[str, Any] = {}
    for name in {**base, **edited}:
        one, other = base.get(name, ABSENT), edited.get(name, ABSENT)
        if equal(one, other):
            continue
        old = {} if one is ABSENT else one
        if isinstance(old, dict) and isinstance(other, dict) and other:
            found.update(edits(old, other, f"{path}{name}."))
        else:
            found[path + name] = other
    return found


def carry_back(
    teacher: Mapping[str, Any],
    copy: Mapping[str, Any],
    edited_teacher: Document,
    edited_copy: Mapping[str, Any],
    sources: Mapping[str, str | None],
) -> tuple[Document, int]:
    """The teacher document with the copy's edits, and how many the teacher's own value outdid.

    Names with a dot in them, other than of keys inside embedded documents, are not for this.
    """
    made = deepcopy(edited_teacher)
    conflicts = 0
    for path, value in edits(copy, edited_copy).items():
        # A field that came from nowhere is the teacher document's own from now on.
        target = (sources[path] if path in ROW else None) or path
        if value is ABSENT and at_path(teacher, target) is ABSENT:
            # A default that somebody took away was never the teacher document's.
            continue
        if _barred(edited_teacher, target):
            conflicts += value is not ABSENT
        elif not equal(at_path(teacher, target), at_path(edited_teacher, target)):
            conflicts += not equal(at_path(edited_teacher, target), value)
        elif value is ABSENT:
            _remove(made, target)
        else:
            put(made, target, value)
    return made, conflicts


def _barred(document: Document, path: str) -> bool:
    """Whether a value other than a document stands where the path goes through."""
    *outer, _ = path.split(".")
    prefixes = (".".join(outer[: at + 1]) for at in range(len(outer)))
    found = (at_path(document, each) for each in prefixes)
    return any(each is not ABSENT and not isinstance(each, dict) for each in found)


def _remove(document: Document, path: str) -> None:
    inner: Any = document
    *outer, last = path.split(".")
    for name in outer:
        inner = inner.get(name, {})
        if not isinstance(inner, dict):
            return
    inner.pop(last, None)
