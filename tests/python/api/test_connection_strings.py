"""What PyMongo takes, the command takes; of what cannot be read, nothing is shown.

Each row is a connection string and what is handed to the native driver, or the part of the message
that says what is wrong. PyMongo reads the same strings, and agrees except where a table says why.
"""

from __future__ import annotations

import json
import warnings
from typing import TYPE_CHECKING, Any
from urllib.parse import quote_plus

import pytest

pytest.importorskip("pymongo")

import pymongo
from pymongo.errors import PyMongoError
from pymongo.server_api import ServerApi
from pymongo.uri_parser import parse_uri

from edulearn_migrate import Migrator, SettingsError, redact
from edulearn_migrate.connection.options import for_the_driver
from edulearn_migrate.connection.table import Note
from edulearn_migrate.connection.target import target
from edulearn_migrate.connection.uri import ConnectionString, UriError

if TYPE_CHECKING:
    from conftest import Cli

TAKEN = {
    # Hosts.
    "mongodb://h": "mongodb://h",
    "mongodb://h:1": "mongodb://h:1",
    "mongodb://h:65535": "mongodb://h:65535",
    "mongodb://a,b:2,c": "mongodb://a,b:2,c",
    "mongodb://127.0.0.1:27018": "mongodb://127.0.0.1:27018",
    "mongodb://[::1]": "mongodb://[::1]",
    "mongodb://[::1]:27018": "mongodb://[::1]:27018",
    "mongodb://[fe80::1%25eth0]:1": "mongodb://[fe80::1%25eth0]:1",
    "mongodb://db_1.example.org": "mongodb://db_1.example.org",
    "mongodb://%2Ftmp%2Fmongodb-27017.sock": "mongodb://%2Ftmp%2Fmongodb-27017.sock",
    "mongodb://u:p@%2Ftmp%2Fm.sock/db": "mongodb://u:p@%2Ftmp%2Fm.sock/db",
    # Databases.
    "mongodb://h/": "mongodb://h",
    "mongodb://h/db": "mongodb://h/db",
    "mongodb://h/my%2Ddb": "mongodb://h/my-db",
    "mongodb://h/db.users": "mongodb://h/db",
    "mongodb://h/?": "mongodb://h",
    "mongodb://h/db?": "mongodb://h/db",
    # User names and passwords.
    "mongodb://u@h": "mongodb://u@h",
    "mongodb://u:@h": "mongodb://u:@h",
    "mongodb://u:p@h": "mongodb://u:p@h",
    "mongodb://u:p@a,b/db": "mongodb://u:p@a,b/db",
    "mongodb://u:a+b@h": "mongodb://u:a%20b@h",
    "mongodb://u:a%2Bb@h": "mongodb://u:a%2Bb@h",
    "mongodb://u:a%20b@h": "mongodb://u:a%20b@h",
    "mongodb://u:a%40b@h": "mongodb://u:a%40b@h",
    "mongodb://u:a%2Fb@h": "mongodb://u:a%2Fb@h",
    "mongodb://u:a%3Ab@h": "mongodb://u:a%3Ab@h",
    "mongodb://u:a%25b@h": "mongodb://u:a%25b@h",
    "mongodb://u:a#b@h": "mongodb://u:a%23b@h",
    "mongodb://u:a[b@h": "mongodb://u:a%5Bb@h",
    "mongodb://u:a]b@h": "mongodb://u:a%5Db@h",
    "mongodb://u:a$b@h": "mongodb://u:a%24b@h",
    "mongodb://u:a!b@h": "mongodb://u:a%21b@h",
    "mongodb://u:a&b@h": "mongodb://u:a%26b@h",
    "mongodb://u:a=b@h": "mongodb://u:a%3Db@h",
    "mongodb://u:a;b@h": "mongodb://u:a%3Bb@h",
    "mongodb://u:a,b@h": "mongodb://u:a%2Cb@h",
    "mongodb://u:å@h": "mongodb://u:%C3%A5@h",
    "mongodb://u:%C3%A5@h": "mongodb://u:%C3%A5@h",
    "mongodb://u%40example.org:p@h": "mongodb://u%40example.org:p@h",
    # Options that are carried over.
    "mongodb://h/?replicaSet=rs": "mongodb://h/?replicaSet=rs",
    "mongodb://h?replicaSet=rs": "mongodb://h/?replicaSet=rs",
    "mongodb://h/?REPLICASET=rs": "mongodb://h/?replicaSet=rs",
    "mongodb://h/?replicaSet=a&replicaSet=b": "mongodb://h/?replicaSet=b",
    "mongodb://h/?replicaSet=rs;retryWrites=true": "mongodb://h/?replicaSet=rs&retryWrites=true",
    "mongodb://h/?appName=x;tls=true": "mongodb://h/?appName=x&tls=true",
    "mongodb://h/?appName=my+app": "mongodb://h/?appName=my%20app",
    "mongodb://h/?appName=a%26b": "mongodb://h/?appName=a%26b",
    "mongodb://u:p@h/?authSource=admin": "mongodb://u:p@h/?authSource=admin",
    "mongodb://u:p@h/?authMechanism=DEFAULT": "mongodb://u:p@h",
    "mongodb://u:p@h/?authMechanism=SCRAM-SHA-1": "mongodb://u:p@h/?authMechanism=SCRAM-SHA-1",
    "mongodb://h/?directConnection=true": "mongodb://h/?directConnection=true",
    "mongodb://h/?connectTimeoutMS=2000": "mongodb://h/?connectTimeoutMS=2000",
    "mongodb://h/?serverSelectionTimeoutMS=5": "mongodb://h/?serverSelectionTimeoutMS=5",
    "mongodb://h/?compressors=snappy,zlib": "mongodb://h/?compressors=snappy%2Czlib",
    "mongodb://h/?localThresholdMS=20": "mongodb://h/?localThresholdMS=20",
    # Options that say nothing to the engine.
    "mongodb://h/?maxPoolSize=0": "mongodb://h",
    "mongodb://h/?maxPoolSize=50&minPoolSize=5": "mongodb://h",
    "mongodb://h/?waitQueueTimeoutMS=5": "mongodb://h",
    "mongodb://h/?uuidRepresentation=standard": "mongodb://h",
    "mongodb://h/?tz_aware=true": "mongodb://h",
    "mongodb://h/?w=majority&journal=true&wtimeoutMS=5": "mongodb://h",
    "mongodb://h/?readConcernLevel=majority": "mongodb://h",
    "mongodb://h/?readPreference=primary": "mongodb://h",
    # Options that are passed over, with a note.
    "mongodb://h/?socketTimeoutMS=20000": "mongodb://h",
    "mongodb://h/?timeoutMS=20000": "mongodb://h",
    "mongodb://h/?readPreference=secondary": "mongodb://h",
    "mongodb://h/?readPreference=nearest&readPreferenceTags=dc:a&readPreferenceTags=": "mongodb://h",
    "mongodb://h/?anOptionOfTomorrow=1&replicaSet=rs": "mongodb://h/?replicaSet=rs",
    # TLS, as PyMongo understands it.
    "mongodb://h/?tls=true": "mongodb://h/?tls=true",
    "mongodb://h/?ssl=true": "mongodb://h/?tls=true",
    "mongodb://h/?tls=true&ssl=true": "mongodb://h/?tls=true",
    "mongodb://h/?tls=false": "mongodb://h/?tls=false",
    "mongodb://h/?tlsAllowInvalidHostnames=false": "mongodb://h/?tls=true",
    "mongodb://h/?tlsAllowInvalidCertificates=false": (
        "mongodb://h/?tls=true&tlsAllowInvalidCertificates=false"
    ),
    "mongodb://h/?tlsAllowInvalidCertificates=true": "mongodb://h",
    "mongodb://h/?tlsInsecure=true": "mongodb://h",
    "mongodb://h/?tls=true&tlsInsecure=true": "mongodb://h/?tls=true&tlsInsecure=true",
    "mongodb://h/?tls=true&tlsAllowInvalidHostnames=true&tlsAllowInvalidCertificates=true": (
        "mongodb://h/?tls=true&tlsAllowInvalidCertificates=true"
    ),
    "mongodb://h/?tlsDisableOCSPEndpointCheck=false": "mongodb://h/?tls=true",
    "mongodb://h/?tls=true&tlsDisableOCSPEndpointCheck=true": "mongodb://h/?tls=true",
}

