"""One migration applied and rolled back on a database for tests, and compared each time."""

from __future__ import annotations

import json
import re
import shutil
import tempfile
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from edulearn_migrate import _native
from edulearn_migrate.connection.target import target
from edulearn_migrate.rehearsal import Snapshot, ThereAndBack, differences
from edulearn_migrate.reports.rehearsal import RoundTrip

if TYPE_CHECKING:
    import os

    from pymongo.database import Database

    Script = str | os.PathLike[str] | Mapping[str, Any]
    Data = Mapping[str, Iterable[Mapping[str, Any]]] | Callable[[Database[Any]], object]

_NAMED = re.compile(r"migration_(\d+)_.+\.json")


def assert_round_trip(
    migration: Script,
    *,
    uri: str,
    database: str,
    data: Data | None = None,
    migrations_dir: str | os.PathLike[str] | None = None,
    strict_order: bool = False,
    after: Literal["all"] | None = None,
) -> RoundTrip:
    """Assert that all of a database comes back when a migration is applied and rolled back.

    Applied, rolled back by its down script and compared with what was before; applied again, rolled
    back exactly and compared. Compared are documents, whose fields may come back in another order,
    collections with their options, and indexes. Afterwards `database` is as it was, but for this
    tool's own collections.

    Args:
        migration: the path of a migration file, a migration as a dict, or with `migrations_dir` an
            id. Only this one is applied, unless `after` says otherwise.
        uri: the connection string of a server to test on; never the production server's.
        database: a database of that server that nobody else uses. A second one, `<database>_was`,
            is made beside it and dropped.
        data: what to put into `database` first: documents by collection, or a function that is
            called with the database. Both need PyMongo.
        migrations_dir: where to look for an id.
        after: with "all", the migrations before it in its directory are applied first, and stay.
        strict_order: whether the fields of documents have to come back in their order.

    Returns:
        What was measured and compared.

    Raises:
        AssertionError: something did not come back, or a step failed; the message says what.
    """
    __tracebackhide__ = True
    uri, database = target(uri, database)
    copy = f"{database}_was"
    if data is not None:
        _put(uri, database, data)
    with tempfile.TemporaryDirectory(prefix="edulearn-round-trip-") as place:
        scripts = Path(place, "migrations")
        scripts.mkdir()
        id = _write(migration, migrations_dir, scripts)
        earlier = [] if after is None else _earlier(migration, migrations_dir, id, scripts)
        before = Snapshot(uri, database, copy, Path(place, "snapshots"))
        try:
            engine = _native.Engine(uri, database, migrations_dir=scripts)
            for each in earlier:
                engine.apply(each).run()
            before.take()
            trip = ThereAndBack(engine, id, before, strict_order=strict_order).run()
        finally:
            before.drop()
    if trip["outcome"] != "came_back":
        raise AssertionError("\n".join(_message(trip)))
    return RoundTrip.from_dict(trip)


def _message(trip: dict[str, Any]) -> Iterable[str]:
    """What did not come back, line by line."""
    yield f"{trip['id']} does not come back from its round trip."
    for failure in trip["failures"]:
        yield f"Failed ({failure['step']}): {failure['message']}"
    for way, compared in (("down script", trip["down"]), ("exact rollback", trip["exact"])):
        if compared is not None and not compared["same"]:
            yield f"After the {way}, compared with before:"
            yield from (f"  {line}" for line in differences(compared))


def _write(migration: Script, migrations_dir: str | os.PathLike[str] | None, scripts: Path) -> str:
    """Put the migration into a directory of its own, and return its id."""
    if isinstance(migration, Mapping):
        # Behind every other one.
        name = f"migration_{10**14 - 1}"
        (scripts / f"{name}_of_this_test.json").write_text(_json(migration), encoding="utf-8")
        return name
    path = Path(migration)
    if migrations_dir is not None:
        path = _file_of(str(migration), Path(migrations_dir))
    if not path.is_file():
        raise FileNotFoundError(
            f"{path} is no migration file: name its path, or an id with migrations_dir=."
        )
    named = _NAMED.fullmatch(path.name)
    shutil.copy(path, scripts / (path.name if named else f"migration_1_{path.stem}.json"))
    return f"migration_{named[1]}" if named else "migration_1"


def _earlier(
    migration: Script, migrations_dir: str | os.PathLike[str] | None, id: str, scripts: Path
) -> list[str]:
    """Copy the migrations before this one in its directory too; their ids, in order."""
    if migrations_dir is not None:
        directory = Path(migrations_dir)
    elif isinstance(migration, Mapping):
        raise ValueError('after="all" needs migrations_dir= where the migration is no file.')
    else:
        directory = Path(migration).parent
    numbered = [
        (int(named[1]), path)
        for path in directory.iterdir()
        if (named := _NAMED.fullmatch(path.name))
    ]
    own = int(id.removeprefix("migration_")) if not isinstance(migration, Mapping) else None
    ids = []
    for number, path in sorted(numbered):
        if own is None or number < own:
            shutil.copy(path, scripts / path.name)
            ids.append(path.name[: path.name.index("_", len("migration_"))])
    return ids


def _file_of(id: str, directory: Path) -> Path:
    """The file of the migration with that id or stem."""
    files = sorted(path for path in directory.iterdir() if _NAMED.fullmatch(path.name))
    found = [path for path in files if path.stem == id or path.name.startswith(f"{id}_")]
    if len(found) != 1:
        raise FileNotFoundError(f"{directory} has {len(found)} files of a migration {id!r}.")
    return found[0]


def _json(migration: Mapping[str, Any]) -> str:
    """As Extended JSON, where PyMongo is there to write its types."""
    try:
        from bson import json_util
    except ImportError:
        return json.dumps(migration)
    return json_util.dumps(migration, json_options=json_util.CANONICAL_JSON_OPTIONS)


def _put(uri: str, database: str, data: Data) -> None:
    try:
        from pymongo import MongoClient
    except ImportError:
        raise ImportError("data= is inserted with PyMongo: install pymongo.") from None
    with MongoClient[Any](uri) as client:
        if not isinstance(data, Mapping):
            data(client[database])
            return
        for collection, documents in data.items():
            # Copies: PyMongo puts an `_id` into what it inserts.
            listed = [dict(each) for each in documents]
            if listed:
                client[database][collection].insert_many(listed)
