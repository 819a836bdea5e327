"""A TCP proxy in front of the sandbox that breaks connections: which way, and at which request, is scripted."""

from __future__ import annotations

import asyncio
import random
import socket
import struct
import threading
from collections import Counter
from collections.abc import Callable
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

TCP_FAULTS = (
    "refuse",
    "reset_before",
    "reset_after",
    "blackhole_before",
    "blackhole_after",
    "truncate",
    "slow",
    "rate",
)
UNDELIVERED = {"reset_before", "blackhole_before"}
"""Faults that swallow a request before it reaches the sandbox."""

RESET = struct.pack("ii", 1, 0)
LATENCY_S, REFUSAL_S, PATIENCE_S = 0.03, 0.04, 30.0
PIECE_BYTES, PIECE_S = 50, 0.01

Script = Callable[[int, str], str | None]
"""The fault of a request, by its number (from 1) and its path."""


def at(fault: str, *numbers: int, path: str = "") -> Script:
    """The fault at these requests, counted among those whose path holds `path`."""
    return _counted(lambda number: fault if number in numbers else None, path)


def always(fault: str, *, path: str = "", after: int = 0) -> Script:
    """The fault at every request behind the first ones."""
    return _counted(lambda number: fault if number > after else None, path)


def sometimes(fault: str, probability: float, *, path: str = "", seed: int = 1) -> Script:
    """The fault at requests drawn at random, the same ones each time."""
    dice = random.Random(seed)  # noqa: S311 - repeatable on purpose
    return _counted(lambda _: fault if dice.random() < probability else None, path)


def _counted(decide: Callable[[int], str | None], path: str) -> Script:
    seen = 0

    def script(_: int, requested: str) -> str | None:
        nonlocal seen
        if path not in requested:
            return None
        seen += 1
        return decide(seen)

    return script


@dataclass(slots=True)
class Proxy:
    """A running proxy. `swallowed`: the requests that never reached the sandbox, as method, path and body.

    With `stays`, a refusal lasts as long as the script does.
    """

    upstream: int
    script: Script | None = None
    port: int = 0
    stays: bool = False
    requests: int = 0
    met: Counter[str] = field(default_factory=Counter)
    swallowed: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    _server: asyncio.Server | None = None
    _background: asyncio.Task[None] | None = None
    _taken: list[asyncio.Task[None]] = field(default_factory=list)

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.port}"

    async def listen(self) -> None:
        """Nothing, when connections are taken; always on the same port, which nobody gets by chance meanwhile."""
        while self._server is None:
            port = self.port or random.randrange(20_000, 30_000)  # noqa: S311 - below those that the system gives out
            with suppress(OSError):
                self._server = await asyncio.start_server(self._serve, "127.0.0.1", port)
                self.port = port
            await asyncio.sleep(0.001)

    def close(self) -> None:
        """Nothing; no more connections are taken."""
        if self._server is not None:
            self._server.close()
            self._server = None

    async def refuse(self, seconds: float) -> None:
        """Nothing; for that time nobody can connect. Connections that are open go on."""
        if self._server is None:
            return
        waiting = _queued(self._server)
        self.close()
        self._taken += [asyncio.create_task(self._take(connection)) for connection in waiting]
        await asyncio.sleep(seconds)
        while self.stays and self.script is not None:  # noqa: ASYNC110 - another thread ends it
            await asyncio.sleep(0.001)
        await self.listen()

    async def _take(self, connection: socket.socket) -> None:
        await self._serve(*await asyncio.open_connection(sock=connection))

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            with suppress(OSError, asyncio.IncompleteReadError):
                while await self._answer(await _message(reader), reader, writer):
                    pass
        finally:
            await _close(writer)

    async def _answer(self, request: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """True when the connection goes on."""
        method, path = request.split(b" ", 2)[:2]
        self.requests += 1
        fault = self.script(self.requests, path.decode()) if self.script else None
        if fault is not None:
            self.met[fault] += 1
        if fault in UNDELIVERED:
            self.swallowed[method.decode(), path.decode(), request.partition(b"\r\n\r\n")[2].decode()] += 1
            reply = b""
        else:
            reply = await self._forward(request, LATENCY_S if fault == "slow" else 0.0)
        match fault:
            case "reset_before" | "reset_after":
                _reset(writer)
            case "blackhole_before" | "blackhole_after":
                await asyncio.wait_for(reader.read(), PATIENCE_S)  # until the client has had enough
            case "truncate":
                await _send(writer, reply[: len(reply) // 2])
            case "refuse":
                await _send(writer, reply)
                self._background = asyncio.create_task(self.refuse(REFUSAL_S))
            case "rate":
                for start in range(0, len(reply), PIECE_BYTES):
                    await _send(writer, reply[start : start + PIECE_BYTES])
                    await asyncio.sleep(PIECE_S)
                return True
            case _:
                await _send(writer, reply)
                return True
        return False

    async def _forward(self, request: bytes, latency_s: float) -> bytes:
        await asyncio.sleep(latency_s)
        reader, writer = await asyncio.open_connection("127.0.0.1", self.upstream)
        try:
            writer.write(request)
            await writer.drain()
            return await _message(reader)
        finally:
            await _close(writer)


def _queued(server: asyncio.Server) -> list[socket.socket]:
    """The connections that nobody has taken yet: when the port is closed, they would be reset, and not be refused."""
    found = []
    for listening in server.sockets:
        with socket.socket(fileno=listening.dup().detach()) as port, suppress(BlockingIOError):
            port.setblocking(False)
            while True:
                found.append(port.accept()[0])
    for connection in found:
        connection.setblocking(False)
    return found


async def _message(reader: asyncio.StreamReader) -> bytes:
    """One HTTP message with a Content-Length, or without a body."""
    head = await reader.readuntil(b"\r\n\r\n")
    length = 0
    for line in head.lower().split(b"\r\n"):
        if line.startswith(b"content-length:"):
            length = int(line.partition(b":")[2])
    return head + await reader.readexactly(length)


async def _send(writer: asyncio.StreamWriter, data: bytes) -> None:
    """Nothing, when the data is on its way."""
    writer.write(data)
    await writer.drain()


async def _close(writer: asyncio.StreamWriter) -> None:
    """Nothing, when the connection is closed."""
    writer.close()
    with suppress(OSError):
        await writer.wait_closed()


def _reset(writer: asyncio.StreamWriter) -> None:
    """Nothing, after ending the connection with a reset instead of an orderly end."""
    raw: socket.socket = writer.get_extra_info("socket")
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    writer.transport.abort()


@contextmanager
def proxied(upstream: int) -> Iterator[Proxy]:
    """A proxy in front of that port, served by a thread until the end of the block."""
    proxy = Proxy(upstream)
    loop = asyncio.new_event_loop()
    ready, done = threading.Event(), asyncio.Event()

    async def serve() -> None:
        await proxy.listen()
        ready.set()
        await done.wait()
        proxy.close()
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),), name="proxy")
    thread.start()
    ready.wait()
    try:
        yield proxy
    finally:
        loop.call_soon_threadsafe(done.set)
        thread.join()
        loop.close()