REFUSED = {
    "": "must have the scheme mongodb or",
    "h:27017": "must have the scheme mongodb or",
    "http://u:hunter2@h": "must have the scheme mongodb or",
    "mongo://u:hunter2@h": "must have the scheme mongodb or",
    "mongodb:/u:hunter2@h": "must have the scheme mongodb or",
    "mongodb://": "host number 1 is empty",
    "mongodb:///db": "host number 1 is empty",
    "mongodb://a,,b": "host number 2 is empty",
    "mongodb://h:x": "a port that is no number",
    "mongodb://h:0": "a port that is no number",
    "mongodb://h:65536": "a port that is no number",
    "mongodb://[::1": "no IPv6 address",
    "mongodb://::1": "more than one colon",
    "mongodb://u:hunter2": "a port that is no number",
    "mongodb://u:hun#ter2": "a port that is no number",
    "mongodb://u:hun ter2@h h": "a character that no host name has",
    "mongodb://:hunter2@h": "no user name before it",
    "mongodb://u:hun@ter2@h": "an unescaped @",
    "mongodb://u:hun:ter2@h": "an unescaped colon",
    "mongodb://u:hun%ter2@h": "begins no escape",
    "mongodb://u:hun%2@h": "begins no escape",
    "mongodb://u:hun/ter2@h/db": "an unescaped /",
    "mongodb://u:hun?ter2@h/db": "an unescaped [?]",
    "mongodb://u:hun?ter2=1@h/db": "an unescaped [?]",
    "mongodb://u:hun?ter2=1&x=2@h/db": "an unescaped [?]",
    "mongodb://u:p@h/?authSource=hun@ter2": "holds an @",
    "mongodb://h/?replicaSet": "not of the form name=value",
    "mongodb://h/?hunter2": "not of the form name=value",
    "mongodb://h/?a=b&c=d;e=f": "both & and ;",
    "mongodb://h/d b": "must not hold a space",
    "mongodb://h/a$b": "must not hold a space",
    "mongodb+srv://h.example.org:27017": "without a port",
    "mongodb://h/?tls=true&ssl=false": "contradict each other",
    "mongodb://h/?tls=false&tlsCAFile=ca.pem": "needs TLS",
    "mongodb://h/?tls=true&tlsAllowInvalidHostnames=true": "tlsAllowInvalidHostnames",
    "mongodb://h/?tlsCRLFile=x.pem": "tlsCRLFile",
    "mongodb://h/?tls=perhaps": "option tls .* its value is none",
    "mongodb://h/?connectTimeoutMS=soon": "option connectTimeoutMS .* its value is none",
    "mongodb://u@h/?authMechanism=GSSAPI": "SCRAM",
    "mongodb://u:p@h/?authMechanism=MONGODB-AWS": "SCRAM",
}

