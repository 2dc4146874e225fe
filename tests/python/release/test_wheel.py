"""The wheel in an environment of its own, used from an empty directory.

EDULEARN_TEST_WHEEL names the wheel; `make test` builds one from what the other tests have compiled.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from conftest import ROOT, Cli, Result

WHEEL = os.environ.get("EDULEARN_TEST_WHEEL")
COMMANDS = ("status", "apply", "rollback", "create")

pytestmark = pytest.mark.skipif(
    not WHEEL, reason="EDULEARN_TEST_WHEEL names no wheel: `make test` builds one"
)


class Environment:
    """A virtual environment with the wheel and nothing else."""

    def __init__(self, directory: Path) -> None:
        self.python = directory / "bin" / "python"
        subprocess.run([sys.executable, "-m", "venv", directory], check=True)

    def install(self) -> None:
        assert WHEEL is not None
        # No index: the wheel needs no other package.
        pip = [str(self.python), "-m", "pip", "install", "--quiet", "--no-index"]
        subprocess.run([*pip, WHEEL], check=True)


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Environment:
    return Environment(tmp_path_factory.mktemp("bare"))


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Environment:
    environment = Environment(tmp_path_factory.mktemp("installed"))
    environment.install()
    return environment


@pytest.fixture(params=["module", "script", "copy"])
def run(request: pytest.FixtureRequest, installed: Environment, cli: Cli) -> Cli:
    """The three ways to start the command, each from an empty directory."""
    command: tuple[str, ...]
    if request.param == "module":
        command = (str(installed.python), "-m", "migration_cli")
    elif request.param == "script":
        command = (str(installed.python.parent / "edulearn-migrate"),)
    else:
        copy = cli.directory.parent / "backend" / "migration_cli.py"
        copy.parent.mkdir()
        shutil.copy(ROOT / "migration_cli.py", copy)
        command = (str(installed.python), str(copy))
    cli.command = command
    assert not list(cli.directory.iterdir())
    return cli


def finished(result: Result) -> Result:
    assert result.code == 0, result.stdout + result.stderr
    assert "Traceback" not in result.stderr
    return result


def test_what_the_wheel_holds() -> None:
    assert WHEEL is not None
    assert "-cp310-abi3-" in Path(WHEEL).name
    names = set(zipfile.ZipFile(WHEEL).namelist())
    assert "migration_cli.py" in names
    for name in ("py.typed", "_native.pyi", "_native.abi3.so", "local/supervisor.py"):
        assert f"edulearn_migrate/{name}" in names
    assert not [name for name in names if name.startswith(("tests/", "demo/", "migrations/"))]


def test_help(run: Cli) -> None:
    result = finished(run("--help"))
    for command in COMMANDS:
        assert command in result.stdout


def test_status_and_apply(run: Cli) -> None:
    empty = finished(run("status")).lines
    for line in ("Migration Status:", "  Total migrations: 0", "  Applied: 0", "  Pending: 0"):
        assert line in empty
    shutil.copytree(ROOT / "migrations", run.directory / "migrations")
    applied = finished(run("apply")).lines
    at = applied.index("✓ Applied 3 migrations:")
    assert applied[at + 1 : at + 4] == [f"  - migration_00{n}" for n in (1, 2, 3)]
    status = finished(run("status")).lines
    assert "  Applied: 3" in status
    assert "  ✓ add_performance_indexes - applied" in status


def test_a_failure(run: Cli) -> None:
    result = run("apply", "migration_404")
    assert result.code == 1
    assert "✗ Failed to apply migration: migration_404" in result.lines
    assert "Traceback" not in result.stderr


TYPED = """
import asyncio

import edulearn_migrate
from edulearn_migrate import AsyncMigrator, MigrateError, RunReport, StatusReport
from migration_cli import AssessmentModelMigration, MigrationCLI, MigrationManager, main


async def run(uri: str) -> RunReport | None:
    migrator = AsyncMigrator(uri, "school", migrations_dir="migrations")
    status: StatusReport = await migrator.require_current()
    print(status.pending)
    manager = MigrationManager(uri, "school")
    done: list[str] = await manager.apply_all_pending()
    assessments = AssessmentModelMigration(uri, "school")
    print(done, manager.last_error, (await assessments.migrate_to_unified_model())["validation"])
    cli = MigrationCLI()
    await cli.connect()
    await cli.disconnect()
    try:
        return await migrator.apply()
    except MigrateError as error:
        print(error.report)
        return None


asyncio.run(run("mongodb://localhost"))
print(edulearn_migrate.lint().errors)
code: int = main(["status"])
"""
# Where a name has no type of its own, none of these is an error.
WRONG = """
from edulearn_migrate import Migrator
from migration_cli import AssessmentModelMigration, MigrationCLI, MigrationManager, main

code: str = main(["status"])
pending: str = Migrator("mongodb://localhost", "school").status().pending
MigrationCLI().aply()
MigrationManager(databse=1)
AssessmentModelMigration(1, 2)
"""


def test_types(installed: Environment, tmp_path: Path) -> None:
    """A program that is checked strictly, with nothing but the wheel beside it."""

    def checked(text: str) -> list[str]:
        (tmp_path / "program.py").write_text(text)
        command = [sys.executable, "-m", "mypy", "--strict", "--config-file=", "program.py"]
        done = subprocess.run(
            [*command, "--python-executable", str(installed.python)],
            cwd=tmp_path,
            env={name: value for name, value in os.environ.items() if name != "MYPYPATH"},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.stderr == ""
        return done.stdout.splitlines()

    assert checked(TYPED) == ["Success: no issues found in 1 source file"]
    found = checked(WRONG)
    lines = {line.split(":")[1] for line in found if ": error: " in line}
    assert lines == {"5", "6", "7", "8", "9"}, found


def test_without_the_package(bare: Environment, cli: Cli) -> None:
    copy = cli.directory / "migration_cli.py"
    shutil.copy(ROOT / "migration_cli.py", copy)
    result = cli("status", command=(str(bare.python), str(copy)))
    assert result.code != 0
    said = (result.stdout + result.stderr).strip()
    assert "pip install" in said
    assert "\n" not in said
