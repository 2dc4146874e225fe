"""Whether a mongod that is starting can be written to, and making it a replica set."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from edulearn_migrate._native import local_command

from .errors import LocalServerError

# Server error codes.
_UNAUTHORIZED = 13
_ALREADY_INITIALIZED = 23
_NOT_YET = (94, 109, 11600, 11602, 13435)  # configuration or state is still being settled


class NotYet(Exception):  # noqa: N818 - no error: the next look may find it ready
    """What the server is waiting for."""


class Readiness:
    """Looks at one mongod.

    Args:
        port: its port on 127.0.0.1.
        pid: its process.
        replica_set: what the set is to be named; None for a standalone server.
        log: the file that has what it prints.
    """

    def __init__(self, port: int, pid: int, replica_set: str | None, log: Path) -> None:
        self._port = port
        self._pid = pid
        self._replica_set = replica_set
        self._log = log
        self._ours = False

    def look(self, *, initiate: bool) -> bool:
        """Whether it can be written to, or without `initiate` whether it answers.

        With `initiate` the replica set is given its configuration where it has none for this port.
        Raises `NotYet` for what the next look may find otherwise, `ServerUnavailableError` where
        nothing answers, and `LocalServerError`.
        """
        # Who lost the race for a port must not take the winner's server for its own.
        self._ours = self._ours or self._is_ours()
        if not self._ours:
            return False
        if not initiate:
            return True
        hello = self._command({"hello": 1})
        # Set while it has no configuration, or has one of an earlier run on another port.
        if hello.get("isreplicaset") is True:
            self._initiate()
        return hello.get("isWritablePrimary") is True

    def _is_ours(self) -> bool:
        left_out = ("metrics", "wiredTiger", "repl", "locks", "tcmalloc", "transactions")
        command = {"serverStatus": 1, **dict.fromkeys((*left_out, "indexStats"), 0)}
        reply = self._command(command, _UNAUTHORIZED)
        if "code" not in reply:
            return bool(reply.get("pid") == self._pid)
        # With --auth it tells a stranger nothing, but its own log says whether it has the port.
        return "Waiting for connections" in self._log.read_text(errors="replace")

    def _initiate(self) -> None:
        configuration = {
            "_id": self._replica_set or "",
            "version": 1,
            "protocolVersion": 1,
            "members": [{"_id": 0, "host": f"127.0.0.1:{self._port}"}],
        }
        reply = self._command({"replSetInitiate": configuration}, _ALREADY_INITIALIZED)
        if "code" in reply:
            self._command({"replSetReconfig": configuration, "force": True})

    def _command(self, command: dict[str, Any], *expected: int) -> dict[str, Any]:
        """The reply, also that of a refusal whose code is `expected`."""
        reply = local_command(self._port, json.dumps(command))
        code = reply.get("code")
        if code is None or code in expected:
            return reply
        if code in _NOT_YET:
            raise NotYet(reply["errmsg"])
        raise LocalServerError(
            f"The local server could not be made a replica set: {reply['errmsg']}."
        )
