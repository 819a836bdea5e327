from __future__ import annotations

import gzip
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from connector.errors import DestinationError
from connector.ports import NoReply, Reply, Request
from connector.systems.pendo.client import Client
from connector.systems.pendo.settings import NO_SECRET
from tests.systems.pendo import given, wire

if TYPE_CHECKING:
    from tests.systems.pendo.wire import Behaviour


def request(url: str, **changed: Any) -> Request:
    fields: dict[str, Any] = {"method": "POST", "url": url + "/x", "auth": "integration_key", "purpose": "send"}
    return Request(**{**fields, "body": b'[{"a":1}]', "headers": {"content-type": "application/json"}, **changed})


def sent(behave: Behaviour, **changed: Any) -> tuple[Reply | NoReply, wire.Wire]:
    with wire.serving(behave) as server, closing(client()) as one:
        return one.send(request(server.url, **changed)), server


def client(**changed: Any) -> Client:
    return Client(given.settings(**changed))


def test_an_answer_is_a_reply_with_lower_case_header_names() -> None:
    reply, server = sent(wire.answering("429 Slow down", b'{"a": 1}', "Retry-After: 7", "X-Two: a", "x-two: b"))

    assert isinstance(reply, Reply)
    assert (reply.status, reply.body) == (429, b'{"a": 1}')
    assert reply.headers == {"content-length": "8", "retry-after": "7", "x-two": "a, b"}
    assert 0 < reply.ms < 5_000
    assert server.requests[0].startswith(b"POST /x HTTP/1.1\r\n")
    assert server.requests[0].endswith(b'\r\n\r\n[{"a":1}]')


@pytest.mark.parametrize(
    ("auth", "secret"),
    [
        ("integration_key", given.KEY),
        ("track_event_secret", given.SECRET),
        (NO_SECRET, "00000000-0000-0000-0000-000000000000"),
    ],
)
def test_the_secret_that_a_request_names_goes_into_the_header(auth: str, secret: str) -> None:
    _, server = sent(wire.answering(), auth=auth)
    head = server.requests[0].decode().lower()

    assert f"x-pendo-integration-key: {secret}\r\n" in head
    assert "content-type: application/json\r\n" in head
    assert "user-agent: pendo-connector/" in head


def test_a_request_without_a_body_has_no_type_of_one() -> None:
    _, server = sent(wire.answering(), method="GET", body=b"", headers={})

    assert b"content-" not in server.requests[0].lower()


@pytest.mark.parametrize("auth", ["integration_key", "track_event_secret"])
def test_a_secret_that_is_not_set_is_an_error_before_anything_is_sent(auth: str) -> None:
    one = client(integration_key=None, track_event_secret=None)
    with closing(one), pytest.raises(DestinationError) as caught:
        one.send(request("http://127.0.0.1:9", auth=auth))

    assert caught.value.problem.slug == "missing-secret"


def test_a_redirect_is_an_answer() -> None:
    reply, server = sent(wire.answering("307 Elsewhere", b"", "Location: /y"))

    assert isinstance(reply, Reply)
    assert reply.status == 307
    assert len(server.requests) == 1


def test_a_compressed_answer_is_unpacked() -> None:
    reply, _ = sent(wire.answering("200 OK", gzip.compress(b"hello"), "Content-Encoding: gzip"))

    assert isinstance(reply, Reply)
    assert reply.body == b"hello"


def test_an_answer_that_repeats_the_secret_does_not_carry_it_further() -> None:
    reply, _ = sent(wire.answering("403 No", f"key {given.KEY} is bad".encode(), f"X-Key: {given.KEY}"))

    assert isinstance(reply, Reply)
    assert reply.body == b"key [redacted] is bad"
    assert reply.headers["x-key"] == "[redacted]"


def test_a_secret_as_short_as_a_word_is_not_cut_out_of_answers() -> None:
    with (
        wire.serving(wire.answering("200 OK", b'{"total": 1}')) as server,
        closing(client(integration_key="total")) as one,
    ):
        reply = one.send(request(server.url))

    assert isinstance(reply, Reply)
    assert reply.body == b'{"total": 1}'


def test_a_refused_connection_has_sent_nothing() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with closing(client()) as one:
        reply = one.send(request(f"http://127.0.0.1:{port}"))

    assert isinstance(reply, NoReply)
    assert not reply.maybe_applied
    assert reply.reason.startswith("ConnectError: ")


def test_a_connection_that_is_never_taken_has_sent_nothing() -> None:
    # A listener whose queue is full lets further connections wait.
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        waiting = [socket.socket() for _ in range(4)]
        for each in waiting:
            each.setblocking(False)
            each.connect_ex(listener.getsockname())
        with closing(client(timeouts={"connect_seconds": 0.2})) as one:
            reply = one.send(request(f"http://127.0.0.1:{listener.getsockname()[1]}"))
        for each in waiting:
            each.close()

    assert isinstance(reply, NoReply)
    assert not reply.maybe_applied
    assert "ConnectTimeout" in reply.reason


