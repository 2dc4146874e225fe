"""The directory of a local server: its data, its log, and the locks that keep a second one out.

Two advisory locks (``flock``), which the kernel lets go however their holders end, so that nothing
ever has to be cleaned up: ``program.lock`` is held by the program that started the server,
``server.lock`` by the supervisor and mongod, which inherit it. Whoever finds the first one taken is
told so at once; whoever finds only the second one taken waits for a server that is being stopped.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import tempfile
import time
from pathlib import Path

from .errors import LocalServerError

_GIB = 1024**3
# Seconds that a server whose program is gone may take to stop.
_STOPPING = 40.0


class Directory:
    """A directory in use by one server.

    Args:
        path: a directory to make or to use again; None for a temporary one.
        memory: whether a temporary one may be in memory.

    Raises:
        LocalServerError: another server runs in it, or it cannot be written.
    """

    def __init__(self, path: str | os.PathLike[str] | None, *, memory: bool = True) -> None:
        self.temporary = path is None
        self._locks: list[int] = []
        try:
            if path is None:
                self.path = Path(
                    tempfile.mkdtemp(prefix="edulearn-local-", dir=_memory() if memory else None)
                )
            else:
                self.path = Path(path).absolute()
                self._make()
            self._locks.append(self._open("program.lock"))
            self._take(self._locks[0], patience=0.0)
            self._locks.append(self._open("server.lock"))
            self._take(self._locks[1], patience=_STOPPING)
            self.data.mkdir(mode=0o700, exist_ok=True)
        except OSError as error:
            self.release()
            raise LocalServerError(
                f"The local server's directory {path or tempfile.gettempdir()}"
                f" cannot be used: {error.strerror}."
            ) from error
        except BaseException:
            self.release()
            raise

    @property
    def data(self) -> Path:
        """Where mongod keeps its files."""
        return self.path / "db"

    @property
    def log(self) -> Path:
        """What mongod printed since it was last started."""
        return self.path / "mongod.log"

    @property
    def server_lock(self) -> int:
        """The descriptor for the supervisor and mongod to inherit."""
        return self._locks[1]

    def last_port(self) -> int | None:
        """The port of the server that ran here before, so that its URI stays the same if it can."""
        port = self._owner().get("port")
        return port if isinstance(port, int) and 0 < port < 65536 else None

    def record(self, port: int) -> None:
        """Writes down who uses the directory, for the message to whoever else wants it."""
        content = json.dumps({"pid": os.getpid(), "port": port}).encode()
        os.ftruncate(self._locks[0], 0)
        os.pwrite(self._locks[0], content, 0)

    def release(self) -> None:
        """Lets go of the directory; a mongod that still runs keeps its own hold on it."""
        while self._locks:
            with contextlib.suppress(OSError):
                os.close(self._locks.pop())

    def remove(self) -> None:
        """Removes a temporary directory; leaves any other."""
        if self.temporary:
            shutil.rmtree(self.path, ignore_errors=True)

    def _make(self) -> None:
        if not self.path.is_dir():
            self.path.mkdir(mode=0o700, parents=True)
            # Whoever keeps it in a work tree does not want a database in version control.
            (self.path / ".gitignore").write_text("*\n")

    def _open(self, name: str) -> int:
        return os.open(self.path / name, os.O_RDWR | os.O_CREAT, 0o600)

    def _take(self, lock: int, patience: float) -> None:
        import fcntl  # not on Windows, where importing this module must work all the same

        deadline = time.monotonic() + patience
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return
            except BlockingIOError:
                if time.monotonic() >= deadline:
                    raise self._in_use() from None
            time.sleep(0.02)

    def _in_use(self) -> LocalServerError:
        owner = self._owner()
        who = f" (process {owner['pid']}, port {owner['port']})" if owner else ""
        return LocalServerError(
            f"Another local server{who} uses the directory {self.path}:"
            " stop it, or name another directory."
        )

    def _owner(self) -> dict[str, object]:
        try:
            owner = json.loads(os.pread(self._locks[0], 4096, 0))
        except (OSError, ValueError):
            return {}
        return owner if isinstance(owner, dict) and {"pid", "port"} <= owner.keys() else {}


def _memory() -> str | None:
    """/dev/shm where it and the machine's memory have room to spare, else None: the default."""
    try:
        room = shutil.disk_usage("/dev/shm").free
        meminfo = Path("/proc/meminfo").read_text()
    except OSError:
        return None
    available = 0
    for line in meminfo.splitlines():
        name, _, rest = line.partition(":")
        if name == "MemAvailable":
            available = int(rest.split()[0]) * 1024
    roomy = room >= 4 * _GIB and available >= 8 * _GIB and os.access("/dev/shm", os.W_OK)
    return "/dev/shm" if roomy else None