# Strings of which the two think differently, and why.
STRICTER = {
    "mongodb://u:p@h/?authSource=hun@ter2",  # a password that was cut in two looks like this
    "mongodb://h/?tls=perhaps",  # PyMongo passes over the value, and so over TLS
    "mongodb://h/?connectTimeoutMS=soon",
    "mongodb://h/?tls=false&tlsCAFile=ca.pem",
    "mongodb://h/?tls=true&tlsAllowInvalidHostnames=true",
    "mongodb://h/?tlsCRLFile=x.pem",
    "mongodb://u@h/?authMechanism=GSSAPI",
    "mongodb://u:p@h/?authMechanism=MONGODB-AWS",
    "mongodb://u:hun ter2@h h",
}
MILDER = {
    "mongodb://h/?",
    "mongodb://h/db?",  # PyMongo refuses a ? that nothing follows only from some version on
    "mongodb://u:%C3%A5@h",
    "mongodb://u:@h",
}


def read_by_pymongo(uri: str) -> dict[str, Any] | None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return dict(parse_uri(uri, warn=True))
        except (PyMongoError, ValueError):
            return None


@pytest.mark.parametrize(("uri", "handed_over"), TAKEN.items())
def test_what_pymongo_takes_is_taken(uri: str, handed_over: str) -> None:
    assert for_the_driver(uri) == handed_over
    assert for_the_driver(handed_over) == handed_over
    theirs = read_by_pymongo(uri)
    if theirs is None:
        assert uri in MILDER
        return
    ours = ConnectionString(uri)
    assert (ours.username, ours.password or None) == (
        theirs["username"],
        theirs["password"] or None,
    )
    assert ours.database == theirs["database"]
    assert len(ours.hosts) == len(theirs["nodelist"])


