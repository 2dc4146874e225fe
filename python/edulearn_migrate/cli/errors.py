"""What goes wrong in the command line itself. The text of each is a sentence for the user."""

from __future__ import annotations


class CommandError(Exception):
    """The command cannot be done."""


class UsageError(CommandError):
    """Wrong arguments, or a setting that cannot be used."""


class NoCommandError(CommandError):
    """No command was given. Not wrong usage: without --json it prints the help."""


class NotYetError(CommandError):
    """A documented command or option that this version does not have."""

    def __init__(self, what: str) -> None:
        super().__init__(
            f"This version of edulearn_migrate cannot do `{what}` yet; nothing was changed."
        )


class Terminated(BaseException):
    """Raised by the handler of SIGTERM and SIGHUP. Like KeyboardInterrupt, no `Exception`."""
