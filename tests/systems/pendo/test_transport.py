from __future__ import annotations

import socket
import ssl
import threading
import time
from contextlib import closing
from typing import TYPE_CHECKING

import httpx
import pytest

from connector.systems.pendo.transport import ThreadTransport, prepared
from tests.systems.pendo import wire

if TYPE_CHECKING:
    from pathlib import Path


TIMEOUT = {"timeout": {"connect": 2.0, "read": 2.0, "write": 2.0, "pool": 2.0}}


def transport(monotonic: list[float] | None = None, verify: ssl.SSLContext | None = None) -> ThreadTransport:
    context = verify or ssl.create_default_context()
    if monotonic is None:
        return ThreadTransport(context, keepalive_s=5.0)
    return ThreadTransport(context, keepalive_s=5.0, monotonic=lambda: monotonic[0])


def request(url: str, method: str = "POST", body: bytes = b"[]", **headers: str) -> httpx.Request:
    return httpx.Request(method, url, content=body, headers=headers, extensions=TIMEOUT)


def answer(raw: bytes, method: str = "POST") -> httpx.Response:
    """What the transport makes of these bytes, after which the server closes the connection."""
    with wire.serving(wire.closing(raw)) as server, closing(transport()) as one:
        return one.handle_request(request(server.url, method))


@pytest.mark.parametrize(
    ("raw", "status", "body"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", 200, b"ok"),
        (b"HTTP/1.1 200\r\ncontent-length:2\r\n\r\nok", 200, b"ok"),
        (b"HTTP/1.1 200 OK\nContent-Length: 2\n\nok", 200, b"ok"),
        (b"HTTP/1.0 500 No\r\n\r\nall there is", 500, b"all there is"),
        (b"HTTP/1.1 100 Go on\r\n\r\nHTTP/1.1 201 Made\r\nContent-Length: 0\r\n\r\n", 201, b""),
        (b"HTTP/1.1 204 Nothing\r\n\r\n", 204, b""),
        (b"HTTP/1.1 304 As before\r\nContent-Length: 9\r\n\r\n", 304, b""),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n3;x=1\r\nay!\r\n0\r\n\r\n", 200, b"okay!"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n1\r\n!\r\n0\r\nDigest: a\r\n\r\n", 200, b"!"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nok", 200, b"ok"),
    ],
)
def test_an_answer_is_read_to_its_end_however_that_is_marked(raw: bytes, status: int, body: bytes) -> None:
    response = answer(raw)

    assert (response.status_code, response.read()) == (status, body)


@pytest.mark.parametrize("ending", [b"\r\n\r\n", b"\n\n", b"\n\r\n", b"\r\n\n"])
def test_the_head_of_an_answer_ends_with_its_first_empty_line_however_often_it_was_read(ending: bytes) -> None:
    """The body looks like the end of a head; on one connection, so that a byte too many would be missed next time."""
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 7" + ending
    bodies = iter([b"a\r\n\r\nbc", b"a\r\n\r\nbc", b"a\r\n\r\nxy", b"1234567"])

    def behave(connection: socket.socket, received: bytes) -> bool:
        del received
        connection.sendall(head + next(bodies))
        return True

    with wire.serving(behave) as server, closing(transport()) as one:
        read = [one.handle_request(request(server.url)).read() for _ in range(4)]

    assert read == [b"a\r\n\r\nbc", b"a\r\n\r\nbc", b"a\r\n\r\nxy", b"1234567"]
    assert server.connections == 1


def test_a_head_that_comes_in_pieces_is_one() -> None:
    def behave(connection: socket.socket, received: bytes) -> bool:
        del received
        for piece in (b"HTTP/1.1 200 OK\r", b"\nContent-Le", b"ngth: 2\r\n\r", b"\no", b"k"):
            connection.sendall(piece)
            time.sleep(0.01)
        return True

    with wire.serving(behave) as server, closing(transport()) as one:
        assert [one.handle_request(request(server.url)).read() for _ in range(3)] == [b"ok"] * 3


def test_the_answer_to_head_has_no_body() -> None:
    response = answer(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n", "HEAD")

    assert response.read() == b""


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"SSH-2.0-OpenSSH\r\n\r\n",
        b"HTTP/2 200 OK\r\n\r\n",
        b"HTTP/1.1 099 Odd\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nA: b\r\n folded\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nA: b",
        b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 300 + b"\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: -2\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nok",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nokay\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nnonsense\r\n\r\n",
    ],
)
def test_what_is_no_whole_answer_is_an_error(raw: bytes) -> None:
    with pytest.raises(httpx.RemoteProtocolError):
        answer(raw)


@pytest.mark.parametrize(
    ("headers", "connections"),
    [
        (["Content-Length: 0"], 1),
        (["Content-Length: 0", "Connection: close"], 2),
        (["Content-Length: 0", "Transfer-Encoding: chunked"], 2),
    ],
)
def test_a_connection_is_used_again_unless_the_answer_says_otherwise(headers: list[str], connections: int) -> None:
    body = b"0\r\n\r\n" if "Transfer-Encoding: chunked" in headers else b""

    def behave(connection: socket.socket, received: bytes) -> bool:
        del received
        connection.sendall("\r\n".join(["HTTP/1.1 200 OK", *headers]).encode() + b"\r\n\r\n" + body)
        return True

    with wire.serving(behave) as server, closing(transport()) as one:
        for _ in range(2):
            one.handle_request(request(server.url))

    assert server.connections == connections


