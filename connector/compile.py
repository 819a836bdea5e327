"""A sync's mapping, compiled once into SQL: key, id, values, problem, fingerprint, and each route's JSON.

Rows stay columnar. The staged columns are named v0, v1, ... so that no name of the user's reaches the generated SQL
but through `quoted`. The dialect is DuckDB's: the comparison and the rendering happen there.
"""

from __future__ import annotations

import difflib
import re
from base64 import b64encode
from dataclasses import dataclass
from functools import cache
from hashlib import md5
from typing import TYPE_CHECKING

import duckdb

from connector.covering import Cover, cover_of
from connector.errors import ConfigErrors, Problem
from connector.ports import UNTYPED, Cell, Change, Constant, Members, Route, SendTime, Template, ValueType
from connector.project.privacy import NOTHING, Redaction
from connector.rendering import json_dumps, row_json
from connector.values import (
    Kind,
    always_fits,
    kind_of,
    marked_text,
    plain_text,
    quoted,
    quoted_text,
    typed,
    unfit_reason,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    import pyarrow as pa

ID_LABEL = "match"  # the cell that a destination labels so is the row's id there
SEND_TIME = "getvariable('send_time_ms')"


@dataclass(frozen=True, slots=True)
class Value:
    """One typed column of the staged rows: its name, its SQL over the model's columns, and what it becomes."""

    name: str
    sql: str
    type: ValueType


@dataclass(frozen=True, slots=True)
class Caution:
    """Something that is allowed and likely unwanted: SQL over the staged columns that is true for such a row."""

    slug: str
    message: str
    sql: str


@dataclass(frozen=True, slots=True)
class Projection:
    """The compiled mapping.

    `key`, `id` and `values` are SQL over the model's columns, `problem` over these and over the values by their names.
    `fingerprint` and `fragments` (by route) are SQL over the staged columns, where `id` and the values' names stand.
    `types` says by label what each cell becomes.
    """

    key: str
    id: str
    values: tuple[Value, ...]
    problem: str
    fingerprint: str
    fragments: Mapping[str, str]
    types: Mapping[str, ValueType]
    own_id: bool
    cautions: tuple[Caution, ...] = ()
    cover: Cover | None = None

    def staged(self, rows: str, more: str = "") -> str:
        """SQL for what is staged of `rows`, a table like the model: key, id where it is another one, problem, values.

        Two selects, so that a check of a value does not make the value once more. `more` is added to the outer one.
        """
        values = "".join(f", {value.sql} AS {value.name}" for value in self.values)
        names = "".join(f", {value.name}" for value in self.values)
        own_id = f", {self.id} AS id" if self.own_id else ""
        chosen = f"{self.key} AS key{own_id}, {self.problem} AS problem{names}{more}"
        return f"SELECT {chosen} FROM (SELECT *{values} FROM {rows})"


def compile_sync(
    routes: Sequence[Route],
    primary_key: Sequence[str],
    columns: pa.Schema,
    *,
    at: Callable[..., str],
    key_at: str,
    model: str,
    redaction: Redaction = NOTHING,
) -> Projection:
    """The projection of a sync over a model with these columns.

    Raises ConfigErrors with every column that is missing, every expression that does not fit, every type that cannot
    be sent. `at("model")` is where the sync names its model, `key_at` where the model names its key.
    """
    return _Compiler(columns, at, key_at, model, redaction).compile(routes, primary_key)


@cache
def _database() -> duckdb.DuckDBPyConnection:
    """An empty database, made once: that takes 15 ms of CPU, and a project may have fifty syncs."""
    connection = duckdb.connect(":memory:")
    connection.execute("SET GLOBAL TimeZone = 'UTC'")  # of every cursor
    return connection


class _Compiler:
    def __init__(
        self, columns: pa.Schema, at: Callable[..., str], key_at: str, model: str, redaction: Redaction
    ) -> None:
        self.columns = columns
        self.at = at
        self.key_at = key_at
        self.redaction = redaction
        self.model = model
        self.problems: list[Problem] = []
        self.names = self._fold(columns.names)
        self.letter = "v"
        while any(re.fullmatch(rf"{self.letter}\d+", name) for name in self.names):
            self.letter += "_"
        self.connection = _database().cursor()
        if not self.problems:
            self.connection.register("model", columns.empty_table())
        self.values: dict[Cell, Value] = {}
        self.checks: list[str] = []

    def compile(self, routes: Sequence[Route], primary_key: Sequence[str]) -> Projection:
        if self.problems:  # names that stand for two columns: nothing can be asked about them
            raise ConfigErrors(tuple(self.problems))
        keys = [sql for name in primary_key if (sql := self._key_part(name)) is not None]
        for place, name in enumerate(self.redaction.columns):
            self._column(name, "redact", self.at("redact", place))
        for route in routes:
            for cell in cells(route.template):
                self._value(cell)
        if self.problems:
            raise ConfigErrors(tuple(self.problems))
        key = keys[0] if len(keys) == 1 else _composite(keys)
        id_cell = next((cell for cell in self.values if cell.label == ID_LABEL), None)
        id_sql = key if id_cell is None else self.values[id_cell].sql
        own_id = id_cell is not None and id_sql != key
        staged = {cell: "id" if cell == id_cell else value.name for cell, value in self.values.items()}
        fragments = {route.name: self._render(route.template, staged, SEND_TIME) for route in routes}
        places = {cell: (staged[cell], value.type) for cell, value in self.values.items()}
        upserts = [route.template for route in routes if Change.ADDED in route.changes]
        problem = f"nullif(concat_ws('; ', {', '.join(self.checks)}), '')" if self.checks else "NULL::VARCHAR"
        return Projection(
            key=key,
            id=id_sql,
            values=tuple(value for cell, value in self.values.items() if cell != id_cell),
            problem=problem,
            fingerprint=self._fingerprint(upserts, staged, None if own_id else id_cell),
            fragments=fragments,
            types={cell.label: value.type for cell, value in self.values.items() if not self._is_untyped(cell)},
            own_id=own_id,
            cautions=tuple(caution for route in routes for caution in self._cautions("", route.template, staged)),
            cover=cover_of(routes, primary_key, places, self.redaction, id_cell) if self.redaction.columns else None,
        )

    def _cautions(self, name: str, template: Template, staged: Mapping[Cell, str]) -> Iterator[Caution]:
        if isinstance(template, Cell) and template.age_s is not None:
            # The cell is milliseconds since 1970, and so is the time of the run.
            old = f"{staged[template]} < {SEND_TIME} - {template.age_s * 1000}"
            days = template.age_s // 86400
            yield Caution("old-times", f"{template.label} is more than {days} days ago", old)
        elif isinstance(template, Members):
            if template.caution_bytes is not None:
                large = f"strlen({self._render(template, staged, '0')}) > {template.caution_bytes}"
                yield Caution("large-objects", f"{name} is larger than {template.caution_bytes} bytes", large)
            for member, inner in template.members:
                yield from self._cautions(member, inner, staged)

    def _fold(self, names: Sequence[str]) -> dict[str, str]:
        folded: dict[str, str] = {}
        for name in names:
            if name.lower() in folded:
                self.problems.append(
                    Problem(
                        f"model '{self.model}' returns two columns named '{name}'",
                        "duplicate-column",
                        self.at("model"),
                        "give one of them another name in the model (... as other_name)",
                    )
                )
            folded[name.lower()] = name
        return folded

    def _column(self, name: str, label: str, at: str | None) -> str | None:
        actual = self.names.get(name.lower())
        if actual is None:
            near = difflib.get_close_matches(name.lower(), self.names, n=1)
            hint = f"did you mean '{self.names[near[0]]}'? " if near else ""
            self.problems.append(
                Problem(
                    f"{label} uses column '{name}', which model '{self.model}' does not return",
                    "unknown-column",
                    at,
                    f"{hint}columns: {', '.join(self.names.values())}",
                )
            )
            return None
        return quoted(actual)

    def _key_part(self, name: str) -> str | None:
        sql = self._column(name, "primary_key", self.key_at)
        if sql is None or self.problems:
            return None
        kind = self._kind(sql)
        if kind in (Kind.BLOB, Kind.LIST, Kind.NESTED):
            self.problems.append(
                Problem(
                    f"primary key column '{name}' of model '{self.model}' is a {kind.value}, which cannot be a key",
                    "unfit-key",
                    self.key_at,
                    "use a text, number or date column, or make one in the model",
                )
            )
            return None
        text = plain_text(sql, kind)
        return f"CASE WHEN isfinite({sql}) THEN {text} END" if kind is Kind.REAL else text

    def _kind(self, sql: str) -> Kind:
        described = self.connection.sql(f"SELECT {sql} FROM model").types[0]
        return kind_of(str(described))

    def _value(self, cell: Cell) -> None:
        if cell in self.values:
            return
        sql = self._column(cell.column, cell.label, cell.at) if cell.column is not None else self._expression(cell)
        if sql is None or self.names == {}:
            return
        try:
            kind = self._kind(sql)
        except duckdb.Error as error:
            self.problems.append(_bad_expression(cell, error))
            return
        wanted = cell.type or kind.default
        reason = unfit_reason(kind, wanted)
        if wanted is None or reason is not None:
            hint = reason or f"a {kind.value} has no form in JSON: convert it with `sql:`"
            self.problems.append(
                Problem(f"{cell.label} cannot be sent as {wanted or 'anything'}", "unfit-type", cell.at, hint)
            )
            return
        safe = f"{_tried(sql)}.v" if cell.sql is not None else sql
        value = Value(f"{self.letter}{len(self.values)}", typed(safe, kind, wanted), wanted)
        self.values[cell] = value
        tests = _tests(cell, sql, safe, value, kind, hidden=self.redaction.hides(cell))
        if tests:
            self.checks.append(f"CASE {' '.join(tests)} END")

    def _is_untyped(self, cell: Cell) -> bool:
        """Whether nobody has said what the cell holds: neither the sync nor the warehouse."""
        if cell.type is not None or cell.column is None:
            return False
        return bool(self.columns.field(self.names[cell.column.lower()]).metadata == UNTYPED)

    def _expression(self, cell: Cell) -> str | None:
        if cell.sql is None:
            msg = f"{cell.label}: a cell has a column or an expression"
            raise AssertionError(msg)
        return f"({cell.sql})"

    def _render(self, template: Template, staged: Mapping[Cell, str], send_time: str) -> str:
        return row_json(template, {cell: (staged[cell], value.type) for cell, value in self.values.items()}, send_time)

    def _fingerprint(self, templates: Sequence[Template], staged: Mapping[Cell, str], keyed: Cell | None) -> str:
        """SQL for a number that differs when a row's JSON does: of its values, and of the form they are put into.

        Of the values as they are stored, because to render them first would take longer than all the rest; and of
        short texts, because MD5 takes most of the time, for each 64 bytes. The cell `keyed` is the row's key.
        """
        form = json_dumps([_form(template, self.values) for template in templates])
        digest = b64encode(md5(form.encode(), usedforsecurity=False).digest()[:6]).decode()
        # By name, as `_form`: to write the same fields in another order is no change.
        each = (cell for template in templates for cell in cells(template) if cell != keyed)
        used = sorted(dict.fromkeys(each), key=lambda cell: cell.label)
        # A NULL is left out, and no other value is empty: a text that is not NULL ends in a character of its own.
        texts = [f"chr(0), {marked_text(staged[cell], self.values[cell].type)}" for cell in used]
        return f"md5_number(concat({', '.join([quoted_text(digest), 'problem', *texts])}))"


def cells(template: Template) -> Iterator[Cell]:
    """Every cell of a template, in the order of its members."""
    if isinstance(template, Cell):
        yield template
    elif isinstance(template, Members):
        for _, inner in template.members:
            yield from cells(inner)


def _form(template: Template, values: Mapping[Cell, Value]) -> object:
    """What the JSON of every row has in common, whatever the order of its members."""
    match template:
        case Cell():
            return ["cell", values[template].type.value, template.nulls.value]
        case Constant(value):
            return ["constant", value]
        case SendTime():
            return ["send time"]
        case Members(members, drop_empty):
            return ["members", drop_empty, sorted([name, _form(inner, values)] for name, inner in members)]


def _composite(parts: Sequence[str]) -> str:
    """A JSON array of texts; NULL when any part is NULL."""
    anything_null = " OR ".join(f"({part}) IS NULL" for part in parts)
    return f"CASE WHEN NOT ({anything_null}) THEN to_json([{', '.join(parts)}])::VARCHAR END"


def _tried(sql: str) -> str:
    """The value in a struct, or NULL where the expression failed: TRY alone gives NULL for both a failure and a NULL.

    Always written the same way, whole: DuckDB moves what two expressions share out of the TRY that should guard it.
    """
    return f"TRY(struct_pack(v := {sql}))"


def _tests(cell: Cell, sql: str, safe: str, value: Value, kind: Kind, *, hidden: bool) -> list[str]:
    """SQL, as branches of a CASE, for the reasons why this cell makes the row unfit; a hidden value is in none."""
    label = quoted_text(cell.label)
    stored = value.sql if cell.label == ID_LABEL else value.name  # the id is staged beside the values
    tests = []
    if cell.sql is not None:
        tests.append(f"WHEN {_tried(sql)} IS NULL THEN {label} || ': the expression failed on this row'")
    if cell.required:
        tests.append(f"WHEN ({safe}) IS NULL THEN {label} || ' is empty (NULL)'")
    if value.type is ValueType.ID:
        # Whatever is blank sorts before '!', and to compare is far cheaper than to trim.
        tests.append(f"WHEN {stored} < '!' AND trim({stored}) = '' THEN {label} || ' is blank'")
    if cell.never:
        listed = ", ".join(quoted_text(text) for text in cell.never)
        named = "'a text that is no id'" if hidden else f"to_json({stored})::VARCHAR"
        tests.append(f"WHEN {stored} IN ({listed}) THEN {label} || ' is ' || {named}")
    if cell.ahead_s is not None:
        # The cell is milliseconds since 1970, and so is the time of the run.
        late = f"{stored} > {SEND_TIME} + {cell.ahead_s * 1000}"
        tests.append(f"WHEN {late} THEN {label} || ' is in the future'")
    shown = "'a value that is redacted'" if hidden else f"to_json(left({plain_text(safe, kind)}, 100))::VARCHAR"
    article = {"integer": "an integer", "list": "a list", "epoch_ms": "a time"}.get(value.type, f"a {value.type}")
    if not always_fits(kind, value.type):
        tests.append(
            f"WHEN ({safe}) IS NOT NULL AND {stored} IS NULL "
            f"THEN {label} || ': ' || {shown} || ' cannot be read as {article}'"
        )
    return tests


def _bad_expression(cell: Cell, error: duckdb.Error) -> Problem:
    first = str(error).strip().splitlines()[0]
    message = f"{cell.label}: the expression does not work: {first}"
    return Problem(message, "bad-expression", cell.at, "it is DuckDB SQL over the model's columns")
