"""What the command prints: whole lines, plain, UTF-8, and one JSON document where asked."""

from __future__ import annotations

import io
import json
import os
import shutil
import stat
import subprocess
import sys
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from conftest import ROOT
from edulearn_migrate.cli import exits
from edulearn_migrate.cli.audit import AuditLog
from edulearn_migrate.cli.command_line import sentence
from edulearn_migrate.cli.commands import status
from edulearn_migrate.cli.commands.apply import _WORDING as APPLY
from edulearn_migrate.cli.commands.rollback import _WORDING as ROLLBACK
from edulearn_migrate.cli.errors import Terminated, UsageError
from edulearn_migrate.cli.output import Output, columns, one_line, rfc3339
from edulearn_migrate.cli.parser import parse
from edulearn_migrate.cli.progress import State, clock
from edulearn_migrate.cli.script_runs import failed, succeeded

MOMENT = datetime(2026, 11, 22, 13, 40, 49, 286_000, tzinfo=timezone.utc)


class Captured(Output):
    """An output whose lines can be read, as if on a pipe in an ASCII locale."""

    def __init__(self, **options: bool) -> None:
        self.raw = io.BytesIO()
        super().__init__(stream=io.TextIOWrapper(self.raw, encoding="ascii"), **options)

    @property
    def lines(self) -> list[str]:
        return self.raw.getvalue().decode("utf-8").splitlines()


def migration(name: str, state: str, **more: Any) -> dict[str, Any]:
    return {
        "id": f"migration_{name}",
        "name": name,
        "status": state,
        "applied_at": None if state == "pending" else MOMENT,
        "rolled_back_at": None,
        "out_of_order": False,
        "changed": False,
        "note": None,
        "error": None,
        **more,
    }


def status_report(*migrations: dict[str, Any], **counts: int) -> dict[str, Any]:
    names = ("total", "applied", "pending", "rolled_back", "failed", "applying", "rolling_back")
    retained = {"bytes": 0, "data_bytes": 0, "large": False, "runs": []}
    more = {"migrations": migrations, "lock": None, "retained": retained}
    more["unfinished_restore"] = None
    more["foreign_ledger"] = None
    more["unfinished_assessments"] = None
    return {**dict.fromkeys(names, 0), **counts, **more}


def run_report(*outcomes: tuple[str, str]) -> dict[str, Any]:
    nothing: dict[str, Any] = {"operations": [], "undone": [], "overreach": [], "exact": False}
    migrations = [{"id": i, "outcome": o, **nothing} for i, o in outcomes]
    return {"migrations": migrations, "passed_over": []}


def test_status_lines() -> None:
    output = Captured()
    status.show(
        output,
        status_report(
            migration("one", "applied"),
            migration("two", "rolled_back", rolled_back_at=MOMENT),
            migration("three", "pending"),
            total=3,
            applied=1,
            rolled_back=1,
            pending=1,
        ),
    )
    assert output.lines == [
        "Migration Status:",
        "  Total migrations: 3",
        "  Applied: 1",
        "  Pending: 1",
        "  Rolled back: 1",
        "",
        "Migration History:",
        "  ✓ one - applied",
        "      migration_one, applied 2026-11-22 13:40:49 UTC",
        "  ✗ two - rolled_back",
        "      migration_two, applied 2026-11-22 13:40:49 UTC, rolled back 2026-11-22 13:40:49 UTC",
        "  ○ three - pending",
        "      migration_three",
    ]


def test_new_states_and_notes_get_lines_of_their_own() -> None:
    output = Captured(quiet=True)
    status.show(
        output,
        status_report(
            migration("one", "failed", note="resumes at operation 2 of 3", error="no\nluck"),
            migration("two", "applying", out_of_order=True),
            migration("three", "rolling_back"),
            migration("four", "applied", changed=True),
            total=4,
            failed=1,
            applying=1,
            rolling_back=1,
            applied=1,
        ),
    )
    assert output.lines[5:8] == ["  Failed: 1", "  Applying: 1", "  Rolling back: 1"]
    assert output.lines[9:] == [
        "  ! one - failed",
        "      resumes at operation 2 of 3",
        "      error: no luck",
        "  ▸ two - applying",
        "      out of order: it sorts before one that is already applied",
        "  ◂ three - rolling_back",
        "  ✓ four - applied",
        "      changed since it was applied",
    ]


def test_apply_all() -> None:
    output = Captured()
    succeeded(output, APPLY, None, run_report(("a", "applied"), ("b", "applied")))
    assert output.lines == ["✓ Applied 2 migrations:", "  - a", "  - b"]


def test_apply_all_with_nothing_to_do() -> None:
    output = Captured()
    succeeded(output, APPLY, None, run_report())
    assert output.lines == ["No pending migrations to apply"]


