"""Updates over a network: what round trips cost, through a proxy that delays."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from figures import Bound
from ground import ROOT, Ground
from updates import MIGRATION

PROXY = ROOT / "tests" / "python" / "support" / "proxy.py"
# Round trips in milliseconds, and how much of the throughput without any must be left.
WANTED = {50: 0.6, 200: 0.3}


def network(ground: Ground, total: int) -> None:
    """Documents a second of an update and of its exact rollback, near and far."""
    ground.generate(total)
    port = ground.db.client.address[1] if ground.db.client.address else 27017
    figures = ground.figures
    figures.section(f"$set on {total:,} documents over a network")
    near: tuple[float, float] | None = None
    for milliseconds in (0, *WANTED):
        with far_away(port, milliseconds) as uri:
            rates = there_and_back(ground, total, uri)
        near = near or rates
        for what, rate, at_once in zip(("apply", "exact rollback"), rates, near, strict=True):
            name = f"{what}, round trip {milliseconds} ms"
            figures.value(name, rate, " /s")
            if milliseconds:
                share = f"share of that without delay, {name}"
                bound = Bound(WANTED[milliseconds], at_least=True)
                figures.value(share, rate / at_once, "", bound)


@contextmanager
def far_away(port: int, milliseconds: int) -> Iterator[str]:
    """The connection string of the server at that distance."""
    command = [sys.executable, str(PROXY), str(port), str(milliseconds / 2_000)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as proxy:
        assert proxy.stdin is not None and proxy.stdout is not None
        try:
            own = int(proxy.stdout.readline())
            yield f"mongodb://127.0.0.1:{own}/?directConnection=true"
        finally:
            proxy.stdin.close()


def there_and_back(ground: Ground, total: int, uri: str) -> tuple[float, float]:
    """The rates of the operation and of its undoing, without what a process costs."""
    ground.clear()
    ground.write_migration(1, MIGRATION)
    ground.fresh()
    done = json.loads(ground.ours("apply", "--json", "--uri", uri).stdout)
    ground.check(total)
    undone = json.loads(ground.ours("rollback", "--exact", "--json", "--uri", uri).stdout)
    if ground.db["users"].count_documents({"schema_version": 2}):
        raise RuntimeError("not every document has been restored")
    seconds = [report["migrations"][0]["operations"][0]["seconds"] for report in (done, undone)]
    return total / seconds[0], total / seconds[1]
