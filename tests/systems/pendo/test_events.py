from __future__ import annotations

import json
import threading
from typing import Any

import pytest

from connector.ports import (
    Cell,
    Change,
    Constant,
    Fault,
    Judged,
    Members,
    Nulls,
    ProbeAnswer,
    Refused,
    SendTime,
    Template,
    TryAgain,
    Unknown,
    ValueType,
)
from tests.systems.pendo import given

NO_ARRAYS = {"track.arrays": "no"}
ARRAYS = {"track.arrays": "yes"}


def members(template: Template) -> dict[str, Template]:
    assert isinstance(template, Members)
    return dict(template.members)


def cell(name: str, column: str, type_: ValueType | None, **changed: Any) -> Cell:
    return Cell(name, column, type=type_, at=f"sync.yml:{name}", **changed)


def test_an_event_has_its_members_in_order() -> None:
    sync = given.event_sync(
        event={"column": "name"},
        properties={"plan": "plan", "Seats": {"column": "seats", "type": "integer", "nulls": "null"}},
        context={"ip": "ip", "user_agent": {"value": "x"}, "url": {"value": None}},
    )
    route = given.events(sync).routes[0]
    never = ("::", "VISITOR-UNIQUE-ID")

    assert isinstance(route.template, Members)
    assert route.template.members == (
        ("type", Constant("track")),
        ("event", cell("event", "name", ValueType.ID, required=True)),
        ("visitorId", cell("visitor_id", "user_id", ValueType.ID, required=True, never=never)),
        ("accountId", cell("account_id", "account_id", ValueType.ID)),
        (
            "timestamp",
            cell("timestamp", "occurred_at", ValueType.EPOCH_MS, required=True, ahead_s=300, age_s=7 * 86_400),
        ),
        (
            "properties",
            Members(
                (
                    ("plan", cell("properties.plan", "plan", None)),
                    ("Seats", cell("properties.Seats", "seats", ValueType.INTEGER, nulls=Nulls.NULL)),
                ),
                drop_empty=True,
                caution_bytes=512,
            ),
        ),
        (
            "context",
            Members(
                (("ip", cell("context.ip", "ip", ValueType.STRING)), ("userAgent", Constant("x"))), drop_empty=True
            ),
        ),
    )


def test_what_is_not_mapped_is_left_out_and_the_time_is_that_of_sending() -> None:
    sync = given.event_sync(account_id=..., timestamp=..., properties=...)
    event = members(given.events(sync).routes[0].template)

    assert list(event) == ["type", "event", "visitorId", "timestamp", "properties", "context"]
    assert event["event"] == Constant("Plan Upgraded")
    assert event["timestamp"] == SendTime()
    assert event["properties"] == Members((), drop_empty=True, caution_bytes=512)
    assert event["context"] == Members((), drop_empty=True)


def test_constants_become_texts_and_milliseconds() -> None:
    sync = given.event_sync(visitor_id={"value": 7}, timestamp={"value": "2026-01-01T00:00:00Z"})
    event = members(given.events(sync).routes[0].template)

    assert event["visitorId"] == Constant("7")
    assert event["timestamp"] == Constant(1_767_225_600_000)


def test_events_are_added_rows_and_sending_one_twice_doubles_it() -> None:
    (route,) = given.events(given.event_sync(batch={"rows": 100, "bytes": 9_000})).routes

    assert (route.name, route.changes, route.repeatable) == ("track", frozenset({Change.ADDED}), False)
    assert (route.max_rows, route.max_bytes) == (100, 8_998)


@pytest.mark.parametrize(
    ("batching", "learned", "rows", "body", "most"),
    [
        ("auto", {}, 2, [{"id": "e0"}, {"id": "e1"}], 500),
        ("auto", {}, 1, {"id": "e0"}, 500),
        ("auto", ARRAYS, 2, [{"id": "e0"}, {"id": "e1"}], 500),
        ("auto", ARRAYS, 1, {"id": "e0"}, 500),
        ("auto", NO_ARRAYS, 1, {"id": "e0"}, 1),
        ("array", {}, 2, [{"id": "e0"}, {"id": "e1"}], 500),
        ("array", NO_ARRAYS, 1, [{"id": "e0"}], 500),
        ("single", {}, 1, {"id": "e0"}, 1),
        ("single", ARRAYS, 1, {"id": "e0"}, 1),
    ],
)
def test_batching_decides_between_arrays_and_objects(
    batching: str, learned: dict[str, str], rows: int, body: Any, most: int
) -> None:
    destination = given.events(learned=learned, batching=batching)
    batch = given.batch(destination.routes[0], *(f"e{number}" for number in range(rows)))
    request = destination.build(batch)

    assert json.loads(request.body) == body
    assert destination.routes[0].max_rows == most
    assert destination.limits() == {"track": most}
    assert (request.method, request.url) == ("POST", "https://data.pendo.io/data/track")
    assert (request.auth, request.purpose, request.batch) == ("track_event_secret", "send", batch)
    assert request.headers == {"content-type": "application/json"}


