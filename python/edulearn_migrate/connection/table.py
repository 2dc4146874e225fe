"""Every option that PyMongo 4 knows, in exactly one of these tables: what becomes of it.

The same tables serve the keyword arguments of a client and the options of a connection string.
"""

from __future__ import annotations

TYPE_CHECKING = False  # typing.TYPE_CHECKING, without the import of typing

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

Pair = tuple[str, str]
Note = tuple[str, str]
"""A level of logging, and a sentence about what is passed over."""
READS_PRIMARY = "readPreference is passed over: the engine reads from the primary."


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


CARRIED: dict[str, tuple[str, Callable[[Any], str | None]]] = {
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
TLS: dict[str, tuple[str, Callable[[Any], str | None]]] = {
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
LIMITS = {"sockettimeoutms": "socketTimeoutMS", "timeoutms": "timeoutMS"}

# How PyMongo decodes, pools, reports and starts up. None of it says which server is reached, as
# whom, or how safely, and the engine does each of these its own way.
IRRELEVANT = {
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
FROM_THE_DATABASE = {
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
REFUSED: dict[str, tuple[str, tuple[object, ...], str]] = {
    name.lower(): (name, harmless, reason)
    for name, harmless, reason in (
        ("authOIDCAllowedHosts", (None,), "it cannot authenticate with OIDC"),
        ("auto_encryption_opts", (None,), "it does not encrypt fields"),
        ("server_selector", (None,), "it cannot call Python to choose a server"),
        ("srv_host_validator", (None,), "it cannot call Python to check hosts"),
        ("srvAllowedHostsSuffix", (None,), "it applies the standard rule for SRV hosts"),
    )
}


KNOWN = {
    *CARRIED,
    *TLS,
    *LIMITS,
    *IRRELEVANT,
    *FROM_THE_DATABASE,
    *REFUSED,
} - {"server_api", "server_selector", "auto_encryption_opts", "srv_host_validator"}
