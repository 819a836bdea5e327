"""Rows: what a change and its outcome are, and one row's JSON as a template of cells."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

Json = None | bool | int | float | str | list[Any] | dict[str, Any]


class Change(StrEnum):
    """How a row differs from what the destination accepted before."""

    ADDED = "added"
    CHANGED = "changed"
    REMOVED = "removed"


class Outcome(StrEnum):
    """What became of a change, from the best to the worst; a row with several requests gets its worst one."""

    SUCCEEDED = "succeeded"
    SKIPPED = "skipped"
    NOT_ATTEMPTED = "not_attempted"
    IN_DOUBT = "in_doubt"
    REJECTED = "rejected"
    QUARANTINED = "quarantined"


class ValueType(StrEnum):
    """What a value becomes on the wire."""

    STRING = "string"
    INTEGER = "integer"
    FLOAT = "float"
    BOOLEAN = "boolean"
    DATE = "date"  # midnight UTC, ISO 8601 with Z
    TIME = "time"  # ISO 8601 with Z
    LIST = "list"
    ID = "id"  # text without `.0` or exponent, never blank
    EPOCH_MS = "epoch_ms"  # milliseconds since 1970 as a number


class Nulls(StrEnum):
    """What a NULL cell does to its member of the JSON object."""

    OMIT = "omit"
    EMPTY = "empty"
    NULL = "null"


@dataclass(frozen=True, slots=True)
class Cell:
    """One value of a row: where it comes from, what it becomes, and what a NULL does.

    Exactly one of `column`, `sql` is set. `label` is what the user calls it in the sync config, for messages;
    `at` is `file:line:col`. `required`: a NULL rejects the row. `never`: texts that reject the row.
    For a time: one further than `ahead_s` in the future rejects the row, one older than `age_s` earns a caution.
    """

    label: str
    column: str | None = None
    sql: str | None = None
    type: ValueType | None = None
    nulls: Nulls = Nulls.OMIT
    required: bool = False
    at: str | None = None
    never: tuple[str, ...] = ()
    ahead_s: int | None = None
    age_s: int | None = None


@dataclass(frozen=True, slots=True)
class Constant:
    """The same JSON value on every row."""

    value: Json


@dataclass(frozen=True, slots=True)
class SendTime:
    """The moment the request is built, as epoch milliseconds."""


@dataclass(frozen=True, slots=True)
class Members:
    """A JSON object, its members in this order. With `drop_empty` an object without members is left out.

    An object of more than `caution_bytes` of JSON earns a caution.
    """

    members: tuple[tuple[str, Template], ...]
    drop_empty: bool = False
    caution_bytes: int | None = None


Template = Cell | Constant | SendTime | Members


@dataclass(frozen=True, slots=True)
class Route:
    """One kind of request of a sync: which changes go there, a row's JSON on it, and how many rows fit.

    `repeatable`: sending a row twice leaves the destination as sending it once does. `min_interval_s`: the least
    time between two requests on this route, whatever the rate. For removed rows the template may use `id` only.
    """

    name: str
    changes: frozenset[Change]
    template: Template
    max_rows: int
    max_bytes: int
    repeatable: bool = True
    min_interval_s: float = 0.0