@pytest.mark.parametrize(
    ("status", "verdict"),
    [
        (200, Judged()),
        (202, Judged()),
        (400, Refused("400: why")),
        (422, Refused("422: why")),
        (413, Refused("413: why", too_large=True)),
        (408, TryAgain("408: why")),
        (429, TryAgain("429: why", slow_down=True)),
        (502, TryAgain("502: why", 1.0)),
        (504, Unknown("504: why")),
    ],
)
def test_an_event_reply_is_judged_by_its_status(status: int, verdict: Any) -> None:
    destination = given.events()
    request = destination.build(given.batch(destination.routes[0], "e0", "e1"))

    assert destination.judge(request, given.reply(status, b"why")) == verdict


def test_a_web_page_says_nothing_of_events_whatever_its_status() -> None:
    destination = given.events()
    request = destination.build(given.batch(destination.routes[0], "e0"))

    assert isinstance(destination.judge(request, given.reply(200, b"<!DOCTYPE html><title>Log in</title>")), Unknown)


def test_a_refused_secret_is_a_fault_that_names_the_secret() -> None:
    destination = given.events()
    request = destination.build(given.batch(destination.routes[0], "e0"))
    verdict = destination.judge(request, given.reply(401))

    assert isinstance(verdict, Fault)
    assert "track_event_secret" in str(verdict.hint)


def test_nothing_is_asked_before_the_first_event() -> None:
    assert given.drive(given.events().prepare(), []) == (None, [])


@pytest.mark.parametrize(
    ("batching", "learned", "rows"),
    [("array", {}, 2), ("single", {}, 2), ("auto", ARRAYS, 2), ("auto", NO_ARRAYS, 2), ("auto", {}, 1)],
)
def test_there_is_nothing_to_probe_when_the_answer_is_known(batching: str, learned: dict[str, str], rows: int) -> None:
    destination = given.events(learned=learned, batching=batching)
    batch = given.batch(destination.routes[0], *(f"e{number}" for number in range(rows)))

    assert destination.probe(batch) is None


@pytest.mark.parametrize(
    ("verdicts", "answer", "most"),
    [
        ([Judged()], ProbeAnswer(Judged(), ARRAYS), 500),
        ([Refused("400"), Judged()], ProbeAnswer(Judged(), NO_ARRAYS), 1),
        ([Refused("400"), Refused("bad row")], ProbeAnswer(Refused("bad row")), 500),
        ([Refused("400"), TryAgain("503")], ProbeAnswer(TryAgain("503")), 500),
        ([Unknown("reset")], ProbeAnswer(Unknown("reset")), 500),
        ([Refused("413", too_large=True)], ProbeAnswer(Refused("413", too_large=True)), 500),
    ],
)
def test_a_probe_tells_a_bad_row_from_an_endpoint_without_arrays(
    verdicts: list[Any], answer: ProbeAnswer, most: int
) -> None:
    destination = given.events()
    steps = destination.probe(given.batch(destination.routes[0], "e0", "e1", "e2", first=40))
    assert steps is not None
    found, asked = given.drive(steps, verdicts)

    assert found == answer
    assert [json.loads(each.body) for each in asked] == [[{"id": "e0"}], {"id": "e0"}][: len(verdicts)]
    assert all(each.purpose == "probe" and each.batch is not None and each.batch.stop == 41 for each in asked)
    assert destination.limits() == {"track": most}


def test_after_a_probe_the_open_destination_knows_the_answer() -> None:
    destination = given.events()
    batch = given.batch(destination.routes[0], "e0", "e1")
    steps = destination.probe(batch)
    assert steps is not None
    given.drive(steps, [Refused("400"), Judged()])

    assert destination.probe(batch) is None
    assert json.loads(destination.build(batch.part(1, 2)).body) == {"id": "e1"}
    assert destination.routes[0].max_rows == 500, "the routes of an open destination never change"


def test_limits_can_be_read_while_probes_learn() -> None:
    destination = given.events()
    batch = given.batch(destination.routes[0], "e0", "e1")
    seen: list[int] = []
    done = threading.Event()

    def read() -> None:
        while not done.is_set():
            seen.append(destination.limits()["track"])

    reader = threading.Thread(target=read)
    reader.start()
    for _ in range(50):
        steps = destination.probe(batch)
        if steps is not None:
            given.drive(steps, [Refused("400"), Judged()])
    done.set()
    reader.join()

    assert set(seen) <= {500, 1}
    assert destination.limits() == {"track": 1}
