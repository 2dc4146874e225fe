"""What a command works with: the settings, the engine, and where its events go."""

# pathlib costs a start-up time that shows in every `status`.
# ruff: noqa: PTH100, PTH109, PTH112

from __future__ import annotations

import os
import sys

from edulearn_migrate.cli import exits
from edulearn_migrate.cli.errors import report_of
from edulearn_migrate.cli.output import one_line, safe, warn
from edulearn_migrate.cli.settings import resolve

TYPE_CHECKING = False  # typing.TYPE_CHECKING, without the import of typing

if TYPE_CHECKING:
    from argparse import Namespace
    from typing import Any

    from edulearn_migrate._native import Assessments, Backups, Engine
    from edulearn_migrate.cli.audit import AuditLog
    from edulearn_migrate.cli.output import Output
    from edulearn_migrate.cli.progress import Progress
    from edulearn_migrate.pending import PendingCall

_OPTIONS = ("uri", "db", "migrations_dir", "backup_dir", "ledger", "log_level", "workers")
_LOCAL_DIR = ".edulearn-local"
_SAID_BY_THE_COMMAND = ("migration_failed", "migration_interrupted", "unlocked")
"""How a run ended. The command's lines say it; the log repeats it from level `info` down."""
_SEVERITY = {"debug": 10, "info": 20, "warning": 30, "error": 40}


