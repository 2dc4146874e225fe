"""TLS and every way to log in, against a real server: from MONGO_URI and from client objects."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import quote_plus

import pymongo
import pytest

from certificates import Authority, Certificate
from conftest import Cli, Migrations
from edulearn_migrate import AsyncMigrator, Migrator
from edulearn_migrate.local import LocalServer
from tls import requiring_tls

# What connection strings, shells and servers each give a meaning of their own.
SPECIAL = "p@:/?#[]%&=;+ ,'\"$!\\ü"
MECHANISMS = ["SCRAM-SHA-1", "SCRAM-SHA-256"]
USERS = {mechanism: f"{SPECIAL} {mechanism}" for mechanism in MECHANISMS}
# The one thing that does not work: the driver's limit, which the message names.
USERS["SCRAM-SHA-1"] = USERS["SCRAM-SHA-1"].replace(",", "")


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("certificates, of ünits & all"))


@pytest.fixture(scope="module")
def person(authority: Authority) -> Certificate:
    """The certificate that is a database user."""
    return authority.issue("Jörg, the teacher", names=(), unit="People")


@pytest.fixture(scope="module")
def server(authority: Authority, person: Certificate) -> Iterator[LocalServer]:
    """A server that wants TLS and a login."""
    with requiring_tls(authority, "--auth") as server:
        options: dict[str, Any] = {"tls": True, "tlsCAFile": str(authority.path)}
        with pymongo.MongoClient[dict[str, Any]](
            server.uri,
            **options,
            tlsCertificateKeyFile=str(person.path),
            username="root",
            password="root",
        ) as root:
            everything: Any = ["readWriteAnyDatabase", "dbAdminAnyDatabase"]
            for mechanism, user in USERS.items():
                root.admin.command(
                    "createUser", user, pwd=SPECIAL, roles=everything, mechanisms=[mechanism]
                )
            root["$external"].command(
                "createUser",
                person.subject,
                roles=[{"role": role, "db": "admin"} for role in everything],
            )
        yield server


def options_of(kind: str, authority: Authority, person: Certificate) -> dict[str, Any]:
    """The options by which PyMongo connects as this kind of user."""
    options: dict[str, Any] = {"tls": True, "tlsCAFile": str(authority.path)}
    if kind in USERS:
        # Any certificate that the server trusts; who one is says the password.
        other = authority.issue("machine", names=(), unit="Clients")
        return options | {
            "tlsCertificateKeyFile": str(other.path),
            "username": USERS[kind],
            "password": SPECIAL,
            "authMechanism": kind,
        }
    options |= {"authMechanism": "MONGODB-X509", "tlsCertificateKeyFile": str(person.path)}
    if kind == "X.509, encrypted key":
        encrypted = person.encrypted(authority.directory / "encrypted person.pem", SPECIAL)
        options |= {
            "tlsCertificateKeyFile": str(encrypted),
            "tlsCertificateKeyFilePassword": SPECIAL,
        }
    if kind == "X.509, the user named":
        options["username"] = person.subject
    return options


KINDS = [*MECHANISMS, "X.509", "X.509, encrypted key", "X.509, the user named"]


@pytest.mark.parametrize("kind", KINDS)
def test_from_the_connection_string(
    kind: str,
    server: LocalServer,
    authority: Authority,
    person: Certificate,
    cli: Cli,
    migrations: Migrations,
) -> None:
    options = options_of(kind, authority, person)
    user, password = options.pop("username", None), options.pop("password", None)
    login = quote_plus(user) if user else ""
    login += f":{quote_plus(password)}" if password else ""
    written = "&".join(
        f"{name}={quote_plus(str(value).lower() if value is True else str(value))}"
        for name, value in options.items()
    )
    uri = f"mongodb://{login}{'@' if login else ''}127.0.0.1:{server.port}/?{written}"
    insert = {"type": "insert_documents", "collection": "c", "documents": [{"_id": 1}]}
    migrations.write(1, [insert])
    done = cli("apply", env={"MONGO_URI": uri})
    assert done.code == 0, done.stdout + done.stderr
    assert "✓ Applied 1 migrations:" in done.lines
    assert SPECIAL not in done.stdout + done.stderr
    assert quote_plus(SPECIAL) not in done.stdout + done.stderr


def sync_client(uri: str, **options: Any) -> Any:
    return pymongo.MongoClient(uri, **options)


def async_client(uri: str, **options: Any) -> Any:
    if not hasattr(pymongo, "AsyncMongoClient"):
        pytest.skip("this PyMongo has no asynchronous client")
    return pymongo.AsyncMongoClient(uri, **options)


def motor_client(uri: str, **options: Any) -> Any:
    motor = pytest.importorskip("motor.motor_asyncio")
    return motor.AsyncIOMotorClient(uri, **options)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("make", [sync_client, async_client, motor_client])
async def test_from_a_client_object(
    make: Callable[..., Any],
    kind: str,
    server: LocalServer,
    authority: Authority,
    person: Certificate,
    database_name: str,
) -> None:
    client = make(server.uri, **options_of(kind, authority, person))
    database = client[database_name]
    # PyMongo itself can use what it was given; else this would prove nothing.
    named = database.list_collection_names()
    if make is not sync_client:
        named = await named
    assert named == []
    if make is sync_client:
        assert Migrator(database).status().total == 0
    else:
        assert (await AsyncMigrator(database).status()).total == 0
    closed = client.close()
    if closed is not None:
        await closed


@pytest.mark.parametrize("kind", MECHANISMS)
def test_a_wrong_password_is_called_so(
    kind: str, server: LocalServer, authority: Authority, person: Certificate, cli: Cli
) -> None:
    options = options_of(kind, authority, person)
    uri = (
        f"mongodb://{quote_plus(options['username'])}:wr0ng@127.0.0.1:{server.port}/?tls=true"
        f"&tlsCAFile={quote_plus(options['tlsCAFile'])}&authMechanism={kind}"
        f"&tlsCertificateKeyFile={quote_plus(options['tlsCertificateKeyFile'])}"
    )
    done = cli("status", env={"MONGO_URI": uri})
    assert done.code == 1
    assert "The server refuses these credentials" in done.stdout
    assert "wr0ng" not in done.stdout + done.stderr


def test_a_comma_in_a_user_name_and_the_older_mechanism(cli: Cli) -> None:
    uri = "mongodb://one%2Ctwo:s3cr3t@127.0.0.1:1/?authMechanism=SCRAM-SHA-1"
    done = cli("status", env={"MONGO_URI": uri})
    assert done.code == 2
    assert "with SCRAM-SHA-256 only" in done.stdout
    assert "s3cr3t" not in done.stdout + done.stderr


def test_the_certificate_of_another_user_than_the_one_named(
    server: LocalServer, authority: Authority, person: Certificate, cli: Cli
) -> None:
    uri = (
        f"mongodb://CN%3Dsomebody@127.0.0.1:{server.port}/?authMechanism=MONGODB-X509&tls=true"
        f"&tlsCAFile={quote_plus(str(authority.path))}"
        f"&tlsCertificateKeyFile={quote_plus(str(person.path))}"
    )
    done = cli("status", env={"MONGO_URI": uri})
    assert done.code == 1
    assert "the client certificate is another user's" in done.stdout
