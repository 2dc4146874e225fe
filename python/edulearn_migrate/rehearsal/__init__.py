"""Trying migrations out, there and back, where nothing can be harmed.

`round_trip` takes one migration through: applied, rolled back by its down script, compared with
what was before; applied again, rolled back exactly, compared. `rehearse` does so for what is
pending, on a private server with the data of a backup or of the live database; `testing` does it
for one migration in a test's own database. Everything here works on the engine's plain answers.
"""

from __future__ import annotations

from edulearn_migrate.rehearsal.course import rehearse
from edulearn_migrate.rehearsal.station import Station
from edulearn_migrate.rehearsal.trip import round_trip
from edulearn_migrate.rehearsal.words import differences, remarks

__all__ = ["Station", "differences", "rehearse", "remarks", "round_trip"]
