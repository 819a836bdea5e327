"""The sandbox as an ASGI app: Pendo's API with its faults, and beside it the page and the control API.

Pendo's API is answered here and not by Starlette: a fault must be able to break the connection, and an id in a path
may hold an encoded slash.
"""

from __future__ import annotations

import asyncio
import email.utils
import socket
import struct
import time
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, unquote

from connector.sandbox.calls import Answer, Call
from connector.sandbox.control import control_app
from connector.sandbox.routes import error_body

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from starlette.types import Message, Receive, Scope, Send

    from connector.sandbox.faults import Fault
    from connector.sandbox.request_log import Received
    from connector.sandbox.sandbox import Sandbox

# With this on, closing a socket sends a reset instead of the orderly end.
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)


class SandboxApp:
    """The app of one sandbox. It has to be served by uvicorn: faults reach into its connection."""

    def __init__(self, sandbox: Sandbox) -> None:
        """Serve this sandbox."""
        self._sandbox = sandbox
        self._control = control_app(sandbox)
        self._stopping = asyncio.Event()

    def stop(self) -> None:
        """Nothing, after letting every call that waits go on. To be called in the server's event loop."""
        self._stopping.set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        path, reads = scope["path"], scope["method"] in ("GET", "HEAD")
        if (reads and path in ("/", "/favicon.ico")) or path.startswith("/_sandbox/"):
            await self._control(scope, receive, send)
            return
        started = time.perf_counter()
        body = await _body(receive)
        if body is not None:
            await self._pendo(_Connection(receive, send), scope, body, started)

    async def _pendo(self, connection: _Connection, scope: Scope, body: bytes, started: float) -> None:
        sandbox = self._sandbox
        with sandbox.lock:
            call = _call(scope, body, len(sandbox.log.calls) + 1)
            entry = sandbox.log.received(call, scope["query_string"].decode("latin-1"), sandbox.now())
            wait_ms, fault = sandbox.faults.meeting(call.method, call.path)
        if wait_ms:
            await self._wait(wait_ms / 1000)
            entry.fault = f"latency {wait_ms:g} ms"
        if fault is None:
            answer = sandbox.answer(call)
            self._finish(entry, answer, sent=True, started=started)
            await connection.answer(answer, close=sandbox.switches.keep_alive == "close")
            return
        entry.fault = fault.name()
        await self._fault(connection, fault, call, entry, started)

    async def _fault(self, connection: _Connection, fault: Fault, call: Call, entry: Received, started: float) -> None:
        applies = fault.applied or fault.connection in ("reset_after", "close_after", "truncate")
        answer = self._sandbox.answer(call) if applies else None
        if fault.status is not None:
            answer = _faulty(fault, fault.status, answer)
            self._finish(entry, answer, sent=True, started=started)
            await connection.answer(answer, close=False)
            return
        if fault.connection == "hang":
            await self._wait(fault.hang_s, unless=connection.gone())
        self._finish(entry, answer, sent=False, started=started)
        if fault.connection == "truncate" and answer is not None:
            await connection.answer_in_part(answer)
        await connection.end(reset=fault.connection in ("reset_before", "reset_after"))

    def _finish(self, entry: Received, answer: Answer | None, *, sent: bool, started: float) -> None:
        ms = (time.perf_counter() - started) * 1000
        with self._sandbox.lock:
            self._sandbox.log.finished(entry, answer, sent=sent, ms=ms)

    async def _wait(self, seconds: float, unless: Awaitable[Any] | None = None) -> None:
        """Nothing, after that time; sooner when the server stops, or `unless` happens."""
        events = [asyncio.ensure_future(self._stopping.wait())]
        if unless is not None:
            events.append(asyncio.ensure_future(unless))
        await asyncio.wait(events, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        for event in events:
            event.cancel()
        await asyncio.gather(*events, return_exceptions=True)


class _Connection:
    """One request's way back, with the doors that ASGI does not have."""

    def __init__(self, receive: Receive, send: Send) -> None:
        self._receive = receive
        self._send = send

    async def answer(self, answer: Answer, *, close: bool) -> None:
        """Nothing, after sending the whole answer."""
        await self._start(answer, len(answer.body), close=close)
        await self._send({"type": "http.response.body", "body": answer.body})

    async def answer_in_part(self, answer: Answer) -> None:
        """Nothing, after sending the head and half of the body, with a length that promises more."""
        await self._start(answer, max(len(answer.body), 1), close=False)
        half = answer.body[: len(answer.body) // 2]
        await self._send({"type": "http.response.body", "body": half, "more_body": True})

    async def end(self, *, reset: bool) -> None:
        """Nothing, when the connection is closed, or reset, whatever was sent."""
        # Not part of ASGI: in uvicorn, `send` is a method of the request's cycle, which knows the transport.
        transport: asyncio.Transport = self._send.__self__.transport  # type: ignore[attr-defined]
        if reset and not transport.is_closing():
            raw = transport.get_extra_info("socket")
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
            transport.abort()
        transport.close()
        await self.gone()

    async def gone(self) -> None:
        """Nothing, when the connection has ended."""
        await self._receive()  # the body has been read: the only thing left to come is the end

    async def _start(self, answer: Answer, length: int, *, close: bool) -> None:
        headers = {"content-length": str(length), **answer.headers}
        if answer.content_type is not None:
            headers["content-type"] = answer.content_type
        if close:
            headers["connection"] = "close"
        raw = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]
        await self._send({"type": "http.response.start", "status": answer.status, "headers": raw})


async def _body(receive: Receive) -> bytes | None:
    """The whole body; None when the client left before its end."""
    parts: list[bytes] = []
    while True:
        message: Message = await receive()
        if message["type"] == "http.disconnect":
            return None
        parts.append(message.get("body", b""))
        if not message.get("more_body"):
            return b"".join(parts)


def _call(scope: Scope, body: bytes, number: int) -> Call:
    path = scope["raw_path"].decode("latin-1")
    return Call(
        number=number,
        method=scope["method"],
        path=scope["path"],
        segments=tuple(unquote(part) for part in path.removeprefix("/").split("/")),
        query=dict(parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True)),
        headers={name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]},
        body=body,
    )


def _faulty(fault: Fault, status: int, applied: Answer | None) -> Answer:
    """The answer that a fault gives instead of the true one."""
    body, type_ = error_body(fault.body, status, "injected fault")
    if fault.text is not None:
        body, type_ = fault.text.encode(), type_ or "text/plain; charset=utf-8"
    headers = {name.lower(): value for name, value in fault.headers.items()}
    type_ = headers.pop("content-type", type_)
    if fault.retry_after is not None:
        as_date = fault.retry_after_as == "date"
        moment = email.utils.formatdate(time.time() + fault.retry_after, usegmt=True)
        headers["retry-after"] = moment if as_date else f"{fault.retry_after:g}"
    done = applied is not None and applied.applied
    return Answer(status, body, type_, headers, applied=done, rows=applied.rows if applied else 0)
