"""Keys, unknown routes and what is kept of a call."""

from __future__ import annotations

import pytest

from tests.sandbox.peer import KEY, SECRET, Peer, event

GO_404 = "404 page not found\n"


@pytest.mark.parametrize(("write_access", "said"), [(True, True), (False, False)])
def test_verifying_a_key_tells_whether_it_may_write(pendo: Peer, write_access: bool, said: bool) -> None:
    pendo.box.add({"write_access": write_access})
    answer = pendo.get("/api/v1/token/verify")

    assert answer.status_code == 200
    assert answer.json() == {"valid": True, "writeAccess": said}


@pytest.mark.parametrize("headers", [{}, {"x-pendo-integration-key": "wrong"}, SECRET])
@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/api/v1/token/verify"),
        ("POST", "/api/v1/metadata/visitor/custom/value"),
        ("GET", "/api/v1/visitor/v-1"),
    ],
)
def test_a_missing_or_wrong_key_gets_403_and_an_empty_body(
    pendo: Peer, headers: dict[str, str], method: str, path: str
) -> None:
    answer = pendo.http.request(method, path, headers=headers)

    assert (answer.status_code, answer.content) == (403, b"")


@pytest.mark.parametrize("headers", [{}, {"x-pendo-integration-key": "wrong"}, KEY])
def test_the_integration_key_does_not_open_data_track(pendo: Peer, headers: dict[str, str]) -> None:
    answer = pendo.http.post("/data/track", json=event(), headers=headers)

    assert (answer.status_code, answer.content) == (401, b"")
    assert pendo.box.events == []


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/api/v1/token/verify", 200),
        ("GET", "/api/v1/metadata/schema/visitor", 200),
        ("POST", "/api/v1/aggregation", 400),
        ("POST", "/api/v1/metadata/schema/visitor/custom", 403),
        ("DELETE", "/api/v1/metadata/schema/visitor/custom/plan", 403),
        ("POST", "/api/v1/metadata/visitor/custom/value", 403),
        ("PUT", "/api/v1/metadata/visitor/custom/value/v-1/plan", 403),
        ("POST", "/api/v1/bulkdelete/visitor", 403),
    ],
)
def test_a_read_only_key_reads_and_does_not_write(pendo: Peer, method: str, path: str, status: int) -> None:
    pendo.box.add({"write_access": False})

    assert pendo.http.request(method, path, headers=KEY, json={}).status_code == status


@pytest.mark.parametrize(
    ("method", "path", "type_", "body"),
    [
        ("GET", "/api/v1/visitor", "text/plain; charset=utf-8", GO_404),
        ("GET", "/api/v1/visitors/v-1", "text/plain; charset=utf-8", GO_404),
        ("DELETE", "/api/v1/visitor/v-1", "text/plain; charset=utf-8", GO_404),
        ("GET", "/api/v1/metadata/schema/visitor/custom", "text/plain; charset=utf-8", GO_404),
        ("POST", "/", "text/plain; charset=utf-8", GO_404),
        ("GET", "/nowhere", "text/plain; charset=utf-8", GO_404),
        ("POST", "/data/other", "text/html", "404 Not Found"),
        ("GET", "/data/track", "text/html", "404 Not Found"),
    ],
)
def test_an_unknown_route_is_answered_as_the_host_does(
    pendo: Peer, method: str, path: str, type_: str, body: str
) -> None:
    answer = pendo.http.request(method, path, headers=KEY)

    assert answer.status_code == 404
    assert answer.headers["content-type"] == type_
    assert answer.text == body


def test_the_log_holds_every_call_in_order_and_no_secret(pendo: Peer) -> None:
    pendo.get("/api/v1/token/verify")
    pendo.http.post("/data/track", json=event(), headers={"x-pendo-track-event-secret": "sandbox-track-secret"})
    pendo.http.get("/_sandbox/state")
    pendo.write({"v-1": {}, "v-2": {}})
    first, second, third = pendo.box.requests

    assert [(each.number, each.method, each.path, each.status) for each in (first, second, third)] == [
        (1, "GET", "/api/v1/token/verify", 200),
        (2, "POST", "/data/track", 200),
        (3, "POST", "/api/v1/metadata/visitor/custom/value", 200),
    ]
    assert [(each.applied, each.rows) for each in (first, second, third)] == [(False, 0), (True, 1), (False, 2)]
    assert first.headers["x-pendo-integration-key"] == second.headers["x-pendo-track-event-secret"] == "***"
    assert second.json() == event()
    assert "sandbox-integration-key" not in repr(pendo.box.requests)
    assert "sandbox" not in repr(pendo.box.keys)


def test_a_body_that_only_says_it_is_gzip_gets_400(pendo: Peer) -> None:
    pendo.box.switch(gzip_requests="accept")
    answer = pendo.http.post("/data/track", content=b"{}", headers={**SECRET, "content-encoding": "gzip"})

    assert answer.status_code == 400


def test_the_rate_limit_counts_the_last_second(pendo: Peer) -> None:
    pendo.box.switch(rate_limit=2)
    statuses = []
    for _ in range(5):
        statuses.append(pendo.get("/api/v1/token/verify").status_code)
        pendo.clock.seconds += 0.3

    assert statuses == [200, 200, 429, 429, 200]


def test_an_id_may_hold_a_slash_and_any_letter(pendo: Peer) -> None:
    pendo.box.add_objects("visitor", ["team/ü 1"])

    assert pendo.get("/api/v1/visitor/team%2F%C3%BC%201").json()["id"] == "team/ü 1"
