"""What the tests of undo share."""

from __future__ import annotations

from pathlib import Path

import pytest

from conftest import Migrations


@pytest.fixture
def directory(migrations: Migrations) -> Path:
    """Where `migrations` is."""
    migrations.directory.mkdir(exist_ok=True)
    return migrations.directory.parent
