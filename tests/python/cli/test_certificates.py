"""A connection that cannot be made is given up at once, and the message says why and what to do.

The servers are real: mongod itself, or a front with a certificate with which no mongod starts.
"""

from __future__ import annotations

import re
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path

import pytest

from certificates import DAY, Authority, Certificate
from conftest import Cli
from edulearn_migrate.local import LocalServer
from proxy import proxy_to
from tls import front, requiring_tls

# Far less than the 10 seconds that a server may take to answer.
AT_ONCE = 5.0


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="module")
def other(authority: Authority) -> Authority:
    """One that nobody trusts."""
    return Authority(authority.directory, "Other authority")


@pytest.fixture(scope="module")
def secure(authority: Authority) -> Iterator[LocalServer]:
    """A server that wants TLS and client certificates."""
    with requiring_tls(authority) as server:
        yield server


@pytest.fixture(scope="module")
def plain() -> Iterator[LocalServer]:
    """A server without TLS that takes few connections."""
    with LocalServer(replica_set=None, extra_args=["--maxConns", "8"]) as server:
        yield server


def refused(cli: Cli, uri: str, *, command: str = "status") -> str:
    """The message of a command that cannot connect, which must come at once."""
    began = time.monotonic()
    done = cli(command, env={"MONGO_URI": uri})
    took = time.monotonic() - began
    assert done.code == 1, done.stdout + done.stderr
    assert took < AT_ONCE, f"{took:.1f} s: {done.stdout}"
    assert "Traceback" not in done.stderr
    return done.error


def certificate(kind: str, authority: Authority) -> Certificate:
    match kind:
        case "expired":
            return authority.issue("expired", ends=timedelta(hours=-1))
        case "not yet valid":
            return authority.issue("not yet", begins=DAY)
        case "wrong host name":
            return authority.issue("elsewhere", names=("db.example.org", "*.example.net"))
        case "common name only":
            return authority.issue("127.0.0.1", names=())
        case "version 1":
            return authority.version_1("old")
        case _:
            return authority.as_server("own")


@pytest.mark.parametrize(
    ("kind", "what", "to_do"),
    [
        ("expired", r"expired on \d{4}-\d\d-\d\d \d\d:\d\d UTC", "Renew the server's certificate"),
        ("not yet valid", "becomes valid on .* UTC", "Correct the clock of this machine"),
        ("wrong host name", r"\(db.example.org, \*.example.net\)", "one of those names"),
        ("common name only", "no subject alternative name", "subjectAltName"),
        ("version 1", "of X.509 version 1", "version 3"),
        ("an authority's", "certificate of an authority", "without CA:TRUE"),
    ],
)
def test_a_certificate_that_is_refused(
    kind: str, what: str, to_do: str, authority: Authority, plain: LocalServer, cli: Cli
) -> None:
    shown = certificate(kind, authority)
    trusted = shown.path if kind == "an authority's" else authority.path
    with front(plain.port, shown) as port:
        message = refused(cli, f"mongodb://127.0.0.1:{port}/?tls=true&tlsCAFile={trusted}")
    assert re.search(what, message), message
    assert to_do in message
    assert "OtherError" not in message
    assert "Check that the server runs" not in message


def test_a_good_certificate_of_such_a_front(
    authority: Authority, plain: LocalServer, cli: Cli
) -> None:
    with front(plain.port, authority.issue("front")) as port:
        uri = f"mongodb://127.0.0.1:{port}/?tls=true&tlsCAFile={authority.path}"
        assert cli("status", env={"MONGO_URI": uri}).code == 0


def test_an_authority_that_is_not_trusted(
    authority: Authority, other: Authority, secure: LocalServer, cli: Cli
) -> None:
    client = authority.issue("client", names=(), unit="Clients")
    for trusted in (f"&tlsCAFile={other.path}", ""):
        message = refused(
            cli, f"{secure.uri}?tls=true&tlsCertificateKeyFile={client.path}{trusted}"
        )
        assert "not signed by an authority that this connection trusts" in message
        assert "tlsCAFile" in message


def test_a_client_certificate_that_is_missing_or_not_trusted(
    authority: Authority, other: Authority, secure: LocalServer, cli: Cli
) -> None:
    stranger = other.issue("stranger", names=(), unit="Clients")
    for given in ("", f"&tlsCertificateKeyFile={stranger.path}"):
        message = refused(cli, f"{secure.uri}?tls=true&tlsCAFile={authority.path}{given}")
        assert "it wants a client certificate" in message
        assert "Let tlsCertificateKeyFile in MONGO_URI" in message


