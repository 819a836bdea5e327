"""Bulk writes of metadata: per call, per record, per field."""

from __future__ import annotations

from typing import Any

import pytest

from tests.sandbox.peer import KEY, NOW_MS, Peer

WRITE = "/api/v1/metadata/visitor/custom/value"


@pytest.mark.parametrize(
    ("kind", "held"), [("visitor", "visitors"), ("account", "accounts"), ("parentAccount", "parent_accounts")]
)
@pytest.mark.parametrize("group", ["agent", "custom"])
def test_known_ids_are_updated_and_unknown_ones_are_missing(pendo: Peer, kind: str, held: str, group: str) -> None:
    pendo.box.add_objects(kind, ["x-1"])
    pendo.box.add_fields(kind, group, {"plan": "string"})
    answer = pendo.write({"x-1": {"plan": "pro"}, "x-2": {"plan": "pro"}}, kind=kind, group=group)
    objects = getattr(pendo.box, held)

    assert answer.status_code == 200
    assert answer.json() == {"total": 2, "updated": 1, "failed": 1, "missing": ["x-2"], "kind": kind}
    assert objects == {"x-1": objects["x-1"]}
    assert objects["x-1"][group] == {"plan": "pro"}
    assert objects["x-1"]["auto"] == {"id": "x-1", "lastupdated": NOW_MS}


def test_create_makes_unknown_ids(pendo: Peer) -> None:
    answer = pendo.write({"v-1": {"plan": "pro"}}, create=True)

    assert answer.json() == {"total": 1, "updated": 1, "failed": 0, "kind": "visitor"}
    assert pendo.values("v-1") == {"plan": "pro"}


def test_fields_that_are_not_mentioned_stay(pendo: Peer) -> None:
    pendo.write({"v-1": {"plan": "pro", "seats": 5}}, create=True)
    pendo.write({"v-1": {"Seats": 6}})

    assert pendo.values("v-1") == {"plan": "pro", "seats": 6}


@pytest.mark.parametrize(
    ("body", "path"),
    [
        (b"{", WRITE),
        (b"[NaN]", WRITE),
        (b"{}", WRITE),
        (b"[1]", WRITE),
        (b'[{"visitorId": 1, "values": {}}]', WRITE),
        (b'[{"visitorId": "v-1", "values": []}]', WRITE),
        (b'[{"accountId": "v-1", "values": {}}]', WRITE),
        (b"[]", "/api/v1/metadata/visitor/auto/value"),
        (b"[]", "/api/v1/metadata/visitor/pendo/value"),
        (b"[]", "/api/v1/metadata/visitor/nogroup/value"),
    ],
)
def test_a_malformed_call_gets_400(pendo: Peer, body: bytes, path: str) -> None:
    assert pendo.http.post(path, content=body, headers=KEY).status_code == 400


def test_an_unknown_kind_gets_404(pendo: Peer) -> None:
    assert pendo.post("/api/v1/metadata/page/custom/value", []).status_code == 404


def test_an_unknown_agent_field_refuses_the_whole_call(pendo: Peer) -> None:
    pendo.box.add_objects("visitor", ["v-1", "v-2"])
    pendo.box.add_fields("visitor", "agent", {"role": "string"})
    answer = pendo.write({"v-1": {"role": "admin"}, "v-2": {"rôle": "x", "team": "y"}}, group="agent")

    assert answer.status_code == 400
    assert answer.json() == {"error": "missing field mappings: rôle, team"}
    assert pendo.values("v-1", "agent") == {}


def test_an_unknown_custom_field_is_made_without_a_type(pendo: Peer) -> None:
    pendo.write({"v-1": {"Plan": "pro"}}, create=True)
    field = pendo.get("/api/v1/metadata/schema/visitor").json()["custom"]["plan"]

    assert (field["Type"], field["DisplayName"]) == ("", "Plan")
    assert pendo.values("v-1") == {"plan": "pro"}


def test_two_spellings_of_a_field_are_one_field(pendo: Peer) -> None:
    pendo.write({"v-1": {"PLAN": "free", "plan": "pro"}}, create=True)

    assert pendo.box.fields("visitor")["custom"] == {"plan": ""}
    assert pendo.values("v-1") == {"plan": "pro"}


def test_ids_that_fail_are_in_errors_and_count_as_failed(pendo: Peer) -> None:
    pendo.box.add({"visitors": ["v-1", "v-2"], "failing_ids": {"visitor": {"v-2": "is frozen"}}})
    answer = pendo.write({"v-1": {"plan": "pro"}, "v-2": {"plan": "pro"}, "v-3": {"plan": "pro"}}).json()

    assert answer == {
        "total": 3,
        "updated": 1,
        "failed": 2,
        "missing": ["v-3"],
        "errors": ["v-2: is frozen"],
        "kind": "visitor",
    }


