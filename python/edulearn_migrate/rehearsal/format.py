"""What differs, in words: for the command line and for the message of a failed test."""

from __future__ import annotations

from edulearn_migrate.plural import counted

TYPE_CHECKING = False  # typing.TYPE_CHECKING, without the import of typing

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import Any

    Part = Mapping[str, Any]

_NOUNS = {"view": "view", "timeseries": "time-series collection"}


def differences(comparison: Part) -> list[str]:
    """A line for each thing that did not come back, the collection first."""
    return [
        f"{each['collection']}: {line}"
        for each in comparison["collections"]
        for line in _collection(each)
    ]


def remarks(comparison: Part) -> list[str]:
    """A line for each collection whose documents came back with their fields in another order."""
    return [
        f"{each['collection']}: {_reordered(each['documents'])}"
        for each in comparison["collections"]
        if each["documents"]["reordered"]
    ]


def _collection(found: Part) -> Iterator[str]:
    noun = _NOUNS.get(found["kind"], "collection")
    documents = found["documents"]
    if found["standing"] != "stands":
        missing = found["standing"] == "missing"
        count = documents["missing" if missing else "added"]
        held = f", with {counted(count, 'document')}" if noun != "view" else ""
        yield f"the {noun} is missing{held}" if missing else f"a {noun} that was not there{held}"
        return
    for option in found["options"]:
        was, now = _value(option["before"]), _value(option["after"])
        yield f"the option {option['option']} was {was}, is {now}"
    yield from map(_index, found["indexes"])
    yield from _documents(documents)
    if found["reordered"]:
        yield "the same documents, but in another order than they were inserted in"


def _index(index: Part) -> str:
    if index["standing"] == "missing":
        return f"the index {index['index']} is missing ({index['before']})"
    if index["standing"] == "added":
        return f"an index {index['index']} that was not there ({index['after']})"
    return f"the index {index['index']} was {index['before']}, is {index['after']}"


def _documents(found: Part) -> Iterator[str]:
    if found["missing"]:
        examples = _ids(found["missing_examples"])
        yield f"{counted(found['missing'], 'document')} missing{examples}"
    if found["added"]:
        examples = _ids(found["added_examples"])
        count = counted(found["added"], "document")
        yield f"{count} that {_was(found['added'])} not there{examples}"
    for field in found["fields"]:
        yield from _field(field)
    if found["elsewhere"]:
        yield f"{counted(found['elsewhere'], 'document')} changed in further fields"
    if found["reordered"]:
        yield _reordered(found)


def _reordered(found: Part) -> str:
    count, examples = counted(found["reordered"], "document"), _ids(found["reordered_examples"])
    return f"{count} with the same fields in another order{examples}"


def _field(field: Part) -> Iterator[str]:
    lost, gained = field["lost"], field["gained"]
    other = field["documents"] - lost - gained
    told = [
        f"{counted(number, 'document')} {what}"
        for number, what in (
            (lost, "lost it"),
            (gained, "had none before"),
            (other, "had another value"),
        )
        if number
    ]
    yield f"field {field['field']}: {', '.join(told)}"
    for each in field["examples"]:
        was, now = _value(each["before"]), _value(each["after"])
        yield f"  field {field['field']} of _id {each['id']}: was {was}, is {now}"


def _was(number: int) -> str:
    return "was" if number == 1 else "were"


def _value(text: str | None) -> str:
    return "absent" if text is None else text


def _ids(examples: list[str]) -> str:
    return f" (as _id {', '.join(examples)})" if examples else ""
