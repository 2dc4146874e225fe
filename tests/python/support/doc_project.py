"""Runs what a page shows, block by block, in a directory and a database of its own."""

from __future__ import annotations

import getpass
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import pymongo

from conftest import OURS, ROOT, TIMEOUT
from doc_allowed import COMMANDS
from doc_blocks import Block, Command, commands
from edulearn_migrate.local import LocalServer

# What the pages call the things that are different on every machine.
ADDRESS, DIRECTORY, HOST = "localhost:27017", "/home/ana/edulearn", "school-1"

# What differs from run to run. A name may be used again further down the page: what the page shows
# then stands for what the command printed.
_NAME = (
    r"edulearn_backup_\d{8}_\d{6}"
    r"|(?<=migration_)\d{14}"
    r"|\b[0-9a-f]{8}-\d+\b"
    r"|(?<![0-9a-f])[0-9a-f]{24}(?![0-9a-f])"
)
_MEASURED = (
    r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:\.\d+)?(?:Z| UTC)?"
    r"|(?<![\w.,])\d[\d,.]* (?:ms|s|min|h)\b"
    r"|(?<![\w.,])\d[\d,.]* (?:B|bytes|kB|MB|GB)\b"
    r"|127\.0\.0\.1:\d+"
    r"|cluster time \d+, \d+"
    r"|\bprocess \d+\b"
    r"|\bin \d+\.\d+s\b"
    r"|MongoDB \d+\.\d+\.\d+"
)
_VARIES = re.compile(f"({_NAME})|({_MEASURED})")
_ANY_LINES = "…"


class PageError(AssertionError):
    """A page shows something else than what happens; the text says where and what."""


