"""Bulk deletion: limits, waiting, running, and what stays."""

from __future__ import annotations

from typing import Any

import pytest

from tests.sandbox.peer import NOW_MS, Peer, event

DAY_S = 86_400


@pytest.mark.parametrize("kind", ["visitor", "account"])
def test_deleted_ids_are_do_not_process_at_once_and_gone_after_21_days(pendo: Peer, kind: str) -> None:
    pendo.box.add_objects(kind, ["x-1", "x-2"])
    answer = pendo.delete("x-1", kind=kind)
    at_once = pendo.box.do_not_process(kind), pendo.get(f"/api/v1/{kind}/x-1").status_code
    pendo.box.advance(21 * DAY_S)

    assert answer.status_code == 200
    assert at_once == (["x-1"], 200)
    assert [pendo.get(f"/api/v1/{kind}/{each}").status_code for each in ("x-1", "x-2")] == [404, 200]
    assert pendo.box.do_not_process(kind) == ["x-1"]


def test_a_request_waits_runs_and_is_kept_as_a_receipt(pendo: Peer) -> None:
    request_id = pendo.delete("v-1").json()["id"]
    seen = []
    for _ in range(3):
        listed = [each["id"] for each in pendo.get("/api/v1/bulkdelete").json()]
        seen.append((pendo.get(f"/api/v1/bulkdelete/{request_id}").json()["status"], listed))
        pendo.box.advance(11 * DAY_S)

    assert seen == [("queued", [request_id]), ("running", [request_id]), ("completed", [])]
    assert pendo.get(f"/api/v1/bulkdelete/{request_id}").json() == {
        "id": request_id,
        "kind": "visitor",
        "status": "completed",
        "total": 1,
        "createdAt": NOW_MS,
    }
    assert pendo.get("/api/v1/bulkdelete/other").status_code == 404


@pytest.mark.parametrize(
    "document",
    [
        {},
        {"visitors": []},
        {"visitors": "v-1"},
        {"visitors": [1]},
        {"accounts": ["a-1"]},
        [],
        {"visitors": ["v"] * 501},
    ],
)
def test_a_call_without_ids_or_with_too_many_gets_400(pendo: Peer, document: Any) -> None:
    assert pendo.post("/api/v1/bulkdelete/visitor", document).status_code == 400
    assert pendo.box.deletions == []


def test_parent_accounts_cannot_be_deleted(pendo: Peer) -> None:
    assert pendo.delete("p-1", kind="parentAccount").status_code == 404


def test_an_id_that_waits_already_refuses_the_call(pendo: Peer) -> None:
    pendo.delete("v-1")
    pendo.clock.seconds += 2
    again = pendo.delete("v-1", "v-2")
    pendo.clock.seconds += DAY_S
    later = pendo.delete("v-1")

    assert (again.status_code, again.json()) == (400, {"error": "BadRequest"})
    assert pendo.box.do_not_process("visitor") == ["v-1"]
    assert later.status_code == 200


@pytest.mark.parametrize("ids", [("v-1",), ("v-1", "v-1")])
def test_nothing_new_among_the_ids_is_refused_under_both_values(pendo: Peer, ids: tuple[str, ...]) -> None:
    pendo.box.switch(bulkdelete_already_queued="queue_others", bulkdelete_fast_calls="allow")
    pendo.delete("v-1")

    assert pendo.delete(*ids).status_code == 400
    assert [each.ids for each in pendo.box.deletions] == [["v-1"]]


def test_calls_are_merged_up_to_500_ids(pendo: Peer) -> None:
    pendo.box.switch(bulkdelete_fast_calls="allow")
    first = pendo.delete(*(f"v-{n}" for n in range(300))).json()["id"]
    second = pendo.delete(*(f"w-{n}" for n in range(300))).json()["id"]
    third = pendo.delete(*(f"x-{n}" for n in range(200))).json()["id"]
    other = pendo.delete("a-1", kind="account").json()["id"]

    assert first == third != second
    assert other not in (first, second)


def test_an_update_of_a_deleted_id_is_ignored_until_the_mark_is_taken_away(pendo: Peer) -> None:
    pendo.box.add_objects("visitor", ["v-1"])
    pendo.delete("v-1")
    pendo.box.advance(21 * DAY_S)
    ignored = pendo.write({"v-1": {"plan": "pro"}}, create=True).json()["updated"], len(pendo.box.visitors)
    pendo.track(event())
    pendo.put("/api/v1/metadata/visitor/pendo/value/v-1/donotprocess", document=False)

    assert ignored == (1, 0)
    assert pendo.box.events == []
    assert pendo.write({"v-1": {"plan": "pro"}}).json()["missing"] == ["v-1"]
    assert pendo.write({"v-1": {"plan": "pro"}}, create=True).json()["updated"] == 1
    assert pendo.values("v-1") == {"plan": "pro"}
