"""An httpx transport for one thread: plain sockets, one connection an address, nothing between them and the request.

httpx's own transport costs about a millisecond of CPU a call (a pool, locks, a state machine in Python), which is more
than all the rest of a small request. This one speaks the part of HTTP/1.1 that an API call needs: a request with a
body of known size, an answer of known size, in chunks, or up to the end of the connection. Proxies are httpx's
business. Errors are httpx's own, so that what was sent for certain and what was not reads the same from both.
"""

from __future__ import annotations

import re
import select
import socket
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

import httpx

from connector.ports import NoReply

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Mapping
    from io import BufferedReader

RawHeaders = list[tuple[bytes, bytes]]

_STATUS_LINE = re.compile(rb"HTTP/1\.([01]) ([1-9][0-9]{2})(?: [^\r\n]*)?\r?\n")
_HEADER_LINE = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([^\r\n\0]*?)[ \t]*\r?\n")
_CHUNK_LINE = re.compile(rb"([0-9A-Fa-f]{1,15})[ \t]*(?:;[^\r\n]*)?\r?\n")
_ILLEGAL = re.compile(rb"[\r\n\0]")
# The request had not left when these were raised.
BEFORE_SENDING = (
    httpx.ConnectError,
    httpx.ConnectTimeout,
    httpx.PoolTimeout,
    httpx.ProxyError,
    httpx.UnsupportedProtocol,
)

_PORTS = {"http": 80, "https": 443}
_LINE_BYTES = 65_536
_HEADER_LINES = 256
_JOINED_BYTES = 65_536  # a smaller body travels in one write with its head
_END_OF_HEAD = b"\r\n\r\n"
_KNOWN_HEADS: dict[bytes, _Head] = {}  # shared by all threads: each of its steps is one
_MOST_HEADS = 100
_INFORMATIONAL, _NO_CONTENT, _NOT_MODIFIED = range(100, 200), 204, 304


@dataclass(slots=True)
class _Line:
    """An open connection. `used_at`: when its last answer was complete."""

    socket: socket.socket
    reader: BufferedReader
    used_at: float

    def close(self) -> None:
        with suppress(OSError):
            self.reader.close()
        with suppress(OSError):
            self.socket.close()


@dataclass(frozen=True, slots=True)
class _Head:
    """The head of an answer. `reusable`: the connection may carry another request, as far as the head says."""

    status: int
    headers: RawHeaders
    reusable: bool


@dataclass(frozen=True, slots=True)
class Call:
    """A request but for its body: its address, its request line and its headers."""

    method: str
    address: tuple[str, str, int]
    start: bytes
    is_sized: bool

    def head(self, size: int) -> bytes:
        """Everything that stands before a body of that size."""
        if self.is_sized or not size:
            return self.start + b"\r\n"
        return b"%bContent-Length: %d\r\n\r\n" % (self.start, size)


