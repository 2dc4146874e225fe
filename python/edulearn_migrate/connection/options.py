"""What becomes of a client's options: carried over, irrelevant, passed over, or refused."""

from __future__ import annotations

from edulearn_migrate.connection.table import (
    CARRIED,
    FROM_THE_DATABASE,
    IRRELEVANT,
    KNOWN,
    LIMITS,
    READS_PRIMARY,
    REFUSED,
    TLS,
    Note,
    OptionError,
    Pair,
)
from edulearn_migrate.connection.uri import ConnectionString, UriError, write

TYPE_CHECKING = False  # typing.TYPE_CHECKING, without the import of typing

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from typing import Any


def carried_over(
    options: Mapping[str, Any], notes: list[Note] | None = None, *, srv: bool = False
) -> Iterator[Pair]:
    """The name and value for the connection string of each option, given by lower-case names.

    `srv` says whether it is a mongodb+srv one, which uses TLS by itself. What is passed over is
    said in `notes`. Raises `OptionError` for an option that cannot be honoured, for one that is not
    known, and for a value that the option cannot have.
    """
    written: dict[str, str] = {}
    for key, value in options.items():
        if key in IRRELEVANT or key in FROM_THE_DATABASE or key in TLS:
            continue
        if key in LIMITS:
            if value not in (None, 0, "0") and notes is not None:
                text = (
                    f"{LIMITS[key]} is passed over: the engine sets its own limits per operation."
                )
                notes.append(("info", text))
        elif key in CARRIED:
            name, convert = CARRIED[key]
            carried = _converted(name, convert, value)
            if carried is not None:
                written[name] = carried
        elif key in REFUSED:
            name, harmless, reason = REFUSED[key]
            if value not in harmless:
                raise OptionError(name, reason)
        else:
            raise OptionError(key, "it does not know it")
    if "zlib" not in written.get("compressors", ""):
        written.pop("zlibCompressionLevel", None)
    yield from written.items()
    yield from _tls(options, notes, srv=srv)


def _converted(name: str, convert: Callable[[Any], str | None], value: Any) -> str | None:
    try:
        return convert(value)
    except OptionError:
        raise
    except (TypeError, ValueError, OverflowError):
        # The value is not shown: in a connection string it may be a part of a password.
        raise OptionError(name, "its value is none that this option can have") from None


def _tls(options: Mapping[str, Any], notes: list[Note] | None, *, srv: bool) -> Iterator[Pair]:
    """The options of TLS, as PyMongo understands them: some turn TLS on, others only weaken it."""
    found: dict[str, str] = {}
    for key, (name, convert) in TLS.items():
        text = _converted(name, convert, options.get(key)) if key in options else None
        if text is None:
            continue
        if name == "tls" and found.get(name, text) != text:
            raise OptionError("tls", "tls and ssl contradict each other")
        found[name] = text
    files = ("tlsCAFile", "tlsCertificateKeyFile", "tlsCertificateKeyFilePassword", "tlsCRLFile")
    strict = (
        "tlsAllowInvalidCertificates",
        "tlsAllowInvalidHostnames",
        "tlsDisableOCSPEndpointCheck",
    )
    turns_on = [each for each in files if each in found]
    turns_on += [each for each in strict if found.get(each) == "false"]
    if "tls" not in found:
        if turns_on:
            found["tls"] = "true"
        elif not srv:
            # Nothing asks for TLS, and the native driver would take what is left as asking for it.
            return
    elif found["tls"] == "false" and turns_on:
        raise OptionError(turns_on[0], "it needs TLS, which the option tls turns off")
    unchecked = "true" in (found.get("tlsInsecure"), found.get("tlsAllowInvalidCertificates"))
    # Where certificates are not checked at all, host names are not either.
    if found.pop("tlsAllowInvalidHostnames", "false") == "true" and not unchecked:
        raise OptionError(
            "tlsAllowInvalidHostnames",
            "it checks the host name whenever it checks the certificate",
        )
    if "tlsCRLFile" in found:
        raise OptionError("tlsCRLFile", "it cannot check a certificate revocation list")
    if found.pop("tlsDisableOCSPEndpointCheck", "true") == "false" and notes is not None:
        text = (
            "tlsDisableOCSPEndpointCheck=false is passed over: the engine makes no OCSP requests."
        )
        notes.append(("warning", text))
    if "tls" in found:
        yield "tls", found.pop("tls")
    yield from found.items()


def known_options(parts: ConnectionString, notes: list[Note] | None = None) -> dict[str, Any]:
    """The options of a connection string by lower-case names, without those that nobody knows."""
    options: dict[str, Any] = {}
    for number, (name, value) in enumerate(parts.options, 1):
        key = name.lower()
        if key in KNOWN:
            options[key] = value
        elif notes is not None:
            # PyMongo passes over it, too. Its name may be a part of an unescaped password.
            text = f"Option number {number} of the connection string is unknown and is passed over."
            notes.append(("warning", text))
    if notes is not None and str(options.get("readpreference", "primary")).lower() != "primary":
        notes.append(("warning", READS_PRIMARY))
    return options


def for_the_driver(uri: str, notes: list[Note] | None = None) -> str:
    """The connection string for the native driver that does what PyMongo does with this one.

    So `MONGO_URI` can be the one that the backend uses. What is passed over is said in `notes`.
    Raises `UriError` for what cannot be read and for an option that cannot be honoured.
    """
    parts = ConnectionString(uri)
    try:
        srv = parts.scheme == "mongodb+srv"
        pairs = list(carried_over(known_options(parts, notes), notes, srv=srv))
    except OptionError as refused:
        raise UriError(
            f"The connection string's option {refused.name} cannot be honoured by the migration "
            f"engine: {refused.reason}. Take it out of the connection string for migrations."
        ) from None
    return write(parts.scheme, parts.username, parts.password, parts.hosts, parts.database, pairs)
