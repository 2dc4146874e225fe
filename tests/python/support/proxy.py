"""A proxy on loopback that a test slows down, delays and cuts, and that loses answers."""

from __future__ import annotations

import queue
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress


class Proxy:
    """Forwards connections to a server. `cut` ends those there are; new ones are taken.

    `delay` is in seconds, for each direction: a round trip takes twice as long.
    """

    def __init__(self, port: int, delay: float = 0) -> None:
        self._server = port
        self._delay = delay
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()
        self._losing: tuple[bytes, ...] = ()
        self._after = b""
        self.lost = 0
        """How many answers were lost."""
        self.refusing = False
        """Whether new connections are ended at once, as by a server that is away."""
        self.refuse_after_loss = False
        """Whether the server is away from the moment an answer is lost."""
        self.forwarded = 0
        """Bytes that came from the server."""
        self.renamed = (b"", b"")
        """What is replaced in answers, and by what of the same length."""
        self.watch: Callable[[bytes], object] | None = None
        """Is given what clients send."""
        self.rate: float | None = None
        """Bytes a second from the server, over all connections; None for as fast as can be."""
        threading.Thread(target=self._accept, daemon=True).start()

    def lose_answer_to(self, *needles: bytes, after: bytes = b"") -> None:
        """Loses the answer to the next command that contains these bytes: the server carries it
        out, and the connection ends instead of the answer. Where `after` is given, that is the
        next one after a command that contains those."""
        with self._lock:
            self._losing, self._after = needles, after

    def cut(self) -> None:
        """Ends every connection, in the middle of whatever it carries."""
        with self._lock:
            connections, self._open = self._open, set()
        for each in connections:
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        self._listener.close()
        self.cut()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
                if self.refusing:
                    client.close()
                    continue
                server = socket.create_connection(("127.0.0.1", self._server))
            except OSError:
                return
            for each in (client, server):
                each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with self._lock:
                self._open |= {client, server}
            doomed = threading.Event()
            for pair in ((client, server, doomed, False), (server, client, doomed, True)):
                threading.Thread(target=self._forward, args=pair, daemon=True).start()

    def _forward(
        self, source: socket.socket, sink: socket.socket, doomed: threading.Event, answers: bool
    ) -> None:
        send = self._late(sink) if self._delay else sink.sendall
        with suppress(OSError):
            while data := source.recv(262_144):
                if answers and doomed.is_set():
                    with self._lock:
                        self.lost += 1
                    self.refusing = self.refuse_after_loss
                    if self.refusing:
                        self.cut()
                    break
                if not answers:
                    self._doom(data, doomed)
                    if self.watch is not None:
                        self.watch(data)
                elif self.rate is not None and len(data) > 1_000:
                    time.sleep(len(data) / self.rate)  # it is a slow line, not a wait
                if answers and self.renamed[0]:
                    data = data.replace(*self.renamed)
                self.forwarded += len(data) if answers else 0
                send(data)
        if isinstance(send, _Late):
            send(b"")
        else:
            _end(source, sink)

    def _doom(self, data: bytes, doomed: threading.Event) -> None:
        with self._lock:
            if self._after:
                self._after = b"" if self._after in data else self._after
            elif self._losing and all(needle in data for needle in self._losing):
                self._losing = ()
                doomed.set()

    def _late(self, sink: socket.socket) -> _Late:
        return _Late(sink, self._delay)


class _Late:
    """Sends what it is given after a while; nothing ends it."""

    def __init__(self, sink: socket.socket, delay: float) -> None:
        self._sink = sink
        self._delay = delay
        self._waiting: queue.SimpleQueue[tuple[float, bytes]] = queue.SimpleQueue()
        threading.Thread(target=self._send, daemon=True).start()

    def __call__(self, data: bytes) -> None:
        self._waiting.put((time.monotonic() + self._delay, data))

    def _send(self) -> None:
        with suppress(OSError):
            while True:
                due, data = self._waiting.get()
                if not data:
                    break
                time.sleep(max(0.0, due - time.monotonic()))  # the length of the line
                self._sink.sendall(data)
        _end(self._sink)


def _end(*connections: socket.socket) -> None:
    for each in connections:
        with suppress(OSError):
            each.shutdown(socket.SHUT_RDWR)


@contextmanager
def proxy_to(port: int, delay: float = 0) -> Iterator[Proxy]:
    """A proxy while the block runs."""
    proxy = Proxy(port, delay)
    try:
        yield proxy
    finally:
        proxy.close()


if __name__ == "__main__":
    # As a process of its own, which prints its port and ends with its standard input.
    with proxy_to(int(sys.argv[1]), float(sys.argv[2])) as own:
        print(own.port, flush=True)
        sys.stdin.read()
