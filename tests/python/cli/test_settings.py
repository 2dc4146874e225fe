"""Where the command line takes its settings from, and what it does not accept."""

from __future__ import annotations

import builtins
import os
from pathlib import Path
from typing import Any

import pytest

from edulearn_migrate.cli.errors import UsageError
from edulearn_migrate.cli.settings import Settings, resolve
from edulearn_migrate.connection.uri import database_in


@pytest.fixture(autouse=True)
def _empty_working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def settle(environment: dict[str, str] | None = None, **options: str) -> Settings:
    return resolve(options, environment or {})


def test_defaults() -> None:
    found = settle()
    assert found.uri == "mongodb://localhost:27017"
    assert found.database == "edulearn"
    assert (found.migrations_dir, found.migrations_dir_named) == ("migrations", False)
    assert found.backup_dir == "backups"
    assert found.audit_log is None
    assert found.log_level == "WARNING"


def test_option_before_environment_before_dotenv_before_default() -> None:
    pytest.importorskip("dotenv")
    Path(".env").write_text("MONGO_URI=mongodb://dotenv\nDB_NAME=dotenv\nLOG_LEVEL=error\n")
    environment = {"MONGO_URI": "mongodb://environment", "DB_NAME": "environment"}
    found = settle(environment, uri="mongodb://option")
    assert found.uri == "mongodb://option"
    assert found.database == "environment"
    assert found.log_level == "ERROR"
    assert found.backup_dir == "backups"


def test_dotenv_names_in_either_case_and_python_dotenv_syntax() -> None:
    pytest.importorskip("dotenv")
    Path(".env").write_text(
        "# comment\nexport mongo_uri='mongodb://quoted'  # why\nEdulearn_Audit_Log=\"a b.log\"\n"
    )
    found = settle()
    assert found.uri == "mongodb://quoted"
    assert found.audit_log == "a b.log"


def test_dotenv_with_a_byte_order_mark() -> None:
    pytest.importorskip("dotenv")
    Path(".env").write_bytes(b"\xef\xbb\xbfDB_NAME=marked\n")
    assert settle().database == "marked"


def test_upper_case_wins_over_lower_case() -> None:
    assert settle({"db_name": "lower", "DB_NAME": "upper"}).database == "upper"
    assert settle({"db_name": "lower"}).database == "lower"


def test_empty_means_unset_everywhere() -> None:
    pytest.importorskip("dotenv")
    Path(".env").write_text("DB_NAME=dotenv\nLOG_LEVEL=\nEDULEARN_BACKUP_DIR\n")
    found = settle({"DB_NAME": "", "MONGO_URI": ""}, db="")
    assert found.database == "dotenv"
    assert found.log_level == "WARNING"
    assert found.uri == "mongodb://localhost:27017"
    assert found.backup_dir == "backups"


def test_parents_are_not_searched_for_dotenv(monkeypatch: pytest.MonkeyPatch) -> None:
    Path(".env").write_text("DB_NAME=parent\n")
    Path("below").mkdir()
    monkeypatch.chdir("below")
    assert settle().database == "edulearn"


def test_dotenv_without_python_dotenv_is_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    genuine = builtins.__import__

    def without_dotenv(name: str, *args: Any, **kwargs: Any) -> Any:
        if name == "dotenv":
            raise ImportError(name)
        return genuine(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without_dotenv)
    assert settle().database == "edulearn"  # no .env, nothing needed
    Path(".env").write_text("DB_NAME=x\n")
    with pytest.raises(UsageError, match="python-dotenv"):
        settle()


def test_dotenv_that_is_not_utf8_is_a_sentence() -> None:
    pytest.importorskip("dotenv")
    Path(".env").write_bytes(b"DB_NAME=caf\xe9\n")
    with pytest.raises(UsageError, match="UTF-8"):
        settle()


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads every file")
def test_dotenv_that_cannot_be_read_is_a_sentence() -> None:
    pytest.importorskip("dotenv")
    Path(".env").write_text("DB_NAME=x\n")
    Path(".env").chmod(0)
    with pytest.raises(UsageError, match="cannot be read"):
        settle()


@pytest.mark.parametrize(
    ("uri", "named", "database"),
    [
        ("mongodb://h/edu", "", "edu"),
        ("mongodb://h/edu", "other", "other"),
        ("mongodb://u:p@h1,h2:3/edu?replicaSet=r", "", "edu"),
        ("mongodb+srv://h/edu", "", "edu"),
        ("mongodb://h/edu.users", "", "edu"),
        ("mongodb://h/my%2Ddb", "", "my-db"),
        ("mongodb://h/admin?x=/y", "", "edulearn"),
        ("mongodb://h/local", "", "edulearn"),
        ("mongodb://h/config", "", "edulearn"),
        ("mongodb://h/", "", "edulearn"),
        ("mongodb://h?replicaSet=r", "", "edulearn"),
        ("mongodb://%2Ftmp%2Fm.sock/edu", "", "edu"),
    ],
)
def test_database_from_setting_uri_or_default(uri: str, named: str, database: str) -> None:
    assert settle({"DB_NAME": named}, uri=uri).database == database


@pytest.mark.parametrize("name", ["admin", "local", "config"])
def test_the_servers_databases_are_refused(name: str) -> None:
    with pytest.raises(UsageError, match=name):
        settle(db=name)
    with pytest.raises(UsageError, match=name):
        settle({"DB_NAME": name})


def test_an_absent_default_directory_is_fine_and_an_absent_named_one_is_not() -> None:
    assert settle().migrations_dir == "migrations"
    with pytest.raises(UsageError, match="migrations does not exist"):
        settle(migrations_dir="migrations")
    with pytest.raises(UsageError, match="elsewhere does not exist"):
        settle({"EDULEARN_MIGRATIONS_DIR": "elsewhere"})
    Path("elsewhere").mkdir()
    found = settle({"EDULEARN_MIGRATIONS_DIR": "elsewhere"})
    assert (found.migrations_dir, found.migrations_dir_named) == ("elsewhere", True)


def test_a_file_where_the_directory_should_be() -> None:
    Path("migrations").write_text("")
    with pytest.raises(UsageError, match="not a directory"):
        settle()


@pytest.mark.parametrize(
    ("given", "level"),
    [("debug", "DEBUG"), ("Info", "INFO"), ("WARN", "WARNING"), ("trace", "DEBUG")],
)
def test_log_level_in_either_case(given: str, level: str) -> None:
    assert settle({"LOG_LEVEL": given}).log_level == level
    assert settle(log_level=given).log_level == level


def test_an_unknown_log_level_is_refused() -> None:
    with pytest.raises(UsageError, match="loud"):
        settle(log_level="loud")


def test_the_backends_uri_serves_the_engine_too() -> None:
    uri = "mongodb://u:p@h/edu?replicaSet=r&uuidRepresentation=standard&tz_aware=true&socketTimeoutMS=0"
    assert settle(uri=uri).uri == "mongodb://u:p@h/edu?replicaSet=r"


def test_an_option_that_cannot_be_honoured_is_refused_without_the_secret() -> None:
    with pytest.raises(UsageError, match="tlsCRLFile") as raised:
        settle(uri="mongodb://u:hunter2@h/?tls=true&tlsCRLFile=x.pem")
    assert "hunter2" not in str(raised.value)


def test_database_in_what_is_no_uri() -> None:
    assert database_in("localhost/edu") is None
    assert database_in("") is None
