"""The server that every contender sends to, in a process of its own: compiled from sink.c where there is a compiler.

`python bench/sink.py PORT LATENCY_MS` is the fallback: the same answers from asyncio, at about a third of the speed.
"""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
import sys
import urllib.request
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

HERE = Path(__file__).parent
TEXTS, NUMBERS = ("plan", "note", "region"), {"seats": "integer", "amount": "float", "active": "boolean"}
SCHEMA = {
    "custom": {
        **{name: {"Type": "string"} for name in TEXTS},
        **{name: {"Type": kind} for name, kind in NUMBERS.items()},
        **{name: {"Type": "time"} for name in ("renewed_at", "started_on")},
    },
    "agent": {},
}


class Sink:
    """A running sink: where it is, and what it has taken so far."""

    def __init__(self, url: str, kind: str) -> None:
        self.url = url
        self.kind = kind

    def taken(self) -> dict[str, int]:
        """Requests, bytes of their bodies, and rows of metadata calls since the start."""
        with urllib.request.urlopen(f"{self.url}/stats") as reply:  # noqa: S310 - an address of this machine
            found: dict[str, int] = json.loads(reply.read())
        return found


@contextmanager
def running(latency_ms: float, work: Path) -> Iterator[Sink]:
    """A sink that answers after `latency_ms`, stopped at the end."""
    program = _compiled(work)
    line = [str(program)] if program else [sys.executable, str(HERE / "sink.py")]
    with subprocess.Popen([*line, "0", str(latency_ms)], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None  # noqa: S101 - PIPE
        try:
            yield Sink(f"http://127.0.0.1:{int(process.stdout.readline())}", "compiled" if program else "asyncio")
        finally:
            process.kill()


def _compiled(work: Path) -> Path | None:
    compiler = next((found for name in ("cc", "gcc", "clang") if (found := shutil.which(name))), None)
    if compiler is None or not sys.platform.startswith("linux"):
        return None
    program = work / "sink"
    built = subprocess.run([compiler, "-O2", "-o", str(program), str(HERE / "sink.c")], check=False)
    return program if built.returncode == 0 else None


class _Peer(asyncio.Protocol):
    """One connection. Bodies of metadata calls are counted by their rows, the others only by their bytes."""

    def __init__(self, totals: dict[str, int], latency_s: float) -> None:
        self._totals = totals
        self._latency_s = latency_s
        self._head = b""
        self._path = ""
        self._need = -1
        self._kept: list[bytes] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: Any = transport

    def data_received(self, data: bytes) -> None:
        while data:
            if self._need < 0:
                self._head += data
                end = self._head.find(b"\r\n\r\n")
                if end < 0:
                    return
                head, data, self._head = self._head[:end].lower(), self._head[end + 4 :], b""
                self._path = head.split(b" ", 2)[1].decode()
                at = head.find(b"\r\ncontent-length:")
                self._need = int(head[at + 17 :].split(b"\r\n", 1)[0]) if at >= 0 else 0
                self._kept = []
            taken, data = data[: self._need], data[self._need :]
            self._need -= len(taken)
            self._totals["bytes"] += len(taken)
            if "/metadata/" in self._path:
                self._kept.append(taken)
            if self._need == 0:
                self._need = -1
                self._answer()

    def _answer(self) -> None:
        body = b""
        if self._path == "/stats":
            body = json.dumps(self._totals).encode()
        else:
            self._totals["requests"] += 1
            if "/token/verify" in self._path:
                body = b'{"valid":true,"writeAccess":true}'
            elif "/metadata/schema/" in self._path:
                body = json.dumps(SCHEMA).encode()
            elif "/metadata/" in self._path:
                rows = b"".join(self._kept).count(b'"values":')
                self._totals["rows"] += rows
                body = b'{"total":%d,"updated":%d,"failed":0}' % (rows, rows)
        reply = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)
        if self._latency_s and self._path != "/stats":
            asyncio.get_running_loop().call_later(self._latency_s, self._transport.write, reply)
        else:
            self._transport.write(reply)


async def _serve(port: int, latency_s: float) -> None:
    totals = {"requests": 0, "bytes": 0, "rows": 0}
    server = await asyncio.get_running_loop().create_server(lambda: _Peer(totals, latency_s), "127.0.0.1", port)
    sys.stdout.write(f"{server.sockets[0].getsockname()[1]}\n")
    sys.stdout.flush()
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(_serve(int(sys.argv[1]), float(sys.argv[2]) / 1000))
