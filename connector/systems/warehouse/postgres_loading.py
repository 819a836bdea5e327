"""Writing to PostgreSQL: rows arrive by COPY in a temporary table, and move to their tables in the same transaction."""

from __future__ import annotations

import io
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pyarrow as pa
from pyarrow import csv

from connector.errors import SourceError
from connector.ports import Stored
from connector.systems.warehouse import postgres_errors as errors
from connector.systems.warehouse.driver import driver
from connector.systems.warehouse.loading import (
    VERSIONS,
    check_tables,
    columns_sql,
    denied,
    replacing_sql,
    tables_of,
    unnoted,
)
from connector.systems.warehouse.postgres import EXTRA, Postgres
from connector.values import quoted

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from connector.ports import Into, Load, StoredTable
    from connector.systems.warehouse.postgres import Settings

TYPES = {Stored.TEXT: "text", Stored.NUMBER: "bigint", Stored.TIME: "timestamptz", Stored.JSON: "jsonb"}
READ_ONLY = "25006"
_COLUMNS = """
select c.relname::text, array_agg(a.attname::text)
from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
join pg_catalog.pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
where n.nspname = %s and c.relkind in ('r', 'p', 'v', 'f') group by c.relname
"""


def open(settings: Settings, root: Path, schema: str) -> PostgresLoader:  # noqa: A001, ARG001 - the registry's words
    """A loader that has not connected yet."""
    return PostgresLoader(settings, schema)


class PostgresLoader:
    """A `ports.Loader` on one schema of a PostgreSQL database."""

    def __init__(self, settings: Settings, schema: str) -> None:
        """Keep how to log in; nothing is connected to before it is needed."""
        self._source = Postgres(settings)
        self._limit_s = settings.timeouts.query_seconds
        self._schema = schema
        self._needed = ""  # the grant that the statement needs which is on its way

    def load(self, loads: Sequence[Load]) -> None:
        """Nothing, after writing all of it in one transaction."""
        with self._connection() as con:
            try:
                # Two that write at once, on two machines, would both find the same row missing.
                con.execute("select pg_advisory_xact_lock(hashtext(%s))", [f"connector:{self._schema}"])
                self._prepare(con, loads)
                for load in loads:
                    self._write(con, load)
                con.commit()
            except (_psycopg().Error, pa.ArrowException) as error:
                raise self._failed(error) from error

    def _prepare(self, con: Any, loads: Sequence[Load]) -> None:
        wanted = tables_of(loads)
        schema, user, database = quoted(self._schema), quoted(con.info.user), quoted(con.info.dbname)
        self._needed = f"create schema {schema} authorization {user}; or: grant create on database {database} to {user}"
        if not con.execute("select 1 from pg_catalog.pg_namespace where nspname = %s", [self._schema]).fetchall():
            con.execute(f"create schema {schema}")
        self._needed = f"grant usage, create on schema {schema} to {user}"
        found = dict(con.execute(_COLUMNS, [self._schema]).fetchall())
        for table in (*wanted, VERSIONS):
            if table.name not in found:
                con.execute(f"create table {self._name(table)} ({columns_sql(table, TYPES, quoted)})")
        for into in (into for load in loads for into in load.into if into.table.name not in found):
            con.execute(self._index(into))
        self._needed = f"grant select, insert, delete on all tables in schema {schema} to {user}"
        versions = dict(con.execute(f"select table_name, schema_version from {self._name(VERSIONS)}").fetchall())
        check_tables(wanted, found, versions, self._schema)
        for table in unnoted(wanted, versions):
            con.execute(f"insert into {self._name(VERSIONS)} values (%s, %s)", [table.name, table.version])

    def _write(self, con: Any, load: Load) -> None:
        kept = self._needed
        self._needed = f"grant temporary on database {quoted(con.info.dbname)} to {quoted(con.info.user)}"
        con.execute("drop table if exists pg_temp.staged")
        columns = columns_sql(load.into[0].table, TYPES, quoted)
        con.execute(f"create temporary table staged ({columns}) on commit drop")
        self._needed = kept
        with con.cursor().copy("copy pg_temp.staged from stdin (format csv)") as copy:
            for batch in load.rows:
                copy.write(_csv(batch))
        con.execute("analyze pg_temp.staged")
        for into in load.into:
            for statement in replacing_sql(into, self._name(into.table), "staged", quoted, {}):
                con.execute(statement)

    def _index(self, into: Into) -> str:
        columns = ", ".join(quoted(column) for column in into.replaces)
        return f"create index on {self._name(into.table)} ({columns})"

    def _name(self, table: StoredTable) -> str:
        return f"{quoted(self._schema)}.{quoted(table.name)}"

    @contextmanager
    def _connection(self) -> Iterator[Any]:
        psycopg = _psycopg()
        try:
            con = psycopg.connect(self._source.conninfo("connector:logs"), prepare_threshold=None)
        except psycopg.Error as error:
            raise errors.refused_login(error, self._source.secrets) from None
        try:
            con.read_only = False  # the login's own default is read-only where the grants were copied from our page
            if self._limit_s is not None:
                con.execute(f"select set_config('statement_timeout', '{self._limit_s * 1000}', true)")
            yield con
        finally:
            con.close()

    def _failed(self, error: Exception) -> SourceError:
        failure = errors.broke_off(error, self._limit_s, self._source.secrets)
        said = failure.problem.message.removeprefix("the warehouse broke off: ")
        state = errors.sqlstate(error)
        if state in errors.DENIED:
            return denied(said, (self._needed,))
        if state == READ_ONLY:
            return SourceError(
                f"the logs cannot be written: {said}",
                slug="logs-denied",
                hint="the source is a replica: give `logs:` a source of its own, on the primary",
            )
        if failure.problem.slug != "source-read":
            return failure
        return SourceError(f"the logs could not be written: {said}", slug="logs-broke-off")


def _psycopg() -> Any:
    return driver("psycopg", extra=EXTRA, package="psycopg[binary]")


def _csv(batch: pa.RecordBatch) -> bytes:
    """The rows as PostgreSQL's CSV: a NULL is nothing, an empty text is two quotes."""
    out = io.BytesIO()
    csv.write_csv(batch, out, csv.WriteOptions(include_header=False, quoting_style="needed"))
    return out.getvalue()
