"""Who may ask the server for what: one layer around every part.

    a name that is not ours     421   DNS rebinding: a foreign page has our address under its own name
    nobody known                401   or the login page, for a browser
    a foreign page              403   what it makes a browser of ours send (CSRF)
    read-only                   403   everything that would change or send something

and on everything that is answered the headers that keep scripts, frames and caches out.
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import secrets
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import quote, urlsplit

from itsdangerous import BadSignature, URLSafeSerializer
from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response

from connector.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from connector.serve.serving import Serving

COOKIE = "connector_session"
CSRF_HEADER = "x-csrf-token"
SESSION_S = 7 * 24 * 3600.0
SHORTEST_TOKEN = 16

_LOOPBACK = ("127.0.0.1", "localhost", "[::1]")
_SAFE = ("GET", "HEAD", "OPTIONS")
_OPEN = ("/login", "/healthz", "/readyz")
_OPEN_BELOW = "/assets/"
_HEADERS = {
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
        "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    # Not "no-referrer": a browser would then send a form of ours with the origin "null".
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
}

Refusal = tuple[int, str, str]
Login = Literal["open", "token", "header", "cookie"]


def refuse_open(host: str, *, token: str | None, trusted_header: str | None) -> None:
    """Nothing, when this address may be listened on. Raises ConfigError where anybody could come in, or soon."""
    if is_loopback(host):
        return
    if token and len(token) < SHORTEST_TOKEN:
        raise ConfigError(
            f"{host} can be reached from other machines, and the token is shorter than {SHORTEST_TOKEN} characters",
            slug="serve-needs-token",
            hint="set a longer one (CONNECTOR_SERVE_TOKEN, or serve: token), or listen on 127.0.0.1",
        )
    if token or trusted_header:
        return
    raise ConfigError(
        f"{host} can be reached from other machines, and nobody would have to log in",
        slug="serve-needs-token",
        hint="set a token (serve: token, or CONNECTOR_SERVE_TOKEN), or a trusted header of a reverse proxy; "
        "or listen on 127.0.0.1",
    )


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches the address."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


class Guard:
    """The layer. `refused(request, status, sentence, hint)` makes the page that a browser is shown for a refusal.

    Behind it, `request.state.who` is the user's name, `request.state.csrf` what an unsafe request of a page must send.
    """

    def __init__(self, app: ASGIApp, serving: Serving, refused: Callable[[Request, int, str, str], Response]) -> None:
        """Let through to `app` what may pass."""
        self._app = app
        self._serving = serving
        self._refused = refused
        self._sessions = Sessions(serving)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Nothing, after answering the request, or handing it on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request = Request(scope)
        scope.setdefault("state", {})["sessions"] = self._sessions
        request.state.read_only = self._serving.read_only
        request.state.who, request.state.csrf = None, ""
        answer = self._check(request)
        app = self._app if answer is None else answer

        async def send_on(message: Message) -> None:
            if message["type"] == "http.response.start":
                _add_headers(MutableHeaders(scope=message), request.url.path)
            await send(message)

        await app(scope, receive, send_on)

    def _check(self, request: Request) -> Response | None:
        """The refusal, or None when the request may pass."""
        if not self._is_ours(request.headers.get("host", "")):
            return self._refuse(request, (421, "this server is not known under that name", "serve: allowed_hosts"))
        who, login = self._login(request)
        request.state.who = who
        request.state.csrf = self._sessions.csrf(self._csrf_subject(request, login))
        path = request.url.path
        if who is None and not (path in _OPEN or path.startswith(_OPEN_BELOW)):
            return self._ask_to_log_in(request)
        if request.method in _SAFE:
            return None
        refusal = self._foreign(request, login)
        if refusal is None and self._serving.read_only and path not in ("/login", "/logout"):
            refusal = (403, "this server is read-only", "start it without --read-only to change or send something")
        return None if refusal is None else self._refuse(request, refusal)

    def _is_ours(self, host: str) -> bool:
        serving = self._serving
        name = _name_of(host)
        known = {*_LOOPBACK, *(each.lower() for each in serving.allowed_hosts), _bracketed(serving.host.lower())}
        if name in known:
            return True
        # Where a login is needed, a foreign name brings no login with it; without one only the names we know are ours.
        needs_login = serving.token is not None or serving.trusted_header is not None
        return bool(name) and needs_login and not serving.allowed_hosts and not is_loopback(serving.host)

    def _login(self, request: Request) -> tuple[str | None, Login]:
        """Who asks, and how they showed it."""
        serving = self._serving
        if serving.trusted_header is not None and request.client is not None:
            name = request.headers.get(serving.trusted_header)
            if name and request.client.host in serving.trusted_proxies:
                return name, "header"
        if serving.token is None:
            return (None, "header") if serving.trusted_header is not None else ("local", "open")
        scheme, _, given = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer" and self._sessions.is_token(given.strip()):
            return "token", "token"
        session = self._sessions.read(request.cookies.get(COOKIE, ""))
        return (None if session is None else "token"), "cookie"

    def _csrf_subject(self, request: Request, login: Login) -> str:
        match login:
            case "cookie":
                return str(self._sessions.read(request.cookies.get(COOKIE, "")))
            case "header":
                return f"user {request.state.who}"
            case "open" | "token":
                return login

    def _foreign(self, request: Request, login: Login) -> Refusal | None:
        """Why this may be sent by another site's page; None when it is not. Programs send none of these headers."""
        headers = request.headers
        origin, site = headers.get("origin"), headers.get("sec-fetch-site")
        hint = "open the page on this server itself"
        if site not in (None, "same-origin", "none"):
            return 403, "another site's page must not do this", hint
        if origin is not None and urlsplit(origin).netloc.lower() != headers.get("host", "").lower():
            return 403, "another site's page must not do this", hint
        by_browser = origin is not None or site is not None or login in ("cookie", "header")
        if login == "token" or not by_browser or request.url.path == "/login":
            return None
        if hmac.compare_digest(headers.get(CSRF_HEADER, "").encode(), request.state.csrf.encode()):
            return None
        return 403, "the page is too old to do this", "load it again"

    def _ask_to_log_in(self, request: Request) -> Response:
        wants_page = "text/html" in request.headers.get("accept", "") and "hx-request" not in request.headers
        if self._serving.token is None or not wants_page:
            hint = "send `Authorization: Bearer <token>`" if self._serving.token else "come through the reverse proxy"
            answer = self._refuse(request, (401, "log in first", hint))
            answer.headers["www-authenticate"] = "Bearer"
            return answer
        wanted = request.url.path + (f"?{request.url.query}" if request.url.query else "")
        where = "/login" if wanted == "/" else f"/login?next={quote(wanted)}"
        return RedirectResponse(where, status_code=303)

    def _refuse(self, request: Request, refusal: Refusal) -> Response:
        status, sentence, hint = refusal
        if request.url.path.startswith("/api/") or "text/html" not in request.headers.get("accept", ""):
            error = {"slug": "refused", "message": sentence, "hint": hint}
            return JSONResponse({"error": error, "message": sentence, "details": hint}, status_code=status)
        return self._refused(request, status, sentence, hint)


