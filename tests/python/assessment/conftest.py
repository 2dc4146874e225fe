"""What the tests of assessments share."""

from __future__ import annotations

from pathlib import Path

import pytest

from assessment_runs import Documents, fill_recorded


@pytest.fixture
def school(db: Documents, legacy: Path) -> Documents:
    """The recorded assessments of both collections, five and three."""
    fill_recorded(db, legacy)
    return db
