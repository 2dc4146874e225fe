"""A fault at every message of every verb, on a replica set."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from edulearn_migrate.local import LocalServer
from faults.enumeration import FAULTS, STEP, Bench
from faults.scenarios import SCENARIOS, Scenario
from harness import SEED


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    with LocalServer() as server:
        bench = Bench(server, tmp_path_factory.mktemp("faults"))
        yield bench
        bench.close()


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
def test_on_a_replica_set(bench: Bench, scenario: Scenario, fault: str) -> None:
    print(f"EDULEARN_SEED={SEED} EDULEARN_FAULTS_STEP={STEP}")
    bench.check(scenario, fault)