class Context:
    """One command's surroundings. A context manager: leaving it ends progress, audit and server."""

    def __init__(
        self, command: str, args: Namespace, output: Output, document: dict[str, Any]
    ) -> None:
        self.command = command
        self.args = args
        self.output = output
        self.document = document
        """What the JSON document will say; a command adds its report."""
        self._local = getattr(args, "local", False)
        options = {name: getattr(args, name, None) for name in _OPTIONS}
        if self._local:
            # MONGO_URI must not name the local server's database. The port is known later.
            options["uri"] = "mongodb://127.0.0.1"
        self.settings = resolve(options)
        self._level = _SEVERITY.get(self.settings.log_level.lower(), 50)
        self._logger: Any = None
        self._server: Any = None
        self._audit: AuditLog | None = None
        self._progress: Progress | None = None

    def __enter__(self) -> Context:
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        self.finish()
        if self._audit is not None:
            if error is not None:
                self._audit.note(
                    "command_failed", f"exit code {exits.code_for(error)}: {error}".strip()
                )
            else:
                self._audit.note("command_finished", f"{self.command} finished")
            self._audit.close()
        if error is not None and not isinstance(error, KeyboardInterrupt) and self._level <= 10:
            from traceback import format_exception

            # Line by line: a message with a line break must not look like another log line.
            for line in safe("".join(format_exception(error))).splitlines():
                self.log("debug", line)
        if self._server is not None:
            self._server.stop()

    def engine(self) -> Engine:
        """The engine for the database of the settings; with --local its server is started first."""
        engine = self._engine()
        self._compare_with_old_default(engine)
        return engine

    def _engine(self) -> Engine:
        from edulearn_migrate._native import Engine

        if self._local and self._server is None:
            from edulearn_migrate.local import LocalServer

            self._configure_logging()
            server = LocalServer(directory=getattr(self.args, "local_dir", None) or _LOCAL_DIR)
            self._server = server.start()
            self.settings.uri = server.uri
        settings = self.settings
        for level, text in settings.notes:
            self.log(level, text)
        engine = Engine(
            settings.uri,
            settings.database,
            migrations_dir=settings.migrations_dir,
            ledger=settings.ledger,
        )
        if self._level <= _SEVERITY["debug"]:
            self._log_surroundings(engine)
        return engine

    def _log_surroundings(self, engine: Engine) -> None:
        """For --log-level debug: what the command works with, and where each setting came from."""
        from edulearn_migrate._native import describe_server

        for name, (value, source) in sorted(self.settings.sources.items()):
            # Whatever a connection string holds beside the hosts may be a secret.
            shown = self.target() if name == "MONGO_URI" else value
            self.log("debug", f"{name} = {shown} ({source})")
        self.log("debug", f"Working directory: {os.getcwd()}")
        self.log("debug", f"Migrations directory: {os.path.abspath(self.settings.migrations_dir)}")
        self.log("debug", f"Server: {describe_server(engine)}")

    def _compare_with_old_default(self, engine: Engine) -> None:
        """Say it where the old tool would have worked on another database, and has."""
        from edulearn_migrate.cli.settings import DEFAULT_DATABASE

        if not self.settings.database_of_uri or self._local:
            return
        if engine.has_ledger(DEFAULT_DATABASE).run():
            self.warn(
                f"Note: this works on {self.settings.database}, the database of the connection "
                f"string. The old tool worked on {DEFAULT_DATABASE}, which has migrations, too. "
                "Set DB_NAME to choose."
            )

    def writing(self, migration: str | None = None) -> Engine:
        """The engine for a command that writes: named first, audited, with progress.

        `migration` is the one the command was asked for. Raises `UsageError` where the audit log
        was named and cannot be written, before anything runs.
        """
        from edulearn_migrate.cli.audit import AuditLog

        engine = self._engine()
        target = self.target()
        self._audit = AuditLog(self.settings.audit_log, command=self.command, database=target)
        if self.output.json or self.output.quiet:
            self.warn(f"Target: {target}")
        else:
            self.output.note(f"Target: {target}")
        self._audit.note("command_started", f"{self.command} started", migration=migration)
        self._compare_with_old_default(engine)
        self.show_progress()
        return engine

    def report(self, work: PendingCall[dict[str, Any]], *keys: str) -> dict[str, Any]:
        """Carry out the work of a verb: its report, which the JSON document says as well.

        Before anything is printed the progress bar is gone. A run that fails may have a report of
        what it did, which `keys` tell from others; the document says that one, too.
        """
        try:
            report = work.run()
        except BaseException as error:  # also what a signal handler raised
            self.finish()
            found = report_of(error, *keys) if keys else None
            if found is not None:
                self.document.update(found)
            raise
        self.finish()
        self.document.update(report)
        return report

    def show_progress(self) -> None:
        """Show a progress bar from now on, where somebody looks at stderr and wants one."""
        from edulearn_migrate.cli.output import is_terminal

        hidden = self.output.quiet or getattr(self.args, "no_progress", False)
        if not hidden and is_terminal(sys.stderr):
            from edulearn_migrate.cli.progress import Progress

            self._progress = Progress(sys.stderr)

    def backups(self, engine: Engine) -> Backups:
        """The backups of that engine's database in the backup directory."""
        from edulearn_migrate._native import Backups

        return Backups(engine, self.settings.backup_dir)

    def assessments(self, engine: Engine) -> Assessments:
        """The assessment model of that engine's database; its backup goes into the directory."""
        from edulearn_migrate._native import Assessments

        return Assessments(engine, self.settings.backup_dir)

    def audited_without_database(self) -> AuditLog:
        """The audit log for a command that writes files only."""
        from edulearn_migrate.cli.audit import AuditLog

        self._audit = AuditLog(self.settings.audit_log, command=self.command, database="")
        return self._audit

    def target(self) -> str:
        """Hosts and database, as in `localhost:27017/edulearn`; never a secret."""
        from edulearn_migrate._native import describe_target

        return describe_target(self.settings.uri, self.settings.database)

    @property
    def lock_timeout(self) -> float:
        """Seconds to wait for another run."""
        from edulearn_migrate.cli.general import DEFAULT_LOCK_TIMEOUT

        return float(getattr(self.args, "lock_timeout", DEFAULT_LOCK_TIMEOUT))

    def observe(self, event: dict[str, Any]) -> None:
        """Pass on an event of the engine; called from any thread."""
        if self._audit is not None:
            self._audit.event(event)
        if self._progress is not None:
            self._progress.event(event)
        if event["kind"] in _SAID_BY_THE_COMMAND and self._level > 20:
            return
        if event["kind"] != "progress" or self._level <= 10:
            self.log(event["level"], event["message"])

    def log(self, level: str, message: str) -> None:
        """To the `edulearn_migrate` logger; the logging module is loaded for the first line."""
        number = _SEVERITY.get(level, 20)
        if number >= self._level:
            self._configure_logging()
            self._logger.log(number, "%s", one_line(safe(message)))

    def ignored(self, files: list[dict[str, Any]]) -> None:
        """Name the files in the migrations directory that are none, on stderr; or its absence."""
        settings = self.settings
        if not settings.migrations_dir_named and not os.path.isdir(settings.migrations_dir):
            self.warn(
                f"There is no directory {os.path.abspath(settings.migrations_dir)}: only what the "
                "database records is known. --migrations-dir names another directory."
            )
        for each in files:
            self.warn(f"Ignored: {each['file']}: {each['reason']}")

    def warn(self, text: str) -> None:
        """A line for people on stderr."""
        warn(text)

    def finish(self) -> None:
        """Take the progress bar away, before lines are printed."""
        progress, self._progress = self._progress, None
        if progress is not None:
            progress.close()

    def _configure_logging(self) -> None:
        if self._logger is not None:
            return
        import logging

        from edulearn_migrate.cli.logs import Lines

        self._logger = logging.getLogger("edulearn_migrate")
        if sys.stderr is not None:
            self._logger.addHandler(Lines(sys.stderr))
        self._logger.setLevel(self._level)
        self._logger.propagate = False
