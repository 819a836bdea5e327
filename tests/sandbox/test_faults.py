"""Faults on purpose, as a client meets them."""

from __future__ import annotations

import email.utils
import threading
import time
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from connector.errors import ConfigError
from connector.sandbox import Fault, Sandbox, running
from connector.sandbox.faults import Faults
from tests.sandbox.peer import KEY, SECRET, Peer, event

if TYPE_CHECKING:
    from collections.abc import Mapping


def statuses(pendo: Peer, calls: int) -> list[int]:
    return [pendo.track(event()).status_code for _ in range(calls)]


@pytest.mark.parametrize(
    ("rule", "seen"),
    [
        ({}, [503, 503, 503, 503, 503, 503]),
        ({"first": 3}, [200, 200, 503, 503, 503, 503]),
        ({"last": 2}, [503, 503, 200, 200, 200, 200]),
        ({"first": 2, "last": 3}, [200, 503, 503, 200, 200, 200]),
        ({"every": 3}, [200, 200, 503, 200, 200, 503]),
        ({"first": 2, "every": 2}, [200, 200, 503, 200, 503, 200]),
        ({"probability": 0}, [200, 200, 200, 200, 200, 200]),
        ({"path": "/data/*"}, [503, 503, 503, 503, 503, 503]),
        ({"path": "/api/*"}, [200, 200, 200, 200, 200, 200]),
        ({"method": "post"}, [503, 503, 503, 503, 503, 503]),
        ({"method": "PUT"}, [200, 200, 200, 200, 200, 200]),
    ],
)
def test_a_rule_meets_the_calls_it_is_for(pendo: Peer, rule: dict[str, Any], seen: list[int]) -> None:
    pendo.box.add_faults({**rule, "status": 503})

    assert statuses(pendo, 6) == seen
    assert len(pendo.box.events) == seen.count(200)


def test_chance_is_the_same_for_the_same_seed() -> None:
    def drawn(seed: int) -> list[bool]:
        faults = Faults()
        faults.add([Fault(status=500, probability=0.3, seed=seed)])
        return [faults.meeting("POST", "/data/track")[1] is not None for _ in range(300)]

    assert drawn(1) == drawn(1) != drawn(2)
    assert 50 < sum(drawn(1)) < 130


def test_the_first_rule_that_does_more_than_wait_decides(pendo: Peer) -> None:
    pendo.box.add_faults(
        {"latency_ms": 30}, {"first": 2, "last": 2, "status": 500}, {"status": 503, "last": 3}, {"status": 429}
    )
    started = time.perf_counter()

    assert statuses(pendo, 4) == [503, 500, 503, 429]
    assert time.perf_counter() - started >= 0.12
    assert [each.fault for each in pendo.box.requests][:2] == ["status 503", "status 500"]


@pytest.mark.parametrize(
    ("body", "type_", "text"),
    [
        ({}, "application/json", '{"error":"injected fault"}'),
        ({"body": "plain"}, "text/plain; charset=utf-8", "injected fault"),
        ({"body": "html"}, "text/html; charset=utf-8", "<html><body><h1>Error 502</h1></body></html>"),
        ({"body": "empty"}, None, ""),
        ({"body": "empty", "text": "upstream"}, "text/plain; charset=utf-8", "upstream"),
        ({"text": "{}", "headers": {"Content-Type": "text/x"}}, "text/x", "{}"),
    ],
)
def test_a_status_comes_with_a_body_of_each_kind(
    pendo: Peer, body: dict[str, Any], type_: str | None, text: str
) -> None:
    pendo.box.add_faults({"status": 502, **body})
    answer = pendo.track(event())

    assert (answer.status_code, answer.headers.get("content-type"), answer.text) == (502, type_, text)
    assert pendo.box.events == []


@pytest.mark.parametrize(
    ("rule", "said"),
    [({}, None), ({"retry_after": 2}, "2"), ({"retry_after": 0.5}, "0.5"), ({"headers": {"Retry-After": "7"}}, "7")],
)
def test_retry_after_is_said_in_seconds_or_not_at_all(pendo: Peer, rule: dict[str, Any], said: str | None) -> None:
    pendo.box.add_faults({"status": 429, **rule})

    assert pendo.track(event()).headers.get("retry-after") == said


def test_retry_after_is_said_as_a_date(pendo: Peer) -> None:
    pendo.box.add_faults({"status": 429, "retry_after": 60, "retry_after_as": "date"})
    said = email.utils.parsedate_to_datetime(pendo.track(event()).headers["retry-after"])

    assert 50 < said.timestamp() - time.time() <= 60


def test_a_status_may_hide_that_the_call_was_applied(pendo: Peer) -> None:
    pendo.box.add_faults({"status": 504, "applied": True})

    assert pendo.track([event(), event()]).status_code == 504
    assert len(pendo.box.events) == 2
    assert (pendo.box.requests[0].applied, pendo.box.requests[0].rows) == (True, 2)


