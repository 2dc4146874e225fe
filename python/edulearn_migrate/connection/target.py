"""From a database object to the connection string that reaches the same database the same way.

The engine makes its own connections. They must lead to the very database that was passed, with the
same credentials, TLS, hosts, timeouts and concerns; so the arguments the client was made with are
carried over one by one (`options`), and what cannot be honoured raises `SettingsError` instead
of being dropped.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from edulearn_migrate._native import SettingsError
from edulearn_migrate.connection.options import carried_over, for_the_driver, known_options
from edulearn_migrate.connection.table import READS_PRIMARY, Note, OptionError, Pair
from edulearn_migrate.connection.uri import ConnectionString, UriError, database_in, write

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

# Told apart by type, through the names in the inheritance chain: asking these objects for an
# attribute proves nothing, since every attribute "exists" on them as a database or a collection,
# and importing a driver that the application does not use would be slow or impossible.
_DATABASES = {
    ("pymongo.database", "Database"),
    ("pymongo.synchronous.database", "Database"),
    ("pymongo.asynchronous.database", "AsyncDatabase"),
}
_MOTOR_DATABASES = {("motor.core", "AgnosticDatabase")}
_CLIENTS = {
    ("pymongo.mongo_client", "MongoClient"),
    ("pymongo.synchronous.mongo_client", "MongoClient"),
    ("pymongo.asynchronous.mongo_client", "AsyncMongoClient"),
    ("motor.core", "AgnosticClient"),
}
_COLLECTIONS = {
    ("pymongo.collection", "Collection"),
    ("pymongo.synchronous.collection", "Collection"),
    ("pymongo.asynchronous.collection", "AsyncCollection"),
    ("motor.core", "AgnosticCollection"),
}

# Where PyMongo keeps the arguments of a client: 4.5 to 4.8 under the mangled name.
_ARGUMENTS = ("_init_kwargs", "_MongoClient__init_kwargs", "_AsyncMongoClient__init_kwargs")


def target(database: object, name: str | None = None) -> tuple[str, str]:
    """The connection string and the database name for what a caller passed.

    `database` is a database of PyMongo (sync or async) or Motor, or a connection string; `name`
    goes with a connection string only, and may be left out where that names a database. Raises
    `SettingsError` where an option cannot be honoured.
    """
    if isinstance(database, str):
        return _from_uri(database, name)
    if name is not None:
        raise SettingsError(
            "A database name goes with a connection string; a database object has its own."
        )
    kinds = {(kind.__module__, kind.__name__) for kind in type(database).__mro__}
    if kinds & _MOTOR_DATABASES:
        # Motor wraps a PyMongo database and keeps it here.
        return _from_database(vars(database)["delegate"])
    if kinds & _DATABASES:
        return _from_database(database)
    if kinds & _CLIENTS:
        raise SettingsError(
            'That is a client; pass one of its databases, as in client["edulearn"].'
        )
    if kinds & _COLLECTIONS:
        raise SettingsError("That is a collection; pass its database.")
    raise SettingsError(
        f"Expected a database of PyMongo or Motor, or a connection string and a database name, "
        f"not {type(database).__module__}.{type(database).__qualname__}."
    )


def _from_uri(uri: str, name: str | None) -> tuple[str, str]:
    try:
        chosen = name or database_in(uri)
        notes: list[Note] = []
        cleaned = for_the_driver(uri, notes)
    except UriError as error:
        raise SettingsError(str(error)) from None
    _log(notes)
    if chosen is None:
        raise SettingsError("The connection string names no database; pass its name as well.")
    return cleaned, chosen


def _from_database(database: Any) -> tuple[str, str]:
    client = database.client
    for attribute in _ARGUMENTS:
        arguments = vars(client).get(attribute)
        if arguments is not None:
            return _uri(arguments, database), database.name
    raise SettingsError(
        "This version of PyMongo does not tell how its client was made; "
        "pass a connection string and a database name instead of the database object."
    )


def _uri(arguments: Mapping[str, Any], database: Any) -> str:
    """The connection string that says what `MongoClient(**arguments)` does."""
    rest = dict(arguments)
    address = _Address(rest.pop("host", None), rest.pop("port", None))
    # A keyword wins over the same option in the connection string, as in PyMongo.
    options: dict[str, Any] = {**address.options, **{k.lower(): v for k, v in rest.items()}}
    # Even None as a keyword: then PyMongo does not authenticate.
    username = options.pop("username", address.username)
    password = options.pop("password", address.password)

    notes: list[Note] = []
    try:
        srv = address.scheme == "mongodb+srv"
        pairs = [*carried_over(options, notes, srv=srv), *_concerns(database, notes)]
    except OptionError as refused:
        raise SettingsError(
            f"The client's option {refused.name} cannot be honoured by the migration engine: "
            f"{refused.reason}. Pass a database from a client without it, or a connection string "
            f"and a database name."
        ) from None
    _log(notes)
    return write(address.scheme, username, password, address.hosts, address.database, pairs)


def _concerns(database: Any, notes: list[Note]) -> Iterator[Pair]:
    """The write concern, read concern and read preference in force on a PyMongo database object.

    Raises `SettingsError` for unacknowledged writes, `fsync`, and hedged reads.
    """
    write: Mapping[str, Any] = database.write_concern.document
    if write.get("w") == 0:
        raise OptionError("w=0", "a migration needs acknowledged writes")
    if write.get("fsync"):
        raise OptionError("fsync", "use journal instead")
    for key, name in (("w", "w"), ("wtimeout", "wTimeoutMS"), ("j", "journal")):
        if key in write:
            value = write[key]
            yield name, str(value).lower() if isinstance(value, bool) else str(value)

    level = database.read_concern.level
    if level is not None:
        yield "readConcernLevel", level

    preference = database.read_preference
    document: Mapping[str, Any] = preference.document
    if document["mode"] == "primary":
        return
    notes.append(("warning", READS_PRIMARY))
    yield "readPreference", document["mode"]
    if document.get("hedge"):
        raise OptionError("hedge", "it does not hedge reads")
    for tags in document.get("tags") or ():
        if any(mark in part for pair in tags.items() for part in pair for mark in ",:"):
            raise OptionError("readPreferenceTags", "a tag with , or : cannot be carried over")
        yield "readPreferenceTags", ",".join(f"{key}:{value}" for key, value in tags.items())
    if document.get("maxStalenessSeconds", -1) != -1:
        yield "maxStalenessSeconds", str(document["maxStalenessSeconds"])


def _log(notes: list[Note]) -> None:
    if notes:
        import logging

        for level, text in notes:
            logging.getLogger("edulearn_migrate").log(getattr(logging, level.upper()), "%s", text)


class _Address:
    """What a client's `host` and `port` say: hosts, and one connection string's other parts."""

    def __init__(self, host: str | list[str] | tuple[str, ...] | None, port: int | None) -> None:
        self.scheme = "mongodb"
        self.hosts: list[str] = []
        self.username: str | None = None
        self.password: str | None = None
        self.database: str | None = None
        """The database of the path. It is the default of authSource, so it has to stay."""
        self.options: dict[str, Any] = {}
        self._port = 27017 if port is None else port
        entries = ["localhost"] if host is None else [host] if isinstance(host, str) else list(host)
        for entry in entries:
            # The test PyMongo makes: a host name cannot contain a slash.
            if "/" in entry:
                self._read_uri(entry)
            else:
                self.hosts += [self._with_port(each) for each in entry.split(",")]
        if self.scheme == "mongodb+srv" and len(self.hosts) > 1:
            raise SettingsError("A mongodb+srv client cannot have further hosts.")

    def _read_uri(self, uri: str) -> None:
        parts = ConnectionString(uri)
        self.scheme = parts.scheme
        if parts.username:
            self.username, self.password = parts.username, parts.password
        if parts.database:
            self.database = parts.database
        srv = self.scheme == "mongodb+srv"
        self.hosts += [each if srv else self._with_port(each) for each in parts.hosts]
        # PyMongo passes over an option of a connection string that it does not know.
        self.options.update(known_options(parts))

    def _with_port(self, host: str) -> str:
        has_port = ":" in host.rpartition("]")[2]
        return host if has_port or host.endswith(".sock") else f"{host}:{self._port}"
