"""Snapshots in PostgreSQL. A comparison is one transaction, which makes its temporary tables and then is read-only.

So a connection pooler in between may hand on the session afterwards, and a model that calls a function which writes is
refused here as it is where rows are only read.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from connector.systems.warehouse.postgres import (
    FETCHED_ROWS,
    Postgres,
    _as_integers,
    _asked,
    _batches,
    _psycopg,
    _quietly,
    _schema,
    columns_of,
)
from connector.systems.warehouse.postgres_types import type_of
from connector.systems.warehouse.snapshots import ModelColumn, StoredSnapshot, denied
from connector.values import quoted, quoted_text

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from connector.ports import Query, WarehouseSnapshot
    from connector.systems.warehouse.postgres import Settings
    from connector.systems.warehouse.postgres_types import Column
    from connector.systems.warehouse.snapshots import Session
    from connector.systems.warehouse.stream import Reading

# Texts of floats and dates that lose nothing, whatever the role or the database has set.
_TEXTS = {"extra_float_digits": "3", "datestyle": "ISO, YMD", "intervalstyle": "postgres", "bytea_output": "hex"}
_RIGHTS = """
select current_user::text, current_database()::text, pg_is_in_recovery(),
    has_database_privilege(current_database(), 'temporary'), has_database_privilege(current_database(), 'create'),
    n.oid is not null, coalesce(has_schema_privilege(n.oid, 'usage'), false),
    coalesce(has_schema_privilege(n.oid, 'create'), false)
from (select 1) as one left join pg_catalog.pg_namespace n on n.nspname = %s
"""
_TABLES = """
select c.relname::text, has_table_privilege(c.oid, 'select') and has_table_privilege(c.oid, 'insert')
    and has_table_privilege(c.oid, 'update') and has_table_privilege(c.oid, 'delete')
from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
where n.nspname = %s and c.relkind in ('r', 'p')
"""


def open(settings: Settings, root: Path, sync: str) -> WarehouseSnapshot:  # noqa: A001, ARG001 - the registry's words
    """A sync's snapshot; nothing is connected to before it is needed."""
    return StoredSnapshot(PostgresPlace(settings), sync)


class PostgresPlace(Postgres):
    """A `Place` in a PostgreSQL database."""

    # Two texts are the same when their bytes are, whatever the database's own rules.
    text_type = 'text collate "C"'
    row_number = "row_number() over ()"

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        self._place = settings.state_schema

    @contextmanager
    def session(self, tag: str, *, write: bool) -> Iterator[PostgresSession]:  # noqa: ARG002 - `seal` says it
        """A session that is one transaction."""
        with self._results.session(self._broke_off) as reading, self._connection(tag) as con:
            reading.stops_with(lambda: _quietly(con.cancel_safe, _psycopg().Error))
            con.rollback()  # it was opened for reading
            con.execute("set transaction read write")
            limits = {} if self._limit_s is None else {"statement_timeout": str(self._limit_s * 1000)}
            values = {"timezone": "UTC", **_TEXTS, **limits}
            con.execute(
                "select " + ", ".join(f"set_config('{name}', '{value}', true)" for name, value in values.items())
            )
            yield PostgresSession(con, reading)

    def describe(self, query: Query) -> list[ModelColumn]:
        """The model's columns."""
        described = self._results.ask(lambda reading: self._describe(query, reading), self._broke_off)
        return [_column(f"m{number}", column) for number, column in enumerate(described)]

    def model(self, query: Query, columns: Sequence[ModelColumn]) -> str:
        """The model in parentheses, with names for its columns."""
        return f"(\n{query.sql}\n) as model({', '.join(column.ref for column in columns)})"

    def stage(self, session: Session, select: str) -> None:
        """Nothing, after making the temporary table `connector_staged`, empty, with the columns of this query."""
        session.run(f"create temporary table connector_staged as {select} with no data")

    def table(self, name: str) -> str:
        """The full name of a table of the schema."""
        return f"{quoted(self._place)}.{quoted(name)}"

    def tables(self, session: Session) -> set[str]:
        """The names of the schema's tables."""
        return {name for name, _ in session.ask(_TABLES.replace("%s", quoted_text(self._place)))}

    def json_string(self, sql: str) -> str:
        """SQL for a text as a JSON string; PostgreSQL writes control characters in small letters."""
        escaped = f"to_json(({sql})::text)::text"
        for code in (11, *range(14, 32)):
            if f"{code:04x}" != f"{code:04X}":
                escaped = f"replace({escaped}, '\\u{code:04x}', '\\u{code:04X}')"
        return escaped

    def by_bytes(self, sql: str) -> str:
        """SQL for a text that equals another only if their bytes do."""
        return f'({sql}) collate "C"'

    def literal(self, text: str) -> str:
        """A text as SQL."""
        return quoted_text(text)

    def refuse_missing_grants(self, tables: Sequence[str]) -> bool:
        """Whether these tables are there; the login may keep them here. Raises SourceError with the grants it lacks."""
        with self._results.session(self._broke_off), self._connection("connector:check") as con:
            user, database, replica, temporary, create, exists, usage, make = con.execute(
                _RIGHTS, [self._place]
            ).fetchone()
            known = dict(con.execute(_TABLES, [self._place]).fetchall())
        role, schema = quoted_if_needed(user), quoted_if_needed(self._place)
        if replica:
            raise denied(f"schema {self._place}", "this server is a replica, which nobody can write to", [])
        grants = [] if temporary else [f"grant temporary on database {quoted_if_needed(database)} to {role}"]
        if not exists and not create:
            grants.append(f"create schema {schema} authorization {role}")
        needs_make = any(name not in known for name in tables)
        wanted = [word for word, has in (("usage", usage), ("create", make or not needs_make)) if exists and not has]
        if wanted:
            grants.append(f"grant {', '.join(wanted)} on schema {schema} to {role}")
        closed = ", ".join(f"{schema}.{quoted(name)}" for name in tables if known.get(name) is False)
        if closed:
            grants.append(f"grant select, insert, update, delete on {closed} to {role}")
        if grants:
            raise denied(f"schema {self._place}", f"the role {user} lacks the rights for that", grants)
        return not needs_make

    def make_schema(self) -> None:
        """Nothing, after making the schema."""
        with self.session("connector:snapshot", write=True) as session:
            found = session.ask(f"select 1 from pg_catalog.pg_namespace where nspname = {quoted_text(self._place)}")
            if not found:  # where it exists, `if not exists` would still ask for the right to make one
                session.run(f"create schema if not exists {quoted(self._place)}")
            session.keep()


