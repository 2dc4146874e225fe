"""The options of a PyMongo client, one by one: carried over, irrelevant here, or refused.

Every option PyMongo 4 knows is in exactly one of the tables below; one that is in none raises, so
an option of a later PyMongo is noticed instead of lost. Read and write concerns and the read
preference are taken from the database object, which may differ from its client (`with_options`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from edulearn_migrate._native import SettingsError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

Pair = tuple[str, str]


def _text(value: Any) -> str | None:
    return None if value in (None, "") else str(value)


def _boolean(value: Any) -> str | None:
    return None if value is None else str(value).lower()


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
        raise _refused("authMechanism", f"it cannot authenticate with {value}")
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
            raise _refused(
                "authMechanismProperties", f"{key} cannot be written in a connection string"
            )
        pairs.append(f"{key}:{written}")
    return ",".join(pairs)


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
    "serverselectiontimeoutms": ("serverSelectionTimeoutMS", _milliseconds),
    "srvmaxhosts": ("srvMaxHosts", _nonzero),
    "srvservicename": ("srvServiceName", _text),
    "ssl": ("tls", _boolean),
    "tls": ("tls", _boolean),
    "tlsallowinvalidcertificates": ("tlsAllowInvalidCertificates", _boolean),
    "tlscafile": ("tlsCAFile", _text),
    "tlscertificatekeyfile": ("tlsCertificateKeyFile", _text),
    "tlsinsecure": ("tlsInsecure", _boolean),
    "zlibcompressionlevel": ("zlibCompressionLevel", _integer),
}

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
        ("server_api", (None,), "it cannot declare a server API version"),
        ("server_selector", (None,), "it cannot call Python to choose a server"),
        ("socketTimeoutMS", (None, 0, "0"), "it has no timeout per socket operation"),
        ("srv_host_validator", (None,), "it cannot call Python to check hosts"),
        ("srvAllowedHostsSuffix", (None,), "it applies the standard rule for SRV hosts"),
        ("timeoutMS", (None, 0, "0"), "it sets its own limits per operation"),
        (
            "tlsAllowInvalidHostnames",
            (None, False, "false"),
            "it checks the host name whenever it checks the certificate",
        ),
        ("tlsCertificateKeyFilePassword", (None,), "it cannot read an encrypted key file"),
        ("tlsCRLFile", (None,), "it cannot check a certificate revocation list"),
        ("tlsDisableOCSPEndpointCheck", (None, True, "true"), "it makes no OCSP requests"),
    )
}


def carried_over(options: Mapping[str, Any]) -> Iterator[Pair]:
    """The name and value for the connection string of each option, given by lower-case names.

    Raises `SettingsError` for an option that cannot be honoured, and for one that is not known.
    """
    written: dict[str, str] = {}
    for key, value in options.items():
        if key in _IRRELEVANT or key in _FROM_THE_DATABASE:
            continue
        if key in _CARRIED:
            name, convert = _CARRIED[key]
            text = convert(value)
            if text is not None:
                written[name] = text
        elif key in _REFUSED:
            name, harmless, reason = _REFUSED[key]
            # Where certificates are not checked at all, host names are not either.
            if value not in harmless and not _checks_nothing(key, options):
                raise _refused(name, reason)
        else:
            raise _refused(key, "it does not know it")
    if "zlib" not in written.get("compressors", ""):
        written.pop("zlibCompressionLevel", None)
    yield from written.items()


def _checks_nothing(key: str, options: Mapping[str, Any]) -> bool:
    return key == "tlsallowinvalidhostnames" and any(
        str(options.get(each)).lower() == "true"
        for each in ("tlsinsecure", "tlsallowinvalidcertificates")
    )


def concerns(database: Any) -> Iterator[Pair]:
    """The write concern, read concern and read preference in force on a PyMongo database object.

    Raises `SettingsError` for unacknowledged writes, `fsync`, and hedged reads.
    """
    write: Mapping[str, Any] = database.write_concern.document
    if write.get("w") == 0:
        raise _refused("w=0", "a migration needs acknowledged writes")
    if write.get("fsync"):
        raise _refused("fsync", "use journal instead")
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
        raise _refused("hedge", "it does not hedge reads")
    for tags in document.get("tags") or ():
        if any(mark in part for pair in tags.items() for part in pair for mark in ",:"):
            raise _refused("readPreferenceTags", "a tag with , or : cannot be carried over")
        yield "readPreferenceTags", ",".join(f"{key}:{value}" for key, value in tags.items())
    if document.get("maxStalenessSeconds", -1) != -1:
        yield "maxStalenessSeconds", str(document["maxStalenessSeconds"])


def _refused(option: str, reason: str) -> SettingsError:
    return SettingsError(
        f"The client's option {option} cannot be honoured by the migration engine: {reason}. "
        f"Pass a database from a client without it, or a connection string and a database name."
    )
