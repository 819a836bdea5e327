"""A row's JSON: commas only between members that stand, whatever is missing."""

from __future__ import annotations

import json
from contextlib import closing
from itertools import product
from typing import Any

import duckdb
import pytest

from connector.ports import Cell, Constant, Members, Nulls, SendTime, Template, ValueType
from connector.rendering import UNSURE_MEMBERS, row_json

NOW = 1_770_000_000_000
NAMES = ("a", "b", "c", "d")


def cell(name: str, nulls: Nulls = Nulls.OMIT) -> Cell:
    return Cell(name, name, type=ValueType.STRING, nulls=nulls)


def optional(*names: str) -> tuple[tuple[str, Template], ...]:
    return tuple((name, cell(name)) for name in names)


TEMPLATES: dict[str, tuple[Template, Any]] = {
    "all may be missing": (Members(optional(*NAMES)), lambda row: row),
    "a constant in the middle": (
        Members((*optional("a", "b"), ("k", Constant("x")), *optional("c", "d"))),
        lambda row: {"k": "x"} | row,
    ),
    "one always stands": (
        Members((*optional("a", "b"), ("c", cell("c", Nulls.EMPTY)), ("d", cell("d", Nulls.NULL)))),
        lambda row: {"c": "", "d": None} | row,
    ),
    "an object first, left out when empty": (
        Members((("in", Members(optional("a", "b"), drop_empty=True)), *optional("c", "d"))),
        lambda row: (
            ({"in": {n: row[n] for n in "ab" if n in row}} if {"a", "b"} & row.keys() else {})
            | {n: row[n] for n in "cd" if n in row}
        ),
    ),
    "objects in objects, kept when empty": (
        Members(
            (
                ("t", SendTime()),
                ("out", Members((("in", Members(optional("a"))), *optional("b")))),
                ("end", Members((("deep", Members(optional("c", "d"), drop_empty=True)),), drop_empty=True)),
            )
        ),
        lambda row: (
            {
                "t": NOW,
                "out": {"in": {n: row[n] for n in "a" if n in row}} | {n: row[n] for n in "b" if n in row},
            }
            | ({"end": {"deep": {n: row[n] for n in "cd" if n in row}}} if {"c", "d"} & row.keys() else {})
        ),
    ),
}


def rendered(template: Template, rows: list[tuple[str | None, ...]]) -> list[Any]:
    staged = {cell(name, nulls): (name, ValueType.STRING) for name in NAMES for nulls in Nulls}
    with closing(duckdb.connect(":memory:")) as connection:
        connection.execute("CREATE TABLE t (a VARCHAR, b VARCHAR, c VARCHAR, d VARCHAR)")
        connection.executemany("INSERT INTO t VALUES (?, ?, ?, ?)", rows)
        found = connection.execute(f"SELECT {row_json(template, staged, str(NOW))} FROM t ORDER BY rowid").fetchall()
    return [None if text is None else json.loads(text) for (text,) in found]


@pytest.mark.parametrize("name", TEMPLATES)
def test_every_pattern_of_missing_values_gives_the_json_of_the_others(name: str) -> None:
    template, expected = TEMPLATES[name]
    rows = [
        tuple(f"\"{n}'" if stands else None for n, stands in zip(NAMES, pattern, strict=True)) for pattern in PATTERNS
    ]

    found = rendered(template, rows)

    assert found == [expected({n: v for n, v in zip(NAMES, row, strict=True) if v is not None}) for row in rows]


PATTERNS = list(product((True, False), repeat=len(NAMES)))


@pytest.mark.parametrize("count", [UNSURE_MEMBERS, UNSURE_MEMBERS + 1, 3 * UNSURE_MEMBERS])
@pytest.mark.parametrize("standing", [set[int](), {0}, {7, 39}])
def test_an_object_of_many_members_that_may_all_be_missing(count: int, standing: set[int]) -> None:
    members = [Cell(f"m{at}", f"m{at}", type=ValueType.STRING) for at in range(count)]
    staged = {
        each: (f"'v{at}'" if at in standing else "NULL::VARCHAR", ValueType.STRING) for at, each in enumerate(members)
    }
    template = Members((("k", Members(tuple((each.label, each) for each in members))),))
    with closing(duckdb.connect(":memory:")) as connection:
        text = connection.execute(f"SELECT {row_json(template, staged, '0')}").fetchall()[0][0]

    assert json.loads(text) == {"k": {f"m{at}": f"v{at}" for at in sorted(standing)}}


def test_an_object_that_is_left_out_is_null() -> None:
    template = Members(optional("a", "b"), drop_empty=True)

    assert rendered(template, [(None, None, "x", "y"), (None, "b", None, None)]) == [None, {"b": "b"}]
