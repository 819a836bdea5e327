"""A server on a real port that answers, or fails to answer, exactly as a test says."""

from __future__ import annotations

import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

Behaviour = Callable[[socket.socket, bytes], bool]
"""Does something with a connection and the request that came on it; True keeps the connection open for the next."""


@dataclass
class Wire:
    """Where the server is, and what it has seen: requests as they came, and connections by the thread's count."""

    url: str
    requests: list[bytes] = field(default_factory=list)
    connections: int = 0


@contextmanager
def serving(behave: Behaviour, certificate: Path | None = None) -> Iterator[Wire]:
    """A server with this behaviour; with a certificate (and its key in the same file) it speaks TLS."""
    listener = socket.create_server(("127.0.0.1", 0))
    wire = Wire(f"{'https://localhost' if certificate else 'http://127.0.0.1'}:{listener.getsockname()[1]}")
    threads: list[threading.Thread] = []

    def accept() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            wire.connections += 1
            thread = threading.Thread(target=talk, args=(connection,))
            threads.append(thread)
            thread.start()

    def talk(connection: socket.socket) -> None:
        connection.settimeout(5)
        # An error of TLS: the client does not trust this server.
        with suppress(ssl.SSLError), _secured(connection, certificate) as taken:
            while (request := read(taken)) is not None:
                wire.requests.append(request)
                if not behave(taken, request):
                    return

    accepting = threading.Thread(target=accept)
    accepting.start()
    try:
        yield wire
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        accepting.join()
        for thread in threads:
            thread.join()


def _secured(connection: socket.socket, certificate: Path | None) -> socket.socket:
    if certificate is None:
        return connection
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    with connection:
        return context.wrap_socket(connection, server_side=True)


def read(connection: socket.socket) -> bytes | None:
    """One request, whole; None when the other side has closed the connection."""
    data = b""
    while b"\r\n\r\n" not in data:
        try:
            more = connection.recv(65_536)
        except OSError:
            return None
        if not more:
            return None
        data += more
    head, _, body = data.partition(b"\r\n\r\n")
    lengths = [line.partition(b":")[2] for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")]
    while lengths and len(body) < int(lengths[0]):
        body += connection.recv(65_536)
    return head + b"\r\n\r\n" + body


def answering(status: str = "200 OK", body: bytes = b"", *headers: str, keep: bool = True) -> Behaviour:
    """Answers every request alike."""
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers]

    def behave(connection: socket.socket, request: bytes) -> bool:
        del request
        connection.sendall("\r\n".join(lines).encode() + b"\r\n\r\n" + body)
        return keep

    return behave


def resetting(after: bytes = b"") -> Behaviour:
    """Sends `after` and breaks the connection off with a reset."""

    def behave(connection: socket.socket, request: bytes) -> bool:
        del request
        connection.sendall(after)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        return False

    return behave


def closing(after: bytes = b"") -> Behaviour:
    """Sends `after` and closes the connection in order."""

    def behave(connection: socket.socket, request: bytes) -> bool:
        del request
        connection.sendall(after)
        return False

    return behave


def silent(seconds: float = 1.0, after: bytes = b"") -> Behaviour:
    """Sends `after` and then nothing."""

    def behave(connection: socket.socket, request: bytes) -> bool:
        del request
        connection.sendall(after)
        time.sleep(seconds)
        return False

    return behave
