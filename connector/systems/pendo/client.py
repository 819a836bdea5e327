"""The network side of Pendo: a request goes in, a reply comes out, or the reason why there is none.

The only module of this package that does I/O, and the only one that touches a secret.
"""

from __future__ import annotations

import os
import threading
import time
from functools import cache
from importlib.metadata import version
from typing import TYPE_CHECKING, Any
from urllib.request import getproxies

import httpx

from connector.errors import DestinationError
from connector.ports import NoReply, Reply
from connector.systems.pendo import facts
from connector.systems.pendo.flight import CAN_WAIT, Flight
from connector.systems.pendo.settings import INTEGRATION_KEY, NO_SECRET, TRACK_EVENT_SECRET
from connector.systems.pendo.transport import ThreadTransport, no_reply, prepared

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable

    from connector.ports import Request
    from connector.systems.pendo.settings import PendoSettings
    from connector.systems.pendo.transport import Answer, Call

MADE_UP = "00000000-0000-0000-0000-000000000000"

# A connection that was idle longer may be half closed by the other side: then nobody could tell whether the request
# that found out had been taken.
KEEPALIVE_S = 5.0

# An answer that repeats a secret must not carry it further. Shorter texts are no real secrets and may stand anywhere.
ECHO_CHARACTERS = 8
REDACTED = "[redacted]"

# What httpx's own client would add to every request.
_HEADERS = {"accept": "*/*", "accept-encoding": "gzip, deflate", "connection": "keep-alive"}
_KNOWN_ADDRESSES = 100
_RawHeaders = list[tuple[bytes, bytes]]
_PROXIED = {"http", "https", "all"}


