"""Trying migrations out, there and back, where nothing can be harmed.

`ThereAndBack` takes one migration through: applied, rolled back by its down script, compared with
what was before; applied again, rolled back exactly, compared. `rehearse` does so for what is
pending, on a private server with the data of a backup or of the live database; `testing` does it
for one migration in a test's own database. Everything here works on the engine's plain answers.
"""

from __future__ import annotations

from edulearn_migrate.rehearsal.format import differences, remarks
from edulearn_migrate.rehearsal.rehearsal import rehearse
from edulearn_migrate.rehearsal.snapshot import Snapshot
from edulearn_migrate.rehearsal.there_and_back import ThereAndBack

__all__ = ["Snapshot", "ThereAndBack", "differences", "rehearse", "remarks"]
