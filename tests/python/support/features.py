"""What a server is too old for: the oldest supported one lacks some options of the newest."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from pymongo.database import Database

SINCE = {
    "clusteredIndex": (5, 3),
    "changeStreamPreAndPostImages": (6, 0),
    "prepareUnique": (6, 0),
    "an index that is made to expire": (5, 1),
    "cappedSize": (6, 0),
    "deletes from capped collections": (5, 1),
    "updates and deletes of measurements": (5, 1),
    "buckets that are compressed": (5, 2),
    "$documents": (5, 1),
}
"""The release that each option or ability came with."""


def version(db: Database[dict[str, Any]]) -> tuple[int, ...]:
    """The version of the server, as numbers."""
    return tuple(db.client.server_info()["versionArray"])


def supports(db: Database[dict[str, Any]], feature: str) -> bool:
    """Whether the server knows it."""
    return version(db) >= SINCE[feature]


def require(db: Database[dict[str, Any]], *asked: object) -> None:
    """Skips the test where the server lacks a feature, or an option somewhere in a document."""
    for each in asked:
        if isinstance(each, Mapping):
            for key, value in each.items():
                require(db, *([key] if key in SINCE else []), value)
        elif isinstance(each, str) and each in SINCE and not supports(db, each):
            since = ".".join(map(str, SINCE[each]))
            pytest.skip(
                f"{each}: from MongoDB {since} on, and this is {db.client.server_info()['version']}"
            )