class PostgresSession:
    """A `Session` on one connection."""

    def __init__(self, con: Any, reading: Reading) -> None:
        self._con = con
        self._reading = reading

    def run(self, sql: str) -> None:
        """Nothing, after running a statement."""
        self._reading.go_on()
        self._con.execute(sql, prepare=False)

    def ask(self, sql: str) -> list[tuple[Any, ...]]:
        """The few rows of a query."""
        self._reading.go_on()
        return list(self._con.execute(sql, prepare=False).fetchall())

    @contextmanager
    def read(self, sql: str) -> Iterator[pa.RecordBatchReader]:
        """The result of a query, streamed, its columns cast as the source casts them."""
        con = self._con
        description = con.execute(f"select * from ({sql}) as result limit 0", prepare=False).description or ()
        described = columns_of(con, description)
        schema = _schema(described)
        with con.cursor(name="connector", binary=True) as cursor:
            _as_integers(cursor)
            cursor.execute(_asked(sql, described))
            with self._reading.reader(schema, _batches(cursor, schema, FETCHED_ROWS)) as reader:
                yield reader

    def upload(self, table: str, rows: pa.RecordBatchReader) -> None:
        """Nothing, after adding rows to a temporary table."""
        self._reading.go_on()
        with self._con.cursor() as cursor, cursor.copy(f"copy {table} from stdin") as copy:
            for batch in rows:
                for row in zip(*(column.to_pylist() for column in batch.columns), strict=True):
                    copy.write_row(row)

    def begin(self) -> None:
        """Nothing: the session is a transaction."""

    def commit(self) -> None:
        """Nothing, after ending it well."""
        self._con.commit()

    def keep(self) -> None:
        """Nothing, after ending the transaction that the session is."""
        self._con.commit()

    def seal(self) -> None:
        """Nothing; from now on only temporary tables can be written to."""
        self._con.execute("select set_config('transaction_read_only', 'on', true)")


def quoted_if_needed(name: str) -> str:
    """The name as one would type it."""
    return name if name.isidentifier() and name.isascii() and name == name.lower() else quoted(name)


def _column(ref: str, column: Column) -> ModelColumn:
    cast, arrow = type_of(column)
    value = f"({cast.format(ref)})"
    text = f"{value}::text"
    if pa.types.is_binary(arrow):
        text = f"encode({value}, 'hex')"
    elif column.type == "numeric" and column.element is None:
        # 1.50 and 1.5 are the same number.
        text = f"case when strpos({text}, '.') > 0 then rtrim(rtrim({text}, '0'), '.') else {text} end"
    return ModelColumn(column.name, ref, quoted(column.name), text, _key(value, text, arrow))


def _key(value: str, text: str, arrow: pa.DataType) -> str | None:
    """SQL for the text that the connector makes of a key; see `values.plain_text`."""
    if pa.types.is_timestamp(arrow):
        moment = f"({value} at time zone 'UTC')" if arrow.tz else value
        form = 'YYYY-MM-DD"T"HH24:MI:SS'
        whole, exact = f"to_char({moment}, '{form}\"Z\"')", f"to_char({moment}, '{form}.US\"Z\"')"
        return f"case when date_trunc('second', {moment}) = {moment} then {whole} else {exact} end"
    known = (pa.types.is_integer, pa.types.is_string, pa.types.is_boolean, pa.types.is_date, pa.types.is_decimal)
    return text if any(is_so(arrow) for is_so in known) else None
