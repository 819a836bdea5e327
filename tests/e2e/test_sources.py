"""The whole life of a sync, with each warehouse as the source, and with both planners where there are two.

All other tests of this folder run on one warehouse; the nox session `e2e` runs them on each of the others.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from connector.errors import ConfigErrors, SourceError
from connector.ports import Outcome
from tests.e2e.project import ACCOUNTS, EVENT_SYNC, EVENTS, OBJECT_SYNC, FastClock, Scene, left_over, outcomes, scene
from tests.e2e.warehouses import NAMES

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

# DuckDB under fakesnow's hood.
pytestmark = pytest.mark.filterwarnings("ignore:Arrow output on a DB-API result")

PLANNED_THERE = [name for name in NAMES if name != "sqlite"]
ENDLESS = {
    "duckdb": "select count(*)::varchar as account_id, 1 as health, 'x' as plan "
    "from range(200000000000) a where hash(range) % 7 = 3",
    "postgres": "select count(*)::text as account_id, 1 as health, 'x'::text as plan "
    "from generate_series(1, 200000000000) a where hashint8(a) % 7 = 3",
    "snowflake": "with n as (select row_number() over (order by 1) as i from table(generator(rowcount => 2000000))) "
    "select count(*)::varchar as account_id, 1 as health, 'x' as plan from n a cross join n b "
    "where (a.i * b.i) % 7 = 3",
    "sqlite": "with recursive n(i) as (select 1 union all select i + 1 from n where i < 2000000000000) "
    "select cast(count(*) as text) as account_id, 1 as health, 'x' as plan from n where i % 7 = 3",
}


@pytest.fixture(
    params=[
        *((name, "local") for name in NAMES),
        *(pytest.param((name, "warehouse"), marks=pytest.mark.slow) for name in PLANNED_THERE),
    ],
    ids="-".join,
)
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Scene]:
    """A project on that warehouse with that planner."""
    source, planner = request.param
    with scene(tmp_path / "p", clock=FastClock(), source=source, planner=planner) as made:
        yield made


def rows_of(result: Any) -> dict[str, int]:
    """What a run found in the model, where there was any of it."""
    return {name: count for name, count in result.json()["rows"].items() if count}


def test_the_life_of_an_object_sync(place: Scene) -> None:
    """First run, nothing, a change, null and duplicate keys, rejections, removals cleared and deleted, guardrails."""
    place.write(ACCOUNTS, OBJECT_SYNC, on_removed="clear", batch={"rows": 7}, guardrails={"max_removed": 3})
    place.accounts(30)
    place.sql(
        "INSERT INTO accounts VALUES (NULL, 1, 'x'), ('twice', 1, 'x'), ('twice', 2, 'x'), ('nobody', 1, 'x'), "
        "('Grüße, 世界 \"🌍\"', 0.5, NULL)"
    )
    place.sandbox.add_objects("account", ['Grüße, 世界 "🌍"', "twice"])
    place.sandbox.add({"failing_ids": {"account": {"acct-5": "no good"}}})
    first = place.run(ACCOUNTS)

    assert rows_of(first) == {"queried": 35, "null_key": 1, "duplicate_key": 2, "added": 32}
    assert outcomes(first) == {"succeeded": 30, "skipped": 1, "rejected": 1}
    expected = {key: value for key, value in place.wanted().items() if key and key.startswith("acct-")}
    expected['Grüße, 世界 "🌍"'] = {"health": 0.5}
    del expected["acct-5"]
    assert place.held() == expected

    place.sandbox.state.failing_ids["account"].clear()
    place.sql(
        "DELETE FROM accounts WHERE account_id IS NULL OR account_id IN ('twice', 'nobody')",
        "UPDATE accounts SET health = 77.5 WHERE account_id = 'acct-3'",
        "DELETE FROM accounts WHERE account_id = 'acct-9'",
    )
    second = place.run(ACCOUNTS)
    third = place.run(ACCOUNTS)

    assert rows_of(second) == {"queried": 30, "unchanged": 28, "added": 1, "changed": 1, "removed": 1}
    assert not left_over(second)
    assert place.held()["acct-3"]["health"] == 77.5
    assert not any(place.held().get("acct-9", {}).values())
    assert rows_of(third) == {"queried": 30, "unchanged": 30}
    assert third.json()["requests"]["sent"] == 0

    place.sql("DELETE FROM accounts WHERE account_id LIKE 'acct-1%'")
    held = place.run(ACCOUNTS)
    place.write(ACCOUNTS, OBJECT_SYNC, on_removed="delete", batch={"rows": 7}, guardrails={"max_removed": 3})
    forced = place.run(ACCOUNTS, force=True)

    assert held.status == "held"
    assert held.exit_code == 4
    assert outcomes(forced) == {"succeeded": 11}
    gone = {key for deletion in place.sandbox.deletions for key in deletion.ids}
    assert gone == {"acct-1", *(f"acct-{at}" for at in range(10, 20))}
    assert place.snapshot(ACCOUNTS) == {key for (key,) in place.ask("SELECT account_id FROM accounts")}


def test_a_column_that_lost_its_values_and_a_model_that_lost_its_rows_still_fit_their_fields(place: Scene) -> None:
    """Some drivers name no types, and then there is no value left to see one by."""
    place.write(ACCOUNTS, OBJECT_SYNC, on_removed="clear")
    place.accounts(3)
    place.run(ACCOUNTS)
    place.sql("UPDATE accounts SET health = NULL")
    without = place.run(ACCOUNTS)
    place.sql("DELETE FROM accounts")
    emptied = place.run(ACCOUNTS, force=True)

    assert (without.status, outcomes(without)) == ("success", {"succeeded": 3})
    assert (emptied.status, outcomes(emptied)) == ("success", {"succeeded": 3})
    assert not any(any(values.values()) for values in place.held().values())


def test_the_life_of_an_event_sync(place: Scene) -> None:
    """Each row is sent once in its life, whatever comes and goes; what was refused comes back all the same."""
    place.write(EVENTS, EVENT_SYNC, batch={"rows": 16})
    place.events(60)
    place.sql("UPDATE events SET visitor_id = 'user-' || event_id")
    place.sandbox.add({"failing_ids": {"track_event": {"user-7": "no good"}}})
    first = place.run(EVENTS)
    place.sandbox.state.failing_ids["track_event"].clear()
    place.sql(
        "DELETE FROM events WHERE event_id IN (3, 7)",
        "INSERT INTO events SELECT * REPLACE (event_id + 100 AS event_id) FROM events WHERE event_id < 2",
    )
    second = place.run(EVENTS)
    place.sql("INSERT INTO events SELECT * REPLACE (3 AS event_id) FROM events WHERE event_id = 1")
    third = place.run(EVENTS)

    assert outcomes(first) == {"succeeded": 59, "rejected": 1}
    assert outcomes(second) == {"succeeded": 3}
    assert outcomes(third) == {}
    assert place.delivered() == dict.fromkeys([*range(60), 100, 101], 1)
    sent = {event["properties"]["number"]: event for event in place.sandbox.events}
    assert sent[1]["timestamp"] == 1767225601000
    assert sent[1]["properties"] == {"number": 1, "plan": "plan-1"}


def test_what_goes_wrong_in_the_warehouse_sends_nothing(place: Scene) -> None:
    """A missing table, a column that went away, a query that is cancelled; afterwards everything goes on."""
    place.write(ACCOUNTS, OBJECT_SYNC)
    place.accounts(5)
    model = place.root / "models" / f"{ACCOUNTS}.sql"
    right = model.read_text(encoding="utf-8")
    model.write_text(right.replace("from accounts", "from acounts"), encoding="utf-8")
    place.reload()
    with pytest.raises(SourceError) as missing:
        place.run(ACCOUNTS)
    model.write_text(right.replace("select *", "select account_id, plan"), encoding="utf-8")
    place.reload()
    with pytest.raises(ConfigErrors) as unknown:
        place.run(ACCOUNTS)
    kind = str(place.source["type"]).replace("sqlalchemy", "sqlite")
    model.write_text(right.partition("*/")[0] + "*/\n" + ENDLESS[kind] + "\n", encoding="utf-8")
    place.reload()
    stopped = stopped_at_once(place)
    model.write_text(right, encoding="utf-8")
    place.reload()
    after = place.run(ACCOUNTS)

    assert missing.value.problem.slug == "source-table-missing"
    assert unknown.value.problem.slug == "unknown-column"
    # Without types from its driver, the query runs to find them, before there is a run.
    assert stopped in ({"source-cancelled"} if kind == "sqlite" else {"source-cancelled", "cancelled"})
    assert outcomes(after) == {"succeeded": 5}
    assert place.held() == place.wanted()


def stopped_at_once(place: Scene) -> str:
    """How a run of an endless query ends that somebody stops, maybe before the query has begun."""
    with place.project() as project:
        project.stop.set()
        try:
            return project.run(ACCOUNTS).status
        except SourceError as error:
            return error.problem.slug


def test_values_arrive_in_pendo_as_they_are(place: Scene) -> None:
    """Types and NULLs, as the mapping asks for them."""
    wanted = {"text": "string", "whole": "integer", "real": "float", "flag": "boolean", "day": "date", "moment": "time"}
    fields = {name: {"column": name, "type": kind, "create": True} for name, kind in wanted.items()}
    place.write(ACCOUNTS, OBJECT_SYNC, fields={"custom": fields})
    place.sql(
        """CREATE OR REPLACE TABLE accounts AS SELECT * FROM (VALUES
        ('a', 'x''y "z" \\ 🌍', 7::BIGINT, 1.5::DOUBLE, true, DATE '2026-02-28',
            TIMESTAMP '2026-02-28 12:30:00.123456'),
        ('b', NULL, NULL, NULL, NULL, NULL, NULL),
        ('c', '', -1, 0, false, DATE '1970-01-01', TIMESTAMP '2026-01-01')) t
        (account_id, text, whole, "real", flag, day, moment)"""
    )
    place.sandbox.add_objects("account", ["a", "b", "c"])
    result = place.run(ACCOUNTS)

    assert outcomes(result) == {Outcome.SUCCEEDED: 3}
    held = place.held()
    assert set(held) == {"a", "c"}
    assert held["a"] == {
        "text": 'x\'y "z" \\ 🌍',
        "whole": 7,
        "real": 1.5,
        "flag": True,
        "day": "2026-02-28T00:00:00Z",
        "moment": "2026-02-28T12:30:00.123456Z",
    }
    assert held["c"] == {  # an empty text shows as no value
        "whole": -1,
        "real": 0,
        "flag": False,
        "day": "1970-01-01T00:00:00Z",
        "moment": "2026-01-01T00:00:00Z",
    }
    assert place.run(ACCOUNTS).json()["requests"]["sent"] == 0
