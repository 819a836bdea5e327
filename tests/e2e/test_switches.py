"""The main job under every value of every behaviour of Pendo that nobody has written down."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest

from connector.sandbox.switches import SWITCHES
from tests.e2e.project import ACCOUNTS, EVENT_SYNC, EVENTS, OBJECT_SYNC, FastClock, Scene, outcomes, scene

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.slow  # a hundred times the main job

VISITORS, PARENTS = "visitors", "parents"
ROWS = 130  # more than fit into one call under any switch
EVERY = [("default", None), *((switch.name, value) for switch in SWITCHES for value in switch.values[1:])]

ACCOUNT_FIELDS: dict[str, Any] = {
    "custom": {
        "Health": {"column": "health", "create": True},
        "plan": {"column": "plan", "create": True},
        "seats": {"column": "seats", "type": "integer", "create": True},
        "renews_at": {"column": "renews_at", "type": "time", "create": True},
        "is_paying": {"column": "is_paying", "create": True},
        "note": {"column": "note", "create": True},
    },
    "agent": {"tier": "plan"},
}


@dataclass(frozen=True)
class Difference:
    """What a value of a switch makes different: other settings, other outcomes.

    `with_switches` gives it something to decide; `parents` is the slug of the parent accounts' failure.
    """

    with_switches: dict[str, Any] = field(default_factory=dict)
    destination: dict[str, Any] = field(default_factory=dict)
    parents: str | None = None


NO_PARENTS = Difference(parents="parent-accounts-unavailable")
SLOW_RECORDS = Difference(with_switches={"seconds_per_record": 3.0})
DIFFERENT: dict[tuple[str, Any], Difference] = {
    ("parent_account_routes", "not_found"): NO_PARENTS,
    ("parent_account_routes", "bad_request"): NO_PARENTS,
    # Which value clears a field cannot be found out by asking: the destination's setting says it.
    ("clear_with", "null"): Difference(destination={"clear_with": "null"}),
    ("after_408", "nothing_applied"): SLOW_RECORDS,
    ("after_408", "all_applied"): SLOW_RECORDS,
    # Events that are processed at once make the visitor and the account that Pendo did not know.
    ("event_processing", "at_once"): Difference(with_switches={"track_unknown_ids": "ignore"}),
    ("retry_after", "seconds"): Difference(with_switches={"rate_limit": 50}),
    ("retry_after", "date"): Difference(with_switches={"rate_limit": 50}),
}


@pytest.fixture
def place(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[tuple[Scene, Difference]]:
    """A project under one value of one switch."""
    name, value = request.param
    difference = DIFFERENT.get((name, value), Difference())
    switches = difference.with_switches | ({} if name == "default" else {name: value})
    with scene(tmp_path / "p", clock=FastClock(), switches=switches, **difference.destination) as made:
        fill(made)
        yield made, difference


def fill(place: Scene) -> None:
    """Nothing, after filling warehouse and sandbox; the last account is unknown to Pendo, the one before refused."""
    place.sql(
        f"""CREATE OR REPLACE TABLE accounts AS SELECT 'Acct-' || i AS account_id, i * 1.5 AS health,
            'plan-' || (i % 3) AS plan, i AS seats, TIMESTAMP '2026-01-01' + to_days(i::INTEGER) AS renews_at,
            i % 2 = 0 AS is_paying, repeat('n', 900) AS note FROM range({ROWS}) t(i)""",
        f"""CREATE OR REPLACE TABLE visitors AS SELECT 'User-' || i AS visitor_id, 'role-' || (i % 2) AS role
            FROM range({ROWS}) t(i)""",
        "CREATE OR REPLACE TABLE parents AS SELECT 'parent-' || i AS parent_id, 'emea' AS region FROM range(3) t(i)",
        f"""CREATE OR REPLACE TABLE events AS SELECT i AS event_id, 'User-' || i AS visitor_id,
            'Acct-' || i AS account_id, now()::TIMESTAMP - INTERVAL 1 HOUR + to_milliseconds(i) AS occurred_at,
            'plan-' || (i % 3) AS plan FROM range({ROWS}) t(i)""",
    )
    sandbox = place.sandbox
    for kind, prefix, count in (
        ("account", "Acct", ROWS - 1),
        ("visitor", "User", ROWS - 1),
        ("parent_account", "parent", 3),
    ):
        sandbox.add_objects(kind, [f"{prefix}-{at}" for at in range(count)])
    sandbox.add_fields("account", "agent", {"tier": "string"})
    sandbox.add({"failing_ids": {"account": {f"Acct-{ROWS - 2}": "no good"}, "track_event": {"User-7": "no good"}}})
    for model, key in ((VISITORS, "visitor_id"), (PARENTS, "parent_id")):
        text = f"/*\nsource: warehouse\nprimary_key: {key}\n*/\nselect * from {model}\n"
        (place.root / "models" / f"{model}.sql").write_text(text, encoding="utf-8")
    place.write(ACCOUNTS, OBJECT_SYNC, fields=ACCOUNT_FIELDS, on_removed="delete")
    role = {"custom": {"role": {"column": "role", "create": True}}}
    visitor = {"model": VISITORS, "object": "visitor", "match": "visitor_id", "on_removed": "clear"}
    place.write(VISITORS, OBJECT_SYNC, fields=role, **visitor)
    region = {"custom": {"region": {"column": "region", "create": True}}}
    place.write(PARENTS, OBJECT_SYNC, model=PARENTS, object="parent_account", match="parent_id", fields=region)
    place.write(EVENTS, EVENT_SYNC)


def accounts(place: Scene, key: str) -> dict[str, Any]:
    """All values of one account, by field."""
    values = place.sandbox.accounts[key]
    return {**values["custom"], **values["agent"]}


def roles(place: Scene) -> dict[str, str]:
    """The visitors that have a role."""
    found = {key: values["custom"].get("role") for key, values in place.sandbox.visitors.items()}
    return {key.lower(): role for key, role in found.items() if role}


@pytest.mark.slow
@pytest.mark.parametrize("place", EVERY, indirect=True, ids=lambda case: f"{case[0]}={case[1]}")
def test_the_main_job_is_done_whatever_pendo_does(place: tuple[Scene, Difference]) -> None:
    scene_, difference = place
    firsts = {sync: scene_.run(sync) for sync in (ACCOUNTS, VISITORS, EVENTS)}
    parents = scene_.run(PARENTS)
    first_values = accounts(scene_, "Acct-1")
    scene_.sql(
        "UPDATE accounts SET plan = 'new', seats = 1000 WHERE account_id = 'Acct-1'",
        "DELETE FROM accounts WHERE account_id IN ('Acct-2', 'Acct-3')",
        "DELETE FROM visitors WHERE visitor_id = 'User-2'",
        "INSERT INTO events SELECT * REPLACE (5000 AS event_id, occurred_at + INTERVAL 1 MINUTE AS occurred_at) "
        "FROM events WHERE event_id = 1",
    )
    seconds = {sync: scene_.run(sync, force=True) for sync in (ACCOUNTS, VISITORS, EVENTS)}
    thirds = {sync: scene_.run(sync) for sync in (ACCOUNTS, VISITORS, EVENTS)}

    assert {sync: outcomes(result) for sync, result in firsts.items()} == {
        ACCOUNTS: {"succeeded": ROWS - 2, "skipped": 1, "rejected": 1},
        VISITORS: {"succeeded": ROWS - 1, "skipped": 1},
        EVENTS: {"succeeded": ROWS - 1, "rejected": 1},
    }
    assert first_values == {
        "health": 1.5,
        "plan": "plan-1",
        "seats": 1,
        "renews_at": "2026-01-02T00:00:00Z",
        "is_paying": False,
        "note": "n" * 900,
        "tier": "plan-1",
    }
    assert {sync: outcomes(result) for sync, result in seconds.items()} == {
        ACCOUNTS: {"succeeded": 3, "skipped": 1, "rejected": 1},
        VISITORS: {"succeeded": 1, "skipped": 1},
        EVENTS: {"succeeded": 1, "rejected": 1},
    }
    assert accounts(scene_, "Acct-1") == {**first_values, "plan": "new", "seats": 1000, "tier": "new"}
    assert set(scene_.sandbox.do_not_process("account")) == {"Acct-2", "Acct-3"}
    assert set(roles(scene_)) == {f"user-{at}" for at in range(ROWS - 1) if at != 2}
    assert scene_.delivered() == dict.fromkeys({*range(ROWS), 5000} - {7}, 1)
    assert {sync: outcomes(result) for sync, result in thirds.items()} == {
        ACCOUNTS: {"skipped": 1, "rejected": 1},
        VISITORS: {"skipped": 1},
        EVENTS: {"rejected": 1},
    }
    assert scene_.logged("all") == scene_.received()
    if difference.parents is None:
        assert outcomes(parents) == {"succeeded": 3}
    else:
        assert parents.error is not None
        assert (parents.error.problem.slug, outcomes(parents)) == (difference.parents, {"not_attempted": 3})