def test_errors_name_the_id_of_their_kind(pendo: Peer) -> None:
    pendo.box.add({"failing_ids": {"account": {"a-1": "no"}}, "switches": {"metadata_errors_shape": "objects"}})

    assert pendo.write({"a-1": {}}, kind="account").json()["errors"] == [{"accountId": "a-1", "error": "no"}]


VALUES: list[tuple[str, Any, Any]] = [
    ("string", "pro", "pro"),
    ("string", 12, "12"),
    ("string", True, "true"),
    ("string", ["a"], ...),
    ("list", 1, [1]),
    ("integer", 12, 12),
    ("integer", 12.0, 12.0),
    ("integer", 12.5, 12),
    ("integer", "12", 12),
    ("integer", "many", ...),
    ("integer", "inf", ...),
    ("float", "nan", ...),
    ("integer", True, ...),
    ("float", 12.5, 12.5),
    ("float", "12.5", 12.5),
    ("float", [], ...),
    ("boolean", True, True),
    ("boolean", "TRUE", True),
    ("boolean", "perhaps", ...),
    ("boolean", 1, ...),
    ("list", ["a"], ["a"]),
    ("list", "a", ["a"]),
    ("boolean", ["a"], ...),
    ("time", "2026-01-02T03:04:05Z", "2026-01-02T03:04:05Z"),
    ("time", 1_760_000_000, 1_760_000_000),
    ("time", "soon", ...),
    ("time", "2026-99-99T03:04:05Z", ...),
    ("time", True, ...),
    ("time", [], ...),
    ("", {"any": "thing"}, {"any": "thing"}),
]


@pytest.mark.parametrize(("type_", "value", "kept"), VALUES)
def test_a_value_is_made_to_fit_its_field_or_lost(pendo: Peer, type_: str, value: Any, kept: Any) -> None:
    pendo.box.switch(metadata_wrong_type="coerce")
    pendo.box.add({"visitors": ["v-1"], "fields": {"visitor": {"agent": {"f": type_}}}})
    pendo.write({"v-1": {"f": value}}, group="agent")

    assert pendo.values("v-1", "agent").get("f", ...) == kept


@pytest.mark.parametrize(
    ("written", "read_back"),
    [
        ("2026-01-02T03:04:05Z", 1_767_323_045_000),
        ("2026-01-02T03:04:05.250Z", 1_767_323_045_250),
        ("2026-01-02T03:04:05+02:00", 1_767_315_845_000),
        ("2026-01-02 03:04:05", 1_767_323_045_000),
        ("2026-01-02 03:04:05 -0700", 1_767_348_245_000),
        ("2026-01-02 03:04:05 UTC", 1_767_323_045_000),
        ("Fri Jan 02 2026", 1_767_312_000_000),
        ("Fri Jan 02 2026 03:04:05", 1_767_323_045_000),
        ("01/02/2026 03:04pm", 1_767_366_240_000),
        (1_767_323_045, 1_767_323_045_000),
        (1_767_323_045_000, 1_767_323_045_000),
        ("soon", "soon"),
    ],
)
def test_a_time_reads_back_as_epoch_milliseconds(pendo: Peer, written: Any, read_back: Any) -> None:
    pendo.box.add({"visitors": ["v-1"], "fields": {"visitor": {"custom": {"at": "time"}}}})
    pendo.write({"v-1": {"at": written}})

    assert pendo.values("v-1")["at"] == written
    assert pendo.get("/api/v1/visitor/v-1").json()["metadata"]["custom"] == {"at": read_back}


@pytest.mark.parametrize(("seats", "status"), [([1, 2], 200), ([1, "two"], 400)])
def test_a_wrong_type_can_refuse_the_whole_call(pendo: Peer, seats: list[Any], status: int) -> None:
    pendo.box.switch(metadata_wrong_type="refuse_call")
    pendo.box.add({"visitors": ["v-0", "v-1"], "fields": {"visitor": {"custom": {"seats": "integer"}}}})
    answer = pendo.write({f"v-{n}": {"seats": each} for n, each in enumerate(seats)})

    assert answer.status_code == status
    assert len(pendo.values("v-0")) == (status == 200)


def test_a_call_in_time_is_not_stopped(pendo: Peer) -> None:
    pendo.box.switch(seconds_per_record=3)

    assert pendo.write({f"v-{n}": {} for n in range(100)}, create=True).json()["updated"] == 100
    assert pendo.write({f"v-{n}": {} for n in range(101)}, create=True).status_code == 408
    assert pendo.box.requests[1].note == "100 records applied"


def test_a_read_of_what_the_sandbox_holds_is_a_copy(pendo: Peer) -> None:
    pendo.write({"v-1": {"plan": "pro"}}, create=True)
    pendo.box.visitors["v-1"]["custom"]["plan"] = "free"

    assert pendo.values("v-1") == {"plan": "pro"}
    assert repr(pendo.box.visitors) == "Objects(1)"
