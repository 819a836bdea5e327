"""Track events: what is taken, what is refused, and what becomes of the rest."""

from __future__ import annotations

from typing import Any

import pytest

from tests.sandbox.peer import NOW_MS, SECRET, Peer, event

UNMARSHAL = "Error unmarshalling track event data"
DAY_MS = 86_400_000


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"accountId": ...},
        {"accountId": None},
        {"accountId": "parent::child"},
        {"properties": ...},
        {"properties": None},
        {"properties": {"seats": 12, "trial": False, "nothing": None}},
        {"context": {}},
        {"context": {"ip": "192.0.2.1", "userAgent": "x", "url": "https://e.example/p", "title": "t"}},
        {"timestamp": 0},
        {"timestamp": -1},
    ],
)
def test_a_good_event_is_kept_as_it_came(pendo: Peer, changes: dict[str, Any]) -> None:
    answer = pendo.track(event(**changes))

    assert (answer.status_code, answer.content) == (200, b"")
    assert pendo.box.events == [event(**changes)]


@pytest.mark.parametrize(
    "changes",
    [
        {"visitorId": 1},
        {"visitorId": ...},
        {"visitorId": None},
        {"visitorId": ""},
        {"accountId": 1},
        {"event": 1},
        {"event": ""},
        {"type": "page"},
        {"type": ...},
        {"timestamp": "2026-01-01T00:00:00Z"},
        {"timestamp": 1.5},
        {"timestamp": True},
        {"timestamp": 2**63},
        {"properties": []},
        {"properties": "x"},
        {"context": 1},
    ],
)
def test_a_bad_event_gets_400_and_refuses_its_whole_array(pendo: Peer, changes: dict[str, Any]) -> None:
    single = pendo.track(event(**changes))
    array = pendo.track([event(), event(**changes), event()])

    assert (single.status_code, single.text) == (400, UNMARSHAL)
    assert (array.status_code, array.text) == (400, UNMARSHAL)
    assert pendo.box.events == []
    assert [each.rows for each in pendo.box.requests] == [1, 3]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"nothing",
        b"[NaN]",
        b"[1e999]",
        b'{"a": Infinity}',
        b"\xff\xfe",
        b"[" * 100_000,
        b"1",
        b'"x"',
        b"[1]",
        b"null",
    ],
)
def test_a_body_that_is_no_event_gets_400(pendo: Peer, body: bytes) -> None:
    answer = pendo.http.post("/data/track", content=body, headers=SECRET)

    assert (answer.status_code, answer.text) == (400, UNMARSHAL)
    assert pendo.box.requests[0].note


def test_events_are_kept_in_the_order_in_which_they_came(pendo: Peer) -> None:
    pendo.track([event(visitorId=f"v-{n}") for n in range(3)])
    pendo.track(event(visitorId="v-3"))

    assert [each["visitorId"] for each in pendo.box.events] == ["v-0", "v-1", "v-2", "v-3"]
    assert [each.call for each in pendo.box.received_events()] == [1, 1, 1, 2]


def test_an_empty_array_is_taken(pendo: Peer) -> None:
    assert pendo.track([]).status_code == 200


@pytest.mark.parametrize(
    "blocked",
    [{"visitors": [{"id": "v-1", "do_not_process": True}]}, {"accounts": [{"id": "a-1", "do_not_process": True}]}],
)
def test_events_of_a_do_not_process_id_are_dropped_with_200(pendo: Peer, blocked: dict[str, Any]) -> None:
    pendo.box.add(blocked)
    answer = pendo.track([event(), event(visitorId="v-2", accountId=...)])

    assert answer.status_code == 200
    assert [each["visitorId"] for each in pendo.box.events] == ["v-2"]
    assert pendo.box.requests[0].note == "1 dropped"


def test_a_visitor_named_as_failing_refuses_the_event(pendo: Peer) -> None:
    pendo.box.add({"failing_ids": {"track_event": {"v-2": "poisoned"}}})

    assert pendo.track(event()).status_code == 200
    assert pendo.track([event(), event(visitorId="v-2")]).status_code == 400
    assert pendo.box.requests[1].note == "poisoned"


def test_a_processed_event_makes_its_visitor_and_account_and_its_track_type(pendo: Peer) -> None:
    pendo.track([event(timestamp=NOW_MS - 5), event(timestamp=NOW_MS - 9, accountId="a-2")])
    before = dict(pendo.box.visitors)
    pendo.box.advance(3600)
    (track_type,) = pendo.get("/api/v1/tracktype").json()

    assert before == {}
    assert pendo.values("v-1", "auto") == {
        "id": "v-1",
        "firstvisit": NOW_MS - 5,
        "lastvisit": NOW_MS - 5,
        "accountid": "a-2",
        "accountids": ["a-1", "a-2"],
    }
    assert list(pendo.box.accounts) == ["a-1", "a-2"]
    assert track_type["name"] == "Plan Upgraded"
    assert pendo.get("/api/v1/tracktype", params={"id": track_type["id"]}).json() == [track_type]
    assert pendo.get("/api/v1/tracktype", params={"id": "other"}).json() == []


def test_an_event_without_account_makes_a_visitor_only(pendo: Peer) -> None:
    pendo.box.switch(event_processing="at_once")
    pendo.track(event(accountId=...))

    assert (list(pendo.box.visitors), list(pendo.box.accounts)) == (["v-1"], [])


@pytest.mark.parametrize(
    ("properties", "notes"),
    [
        ({"plan": "pro"}, []),
        ({"plan name": "pro"}, ["property name 'plan name' breaks the rule"]),
        ({"__plan__": "pro"}, ["property name '__plan__' breaks the rule"]),
        ({"p" * 33: 1}, [f"property name '{'p' * 33}' breaks the rule"]),
        ({"text": "x" * 512}, ["properties of more than 512 bytes show as a too-large marker"]),
        (None, []),
    ],
)
def test_the_sandbox_tells_what_pendo_would_not_show(pendo: Peer, properties: Any, notes: list[str]) -> None:
    pendo.track(event(properties=properties))
    (shown,) = pendo.http.get("/_sandbox/events").json()

    assert shown["notes"] == notes