def test_a_connection_that_was_idle_for_long_is_not_used_again() -> None:
    now = [0.0]
    with wire.serving(wire.answering()) as server, closing(transport(now)) as one:
        for now[0] in (0.0, 4.0, 9.5):
            one.handle_request(request(server.url))

    assert server.connections == 2


def test_an_answer_that_comes_before_the_whole_request_was_taken_counts() -> None:
    """Such as 413: the server has read enough, answers, and closes."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def refuse() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(1_000)
                connection.sendall(b"HTTP/1.1 413 Too large\r\nContent-Length: 0\r\n\r\n")
                connection.shutdown(socket.SHUT_WR)
                while connection.recv(1_000_000):
                    pass

        thread = threading.Thread(target=refuse)
        thread.start()
        with closing(transport()) as one:
            address = f"http://127.0.0.1:{listener.getsockname()[1]}"
            response = one.handle_request(request(address, body=b"x" * 5_000_000))
        thread.join()

    assert response.status_code == 413


def test_a_body_that_is_not_taken_in_time_is_an_error() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener, closing(transport()) as one:
        sent = request(f"http://127.0.0.1:{listener.getsockname()[1]}", body=b"x" * 50_000_000)
        sent.extensions = {"timeout": {"connect": 1.0, "read": 1.0, "write": 0.1}}
        with pytest.raises(httpx.WriteTimeout):
            one.handle_request(sent)


def test_a_line_break_in_a_header_is_an_error_that_does_not_show_the_value() -> None:
    with closing(transport()) as one, pytest.raises(httpx.LocalProtocolError) as caught:
        one.handle_request(httpx.Request("POST", "http://127.0.0.1:9", headers={"x-key": "word\r\nHost: other"}))

    assert "x-key" in str(caught.value)
    assert "word" not in str(caught.value)


def test_only_http_is_spoken() -> None:
    with closing(transport()) as one, pytest.raises(httpx.UnsupportedProtocol):
        one.handle_request(request("ftp://127.0.0.1"))


def test_the_host_and_the_size_are_said_when_the_request_does_not() -> None:
    with wire.serving(wire.answering()) as server, closing(transport()) as one:
        bare = httpx.Request("POST", server.url + "/a?b=c", stream=httpx.ByteStream(b"[1]"), extensions=TIMEOUT)
        one.handle_request(bare)

    head = server.requests[0].lower()
    assert head.startswith(b"post /a?b=c http/1.1\r\n")
    assert b"\r\nhost: 127.0.0.1:" in head
    assert b"\r\ncontent-length: 3\r\n" in head


def test_closing_from_another_thread_ends_the_request_under_way() -> None:
    arrived = threading.Event()

    def behave(connection: socket.socket, received: bytes) -> bool:
        del received
        arrived.set()
        connection.recv(1)
        return False

    with wire.serving(behave) as server:
        one = transport()

        def close() -> None:
            arrived.wait(5)
            one.close()

        closer = threading.Thread(target=close)
        closer.start()
        with pytest.raises((httpx.ReadError, httpx.RemoteProtocolError)):
            one.handle_request(request(server.url))
        closer.join()

    assert one.is_closed


# --- TLS -------------------------------------------------------------------------------------------------------------


def test_a_trusted_server_is_spoken_to_over_one_connection(certificate: Path) -> None:
    verify = ssl.create_default_context(cafile=str(certificate))
    with wire.serving(wire.answering("200 OK", b"ok"), certificate) as server, closing(transport(verify=verify)) as one:
        bodies = [one.handle_request(request(server.url)).read() for _ in range(2)]

    assert bodies == [b"ok", b"ok"]


def test_a_server_that_is_not_trusted_is_sent_nothing(certificate: Path) -> None:
    with (
        wire.serving(wire.answering(), certificate) as server,
        closing(transport()) as one,
        pytest.raises(httpx.ConnectError, match="CERTIFICATE_VERIFY_FAILED"),
    ):
        one.handle_request(request(server.url))


def test_without_certificates_nothing_is_sent_over_https() -> None:
    with closing(ThreadTransport(None, keepalive_s=5.0)) as one, pytest.raises(httpx.UnsupportedProtocol):
        one.handle_request(request("https://127.0.0.1:9"))


def test_a_call_that_is_prepared_once_carries_bodies_of_every_size() -> None:
    behave = wire.answering("200 OK", b"ok")
    with wire.serving(behave) as server, closing(transport()) as one:
        call = prepared("POST", httpx.URL(server.url), [(b"X-Mine", b"1")])
        answers = [one.exchange(call, body, TIMEOUT["timeout"]) for body in (b"", b"[]", b"x" * 100_000)]

    assert [each.status for each in answers] == [200, 200, 200]
    assert {each.body for each in answers} == {b"ok"}
