"""A proxy that does something at one command: acts, cuts the connection, or loses the answer."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Literal

What = Literal["forward", "cut", "lose"]


def names(command: str, collection: str) -> bytes:
    """How such a command begins: its name, with that of the collection as a BSON string."""
    value = collection.encode() + b"\0"
    return b"\x02" + command.encode() + b"\0" + len(value).to_bytes(4, "little") + value


class Hook:
    """Forwards connections to a server; at the command that has number `skip` among those that
    contain `needle` it calls `action`, and forwards the command, cuts the connection before it, or
    cuts the connection instead of its answer. `met` counts these commands."""

    def __init__(
        self,
        port: int,
        needle: bytes,
        what: What,
        action: Callable[[], object] = lambda: None,
        skip: int = 0,
    ) -> None:
        self._server = port
        self._needle, self._what, self._action, self._skip = needle, what, action, skip
        self._lock = threading.Lock()
        self.met = 0
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def fired(self) -> bool:
        """Whether the command has come."""
        return self.met > self._skip

    def close(self) -> None:
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
                server = socket.create_connection(("127.0.0.1", self._server))
            except OSError:
                return
            losing = threading.Event()
            for target in (self._upwards, self._downwards):
                threading.Thread(target=target, args=(client, server, losing), daemon=True).start()

    def _is_it(self, data: bytes) -> bool:
        with self._lock:
            if self._needle not in data:
                return False
            self.met += 1
            return self.met == self._skip + 1

    def _upwards(
        self, client: socket.socket, server: socket.socket, losing: threading.Event
    ) -> None:
        with suppress(OSError):
            while data := client.recv(65_536):
                if self._is_it(data):
                    if self._what == "lose":
                        losing.set()
                    else:
                        self._action()
                    if self._what == "cut":
                        break
                server.sendall(data)
        _end(client, server)

    def _downwards(
        self, client: socket.socket, server: socket.socket, losing: threading.Event
    ) -> None:
        with suppress(OSError):
            while data := server.recv(65_536):
                if losing.is_set():
                    self._action()
                    break
                client.sendall(data)
        _end(client, server)


def _end(*sockets: socket.socket) -> None:
    for each in sockets:
        with suppress(OSError):
            each.shutdown(socket.SHUT_RDWR)


@contextmanager
def hook(
    port: int,
    needle: bytes,
    what: What,
    action: Callable[[], object] = lambda: None,
    skip: int = 0,
) -> Iterator[Hook]:
    """Such a proxy while the block runs."""
    proxy = Hook(port, needle, what, action, skip)
    try:
        yield proxy
    finally:
        proxy.close()
