"""What counts as a change is the same with both planners, for values that are nearly alike; and `connector state`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.e2e.project import ACCOUNTS, OBJECT_SYNC, Scene, scene

if TYPE_CHECKING:
    from pathlib import Path

SOURCES = ("duckdb", "postgres", pytest.param("snowflake", marks=pytest.mark.slow))
COLUMNS = {
    "plan": "VARCHAR",
    "note": "VARCHAR",
    "health": "DOUBLE",
    "whole": "BIGINT",
    "amount": "DECIMAL(18, 4)",
    "at": "TIMESTAMP",
    "day": "DATE",
    "flag": "BOOLEAN",
}
FIELDS: dict[str, Any] = {
    "custom": {name: {"column": name, "create": True, "nulls": "empty"} for name in ("plan", "note")}
    | {name: {"column": name, "create": True} for name in ("health", "whole", "amount", "at", "day", "flag")}
}
# Values before and after, by the key of the row; what is not named is NULL.
ALIKE: dict[str, tuple[dict[str, str], dict[str, str]]] = {
    "a space more": ({"plan": "'a'"}, {"plan": "'a '"}),
    "another case": ({"plan": "'A'"}, {"plan": "'a'"}),
    "an accent on its own": (
        {"plan": "'\N{LATIN SMALL LETTER E WITH ACUTE}'"},
        {"plan": "'e\N{COMBINING ACUTE ACCENT}'"},
    ),
    "a letter moved": ({"plan": "'ab'", "note": "'c'"}, {"plan": "'a'", "note": "'bc'"}),
    "the other column": ({"plan": "'a'"}, {"note": "'a'"}),
    "a dash for nothing": ({}, {"plan": "'-'"}),
    "a length in the text": ({"plan": "'1:a'"}, {"plan": "'1'", "note": "'a'"}),
    "the last bit": ({"health": "0.3::DOUBLE"}, {"health": "0.1::DOUBLE + 0.2::DOUBLE"}),
    "beyond a float": ({"whole": "9007199254740993"}, {"whole": "9007199254740992"}),
    "the last digit": ({"amount": "1.1000"}, {"amount": "1.1001"}),
    "a second": ({"at": "TIMESTAMP '2026-01-01 00:00:00'"}, {"at": "TIMESTAMP '2026-01-01 00:00:01'"}),
    "a day": ({"day": "DATE '2026-01-01'"}, {"day": "DATE '2026-01-02'"}),
    "the other flag": ({"flag": "true"}, {"flag": "false"}),
    "a flag for nothing": ({}, {"flag": "false"}),
}
# Written otherwise, and the same.
SAME: dict[str, tuple[dict[str, str], dict[str, str]]] = {
    "zeros behind": ({"amount": "1.1"}, {"amount": "1.1000"}),
    "a sum": ({"whole": "3"}, {"whole": "1 + 2"}),
    "as it was": ({"plan": "'x'", "at": "TIMESTAMP '2026-01-01'"}, {"plan": "'x'", "at": "TIMESTAMP '2026-01-01'"}),
}


def table(which: int) -> str:
    """SQL that makes the table, before (0) or after (1)."""
    rows = []
    for key, sides in {**ALIKE, **SAME}.items():
        values = [f"CAST({sides[which].get(name, 'NULL')} AS {kind}) AS {name}" for name, kind in COLUMNS.items()]
        rows.append(f"SELECT '{key}' AS account_id, {', '.join(values)}")
    return "CREATE OR REPLACE TABLE accounts AS " + " UNION ALL ".join(rows)


def changed(place: Scene) -> set[str]:
    """The keys of the rows that the second of two runs found changed."""
    place.write(ACCOUNTS, OBJECT_SYNC, fields=FIELDS)
    place.sandbox.add_objects("account", [*ALIKE, *SAME])
    place.sql(table(0))
    assert place.run(ACCOUNTS).status == "success"
    place.sql(table(1))
    result = place.run(ACCOUNTS)
    with place.project() as project:
        return {row["key"] for row in project.rows(result.run.run_id) if row["change"] == "changed"}


@pytest.mark.filterwarnings("ignore:Arrow output on a DB-API result")
@pytest.mark.parametrize("source", SOURCES)
def test_values_that_are_nearly_alike_are_told_apart_by_both_planners(tmp_path: Path, source: str) -> None:
    found = {}
    for planner in ("local", "warehouse"):
        with scene(tmp_path / planner, source=source, planner=planner) as place:
            found[planner] = changed(place)

    assert found == {"local": set(ALIKE), "warehouse": set(ALIKE)}


@pytest.mark.parametrize("planner", ["local", "warehouse"])
def test_numbers_and_times_that_arrow_cannot_hold_arrive_whole(tmp_path: Path, planner: str) -> None:
    sql = (
        "CREATE OR REPLACE TABLE accounts AS SELECT 340282366920938463463374607431768211455::UHUGEINT AS account_id, "
        "'12:30:00+02'::TIMETZ AS plan"
    )
    with scene(tmp_path / "p", source="duckdb", planner=planner) as place:
        place.write(ACCOUNTS, OBJECT_SYNC, fields={"custom": {"plan": {"column": "plan", "create": True}}})
        place.sandbox.add_objects("account", ["340282366920938463463374607431768211455"])
        place.sql(sql)
        results = [place.run(ACCOUNTS), place.run(ACCOUNTS)]
        held = place.sandbox.accounts["340282366920938463463374607431768211455"]["custom"]

    assert held == {"plan": "12:30:00+02"}
    assert [result.json()["rows"]["unchanged"] for result in results] == [0, 1]


def command(place: Scene, *words: str) -> tuple[int, str, str]:
    """Exit code and output of the command line."""
    with place.start(*words) as started:
        out, err = started.communicate(timeout=120)
        return started.returncode, out, err


def test_the_command_moves_a_snapshot_and_says_where_it_is(tmp_path: Path) -> None:
    with scene(tmp_path / "p", source="duckdb", planner="local") as place:
        place.write(ACCOUNTS, OBJECT_SYNC)
        place.accounts(3)
        place.run(ACCOUNTS)
        moved = command(place, "state", "move", ACCOUNTS, "--to", "warehouse")
        again = command(place, "state", "move", ACCOUNTS, "--to", "warehouse", "--json")
        refused = command(place, "run", ACCOUNTS)
        place.planner = "warehouse"
        place.point_at()
        ran = command(place, "run", ACCOUNTS, "--json")
        unknown = command(place, "state", "move", "acounts", "--to", "local")

    assert moved == (0, "the snapshot of 'accounts' is kept in the warehouse: 3 rows\n", "")
    assert json.loads(again[1]) == {"sync": "accounts", "planner": "warehouse", "rows": 3}
    assert refused[0] == 3
    assert "connector state move accounts --to local" in refused[2]
    assert (ran[0], json.loads(ran[1])[0]["rows"]["unchanged"]) == (0, 3)
    assert unknown[0] == 1
    assert "did you mean 'accounts'?" in unknown[2]
