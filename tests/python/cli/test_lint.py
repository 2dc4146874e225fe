"""`lint`: the command and its Python twins; without a server, on good files and on garbage."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import edulearn_migrate
from conftest import ROOT, TIMEOUT, Operation
from edulearn_migrate import AsyncMigrator, LintReport, Migrator, SettingsError
from engine import test_bad_input as bad

# Nothing listens there, and nobody may ask.
NO_SERVER = "mongodb://127.0.0.1:9/?serverSelectionTimeoutMS=60000"

WIDER: dict[str, Any] = {
    "name": "give_roles",
    "up": {
        "operations": [
            {
                "type": "update_documents",
                "collection": "users",
                "filter": {"role": {"$exists": False}},
                "update": {"$set": {"role": "student"}},
            }
        ]
    },
    "down": {
        "operations": [
            {
                "type": "update_documents",
                "collection": "users",
                "filter": {"role": "student"},
                "update": {"$unset": {"role": ""}},
            }
        ]
    },
}


class Folder:
    """A working directory with migrations, and the command run in it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.migrations = path / "migrations"
        self.migrations.mkdir()

    def write(self, name: str, content: object) -> Path:
        """A file of this JSON, text or bytes."""
        path = self.migrations / name
        if isinstance(content, bytes):
            path.write_bytes(content)
        else:
            text = content if isinstance(content, str) else json.dumps(content, indent=1)
            path.write_text(text, encoding="utf-8")
        return path

    def lint(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """`lint`, with a server in the settings that does not exist."""
        return subprocess.run(
            [sys.executable, "-m", "edulearn_migrate.cli", "lint", *arguments],
            cwd=self.path,
            env={**os.environ, "MONGO_URI": NO_SERVER},
            capture_output=True,
            text=True,
            encoding="utf-8",
            timeout=TIMEOUT,
            check=False,
        )

    def codes(self) -> list[str]:
        """What is found in all files."""
        return [
            each.code for each in edulearn_migrate.lint(migrations_dir=self.migrations).findings
        ]


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path)


def test_lines_json_and_exit_codes(folder: Folder) -> None:
    folder.write("migration_1_give_roles.json", WIDER)
    plain = folder.lint()
    assert plain.returncode == 0, plain
    [line] = [each for each in plain.stdout.splitlines() if each.startswith("migrations/")]
    assert line.startswith(
        "migrations/migration_1_give_roles.json:26:5: warning EM204 down-wider: down 1: its filter"
    )
    assert plain.stdout.splitlines()[-1] == "1 file: 0 errors, 1 warning, 0 pieces of advice"
    assert folder.lint("--quiet").stdout.splitlines() == [line]
    assert folder.lint("--strict").returncode == 1
    for arguments, code in ((["--json"], 0), (["--json", "--strict"], 1)):
        as_json = folder.lint(*arguments)
        assert as_json.returncode == code
        [finding] = json.loads(as_json.stdout)
        assert finding.pop("message")
        assert finding.pop("remedy")
        assert finding == {
            "file": "migrations/migration_1_give_roles.json",
            "migration": "migration_1",
            "operation": "down 1",
            "line": 26,
            "column": 5,
            "code": "EM204",
            "name": "down-wider",
            "level": "warning",
        }
    folder.write("migration_2_bad.json", {**WIDER, "upp": 1, "name": 5})
    both = folder.lint("--json")
    assert both.returncode == 1
    assert {each["code"] for each in json.loads(both.stdout)} == {"EM204", "EM103"}
    assert folder.lint("migrations/migration_1_give_roles.json").returncode == 0
    assert folder.lint("migrations/migration_2_bad.json").returncode == 1
    assert folder.lint("migrations").returncode == 1


