from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from connector.systems.pendo import problems
from tests.systems.pendo import given

if TYPE_CHECKING:
    from connector.errors import Problem

Found = list[tuple[str, str, str | None]]


def found(sync: Any, **settings: Any) -> list[tuple[str, Problem]]:
    return problems(given.settings(**settings), sync, given.at)


def slugs(sync: Any, **settings: Any) -> Found:
    return [(kind, problem.slug, problem.at) for kind, problem in found(sync, **settings)]


def test_sound_syncs_have_no_problems() -> None:
    assert slugs(given.object_sync()) == []
    assert slugs(given.event_sync()) == []


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        (
            {"object": "parent_account", "on_removed": "delete"},
            [("error", "parent-account-delete", "sync.yml:on_removed")],
        ),
        ({"object": "parent_account", "on_removed": "clear"}, []),
        ({"object": "account", "on_removed": "delete"}, []),
        ({"fields": {}}, [("error", "no-fields", "sync.yml:fields")]),
        ({"fields": {"agent": {"a": "a"}}}, [("warning", "agent-fields-overwritten", "sync.yml:fields.agent")]),
        ({"fields": {"custom": {"2nd": "a"}}}, [("error", "invalid-field-name", "sync.yml:fields.custom.2nd")]),
        ({"fields": {"custom": {"a-b": "a"}}}, [("error", "invalid-field-name", "sync.yml:fields.custom.a-b")]),
        ({"fields": {"custom": {"": "a"}}}, [("error", "invalid-field-name", "sync.yml:fields.custom.")]),
        ({"fields": {"custom": {"für": "a"}}}, [("error", "invalid-field-name", "sync.yml:fields.custom.für")]),
        ({"fields": {"custom": {"_a1": "a"}}}, []),
        ({"fields": {"custom": {"ID": "a"}}}, [("error", "reserved-field", "sync.yml:fields.custom.ID")]),
        ({"fields": {"custom": {"a": "x", "A": "y"}}}, [("error", "duplicate-field", "sync.yml:fields.custom.A")]),
        (
            {"fields": {"custom": {"a": "x"}, "agent": {"A": "y"}}},
            [("warning", "agent-fields-overwritten", "sync.yml:fields.agent")],
        ),
        (
            {"fields": {"custom": {"a": {"column": "x", "type": "list"}}}},
            [("error", "list-not-allowed", "sync.yml:fields.custom.a")],
        ),
        (
            {"fields": {"custom": {"a": {"value": ["x"]}}}},
            [("error", "list-not-allowed", "sync.yml:fields.custom.a")],
        ),
        (
            {"fields": {"agent": {"a": {"column": "x", "type": "list"}}}},
            [("warning", "agent-fields-overwritten", "sync.yml:fields.agent")],
        ),
        (
            {"fields": {"custom": {"a": {"value": "x", "type": "integer"}}}},
            [("error", "wrong-constant", "sync.yml:fields.custom.a")],
        ),
        ({"fields": {"custom": {"a": {"value": None}}}}, [("error", "wrong-constant", "sync.yml:fields.custom.a")]),
    ],
)
def test_an_object_sync_is_checked(changed: dict[str, Any], expected: Found) -> None:
    assert slugs(given.object_sync(**changed)) == expected