@pytest.mark.parametrize(("uri", "reason"), REFUSED.items())
def test_of_what_is_refused_nothing_is_shown(uri: str, reason: str) -> None:
    with pytest.raises(UriError, match=reason) as raised:
        for_the_driver(uri)
    with pytest.raises(SettingsError) as through_python:
        target(uri, "edulearn")
    said = [str(raised.value), str(through_python.value)]
    if uri.startswith("mongodb://"):
        said.append(redact(f"at {uri}"))
    for shown in said:
        assert "ter2" not in shown
        assert "hun" not in shown
    assert uri in STRICTER or read_by_pymongo(uri) is None


def test_there_are_enough_of_them() -> None:
    assert len(TAKEN) + len(REFUSED) >= 80


@pytest.mark.parametrize("password", ["p@ss/w?rd", "a+b c", "50%", "ü#[];&=", ":", "hun'ter\"2"])
def test_a_quoted_password_is_read_as_it_is(password: str) -> None:
    uri = f"mongodb://u:{quote_plus(password)}@h"
    assert ConnectionString(uri).password == password
    assert ConnectionString(for_the_driver(uri)).password == password


def test_notes_say_what_is_passed_over_and_no_unknown_name() -> None:
    notes: list[Note] = []
    for_the_driver("mongodb://h/?hunter2=1&socketTimeoutMS=5&readPreference=secondary", notes)
    assert notes == [
        ("warning", "Option number 1 of the connection string is unknown and is passed over."),
        ("warning", "readPreference is passed over: the engine reads from the primary."),
        ("info", "socketTimeoutMS is passed over: the engine sets its own limits per operation."),
    ]


@pytest.mark.parametrize("uri", [uri for uri in REFUSED if "hun" in uri])
def test_the_command_shows_nothing_of_it(uri: str, cli: Cli) -> None:
    log = cli.directory / "audit.log"
    for arguments in (["apply", "--json"], ["--log-level", "debug", "backup"]):
        done = cli(*arguments, env={"MONGO_URI": uri, "EDULEARN_AUDIT_LOG": str(log)})
        assert done.code == 2
        if "--json" in arguments:
            json.loads(done.stdout)
        everything = done.stdout + done.stderr + (log.read_text() if log.exists() else "")
        assert "ter2" not in everything
        assert "hun" not in everything


def test_the_engine_itself_shows_nothing_of_what_the_driver_refuses() -> None:
    from edulearn_migrate._native import Engine

    for uri in (
        "mongodb://u:hun?ter2@h/db",
        "mongodb://h/?hunter2=%zz&connectTimeoutMS=hunter2",
        "mongodb://u:hunter2",
        "mongodb://h/?hunter2",
        "mongodb://h/a$hunter2",
    ):
        with pytest.raises(SettingsError) as raised:
            Engine(uri, "edulearn").status().run()
        assert "hun" not in str(raised.value)
        assert "hun" not in repr(raised.value)


def test_what_is_passed_over_is_said_once_on_standard_error(cli: Cli, server_uri: str) -> None:
    separator = "&" if "?" in server_uri else "/?"
    uri = f"{server_uri}{separator}readPreference=secondary&socketTimeoutMS=20000&tomorrow=1"
    done = cli("status", env={"MONGO_URI": uri})
    assert done.code == 0
    assert done.stderr.count("readPreference is passed over") == 1
    assert "unknown and is passed over" in done.stderr
    assert "socketTimeoutMS" not in done.stderr


def test_a_declared_server_api_reaches_the_server(
    client: pymongo.MongoClient[dict[str, Any]], database_name: str
) -> None:
    database = client[database_name]
    database.command("profile", 2)
    declaring = pymongo.MongoClient[dict[str, Any]](
        host=[f"{host}:{port}" for host, port in client.nodes],
        server_api=ServerApi("1"),
        replicaSet="rs0",
    )
    with declaring:
        Migrator(declaring[database_name]).status()
    database.command("profile", 0)
    ours = database["system.profile"].find({"appName": {"$regex": "edulearn_migrate"}})
    declared = {entry["command"].get("apiVersion") for entry in ours}
    assert declared == {"1"}
