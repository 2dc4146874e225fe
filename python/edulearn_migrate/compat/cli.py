"""`MigrationCLI`: the class of the old tool's command line, for code that drives it."""

from __future__ import annotations

from typing import Any

from edulearn_migrate.cli import main


class MigrationCLI:
    """Runs the documented commands, printing their lines, with the settings of the command line.

    Methods are coroutines as they were, but block until the command is done; one that fails raises
    `SystemExit` with the command's exit code. For a program, `AsyncMigrator` is the better choice.
    """

    client: Any
    """The client that `connect` made; None before and after."""
    db: Any
    """Its database; None before and after."""

    def __init__(self) -> None:
        self.client = None
        self.db = None

    async def connect(self) -> None:
        """Make `client` and `db`, by Motor or else PyMongo. The commands need neither."""
        from edulearn_migrate.cli.settings import resolve

        client: Any
        try:
            from motor.motor_asyncio import AsyncIOMotorClient as client  # noqa: N813
        except ImportError:
            from pymongo import AsyncMongoClient as client  # noqa: N813
        settings = resolve({})
        self.client = client(settings.uri)
        self.db = self.client[settings.database]

    async def disconnect(self) -> None:
        """Close what `connect` made."""
        if self.client is not None:
            closed = self.client.close()
            if closed is not None:
                await closed
        self.client = self.db = None

    async def status(self) -> None:
        """`status`."""
        _run("status")

    async def apply(self, migration_id: str | None = None) -> None:
        """`apply`, or `apply ID`."""
        _run("apply", "--", migration_id)

    async def rollback(self, migration_id: str | None = None) -> None:
        """`rollback`, or `rollback ID`."""
        _run("rollback", "--", migration_id)

    async def create(self, name: str, description: str = "") -> None:
        """`create NAME --description TEXT`."""
        _run("create", f"--description={description}", "--", name)

    async def assessment_migration(self) -> None:
        """`assessment-migrate`."""
        _run("assessment-migrate")

    async def assessment_rollback(self) -> None:
        """`assessment-rollback`."""
        _run("assessment-rollback")

    async def backup(self) -> None:
        """`backup`."""
        _run("backup")

    async def restore(self, backup_name: str) -> None:
        """`restore NAME`."""
        _run("restore", "--", backup_name)


def _run(*arguments: str | None) -> None:
    code = main([each for each in arguments if each is not None])
    if code:
        raise SystemExit(code)
