from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from connector.plan import Counts, Plan
from connector.plan.guardrails import check_guardrails
from connector.project.settings import EventSync, ObjectSync


def sync(**settings: Any) -> Any:
    base = {"model": "m", "destination": "d", "object": "visitor", "match": "id", "fields": {}}
    return SimpleNamespace(name="s", settings=ObjectSync.model_validate(base | settings))


def plan(*, size: int, whole: bool = True, **counts: int) -> Plan:
    return Plan("r", Counts(**counts), (), {}, size, whole=whole)


@pytest.mark.parametrize(
    ("settings", "made", "expected"),
    [
        ({"on_removed": "delete"}, plan(size=2000, queried=1, removed=100), None),
        ({"on_removed": "delete"}, plan(size=2000, queried=1, removed=101), "max_removed"),
        ({"on_removed": "clear"}, plan(size=100, queried=1, removed=11), "max_removed_percent"),
        ({"on_removed": "clear"}, plan(size=100, queried=1, removed=10), None),
        ({}, plan(size=100, queried=1, removed=50), None),
        ({"guardrails": {"max_removed": 5}}, plan(size=100, queried=1, removed=6), "max_removed"),
        ({"on_removed": "delete", "guardrails": {"max_removed": None, "max_removed_percent": None}},
         plan(size=10, queried=1, removed=9), None),
        ({}, plan(size=10, queried=0, removed=10), "empty_model"),
        ({}, plan(size=10, queried=0, removed=10, whole=False), None),
        ({"guardrails": {"allow_empty": True}}, plan(size=10, queried=0, removed=10), None),
        ({}, plan(size=0, queried=0), None),
        ({"on_removed": "delete"}, plan(size=0, queried=0, removed=1), "empty_model"),
        ({"on_removed": "delete"}, plan(size=0, queried=1, added=1, removed=101), "max_removed"),
        ({"on_removed": "clear"}, plan(size=0, queried=1, added=1, removed=2), "max_removed_percent"),
        ({"guardrails": {"max_changed": 3}}, plan(size=10, queried=4, changed=4), "max_changed"),
        ({"guardrails": {"max_changed_percent": 30}}, plan(size=10, queried=4, changed=4), "max_changed_percent"),
        ({}, plan(size=10, queried=10, changed=10), None),
    ],
)  # fmt: skip
def test_a_guardrail_holds_above_its_limit_and_not_at_it(
    settings: dict[str, Any], made: Plan, expected: str | None
) -> None:
    held = check_guardrails(sync(**settings), made)

    assert (held.guardrail if held else None) == expected


def test_the_message_says_what_how_many_the_limit_and_how_to_go_on() -> None:
    held = check_guardrails(sync(on_removed="delete"), plan(size=1000, queried=1, removed=250))

    assert held is not None
    assert held.message == "250 rows would be removed; max_removed is 100"
    assert "--force" in held.hint


def test_one_row_is_one_row() -> None:
    held = check_guardrails(sync(on_removed="delete"), plan(size=4, queried=3, removed=1))

    assert held is not None
    assert held.message == "1 row would be removed (25.0 % of 4); max_removed_percent is 10"


def test_events_are_never_held() -> None:
    events = EventSync.model_validate(
        {"model": "m", "destination": "d", "object": "track_event", "event": {"value": "E"}, "visitor_id": "id"}
    )

    assert check_guardrails(SimpleNamespace(name="s", settings=events), plan(size=10)) is None  # type: ignore[arg-type]
