"""Connection strings as text, read as PyMongo reads them.

Nothing is imported here that costs start-up time, and nothing is looked up over the network. What a
connection string says may be a secret wherever it is malformed, so no error shows any of it.
"""

from __future__ import annotations

TYPE_CHECKING = False  # typing.TYPE_CHECKING, without the import of typing

if TYPE_CHECKING:
    from collections.abc import Iterable

RESERVED_DATABASES = ("admin", "local", "config")
"""The server's own databases: never the target of a migration."""

SCHEMES = ("mongodb", "mongodb+srv")

_TAGS = "readpreferencetags"
_ESCAPE = (
    "In the user name and the password, the characters : / ? # [ ] @ % must be escaped: "
    'python -c "import urllib.parse; print(urllib.parse.quote_plus(input()))" does that.'
)


class UriError(ValueError):
    """A connection string that cannot be used; the text says why and never shows the string."""


class ConnectionString:
    """The parts of a connection string, decoded. Raises `UriError` for one that cannot be read."""

    __slots__ = ("database", "hosts", "options", "password", "scheme", "username")

    scheme: str
    username: str | None
    password: str | None
    hosts: list[str]
    """As they are written; the path of a Unix socket stays escaped."""
    database: str | None
    """The database of the path, without the collection that PyMongo allows behind it."""
    options: list[tuple[str, str]]
    """Name and value of each option, in their order."""

    def __init__(self, uri: str) -> None:
        self.scheme, separator, rest = uri.partition("://")
        if not separator or self.scheme not in SCHEMES:
            raise UriError(
                "The connection string must have the scheme mongodb or mongodb+srv. "
                "It is not shown here because it may hold a password."
            )
        before, _, query = rest.partition("?")
        location, _, path = before.partition("/")
        userinfo, at, hosts = location.rpartition("@")
        if not at and "@" in before + query:
            # The first of these characters ended what was to be the password.
            mark = "/" if "@" in path else "?"
            raise UriError(
                f"The connection string has an @ after the first {mark}: the user name or the "
                f"password holds an unescaped {mark}. {_ESCAPE}"
            )
        if "@" in path:
            raise UriError(f"The database name in the connection string holds an @. {_ESCAPE}")
        self.username, self.password = _credentials(userinfo) if at else (None, None)
        self.hosts = hosts.split(",")
        for number, host in enumerate(self.hosts, 1):
            _check_host(host, number, srv=self.scheme == "mongodb+srv")
        self.database = _database(path)
        self.options = _options(query) if query else []


def write(
    scheme: str,
    username: str | None,
    password: str | None,
    hosts: Iterable[str],
    database: str | None,
    options: Iterable[tuple[str, str]],
) -> str:
    """The connection string of these parts, everything in it escaped."""
    from urllib.parse import quote

    credentials = ""
    if username:
        credentials = quote(username, safe="")
        if password is not None:
            credentials += ":" + quote(password, safe="")
        credentials += "@"
    query = "&".join(f"{name}={quote(value, safe='')}" for name, value in options)
    path = quote(database or "", safe="")
    start = f"{scheme}://{credentials}{','.join(hosts)}"
    if query:
        return f"{start}/{path}?{query}"
    return f"{start}/{path}" if path else start


def database_in(uri: str) -> str | None:
    """The database that a connection string names in its path, or None.

    `mongodb://host/edulearn.users` names a collection too, as PyMongo allows: only the database
    counts. A string that cannot be read names none; whoever connects to it learns why.
    """
    try:
        return ConnectionString(uri).database
    except UriError:
        return None


def _decoded(text: str) -> str:
    if "%" not in text and "+" not in text:
        return text
    from urllib.parse import unquote_plus

    return unquote_plus(text)


def _credentials(userinfo: str) -> tuple[str, str | None]:
    name, colon, secret = userinfo.partition(":")
    if "@" in userinfo:
        raise UriError(f"The user name or the password holds an unescaped @. {_ESCAPE}")
    if ":" in secret:
        raise UriError(f"The user name or the password holds an unescaped colon. {_ESCAPE}")
    if _stray_percent(userinfo):
        raise UriError(
            f"The user name or the password holds a % that begins no escape (%25 stands for %). "
            f"{_ESCAPE}"
        )
    if not name:
        raise UriError("The connection string has an @ but no user name before it.")
    return _decoded(name), _decoded(secret) if colon else None


def _stray_percent(text: str) -> bool:
    digits = "0123456789abcdefABCDEF"
    pieces = text.split("%")[1:]
    return any(len(each) < 2 or each[0] not in digits or each[1] not in digits for each in pieces)


def _check_host(host: str, number: int, *, srv: bool) -> None:
    which = f"The connection string's host number {number}"
    if not host:
        raise UriError(f"{which} is empty; it is written as in mongodb://localhost:27017.")
    if host.lower().endswith(".sock"):
        return
    if host.startswith("["):
        address, bracket, rest = host[1:].partition("]")
        if not bracket or not address or (rest and not rest.startswith(":")):
            raise UriError(f"{which} is no IPv6 address in brackets, as in [::1]:27017.")
        colon, port = rest[:1], rest[1:]
    else:
        address, colon, port = host.partition(":")
        if ":" in port:
            raise UriError(
                f"{which} has more than one colon. An IPv6 address goes into brackets, as in "
                f"[::1]:27017. {_ESCAPE}"
            )
        if not address or not all(each.isalnum() or each in "-._" for each in address):
            raise UriError(f"{which} holds a character that no host name has. {_ESCAPE}")
    if srv and colon:
        raise UriError("A mongodb+srv connection string names one host, without a port.")
    if colon and not (port.isascii() and port.isdigit() and 0 < int(port) < 65536):
        raise UriError(f"{which} has a port that is no number from 1 to 65535. {_ESCAPE}")


def _database(path: str) -> str | None:
    name = _decoded(path).split(".", 1)[0]
    if any(each in name for each in ' "$/\\\0'):
        raise UriError(
            'The database in the connection string must not hold a space or any of "$/\\.'
        )
    return name or None


def _options(query: str) -> list[tuple[str, str]]:
    if "&" in query and ";" in query:
        raise UriError(
            "The connection string separates its options with both & and ;. Use & everywhere, and "
            "write a ; inside a value as %3B."
        )
    found: dict[str, tuple[str, str]] = {}
    tags: list[tuple[str, str]] = []
    for number, pair in enumerate(query.split(";" if ";" in query else "&"), 1):
        if not pair:
            continue
        name, equals, value = pair.partition("=")
        if not equals or ("=" in value and name.lower() != "authmechanismproperties"):
            raise UriError(
                f"Option number {number} after the ? of the connection string is not of the form "
                f"name=value. {_ESCAPE}"
            )
        if "@" in value and _unknown_to_be_safe(name):
            raise UriError(
                f"Option number {number} after the ? of the connection string holds an @. {_ESCAPE}"
            )
        if name.lower() == _TAGS:
            tags.append((name, _decoded(value)))
        else:
            # Of an option that is given twice, PyMongo takes the last.
            found[name.lower()] = (name, _decoded(value))
    return [*found.values(), *tags]


def _unknown_to_be_safe(name: str) -> bool:
    """Whether an @ in the value of this option hints at a password that was cut in two."""
    return name.lower() not in (
        "authmechanismproperties",
        "tlscertificatekeyfilepassword",
        "appname",
    )
