"""The options of a PyMongo client, one by one: carried over, irrelevant, passed over, or refused.

Every option that PyMongo 4 knows is in exactly one of the tables below. The same tables serve the
keyword arguments of a client and the options of a connection string, `MONGO_URI` included.
"""

from __future__ import annotations

from edulearn_migrate.uri import ConnectionString, UriError, write

TYPE_CHECKING = False  # typing.TYPE_CHECKING, without the import of typing

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from typing import Any

Pair = tuple[str, str]
Note = tuple[str, str]
"""A level of logging, and a sentence about what is passed over."""


class OptionError(ValueError):
    """An option that cannot be honoured: its name, and why."""

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(f"{name}: {reason}")
        self.name = name
        self.reason = reason


def _text(value: Any) -> str | None:
    return None if value in (None, "") else str(value)


def _boolean(value: Any) -> str | None:
    if value is None:
        return None
    text = str(value).lower()
    if text not in ("true", "false"):
        raise ValueError("neither true nor false")
    return text


def _integer(value: Any) -> str | None:
    return None if value is None else str(int(value))


def _milliseconds(value: Any) -> str | None:
    """Whole milliseconds, rounded up: PyMongo takes fractions, the driver does not."""
    return None if value is None else str(-int(-float(value) // 1))


def _unlimited_if_none(value: Any) -> str:
    """None means "wait for ever", which is 0 in a connection string."""
    return _milliseconds(value) or "0"


def _nonzero(value: Any) -> str | None:
    return str(int(value)) if value and int(value) else None


def _mechanism(value: Any) -> str | None:
    if value in (None, "DEFAULT"):
        return None
    if value not in ("SCRAM-SHA-1", "SCRAM-SHA-256", "MONGODB-X509", "PLAIN"):
        known = value in ("GSSAPI", "MONGODB-AWS", "MONGODB-CR", "MONGODB-OIDC")
        which = f", not with {value}" if known else ""
        raise OptionError("authMechanism", f"it authenticates with SCRAM, X.509 and PLAIN{which}")
    return str(value)


def _properties(value: Any) -> str | None:
    if not value:
        return None
    if isinstance(value, str):
        return value
    pairs = []
    for key, each in value.items():
        written = str(each).lower() if isinstance(each, bool) else each
        if not isinstance(written, str) or "," in written:
            raise OptionError(
                "authMechanismProperties", f"{key} cannot be written in a connection string"
            )
        pairs.append(f"{key}:{written}")
    return ",".join(pairs)


def _server_api(value: Any) -> str | None:
    if value is None:
        return None
    if value.version != "1":
        raise OptionError("server_api", "it declares version 1 only")
    if value.strict:
        raise OptionError("server_api", "with strict=True the server refuses to rename collections")
    return str(value.version)


def _compressors(value: Any) -> str | None:
    # Only those the engine has; PyMongo, too, passes over a compressor it cannot use.
    names = value.split(",") if isinstance(value, str) else list(value or ())
    return ",".join(each for each in names if each in ("snappy", "zlib", "zstd")) or None


_CARRIED: dict[str, tuple[str, Callable[[Any], str | None]]] = {
    "appname": ("appName", _text),
    "authmechanism": ("authMechanism", _mechanism),
    "authmechanismproperties": ("authMechanismProperties", _properties),
    "authsource": ("authSource", _text),
    "compressors": ("compressors", _compressors),
    "connecttimeoutms": ("connectTimeoutMS", _unlimited_if_none),
    "directconnection": ("directConnection", _boolean),
    "enableoverloadretargeting": ("enableOverloadRetargeting", _boolean),
    "enable_overload_retargeting": ("enableOverloadRetargeting", _boolean),
    "heartbeatfrequencyms": ("heartbeatFrequencyMS", _milliseconds),
    "loadbalanced": ("loadBalanced", _boolean),
    "localthresholdms": ("localThresholdMS", _milliseconds),
    "maxadaptiveretries": ("maxAdaptiveRetries", _integer),
    "max_adaptive_retries": ("maxAdaptiveRetries", _integer),
    "maxconnecting": ("maxConnecting", _integer),
    "maxidletimems": ("maxIdleTimeMS", _milliseconds),
    "replicaset": ("replicaSet", _text),
    "retryreads": ("retryReads", _boolean),
    "retrywrites": ("retryWrites", _boolean),
    "servermonitoringmode": ("serverMonitoringMode", _text),
    # Connection strings have no such option: the engine takes it out again.
    "server_api": ("x-server-api", _server_api),
    "serverselectiontimeoutms": ("serverSelectionTimeoutMS", _milliseconds),
    "srvmaxhosts": ("srvMaxHosts", _nonzero),
    "srvservicename": ("srvServiceName", _text),
    "zlibcompressionlevel": ("zlibCompressionLevel", _integer),
}

# These have no meaning without TLS, and some of them turn it on: see `_tls`.
_TLS: dict[str, tuple[str, Callable[[Any], str | None]]] = {
    "ssl": ("tls", _boolean),
    "tls": ("tls", _boolean),
    "tlsallowinvalidcertificates": ("tlsAllowInvalidCertificates", _boolean),
    "tlsallowinvalidhostnames": ("tlsAllowInvalidHostnames", _boolean),
    "tlscafile": ("tlsCAFile", _text),
    "tlscertificatekeyfile": ("tlsCertificateKeyFile", _text),
    "tlscertificatekeyfilepassword": ("tlsCertificateKeyFilePassword", _text),
    "tlscrlfile": ("tlsCRLFile", _text),
    "tlsdisableocspendpointcheck": ("tlsDisableOCSPEndpointCheck", _boolean),
    "tlsinsecure": ("tlsInsecure", _boolean),
}

# Limits of the application's requests. The engine sets its own, operation by operation: a chunk,
# an index build and a backup take as long as they take.
_LIMITS = {"sockettimeoutms": "socketTimeoutMS", "timeoutms": "timeoutMS"}

# How PyMongo decodes, pools, reports and starts up. None of it says which server is reached, as
# whom, or how safely, and the engine does each of these its own way.
_IRRELEVANT = {
    "_condition_class",
    "_monitor_class",
    "_pool_class",
    "connect",
    "datetime_conversion",
    "document_class",
    "driver",
    "event_listeners",
    "io_loop",
    "maxpoolsize",
    "minpoolsize",
    "type_registry",
    "tz_aware",
    "tzinfo",
    "unicode_decode_error_handler",
    "uuidrepresentation",
    "waitqueuemultiple",
    "waitqueuetimeoutms",
}

# Read from the database object by `concerns`.
_FROM_THE_DATABASE = {
    "fsync",
    "j",
    "journal",
    "maxstalenessseconds",
    "read_preference",
    "readconcernlevel",
    "readpreference",
    "readpreferencetags",
    "w",
    "wtimeout",
    "wtimeoutms",
}

# What each of these asks for cannot be had; the values in the middle ask for nothing.
_REFUSED: dict[str, tuple[str, tuple[object, ...], str]] = {
    name.lower(): (name, harmless, reason)
    for name, harmless, reason in (
        ("authOIDCAllowedHosts", (None,), "it cannot authenticate with OIDC"),
        ("auto_encryption_opts", (None,), "it does not encrypt fields"),
        ("server_selector", (None,), "it cannot call Python to choose a server"),
        ("srv_host_validator", (None,), "it cannot call Python to check hosts"),
        ("srvAllowedHostsSuffix", (None,), "it applies the standard rule for SRV hosts"),
    )
}


_KNOWN = {
    *_CARRIED,
    *_TLS,
    *_LIMITS,
    *_IRRELEVANT,
    *_FROM_THE_DATABASE,
    *_REFUSED,
} - {"server_api", "server_selector", "auto_encryption_opts", "srv_host_validator"}


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
        if key in _IRRELEVANT or key in _FROM_THE_DATABASE or key in _TLS:
            continue
        if key in _LIMITS:
            if value not in (None, 0, "0") and notes is not None:
                text = (
                    f"{_LIMITS[key]} is passed over: the engine sets its own limits per operation."
                )
                notes.append(("info", text))
        elif key in _CARRIED:
            name, convert = _CARRIED[key]
            carried = _converted(name, convert, value)
            if carried is not None:
                written[name] = carried
        elif key in _REFUSED:
            name, harmless, reason = _REFUSED[key]
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
    for key, (name, convert) in _TLS.items():
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
        if key in _KNOWN:
            options[key] = value
        elif notes is not None:
            # PyMongo passes over it, too. Its name may be a part of an unescaped password.
            text = f"Option number {number} of the connection string is unknown and is passed over."
            notes.append(("warning", text))
    if notes is not None and str(options.get("readpreference", "primary")).lower() != "primary":
        text = "readPreference is passed over: the engine reads from the primary."
        notes.append(("warning", text))
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


def concerns(database: Any) -> Iterator[Pair]:
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
    yield "readPreference", document["mode"]
    if document.get("hedge"):
        raise OptionError("hedge", "it does not hedge reads")
    for tags in document.get("tags") or ():
        if any(mark in part for pair in tags.items() for part in pair for mark in ",:"):
            raise OptionError("readPreferenceTags", "a tag with , or : cannot be carried over")
        yield "readPreferenceTags", ",".join(f"{key}:{value}" for key, value in tags.items())
    if document.get("maxStalenessSeconds", -1) != -1:
        yield "maxStalenessSeconds", str(document["maxStalenessSeconds"])
