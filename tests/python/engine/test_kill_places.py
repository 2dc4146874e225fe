"""Killed at one certain place: what comes next carries on."""

from __future__ import annotations

import json
import signal
import subprocess
from concurrent.futures import Future
from pathlib import Path

import pytest

from conftest import Cli
from faults.message_proxy import Command, MessageProxy, Strike, messages_to
from faults.scenarios import OLD
from harness import (
    Client,
    Documents,
    Process,
    delete,
    finish,
    holds,
    lock_of,
    names_in,
    record_of,
    update,
    write_migration,
)

# Runs the command line as one that is killed where it writes more than so many bytes into a file.
KILLED_AT_WRITING = """
import resource, signal, sys
from edulearn_migrate.cli import main
signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv.pop(1)),) * 2)
sys.exit(main())
"""


def through(proxy: MessageProxy) -> dict[str, str]:
    """The settings of a command that reaches the server by the proxy."""
    return {"MONGO_URI": f"mongodb://127.0.0.1:{proxy.port}/?directConnection=true"}


def killed(
    proxy: MessageProxy, cli: Cli, at: int | str, *arguments: str, done: bool = True
) -> tuple[Process, str]:
    """Kills a command at one that it sends, which the server has `done`; what it had printed."""
    started: Future[Process] = Future()

    def kill(_: Command) -> None:
        started.result().kill()

    if done:
        proxy.arm(Strike(at, after=kill, answer=False))
    else:
        proxy.arm(Strike(at, before=kill, forward=False))
    process = cli.start(*arguments, env=through(proxy))
    started.set_result(process)
    code, stdout, _ = finish(process)
    assert code == -signal.SIGKILL
    return process, stdout


@pytest.mark.parametrize("options", [(), ("--exact",)], ids=["by its script", "exact"])
def test_a_rollback_that_only_had_to_release_its_lease(
    client: Client, db: Documents, cli: Cli, options: tuple[str, ...]
) -> None:
    db["people"].insert_many({"_id": at, "n": 0} for at in range(20))
    up = [update("people", {}, {"$inc": {"n": 1}}), delete("people", {"_id": {"$gte": 15}})]
    migration = write_migration(cli.directory, 1, up, [update("people", {}, {"$inc": {"n": -1}})])
    arguments = ("rollback", migration, *options)
    assert client.address is not None
    with messages_to(client.address[1]) as proxy:
        # How many commands it takes; the last one releases the lease.
        assert cli("apply").code == 0
        assert cli(*arguments, env=through(proxy)).code == 0
        commands = proxy.commands
        assert cli("apply", migration).code == 0
        process, stdout = killed(proxy, cli, commands, *arguments, done=False)
        assert str(proxy.struck).endswith("(update migrations_lock)")
    assert f"✓ Rolled back migration: {migration}" not in stdout.splitlines()
    assert holds(db, process)
    assert record_of(db, migration)["status"] == "rolled_back"
    done = list(db["people"].find())
    assert {document["n"] for document in done} == {0}
    again = cli(*arguments)
    assert again.code == 0, again.stdout + again.stderr
    assert f"✓ Rolled back migration: {migration}" in again.lines
    assert "owner" not in lock_of(db)
    assert list(db["people"].find()) == done, "it is not done twice"
    # It has been told now; once more is a mistake.
    assert cli(*arguments).code == 1


def test_a_drop_that_had_suspended_the_expiry(client: Client, db: Documents, cli: Cli) -> None:
    db["sessions"].insert_many({"_id": at, "at": OLD} for at in range(3))
    db["sessions"].create_index("at", name="expiry", expireAfterSeconds=1_500_000_000)
    write_migration(cli.directory, 1, [{"type": "drop_collection", "collection": "sessions"}])
    assert client.address is not None
    with messages_to(client.address[1]) as proxy:

        def seconds() -> int:
            return int(db["sessions"].index_information()["expiry"]["expireAfterSeconds"])

        killed(proxy, cli, "collMod", "apply")
        assert seconds() == 2_147_483_647, "suspended"
        # The next run sees that it stands, lets it expire again, and drops it after all.
        assert cli("apply").code == 0
        assert "sessions" not in db.list_collection_names()
        dropped = json.loads(cli("undrop", "--json").stdout)["dropped"]
        (name,) = (each["name"] for each in dropped if each["collection"] == "sessions")
        killed(proxy, cli, "renameCollection", "undrop", name)
        assert seconds() == 2_147_483_647, "still suspended"
        # Whatever run comes next.
        write_migration(cli.directory, 2, [{"type": "create_collection", "collection": "other"}])
        assert cli("apply").code == 0
        assert seconds() == 1_500_000_000


@pytest.mark.parametrize("written", [0, 20])
def test_a_creation_that_had_opened_its_file(cli: Cli, written: int) -> None:
    python = cli.command[0]
    directory = cli.directory / "migrations"
    killed = subprocess.run(
        [python, "-B", "-c", KILLED_AT_WRITING, str(written), "create", "half"],
        cwd=cli.directory,
        env=cli.environment(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    assert killed.returncode == -signal.SIGXFSZ, killed.stdout + killed.stderr
    (left,) = directory.iterdir()
    assert left.name.startswith("."), "no file of this name is a migration"
    assert left.stat().st_size == written
    # Every command goes on as if it had never been.
    status = cli("status")
    assert status.code == 0, status.stdout + status.stderr
    assert "half" not in status.stdout
    created = cli("create", "half")
    assert created.code == 0, created.stdout + created.stderr
    (path,) = (directory / name for name in names_in(directory) if not name.startswith("."))
    filled(path)
    for command in ("lint", "plan", "apply", "check", "status"):
        result = cli(command)
        assert result.code == 0, f"{command}: {result.stdout}{result.stderr}"
    assert cli("rollback").code == 0


def filled(path: Path) -> None:
    """Gives a new migration something to do."""
    document = json.loads(path.read_text())
    document["up"]["operations"] = [{"type": "create_collection", "collection": "made"}]
    document["down"]["operations"] = [{"type": "drop_collection", "collection": "made"}]
    path.write_text(json.dumps(document))
