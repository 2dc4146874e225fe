"""Servers that use TLS: a mongod that wants it, and a front that shows any certificate."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import pymongo

from certificates import Authority, Certificate
from edulearn_migrate.local import LocalServer


@contextmanager
def requiring_tls(authority: Authority, *arguments: str) -> Iterator[LocalServer]:
    """A mongod that takes no connection without TLS, which clients trust by `authority`.

    Its user `root` has the password `root`.
    """
    certificate = authority.issue("server")
    # LocalServer itself looks whether the server answers, and uses no TLS for that.
    tls = ["--tlsMode", "preferTLS", "--tlsCertificateKeyFile", str(certificate.path)]
    tls += ["--tlsCAFile", str(authority.path), *arguments]
    with LocalServer(extra_args=tls, replica_set=None) as server:
        client = authority.issue("switch", names=(), unit="Clients")
        options: dict[str, Any] = {
            "tls": True,
            "tlsCAFile": str(authority.path),
            "tlsCertificateKeyFile": str(client.path),
        }
        with pymongo.MongoClient[dict[str, Any]](server.uri, **options) as first:
            # The first user may be made without a login, from this machine.
            first.admin.command("createUser", "root", pwd="root", roles=["root"])
        with pymongo.MongoClient[dict[str, Any]](
            server.uri, **options, username="root", password="root"
        ) as root:
            root.admin.command("setParameter", 1, tlsMode="requireTLS")
        yield server


@contextmanager
def front(port: int, certificate: Certificate) -> Iterator[int]:
    """Takes connections with TLS by this certificate and forwards them to a server without."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate.path)
    listener = socket.create_server(("127.0.0.1", 0))

    def pump(source: socket.socket, sink: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(1 << 16):
                sink.sendall(data)
        with suppress(OSError):
            sink.shutdown(socket.SHUT_RDWR)

    def serve(plain: socket.socket) -> None:
        with (
            suppress(OSError),
            plain,
            context.wrap_socket(plain, server_side=True) as client,
            socket.create_connection(("127.0.0.1", port)) as server,
        ):
            threading.Thread(target=pump, args=(server, client), daemon=True).start()
            pump(client, server)

    def accept() -> None:
        with suppress(OSError):
            while True:
                threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    try:
        yield listener.getsockname()[1]
    finally:
        listener.close()