@dataclass(frozen=True, slots=True)
class Sent:
    """A request that has left. `failed`: why it broke off; an answer may have been given all the same."""

    line: _Line
    call: Call
    failed: httpx.RequestError | None

    @property
    def socket(self) -> socket.socket:
        """Where the answer comes in."""
        return self.line.socket


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back, as it travelled."""

    status: int
    headers: RawHeaders
    body: bytes


class ThreadTransport(httpx.BaseTransport):
    """Sends requests for one thread; only `close` may come from another one."""

    def __init__(
        self, verify: ssl.SSLContext | None, *, keepalive_s: float, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        """Keep the certificates to trust (None: no https) and how long an idle connection is used again.

        Nothing is opened yet.
        """
        self._verify = verify
        self._keepalive_s = keepalive_s
        self._monotonic = monotonic
        self._lines: dict[tuple[str, str, int], _Line] = {}
        self.is_closed = False

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """The answer, read to its end. Raises httpx.RequestError: a connection that broke is not tried again."""
        content = b"".join(request.stream)  # type: ignore[arg-type]  # a stream that can be read here is one of bytes
        call = prepared(request.method, request.url, request.headers.raw)
        answer = self.exchange(call, content, request.extensions.get("timeout", {}))
        return httpx.Response(answer.status, headers=answer.headers, stream=httpx.ByteStream(answer.body))

    def exchange(self, call: Call, content: bytes, timeouts: Mapping[str, float | None]) -> Answer:
        """The answer to one request, read to its end, without the objects of httpx around both.

        Those cost as much as all the rest of a small request. Raises what `handle_request` raises.
        """
        self.is_ready(call)
        return self.finish(self.start(call, content, timeouts), timeouts)

    def is_ready(self, call: Call) -> bool:
        """True when `start` needs no new connection; one that should not be used again is closed."""
        line = self._lines.get(call.address)
        if line is not None and not self._is_fresh(line):
            self._drop(call.address, line)
            line = None
        return line is not None

    def start(self, call: Call, content: bytes, timeouts: Mapping[str, float | None]) -> Sent:
        """The request after sending it; `is_ready` comes before it, `finish` next. Raises httpx.RequestError."""
        address = call.address
        if address[0] not in _PORTS or (address[0] == "https" and self._verify is None):
            msg = f"'{address[0]}' is no protocol for API calls"
            raise httpx.UnsupportedProtocol(msg)
        line = self._lines.get(address)
        if line is None:
            # Kept while it is in use, so that `close` finds it; an error takes it out.
            line = self._lines[address] = self._connect(address, timeouts.get("connect"))
        try:
            return Sent(line, call, _sent(line.socket, call.head(len(content)), content, timeouts.get("write")))
        except BaseException:
            self._drop(address, line)
            raise

    def finish(self, sent: Sent, timeouts: Mapping[str, float | None]) -> Answer:
        """The answer to what was sent, read to its end. Raises httpx.RequestError."""
        line = sent.line
        try:
            answer, reusable = _answer(sent, timeouts.get("read"))
        except BaseException:
            self._drop(sent.call.address, line)
            raise
        if reusable and not self.is_closed:
            line.used_at = self._monotonic()
        else:
            self._drop(sent.call.address, line)
        return answer

    def abandon(self, sent: Sent) -> None:
        """Nothing, after closing the connection of a request whose answer did not come."""
        self._drop(sent.call.address, sent.line)

    def close(self) -> None:
        """Nothing, after closing the connections; a request that is under way fails."""
        self.is_closed = True
        for line in list(self._lines.values()):
            with suppress(OSError):
                line.socket.shutdown(socket.SHUT_RDWR)
            line.close()
        self._lines.clear()

    def _drop(self, address: tuple[str, str, int], line: _Line) -> None:
        self._lines.pop(address, None)
        line.close()

    def _is_fresh(self, line: _Line) -> bool:
        """False for a connection that was idle for long, or that has something to read: its end, or nonsense."""
        if self._monotonic() - line.used_at > self._keepalive_s:
            return False
        poll = select.poll() if hasattr(select, "poll") else None
        if poll is None:
            return not select.select([line.socket], [], [], 0)[0]
        poll.register(line.socket, select.POLLIN)
        return not poll.poll(0)

    def _connect(self, address: tuple[str, str, int], timeout_s: float | None) -> _Line:
        scheme, host, port = address
        try:
            plain = socket.create_connection((host, port), timeout_s)
        except TimeoutError as error:
            raise httpx.ConnectTimeout(str(error)) from error
        except (OSError, UnicodeError) as error:
            raise httpx.ConnectError(str(error)) from error
        connected: socket.socket = plain
        try:
            plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if scheme == "https" and self._verify is not None:
                connected = self._verify.wrap_socket(plain, server_hostname=host)
        except TimeoutError as error:
            plain.close()
            raise httpx.ConnectTimeout(str(error)) from error
        except (OSError, ValueError) as error:  # a certificate that does not fit is an OSError, too
            plain.close()
            raise httpx.ConnectError(str(error)) from error
        reader = cast("BufferedReader", connected.makefile("rb", _LINE_BYTES))
        return _Line(connected, reader, self._monotonic())


def prepared(method: str, url: httpx.URL, given: RawHeaders) -> Call:
    """The request but for its body. Raises LocalProtocolError, without the value, for a header that would end early."""
    parts = [method.encode("ascii"), b" ", url.raw_path, b" HTTP/1.1\r\n"]
    for name, value in given:
        if _ILLEGAL.search(value) or _ILLEGAL.search(name):
            msg = f"the value of header '{name.decode(errors='replace')}' has a line break in it"
            raise httpx.LocalProtocolError(msg)
        parts += (name, b": ", value, b"\r\n")
    names = {name.lower() for name, _ in given}
    if b"host" not in names:
        parts += (b"Host: ", url.netloc, b"\r\n")
    address = (url.scheme, url.host, url.port or _PORTS.get(url.scheme, 0))
    return Call(method, address, b"".join(parts), b"content-length" in names)


def _sent(connected: socket.socket, head: bytes, content: bytes, timeout_s: float | None) -> httpx.RequestError | None:
    """None after sending everything, else why it broke off: an answer may have been given all the same."""
    try:
        connected.settimeout(timeout_s)
        if len(content) <= _JOINED_BYTES:
            connected.sendall(head + content)
        else:
            connected.sendall(head)
            connected.sendall(content)
    except TimeoutError as error:
        raise httpx.WriteTimeout(str(error)) from error
    except OSError as error:
        return httpx.WriteError(str(error))
    return None


def no_reply(error: httpx.RequestError, ms: float) -> NoReply:
    """Why there is no answer, in words a user knows, with what the operating system said."""
    said = str(error)
    kind = type(error).__name__
    return NoReply(f"{kind}: {said}" if said else kind, maybe_applied=not isinstance(error, BEFORE_SENDING), ms=ms)


def _answer(sent: Sent, timeout_s: float | None) -> tuple[Answer, bool]:
    """The answer, and whether the connection can be used again."""
    reader, unsent = sent.line.reader, sent.failed
    try:
        sent.line.socket.settimeout(timeout_s)
        found = _read_head(reader)
        while found.status in _INFORMATIONAL:
            found = _read_head(reader)
        body, is_framed = _read_body(reader, sent.call.method, found)
    except TimeoutError as error:
        raise unsent or httpx.ReadTimeout(str(error)) from error
    except httpx.RemoteProtocolError as error:
        raise unsent or error from error
    except (OSError, ValueError) as error:  # ValueError: the file was closed by another thread
        raise unsent or httpx.ReadError(str(error)) from error
    return Answer(found.status, found.headers, body), found.reusable and is_framed and unsent is None


def _read_head(reader: BufferedReader) -> _Head:
    """The head of the next answer; one that was read before, byte by byte the same, is not parsed again."""
    start = reader.peek()
    end = start.find(_END_OF_HEAD) + len(_END_OF_HEAD)
    raw = start[:end] if end >= len(_END_OF_HEAD) else None
    known = _KNOWN_HEADS.get(raw) if raw is not None else None
    if known is not None:
        reader.read(end)
        return known
    head = _parsed_head(reader)
    # Only one that ends with its first empty line: else a part of the body would be taken for a part of the head.
    if raw is not None and raw.find(b"\n\r\n") == end - 3 and b"\n\n" not in raw:
        if len(_KNOWN_HEADS) >= _MOST_HEADS:  # as with an id in each answer
            _KNOWN_HEADS.clear()
        _KNOWN_HEADS[raw] = head
    return head


def _parsed_head(reader: BufferedReader) -> _Head:
    line = reader.readline(_LINE_BYTES)
    if not line:
        msg = "Server disconnected without sending a response."
        raise httpx.RemoteProtocolError(msg)
    begin = _STATUS_LINE.fullmatch(line)
    if begin is None:
        raise _nonsense("status line")
    headers: RawHeaders = []
    keeps = begin[1] == b"1"
    for _ in range(_HEADER_LINES):
        line = reader.readline(_LINE_BYTES)
        if line in {b"\r\n", b"\n"}:
            return _Head(int(begin[2]), headers, keeps)
        found = _HEADER_LINE.fullmatch(line)
        if found is None:
            raise _nonsense("header")
        name, value = found.groups()
        headers.append((name, value))
        if name.lower() == b"connection":
            wishes = value.lower()
            keeps = b"close" not in wishes and (keeps or b"keep-alive" in wishes)
    raise _nonsense("number of headers")


def _read_body(reader: BufferedReader, method: str, head: _Head) -> tuple[bytes, bool]:
    """The body as it travelled, and whether its end was marked by something else than the end of the connection."""
    if method == "HEAD" or head.status in {_NO_CONTENT, _NOT_MODIFIED}:
        return b"", True
    named = {name.lower(): value for name, value in head.headers}
    encoding = named.get(b"transfer-encoding")
    if encoding is not None:
        if encoding.lower() != b"chunked":
            raise _nonsense("transfer encoding")
        return _read_chunks(reader), b"content-length" not in named
    sizes = {value for name, value in head.headers if name.lower() == b"content-length"}
    if not sizes:
        return reader.read(), False
    size = sizes.pop()
    if sizes or not size.isdigit():
        raise _nonsense("content length")
    return _exactly(reader, int(size)), True


def _read_chunks(reader: BufferedReader) -> bytes:
    chunks = []
    while True:
        begin = _CHUNK_LINE.fullmatch(reader.readline(_LINE_BYTES))
        if begin is None:
            raise _nonsense("chunk")
        size = int(begin[1], 16)
        if size == 0:
            break
        chunks.append(_exactly(reader, size))
        if reader.readline(_LINE_BYTES) not in {b"\r\n", b"\n"}:
            raise _nonsense("chunk")
    for _ in range(_HEADER_LINES):
        line = reader.readline(_LINE_BYTES)
        if line in {b"\r\n", b"\n"}:
            return b"".join(chunks)
        if _HEADER_LINE.fullmatch(line) is None:
            break
    raise _nonsense("trailer")


def _exactly(reader: BufferedReader, size: int) -> bytes:
    body = reader.read(size)
    if len(body) < size:
        msg = f"peer closed connection without sending complete message body (received {len(body)} bytes of {size})"
        raise httpx.RemoteProtocolError(msg)
    return body


def _nonsense(what: str) -> httpx.RemoteProtocolError:
    return httpx.RemoteProtocolError(f"the answer's {what} is no HTTP/1.1")
