"""The sandbox on a port."""

from __future__ import annotations

import gc
import http.client
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from connector.errors import ConfigError
from connector.sandbox import INTEGRATION_KEY, RunningSandbox, Sandbox, running, serve
from tests.sandbox.peer import KEY, SECRET, event

SERVE = """
from connector.sandbox import Sandbox, serve
serve(Sandbox(), port=0, ready=lambda server: print(server.url, flush=True))
print("ended", flush=True)
"""


def test_a_sandbox_runs_in_a_thread_and_leaves_nothing_behind() -> None:
    threads = threading.active_count()
    with running(Sandbox()) as server:
        answer = httpx.get(f"{server.url}/api/v1/token/verify", headers=KEY)
    gc.collect()

    assert answer.json()["valid"] is True
    assert server.url == f"http://127.0.0.1:{server.port}"
    assert threading.active_count() == threads
    with pytest.raises(httpx.ConnectError):
        httpx.get(server.url)


def test_the_same_sandbox_can_be_served_again() -> None:
    box = Sandbox()
    for _ in range(2):
        with running(box) as server:
            httpx.post(f"{server.url}/data/track", json=event(), headers=SECRET)

    assert len(box.events) == 2


def test_it_stops_soon_even_while_clients_keep_their_connections() -> None:
    with running(Sandbox()) as server:
        clients = [http.client.HTTPConnection("127.0.0.1", server.port) for _ in range(5)]
        for client in clients:
            client.request("GET", "/api/v1/token/verify")
            client.getresponse().read()
        started = time.perf_counter()
    for client in clients:
        client.close()

    assert time.perf_counter() - started < 3


def test_a_port_that_is_taken_is_explained() -> None:
    with running(Sandbox()) as server, pytest.raises(ConfigError) as raised, running(Sandbox(), port=server.port):
        pass

    assert raised.value.problem.slug == "port-unavailable"
    assert str(server.port) in raised.value.problem.message


def test_an_ipv6_address_is_written_in_brackets() -> None:
    if not socket.has_ipv6:
        pytest.skip("no IPv6 here")
    try:
        with running(Sandbox(), host="::1") as server:
            url = server.url
    except ConfigError:
        pytest.skip("no IPv6 here")

    assert url == f"http://[::1]:{server.port}"


@pytest.mark.parametrize("fault", [None, {"connection": "hang"}])
def test_serving_ends_in_good_order_on_ctrl_c(fault: dict[str, str] | None) -> None:
    program = [sys.executable, "-W", "error", "-c", SERVE]
    with subprocess.Popen(program, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        if fault is not None:
            httpx.post(f"{url}/_sandbox/faults", json=fault)
        with ThreadPoolExecutor(1) as pool:
            call = pool.submit(httpx.get, f"{url}/api/v1/token/verify", headers=KEY)
            while httpx.get(f"{url}/_sandbox/state").json()["requests"] == 0:
                time.sleep(0.01)
            os.kill(process.pid, signal.SIGINT)
            failed = call.exception()
        out, err = process.communicate(timeout=20)

    assert (out, err, process.returncode) == ("ended\n", "", 0)
    assert (failed is None) == (fault is None)


def test_serving_in_the_main_thread_returns_after_ctrl_c() -> None:
    answers: list[int] = []

    def stop_after_one_call(server: RunningSandbox) -> None:
        def call() -> None:
            answers.append(httpx.get(f"{server.url}/api/v1/token/verify", headers=KEY).status_code)
            signal.raise_signal(signal.SIGINT)

        threading.Thread(target=call).start()

    serve(Sandbox(), port=0, ready=stop_after_one_call)
    with pytest.raises(ConfigError, match="cannot listen"):
        serve(Sandbox(), host="192.0.2.1", port=0)

    assert answers == [200]


def test_many_threads_lose_no_event_and_no_request() -> None:
    def send(number: int) -> None:
        with httpx.Client(base_url=server.url) as client:
            for each in range(20):
                client.post("/data/track", json=[event(visitorId=f"v-{number}-{each}")] * 5, headers=SECRET)

    with running(Sandbox()) as server:
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(send, range(8)))
        box = server.sandbox

        assert len(box.events) == 800
        assert [each.number for each in box.requests] == list(range(1, 161))
        assert len({each["visitorId"] for each in box.events}) == 160


def test_a_client_that_leaves_in_the_middle_of_its_body_is_not_a_call() -> None:
    with running(Sandbox()) as server:
        with socket.create_connection(("127.0.0.1", server.port)) as client:
            client.sendall(b"POST /data/track HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\n{")
        httpx.get(f"{server.url}/api/v1/token/verify", headers=KEY)
        paths = [each.path for each in server.sandbox.requests]

    assert paths == ["/api/v1/token/verify"]


def test_bodies_are_kept_only_when_they_are_wanted() -> None:
    with running(Sandbox(keep_bodies=False)) as server:
        httpx.post(f"{server.url}/data/track", json=event(), headers=SECRET)
        (call,) = server.sandbox.requests

        assert (call.body, call.answer, call.size_bytes > 50, call.rows) == (None, b"", True, 1)


def test_a_large_body_is_answered_without_delay() -> None:
    records = [{"visitorId": f"v-{n}", "values": {"text": "x" * 200}} for n in range(500)]
    with running(Sandbox()) as server, httpx.Client(base_url=server.url, headers=KEY) as client:
        fastest = 1.0
        for _ in range(5):
            started = time.perf_counter()
            client.post("/api/v1/metadata/visitor/custom/value", json=records, params={"create": "true"})
            fastest = min(fastest, time.perf_counter() - started - server.sandbox.requests[-1].ms / 1000)

    assert fastest < 0.035  # with Nagle's algorithm on, the answer's second half waits for 40 ms


def test_the_keys_can_be_chosen() -> None:
    with running(Sandbox(integration_key="mine", track_event_secret="also", write_access=False)) as server:
        mine = httpx.get(f"{server.url}/api/v1/token/verify", headers={"x-pendo-integration-key": "mine"})
        usual = httpx.get(f"{server.url}/api/v1/token/verify", headers={"x-pendo-integration-key": INTEGRATION_KEY})

    assert mine.json() == {"valid": True, "writeAccess": False}
    assert usual.status_code == 403
