"""Just enough of MongoDB's wire protocol to start a replica set without a driver.

Nothing of ours may need PyMongo, and mongod has no other way to be told to initiate a replica set.
Four commands are ever sent: ``serverStatus``, ``hello``, ``replSetInitiate``, ``replSetReconfig``.
They hold strings, integers, booleans, documents and arrays only, and of the replies every type that
BSON defines is at least stepped over.
"""

from __future__ import annotations

import socket
import struct
from typing import Any

_OP_MSG = 2013
_MAX_REPLY = 48 * 1024 * 1024
# The sizes of the types that have one; what they hold is of no interest here.
_FIXED_SIZES = {0x06: 0, 0x07: 12, 0x09: 8, 0x0A: 0, 0x11: 8, 0x13: 16, 0x7F: 0, 0xFF: 0}
_LENGTH_PREFIXED = {0x0D, 0x0E}


class ProtocolError(Exception):
    """The other side does not speak MongoDB's protocol."""


class CommandError(Exception):
    """The server answered a command with an error.

    Attributes:
        code: the server's error code, 0 where it sent none.
    """

    def __init__(self, message: str, code: int) -> None:
        super().__init__(message)
        self.code = code


def encode(document: dict[str, Any]) -> bytes:
    """Encodes a document of strings, booleans, integers, dicts and lists as BSON."""
    body = b"".join(_element(name, value) for name, value in document.items())
    return struct.pack("<i", len(body) + 5) + body + b"\0"


def _element(name: str, value: Any) -> bytes:
    key = name.encode() + b"\0"
    if isinstance(value, str):
        text = value.encode() + b"\0"
        return b"\x02" + key + struct.pack("<i", len(text)) + text
    if isinstance(value, bool):  # before int, which it is a kind of
        return b"\x08" + key + (b"\1" if value else b"\0")
    if isinstance(value, int):
        return b"\x12" + key + struct.pack("<q", value)
    if isinstance(value, dict):
        return b"\x03" + key + encode(value)
    if isinstance(value, list):
        return b"\x04" + key + encode({str(index): item for index, item in enumerate(value)})
    raise TypeError(f"{type(value).__name__} is not needed in any command sent here")


def decode(data: bytes) -> dict[str, Any]:
    """Decodes a BSON document; values of types that are of no interest here read as None.

    Raises:
        ProtocolError: it is not BSON.
    """
    try:
        return _document(data, 0)[0]
    except (struct.error, IndexError, ValueError) as error:
        raise ProtocolError(f"a reply that is not BSON: {error}") from error


def _document(data: bytes, at: int) -> tuple[dict[str, Any], int]:
    (length,) = struct.unpack_from("<i", data, at)
    end = at + length
    at += 4
    result: dict[str, Any] = {}
    while data[at] != 0:
        kind = data[at]
        name_end = data.index(b"\0", at + 1)
        name = data[at + 1 : name_end].decode()
        result[name], at = _value(data, name_end + 1, kind)
    return result, end


def _value(data: bytes, at: int, kind: int) -> tuple[Any, int]:
    if kind == 0x01:
        return struct.unpack_from("<d", data, at)[0], at + 8
    if kind == 0x02:
        (length,) = struct.unpack_from("<i", data, at)
        return data[at + 4 : at + 3 + length].decode(errors="replace"), at + 4 + length
    if kind == 0x03:
        return _document(data, at)
    if kind == 0x04:
        items, at = _document(data, at)
        return list(items.values()), at
    if kind == 0x08:
        return data[at] == 1, at + 1
    if kind == 0x10:
        return struct.unpack_from("<i", data, at)[0], at + 4
    if kind == 0x12:
        return struct.unpack_from("<q", data, at)[0], at + 8
    if kind == 0x05:
        return None, at + 5 + struct.unpack_from("<i", data, at)[0]
    if kind in _LENGTH_PREFIXED:
        return None, at + 4 + struct.unpack_from("<i", data, at)[0]
    if kind in _FIXED_SIZES:
        return None, at + _FIXED_SIZES[kind]
    raise ProtocolError(f"a reply with a value of BSON type {kind:#04x}")


class Connection:
    """One connection to a server on this machine; a context manager.

    Args:
        port: the port on 127.0.0.1.
        timeout: seconds that connecting, or one reply, may take.

    Raises:
        OSError: nothing listens there, or it does not answer.
    """

    def __init__(self, port: int, timeout: float) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout)

    def __enter__(self) -> Connection:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def command(self, document: dict[str, Any]) -> dict[str, Any]:
        """Runs a command in ``admin`` and returns the reply.

        Raises:
            CommandError: the server refused it.
            OSError: the connection broke, or the reply took too long.
            ProtocolError: the reply is not one of MongoDB's.
        """
        body = struct.pack("<IB", 0, 0) + encode({**document, "$db": "admin"})
        self._socket.sendall(struct.pack("<iiii", len(body) + 16, 1, 0, _OP_MSG) + body)
        length, _, _, operation = struct.unpack("<iiii", self._receive(16))
        if operation != _OP_MSG or not 26 <= length <= _MAX_REPLY:
            raise ProtocolError("a reply that is not MongoDB's")
        reply = decode(self._receive(length - 16)[5:])
        if reply.get("ok") != 1:
            code = reply.get("code")
            raise CommandError(str(reply.get("errmsg")), code if isinstance(code, int) else 0)
        return reply

    def _receive(self, size: int) -> bytes:
        data = bytearray()
        while len(data) < size:
            part = self._socket.recv(size - len(data))
            if not part:
                raise ConnectionResetError("the server closed the connection")
            data += part
        return bytes(data)
