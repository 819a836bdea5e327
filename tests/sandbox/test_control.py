"""The control API and the page."""

from __future__ import annotations

import json
from typing import Any

import pytest

from connector.sandbox import Switches
from tests.sandbox.peer import NOW_MS, SECRET, Peer, event


def send(pendo: Peer, method: str, path: str, document: Any = None) -> Any:
    answer = pendo.http.request(method, f"/_sandbox/{path}", json=document)
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_the_state_counts_everything(pendo: Peer) -> None:
    pendo.box.add({"visitors": ["v-1", "v-2"], "accounts": ["a-1"], "parent_accounts": ["p-1"]})
    pendo.track(event())
    pendo.track(event(visitorId=1))
    pendo.delete("v-1")
    pendo.track(event())
    state = send(pendo, "GET", "state")

    assert {name: state[name] for name in pendo.box.counts()} == {
        "visitors": 2,
        "accounts": 1,
        "parent_accounts": 1,
        "events": 1,
        "dropped_events": 1,
        "do_not_process": 1,
        "deletions": 1,
        "requests": 4,
    }
    assert state["requests_by_status"] == {"200": 3, "400": 1}
    assert state["clock"] == "2025-10-09T08:53:20.000Z"
    assert state["switches"] == Switches().as_dict()
    assert (state["faults"], state["write_access"]) == (0, True)


@pytest.mark.parametrize("kind", ["visitor", "account", "parent_account"])
def test_objects_are_added_and_listed(pendo: Peer, kind: str) -> None:
    described = {"id": "x-2", "metadata": {"agent": {"Role": "admin"}, "custom": {"seats": 3}}, "do_not_process": True}
    send(pendo, "POST", "objects", {"kind": kind, "objects": ["x-1", described, "x-3"]})
    listed = pendo.http.get(f"/_sandbox/objects/{kind}s", params={"limit": 1, "offset": 1})
    (shown,) = listed.json()

    assert listed.headers["x-total-count"] == "3"
    assert shown["id"] == "x-2"
    assert shown["do_not_process"] is True
    assert shown["metadata"]["agent"] == {"role": "admin"}
    assert [each["id"] for each in send(pendo, "GET", f"objects/{kind}")] == ["x-1", "x-2", "x-3"]
    assert [each["id"] for each in send(pendo, "GET", f"objects/{kind}?id=x-3")] == ["x-3"]
    assert send(pendo, "GET", f"objects/{kind}?id=other") == []
    assert send(pendo, "GET", f"fields/{kind}")["custom"] == {"seats": "integer"}


def test_fields_are_added(pendo: Peer) -> None:
    fields = send(pendo, "POST", "fields", {"kind": "parent_account", "group": "agent", "fields": {"Tier": "string"}})

    assert fields["agent"] == {"tier": "string"}
    assert pendo.get("/api/v1/metadata/schema/parentAccount").json()["agent"]["tier"]["DisplayName"] == "Tier"


def test_a_seed_is_added(pendo: Peer) -> None:
    counts = send(pendo, "POST", "seed", {"visitors": ["v-1"], "switches": {"track_arrays": "single_only"}})

    assert counts["visitors"] == 1
    assert pendo.box.switches.track_arrays == "single_only"


def test_switches_are_read_changed_and_replaced(pendo: Peer) -> None:
    pendo.box.switch(clear_with="null")
    changed = send(pendo, "PATCH", "switches", {"track_arrays": "single_only"})
    replaced = send(pendo, "PUT", "switches", {"rate_limit": 9})

    assert (changed["track_arrays"]["value"], changed["clear_with"]["value"]) == ("single_only", "null")
    assert changed["track_arrays"]["values"] == ["array_atomic", "single_only"]
    assert pendo.box.switches == Switches.of({"rate_limit": 9})
    assert send(pendo, "GET", "switches") == replaced


def test_faults_are_added_listed_and_forgotten(pendo: Peer) -> None:
    send(pendo, "POST", "faults", {"status": 503, "retry_after": 2})
    added = send(pendo, "POST", "faults", [{"latency_ms": 5, "path": "/api/*"}, {"connection": "reset_after"}])

    assert added == [
        {"status": 503, "retry_after": 2.0},
        {"path": "/api/*", "latency_ms": 5.0},
        {"connection": "reset_after"},
    ]
    assert send(pendo, "GET", "faults") == added
    assert send(pendo, "DELETE", "faults") == []


def test_events_and_requests_are_listed(pendo: Peer) -> None:
    pendo.track([event(), event(visitorId="v-2")])
    pendo.get("/api/v1/visitor/none")
    (first, second) = send(pendo, "GET", "events")
    (request,) = send(pendo, "GET", "requests?path=/data/track&status=200")

    assert first == {
        "call": 1,
        "received_at": "2025-10-09T08:53:20.000Z",
        "event": event(),
        "dropped": None,
        "processed": False,
        "notes": [],
    }
    assert send(pendo, "GET", "events?offset=1&limit=5") == [second]
    assert {name: request[name] for name in ("number", "status", "applied", "rows", "finished", "answer")} == {
        "number": 1,
        "status": 200,
        "applied": True,
        "rows": 2,
        "finished": True,
        "answer": "",
    }
    assert request["headers"]["x-pendo-integration-key"] == "***"
    assert len(send(pendo, "GET", "requests")) == 2


