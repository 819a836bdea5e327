"""The schema: reading it, making fields, deleting them."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from tests.sandbox.peer import KEY, Peer, spec

SCHEMA = "/api/v1/metadata/schema/visitor"


def test_the_schema_is_keyed_by_group_and_lower_case_field(pendo: Peer) -> None:
    answer = pendo.make_fields(
        {"name": "Plan_Tier", "displayname": "Plan Tier", "type": "string"}, {"name": "paying", "type": "boolean"}
    )
    schema = pendo.get(SCHEMA).json()

    assert answer.status_code == 201
    assert set(schema) == {"auto", "agent", "custom", "pendo"}
    assert schema["auto"]["lastvisit"]["Type"] == "time"
    assert schema["custom"]["plan_tier"] == {
        "Type": "string",
        "DisplayName": "Plan Tier",
        "ElementType": "",
        "ElementFormat": "",
        "Dirty": False,
        "isHidden": False,
        "isDeleted": False,
        "isCalculated": False,
        "isPerApp": False,
    }
    assert schema["custom"]["paying"]["DisplayName"] == "paying"


@pytest.mark.parametrize("kind", ["visitor", "account", "parentAccount"])
def test_every_kind_has_a_schema(pendo: Peer, kind: str) -> None:
    assert "firstvisit" in pendo.get(f"/api/v1/metadata/schema/{kind}").json()["auto"]
    assert pendo.make_fields(spec("role"), kind=kind, group="agent").status_code == 201


def test_an_unknown_kind_has_none(pendo: Peer) -> None:
    assert pendo.get("/api/v1/metadata/schema/page").status_code == 404


@pytest.mark.parametrize(
    ("specs", "status", "statuses"),
    [
        ([spec("a"), spec("b", "number")], 201, ["created", "created"]),
        ([spec("a"), spec("here")], 207, ["created", "failed"]),
        ([spec("a"), spec("A")], 207, ["created", "failed"]),
        ([spec("here"), spec("HERE")], 409, ["failed", "failed"]),
        ([spec("gone")], 201, ["undeleted"]),
        ([spec("gone"), spec("here"), spec("a", "time")], 207, ["undeleted", "failed", "created"]),
        ([spec("1a")], 422, ["failed"]),
        ([spec("a b"), spec("c")], 422, ["failed", "failed"]),
        ([spec("a", "money")], 422, ["failed"]),
        ([{"name": "a"}], 422, ["failed"]),
        ([spec(f"f{n}") for n in range(24)], 201, ["created"] * 24),
    ],
)
def test_the_status_tells_how_many_fields_were_made(
    pendo: Peer, specs: list[Any], status: int, statuses: list[str]
) -> None:
    pendo.box.add_fields("visitor", "custom", {"here": "string", "gone": "string"})
    pendo.http.delete(f"{SCHEMA}/custom/gone", headers=KEY)
    answer = pendo.make_fields(*specs)
    results = answer.json()["results"]
    summary = dict(Counter(statuses), total=len(specs))

    assert answer.status_code == status
    assert [each["status"] for each in results] == statuses
    assert [each["schema"] for each in results] == specs
    assert all(("error" in each) == (each["status"] == "failed") for each in results)
    assert answer.json()["summary"] == summary


WRONG_FORMS: list[tuple[Any, str]] = [
    ({"name": "a"}, "custom"),
    ([], "custom"),
    ([1], "custom"),
    ([{"name": 1}], "custom"),
    ([spec(f"f{n}") for n in range(25)], "custom"),
    ([spec("a")], "auto"),
    ([spec("a")], "nogroup"),
]


@pytest.mark.parametrize(("document", "group"), WRONG_FORMS)
def test_a_wrong_form_gets_400_and_makes_nothing(pendo: Peer, document: Any, group: str) -> None:
    assert pendo.post(f"{SCHEMA}/{group}", document).status_code == 400
    assert pendo.box.fields("visitor")["custom"] == {}


def test_a_list_is_for_agent_fields_only(pendo: Peer) -> None:
    pendo.box.switch(schema_types="extended")

    assert pendo.make_fields(spec("tags", "list"), group="custom").status_code == 422
    assert pendo.make_fields(spec("tags", "list"), group="agent").status_code == 201
    assert pendo.get(SCHEMA).json()["agent"]["tags"]["ElementType"] == "string"


def test_a_deleted_field_is_hidden_with_its_values_until_it_is_made_again(pendo: Peer) -> None:
    pendo.write({"v-1": {"plan": "pro"}}, create=True)
    path = f"{SCHEMA}/custom/plan"
    statuses = [pendo.http.delete(each, headers=KEY).status_code for each in (path, path, f"{SCHEMA}/custom/other")]
    hidden = pendo.get("/api/v1/visitor/v-1").json()["metadata"]["custom"]
    marked = pendo.get(SCHEMA).json()["custom"]["plan"]["isDeleted"]
    pendo.make_fields(spec("plan"))

    assert statuses == [200, 202, 404]
    assert (hidden, marked) == ({}, True)
    assert pendo.get("/api/v1/visitor/v-1").json()["metadata"]["custom"] == {"plan": "pro"}


def test_fields_of_pendo_itself_cannot_be_deleted(pendo: Peer) -> None:
    assert pendo.http.delete(f"{SCHEMA}/auto/lastvisit", headers=KEY).status_code == 404
