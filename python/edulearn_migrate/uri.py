"""Connection strings as text: which database one names, and what only PyMongo understands in one.

Nothing is imported here that costs start-up time, and nothing is looked up over the network.
"""

from __future__ import annotations

RESERVED_DATABASES = ("admin", "local", "config")
"""The server's own databases: never the target of a migration."""

# Options of PyMongo's connection strings that say how PyMongo shows or pools things. The native
# driver refuses some of them, and none changes which server is reached or how.
_PYMONGO_ONLY = {
    "connect",
    "datetime_conversion",
    "tz_aware",
    "unicode_decode_error_handler",
    "uuidrepresentation",
    "waitqueuemultiple",
}

# Options that ask for nothing where they have this value, and cannot be honoured otherwise.
_HARMLESS_AS = {
    "sockettimeoutms": "0",
    "timeoutms": "0",
    "tlsallowinvalidhostnames": "false",
    "tlsdisableocspendpointcheck": "true",
}


class UriError(ValueError):
    """A connection string that cannot be used; the text says why and never shows the string."""


def database_in(uri: str) -> str | None:
    """The database that a connection string names in its path, or None.

    `mongodb://host/edulearn.users` names a collection too, as PyMongo allows: only the database
    counts.
    """
    _, scheme, rest = uri.partition("://")
    if not scheme:
        return None
    before_options = rest.split("?", 1)[0]
    path = before_options.rpartition("@")[2].partition("/")[2]
    if "%" in path:
        from urllib.parse import unquote

        path = unquote(path)
    return path.split(".", 1)[0] or None


def for_the_driver(uri: str) -> str:
    """The same connection string without the options that only PyMongo knows.

    So `MONGO_URI` can be the one the backend uses. Raises `UriError` for an option that PyMongo
    honours and the native driver cannot.
    """
    base, question, options = uri.partition("?")
    if not question:
        return uri
    kept = []
    for pair in options.split("&"):
        name, _, value = pair.partition("=")
        key = name.lower()
        if not pair or key in _PYMONGO_ONLY:
            continue
        if key in _HARMLESS_AS:
            if value.lower() == _HARMLESS_AS[key]:
                continue
            raise UriError(
                f"The connection string sets {name}, which the migration engine cannot honour; "
                f"take it out of the connection string for migrations."
            )
        kept.append(pair)
    return f"{base}?{'&'.join(kept)}" if kept else base
