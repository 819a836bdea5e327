"""Snapshots in Snowflake. The schema is made in a session of its own: CREATE SCHEMA makes it the session's own schema.

What is not quoted is upper case there, and so are the names of the schema and the tables.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from connector.errors import SourceError
from connector.systems.warehouse import snowflake_errors as errors
from connector.systems.warehouse.driver import driver
from connector.systems.warehouse.snapshots import ModelColumn, StoredSnapshot, denied
from connector.systems.warehouse.snowflake import EXTRA, Snowflake, _batches, _driver, _schema
from connector.systems.warehouse.snowflake_types import folded, type_of
from connector.values import quoted

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    import pyarrow as pa

    from connector.ports import Query, WarehouseSnapshot
    from connector.systems.warehouse.snapshots import Session
    from connector.systems.warehouse.snowflake import Settings
    from connector.systems.warehouse.stream import Reading

BATCH_ROWS = 100_000
# What one INSERT carries: Snowflake takes a statement of up to 1 MB.
VALUES_ROWS, VALUES_CHARS = 10_000, 500_000
_SHORT_ESCAPES = (
    ("\\", "\\\\"),
    ('"', '\\"'),
    ("\b", "\\b"),
    ("\f", "\\f"),
    ("\n", "\\n"),
    ("\r", "\\r"),
    ("\t", "\\t"),
)


def open(settings: Settings, root: Path, sync: str) -> WarehouseSnapshot:  # noqa: A001 - the word of the registry
    """A sync's snapshot; nothing is connected to before it is needed."""
    return StoredSnapshot(SnowflakePlace(settings, root), sync)