def test_the_clock_is_put_forward(pendo: Peer) -> None:
    pendo.delete("v-1")
    ids = send(pendo, "GET", "deletions")
    now = send(pendo, "POST", "clock", {"days": 21, "hours": 1, "seconds": 1})

    assert ids == [{"id": "bulkdelete-000001", "kind": "visitor", "status": "queued", "ids": ["v-1"]}]
    assert now == {"now": "2025-10-30T09:53:21.000Z"} == send(pendo, "GET", "clock")
    assert send(pendo, "GET", "deletions")[0]["status"] == "completed"


def test_a_reset_forgets_everything(pendo: Peer) -> None:
    changes = {"switches": {"rate_limit": 9}, "faults": [{"status": 500}], "integration_key": "other"}
    pendo.box.add({"visitors": ["v-1"], **changes})
    pendo.box.advance(60)
    counts = send(pendo, "POST", "reset")

    assert set(counts.values()) == {0}
    assert pendo.get("/api/v1/token/verify").status_code == 200
    assert pendo.box.switches == Switches()
    assert pendo.box.now() * 1000 == NOW_MS


@pytest.mark.parametrize(
    ("method", "path", "document", "said"),
    [
        ("GET", "objects/page", None, "there is no kind 'page'"),
        ("GET", "events?limit=x", None, "limit must be a number"),
        ("POST", "objects", [], "objects must be a mapping"),
        ("POST", "objects", {"kind": "page", "objects": []}, "'kind' cannot be 'page'"),
        ("POST", "objects", {"kind": "visitor", "objects": [1]}, "must be"),
        ("POST", "fields", {"kind": "visitor", "fields": {"a b": "string"}}, "cannot be a field's name"),
        ("POST", "seed", [1], "unknown key 'seed'"),
        ("PATCH", "switches", {"track_arrays": "x"}, "cannot be 'x'"),
        ("PATCH", "switches", ["x"], "no switch"),
        ("POST", "faults", {"status": 1}, "at least 200"),
        ("POST", "faults", [{}], "needs status"),
        ("POST", "clock", {"seconds": -1}, "at least 0"),
    ],
)
def test_nonsense_is_explained(pendo: Peer, method: str, path: str, document: Any, said: str) -> None:
    answer = pendo.http.request(method, f"/_sandbox/{path}", json=document)

    assert answer.status_code == 400
    assert said in answer.json()["errors"][0]["message"]


def test_a_body_that_is_no_json_is_explained(pendo: Peer) -> None:
    answer = pendo.http.post("/_sandbox/faults", content=b"{")

    assert answer.json()["errors"][0]["slug"] == "bad-json"


def test_the_page_shows_what_the_sandbox_holds(pendo: Peer) -> None:
    empty = pendo.http.get("/").text
    pendo.box.add(
        {
            "visitors": [{"id": "v-1", "metadata": {"custom": {"plan": "<b>pro</b>"}}}, "v-2"],
            "switches": {"clear_with": "null"},
            "faults": [{"path": "/api/*", "latency_ms": 1}],
        }
    )
    events = json.dumps([event(timestamp=2**62), event(properties={"text": "x" * 400, "odd": "\ud800"})])
    pendo.http.post("/data/track", content=events, headers=SECRET)
    pendo.write({"v-1": {"seats": 12}})
    pendo.delete("v-2")
    pendo.box.switch(track_old_events="drop")
    pendo.track(event(timestamp=0))
    pendo.http.get("/api/v1/visitor/v-1?more=1")
    page = pendo.http.get("/", params={"rows": 50}).text

    assert "Point a destination at this address" in empty
    for shown in ("&lt;b&gt;pro&lt;/b&gt;", "do not process", "older than 7 days", "bulkdelete-000001", "?more=1"):
        assert shown in page
    assert "<script" not in page
    assert "http://" not in page
    assert "sandbox-integration-key" not in page
    assert pendo.http.get("/favicon.ico").status_code == 404
    assert len(pendo.box.requests) == 5


def test_the_page_shows_a_call_without_an_answer_and_without_a_body(pendo: Peer) -> None:
    pendo.box.log.keep_bodies = False
    pendo.track(event())
    pendo.box.requests[0].status = None
    pendo.box.requests[0].finished = False

    assert ">open<" in pendo.http.get("/").text
    assert send(pendo, "GET", "requests")[0]["body"] is None
    with pytest.raises(ValueError, match="not kept"):
        pendo.box.requests[0].json()
