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


@pytest.fixture
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory, where backups go by default."""
    monkeypatch.chdir(tmp_path)
    return tmp_path
