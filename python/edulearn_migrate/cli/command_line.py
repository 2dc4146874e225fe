"""One command line from its arguments to its exit code. The one place where failures end up."""

from __future__ import annotations

from edulearn_migrate.cli import exits
from edulearn_migrate.cli.errors import CommandError, NoCommandError, Terminated
from edulearn_migrate.cli.output import Output, safe, warn
from edulearn_migrate.cli.signals import Handlers

TYPE_CHECKING = False  # typing.TYPE_CHECKING, without the import of typing

if TYPE_CHECKING:
    from argparse import Namespace
    from typing import Any

LISTING = "\0listing"
"""Where a command puts the array that is its whole JSON document; no report has such a key."""

_MISSING_ENGINE = (
    "The native engine of edulearn_migrate is not built for this Python: "
    "run `make build` in its repository, or install its wheel."
)
_DETAILS = ("migration_id", "operation", "server_code", "file", "owner", "looked_in", "newest")


def run(argv: list[str]) -> int:
    """Run the command and return its exit code, having said what there is to say."""
    # Before the arguments are understood: their errors, too, are a JSON document with --json.
    output = Output(json="--json" in argv, quiet="--quiet" in argv)
    command: str | None = None
    document: dict[str, Any] = {}
    try:
        with Handlers():
            from edulearn_migrate.cli.parser import help_text, parse

            args = parse(argv)
            command = args.command
            if command is None:
                if output.json:
                    raise NoCommandError("No command was given; see `edulearn-migrate --help`.")
                output.text(help_text())
                return exits.FAILED
            code = _run(command, args, output, document)
    except SystemExit as end:  # --help, --version
        return end.code if isinstance(end.code, int) else exits.DONE
    except (Exception, KeyboardInterrupt, Terminated) as error:
        code = exits.code_for(error)
        _say(error, code, output, document)
    if output.json:
        listing = document.pop(LISTING, None)
        if listing is not None and "error" not in document:
            output.document(listing)
        else:
            output.document({"command": command, "ok": code == exits.DONE, **document})
    if output.failure is not None:
        warn(f"Error: standard output cannot be written: {output.failure}.")
        return code or exits.FAILED
    return code


def _run(command: str, args: Namespace, output: Output, document: dict[str, Any]) -> int:
    from edulearn_migrate.cli import commands
    from edulearn_migrate.cli.context import Context

    with Context(command, args, output, document) as context:
        return commands.find(command)(context)


def _say(error: BaseException, code: int, output: Output, document: dict[str, Any]) -> None:
    """The `✗ Error:` line, or the `error` of the JSON document."""
    text = safe(sentence(error))
    # The engine knows the parts of some messages.
    parts = [safe(each) for each in getattr(error, "_parts", None) or [text]]
    output.problem(f"✗ Error: {parts[0]}", parts[1:])
    document["error"] = {"type": type(error).__name__, "message": text, "exit_code": code}
    for name in _DETAILS:
        value = getattr(error, name, None)
        if value is not None and not isinstance(error, OSError):
            document["error"][name] = value


def sentence(error: BaseException) -> str:
    """What happened and what to do, for the person who must act."""
    if isinstance(error, (KeyboardInterrupt, Terminated)):
        # The engine says as the cause where it stopped.
        cause = error.__cause__
        how = "Interrupted" if isinstance(error, KeyboardInterrupt) else f"Ended by {error}"
        if cause is not None:
            return f"{how}. {cause}"
        return f"{how}; what was begun can go on: run the same command again."
    if isinstance(error, ImportError) and "_native" in f"{error.name} {error}":
        return _MISSING_ENGINE
    if isinstance(error, CommandError) or _is_ours(error):
        return str(error)
    if isinstance(error, OSError):
        place = f" ({error.filename})" if error.filename else ""
        return f"{error.strerror or error}{place}."
    return f"Unexpected {type(error).__name__}: {error}"


def _is_ours(error: BaseException) -> bool:
    """Whether the text of an exception is a sentence already."""
    names = {kind.__name__ for kind in type(error).__mro__}
    return bool(names & {"MigrateError", "LocalServerError"})
