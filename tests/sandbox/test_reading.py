"""Reading back: objects, history, and aggregations."""

from __future__ import annotations

from typing import Any

import pytest

from tests.sandbox.peer import NOW_MS, Peer, event

DAY_MS = 86_400_000
VISITORS = {"source": {"visitors": None}}


def ids(pendo: Peer, *steps: Any) -> list[str]:
    return [row["visitorId"] for row in pendo.aggregate(VISITORS, *steps).json()["results"]]


@pytest.fixture
def three(pendo: Peer) -> None:
    custom = [{"plan": "pro", "seats": 3}, {"plan": "free", "seats": 20}, {}]
    names = ['v-"1"', "v-2", "_PENDO_T_3"]
    pendo.box.add(
        {"visitors": [{"id": name, "metadata": {"custom": each}} for name, each in zip(names, custom, strict=True)]}
    )


def test_an_object_is_read_with_its_metadata(pendo: Peer) -> None:
    pendo.box.switch(event_processing="at_once")
    pendo.track(event())
    pendo.write({"v-1": {"plan": "pro"}})
    visitor, account = pendo.get("/api/v1/visitor/v-1").json(), pendo.get("/api/v1/account/a-1").json()

    assert visitor["accountIds"] == ["a-1"]
    assert visitor["metadata"]["custom"] == {"plan": "pro"}
    assert visitor["metadata"]["auto"]["lastvisit"] == NOW_MS
    assert account == {"id": "a-1", "metadata": {"auto": {"id": "a-1", "firstvisit": NOW_MS, "lastvisit": NOW_MS}}}


@pytest.mark.parametrize("path", ["/api/v1/visitor/x", "/api/v1/account/x", "/api/v1/visitor/x/history?starttime=0"])
def test_an_unknown_object_gets_404(pendo: Peer, path: str) -> None:
    assert pendo.get(path).status_code == 404


@pytest.mark.parametrize(("query", "status"), [("", 400), ("?starttime=x", 400), ("?starttime=0", 400)])
def test_a_history_needs_a_start_of_the_last_180_days(pendo: Peer, query: str, status: int) -> None:
    pendo.box.add_objects("visitor", ["v-1"])

    assert pendo.get(f"/api/v1/visitor/v-1/history{query}").status_code == status