def test_tls_on_one_side_only(
    authority: Authority, secure: LocalServer, plain: LocalServer, cli: Cli
) -> None:
    message = refused(cli, secure.uri)
    assert "it uses TLS, and this connection does not" in message
    assert "Add tls=true to MONGO_URI" in message
    message = refused(cli, f"{plain.uri}?tls=true&tlsCAFile={authority.path}")
    assert "this connection uses TLS, and the server does not" in message
    assert "Take tls=true and the other TLS options out" in message


def test_a_password_does_not_cross_the_wire_to_find_that_out(plain: LocalServer, cli: Cli) -> None:
    seen: list[bytes] = []
    with proxy_to(plain.port) as proxy:
        proxy.watch = seen.append
        refused(cli, f"mongodb://someone:s3cr3t@127.0.0.1:{proxy.port}/?tls=true")
    sent = b"".join(seen)
    assert b"hello" in sent or b"isMaster" in sent
    assert b"someone" not in sent
    assert b"sasl" not in sent


def test_too_many_connections(authority: Authority, plain: LocalServer, cli: Cli) -> None:
    with ExitStack() as stack:
        for _ in range(12):
            stack.enter_context(socket.create_connection(("127.0.0.1", plain.port)))
        for options in ("", f"?tls=true&tlsCAFile={authority.path}"):
            message = refused(cli, f"{plain.uri}{options}")
            assert "it ends each connection at once" in message
            assert "net.maxIncomingConnections" in message


def test_whoever_says_how_long_to_wait_waits_that_long_for_a_server_that_may_come(
    plain: LocalServer, authority: Authority, cli: Cli
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as unused:
        port = unused.getsockname()[1]
    began = time.monotonic()
    done = cli(
        "status", env={"MONGO_URI": f"mongodb://127.0.0.1:{port}/?serverSelectionTimeoutMS=3000"}
    )
    assert done.code == 1
    assert time.monotonic() - began >= 3
    assert "connection refused" in done.stdout.lower()
    # A certificate gets no better by waiting.
    with front(plain.port, certificate("expired", authority)) as front_port:
        uri = f"mongodb://127.0.0.1:{front_port}/?tls=true&tlsCAFile={authority.path}"
        refused(cli, f"{uri}&serverSelectionTimeoutMS=20000")


def test_members_whose_names_nobody_knows(cli: Cli, server_uri: str) -> None:
    [server] = re.findall(r"127\.0\.0\.1:(\d+)", server_uri)
    with proxy_to(int(server)) as proxy:
        # Of the same length; no name ends so.
        proxy.renamed = (f"127.0.0.1:{server}".encode(), f"a.invalid:{server}".encode())
        uri = f"mongodb://127.0.0.1:{proxy.port}/"
        done = cli("status", env={"MONGO_URI": uri})
        assert done.code == 1
        assert f"a.invalid:{server}: its name cannot be resolved" in done.stdout
        assert f"127.0.0.1:{proxy.port} answers" in done.stdout
        assert "directConnection=true" in done.stdout
        direct = cli("status", env={"MONGO_URI": f"{uri}?directConnection=true"})
        assert direct.code == 0, direct.stdout


@pytest.mark.parametrize(
    ("options", "what"),
    [
        ("tlsCAFile={missing}", "option tlsCAFile cannot be used: it cannot be read"),
        ("tlsCAFile={empty}", "option tlsCAFile cannot be used: it holds no certificate"),
        ("tlsCertificateKeyFile={missing}", "option tlsCertificateKeyFile .* cannot be read"),
        ("tlsCertificateKeyFile={ca}", "must hold the private key besides"),
        ("tlsCertificateKeyFile={encrypted}", "add tlsCertificateKeyFilePassword"),
        (
            "tlsCertificateKeyFile={encrypted}&tlsCertificateKeyFilePassword=wr0ng",
            "does not open the key",
        ),
        (
            "tlsCertificateKeyFile={traditional}&tlsCertificateKeyFilePassword=s3cr3t",
            "openssl pkcs8 -topk8",
        ),
    ],
)
def test_files_that_cannot_be_used(
    options: str, what: str, authority: Authority, tmp_path: Path, cli: Cli
) -> None:
    client = authority.issue("client", names=(), unit="Clients")
    (tmp_path / "empty.pem").touch()
    files = {
        "missing": tmp_path / "missing.pem",
        "empty": tmp_path / "empty.pem",
        "ca": authority.path,
        "encrypted": client.encrypted(tmp_path / "encrypted.pem", "s3cr3t"),
        "traditional": client.encrypted(tmp_path / "old.pem", "s3cr3t", traditional=True),
    }
    uri = f"mongodb://127.0.0.1:1/?tls=true&{options.format_map(files)}"
    done = cli("status", env={"MONGO_URI": uri})
    assert done.code == 2
    assert re.search(what, done.stdout), done.stdout
    assert "s3cr3t" not in done.stdout + done.stderr
    assert "wr0ng" not in done.stdout + done.stderr