@pytest.mark.parametrize("outcome", ["applied", "already_applied"])
def test_apply_one(outcome: str) -> None:
    output = Captured()
    succeeded(output, APPLY, "its_name", run_report(("migration_1", outcome)))
    assert output.lines == ["✓ Applied migration: migration_1"]


def test_apply_all_that_fails_midway() -> None:
    output = Captured()
    report = run_report(("a", "applied"), ("b", "failed"))
    failed(output, APPLY, None, report, RuntimeError())
    assert output.lines == [
        "✓ Applied 1 migrations:",
        "  - a",
        "✗ Failed to apply migration: b",
    ]


def test_a_failure_before_anything_ran_names_what_was_asked_for() -> None:
    output = Captured()
    failed(output, ROLLBACK, "migration_9", None, RuntimeError())
    failed(output, ROLLBACK, None, None, RuntimeError())
    assert output.lines == ["✗ Failed to rollback migration: migration_9"]


def test_rollback_lines() -> None:
    output = Captured()
    succeeded(output, ROLLBACK, None, run_report(("b", "rolled_back"), ("a", "rolled_back")))
    succeeded(output, ROLLBACK, None, run_report())
    succeeded(output, ROLLBACK, "a", run_report(("a", "rolled_back")))
    assert output.lines == [
        "✓ Rolled back 2 migrations:",
        "  - b",
        "  - a",
        "No applied migrations to rollback",
        "✓ Rolled back migration: a",
    ]


def test_with_json_nothing_but_the_document() -> None:
    output = Captured(json=True)
    output.line("✓ Applied migration: a")
    output.note("for people")
    output.table(["ID"], [["a"]])
    output.document({"at": MOMENT, "name": "é", "odd": "\udcff"})
    read = json.loads("\n".join(output.lines))
    assert read == {"at": "2026-11-22T13:40:49.286Z", "name": "é", "odd": "\udcff"}


def test_quiet_leaves_documented_lines_only() -> None:
    output = Captured(quiet=True)
    output.note("for people")
    output.line("✓ documented")
    assert output.lines == ["✓ documented"]


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_documented_lines_are_plain_on_a_terminal_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    stream = Terminal()
    output = Output(stream=stream)
    output.line("✓ Applied migration: a")
    output.note("careful", style="warning")
    assert stream.getvalue() == "✓ Applied migration: a\n\x1b[33mcareful\x1b[0m\n"


@pytest.mark.parametrize(("name", "value"), [("NO_COLOR", "1"), ("TERM", "dumb")])
def test_no_colour_where_it_is_not_wanted(
    name: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, value)
    stream = Terminal()
    Output(stream=stream).note("careful", style="warning")
    assert stream.getvalue() == "careful\n"


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("plain ✓", "plain ✓"),
        ("  indented", "  indented"),
        ("  two\n   lines\r\n", "  two lines"),
        ("bell\a and \x1b[31mred", "bell\\u0007 and \\u001b[31mred"),
        ("separator\u2028here", "separator here"),
        ("tab\there", "tab here"),
        ("reversed \u202etxet", "reversed \\u202etxet"),
        ("\n", ""),
    ],
)
def test_one_line(text: str, line: str) -> None:
    assert one_line(text) == line


def test_a_long_line_is_not_wrapped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "20")
    output = Captured()
    output.line("✗ Error: " + "long " * 100 + "end")
    assert len(output.lines) == 1
    assert output.lines[0].endswith("long end")


def test_a_reader_that_has_gone_away_is_no_failure() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "w", encoding="utf-8") as stream:
        output = Output(stream=stream)
        output.line("into the void")
        output.line("and again")
    assert output.failure is None


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full")
def test_a_full_disk_is_a_failure() -> None:
    with Path("/dev/full").open("w", encoding="utf-8") as stream:
        output = Output(stream=stream)
        output.line("does not fit")
    assert output.failure is not None


def test_columns_are_aligned_and_cut_to_the_terminal() -> None:
    assert columns(["ID", "NAME"], [["a", "first"], ["long", "b\nc"]], 80) == [
        "ID    NAME",
        "a     first",
        "long  b c",
    ]
    assert columns(["ID", "NAME"], [["a", "abcdefghij"]], 8) == ["ID  NAME", "a   abc…"]


def test_dates_are_utc() -> None:
    assert rfc3339(MOMENT.astimezone(timezone(timedelta(hours=5)))) == "2026-11-22T13:40:49.286Z"
    assert rfc3339(MOMENT.replace(tzinfo=None)) == "2026-11-22T13:40:49.286Z"


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (KeyboardInterrupt(), 130),
        (Terminated("SIGTERM"), 143),
        (UsageError("no"), 2),
        (OSError("no"), 1),
        (type("LockHeldError", (Exception,), {})(), 4),
        (type("Derived", (type("ScriptChangedError", (Exception,), {}),), {})(), 5),
    ],
)
def test_exit_codes(error: BaseException, code: int) -> None:
    assert exits.code_for(error) == code


