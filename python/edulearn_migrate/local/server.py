"""A private mongod for a first look, for tests and for rehearsals."""

from __future__ import annotations

import contextlib
import json
import os
import re
import select
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from edulearn_migrate._native import ServerUnavailableError

from . import supervisor
from .binary import find_mongod
from .directory import Directory
from .errors import LocalServerError
from .failure import explanation
from .ports import free_port, is_free
from .readiness import NotYet, Readiness

# Seconds: for the server to become writable, and between SIGTERM and SIGKILL.
_START = 90.0
_GRACE = 20.0
# How often another port is tried when somebody took the one chosen before mongod could.
_ATTEMPTS = 10
# mongod's exit codes (src/mongo/util/exit_code.h).
_EXIT_PORT_TAKEN = 48


class LocalServer:
    """Runs a mongod on 127.0.0.1 that ends with the program, however the program ends.

    A context manager; usable from asynchronous code as it is, since only starting and stopping
    block, for about a second each.

        with LocalServer() as server:
            client = pymongo.MongoClient(server.uri)

    Args:
        directory: keeps the data between runs; None for a temporary one that is removed at the end.
        port: the port on 127.0.0.1; None for a free one, a named directory's last one if possible.
        extra_args: further arguments of mongod's command line.
        replica_set: the set's name, or None for a standalone server.
        initiate: False leaves the replica set without a configuration, for a test that makes a set
            of several servers; `start` then waits only until the server answers.
        memory: whether a temporary directory may be in memory, where the machine has plenty; False
            for data whose size nobody knows.
    """

    def __init__(
        self,
        directory: str | os.PathLike[str] | None = None,
        *,
        port: int | None = None,
        extra_args: Sequence[str] = (),
        replica_set: str | None = "rs0",
        initiate: bool = True,
        memory: bool = True,
    ) -> None:
        self._path = directory
        self._wanted_port = port
        self._extra_args = list(extra_args)
        self._replica_set = replica_set
        self._initiate = initiate
        self._memory = memory
        self._port: int | None = None
        self._pid: int | None = None
        self._creator = os.getpid()
        self._directory: Directory | None = None
        self._supervisor: subprocess.Popen[bytes] | None = None
        self._said = b""

    @property
    def port(self) -> int:
        """The port on 127.0.0.1."""
        if self._port is None:
            raise LocalServerError("The local server has not been started.")
        return self._port

    @property
    def pid(self) -> int:
        """The process id of mongod."""
        if self._pid is None:
            raise LocalServerError("The local server has not been started.")
        return self._pid

    @property
    def directory(self) -> Path:
        """Where the data is; a temporary one is removed however the program ends."""
        if self._directory is None:
            raise LocalServerError("The local server has not been started.")
        return self._directory.path

    @property
    def uri(self) -> str:
        """The connection string."""
        option = f"?replicaSet={self._replica_set}" if self._replica_set else ""
        return f"mongodb://127.0.0.1:{self.port}/{option}"

    def __enter__(self) -> LocalServer:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> LocalServer:
        """Starts the server and returns when it can be written to.

        Raises:
            LocalServerError: there is no mongod, the directory is in use, or mongod did not start.
        """
        if os.name != "posix":
            raise LocalServerError("A local server needs Linux or macOS: name a server's URI.")
        if self._supervisor is not None:
            raise LocalServerError("The local server has been started already.")
        mongod = find_mongod()
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                code = self._launch(mongod, first=attempt == 1)
                if code is None:
                    return self
                retry = code == _EXIT_PORT_TAKEN and self._wanted_port is None
                if not retry or attempt == _ATTEMPTS:
                    raise self._failure(mongod, code)
            except BaseException:
                self.stop()
                raise
            self.stop()
        raise AssertionError("unreachable")

    def stop(self) -> None:
        """Stops the server and returns when it has ended; does nothing when none runs.

        In a process forked from the one that started it this does nothing either.
        """
        if self._creator != os.getpid():
            return
        process, self._supervisor = self._supervisor, None
        directory, self._directory = self._directory, None
        self._port = self._pid = None
        if process is not None:
            assert process.stdin is not None and process.stdout is not None
            process.stdin.close()  # what the supervisor waits for
            try:
                process.wait(_GRACE + 10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            process.stdout.close()
        if directory is not None:
            directory.remove()
            directory.release()

    def wait(self) -> None:
        """Blocks while the server runs; `stop` in a signal handler ends it.

        Raises:
            LocalServerError: mongod ended by itself.
        """
        code = self._listen("exit", None)
        raise LocalServerError(f"The local server ended by itself (code {code}).")

    def _launch(self, mongod: Path, *, first: bool) -> int | None:
        """Starts mongod once; returns None when it can be written to, or its code if it ended."""
        directory = self._directory = Directory(self._path, memory=self._memory)
        port = self._port = self._choose_port(directory.last_port() if first else None)
        directory.record(port)
        plan: supervisor.Plan = {
            "command": [str(mongod), *self._arguments(directory, port)],
            "log": str(directory.log),
            "program": os.getpid(),
            "grace": _GRACE,
            "keep": [directory.server_lock],
            "remove": str(directory.path) if directory.temporary else None,
        }
        # Isolated (-I -S): neither the user's site-packages nor this package's own modules can get
        # in the standard library's way. In a session of its own: Ctrl-C in the terminal is for the
        # program.
        self._supervisor = subprocess.Popen(
            [sys.executable, "-I", "-S", supervisor.__file__, json.dumps(plan)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            pass_fds=plan["keep"],
            start_new_session=True,
        )
        self._said = b""
        pid = self._pid = self._listen("pid", _START)
        if pid is None:
            raise LocalServerError(f"{mongod} could not be started.")
        return self._until_ready(directory, port, pid)

    def _choose_port(self, last: int | None) -> int:
        if self._wanted_port is not None:
            if not is_free(self._wanted_port):
                raise self._port_taken()
            return self._wanted_port
        return last if last is not None and is_free(last) else free_port()

    def _port_taken(self) -> LocalServerError:
        return LocalServerError(f"Port {self._wanted_port} is taken: name another one.")

    def _arguments(self, directory: Directory, port: int) -> list[str]:
        arguments = ["--dbpath", str(directory.data), "--port", str(port)]
        # A socket file in /tmp would outlive a killed server.
        arguments += ["--bind_ip", "127.0.0.1", "--nounixsocket"]
        if self._replica_set:
            arguments += ["--replSet", self._replica_set]
            # Stepping down and waiting 15 s for clients to notice helps nobody here.
            arguments += ["--setParameter", "shutdownTimeoutMillisForSignaledShutdown=100"]
        arguments += ["--setParameter", "diagnosticDataCollectionEnabled=false"]
        # Half of the machine's memory is the default, one server per program too many.
        arguments += ["--wiredTigerCacheSizeGB", "0.5" if directory.temporary else "1"]
        if directory.temporary and self._replica_set:
            arguments += ["--oplogSize", "512"]
        return arguments + self._extra_args

    def _until_ready(self, directory: Directory, port: int, pid: int) -> int | None:
        readiness = Readiness(port, pid, self._replica_set, directory.log)
        deadline = time.monotonic() + _START
        problem = "it did not answer"
        while time.monotonic() < deadline:
            try:
                if readiness.look(initiate=self._initiate):
                    return None
            except (ServerUnavailableError, NotYet) as error:
                problem = str(error)
            # Waits for mongod's end, and at most a moment: becoming writable is not announced.
            code = self._listen("exit", 0.02)
            if code is not None:
                return code
        raise LocalServerError(
            f"The local server was not ready after {_START:.0f} seconds: {problem}."
        )

    def _listen(self, word: str, seconds: float | None) -> int | None:
        """The number of the supervisor's line that begins with `word`.

        Returns None when none came within `seconds` or the supervisor ended without one.
        """
        assert self._supervisor is not None and self._supervisor.stdout is not None
        stream = self._supervisor.stdout.fileno()
        deadline = None if seconds is None else time.monotonic() + seconds
        while True:
            found = re.search(rf"^{word} (-?\d+)\n".encode(), self._said, re.MULTILINE)
            if found:
                return int(found[1])
            left = None if deadline is None else max(0.0, deadline - time.monotonic())
            if not select.select([stream], [], [], left)[0]:
                return None
            heard = os.read(stream, 4096)
            if not heard:
                if word == "exit":
                    raise LocalServerError("The local server's supervisor was killed.")
                return None
            self._said += heard

    def _failure(self, mongod: Path, code: int) -> LocalServerError:
        if code == _EXIT_PORT_TAKEN:
            return self._port_taken()
        assert self._directory is not None
        log = ""
        with contextlib.suppress(OSError):
            log = self._directory.log.read_text(errors="replace")
        where = "" if self._directory.temporary else f" Its log is {self._directory.log}."
        return LocalServerError(explanation(str(mongod), code, log) + where)
