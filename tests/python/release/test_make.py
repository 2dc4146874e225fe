"""What the targets of the Makefile say. Nothing is built: the recipe runs on files made here."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from conftest import ROOT


@pytest.mark.parametrize(
    ("tag", "warns"),
    [
        ("linux_x86_64", True),
        ("manylinux_2_34_x86_64", False),
        ("manylinux2014_aarch64", False),
        ("macosx_11_0_arm64", False),
    ],
)
def test_make_wheel_says_where_a_wheel_can_be_used(tmp_path: Path, tag: str, warns: bool) -> None:
    shutil.copy(ROOT / "Makefile", tmp_path)
    (tmp_path / "src").mkdir()
    (tmp_path / "python").mkdir()
    (tmp_path / "dist").mkdir()
    (tmp_path / "dist" / ".made").touch()
    wheel = f"dist/edulearn_migrate-0.1.0-cp310-abi3-{tag}.whl"
    (tmp_path / wheel).touch()
    # The wheel is there: it is not to be built.
    done = subprocess.run(
        ["make", "--silent", "--old-file=dist/.made", "wheel"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    first, *more = done.stdout.splitlines()
    assert first == wheel
    if not warns:
        assert more == []
        return
    [said] = more
    assert said.startswith("It needs a C library at least as new as this machine's (")
    assert said.endswith("): build where that is older for a manylinux tag.")
    # The version of the C library, not an error of the shell.
    library = said.partition("(")[2].rpartition("): ")[0]
    assert any(character.isdigit() for character in library), said
