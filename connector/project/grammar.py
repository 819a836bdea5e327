"""DuckDB's own parser and catalog, asked about SQL that is not run: the judge of what DuckDB will understand."""

from __future__ import annotations

import json
from contextlib import closing
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Self

import duckdb

from connector.project.names import nearest

if TYPE_CHECKING:
    from collections.abc import Iterator

NEVER = {
    "SUBQUERY": "it holds a query of its own; put that into the model",
    "WINDOW": "it holds a window function, which looks at other rows; put that into the model",
    "STAR": "it holds *, which is more than one value",
    "PARAMETER": "it holds a parameter (? or $1), and there is nothing to fill it with",
    "POSITIONAL_REFERENCE": "it names a column by its position (#1); write the column's name",
    "DEFAULT": "DEFAULT is not a value",
}

# Not in the catalog as what they are: they make several rows of one.
UNNESTING = frozenset({"unnest", "unlist"})


@dataclass(frozen=True, slots=True)
class SyntaxSlip:
    """Where DuckDB's parser stopped (the offset of a character), and what it said."""

    offset: int
    message: str


@dataclass(frozen=True, slots=True)
class _Function:
    """One name of the catalog. `macros` are the definitions of those that are only shorthand."""

    kinds: frozenset[str]
    varies: bool
    macros: tuple[str, ...]


class Grammar:
    """DuckDB without a database. It is opened when it is first asked, and only parses: nothing of a user's SQL runs."""

    def __enter__(self) -> Self:
        """Itself, not opened yet."""
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing, after closing it."""
        if "_database" in self.__dict__:
            self._database.close()

    def select_slip(self, sql: str) -> SyntaxSlip | None:
        """Where DuckDB cannot parse the query, or None when it can, or cannot tell."""
        answer = self._parsed(sql)
        if not answer["error"] or answer["error_type"] != "parser":
            return None
        offset = len(sql.encode()[: int(answer.get("position", 0))].decode(errors="ignore"))
        return SyntaxSlip(offset, _first_line(answer["error_message"]))

    def expression_problem(self, sql: str) -> str | None:
        """Why the text is not one value computed from one row's columns, as half a sentence; None when it is."""
        if not sql.strip():
            return "it is empty"
        if "\0" in sql:
            return "it holds a NUL character"
        # In parentheses nothing but an expression is valid; without them, `a, b` shows as two.
        enclosed, bare = self._parsed(f"SELECT (\n{sql}\n)"), self._parsed(f"SELECT\n{sql}\n")
        if enclosed["error"]:
            return f"DuckDB cannot read it as one expression: {_first_line(enclosed['error_message'])}"
        if bare["error"] or len(bare["statements"]) != 1 or len(bare["statements"][0]["node"]["select_list"]) != 1:
            return "it is more than one expression"
        return self._reason(enclosed["statements"][0]["node"]["select_list"][0])

    def _reason(self, expression: Any) -> str | None:
        for node in _nodes(expression):
            if node.get("class") in NEVER:
                return NEVER[node["class"]]
            if node.get("class") == "FUNCTION" and (reason := self._function_reason(node["function_name"])):
                return reason
        return None

    def _function_reason(self, name: str) -> str | None:
        function = self._functions.get(name.casefold())
        if function is None:
            meant = nearest(name, self._scalars)
            return f"DuckDB has no function '{name}'" + (f"; did you mean '{meant}'?" if meant else "")
        if name.casefold() in UNNESTING:
            return f"{name} makes several rows of one; put it into the model"
        if not function.kinds & {"scalar", "macro"}:
            return {
                "aggregate": f"{name} is an aggregate, which looks at all rows; put it into the model",
                "window": f"{name} is a window function, which looks at other rows; put it into the model",
            }.get(min(function.kinds), f"{name} is not a function of values")
        if function.varies:
            return f"{name} gives another value each time it is asked; put it into the model, or leave it out"
        for definition in function.macros:
            if self._reason(self._parsed(f"SELECT ({definition})")["statements"]):
                return f"{name} looks at more than one value; put it into the model"
        return None

    def _parsed(self, sql: str) -> Any:
        with closing(self._database.cursor()) as cursor:
            try:
                [(text,)] = cursor.execute("SELECT json_serialize_sql(?::VARCHAR)", [sql]).fetchall()
            except duckdb.Error as error:
                return {"error": True, "error_type": "other", "error_message": str(error)}
        try:
            return json.loads(text)
        except RecursionError:
            return {"error": True, "error_type": "other", "error_message": "it is nested too deeply"}

    @cached_property
    def _database(self) -> duckdb.DuckDBPyConnection:
        return duckdb.connect(":memory:", config={"threads": 1})

    @cached_property
    def _functions(self) -> dict[str, _Function]:
        with closing(self._database.cursor()) as cursor:
            rows = cursor.execute(
                "SELECT lower(function_name), list(DISTINCT function_type), bool_or(stability = 'VOLATILE'), "
                "list(DISTINCT macro_definition) FILTER (function_type = 'macro') "
                "FROM duckdb_functions() GROUP BY 1"
            ).fetchall()
        return {name: _Function(frozenset(kinds), bool(varies), tuple(m or ())) for name, kinds, varies, m in rows}

    @cached_property
    def _scalars(self) -> list[str]:
        return [name for name, function in self._functions.items() if function.kinds & {"scalar", "macro"}]


def _first_line(message: str) -> str:
    return message.splitlines()[0] if message else message


def _nodes(tree: Any) -> Iterator[dict[str, Any]]:
    """Every object of the tree, from the outside to the inside."""
    waiting = [tree]
    while waiting:
        node = waiting.pop()
        if isinstance(node, dict):
            yield node
            waiting.extend(reversed(node.values()))
        elif isinstance(node, list):
            waiting.extend(reversed(node))