def test_two_columns_for_one_field_are_both_named() -> None:
    sync = given.object_sync(fields={"custom": {"a": "x", "A": {"sql": "y+1"}, "b": {"value": 1}, "B": "z"}})

    assert [problem.message for _, problem in found(sync)] == [
        "'a' and 'A' are one field in Pendo, which keeps names in lower case: column 'x' and expression 'y+1'",
        "'b' and 'B' are one field in Pendo, which keeps names in lower case: a constant and column 'z'",
    ]


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({"account_id": ...}, [("warning", "events-without-account", "sync.yml:")]),
        ({"event": {"value": " "}}, [("error", "wrong-constant", "sync.yml:event")]),
        ({"event": {"value": True}}, [("error", "wrong-constant", "sync.yml:event")]),
        ({"visitor_id": {"value": None}}, [("error", "wrong-constant", "sync.yml:visitor_id")]),
        (
            {"account_id": {"value": None, "nulls": "null"}},
            [("error", "wrong-constant", "sync.yml:account_id")],
        ),
        ({"visitor_id": {"value": "VISITOR-UNIQUE-ID"}}, [("error", "refused-id", "sync.yml:visitor_id")]),
        ({"visitor_id": {"value": "billing-service"}}, []),
        ({"timestamp": {"value": "yesterday"}}, [("error", "wrong-constant", "sync.yml:timestamp")]),
        ({"timestamp": {"value": 3}}, [("error", "wrong-constant", "sync.yml:timestamp")]),
        (
            {"timestamp": {"column": "t", "type": "integer"}},
            [("warning", "ignored-setting", "sync.yml:timestamp.type")],
        ),
        ({"timestamp": {"column": "t", "type": "time"}}, []),
        (
            {"visitor_id": {"column": "v", "type": "integer", "nulls": "empty"}},
            [
                ("warning", "ignored-setting", "sync.yml:visitor_id.type"),
                ("warning", "ignored-setting", "sync.yml:visitor_id.nulls"),
            ],
        ),
        ({"account_id": {"column": "a", "nulls": "null"}}, []),
        ({"properties": {"a" * 32: "x"}}, []),
        ({"properties": {"a" * 33: "x"}}, [("error", "invalid-property-name", f"sync.yml:properties.{'a' * 33}")]),
        ({"properties": {"1st": "x"}}, [("error", "invalid-property-name", "sync.yml:properties.1st")]),
        ({"properties": {"a b": "x"}}, [("error", "invalid-property-name", "sync.yml:properties.a b")]),
        ({"properties": {"__a__": "x"}}, [("error", "invalid-property-name", "sync.yml:properties.__a__")]),
        ({"properties": {"__a": "x"}}, []),
        ({"properties": {"Plan": "x"}}, []),
        ({"properties": {"plan": "x", "Plan": "y"}}, [("warning", "similar-properties", "sync.yml:properties.Plan")]),
        (
            {"properties": {"a": {"column": "x", "type": "list"}}},
            [("error", "list-not-allowed", "sync.yml:properties.a")],
        ),
        ({"properties": {"a": {"value": {"b": 1}}}}, [("error", "wrong-constant", "sync.yml:properties.a")]),
        ({"context": {"ip": "ip"}}, []),
        ({"context": {"ip": {"value": 3.5}}}, [("error", "wrong-constant", "sync.yml:context.ip")]),
        (
            {"context": {"url": {"column": "u", "type": "list"}}},
            [("warning", "ignored-setting", "sync.yml:context.url.type")],
        ),
    ],
)
def test_an_event_sync_is_checked(changed: dict[str, Any], expected: Found) -> None:
    assert slugs(given.event_sync(**changed)) == expected


@pytest.mark.parametrize(
    ("sync", "settings", "expected"),
    [
        ("object", {"integration_key": None}, [("error", "missing-secret", "sync.yml:destination")]),
        ("object", {"track_event_secret": None}, []),
        ("event", {"track_event_secret": None}, [("error", "missing-secret", "sync.yml:destination")]),
        ("event", {"integration_key": None}, []),
        ("event", {"integration_key": "k.eu"}, [("warning", "region-mismatch", "sync.yml:destination")]),
        (
            "object",
            {"base_url": "http://proxy.example.com"},
            [("warning", "insecure-base-url", "sync.yml:destination")],
        ),
    ],
)
def test_the_destination_is_checked_for_what_the_sync_needs(
    sync: str, settings: dict[str, Any], expected: Found
) -> None:
    checked = given.object_sync() if sync == "object" else given.event_sync()

    assert slugs(checked, **settings) == expected


def test_every_problem_has_a_hint() -> None:
    syncs = [
        given.object_sync(object="parent_account", on_removed="delete", fields={}),
        given.object_sync(fields={"custom": {"a": "x", "A": {"value": [1], "type": "integer"}, "id": "x", "2": "y"}}),
        given.event_sync(account_id=..., properties={"1": {"value": []}}, visitor_id={"value": "::"}),
    ]
    every = [problem for sync in syncs for _, problem in found(sync, integration_key=None, track_event_secret=None)]

    assert len(every) > 10
    assert all(problem.hint and problem.at for problem in every)
