from __future__ import annotations

import socket
import threading
import time
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from connector.errors import DestinationError
from connector.ports import NoReply, Reply, Request
from connector.systems.pendo.client import Client
from connector.systems.pendo.flight import Flight
from connector.systems.pendo.transport import ThreadTransport
from tests.systems.pendo import given, wire

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.systems.pendo.wire import Behaviour


def request(url: str, number: int = 0, **changed: Any) -> Request:
    fields: dict[str, Any] = {"method": "POST", "url": url + "/x", "auth": "track_event_secret", "purpose": "send"}
    return Request(**{**fields, "body": b"%d" % number, "headers": {"content-type": "application/json"}, **changed})


@contextmanager
def flying(most: int = 4, **settings: Any) -> Iterator[Flight]:
    """A flight that is closed at the end, and its client with it."""
    with closing(Client(given.settings(**settings))) as client:
        flight = client.flight(most)
        assert flight is not None
        with closing(flight):
            yield flight


def landed(flight: Flight, count: int) -> dict[int, Reply | NoReply]:
    """So many answers, by call id."""
    found: dict[int, Reply | NoReply] = {}
    give_up = time.monotonic() + 10
    while len(found) < count and time.monotonic() < give_up:
        came = flight.arrived(1.0)
        assert not found.keys() & dict(came).keys()
        found.update(came)
    return found


def assert_each_gets_its_own(flight: Flight, url: str, count: int) -> None:
    """Three times so many requests at once, to a server that answers with what it was sent."""
    for first in (10, 20, 30):
        numbers = range(first, first + count)
        for number in numbers:
            flight.start(number, request(url, number))
        found = landed(flight, count)

        bodies = {call_id: reply.body for call_id, reply in found.items() if isinstance(reply, Reply)}
        assert bodies == {number: b"%d" % number for number in numbers}
        assert all(0 < reply.ms < 5_000 for reply in found.values())


def echoing(connection: socket.socket, received: bytes) -> bool:
    body = received.partition(b"\r\n\r\n")[2]
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))
    return True


def test_requests_are_in_flight_at_once_and_each_gets_its_own_answer() -> None:
    together = threading.Barrier(4)

    def behave(connection: socket.socket, received: bytes) -> bool:
        together.wait(5)
        return echoing(connection, received)

    with wire.serving(behave) as server, flying() as flight:
        assert_each_gets_its_own(flight, server.url, 4)

    assert server.connections == 4


def test_the_first_answer_is_there_while_others_are_not() -> None:
    go_on = threading.Event()

    def behave(connection: socket.socket, received: bytes) -> bool:
        if received.endswith(b"1"):
            go_on.wait(5)
        return echoing(connection, received)

    with wire.serving(behave) as server, flying() as flight:
        flight.start(1, request(server.url, 1))
        flight.start(2, request(server.url, 2))
        first = landed(flight, 1)
        go_on.set()
        second = landed(flight, 1)

    assert ([*first], [*second]) == ([2], [1])


def test_without_an_answer_it_waits_no_longer_than_it_was_told() -> None:
    with flying() as flight:
        before = time.monotonic()

        assert flight.arrived(0.05) == []
        assert time.monotonic() - before >= 0.05


