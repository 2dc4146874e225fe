"""A real mongod of one's own: for a first look, for tests and for rehearsals.

`LocalServer` runs a private single-node replica set on 127.0.0.1; nothing of it is left when the
program that started it has ended. `python -m edulearn_migrate.local -- COMMAND` runs a command
beside one.
"""

from __future__ import annotations

from .binary import find_mongod
from .errors import LocalServerError
from .server import LocalServer

__all__ = ["LocalServer", "LocalServerError", "find_mongod"]
