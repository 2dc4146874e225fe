"""A proxy that reads and rewrites what a client and its server say to each other.

A `Disguise` says what becomes of a command and of the answer to it, so that a real server passes
for another one.

Source: the MongoDB wire protocol, OP_MSG.
"""

from __future__ import annotations

import itertools
import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import bson
from bson import SON

Message = dict[str, Any]

_HEADER = struct.Struct("<iiii")
_FLAGS = struct.Struct("<I")
_OP_MSG = 2013
_BODY = b"\0"


@dataclass(frozen=True)
class Reply:
    """The answer to a command that the server does not hear of."""

    answer: Message


class Disguise:
    """What a server passes for. This one changes nothing."""

    def command(self, _name: str, _command: Message) -> Message | Reply | None:
        """What the server is asked instead, or how it replies; None for the command as it is."""
        return None

    def answer(self, _name: str, _command: Message, _answer: Message) -> Message | None:
        """What the client is answered instead; None for the answer as it is.

        The command is what the client sent, not what became of it.
        """
        return None


def failure(code: int, code_name: str, message: str, *labels: str) -> Reply:
    """A server's error as an answer."""
    answer: Message = {"ok": 0.0, "errmsg": message, "code": code, "codeName": code_name}
    if labels:
        answer["errorLabels"] = list(labels)
    return Reply(answer)


class RewritingProxy:
    """Forwards connections to a server on loopback, in a disguise."""

    def __init__(self, port: int, disguise: Disguise) -> None:
        self._server = port
        self.disguise = disguise
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._lock = threading.Lock()
        self._open: set[socket.socket] = set()
        self.broken: list[BaseException] = []
        """What went wrong in the proxy itself."""
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        """Ends everything."""
        self._listener.close()
        with self._lock:
            for each in self._open:
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


class _Connection:
    """One connection of a client, and the one to the server that belongs to it.

    A connection carries one command at a time, so an answer belongs to the last command.
    """

    _numbers = itertools.count(1_000_000)

    def __init__(self, proxy: RewritingProxy, client: socket.socket, server: socket.socket) -> None:
        self._proxy = proxy
        self._client = client
        self._server = server
        self._last: tuple[str, Message] | None = None

    def start(self) -> None:
        for work in (self._requests, self._answers):
            threading.Thread(target=self._until_closed, args=(work,), daemon=True).start()

    def _until_closed(self, work: Any) -> None:
        try:
            work()
        except OSError:
            pass
        except BaseException as error:
            self._proxy.broken.append(error)
        for each in (self._client, self._server):
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)

    def _requests(self) -> None:
        while message := _read(self._client):
            command = _decode(message)
            if command is None:
                self._server.sendall(message)
                continue
            name = next(iter(command))
            self._last = name, command
            changed = self._proxy.disguise.command(name, command)
            if isinstance(changed, Reply):
                _, request, _, _ = _HEADER.unpack_from(message)
                self._client.sendall(_encode(changed.answer, next(self._numbers), request, 0))
                continue
            self._server.sendall(message if changed is None else _again(message, changed))

    def _answers(self) -> None:
        while message := _read(self._server):
            answer = _decode(message) if self._last else None
            changed = None
            if answer is not None and self._last is not None:
                name, command = self._last
                changed = self._proxy.disguise.answer(name, command, answer)
            self._client.sendall(message if changed is None else _again(message, changed))


def _decode(message: bytes) -> Message | None:
    """The command or answer of an OP_MSG, its sequences of documents as arrays."""
    length, _, _, code = _HEADER.unpack_from(message)
    if code != _OP_MSG:
        return None
    (flags,) = _FLAGS.unpack_from(message, _HEADER.size)
    end = length - (4 if flags & 1 else 0)  # a checksum at the end
    at = _HEADER.size + _FLAGS.size
    decoded: Message = SON()
    sequences: Message = {}
    while at < end:
        kind = message[at : at + 1]
        at += 1
        (size,) = struct.unpack_from("<i", message, at)
        if kind == _BODY:
            decoded = bson.decode(message[at : at + size], bson.CodecOptions(document_class=SON))
        else:
            name_end = message.index(b"\0", at + 4)
            name = message[at + 4 : name_end].decode()
            sequences[name] = bson.decode_all(message[name_end + 1 : at + size])
        at += size
    decoded.update(sequences)
    return decoded


def _again(message: bytes, changed: Message) -> bytes:
    """The message with another content."""
    _, request, response, _ = _HEADER.unpack_from(message)
    (flags,) = _FLAGS.unpack_from(message, _HEADER.size)
    return _encode(changed, request, response, flags & ~1)


def _encode(content: Message, request: int, response: int, flags: int) -> bytes:
    body = _FLAGS.pack(flags) + _BODY + bson.encode(content)
    return _HEADER.pack(len(body) + _HEADER.size, request, response, _OP_MSG) + body


def _read(source: socket.socket) -> bytes:
    """One message; nothing at the end of the connection."""
    header = _exactly(source, _HEADER.size)
    if len(header) < _HEADER.size:
        return b""
    rest = _exactly(source, _HEADER.unpack(header)[0] - _HEADER.size)
    return header + rest


def _exactly(source: socket.socket, length: int) -> bytes:
    data = bytearray()
    while len(data) < length:
        part = source.recv(length - len(data))
        if not part:
            break
        data += part
    return bytes(data)


@contextmanager
def disguised(port: int, disguise: Disguise) -> Iterator[str]:
    """The connection string of a server in a disguise, while the block runs."""
    proxy = RewritingProxy(port, disguise)
    try:
        yield f"mongodb://127.0.0.1:{proxy.port}/?directConnection=true"
    finally:
        proxy.close()
    assert not proxy.broken, proxy.broken
