"""`python -m edulearn_migrate.local`: a server for one command, or until Ctrl-C."""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
from types import FrameType

from edulearn_migrate.cli.output import warn

from . import LocalServer, LocalServerError, find_mongod

_DESCRIPTION = """\
Runs a private MongoDB server on 127.0.0.1. With a COMMAND: runs it with EDULEARN_TEST_URI and
MONGO_URI naming the server and EDULEARN_MONGOD its program, and exits with its code. Without one:
prints the server's URI and runs until Ctrl-C."""


def main() -> int:
    """Returns the exit code: the command's (128 + N after signal N), or 1 if no server started."""
    parser = argparse.ArgumentParser(
        prog="python -m edulearn_migrate.local", description=_DESCRIPTION, allow_abbrev=False
    )
    parser.add_argument("--dir", help="keep the data here (default: a temporary directory)")
    parser.add_argument("--port", type=int, help="the port (default: a free one)")
    parser.add_argument("--standalone", action="store_true", help="no replica set")
    parser.add_argument("command", nargs="*", metavar="COMMAND", help="after --")
    options = parser.parse_args()
    server = LocalServer(
        options.dir, port=options.port, replica_set=None if options.standalone else "rs0"
    )
    # Until the command runs, and when there is none, being told to stop is an orderly end.
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _stop)
    try:
        with server:
            return _run(options.command, server.uri) if options.command else _serve(server)
    except LocalServerError as error:
        warn(f"✗ Error: {error}")
        return 1
    except KeyboardInterrupt:
        return 130


def _stop(number: int, _: FrameType | None) -> None:
    sys.exit(128 + number)


def _serve(server: LocalServer) -> int:
    try:
        print(server.uri, flush=True)
        server.wait()
    except KeyboardInterrupt:
        return 0
    return 1


def _run(command: list[str], uri: str) -> int:
    environment = {**os.environ, "EDULEARN_TEST_URI": uri, "MONGO_URI": uri}
    # A command that starts further servers starts the same, also where it is another environment's.
    environment["EDULEARN_MONGOD"] = str(find_mongod())
    # Ctrl-C reaches the command from the terminal itself; it decides what becomes of it.
    # (A handler, not SIG_IGN, which the command would inherit.)
    signal.signal(signal.SIGINT, lambda *_: None)
    try:
        process = subprocess.Popen(command, env=environment)
    except OSError as error:
        warn(f"✗ Error: {command[0]}: {error.strerror}")
        return 127
    try:
        for number in (signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, lambda sent, _: process.send_signal(sent))
        code = process.wait()
    finally:
        if process.poll() is None:
            process.terminate()
            process.wait()
    return code if code >= 0 else 128 - code


if __name__ == "__main__":
    sys.exit(main())
