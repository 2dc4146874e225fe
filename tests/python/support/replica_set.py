"""Three servers in one replica set: they step down, die, stop and come back."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import pymongo
from pymongo.errors import AutoReconnect

from edulearn_migrate.local import LocalServer
from harness import TEST_COMMANDS, Client, until


class ReplicaSet:
    """Three servers in one set, which elect a new primary within a few seconds."""

    def __init__(self, directory: Path) -> None:
        self._stack = ExitStack()
        self._directory = directory
        self._servers: dict[int, LocalServer] = {}
        for number in range(3):
            self._start(number)
        members = [
            {"_id": number, "host": self.host(number)} for number in range(len(self._servers))
        ]
        settings = {"electionTimeoutMillis": 2_000, "heartbeatIntervalMillis": 500}
        configuration = {"_id": "rs0", "members": members, "settings": settings}
        with self.direct(0) as first:
            first.admin.command("replSetInitiate", configuration)
        hosts = ",".join(self.host(number) for number in self._servers)
        self.uri = f"mongodb://{hosts}/?replicaSet=rs0"
        self.client: Client = pymongo.MongoClient(self.uri, tz_aware=True, heartbeatFrequencyMS=500)
        self._stack.callback(self.client.close)
        until(self.complete, "a primary")

    def complete(self) -> bool:
        """Whether there are a primary and two secondaries."""
        return self.client.primary is not None and len(self.client.secondaries) == 2

    def host(self, number: int) -> str:
        return f"127.0.0.1:{self._servers[number].port}"

    def direct(self, number: int) -> Client:
        """A client of that one server."""
        return pymongo.MongoClient(self.host(number), directConnection=True, tz_aware=True)

    def primary(self) -> int:
        """The number of the server that is the primary; awaited where there is none."""
        until(lambda: self.client.primary, "a primary")
        _, port = self.client.primary or ("", 0)
        return next(number for number, server in self._servers.items() if server.port == port)

    def step_down(self) -> None:
        """Makes another server the primary; what has reached nobody but the old one is lost."""
        before = self.primary()
        with self.direct(before) as client, suppress(AutoReconnect):
            at_once = {"force": True, "secondaryCatchUpPeriodSecs": 0}
            client.admin.command({"replSetStepDown": 5, **at_once})
        until(lambda: self.client.primary and self.primary() != before, "another primary")

    def kill(self, number: int) -> None:
        """Kills the server, as a loss of power would."""
        os.kill(self._servers[number].pid, signal.SIGKILL)

    def secondaries(self) -> list[int]:
        """The numbers of the others."""
        primary = self.primary()
        return [number for number in self._servers if number != primary]

    @contextmanager
    def stopped(self, *numbers: int) -> Iterator[None]:
        """These servers do nothing (SIGSTOP) while the block runs; then there is a primary again.

        Their connections stay open, as those of a machine that hangs do.
        """
        try:
            for number in numbers:
                os.kill(self._servers[number].pid, signal.SIGSTOP)
            yield
        finally:
            for number in numbers:
                os.kill(self._servers[number].pid, signal.SIGCONT)
        until(self.complete, "all are back")

    def restart(self, number: int) -> None:
        """Starts a server that was killed, with what it had on its disk."""
        port = self._servers[number].port
        self._servers[number].stop()
        self._start(number, port)
        until(self.complete, "all are back")

    def copy_anew(self, number: int) -> None:
        """Starts a server without any data, which copies all that the others have."""
        port = self._servers[number].port
        self._servers[number].stop()
        shutil.rmtree(self._directory / str(number))
        self._start(number, port)
        until(self.complete, "all are back")

    def _start(self, number: int, port: int | None = None) -> None:
        directory = self._directory / str(number)
        arguments = [*TEST_COMMANDS, "--oplogSize", "512"]
        server = LocalServer(directory, port=port, extra_args=arguments, initiate=False)
        self._servers[number] = server.start()
        self._stack.callback(server.stop)

    def close(self) -> None:
        self._stack.close()