class Sessions:
    """What is signed: login cookies and CSRF tokens. A new token, or a start without one, makes the old ones void."""

    def __init__(self, serving: Serving) -> None:
        """Sign with a key that only the token's owner could work out."""
        self._token = serving.token
        self._now = serving.clock.now
        secret = secrets.token_bytes(32) if serving.token is None else b"connector serve " + serving.token.encode()
        key = hashlib.sha256(secret).hexdigest()
        self._logins = URLSafeSerializer(key, salt="login", signer_kwargs={"digest_method": hashlib.sha256})
        self._pages = URLSafeSerializer(key, salt="page", signer_kwargs={"digest_method": hashlib.sha256})

    def is_token(self, given: str) -> bool:
        """Whether this is the token; how long that takes says nothing about how much of it is right."""
        return self._token is not None and hmac.compare_digest(given.encode(), self._token.encode())

    def new(self) -> str:
        """The value of a login cookie."""
        return str(self._logins.dumps([secrets.token_urlsafe(16), self._now() + SESSION_S]))

    def read(self, cookie: str) -> str | None:
        """The name of the session, or None when the cookie is not ours or too old."""
        try:
            session: Any = self._logins.loads(cookie)
        except BadSignature:
            return None
        return str(session[0]) if session[1] > self._now() else None

    def csrf(self, subject: str) -> str:
        """What a page of this session sends along with everything that changes something."""
        return str(self._pages.dumps(subject))


def local_path(wanted: str) -> str:
    """The path, when it is one of this server, else the first page."""
    return wanted if wanted.startswith("/") and not wanted.startswith(("//", "/\\")) else "/"


def _name_of(host: str) -> str:
    """The name in a Host header, without its port; empty when it is none."""
    try:
        name = urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""
    return _bracketed(name)


def _bracketed(name: str) -> str:
    return f"[{name}]" if ":" in name and not name.startswith("[") else name


def _add_headers(headers: MutableHeaders, path: str) -> None:
    for name, value in _HEADERS.items():
        headers.setdefault(name, value)
    if not path.startswith(_OPEN_BELOW):
        headers.setdefault("cache-control", "no-store")