class Client:
    """Sends requests to Pendo. Thread-safe: every thread has a connection of its own.

    `transport` makes the network layer of a thread. By default it is a `ThreadTransport`; where the environment names
    a proxy, it is httpx's own. Certificate bundles from the environment are honoured by both.
    """

    def __init__(
        self,
        settings: PendoSettings,
        *,
        transport: Callable[[], httpx.BaseTransport] | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """Keep the settings; nothing is opened before the first request."""
        self._settings = settings
        self._transport = transport
        self._monotonic = monotonic
        self._mine = threading.local()
        self._lock = threading.Lock()
        self._opened: list[_Line] = []
        self._addresses: dict[tuple[Any, ...], _Address] = {}
        self._echoes = [(text, text.encode()) for text in settings.secrets if len(text) >= ECHO_CHARACTERS]
        self._agent = f"pendo-connector/{version('pendo-connector')}"

    @property
    def secrets(self) -> tuple[str, ...]:
        """Texts that must never be stored or shown."""
        return self._settings.secrets

    def send(self, request: Request) -> Reply | NoReply:
        """The answer, whatever its status, or why there is none. Redirects are answers: they are not followed."""
        line = self._line()
        timeouts = self.timeouts(request)
        started = self._monotonic()
        try:
            if line.direct is not None:
                answer = line.direct.exchange(self.call(request), request.body, timeouts)
                return self.reply(answer, self._ms_since(started))
            response = line.send(_prepared(request, self._address(request), timeouts))
            response.read()
        except httpx.RequestError as error:
            return no_reply(error, self._ms_since(started))
        ms = self._ms_since(started)
        return self._reply(response.status_code, _named(response.headers), response.content, ms)

    def flight(self, most: int) -> Flight | None:
        """What carries so many requests of one thread at once; None through a proxy, which is httpx's business.

        Raises DestinationError `connection-setup`.
        """
        if not CAN_WAIT or self._line().direct is None:
            return None
        lines = [self._new_line() for _ in range(most)]
        return Flight(self, [line.direct for line in lines if line.direct is not None], monotonic=self._monotonic)

    def ready(self) -> None:
        """Nothing, when certificates and proxies are found. Raises DestinationError `connection-setup`."""
        self._line()

    def call(self, request: Request) -> Call:
        """The request but for its body, as a transport takes it. Raises httpx.LocalProtocolError, DestinationError."""
        return self._address(request).call(request.method)

    def timeouts(self, request: Request) -> dict[str, float]:
        """Seconds by what is waited for, as httpx names it."""
        connect_s, other_s = self._settings.timeouts.connect_seconds, request.timeout_s
        return {"connect": connect_s, "pool": connect_s, "read": other_s, "write": other_s}

    def reply(self, answer: Answer, ms: float) -> Reply:
        """The answer, decoded, without secrets. Raises httpx.DecodingError."""
        return self._reply(answer.status, *_decoded(answer), ms)

    def close(self) -> None:
        """Nothing, after closing every thread's connections."""
        with self._lock:
            opened, self._opened = self._opened, []
        for line in opened:
            line.close()

    def _address(self, request: Request) -> _Address:
        """Where the request goes, and every header but the size: the same for each request of a route."""
        key = (request.url, request.auth, *request.headers.items())
        known = self._addresses.get(key)
        if known is None:
            url = httpx.URL(request.url)
            headers = {**_HEADERS, "user-agent": self._agent, **request.headers}
            headers[facts.KEY_HEADER.value] = self._secret(request.auth)
            raw = httpx.Headers({"host": url.netloc.decode("ascii"), **headers}).raw
            if len(self._addresses) >= _KNOWN_ADDRESSES:  # as a probe makes them: one id an address
                self._addresses.clear()
            known = self._addresses[key] = _Address(url, raw)
        return known

    def _line(self) -> _Line:
        line: _Line | None = getattr(self._mine, "line", None)
        if line is None or line.is_closed:
            line = self._mine.line = self._new_line()
        return line

    def _new_line(self) -> _Line:
        with self._lock:
            try:
                line = self._opened_line()
            except (OSError, ValueError, ImportError, httpx.InvalidURL) as error:
                # A proxy's address may hold a password: only what the operating system says is shown.
                said = error if isinstance(error, OSError) else type(error).__name__
                raise DestinationError(
                    f"the connection to Pendo cannot be set up: {said}",
                    slug="connection-setup",
                    hint="check HTTP_PROXY, HTTPS_PROXY, ALL_PROXY, SSL_CERT_FILE and SSL_CERT_DIR in the environment",
                ) from None
            self._opened.append(line)
        return line

    def _opened_line(self) -> _Line:
        if self._transport is not None:
            return _Line(self._transport())
        heeds_proxies = not self._settings.is_on_this_machine and any(scheme in _PROXIED for scheme in getproxies())
        if not heeds_proxies and httpx.URL(self._settings.base_url or "").scheme == "http":
            # To read the certificates takes as long as many a run against the sandbox, which shows none.
            return _Line(ThreadTransport(None, keepalive_s=KEEPALIVE_S))
        certificates = _certificates(os.environ.get("SSL_CERT_FILE"), os.environ.get("SSL_CERT_DIR"))
        if not heeds_proxies:
            return _Line(ThreadTransport(certificates, keepalive_s=KEEPALIVE_S))
        limits = httpx.Limits(keepalive_expiry=KEEPALIVE_S)
        return _Line(httpx.Client(verify=certificates, follow_redirects=False, limits=limits))

    def _secret(self, auth: str) -> str:
        if auth == NO_SECRET:
            return MADE_UP
        secret = {
            INTEGRATION_KEY: self._settings.integration_key,
            TRACK_EVENT_SECRET: self._settings.track_event_secret,
        }[auth]
        if secret is None:
            raise DestinationError(
                f"the destination has no {auth}",
                slug="missing-secret",
                hint=f"set {auth} in connector.yml",
            )
        return secret.get_secret_value()

    def _reply(self, status: int, headers: dict[str, str], body: bytes, ms: float) -> Reply:
        for secret, encoded in self._echoes:
            body = body.replace(encoded, REDACTED.encode())
            if any(secret in value for value in headers.values()):
                headers = {name: value.replace(secret, REDACTED) for name, value in headers.items()}
        return Reply(status, headers, body, ms)

    def _ms_since(self, started: float) -> float:
        return (self._monotonic() - started) * 1000


class _Address:
    """Where requests go, and every header but the size."""

    def __init__(self, url: httpx.URL, headers: _RawHeaders) -> None:
        self.url = url
        self.headers = headers
        self._calls: dict[str, Call] = {}

    def call(self, method: str) -> Call:
        """The request but for its body. Raises httpx.LocalProtocolError."""
        known = self._calls.get(method)
        if known is None:
            known = self._calls[method] = prepared(method, self.url, self.headers)
        return known


class _Line:
    """What one thread sends through: a transport, or a client of httpx that knows the proxies.

    `direct` is the transport where it takes requests without the objects of httpx around them.
    """

    def __init__(self, way: httpx.BaseTransport | httpx.Client) -> None:
        self._way = way
        self.direct = way if isinstance(way, ThreadTransport) else None
        self.send = way.send if isinstance(way, httpx.Client) else way.handle_request
        self.is_closed = False

    def close(self) -> None:
        """Nothing, after closing its connections."""
        self.is_closed = True
        self._way.close()


def _prepared(request: Request, address: _Address, timeouts: dict[str, float]) -> httpx.Request:
    """The request as an object of httpx: made here, because httpx.Client takes longer for that than for the call."""
    headers = address.headers
    if request.body:
        headers = [*headers, (b"content-length", b"%d" % len(request.body))]
    stream = httpx.ByteStream(request.body)
    return httpx.Request(request.method, address.url, headers=headers, stream=stream, extensions={"timeout": timeouts})


def _decoded(answer: Answer) -> tuple[dict[str, str], bytes]:
    """The headers by name, and the body without its encoding. Raises httpx.DecodingError."""
    if all(name.isascii() and value.isascii() for name, value in answer.headers):
        headers: dict[str, str] = {}
        for raw, value in answer.headers:
            name, text = raw.decode("ascii").lower(), value.decode("ascii")
            headers[name] = f"{headers[name]}, {text}" if name in headers else text
        if "content-encoding" not in headers:
            return headers, answer.body
    response = httpx.Response(answer.status, headers=answer.headers, stream=httpx.ByteStream(answer.body))
    return _named(response.headers), response.read()


def _named(headers: httpx.Headers) -> dict[str, str]:
    return {name.lower(): value for name, value in headers.items()}


@cache
def _certificates(*named: str | None) -> ssl.SSLContext:
    """The certificates to trust, as the environment names them: reading them takes long enough to share them."""
    del named  # httpx reads the environment itself; a change of it is another entry of the cache
    return httpx.create_ssl_context()
