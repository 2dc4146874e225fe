"""A fault at one message after the other: what is tried, and what must hold afterwards.

EDULEARN_FAULTS_STEP says that every so many-th message is tried (1: all of them), from a place that
EDULEARN_SEED decides.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
from collections.abc import Iterator
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pymongo
import pytest

from edulearn_migrate import Migrator
from edulearn_migrate.local import LocalServer
from faults.forked import Ended, Place, Running, Verbs
from faults.message_proxy import Command, MessageProxy, Strike
from faults.scenarios import BATCH, Scenario
from faults.snapshots import (
    Snapshot,
    differences,
    noted_once,
    snapshot,
    without_captures,
    without_ledger,
    without_lock,
    without_temporary,
)
from harness import SEED, lock_of

STEP = int(os.environ.get("EDULEARN_FAULTS_STEP") or 60)

FAULTS = ("cut", "lost reply", "kill", "stop")


@dataclass(frozen=True)
class Undisturbed:
    """A run that nothing happens to."""

    commands: int
    snapshot: Snapshot


@dataclass(frozen=True)
class _Case:
    """A verb that is ready to be run, perhaps several times."""

    place: Place
    verb: str
    arguments: tuple[Any, ...]
    options: dict[str, Any]
    before: Snapshot = field(default_factory=dict)
    """What the application has before."""


@dataclass
class Outcome:
    """What became of one fault."""

    command: Command
    first: Ended
    other: Ended | None = None
    """The run that acted while the first was stopped."""
    taken_from: Snapshot | None = None
    """What stood when the first run was stopped, if it held the lease then."""
    second: Ended | None = None
    """The same command again, where the first run did not succeed."""
    faults: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        runs = {"first run": self.first, "meanwhile": self.other, "again": self.second}
        told = [f"    {name}: {str(run)[:300]}" for name, run in runs.items() if run is not None]
        return "\n".join([f"{self.command}: {'; '.join(self.faults)}", *told])


class Bench:
    """A server behind the proxy, and the processes that work on it."""

    def __init__(self, server: LocalServer, directory: Path) -> None:
        self._server = server
        self.proxy = MessageProxy(server.port, batch=BATCH)
        self.client: pymongo.MongoClient[dict[str, Any]] = pymongo.MongoClient(
            server.uri, tz_aware=True
        )
        self.verbs = Verbs()
        self._once = "setName" in self.client.admin.command("hello")
        self._directory = directory
        self._undisturbed: dict[str, Undisturbed] = {}
        # A set's member would be found at its own port, past the proxy.
        self._through = f"mongodb://127.0.0.1:{self.proxy.port}/?directConnection=true"

    def close(self) -> None:
        """Ends everything but the server."""
        self.verbs.close()
        self.proxy.close()
        self.client.close()

    def undisturbed(self, scenario: Scenario) -> Undisturbed:
        """The scenario without a fault."""
        if scenario.name not in self._undisturbed:
            case = self._prepared(scenario)
            self.proxy.arm()
            ended = self._start(case).end()
            assert ended.well, f"{scenario.name} without any fault: {ended}"
            commands = self.proxy.commands
            self._undisturbed[scenario.name] = Undisturbed(commands, self._taken(case))
        return self._undisturbed[scenario.name]

    def numbers(self, scenario: Scenario, fault: str, step: int) -> range:
        """The commands to strike at: every `step`-th, from a random one."""
        offset = random.Random(f"{SEED} {scenario.name} {fault}").randrange(step)
        return range(1 + offset % self.undisturbed(scenario).commands, 10**6, step)

    def check(self, scenario: Scenario, fault: str, step: int = STEP) -> None:
        """Tries the fault at every `step`-th command and fails with all that was wrong."""
        __tracebackhide__ = True
        outcomes = list(self.every(scenario, fault, step))
        wrong = [outcome for outcome in outcomes if outcome.faults]
        print(f"{len(outcomes)} of {self.undisturbed(scenario).commands} commands")
        assert outcomes
        if wrong:
            text = "\n".join(map(str, wrong))
            pytest.fail(f"{len(wrong)} of {len(outcomes)}:\n{text}", pytrace=False)

    def every(self, scenario: Scenario, fault: str, step: int = STEP) -> Iterator[Outcome]:
        """Tries the fault at one command after the other, until there is no such command."""
        last = self.undisturbed(scenario).commands
        for number in self.numbers(scenario, fault, step):
            outcome = self.strike(scenario, fault, number)
            if outcome is None:
                assert number > last // 2, f"there is no command {number} of {last}"
                return
            yield outcome

    def strike(self, scenario: Scenario, fault: str, number: int) -> Outcome | None:
        """One fault at one command; None where the run had fewer commands."""
        expected = self.undisturbed(scenario).snapshot
        case = self._prepared(scenario)
        outcome: Outcome | None = getattr(self, f"_{fault.replace(' ', '_')}")(case, number)
        if outcome is None:
            return None
        first, other = outcome.first, outcome.other
        if fault in ("cut", "lost reply") and scenario.outwaits and not first.well:
            outcome.faults.append("the first run did not outwait it")
        if first.well and outcome.taken_from is not None:
            left = differences(expected, outcome.taken_from)
            # One that had done nothing yet may find that there is nothing left to do.
            found_done = (
                scenario.may_find_it_done and without_ledger(outcome.taken_from) == case.before
            )
            if left and not (found_done or self._only_to_note(scenario, outcome)):
                outcome.faults.append("the run that lost its lease half-way reports success")
                outcome.faults.append(f"when it lost it: {left[0]}")
        done = first.well or (other is not None and other.well)
        if not done:
            self.proxy.arm()
            outcome.second = self._start(case).end()
            if not outcome.second.well:
                outcome.faults.append("the second run did not succeed")
        found = self._taken(case)
        if scenario.repeats and fault in ("kill", "stop"):
            expected, found = noted_once(expected), noted_once(found)
        if fault == "kill" or str(outcome.command).endswith("lock)"):
            # A dead owner's lock stands in nobody's way, and one not given back runs out.
            expected, found = without_lock(expected), without_lock(found)
        if fault == "stop" and self._writes_once_more(outcome):
            expected, found = without_captures(expected), without_captures(found)
        if fault == "stop" and scenario.may_leave:
            found = without_temporary(found)
        outcome.faults += differences(expected, found)
        return outcome

    def _only_to_note(self, scenario: Scenario, outcome: Outcome) -> bool:
        """Whether it had done everything, and had proven its lease for the entry in the history."""
        if not scenario.repeats or not self._writes_once_more(outcome):
            return False
        done = without_ledger(self.undisturbed(scenario).snapshot)
        return not differences(done, without_ledger(outcome.taken_from or {}))

    def _writes_once_more(self, outcome: Outcome) -> bool:
        """Whether the write behind a proof was sent although the lease was lost between the two.

        It is where there are no transactions. An entry of the captures may be of then.
        """
        return not self._once and str(outcome.command).endswith("lock)")

    def _prepared(self, scenario: Scenario) -> _Case:
        name = f"faults_{scenario.name}"
        directory = self._directory / name
        shutil.rmtree(directory, ignore_errors=True)
        directory.mkdir()
        self.client.drop_database(name)
        place = Place(self._server.uri, name, directory)
        scenario.prepare(self.client[name], self.verbs, place)
        arguments, options = scenario.call(place)
        before = without_ledger(snapshot(self.client[name]))
        return _Case(place, scenario.verb, arguments, options, before)

    def _start(self, case: _Case, *, directly: bool = False) -> Running:
        place = case.place if directly else case.place.by(self._through)
        return self.verbs.start(place, case.verb, *case.arguments, **case.options)

    def _taken(self, case: _Case) -> Snapshot:
        place = case.place
        taken = snapshot(self.client[place.database], once=self._once)
        migrator = Migrator(place.uri, place.database, backup_dir=place.directory / "backups")
        made = migrator.list_backups().backups
        # A run that was killed or stopped may have made one, too; every one of them must be good.
        reports = [migrator.verify_backup(each.name) for each in made]
        if reports and case.verb == "backup":
            taken["(newest backup)"] = [{"documents": reports[0].documents}]
        left = {each.name for each in (place.directory / "backups").glob(".*")}
        if left:
            taken["(left beside the backups)"] = [{"names": sorted(left)}]
        return taken

    def _cut(self, case: _Case, number: int) -> Outcome | None:
        """The connection is closed before the command has reached the server."""
        self.proxy.arm(Strike(number, forward=False))
        first = self._start(case).end()
        return self._outcome(first)

    def _lost_reply(self, case: _Case, number: int) -> Outcome | None:
        """The server has done it, and nobody learns of it."""
        self.proxy.arm(Strike(number, answer=False))
        first = self._start(case).end()
        return self._outcome(first)

    def _kill(self, case: _Case, number: int) -> Outcome | None:
        """SIGKILL when the server has done it."""
        running: Future[Running] = Future()
        self.proxy.arm(
            Strike(number, after=lambda _: running.result().send(signal.SIGKILL), answer=False)
        )
        running.set_result(self._start(case))
        first = running.result().end()
        return self._outcome(first)

    def _stop(self, case: _Case, number: int) -> Outcome | None:
        """SIGSTOP when the server has done it, until another run has broken the lock and acted."""
        running: Future[Running] = Future()
        meanwhile: Future[tuple[Snapshot | None, Ended]] = Future()
        self.proxy.arm(
            Strike(number, after=lambda _: self._take_over(case, running.result(), meanwhile))
        )
        running.set_result(self._start(case))
        first = running.result().end()
        outcome = self._outcome(first)
        if outcome is not None:
            outcome.taken_from, outcome.other = meanwhile.result()
        return outcome

    def _outcome(self, first: Ended) -> Outcome | None:
        return None if self.proxy.struck is None else Outcome(self.proxy.struck, first)

    def _take_over(
        self, case: _Case, running: Running, meanwhile: Future[tuple[Snapshot | None, Ended]]
    ) -> None:
        """What another run does while the first one is stopped."""
        running.send(signal.SIGSTOP)
        try:
            held = lock_of(self.client[case.place.database]).get("owner", {}).get("pid")
            self.verbs.well(case.place, "unlock", force=True)
            taken_from = self._taken(case) if held == running.pid else None
            meanwhile.set_result((taken_from, self._start(case, directly=True).end()))
        except BaseException as error:
            meanwhile.set_exception(error)
        finally:
            running.send(signal.SIGCONT)