@pytest.mark.parametrize(
    ("behave", "error"),
    [
        (wire.resetting(), "ReadError"),
        (wire.closing(), "RemoteProtocolError"),
        (wire.closing(b"HTTP/1.1 200 OK\r\nContent-Le"), "RemoteProtocolError"),
        (wire.closing(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{"), "RemoteProtocolError"),
        (wire.resetting(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{"), "ReadError"),
        (wire.closing(b"nonsense\r\n\r\n"), "RemoteProtocolError"),
        (wire.silent(0.6), "ReadTimeout"),
        (wire.silent(0.6, b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{"), "ReadTimeout"),
        (wire.answering("200 OK", b"not gzip", "Content-Encoding: gzip"), "DecodingError"),
    ],
    ids=["reset", "closed", "cut head", "cut body", "reset body", "nonsense", "silence", "half a body", "bad gzip"],
)
def test_whatever_breaks_after_the_request_has_left_may_have_been_applied(behave: Behaviour, error: str) -> None:
    reply, server = sent(behave, timeout_s=0.2)

    assert isinstance(reply, NoReply)
    assert reply.maybe_applied
    assert reply.reason.startswith(error)
    assert len(server.requests) == 1, "nothing is sent twice by itself"
    assert given.KEY not in repr(reply)


def test_a_thread_keeps_its_connection_and_shares_it_with_none() -> None:
    with wire.serving(wire.answering()) as server, closing(client()) as one:
        one.send(request(server.url))
        one.send(request(server.url))
        alone = server.connections
        barrier = threading.Barrier(3)

        def send() -> None:
            barrier.wait()
            one.send(request(server.url))
            one.send(request(server.url))

        with ThreadPoolExecutor(3) as pool:
            for future in [pool.submit(send) for _ in range(3)]:
                future.result()

    assert alone == 1
    assert server.connections == 4
    assert len(server.requests) == 8


def test_a_connection_that_the_other_side_closed_is_not_used_again() -> None:
    with wire.serving(wire.answering(keep=False)) as server, closing(client()) as one:
        replies = []
        for _ in range(3):
            replies.append(one.send(request(server.url)))
            time.sleep(0.2)  # the news of the closed connection needs a moment to arrive

    assert all(isinstance(reply, Reply) for reply in replies)
    assert server.connections == 3


def test_closing_closes_the_connections_of_every_thread() -> None:
    one = client()
    closed = threading.Event()

    def behave(connection: socket.socket, received: bytes) -> bool:
        wire.answering()(connection, received)
        if wire.read(connection) is None:
            closed.set()
        return False

    with wire.serving(behave) as server:
        with ThreadPoolExecutor(1) as pool:
            pool.submit(one.send, request(server.url)).result()
        one.close()

        assert closed.wait(5)
    one.close()


def test_the_network_layer_can_be_swapped() -> None:
    def answer(received: httpx.Request) -> httpx.Response:
        return httpx.Response(200, content=received.content)

    one = Client(given.settings(), transport=lambda: httpx.MockTransport(answer), monotonic=iter([1.0, 1.5]).__next__)
    with closing(one):
        reply = one.send(request("https://app.pendo.io"))

    assert isinstance(reply, Reply)
    assert (reply.status, reply.body, reply.ms) == (200, b'[{"a":1}]', 500.0)


def test_a_proxy_from_the_environment_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    with wire.serving(wire.answering("407 Who are you")) as proxy:
        monkeypatch.setenv("HTTP_PROXY", proxy.url)
        monkeypatch.setenv("HTTPS_PROXY", proxy.url)
        with closing(client()) as one:
            plain = one.send(request("http://pendo.example.com"))
            tunnelled = one.send(request("https://pendo.example.com"))

    assert isinstance(plain, Reply)
    assert plain.status == 407
    assert isinstance(tunnelled, NoReply)
    assert not tunnelled.maybe_applied, "the proxy refused the tunnel: nothing went through it"
    assert proxy.requests[0].startswith(b"POST http://pendo.example.com/x")
    assert proxy.requests[1].startswith(b"CONNECT pendo.example.com:443")


def test_no_proxy_stands_before_an_address_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    with wire.serving(wire.answering()) as server, closing(client(base_url=server.url)) as one:
        reply = one.send(request(server.url))

    assert isinstance(reply, Reply)


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("SSL_CERT_FILE", "/nowhere/bundle.pem"),
        ("HTTPS_PROXY", "gopher://user:word@proxy.example.com"),
        ("HTTPS_PROXY", "http://user:word@proxy.example.com:port"),
    ],
)
def test_a_broken_environment_is_an_error_without_passwords(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str
) -> None:
    monkeypatch.setenv(variable, value)
    with closing(client()) as one, pytest.raises(DestinationError) as caught:
        one.send(request("http://127.0.0.1:9"))

    assert caught.value.problem.slug == "connection-setup"
    assert "word" not in str(caught.value)
    assert "HTTPS_PROXY" in str(caught.value.problem.hint)


def test_a_destination_sends_and_closes_through_its_client() -> None:
    with wire.serving(wire.answering("200 OK", b'{"total": 1, "failed": 0}')) as server:
        for destination in (given.objects(base_url=server.url), given.events(base_url=server.url)):
            with closing(destination):
                built = destination.build(given.batch(destination.routes[0], "acct-0001"))
                reply = destination.send(built)

                assert isinstance(reply, Reply)
                assert not getattr(destination.judge(built, reply), "failures", None)

    assert [each.split(b" ")[1] for each in server.requests] == [
        b"/api/v1/metadata/account/custom/value",
        b"/data/track",
    ]
