"""What goes wrong in the command line itself. The text of each is a sentence for the user."""

from __future__ import annotations

TYPE_CHECKING = False  # typing.TYPE_CHECKING, without the import of typing

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any


class CommandError(Exception):
    """The command cannot be done."""


class UsageError(CommandError):
    """Wrong arguments, or a setting that cannot be used."""


class NoCommandError(CommandError):
    """No command was given. Not wrong usage: without --json it prints the help."""


class Terminated(BaseException):
    """Raised by the handler of SIGTERM and SIGHUP. Like KeyboardInterrupt, no `Exception`."""


def report_of(error: BaseException, *keys: str) -> Mapping[str, Any] | None:
    """What was done before a failure: its report, or that of what the engine gives as its cause.

    The latter for what a signal handler raised. `keys` tell the report of the verb from others.
    """
    for each in (error, error.__cause__):
        report: Mapping[str, Any] | None = getattr(each, "report", None)
        if report is not None and all(key in report for key in keys):
            return report
    return None