def test_no_findings_are_an_empty_array_and_no_file_a_failure(folder: Folder) -> None:
    meant = {"name": "wait_for_it", "up": {"operations": []}, "empty": True}
    file = folder.write("migration_1_wait_for_it.json", {**meant, "down": {"operations": []}})
    assert json.loads(folder.lint("--json").stdout) == []
    file.unlink()
    nothing = folder.lint("--json")
    assert nothing.returncode == 1
    assert "nothing was checked" in json.loads(nothing.stdout)["error"]["message"]


@pytest.mark.parametrize(
    "arguments", [["no.json"], ["migrations", "no.json"], ["--migrations-dir", "no"], ["--strct"]]
)
def test_wrong_usage(folder: Folder, arguments: list[str]) -> None:
    result = folder.lint(*arguments)
    assert result.returncode == 2
    assert result.stdout.startswith("✗ Error: ")
    as_json = folder.lint("--json", *arguments)
    assert as_json.returncode == 2
    assert json.loads(as_json.stdout)["error"]["exit_code"] == 2


def test_reasons_silence_where_they_stand(folder: Folder) -> None:
    allowed = json.loads(json.dumps(WIDER))
    allowed["down"]["operations"][0]["allow"] = {"EM204": "only guests had none"}
    folder.write("migration_1_give_roles.json", allowed)
    assert folder.codes() == []
    folder.write("migration_1_give_roles.json", {**WIDER, "allow": {"EM204": "meant"}})
    assert folder.codes() == []
    allowed["down"]["operations"][0]["allow"] = {"EM303": "another code"}
    folder.write("migration_1_give_roles.json", allowed)
    assert folder.codes() == ["EM204", "EM405"]
    allowed["down"]["operations"][0]["allow"] = {"EM204": " "}
    folder.write("migration_1_give_roles.json", allowed)
    assert folder.codes() == ["EM104"]


def test_apply_takes_what_lint_is_told_and_no_change_is_seen(
    migrator: Migrator, migrations: Any, db: Any
) -> None:
    operation: Operation = {"type": "create_collection", "collection": "c"}
    migrations.write(1, [operation], [])
    file = next(migrations.directory.glob("migration_1_*.json"))
    assert migrator.apply().migrations[0].outcome == "applied"
    text = json.loads(file.read_text())
    text["up"]["operations"][0]["allow"] = {"EM303": "why"}
    file.write_text(json.dumps({**text, "allow": {"EM201": "it is only a test"}}))
    assert not migrator.status().migrations[0].changed
    assert migrator.apply().migrations == ()
    migrator.rollback(exact=True)
    assert migrator.apply(rolled_back=True).migrations[0].outcome == "applied"
    assert "c" in db.list_collection_names()


GARBAGE: dict[str, bytes] = {
    "binary": bytes(range(256)) * 100,
    "nothing": b"",
    "deep": b'{"name": ' + b"[" * 1_000_000,
    "deep and closed": b'{"name": ' + b'{"a":' * 100 + b"1" + b"}" * 101,
    "one long text": b'{"name": "' + b"x" * 20_000_000 + b'"}',
    "too many operations": b'{"name": "x", "up": {"operations": ['
    + b",".join([b"0"] * 2_000_000)
    + b"]}}",
    "no UTF-8": '{"name": "é"}'.encode("latin-1"),
}


@pytest.mark.parametrize("content", GARBAGE.values(), ids=GARBAGE)
def test_garbage_is_a_finding(folder: Folder, content: bytes) -> None:
    folder.write("migration_1_garbage.json", content)
    result = folder.lint()
    assert result.returncode == 1, result
    assert result.stdout.startswith("migrations/migration_1_garbage.json:")
    assert " error EM10" in result.stdout
    assert result.stderr == ""
    assert len(result.stdout.splitlines()) < 20


