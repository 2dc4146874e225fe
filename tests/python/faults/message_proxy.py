"""A proxy that knows MongoDB's messages: it counts commands and strikes at one of them.

Source: the MongoDB wire protocol, OP_MSG.
"""

from __future__ import annotations

import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, Literal

from bson import SON, encode
from bson.raw_bson import RawBSONDocument

_HEADER = struct.Struct("<iiii")
_OP_MSG = 2013
_BODY = 21
"""Where the body of an OP_MSG begins: after the header, the flags and the kind of the section."""

# What the driver sends for itself, and when it likes.
_NOT_COUNTED = frozenset({"hello", "isMaster", "ismaster", "ping", "endSessions"})


@dataclass(frozen=True)
class Command:
    """A command that a client sent."""

    number: int
    """Its place among the commands that count, from 1."""
    name: str
    body: bytes = field(repr=False)

    @property
    def target(self) -> str | None:
        """Mostly the collection: the command's value, where that is a string."""
        value = RawBSONDocument(self.body).get(self.name)
        return value if isinstance(value, str) else None

    def __str__(self) -> str:
        target = "" if self.target is None else f" {self.target}"
        return f"command {self.number} ({self.name}{target})"


@dataclass(frozen=True)
class Strike:
    """What happens at one command: hooks are called, and the connection may be closed."""

    at: int | str
    """The command's number, or the name of which it is the first."""
    before: Callable[[Command], None] = lambda _: None
    """Called before the command is forwarded."""
    forward: bool = True
    """False closes the connection instead of forwarding the command."""
    after: Callable[[Command], None] = lambda _: None
    """Called when the server has answered, before the client knows."""
    answer: bool = True
    """False closes the connection instead of giving the client the server's answer."""
    target: str | None = None
    """Of commands with this target only."""
    skip: int = 0
    """How many of them pass before."""

    def is_at(self, command: Command) -> bool:
        """Whether it is such a command, the skipped ones included."""
        named = self.at in (command.number, command.name)
        return named and self.target in (None, command.target)


class MessageProxy:
    """Forwards connections to a server on loopback.

    Args:
        port: the server's.
        batch: the most documents of one of the server's answers, as if they were large.
        delay: seconds that every command takes longer, as if the server were far away.
    """

    def __init__(self, port: int, *, batch: int | None = None, delay: float = 0.0) -> None:
        self._server = port
        self._batch = batch
        self.delay = delay
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._lock = threading.Lock()
        self._open: set[socket.socket] = set()
        self._count = self._met = 0
        self._strike: Strike | None = None
        self.struck: Command | None = None
        """The command that was struck since the last `arm`."""
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def commands(self) -> int:
        """How many commands there were since the last `arm`."""
        return self._count

    def arm(self, strike: Strike | None = None) -> None:
        """Ends all connections, begins to count anew, and is ready to strike."""
        self._end_connections()
        with self._lock:
            self._count = self._met = 0
            self._strike = strike
            self.struck = None

    def close(self) -> None:
        """Ends everything; what was struck can still be seen."""
        self._listener.close()
        self._end_connections()

    def _end_connections(self) -> None:
        with self._lock:
            connections, self._open = self._open, set()
            self._strike = None
        for each in connections:
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
                server = socket.create_connection(("127.0.0.1", self._server))
            except OSError:
                return
            for each in (client, server):
                each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with self._lock:
                self._open |= {client, server}
            _Connection(self, client, server).start()

    def taken(self, name: str, body: bytes) -> tuple[Command | None, Strike | None]:
        """Counts a command; the strike where this is the one."""
        if name in _NOT_COUNTED or _renewal(name, body):
            return None, None
        with self._lock:
            self._count += 1
            command = Command(self._count, name, body)
            strike = self._strike
            if strike is None or self.struck or not strike.is_at(command):
                return command, None
            self._met += 1
            if self._met <= strike.skip:
                return command, None
            self.struck = command
            return command, strike

    def in_batches(self, name: str, message: bytes) -> bytes:
        """The message, asking for no more documents at a time than wanted."""
        if self._batch is None or name not in ("find", "aggregate", "getMore"):
            return message
        body: SON[str, Any] = SON(RawBSONDocument(message[_BODY:]).items())
        if body.get("singleBatch"):
            return message
        if name == "aggregate":
            body["cursor"] = {"batchSize": self._batch}
        else:
            body["batchSize"] = self._batch
        changed = message[16:_BODY] + encode(body)
        _, request, response, code = _HEADER.unpack_from(message)
        return _HEADER.pack(len(changed) + 16, request, response, code) + changed


