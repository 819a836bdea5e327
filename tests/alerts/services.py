"""Slack, PagerDuty, Twilio, a mail server and a webhook, as far as an alert sees them: on 127.0.0.1, over real sockets.

The three in the cloud are reached as they are from behind a company's proxy: HTTPS_PROXY leads here, and
REQUESTS_CA_BUNDLE makes our certificate one that is trusted.
"""

from __future__ import annotations

import base64
import datetime as dt
import email
import email.policy
import json
import socketserver
import ssl
import threading
from collections import deque
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

if TYPE_CHECKING:
    from collections.abc import Iterator
    from email.message import EmailMessage
    from pathlib import Path

SLACK, PAGERDUTY, TWILIO = "hooks.slack.com", "events.pagerduty.com", "api.twilio.com"
ANSWERS = {
    SLACK: (200, "text/html", "ok"),
    PAGERDUTY: (202, "application/json", '{"status":"success","message":"Event processed"}'),
    TWILIO: (201, "application/json", '{"sid":"SM1","status":"queued"}'),
    "webhook": (204, "text/plain", ""),
}


@dataclass(frozen=True)
class Received:
    """A request that came in."""

    host: str
    method: str
    path: str
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)

    def form(self) -> dict[str, str]:
        return {name: values[0] for name, values in parse_qs(self.body.decode()).items()}


@dataclass
class Services:
    """What came in, and which services are down. `slow` is set while the webhook waits before it answers."""

    proxy: str = ""
    ca_file: str = ""
    webhook: str = ""
    smtp_port: int = 0
    requests: list[Received] = field(default_factory=list)
    mails: list[tuple[tuple[str, ...], EmailMessage]] = field(default_factory=list)
    logins: list[tuple[str, str]] = field(default_factory=list)
    down: set[str] = field(default_factory=set)
    once: deque[int] = field(default_factory=deque)
    """Statuses of the next answers of the webhook, before it is well again."""

    def to(self, host: str) -> list[Received]:
        return [one for one in self.requests if one.host == host]

    def texts(self) -> list[str]:
        """Everything that came in, as text."""
        found = [f"{one.path} {one.headers} {one.body.decode()}" for one in self.requests]
        return [*found, *(str(mail) for _, mail in self.mails)]


@contextmanager
def services(folder: Path) -> Iterator[Services]:
    """All of them, until the end of the block."""
    made = Services()
    context = _certificate(folder, made)
    with ExitStack() as stack:
        made.proxy = f"http://127.0.0.1:{_serve(stack, _proxy(made, context))}"
        made.webhook = f"http://127.0.0.1:{_serve(stack, _plain(made))}/hook"
        made.smtp_port = _serve(stack, _smtp(made))
        yield made


class _Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True


def _serve(stack: ExitStack, kind: type[socketserver.StreamRequestHandler]) -> int:
    server = stack.enter_context(_Server(("127.0.0.1", 0), kind))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    stack.callback(thread.join)
    stack.callback(server.shutdown)
    return int(server.server_address[1])


def _answer(made: Services, host: str, lines: Any, write: Any) -> bool:
    """Whether a request was read and answered."""
    first = lines.readline().decode().split()
    if len(first) < 2:
        return False
    headers: dict[str, str] = {}
    while line := lines.readline().decode().strip():
        name, _, value = line.partition(":")
        headers[name.lower()] = value.strip()
    body = lines.read(int(headers.get("content-length", 0)))
    made.requests.append(Received(host, first[0], first[1], headers, body))
    status, kind, text = ANSWERS[host]
    if host == "webhook" and made.once:
        status = made.once.popleft()
    if host in made.down:
        status, kind, text = 503, "text/plain", "upstream secret-of-the-service"
    head = f"HTTP/1.1 {status} X\r\nContent-Type: {kind}\r\nContent-Length: {len(text)}\r\nConnection: close\r\n\r\n"
    write((head + text).encode())
    return True


def _plain(made: Services) -> type[socketserver.StreamRequestHandler]:
    class Plain(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            _answer(made, "webhook", self.rfile, self.wfile.write)

    return Plain


def _proxy(made: Services, context: ssl.SSLContext) -> type[socketserver.StreamRequestHandler]:
    class Proxy(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            asked = self.rfile.readline().decode().split()
            while self.rfile.readline().strip():
                pass
            host = asked[1].rpartition(":")[0] if len(asked) > 1 else ""
            if asked[:1] != ["CONNECT"] or host not in ANSWERS:
                self.wfile.write(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")
                return
            self.wfile.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
            with context.wrap_socket(self.request, server_side=True) as secure, secure.makefile("rb") as lines:
                _answer(made, host, lines, secure.sendall)

    return Proxy


def _smtp(made: Services) -> type[socketserver.StreamRequestHandler]:
    class Smtp(_Mail):
        services = made

    return Smtp


class _Mail(socketserver.StreamRequestHandler):
    """One conversation of RFC 5321, as far as smtplib goes."""

    services: Services

    def handle(self) -> None:
        if "smtp" in self.services.down:
            self.say("421 not now")
            return
        self.say("220 mail.example.com ESMTP")
        self.receivers: list[str] = []
        words = {"EHLO": self.ehlo, "AUTH": self.auth, "MAIL": self.address, "RCPT": self.address, "DATA": self.data}
        while (line := self.rfile.readline().decode().strip()) and not line.upper().startswith("QUIT"):
            words.get(line.split()[0].upper(), self.unknown)(line)
        self.say("221 bye")

    def ehlo(self, _: str) -> None:
        self.say("250-mail.example.com", "250-AUTH PLAIN", "250 8BITMIME")

    def auth(self, line: str) -> None:
        _, user, password = base64.b64decode(line.rsplit(maxsplit=1)[-1]).decode().split("\0")
        self.services.logins.append((user, password))
        self.say("235 welcome")

    def address(self, line: str) -> None:
        self.receivers += [line.partition("<")[2].partition(">")[0]] if line.upper().startswith("RCPT") else []
        self.say("250 ok")

    def data(self, _: str) -> None:
        self.say("354 go ahead")
        text = b""
        while (part := self.rfile.readline()) not in (b".\r\n", b""):
            text += part.removeprefix(b".") if part.startswith(b"..") else part
        mail = email.message_from_bytes(text, policy=email.policy.default)
        self.services.mails.append((tuple(self.receivers), mail))
        self.receivers = []
        self.say("250 taken")

    def unknown(self, _: str) -> None:
        self.say("502 what?")

    def say(self, *lines: str) -> None:
        self.wfile.write("".join(f"{line}\r\n" for line in lines).encode())


def _certificate(folder: Path, made: Services) -> ssl.SSLContext:
    """A certificate for the services in the cloud, signed by itself, and the file that makes others trust it."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "alerts in a test")])
    now = dt.datetime.now(dt.UTC)
    hosts = x509.SubjectAlternativeName([x509.DNSName(host) for host in (SLACK, PAGERDUTY, TWILIO)])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(hosts, critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    ca, both = folder / "ca.pem", folder / "both.pem"
    pem = certificate.public_bytes(serialization.Encoding.PEM)
    ca.write_bytes(pem)
    no_password = serialization.NoEncryption()
    secret = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, no_password)
    both.write_bytes(secret + pem)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(both)
    made.ca_file = str(ca)
    return context
