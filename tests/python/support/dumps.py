"""What mongodump writes, written here: directories and archives."""

from __future__ import annotations

import gzip
import json
import struct
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import bson

MAGIC = struct.pack("<I", 0x8199E26D)
TERMINATOR = b"\xff" * 4


class Dump:
    """A directory of mongodump."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        directory.mkdir(parents=True)

    def add(
        self,
        name: str,
        documents: list[dict[str, Any]] | None = None,
        metadata: dict[str, Any] | str | bytes | None = None,
    ) -> None:
        """The two files of a collection, or one of them."""
        if documents is not None:
            data = b"".join(bson.encode(each) for each in documents)
            (self.directory / f"{name}.bson").write_bytes(data)
        if isinstance(metadata, dict):
            metadata = json.dumps(metadata)
        if isinstance(metadata, str):
            metadata = metadata.encode()
        if metadata is not None:
            (self.directory / f"{name}.metadata.json").write_bytes(metadata)


def _table() -> list[int]:
    table = []
    for value in range(256):
        for _ in range(8):
            value = value >> 1 ^ 0xC96C5795D7870F42 if value & 1 else value >> 1
        table.append(value)
    return table


_TABLE = _table()


def crc64(data: bytes) -> int:
    """CRC-64 as Go's `crc64.ECMA`, signed as BSON has it."""
    crc = 2**64 - 1
    for byte in data:
        crc = _TABLE[(crc ^ byte) & 0xFF] ^ crc >> 8
    crc ^= 2**64 - 1
    return crc - 2**64 if crc >= 2**63 else crc


def header(namespace: tuple[str, str], *, end: bool = False, crc: int = 0) -> bytes:
    """The header of a block."""
    database, collection = namespace
    return bson.encode(
        {"db": database, "collection": collection, "EOF": end, "CRC": bson.Int64(crc)}
    )


def archive(
    path: Path,
    listed: Iterable[dict[str, Any]],
    blocks: Iterable[tuple[tuple[str, str], list[dict[str, Any]]]],
    *,
    zipped: bool = False,
) -> None:
    """An archive: its list of collections, blocks of documents, and the ends of all of them."""
    first = {"concurrent_collections": 4, "version": "0.1", "server_version": "6.0.5"}
    parts = [MAGIC, bson.encode({**first, "tool_version": "test"})]
    streams: dict[tuple[str, str], bytes] = {}
    for each in listed:
        parts.append(bson.encode({"metadata": "", "size": 0, "type": "collection", **each}))
        if each.get("type") != "view":
            streams[each["db"], each["collection"]] = b""
    parts.append(TERMINATOR)
    for namespace, documents in blocks:
        data = b"".join(bson.encode(each) for each in documents)
        streams[namespace] += data
        parts += [header(namespace), data, TERMINATOR]
    for namespace, data in streams.items():
        parts += [header(namespace, end=True, crc=crc64(data)), TERMINATOR]
    whole = b"".join(parts)
    path.write_bytes(gzip.compress(whole, 1) if zipped else whole)