class _Connection:
    """One connection of a client, and the one to the server that belongs to it."""

    def __init__(self, proxy: MessageProxy, client: socket.socket, server: socket.socket) -> None:
        self._proxy = proxy
        self._client = client
        self._server = server
        self._struck: dict[int, tuple[Command, Strike]] = {}

    def start(self) -> None:
        for work in (self._requests, self._answers):
            threading.Thread(target=self._until_closed, args=(work,), daemon=True).start()

    def _until_closed(self, work: Callable[[], None]) -> None:
        with suppress(OSError):
            work()
        for each in (self._client, self._server):
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)

    def _requests(self) -> None:
        while message := _read(self._client):
            _, request, _, code = _HEADER.unpack_from(message)
            name = _command_name(message) if code == _OP_MSG else None
            if name is None:
                self._server.sendall(message)
                continue
            command, strike = self._proxy.taken(name, message[_BODY:])
            if command is not None and self._proxy.delay:
                time.sleep(self._proxy.delay)  # it is a long line, not a wait
            if command is not None and strike is not None:
                strike.before(command)
                if not strike.forward:
                    return
                self._struck[request] = command, strike
            self._server.sendall(self._proxy.in_batches(name, message))

    def _answers(self) -> None:
        while message := _read(self._server):
            _, _, request, _ = _HEADER.unpack_from(message)
            command, strike = self._struck.pop(request, (None, None))
            if command is not None and strike is not None:
                strike.after(command)
                if not strike.answer:
                    return
            self._client.sendall(message)


def _read(source: socket.socket) -> bytes:
    """One message; nothing at the end of the connection."""
    header = _exactly(source, _HEADER.size)
    if len(header) < _HEADER.size:
        return b""
    length = _HEADER.unpack(header)[0] - _HEADER.size
    rest = _exactly(source, length)
    return header + rest if len(rest) == length else b""


def _exactly(source: socket.socket, length: int) -> bytes:
    data = bytearray()
    while len(data) < length:
        part = source.recv(length - len(data))
        if not part:
            break
        data += part
    return bytes(data)


def _command_name(message: bytes) -> str | None:
    """The first field of the first section, where that is the body."""
    if message[_BODY - 1] != 0:
        return None
    name = message[_BODY + 5 : message.index(b"\0", _BODY + 5)]
    return name.decode()


def _renewal(name: str, body: bytes) -> bool:
    """Whether it renews the lease, which a clock does. Without the comment it proves the lease."""
    return name == "update" and b"renewal of the lock" in body


@contextmanager
def messages_to(port: int, **options: Any) -> Iterator[MessageProxy]:
    """A proxy while the block runs."""
    proxy = MessageProxy(port, **options)
    try:
        yield proxy
    finally:
        proxy.close()


@contextmanager
def at_command(
    port: int,
    name: str,
    collection: str | None,
    what: Literal["forward", "cut", "lose"],
    action: Callable[[], object] = lambda: None,
    skip: int = 0,
) -> Iterator[MessageProxy]:
    """A proxy that acts at such a command, after `skip` of them: before it is forwarded, instead of
    forwarding it, or instead of giving the client its answer."""

    def act(_: object) -> None:
        action()

    with messages_to(port) as proxy:
        if what == "lose":
            strike = Strike(name, after=act, answer=False, target=collection, skip=skip)
        else:
            forward = what == "forward"
            strike = Strike(name, before=act, forward=forward, target=collection, skip=skip)
        proxy.arm(strike)
        yield proxy
