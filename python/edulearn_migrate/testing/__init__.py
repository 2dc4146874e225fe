"""Testing the migrations one writes: each goes there and back, and nothing may be lost.

    from edulearn_migrate.testing import assert_round_trip

    assert_round_trip("migrations/migration_20241217143022_add_role.json",
                      uri="mongodb://localhost:27017", database="test_of_roles",
                      data={"users": [{"_id": 1}, {"_id": 2, "role": "student"}]})

With pytest there is less to write: see `edulearn_migrate.pytest_plugin`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from edulearn_migrate.testing.round_trip import assert_round_trip

__all__ = ["assert_round_trip"]


def __getattr__(name: str) -> object:
    # Later, because every pytest of an environment loads the plugin and with it this package.
    if name != "assert_round_trip":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from edulearn_migrate.testing.round_trip import assert_round_trip

    return assert_round_trip