def test_an_interrupt_says_where_the_run_stopped() -> None:
    error = Terminated("SIGHUP")
    error.__cause__ = RuntimeError("Stopped after operation 1; run `apply` again to go on.")
    assert sentence(error) == (
        "Ended by SIGHUP. Stopped after operation 1; run `apply` again to go on."
    )


@pytest.mark.parametrize(
    "argv",
    [
        ["--db", "x", "--lock-timeout", "2.5", "apply", "migration_1"],
        ["apply", "migration_1", "--db", "x", "--lock-timeout", "2.5"],
        ["--db", "y", "apply", "--db", "x", "migration_1", "--lock-timeout=2.5"],
    ],
)
def test_options_before_or_after_the_command(argv: list[str]) -> None:
    args = parse(argv)
    assert (args.command, args.migration_id, args.db) == ("apply", "migration_1", "x")
    assert args.lock_timeout == 2.5


@pytest.mark.parametrize(
    "argv",
    [
        ["nonsense"],
        ["create"],
        ["mark", "a"],
        ["mark", "a", "--as", "failed"],
        ["status", "extra"],
        ["--lock-timeout", "3", "status"],
        ["apply", "--lock-timeout", "-1"],
        ["apply", "--lock-timeout", "nan"],
        ["apply", "--lock-timeout", "inf"],
        ["--uri", "mongodb://h", "--local", "status"],
        ["apply", "--strict"],
        ["backups", "prune", "--keep", "-1"],
    ],
)
def test_wrong_usage(argv: list[str]) -> None:
    with pytest.raises(UsageError):
        parse(argv)


def event(kind: str, **more: Any) -> dict[str, Any]:
    common = {
        "level": "info",
        "message": kind,
        "run": "r",
        "at": MOMENT,
        "migration": "migration_1",
    }
    return {"kind": kind, **common, **more}


def test_the_audit_log_appends_a_line_per_event(tmp_path: Path) -> None:
    path = tmp_path / "audit.log"
    path.write_text("before\n")
    path.chmod(0o600)
    log = AuditLog(str(path), command="apply", database="h/edulearn")
    log.event(event("migration_started", message="two\nlines ✓"))
    log.event(event("progress"))
    log.event(event("lock_waiting", level="debug"))
    log.note("command_finished", "apply finished")
    log.close()
    first, *records = path.read_text(encoding="utf-8").splitlines()
    assert first == "before"
    started, finished = map(json.loads, records)
    assert started["time"] == "2026-11-22T13:40:49.286Z"
    assert (started["run"], started["migration"]) == ("r", "migration_1")
    assert started["message"] == "two\nlines ✓"
    assert started["host"] and started["user"]
    assert finished["run"] == "r"


def test_a_new_audit_log_has_its_mode_whatever_the_umask(tmp_path: Path) -> None:
    path = tmp_path / "audit.log"
    before = os.umask(0o077)
    try:
        AuditLog(str(path), command="apply", database="").close()
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == 0o640


def test_a_named_audit_log_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="absent"):
        AuditLog(str(tmp_path / "absent" / "audit.log"), command="apply", database="")
    assert not (tmp_path / "absent").exists()


def test_the_default_audit_log_is_not_forced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / "log" / "migrations.log"
    monkeypatch.setattr("edulearn_migrate.cli.audit.DEFAULT_FILE", str(place))
    AuditLog(None, command="apply", database="").close()
    assert not place.parent.exists()
    place.parent.mkdir()
    AuditLog(None, command="apply", database="").close()
    assert place.exists()


def test_progress_in_words() -> None:
    state = State()
    state.event(event("progress", index=1, operations=2, documents=1000, total=5000))
    state._began -= 10  # ten seconds ago
    state.event(event("progress", index=1, operations=2, documents=3000, total=5000))
    assert state.rate == pytest.approx(200, rel=0.05)
    assert state.remaining == pytest.approx(10, rel=0.05)
    assert state.text().startswith("migration_1 operation 1/2  3,000 of 5,000  ")
    state.event(event("progress", index=2, operations=2, documents=1, total=None))
    assert state.remaining is None
    assert (clock(7.9), clock(3727)) == ("0:07", "1:02:07")


@pytest.mark.parametrize("copied", [False, True])
def test_without_the_package_one_sentence_says_what_to_run(copied: bool, tmp_path: Path) -> None:
    program = ROOT / "migration_cli.py"
    if copied:
        program = Path(shutil.copy(program, tmp_path))
    # -S: without the environment's packages.
    ended = subprocess.run(
        [sys.executable, "-S", "-E", program.name, "status"],
        cwd=program.parent,
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=False,
    )
    assert (ended.returncode, ended.stderr) == (1, "")
    assert ended.stdout.startswith("✗ Error: The package edulearn_migrate is not ")
    assert ended.stdout.count("\n") == 1
    assert ("make demo" in ended.stdout or "activate" in ended.stdout) or copied
