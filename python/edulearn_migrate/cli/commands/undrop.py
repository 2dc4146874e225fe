"""`undrop [NAME] [--to NEW]`: lists what was set aside, and brings it back."""

from __future__ import annotations

from edulearn_migrate.cli import exits
from edulearn_migrate.cli.errors import UsageError
from edulearn_migrate.cli.output import rfc3339
from edulearn_migrate.cli.retained import size
from edulearn_migrate.plural import counted

TYPE_CHECKING = False  # typing.TYPE_CHECKING, without the import of typing

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from edulearn_migrate.cli.context import Context

    Entry = Mapping[str, Any]


def run(context: Context) -> int:
    """List, or bring back the one that is named."""
    if context.args.name is not None:
        return _bring_back(context, context.args.name)
    if context.args.to is not None:
        raise UsageError("The option --to needs the NAME of what is to be brought back.")
    return _list(context)


def _list(context: Context) -> int:
    """Reads only, and takes no lock."""
    entries = context.engine().dropped(observer=context.observe).run()
    context.document["dropped"] = entries
    output = context.output
    output.note(f"Target: {context.target()}")
    if not entries:
        output.line("Nothing is set aside")
        return exits.DONE
    output.line("Set aside:")
    for each in entries:
        output.line(f"  - {each['name']}: {_what(each)}, by {_run(each)}{_details(each)}")
    output.table(
        ["NAME", "KIND", "COLLECTION", "INDEX", "DOCUMENTS (ABOUT)", "SIZE", "BY", "AT (UTC)"],
        [
            [
                each["name"],
                each["kind"],
                each["collection"],
                each["index"] or "",
                "" if each["documents"] is None else f"{each['documents']:,}",
                "" if each["bytes"] is None else size(each["bytes"]),
                _run(each).removeprefix("the "),
                f"{each['at']:%Y-%m-%d %H:%M:%S}" if each["at"] else "",
            ]
            for each in entries
        ],
    )
    return exits.DONE


def _bring_back(context: Context, name: str) -> int:
    work = context.writing().undrop(
        name,
        to=context.args.to,
        lock_timeout=context.lock_timeout,
        observer=context.observe,
    )
    report = context.report(work)
    entry, to = report["entry"], report["to"]
    if entry["kind"] == "documents":
        text = f"{counted(report['documents'], 'document')} into {to}"
        if report["standing"]:
            text += f", {_left_out(report['standing'])}: others have the same _id"
        if report["barred"]:
            text += f", {_left_out(report['barred'])}: a unique index does not allow it"
    elif entry["kind"] == "index":
        text = f"index {entry['index']} of {to} (dropped by {_run(entry)})"
    else:
        renamed = "" if to == entry["collection"] else f" as {to}"
        text = f"{_what(entry)}{renamed} (set aside by {_run(entry)})"
    context.output.line(f"✓ Brought back {text}")
    return exits.DONE


def _left_out(number: int) -> str:
    return f"{number:,} {'was' if number == 1 else 'were'} left out"


def _what(entry: Entry) -> str:
    if entry["kind"] == "documents":
        return f"{_about(entry)} of {entry['collection']}"
    if entry["kind"] == "index":
        return f"index {entry['index']} of {entry['collection']}"
    return f"{entry['kind']} {entry['collection']}"


def _about(entry: Entry) -> str:
    """How many documents, as the server keeps count of them: after a crash it may be wrong."""
    return f"about {counted(entry['documents'], 'document')}"


def _run(entry: Entry) -> str:
    """The run that took it away."""
    up = entry["direction"] == "up"
    return str(entry["migration"]) if up else f"the rollback of {entry['migration']}"


def _details(entry: Entry) -> str:
    """How much it is, and since when."""
    said = []
    if entry["documents"] is not None and entry["kind"] != "documents":
        said.append(_about(entry))
    if entry["bytes"] is not None:
        said.append(size(entry["bytes"]))
    if entry["at"]:
        said.append(rfc3339(entry["at"]))
    return f" ({', '.join(said)})" if said else ""
