"""What a mapping looks at: the model's columns it uses, and whether it looks at the clock as well."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import duckdb

from connector.compile import ID_LABEL, cells

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from connector.ports import Cell, Route

# Functions whose value depends on more than their arguments, beside those that DuckDB's catalog says so of.
_CLOCKS = {"age", "ago", "current_date", "current_time", "current_timestamp", "localtime", "localtimestamp", "user"}


@dataclass(frozen=True, slots=True)
class Uses:
    """Columns by the names the model gives them, in its order.

    `moving`: the same row may mean another value at another time, so that its columns alone do not tell.
    """

    columns: tuple[str, ...]
    key: tuple[str, ...]
    id: str | None
    moving: bool


def uses_of(routes: Sequence[Route], primary_key: Sequence[str], names: Sequence[str]) -> Uses:
    """What the templates of these routes look at; every column that is named exists."""
    actual = {name.lower(): name for name in names}
    found = dict.fromkeys(actual[name.lower()] for name in primary_key)
    own_id: str | None = None
    moving = False
    for cell in dict.fromkeys(cell for route in routes for cell in cells(route.template)):
        moving = moving or cell.ahead_s is not None
        if cell.column is not None:
            found[actual[cell.column.lower()]] = None
            if cell.label == ID_LABEL and own_id is None:
                own_id = actual[cell.column.lower()]
            continue
        named, depends = _of_expression(cell)
        moving = moving or depends
        found |= dict.fromkeys(actual[name] for name in (actual if named is None else named) if name in actual)
    key = tuple(actual[name.lower()] for name in primary_key)
    return Uses(tuple(name for name in names if name in found), key, None if key == (own_id,) else own_id, moving)


def _of_expression(cell: Cell) -> tuple[set[str] | None, bool]:
    """The names an expression uses, in small letters (None: any), and whether it looks at more than its columns."""
    with duckdb.connect(":memory:") as connection:
        [(text,)] = connection.execute("SELECT json_serialize_sql(?::VARCHAR)", [f"SELECT ({cell.sql})"]).fetchall()
        parsed = json.loads(text)
        if parsed["error"]:
            return None, True
        unstable = "SELECT DISTINCT lower(function_name) FROM duckdb_functions() WHERE stability <> 'CONSISTENT'"
        clocks = _CLOCKS | {name for (name,) in connection.execute(unstable).fetchall()}
    named: set[str] = set()
    for node in _nodes(parsed):
        if node.get("class") in ("STAR", "POSITIONAL_REFERENCE", "SUBQUERY"):
            return None, True
        # `a.b` may be the column a, whose part is b, or the column b of the table a.
        named |= {name.lower() for name in node.get("column_names", ()) if node.get("class") == "COLUMN_REF"}
        named |= {node["function_name"].lower()} if node.get("class") == "FUNCTION" else set()
    return named, bool(named & clocks)


def _nodes(tree: Any) -> Iterator[dict[str, Any]]:
    waiting = [tree]
    while waiting:
        node = waiting.pop()
        if isinstance(node, dict):
            yield node
            waiting.extend(node.values())
        elif isinstance(node, list):
            waiting.extend(node)