class SnowflakePlace(Snowflake):
    """A `Place` in a Snowflake database."""

    text_type = "varchar"
    # Unique and rising, which is all that is asked of it; a row_number would sort every row.
    row_number = "seq8()"

    def __init__(self, settings: Settings, root: Path) -> None:
        super().__init__(settings, root)
        self._place = settings.state_schema.upper()

    @contextmanager
    def session(self, tag: str, *, write: bool) -> Iterator[SnowflakeSession]:  # noqa: ARG002 - it cannot promise that
        """A session; a transaction that was not committed ends with it."""
        with self._results.session(self._broke_off) as reading, self.connection(tag) as con:
            reading.stops_with(lambda: self._stop(con))
            session = SnowflakeSession(con, reading)
            if self._settings.schema_ is None and session.ask("select current_schema()") == [(None,)]:
                # Temporary tables need some schema to be in.
                session.run(f"use schema {quoted(self._place)}")
            yield session

    def describe(self, query: Query) -> list[ModelColumn]:
        """The model's columns."""
        return self._results.ask(lambda reading: self._columns(query, reading), self._broke_off)

    def model(self, query: Query, columns: Sequence[ModelColumn]) -> str:  # noqa: ARG002 - they keep their names
        """The model in parentheses."""
        return f"(\n{query.sql}\n) as model"

    def stage(self, session: Session, select: str) -> None:
        """Nothing, after making the temporary table `connector_staged`, empty, with the columns of this query."""
        session.run(f"create temporary table connector_staged as select * from ({select}) as made limit 0")

    def table(self, name: str) -> str:
        """The full name of a table of the schema."""
        return f"{quoted(self._place)}.{quoted(name.upper())}"

    def tables(self, session: Session) -> set[str]:
        """The names of the schema's tables, as far as the role may see them."""
        where = f"table_schema = {self.literal(self._place)}"
        return {
            name.lower() for (name,) in session.ask(f"select table_name from information_schema.tables where {where}")
        }

    def json_string(self, sql: str) -> str:
        """SQL for a text as a JSON string."""
        for plain, escaped in _SHORT_ESCAPES:
            sql = f"replace({sql}, {self.literal(plain)}, {self.literal(escaped)})"
        return f"'\"' || {sql} || '\"'"

    def by_bytes(self, sql: str) -> str:
        """SQL for a text that equals another only if their bytes do, as texts without a collation do."""
        return sql

    def literal(self, text: str) -> str:
        """A text as SQL."""
        return _literal(text)

    def refuse_missing_grants(self, tables: Sequence[str]) -> bool:
        """Whether these tables are there; the login may write to them. Raises SourceError with the grants it lacks.

        Whether it may make them where they are missing is known when they are made.
        """
        try:
            with self.session("connector:check", write=True) as session:
                there = self.tables(session).issuperset(tables)
                for name in tables if there else ():
                    session.run(f"delete from {self.table(name)} where 1 = 0")
        except SourceError as error:
            raise self._explained(error) from error
        return there

    def make_schema(self) -> None:
        """Nothing, after making the schema."""
        try:
            with self.connection("connector:snapshot") as con:
                cursor = con.cursor()
                try:
                    found = cursor.execute(
                        f"select 1 from information_schema.schemata where schema_name = {self.literal(self._place)}"
                    ).fetchall()
                    if not found:
                        cursor.execute(f"create schema if not exists {quoted(self._place)}")
                except _driver().Error as error:
                    raise self._broke_off(error) from error
        except SourceError as error:
            raise self._explained(error) from error

    def _explained(self, error: SourceError) -> SourceError:
        """The error with the grants to ask for, when the role lacks one."""
        number = getattr(error.__cause__, "errno", None)
        if number not in (*errors.NO_PRIVILEGE, *errors.NO_SUCH_OBJECT):
            return error
        database, role = self._settings.database or "DATABASE", self._settings.role or "ROLE"
        schema = f"{database}.{self._place}"
        grants = [
            f"create schema if not exists {schema}",
            f"grant usage, create table on schema {schema} to role {role}",
            f"grant select, insert, update, delete on all tables in schema {schema} to role {role}",
        ]
        return denied(f"schema {schema}", f"the role lacks a right for that ({error.problem.message})", grants)

    def _columns(self, query: Query, reading: Reading) -> list[ModelColumn]:
        with self.connection(query.tag) as con:
            reading.go_on()
            try:
                description = con.cursor().describe(query.sql)
            except _driver().Error as error:
                raise self._refused(error, query) from error
        constants = driver("snowflake.connector.constants", extra=EXTRA, package="snowflake-connector-python")
        names = folded([column.name for column in description])
        return [
            _column(name, column, constants.FIELD_ID_TO_NAME[column.type_code])
            for name, column in zip(names, description, strict=True)
        ]


class SnowflakeSession:
    """A `Session` on one connection."""

    def __init__(self, con: Any, reading: Reading) -> None:
        self._con = con
        self._reading = reading

    def run(self, sql: str) -> None:
        """Nothing, after running a statement."""
        self._reading.go_on()
        with self._con.cursor() as cursor:
            cursor.execute(sql)

    def ask(self, sql: str) -> list[tuple[Any, ...]]:
        """The few rows of a query."""
        self._reading.go_on()
        with self._con.cursor() as cursor:
            return list(cursor.execute(sql).fetchall())

    @contextmanager
    def read(self, sql: str) -> Iterator[pa.RecordBatchReader]:
        """The result of a query, streamed, in the types in which the source reads."""
        self._reading.go_on()
        with self._con.cursor() as cursor:
            cursor.execute(sql)
            schema = _schema(cursor.description)
            if cursor.rowcount == 0:  # the driver cannot make a table of no rows
                with self._reading.reader(schema, ()) as reader:
                    yield reader
                return
            tables = cursor.fetch_arrow_batches(force_microsecond_precision=True)
            try:
                with self._reading.reader(schema, _batches(tables, schema, BATCH_ROWS)) as reader:
                    yield reader
            finally:
                tables.close()

    def upload(self, table: str, rows: pa.RecordBatchReader) -> None:
        """Nothing, after adding rows to a temporary table, some thousands by each statement."""
        columns = ", ".join(f"column{at + 1}" for at in range(len(rows.schema)))
        waiting: list[str] = []
        size = 0
        for batch in rows:
            for row in zip(*(column.to_pylist() for column in batch.columns), strict=True):
                waiting.append(f"({', '.join(map(_value, row))})")
                size += len(waiting[-1])
                if len(waiting) >= VALUES_ROWS or size >= VALUES_CHARS:
                    self._insert(table, columns, waiting)
                    waiting, size = [], 0
        if waiting:
            self._insert(table, columns, waiting)

    def begin(self) -> None:
        """Nothing; what follows is one transaction."""
        self.run("begin")

    def commit(self) -> None:
        """Nothing, after ending it well."""
        self.run("commit")

    def keep(self) -> None:
        """Nothing: it is."""

    def seal(self) -> None:
        """Nothing: Snowflake has no session that can write to temporary tables only."""

    def _insert(self, table: str, columns: str, rows: Sequence[str]) -> None:
        self.run(f"insert into {table} select {columns} from values {', '.join(rows)}")


