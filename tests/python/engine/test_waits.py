"""Each wait over five seconds says what is waited for; the first Ctrl-C is answered at once."""

from __future__ import annotations

import signal
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest

from conftest import Cli, Migrations
from edulearn_migrate import Event, Migrator, ServerUnavailableError
from harness import GATE, Documents, closed_gate, until


def test_behind_a_transaction(migrator: Migrator, migrations: Migrations, db: Documents) -> None:
    migrations.write(1, [GATE])
    waiting: list[str] = []

    def watch(event: Event) -> None:
        if event.kind == "waiting":
            waiting.append(event.message)

    with ThreadPoolExecutor(1) as pool, closed_gate(db):
        applied = pool.submit(migrator.apply, progress=watch)
        until(lambda: waiting, "it says what it waits for")
    assert applied.result().ok
    assert waiting[0].startswith('Waiting for an index on "gate" to be built (for ')
    assert "Another operation holds a lock on the collection; a transaction of " in waiting[0]
    assert "has been open for " in waiting[0]


def test_the_command_says_it_and_answers_ctrl_c_at_once(
    cli: Cli, migrations: Migrations, db: Documents
) -> None:
    migrations.write(1, [GATE])
    with closed_gate(db) as reached:
        process = cli.start("apply")
        reached()
        assert process.stderr is not None
        line = process.stderr.readline()
        assert "Waiting for an index" in line
        process.send_signal(signal.SIGINT)
        # Still at the gate.
        line = process.stderr.readline()
        assert (
            line
            == "Interrupted: stopping at the next safe point. A second signal gives up at once.\n"
        )
    done = cli.finish(process)
    assert done.code in (0, 130), done.stdout


@contextmanager
def silent_server() -> Iterator[int]:
    """A port where connections are taken and never answered."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        yield port


def test_a_silent_server() -> None:
    waiting: list[str] = []

    def watch(event: Event) -> None:
        waiting.append(event.message)

    with silent_server() as port, ThreadPoolExecutor(1) as pool:
        migrator = Migrator(f"mongodb://127.0.0.1:{port}", "x")
        asked = pool.submit(migrator.status, progress=watch)
        until(lambda: waiting, "it says what it waits for")
        assert waiting[0].startswith("Waiting for the server to answer (for ")
        with pytest.raises(ServerUnavailableError):
            asked.result()


def test_refused_everywhere_is_not_waited_for() -> None:
    """The driver would look for a server for ten seconds, and would then say so."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    hosts = f"127.0.0.1:{port},localhost:{port}"
    with pytest.raises(ServerUnavailableError) as raised:
        Migrator(f"mongodb://{hosts}", "x").status()
    for host in hosts.split(","):
        assert f"{host}: connection refused" in str(raised.value)