@pytest.mark.parametrize(
    "behave",
    [
        wire.closing(),
        wire.closing(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nok"),
        wire.closing(b"nonsense\r\n\r\n"),
        wire.resetting(),
        wire.resetting(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nok"),
        wire.silent(),
        wire.silent(after=b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nok"),
        wire.answering("200 OK", b"no gzip", "Content-Encoding: gzip"),
    ],
)
def test_what_breaks_reads_as_it_does_for_one_request_alone(behave: Behaviour) -> None:
    with wire.serving(behave) as server, flying() as flight, closing(Client(given.settings())) as client:
        alone = client.send(request(server.url, timeout_s=0.2))
        flight.start(1, request(server.url, timeout_s=0.2))
        reply = landed(flight, 1)[1]
        assert isinstance(alone, NoReply)
        assert isinstance(reply, NoReply)
        assert (reply.reason, reply.maybe_applied) == (alone.reason, True)
        assert len(server.requests) == 2, "nothing is sent twice by itself"


def test_who_waits_too_long_holds_up_no_other_and_gets_another_connection() -> None:
    def behave(connection: socket.socket, received: bytes) -> bool:
        return wire.silent(1.5)(connection, received) if received.endswith(b"\n1") else echoing(connection, received)

    with wire.serving(behave) as server, flying(2) as flight:
        flight.start(1, request(server.url, 1, timeout_s=0.5))
        came: list[int] = []
        for number in range(100, 120):
            flight.start(number, request(server.url, number, timeout_s=0.5))
            came += landed(flight, 1)
        late = landed(flight, 1)[1]
        flight.start(200, request(server.url, 200))
        flight.start(201, request(server.url, 201))

        assert came == [*range(100, 120)]
        assert isinstance(late, NoReply)
        assert late.reason == "ReadTimeout: timed out"
        assert late.ms >= 500
        assert landed(flight, 2).keys() == {200, 201}
        assert server.connections == 3


def test_a_refused_connection_has_sent_nothing() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    with flying(2) as flight:
        flight.start(1, request(url))
        flight.start(2, request(url))
        found = landed(flight, 2)

    assert {reply.maybe_applied for reply in found.values() if isinstance(reply, NoReply)} == {False}
    assert len(found) == 2


def test_connections_are_opened_at_the_same_time() -> None:
    """A listener whose queue is full takes a connection when it gets round to it; the others do not wait for that."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as full, wire.serving(echoing) as server:
        url = f"http://127.0.0.1:{full.getsockname()[1]}"
        waiting = [socket.socket() for _ in range(3)]
        for each in waiting:
            each.setblocking(False)
            each.connect_ex(full.getsockname())
        with flying(2, timeouts={"connect_seconds": 1}) as flight:
            flight.start(1, request(url))
            flight.start(2, request(server.url, 2))
            first = landed(flight, 1)
            second = landed(flight, 1)[1]
        for each in waiting:
            each.close()

    assert [*first] == [2]
    assert isinstance(second, NoReply)
    assert not second.maybe_applied


def test_a_connection_that_the_other_side_closed_is_not_used_again() -> None:
    with wire.serving(wire.answering(keep=False)) as server, flying(1) as flight:
        for number in range(3):
            flight.start(number, request(server.url))
            assert isinstance(landed(flight, 1)[number], Reply)
            time.sleep(0.2)  # the news of the closed connection needs a moment to arrive

    assert server.connections == 3


def test_an_answer_that_ends_its_connection_is_followed_by_another_connection() -> None:
    with wire.serving(wire.answering("200 OK", b"", "Connection: close")) as server, flying() as flight:
        for number in range(8):
            flight.start(number, request(server.url))
            if number % 4 == 3:
                assert len(landed(flight, 4)) == 4

    assert server.connections == 8


def test_a_header_that_cannot_be_sent_is_an_answer_and_a_secret_that_is_missing_an_error() -> None:
    with flying(1, track_event_secret=None) as flight:
        flight.start(1, request("http://127.0.0.1:9", auth="integration_key", headers={"x": "a\nb"}))
        reply = landed(flight, 1)[1]
        with pytest.raises(DestinationError, match="track_event_secret"):
            flight.start(2, request("http://127.0.0.1:9"))

    assert isinstance(reply, NoReply)
    assert "line break" in reply.reason


def test_an_answer_that_repeats_the_secret_does_not_carry_it_further() -> None:
    with wire.serving(wire.answering("400 No", given.SECRET.encode())) as server, flying() as flight:
        flight.start(1, request(server.url))
        reply = landed(flight, 1)[1]

    assert isinstance(reply, Reply)
    assert reply.body == b"[redacted]"


def test_what_is_in_flight_when_it_closes_is_let_go() -> None:
    left = threading.Event()

    def behave(connection: socket.socket, received: bytes) -> bool:
        if wire.read(connection) is None:
            left.set()
        return not received

    with wire.serving(behave) as server:
        with flying() as flight:
            flight.start(1, request(server.url))
            while not server.requests:
                flight.arrived(0.01)

        assert left.wait(5)


def test_a_client_that_is_closed_meanwhile_ends_the_request_under_way() -> None:
    with wire.serving(wire.silent(1.0)) as server, closing(Client(given.settings())) as client:
        flight = client.flight(1)
        assert flight is not None
        flight.start(1, request(server.url))
        while not server.requests:
            flight.arrived(0.01)
        client.close()
        reply = landed(flight, 1)[1]
        flight.close()

    assert isinstance(reply, NoReply)
    assert reply.maybe_applied


def test_what_is_no_error_of_the_network_is_raised() -> None:
    class Broken(ThreadTransport):
        def start(self, *given: Any) -> Any:
            raise ZeroDivisionError(given)

    with closing(Client(given.settings())) as client:
        flight = Flight(client, [Broken(None, keepalive_s=5.0)])
        flight.start(1, request("http://127.0.0.1:9"))

        with pytest.raises(ZeroDivisionError):
            landed(flight, 1)
        flight.close()


def test_through_a_proxy_each_request_takes_a_thread_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")

    with closing(Client(given.settings())) as client:
        assert client.flight(4) is None


def test_a_trusted_server_is_spoken_to_over_as_many_connections_as_are_in_flight(
    certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    with wire.serving(echoing, certificate) as server, flying(3) as flight:
        assert_each_gets_its_own(flight, server.url, 3)