def _value(value: str | bool | None) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    return _literal(value)


def _literal(text: str) -> str:
    """The text as SQL; a backslash means something there."""
    for plain, escaped in (("\\", "\\\\"), ("'", "''"), ("\n", "\\n"), ("\r", "\\r"), ("\b", "\\b"), ("\f", "\\f")):
        text = text.replace(plain, escaped)
    return f"'{text}'"


def _column(name: str, column: Any, kind: str) -> ModelColumn:
    type_of(kind, name, column.precision, column.scale)  # raises for what cannot be read
    ref = f"model.{quoted(column.name)}"
    text, key = f"to_varchar({ref})", None
    match kind:
        case "FIXED":
            key = f"rtrim(rtrim({text}, '0'), '.')" if column.scale else text
        case "REAL":
            # Should the text have fewer digits than the number, the rest tells two numbers apart.
            text = f"{text} || '/' || to_varchar({ref} - to_double({text}))"
        case "TEXT":
            text = key = ref
        case "BOOLEAN":
            key = text
        case "DATE":
            text = key = _day(ref)
        case "TIMESTAMP_NTZ" | "TIMESTAMP" | "TIMESTAMP_LTZ" | "TIMESTAMP_TZ":
            text = f"to_varchar(date_part('epoch_microsecond', {ref}))"
            key = _moment(ref if kind in ("TIMESTAMP_NTZ", "TIMESTAMP") else f"convert_timezone('UTC', {ref})", ref)
        case "VARIANT" | "OBJECT" | "MAP" | "ARRAY":
            text = f"to_json({ref})"
        case "BINARY":
            text = f"hex_encode({ref})"
        case _:  # as it is written, and no key
            pass
    return ModelColumn(name, ref, quoted(column.name), text, key)


def _day(ref: str) -> str:
    """SQL for the date in ISO 8601, whatever DATE_OUTPUT_FORMAT says."""
    year, month, day = (f"to_varchar(date_part('{part}', {ref}))" for part in ("year", "month", "day"))
    return f"lpad({year}, 4, '0') || '-' || lpad({month}, 2, '0') || '-' || lpad({day}, 2, '0')"


def _moment(utc: str, ref: str) -> str:
    """SQL for the moment in ISO 8601, with microseconds where it has some."""
    hour, minute, second = (
        f"lpad(to_varchar(date_part('{part}', {utc})), 2, '0')" for part in ("hour", "minute", "second")
    )
    micros = f"mod(mod(date_part('epoch_microsecond', {ref}), 1000000) + 1000000, 1000000)"
    rest = f"case when {micros} = 0 then '' else '.' || lpad(to_varchar({micros}), 6, '0') end"
    return f"{_day(utc)} || 'T' || {hour} || ':' || {minute} || ':' || {second} || {rest} || 'Z'"
