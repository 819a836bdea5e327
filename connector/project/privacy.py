"""`redact` of a sync: which of its values may be sent and must not be written down."""

from __future__ import annotations

import json
from contextlib import closing
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Literal

import duckdb

if TYPE_CHECKING:
    from connector.ports import Cell
    from connector.project.settings import SyncBase

Form = Literal["hash", "mask"]


@dataclass(frozen=True, slots=True)
class Redaction:
    """The model's columns that are not written down, as the user names them, and what stands in their place."""

    columns: tuple[str, ...] = ()
    form: Form = "hash"

    def hides_column(self, name: str) -> bool:
        """Whether this is one of the columns; names are compared as the warehouse does, whatever their case."""
        return name.casefold() in {column.casefold() for column in self.columns}

    def hides(self, cell: Cell) -> bool:
        """Whether the cell's value comes from one of the columns, as it is or through an expression."""
        if not self.columns:
            return False
        if cell.column is not None:
            return self.hides_column(cell.column)
        names = _names_in(cell.sql or "")
        return names is None or any(map(self.hides_column, names))


NOTHING = Redaction()


def redaction_of(settings: SyncBase) -> Redaction:
    """What a sync keeps out of everything that is written down."""
    return Redaction(settings.redact, settings.redact_with)


@cache
def _names_in(sql: str) -> frozenset[str] | None:
    """Every name in the expression that could be a column's; None when it cannot be read, so that nobody knows."""
    with closing(duckdb.connect(":memory:", config={"threads": 1})) as database:
        [(text,)] = database.execute("SELECT json_serialize_sql(?::VARCHAR)", [f"SELECT ({sql})"]).fetchall()
    tree = json.loads(text)
    if tree.get("error"):
        return None
    names: set[str] = set()
    waiting = [tree]
    while waiting:
        node = waiting.pop()
        if isinstance(node, dict):
            if node.get("class") == "COLUMN_REF":
                names.update(node["column_names"])
            waiting.extend(node.values())
        elif isinstance(node, list):
            waiting.extend(node)
    return frozenset(names)