def test_a_history_holds_the_processed_events_of_a_day(pendo: Peer) -> None:
    pendo.box.switch(event_processing="at_once")
    pendo.track([event(timestamp=NOW_MS - n * DAY_MS // 2, event=f"e{n}") for n in range(4)])
    pendo.track(event(visitorId="v-2"))
    history = pendo.get("/api/v1/visitor/v-1/history", params={"starttime": NOW_MS - DAY_MS}).json()

    assert [each["event"] for each in history] == ["e2", "e1"]


@pytest.mark.usefixtures("three")
@pytest.mark.parametrize(
    ("expression", "found"),
    [
        ('visitorId > "v-"', ['v-"1"', "v-2"]),
        ('visitorId == "v-\\"1\\""', ['v-"1"']),
        ('metadata.custom.plan == "pro"', ['v-"1"']),
        ('metadata.custom.plan != "pro"', ["v-2", "_PENDO_T_3"]),
        ("metadata.custom.seats >= 20", ["v-2"]),
        ("metadata.custom.seats < 20.5 && metadata.custom.seats > 3", ["v-2"]),
        ('metadata.custom.seats <= 3 || visitorId == "v-2"', ['v-"1"', "v-2"]),
        ("!(metadata.custom.seats == 3)", ["v-2", "_PENDO_T_3"]),
        ("isNull(metadata.custom.plan)", ["_PENDO_T_3"]),
        ("isEmpty(metadata.custom.plan) == true", ["_PENDO_T_3"]),
        ("metadata.custom.plan == null", ["_PENDO_T_3"]),
        ('contains(metadata.custom.plan, "re")', ["v-2"]),
        ('startsWith(visitorId, "v-")', ['v-"1"', "v-2"]),
        ("metadata.auto.lastvisit < now()", []),
        ("visitorId.more == null", ['v-"1"', "v-2", "_PENDO_T_3"]),
        ("metadata.custom.seats > -1", ['v-"1"', "v-2"]),
        ('metadata.custom.seats > "x"', []),
        ("false", []),
    ],
)
def test_a_filter_finds_rows(pendo: Peer, expression: str, found: list[str]) -> None:
    assert ids(pendo, {"filter": expression}) == found


@pytest.mark.parametrize(
    "expression",
    [
        "",
        1,
        "visitorId >",
        "(visitorId",
        "visitorId ~ 1",
        '"open',
        "strange(visitorId)",
        "now(1)",
        "visitorId visitorId",
        "contains(visitorId visitorId)",
        ") == 1",
        '"\\q" == visitorId',
    ],
)
def test_an_expression_that_cannot_be_read_gets_400(pendo: Peer, expression: Any) -> None:
    assert pendo.aggregate(VISITORS, {"filter": expression}).status_code == 400


@pytest.mark.usefixtures("three")
@pytest.mark.parametrize(
    ("steps", "rows"),
    [
        (({"count": None},), [{"count": 3}]),
        (({"identified": "visitorId"}, {"count": None}), [{"count": 2}]),
        (
            ({"select": {"id": "visitorId", "plan": "metadata.custom.plan"}}, {"sort": ["id"]}, {"limit": 2}),
            [{"id": "_PENDO_T_3"}, {"id": 'v-"1"', "plan": "pro"}],
        ),
        (({"select": {"seats": "metadata.custom.seats"}}, {"sort": ["-seats"]}), [{"seats": 20}, {"seats": 3}, {}]),
        (
            ({"select": {"plan": "metadata.custom.plan"}}, {"sort": ["plan"]}, {"skip": 1}),
            [{"plan": "free"}, {"plan": "pro"}],
        ),
    ],
)
def test_operators_are_applied_in_order(pendo: Peer, steps: tuple[Any, ...], rows: list[Any]) -> None:
    answer = pendo.aggregate(VISITORS, *steps).json()

    assert answer["results"] == rows
    assert answer["startTime"] == NOW_MS


@pytest.mark.parametrize(
    "steps",
    [
        (),
        ({"count": None},),
        ({"source": None},),
        ({"source": {"guides": None}},),
        ({"source": {}},),
        ({"source": {"visitors": None}, "count": None},),
        (VISITORS, {"group": {}}),
        (VISITORS, {"select": []}),
        (VISITORS, {"sort": "id"}),
        (VISITORS, {"sort": [1]}),
        (VISITORS, {"limit": -1}),
        (VISITORS, {"limit": "1"}),
        ({"source": {"trackEvents": None}},),
        ({"source": {"trackEvents": None, "timeSeries": {"period": "dayRange", "first": "x", "count": 1}}},),
        ({"source": {"trackEvents": None, "timeSeries": {"period": "dayRange", "first": "now()", "count": "1"}}},),
    ],
)
def test_a_pipeline_that_the_sandbox_does_not_know_gets_400(pendo: Peer, steps: tuple[Any, ...]) -> None:
    assert pendo.aggregate(*steps).status_code == 400


@pytest.mark.parametrize("document", [[], {}, {"request": 1}, {"request": {"pipeline": {}}}])
def test_a_body_without_a_pipeline_gets_400(pendo: Peer, document: Any) -> None:
    assert pendo.post("/api/v1/aggregation", document).status_code == 400


def test_each_source_gives_its_rows(pendo: Peer) -> None:
    pendo.box.add({"accounts": ["p::c"], "parent_accounts": ["p"]})
    pendo.delete("v-9")
    pendo.clock.seconds += 2
    pendo.delete("a-9", kind="account")
    found = {
        name: pendo.aggregate({"source": {name: None}}).json()["results"]
        for name in ("accounts", "doNotProcessVisitors", "doNotProcessAccounts", "trackTypes")
    }
    split = {"parent": "parentAccountId(accountId)", "child": "childAccountId(accountId)"}
    parts = pendo.aggregate({"source": {"accounts": None}}, {"select": split}).json()["results"]

    assert [row["accountId"] for row in found["accounts"]] == ["p::c"]
    assert found["doNotProcessVisitors"] == [{"visitorId": "v-9"}]
    assert found["doNotProcessAccounts"] == [{"accountId": "a-9"}]
    assert found["trackTypes"] == []
    assert parts == [{"parent": "p", "child": "c"}]


@pytest.mark.parametrize(
    ("series", "found"),
    [
        ({"first": NOW_MS, "count": 1}, ["v-0"]),
        ({"first": "now()", "count": -1}, ["v-1", "v-2"]),
        ({"first": NOW_MS - DAY_MS, "last": NOW_MS}, ["v-1", "v-2"]),
        ({"period": "hourRange", "first": "now()", "count": -12}, ["v-1"]),
    ],
)
def test_track_events_are_read_by_a_time_series(pendo: Peer, series: dict[str, Any], found: list[str]) -> None:
    pendo.box.switch(event_processing="at_once")
    pendo.track([event(visitorId=f"v-{n}", timestamp=NOW_MS - n * DAY_MS // 2) for n in range(4)])
    source = {"trackEvents": None, "timeSeries": {"period": "dayRange", **series}}
    rows = pendo.aggregate({"source": source}).json()["results"]

    assert [row["visitorId"] for row in rows] == found
    assert all(row["server"] == "__apitrackevent__" for row in rows)