@pytest.mark.parametrize(
    ("connection", "error", "applied"),
    [
        ("reset_before", httpx.ReadError, False),
        ("reset_after", httpx.ReadError, True),
        ("close_before", httpx.RemoteProtocolError, False),
        ("close_after", httpx.RemoteProtocolError, True),
        ("truncate", httpx.RemoteProtocolError, True),
    ],
)
@pytest.mark.parametrize("kind", ["events", "objects"])
def test_a_connection_breaks_before_or_after_applying(
    pendo: Peer, connection: str, error: type[Exception], applied: bool, kind: str
) -> None:
    pendo.box.add_faults({"connection": connection, "last": 1})
    send = {"events": lambda: pendo.track(event()), "objects": lambda: pendo.write({"v-1": {"plan": 1}}, create=True)}
    with pytest.raises(error):
        send[kind]()
    (call,) = pendo.box.requests

    assert (call.status, call.applied, call.fault) == (None, applied, connection)
    assert len(pendo.box.events) + len(pendo.box.visitors) == applied
    assert pendo.get("/api/v1/token/verify").status_code == 200


@pytest.mark.parametrize("applied", [True, False])
def test_a_call_that_hangs_is_answered_by_nobody(pendo: Peer, applied: bool) -> None:
    pendo.box.add_faults({"connection": "hang", "applied": applied, "hang_s": 0.05})
    with pytest.raises(httpx.RemoteProtocolError):
        pendo.track(event())

    assert len(pendo.box.events) == applied
    assert pendo.box.requests[0].fault == "hang"


def test_a_client_that_stops_waiting_ends_the_call(pendo: Peer) -> None:
    pendo.box.add_faults({"connection": "hang", "last": 1})
    with pytest.raises(httpx.ReadTimeout):
        pendo.http.post("/data/track", json=event(), headers=SECRET, timeout=0.05)
    for _ in range(100):
        if pendo.box.requests[0].finished:
            break
        time.sleep(0.01)

    assert pendo.box.requests[0].finished
    assert pendo.box.requests[0].ms < 2000


@pytest.mark.parametrize("connection", ["reset_after", "close_after", "truncate", None])
def test_a_client_that_left_before_the_fault_leaves_no_error(
    pendo: Peer, connection: str | None, caplog: pytest.LogCaptureFixture
) -> None:
    pendo.box.add_faults({"latency_ms": 120, "connection": connection, "last": 1})
    with pytest.raises(httpx.ReadTimeout):
        pendo.http.post("/data/track", json=event(), headers=SECRET, timeout=0.03)
    while not pendo.box.requests[0].finished:
        time.sleep(0.01)
    pendo.get("/api/v1/token/verify")

    assert len(pendo.box.events) == 1
    assert caplog.records == []


@pytest.mark.parametrize("rule", [{"connection": "hang"}, {"latency_ms": 60_000}])
def test_a_server_that_stops_lets_waiting_calls_go(rule: Mapping[str, Any]) -> None:
    ended: list[str] = []

    def call(url: str) -> None:
        try:
            ended.append(str(httpx.get(f"{url}/api/v1/token/verify", headers=KEY, timeout=20).status_code))
        except httpx.RemoteProtocolError:
            ended.append("closed")

    with running(Sandbox(faults=[rule])) as server:
        thread = threading.Thread(target=call, args=[server.url])
        thread.start()
        while not server.sandbox.requests:
            time.sleep(0.005)
    thread.join()

    assert ended == ["closed" if "connection" in rule else "200"]


@pytest.mark.parametrize(
    ("rule", "said"),
    [
        ({}, "needs status, connection or latency_ms"),
        ({"status": 500, "connection": "hang"}, "they exclude each other"),
        ({"status": 99}, "'status' must be at least 200"),
        ({"status": "many"}, "'status' must be a whole number, not text"),
        ({"connection": "cut"}, "'connection' cannot be 'cut'"),
        ({"statsu": 500}, "unknown key 'statsu' (did you mean 'status'?"),
        ({"status": 500, "every": 0}, "'every' must be at least 1"),
    ],
)
def test_a_rule_that_makes_no_sense_is_explained(pendo: Peer, rule: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError) as raised:
        pendo.box.add_faults(rule)

    assert said in str(raised.value)
    assert pendo.box.faults.rules == []


def test_faults_can_be_forgotten(pendo: Peer) -> None:
    pendo.box.add_faults(Fault(status=500), Fault(latency_ms=5))
    names = [rule.name() for rule in pendo.box.faults.rules]
    pendo.box.clear_faults()

    assert names == ["status 500", "latency 5 ms"]
    assert statuses(pendo, 1) == [200]
