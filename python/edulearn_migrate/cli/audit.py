"""The audit log: one JSON line per event of a writing command."""

# pathlib costs a start-up time that shows in every `status`.
# ruff: noqa: PTH120

from __future__ import annotations

import os
from datetime import datetime, timezone

from edulearn_migrate.cli.errors import UsageError
from edulearn_migrate.cli.output import as_json, rfc3339, safe, warn

TYPE_CHECKING = False  # typing.TYPE_CHECKING, without the import of typing

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

DEFAULT_FILE = "/var/log/edulearn/migrations.log"
_MODE = 0o640


class AuditLog:
    """Appends lines with time, run, user, host, database, command, migration, event and message.

    One `write` per line on a descriptor opened for appending, so the lines of several processes
    never mix.
    """

    def __init__(self, named: str | None, *, command: str, database: str) -> None:
        """Open the named file, or the default one where its directory is writable.

        Raises `UsageError` where a named file cannot be written. Directories are never created.
        """
        self._descriptor: int | None = None
        self._run: str | None = None
        self._failed = False
        self._common = {
            "user": _user(),
            "host": os.uname().nodename,
            "database": database,
            "command": command,
        }
        path = named or DEFAULT_FILE
        if named is None and not os.access(os.path.dirname(path), os.W_OK):
            return
        try:
            self._descriptor = _open(path)
        except OSError as error:
            message = f"The audit log {path} cannot be written: {error.strerror}"
            if named is not None:
                raise UsageError(f"{message}; nothing was run.") from None
            warn(f"Warning: {message}.")

    def event(self, data: Mapping[str, Any]) -> None:
        """An event of the engine. Progress is left out: nobody is held to account for it."""
        self._run = data["run"] or self._run
        if data["kind"] != "progress" and data["level"] != "debug":
            self._append(
                rfc3339(data["at"]), data["kind"], data["level"], data["message"], data["migration"]
            )

    def note(self, kind: str, message: str, *, migration: str | None = None) -> None:
        """A line of the command's own: how it was called, how it ended."""
        level = "error" if kind == "command_failed" else "info"
        self._append(rfc3339(datetime.now(timezone.utc)), kind, level, message, migration)

    def close(self) -> None:
        """Close the file. Later events are dropped."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            os.close(descriptor)

    def _append(
        self, time: str, kind: str, level: str, message: str, migration: str | None
    ) -> None:
        if self._descriptor is None:
            return
        record = {
            "time": time,
            "run": self._run,
            **self._common,
            "migration": migration,
            "event": kind,
            "level": level,
            "message": safe(message),
        }
        try:
            os.write(self._descriptor, f"{as_json(record)}\n".encode())
        except OSError as error:
            # In the middle of a run: stopping it now would help nobody.
            if not self._failed:
                self._failed = True
                warn(f"Warning: The audit log cannot be written any more: {error.strerror}.")


def _open(path: str) -> int:
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
    try:
        descriptor = os.open(path, flags | os.O_EXCL, _MODE)
    except FileExistsError:
        return os.open(path, flags, _MODE)
    os.fchmod(descriptor, _MODE)  # whatever the umask
    return descriptor


def _user() -> str:
    import pwd

    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:  # a container's user that is in no list
        return str(os.getuid())
