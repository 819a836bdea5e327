"""A wire between a driver and its server that can be cut: a TCP proxy on 127.0.0.1."""

from __future__ import annotations

import socket
import threading
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


class Wire:
    """Passes bytes on, until it is told to refuse connections or to break after so many bytes of an answer."""

    def __init__(self, port: int) -> None:
        self._target = port
        self._server = socket.create_server(("127.0.0.1", 0))
        self._lock = threading.Lock()
        self._pairs: list[tuple[socket.socket, socket.socket]] = []
        self.port: int = self._server.getsockname()[1]
        self.connections = 0
        self.refuse = 0  # so many of the next connections are closed at once
        self.break_after: int | None = None  # bytes from the server, on any one connection from now on
        threading.Thread(target=self._accept, name="wire", daemon=True).start()

    def cut(self) -> None:
        """Nothing, after ending every connection."""
        with self._lock:
            for pair in self._pairs:
                for end in pair:
                    _close(end)
            self._pairs.clear()

    def close(self) -> None:
        """Nothing, after ending every connection; nobody can connect any more."""
        _close(self._server)
        self.cut()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._server.accept()
                self.connections += 1
                if self.refuse > 0:
                    self.refuse -= 1
                    _close(client)
                    continue
                server = socket.create_connection(("127.0.0.1", self._target))
                with self._lock:
                    self._pairs.append((client, server))
                threading.Thread(target=self._pass_on, args=(client, server, False), daemon=True).start()
                threading.Thread(target=self._pass_on, args=(server, client, True), daemon=True).start()

    def _pass_on(self, origin: socket.socket, to: socket.socket, answers: bool) -> None:
        passed = 0
        with suppress(OSError):
            while data := origin.recv(65_536):
                passed += len(data)
                if answers and self.break_after is not None and passed > self.break_after:
                    break
                to.sendall(data)
        _close(origin)
        _close(to)


def _close(end: socket.socket) -> None:
    with suppress(OSError):
        end.shutdown(socket.SHUT_RDWR)
    end.close()


@contextmanager
def wire_to(port: int) -> Iterator[Wire]:
    """A wire to a server on this machine."""
    wire = Wire(port)
    try:
        yield wire
    finally:
        wire.close()


def free_port() -> int:
    """A port that nobody uses now."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])