def test_links_pipes_and_directories(folder: Folder) -> None:
    (folder.migrations / "migration_1_loop.json").symlink_to("migration_1_loop.json")
    (folder.migrations / "migration_2_gone.json").symlink_to("nowhere.json")
    os.mkfifo(folder.migrations / "migration_3_pipe.json")
    (folder.migrations / "migration_4_folder.json").mkdir()
    folder.write("README.md", "nothing of ours")
    result = folder.lint()
    assert result.returncode == 1
    lines = [each for each in result.stdout.splitlines() if not each.startswith(" ")]
    assert [each.split(": ")[1] for each in lines[:-1]] == [
        "error EM101 unreadable-file",
        "error EM101 unreadable-file",
    ]
    assert result.stderr.count("Ignored: ") == 3
    named = folder.lint("migrations/migration_3_pipe.json")
    assert named.returncode == 0
    assert "warning EM106 misnamed-file" in named.stdout


def test_as_large_as_a_migration_may_be(folder: Folder) -> None:
    """Ten thousand operations on one line, each with a finding, are looked at in seconds."""
    up = [
        {
            "type": "update_documents",
            "collection": f"c{number % 100}",
            "filter": {},
            "update": {"$set": {"text": "é" * 400, f"field{number}": 1}},
        }
        for number in range(10_000)
    ]
    down = [
        {
            "type": "update_documents",
            "collection": f"c{number % 100}",
            "filter": {},
            "update": {"$unset": {"text": "", f"field{number}": ""}},
        }
        for number in range(10_000)
    ]
    document = {"name": "large", "up": {"operations": up}, "down": {"operations": down}}
    folder.write("migration_1_large.json", json.dumps(document, ensure_ascii=False))
    report = edulearn_migrate.lint(migrations_dir=folder.migrations)
    assert {each.code for each in report.findings} == {"EM303"}
    assert report.warnings == 10_000


def corpus() -> dict[str, str]:
    """Every file that `apply` is tested to refuse."""
    texts = {name: text for name, (text, _) in bad.JSON.items()}
    texts |= {name: json.dumps(document) for name, (document, _) in bad.FILES.items()}
    for name, (operation, _) in bad.OPERATIONS.items():
        document = {"name": "x", "up": {"operations": [bad.GOOD, operation]}}
        texts[f"operation: {name}"] = json.dumps(document)
    return texts


@pytest.mark.parametrize("text", corpus().values(), ids=corpus())
def test_what_apply_refuses_is_an_error(folder: Folder, text: str) -> None:
    folder.write("migration_2_bad.json", text)
    report = edulearn_migrate.lint(migrations_dir=folder.migrations)
    assert report.errors >= 1
    for finding in report.findings:
        assert finding.line >= 1
        assert finding.column >= 1
        assert finding.message.endswith((".", "?"))


async def test_the_python_verbs(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    file = folder.write("migration_1_give_roles.json", WIDER)
    report = edulearn_migrate.lint(migrations_dir=folder.migrations)
    assert isinstance(report, LintReport)
    assert (report.files, report.errors, report.warnings, report.advice) == (1, 0, 1, 0)
    assert str(report.findings[0]).startswith(f"{file}:26:5: warning EM204 down-wider: down 1: ")
    assert edulearn_migrate.lint([file]) == report
    assert edulearn_migrate.lint(str(file)) == report
    for kind in (Migrator, AsyncMigrator):
        migrator = kind(NO_SERVER, "edulearn", migrations_dir=folder.migrations)
        assert migrator.lint() == report
        assert migrator.lint([file]) == report
        with pytest.raises(SettingsError, match="pass paths"):
            kind(NO_SERVER, "edulearn").lint()
    monkeypatch.chdir(ROOT)
    # The test that docs/reference/python.md recommends.
    report = edulearn_migrate.lint()
    assert report.errors + report.warnings == 0, "\n".join(map(str, report.findings))
    with pytest.raises(SettingsError, match="no file"):
        edulearn_migrate.lint([folder.path / "no.json"])
    monkeypatch.chdir(folder.migrations)
    with pytest.raises(SettingsError, match="does not exist"):
        edulearn_migrate.lint()
