"""The small process between a program and its mongod: no program's death leaves a mongod behind.

Run as a script of its own, with the standard library only. Its standard input is a pipe whose other
end only the program holds: the kernel closes that end however the program dies, SIGKILL included,
and the supervisor then stops mongod. (Linux could tie a child to its parent by itself,
PR_SET_PDEATHSIG, but that means the parent's *thread*, and mongod would be killed when the thread
that started it ends.) Where the kernel has process descriptors the program's own is watched too,
because a forked child of the program may hold a copy of the pipe for longer than the program lives.

The plan comes as JSON in the only argument; see ``Plan``. On standard output it writes one line
``pid N`` when mongod runs, and one line ``exit CODE`` when it has ended (negative: by that signal).
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import select
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import TypedDict

PR_SET_PDEATHSIG = 1


class Plan(TypedDict):
    """What to run and how to end it."""

    command: list[str]
    log: str  # the file that receives what mongod prints
    program: int  # the process id of the program served
    grace: float  # seconds between SIGTERM and SIGKILL
    keep: list[int]  # descriptors that mongod inherits: the lock on its directory
    remove: str | None  # a directory to remove at the end


def main() -> None:
    """Runs mongod until it ends or the program does."""
    plan: Plan = json.loads(sys.argv[1])
    woken, wake = os.pipe()
    os.set_blocking(wake, False)
    signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
    # A handler that does nothing: what counts is the byte that each signal writes into the pipe.
    for number in (signal.SIGCHLD, signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
        signal.signal(number, lambda *_: None)
    try:
        with Path(plan["log"]).open("wb") as log:
            mongod = subprocess.Popen(
                plan["command"],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                pass_fds=plan["keep"],
                preexec_fn=_die_with_supervisor,
            )
        _tell(f"pid {mongod.pid}")
        watched = _watched(plan["program"])
        _wait(mongod, watched, woken)
        _tell(f"exit {_stop(mongod, plan['grace'])}")
        # The program may still want to read the log.
        select.select(watched, [], [])
    finally:
        if plan["remove"] is not None:
            shutil.rmtree(plan["remove"], ignore_errors=True)


def _die_with_supervisor() -> None:
    """A second line, on Linux: should the supervisor itself be killed, the kernel kills mongod.

    Safe here, unlike in the program: the supervisor has one thread, which lives as long as it does.
    """
    if sys.platform == "linux":
        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


def _watched(program: int) -> list[int]:
    """What becomes readable when the program has ended or wants mongod to end."""
    watched = [sys.stdin.fileno()]
    if sys.platform == "linux":
        # Kernels before 5.3 have none; the pipe then stands alone.
        with contextlib.suppress(OSError, AttributeError):
            watched.append(os.pidfd_open(program))
    return watched


def _wait(mongod: subprocess.Popen[bytes], watched: list[int], woken: int) -> None:
    """Returns when mongod has ended, the program has, or someone signalled the supervisor."""
    while mongod.poll() is None:
        ready, _, _ = select.select([*watched, woken], [], [])
        if ready != [woken]:
            return
        if set(os.read(woken, 64)) != {signal.SIGCHLD}:
            return


def _stop(mongod: subprocess.Popen[bytes], grace: float) -> int:
    """Ends mongod, politely for `grace` seconds, and returns its exit code."""
    mongod.terminate()
    try:
        return mongod.wait(grace)
    except subprocess.TimeoutExpired:
        mongod.kill()
        return mongod.wait()


def _tell(line: str) -> None:
    # Nobody may be left to read it.
    with contextlib.suppress(OSError):
        os.write(sys.stdout.fileno(), f"{line}\n".encode())


if __name__ == "__main__":
    main()