class Project:
    """The directory that a page works in, its environment, and the commands run in it."""

    def __init__(self, directory: Path, server: LocalServer, *, record: bool = False) -> None:
        self.directory = directory
        self.changes: list[tuple[Block, Command, list[str]]] = []
        self._address = f"127.0.0.1:{server.port}"
        self._record = record
        self._names: dict[str, str] = {}
        self._code = 0
        self._output = ""
        self._job: subprocess.Popen[str] | None = None
        self._cwd = directory
        directory.mkdir()
        self._env = {name: value for name, value in os.environ.items() if not OURS.fullmatch(name)}
        self._env |= {
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "MONGO_URI": server.uri,
            "DB_NAME": "edulearn",
            "EDULEARN_TEST_URI": server.uri,  # pytest in a page needs no server of its own
            "REPOSITORY": str(ROOT),
            "PYTHONPATH": str(directory),
            "PYTHONDONTWRITEBYTECODE": "1",
            "NO_COLOR": "1",
            "PYTEST_ADDOPTS": "-W ignore -p no:cacheprovider "
            "-o asyncio_default_fixture_loop_scope=function",
        }
        with pymongo.MongoClient[dict[str, object]](server.uri) as client:
            for name in client.list_database_names():
                if name not in ("admin", "config", "local"):
                    client.drop_database(name)

    def run_page(self, shown: Iterable[Block]) -> None:
        """Does what the blocks show, in order, and compares what that prints."""
        last = None
        for last in shown:
            self._run(last)
        if self._code != 0 and last is not None:
            raise PageError(f"{last.place}: the last command ended with {self._code}")

    def _run(self, block: Block) -> None:
        if block.title == "output":
            self._compare(
                block,
                Command("the program above", block.lines, block.start, block.end),
                self._output,
            )
        elif block.language == "console":
            for command in commands(block):
                self._run_command(block, command)
        elif block.language == "sh":
            for line in block.lines:
                if line.strip() and not line.startswith("#"):
                    self._run_command(block, Command(line, (_ANY_LINES,), 0, 0))
        elif block.title:
            path = self.directory / self._actual(block.title)
            if path.name.startswith("migration_") and "/" not in block.title:
                path = self.directory / "migrations" / path.name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(self._actual(block.text), encoding="utf-8")
        else:
            assert block.language == "python", f"{block.place}: nothing runs {block.language}"
            self._output = self._run_python(block)

    def close(self) -> None:
        """Ends what still runs, and removes the directory."""
        if self._job is not None:
            self._job.kill()
            self._job.wait()
        shutil.rmtree(self.directory)

    def _run_python(self, block: Block) -> str:
        done = subprocess.run(
            [sys.executable, "-c", self._actual(block.text)],
            cwd=self._cwd,
            env=self._env,
            capture_output=True,
            encoding="utf-8",
            timeout=TIMEOUT,
            check=False,
        )
        if done.returncode != 0:
            raise PageError(f"{block.place}: the program fails:\n{done.stdout}{done.stderr}")
        return done.stdout

    def _run_command(self, block: Block, command: Command) -> None:
        if command.text in COMMANDS:
            return
        if self._code != 0 and not command.text.startswith("echo $?"):
            raise PageError(
                f"{block.place}: the command before `{command.text}` ended with {self._code}, and "
                f"no `$ echo $?` shows it:\n{self._output}"
            )
        text = self._actual(command.text)
        if text.endswith(" &"):
            self._job = self._start(text.removesuffix(" &"))
            return
        if text == "kill -9 $!":
            assert self._job is not None, f"{block.place}: nothing runs"
            os.killpg(self._job.pid, signal.SIGKILL)
            self._job.wait()
            return
        state = self.directory.parent / "state"
        process = self._start(
            f'(exit {self._code}); {text}\ncode=$?; env -0 > "{state}"; exit $code',
            stdout=subprocess.PIPE,
        )
        self._output, _ = process.communicate(timeout=TIMEOUT)
        self._code = process.returncode
        for pair in state.read_text(encoding="utf-8").split("\0"):
            name, _, value = pair.partition("=")
            if name and name not in ("_", "SHLVL", "OLDPWD"):
                self._env[name] = value
        self._cwd = Path(self._env.pop("PWD"))
        self._compare(block, command, self._output)

    def _start(self, text: str, stdout: int = subprocess.DEVNULL) -> subprocess.Popen[str]:
        return subprocess.Popen(
            ["bash", "-c", text],
            cwd=self._cwd,
            env=self._env,
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            start_new_session=True,
        )

    def _compare(self, block: Block, command: Command, output: str) -> None:
        printed = self._as_shown(output).rstrip("\n").split("\n") if output.strip() else []
        while printed and not printed[0]:
            printed.pop(0)
        shown = list(command.shown)
        if self._matches(shown, printed, numbers="numbers vary" in block.title):
            return
        if self._record and command.end:
            names = [[found[1] for found in _VARIES.finditer("\n".join(lines)) if found[1]]
                     for lines in (shown, printed)]  # fmt: skip
            self._names |= dict(zip(*map(dict.fromkeys, names), strict=False))
            self.changes.append((block, command, self._as_shown("\n".join(printed)).split("\n")))
            return
        raise PageError(
            f"{block.place}: `{command.text}` prints something else (exit {self._code}).\n"
            "The page:\n" + "\n".join(shown) + "\nThe command:\n" + "\n".join(printed)
        )

    def _matches(self, shown: list[str], printed: list[str], *, numbers: bool) -> bool:
        """Whether the lines agree but for what varies; `…` stands for any lines."""
        if not shown:
            return not printed
        if shown[0] == _ANY_LINES:
            return any(
                self._matches(shown[1:], printed[n:], numbers=numbers)
                for n in range(len(printed) + 1)
            )
        if not printed or _template(shown[0], numbers) != _template(printed[0], numbers):
            return False
        if not self._matches(shown[1:], printed[1:], numbers=numbers):
            return False
        pairs = zip(_VARIES.finditer(shown[0]), _VARIES.finditer(printed[0]), strict=True)
        for there, here in pairs:
            if there[1] and there[1] != here[1]:
                self._names[there[1]] = here[1]
        return True

    def _actual(self, text: str) -> str:
        """A text of the page with the things of this run in it."""
        text = text.replace(ADDRESS, self._address).replace(DIRECTORY, str(self.directory))
        for there, here in self._names.items():
            text = text.replace(there, here)
        return text

    def _as_shown(self, text: str) -> str:
        """What was printed, with the names that the page uses."""
        text = text.replace(self._address, ADDRESS).replace(str(self.directory), DIRECTORY)
        text = text.replace(socket.gethostname(), HOST)
        text = text.replace(f" by {getpass.getuser()} on ", " by ana on ")
        for there, here in self._names.items():
            text = text.replace(here, there)
        return text


def _template(line: str, numbers: bool) -> str:
    """A line without what varies, and without the widths of columns."""
    line = _VARIES.sub(lambda found: "<name>" if found[1] else "<measured>", line)
    if numbers:
        line = re.sub(r"\d[\d,.]*", "<number>", line)
    return " ".join(re.sub(r"[─━-]{3,}", "---", line).split())
