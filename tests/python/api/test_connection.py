"""A database object becomes a connection string that leads to the same place, or an error.

Clients are made without connecting.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

import pytest

pymongo = pytest.importorskip("pymongo")

from pymongo.encryption_options import AutoEncryptionOpts  # noqa: E402
from pymongo.read_concern import ReadConcern  # noqa: E402
from pymongo.read_preferences import Nearest, Secondary, SecondaryPreferred  # noqa: E402
from pymongo.server_api import ServerApi  # noqa: E402
from pymongo.write_concern import WriteConcern  # noqa: E402

from edulearn_migrate import SettingsError  # noqa: E402
from edulearn_migrate.connection.table import (  # noqa: E402
    CARRIED,
    FROM_THE_DATABASE,
    IRRELEVANT,
    LIMITS,
    REFUSED,
    TLS,
    OptionError,
)
from edulearn_migrate.connection.target import target  # noqa: E402


def motor_client(*args: Any, **options: Any) -> Any:
    motor = pytest.importorskip("motor.motor_asyncio")
    return motor.AsyncIOMotorClient(*args, **options)


def async_client(*args: Any, **options: Any) -> Any:
    if not hasattr(pymongo, "AsyncMongoClient"):
        pytest.skip("this PyMongo has no asynchronous client")
    return pymongo.AsyncMongoClient(*args, connect=False, **options)


def sync_client(*args: Any, **options: Any) -> Any:
    return pymongo.MongoClient(*args, connect=False, **options)


def uri_of(*args: Any, **options: Any) -> str:
    return target(sync_client(*args, **options)["edulearn"])[0]


def options_of(*args: Any, **options: Any) -> dict[str, str]:
    return dict(parse_qsl(urlsplit(uri_of(*args, **options)).query, keep_blank_values=True))


@pytest.mark.parametrize("make", [sync_client, async_client, motor_client])
async def test_every_kind_of_database(make: Any) -> None:
    client = make("mongodb://u:p%40ss@h1:1,h2/other?replicaSet=rs&tls=true", appName="backend")
    uri, name = target(client["edulearn"])
    assert name == "edulearn"
    split = urlsplit(uri)
    assert split.scheme == "mongodb"
    assert split.netloc == "u:p%40ss@h1:1,h2:27017"
    assert split.path == "/other"  # the default of authSource, not the target
    assert dict(parse_qsl(split.query)) == {
        "replicaSet": "rs",
        "tls": "true",
        "appName": "backend",
    }


@pytest.mark.parametrize("make", [sync_client, async_client, motor_client])
async def test_a_client_or_a_collection_is_told_apart(make: Any) -> None:
    client = make("mongodb://h")
    with pytest.raises(SettingsError, match="That is a client"):
        target(client)
    with pytest.raises(SettingsError, match="That is a collection"):
        target(client["a"]["b"])


@pytest.mark.parametrize("wrong", [None, 3, object(), {"uri": "mongodb://u:hunter2@h"}])
def test_something_else_is_refused(wrong: object) -> None:
    with pytest.raises(SettingsError, match="Expected a database") as raised:
        target(wrong)
    assert "hunter2" not in str(raised.value)


def test_a_connection_string() -> None:
    assert target("mongodb://h", "edulearn") == ("mongodb://h", "edulearn")
    assert target("mongodb://h/edu") == ("mongodb://h/edu", "edu")
    assert target("mongodb://h/x?uuidRepresentation=standard", "edu") == ("mongodb://h/x", "edu")
    with pytest.raises(SettingsError, match="names no database"):
        target("mongodb://h")
    with pytest.raises(SettingsError, match="has its own"):
        target(sync_client()["a"], "b")


@pytest.mark.parametrize(
    ("arguments", "hosts"),
    [
        ((), "localhost:27017"),
        (("db.example.org",), "db.example.org:27017"),
        (("db.example.org", 27018), "db.example.org:27018"),
        ((["a", "b:3"], 27018), "a:27018,b:3"),
        (("a,b:3",), "a:27017,b:3"),
        (("mongodb://a,b:3", 27018), "a:27018,b:3"),
        (("[::1]", 27018), "[::1]:27018"),
        (("mongodb://[::1]:5",), "[::1]:5"),
        (("mongodb://%2Ftmp%2Fmongodb-27017.sock",), "%2Ftmp%2Fmongodb-27017.sock"),
        ((["mongodb://a/?replicaSet=r", "b"],), "a:27017,b:27017"),
    ],
)
def test_hosts_and_ports(arguments: tuple[Any, ...], hosts: str) -> None:
    assert urlsplit(uri_of(*arguments)).netloc == hosts


@pytest.mark.parametrize(
    "arguments",
    [
        ("mongodb://us%3Aer:p%40s%2Fs%25@h",),
        ("mongodb://h", {"username": "us:er", "password": "p@s/s%"}),
        ("mongodb://other:thing@h", {"username": "us:er", "password": "p@s/s%"}),
    ],
)
def test_credentials(arguments: tuple[Any, ...]) -> None:
    uri, options = arguments[0], arguments[1] if len(arguments) > 1 else {}
    client = sync_client(uri, **options)
    userinfo, _, host = urlsplit(target(client["edulearn"])[0]).netloc.rpartition("@")
    username, _, password = userinfo.partition(":")
    assert (unquote(username), unquote(password)) == ("us:er", "p@s/s%")
    assert host == "h:27017"


def test_authentication_options() -> None:
    found = options_of(
        "h", username="u", password="p", authSource="a&b", authMechanism="SCRAM-SHA-256"
    )
    assert found == {"authSource": "a&b", "authMechanism": "SCRAM-SHA-256"}


def test_x509_needs_no_password() -> None:
    uri = uri_of("h", authMechanism="MONGODB-X509", tls=True)
    assert urlsplit(uri).netloc == "h:27017"
    assert "authMechanism=MONGODB-X509" in uri


@pytest.mark.parametrize(
    ("mechanism", "more"),
    [("GSSAPI", {"username": "u"}), ("MONGODB-AWS", {"username": "u", "password": "hunter2"})],
)
def test_mechanisms_the_engine_lacks(mechanism: str, more: dict[str, str]) -> None:
    if mechanism == "GSSAPI":
        arguments = {"username": "u", "authMechanism": mechanism}
    else:
        arguments = {**more, "authMechanism": mechanism}
    with pytest.raises(SettingsError, match=mechanism) as raised:
        uri_of("h", **arguments)
    assert "hunter2" not in str(raised.value)


def test_tls_files(tmp_path: Any) -> None:
    certificates = tmp_path / "a b&c.pem"
    certificates.write_text("")
    from edulearn_migrate.connection.options import carried_over

    # Through the table itself: PyMongo reads the files when it makes a client.
    carried = dict(
        carried_over({"tls": True, "tlscafile": str(certificates), "tlsinsecure": "false"})
    )
    assert carried == {"tls": "true", "tlsCAFile": str(certificates), "tlsInsecure": "false"}


def test_ssl_is_tls() -> None:
    assert options_of("h", ssl=True) == {"tls": "true"}
    assert options_of("h", tls=True, tlsAllowInvalidCertificates=True) == {
        "tls": "true",
        "tlsAllowInvalidCertificates": "true",
    }


def test_timeouts_are_whole_milliseconds() -> None:
    assert options_of(
        "h", serverSelectionTimeoutMS=1500.2, heartbeatFrequencyMS="2000", maxIdleTimeMS=None
    ) == {"serverSelectionTimeoutMS": "1501", "heartbeatFrequencyMS": "2000"}
    assert options_of("h", connectTimeoutMS=None) == {"connectTimeoutMS": "0"}
    assert options_of("h", serverSelectionTimeoutMS=0) == {"serverSelectionTimeoutMS": "0"}


def test_a_keyword_wins_over_the_connection_string() -> None:
    assert options_of("mongodb://h/?replicaSet=a&appName=one", replicaSet="b") == {
        "replicaSet": "b",
        "appName": "one",
    }


def test_other_options_are_carried_over() -> None:
    assert options_of(
        "h",
        directConnection=True,
        retryWrites=False,
        retryReads=False,
        compressors="zlib",
        zlibCompressionLevel=9,
        localThresholdMS=20,
    ) == {
        "directConnection": "true",
        "retryWrites": "false",
        "retryReads": "false",
        "compressors": "zlib",
        "zlibCompressionLevel": "9",
        "localThresholdMS": "20",
    }


def test_concerns_of_the_client() -> None:
    assert options_of(
        "mongodb://h/?w=majority&wtimeoutMS=500&journal=true&readConcernLevel=majority"
        "&readPreference=secondary&readPreferenceTags=dc:a,use:b&maxStalenessSeconds=120"
    ) == {
        "w": "majority",
        "wTimeoutMS": "500",
        "journal": "true",
        "readConcernLevel": "majority",
        "readPreference": "secondary",
        "readPreferenceTags": "dc:a,use:b",
        "maxStalenessSeconds": "120",
    }


def test_concerns_of_the_database_win_over_its_client() -> None:
    client = sync_client("h", w=1, readPreference="nearest")
    database = client.get_database(
        "edulearn",
        write_concern=WriteConcern(w=3),
        read_concern=ReadConcern("local"),
        read_preference=SecondaryPreferred(),
    )
    found = dict(parse_qsl(urlsplit(target(database)[0]).query))
    assert found == {
        "w": "3",
        "readConcernLevel": "local",
        "readPreference": "secondaryPreferred",
    }


def test_several_tag_sets_stay_in_order() -> None:
    database = sync_client("h").get_database(
        "edulearn", read_preference=Nearest(tag_sets=[{"dc": "a"}, {}])
    )
    pairs = parse_qsl(urlsplit(target(database)[0]).query, keep_blank_values=True)
    assert pairs == [
        ("readPreference", "nearest"),
        ("readPreferenceTags", "dc:a"),
        ("readPreferenceTags", ""),
    ]


def test_a_tag_that_cannot_be_written() -> None:
    database = sync_client("h").get_database(
        "edulearn", read_preference=Secondary(tag_sets=[{"dc": "a:b"}])
    )
    with pytest.raises(SettingsError, match="readPreferenceTags"):
        target(database)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("server_selector", lambda servers: servers),
        ("server_api", ServerApi("1", strict=True)),
        ("w", 0),
    ],
)
def test_options_that_cannot_be_honoured(name: str, value: Any) -> None:
    with pytest.raises(SettingsError, match=name):
        uri_of("h", **{name: value})


@pytest.mark.parametrize(
    "name",
    [
        "tlscrlfile",
        "auto_encryption_opts",
        "srv_host_validator",
        "srvallowedhostssuffix",
        "authoidcallowedhosts",
        "an_option_of_tomorrow",
    ],
)
def test_further_options_that_cannot_be_honoured(name: str) -> None:
    from edulearn_migrate.connection.options import carried_over

    with pytest.raises(OptionError, match=f"(?i){name}"):
        list(carried_over({name: object()}))


def test_auto_encryption_is_refused() -> None:
    pytest.importorskip("pymongocrypt")
    options = AutoEncryptionOpts({"local": {"key": b"0" * 96}}, "keys.vault")
    with pytest.raises(SettingsError, match="auto_encryption_opts"):
        uri_of("h", auto_encryption_opts=options)


def test_host_names_unchecked_only_with_the_certificate_unchecked() -> None:
    with pytest.raises(SettingsError, match="tlsAllowInvalidHostnames"):
        uri_of("h", tls=True, tlsAllowInvalidHostnames=True)
    assert options_of(
        "h", tls=True, tlsAllowInvalidHostnames=True, tlsAllowInvalidCertificates=True
    ) == {"tls": "true", "tlsAllowInvalidCertificates": "true"}


def test_limits_of_the_application_are_passed_over(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("INFO", logger="edulearn_migrate"):
        assert options_of("h", socketTimeoutMS=20000, timeoutMS=1000) == {}
    assert "socketTimeoutMS is passed over" in caplog.text
    assert "timeoutMS is passed over" in caplog.text


def test_a_declared_server_api_is_handed_over() -> None:
    assert options_of("h", server_api=ServerApi("1")) == {"x-server-api": "1"}


def test_what_concerns_pymongo_alone_is_left_out() -> None:
    assert (
        options_of(
            "mongodb://h/?uuidRepresentation=standard&maxPoolSize=5",
            tz_aware=True,
            document_class=dict,
            minPoolSize=1,
            waitQueueTimeoutMS=100,
            socketTimeoutMS=None,
        )
        == {}
    )


def test_srv_stays_srv() -> None:
    # Through the address itself: PyMongo looks the name up when it makes a client.
    from edulearn_migrate.connection.target import _uri

    database = sync_client("h")["edulearn"]
    arguments = {"host": "mongodb+srv://u:p@cluster.example.org/x?authSource=admin", "port": None}
    assert _uri(arguments, database) == ("mongodb+srv://u:p@cluster.example.org/x?authSource=admin")
    with pytest.raises(SettingsError, match="srv"):
        _uri({"host": ["mongodb+srv://a.b.c/", "other"]}, database)


def test_every_option_of_this_pymongo_is_in_exactly_one_table() -> None:
    from pymongo import common

    tables: list[Collection[str]] = [CARRIED, TLS, LIMITS, IRRELEVANT, FROM_THE_DATABASE]
    tables.append(REFUSED)
    credentials = {"username", "password"}
    for option in map(str.lower, common.VALIDATORS):
        assert sum(option in table for table in [*tables, credentials]) == 1, option
