"""PostgreSQL, and what speaks its protocol: ADBC turns the result into Arrow, psycopg does where ADBC is missing.

Every query runs in a read-only transaction of its own connection, with the time zone UTC, and leaves no setting behind:
a connection pooler in between may give the session to somebody else afterwards.
"""

from __future__ import annotations

from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import unquote, urlsplit

import pyarrow as pa
from pydantic import Field, SecretStr, field_validator

from connector.errors import SourceError
from connector.project.planner_settings import PlannedSource
from connector.systems.warehouse import postgres_errors as errors
from connector.systems.warehouse.driver import driver, is_installed
from connector.systems.warehouse.fitting import batch_of
from connector.systems.warehouse.named import tables_hint
from connector.systems.warehouse.postgres_types import Column, type_of
from connector.systems.warehouse.results import PAUSES, Results
from connector.systems.warehouse.timeouts import Timeouts

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from connector.ports import Query
    from connector.systems.warehouse.stream import Reading

EXTRA = "postgres"
ADBC = "adbc_driver_postgresql.dbapi"
BATCH_BYTES = 8_000_000  # of PostgreSQL's own form; ADBC cuts its batches by size
FETCHED_ROWS = 20_000  # by psycopg at a time: each cell is a Python object for a moment
APPLICATION_NAME = 63  # bytes that PostgreSQL keeps of it
_OPEN, _CLOSE = "select * from (\n", "\n) as model limit 0"
_TYPES = """
select t.oid::int8, t.typname::text, t.typtype::text, e.typname::text
from pg_catalog.pg_type t
left join pg_catalog.pg_type e on e.oid = t.typelem and t.typcategory = 'A' and t.typlen = -1
where t.oid = any(%s::oid[])
"""
_TABLES = """
select case when n.nspname = any(current_schemas(false)) then c.relname else n.nspname || '.' || c.relname end
from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
where c.relkind in ('r', 'v', 'm', 'f', 'p') and n.nspname !~ '^pg_|^information_schema$'
  and has_schema_privilege(n.oid, 'usage') and has_table_privilege(c.oid, 'select')
limit 1000
"""


class Settings(PlannedSource):
    """A PostgreSQL source."""

    type: Literal["postgres"]
    url: SecretStr = Field(description="postgresql://user@host:5432/database?sslmode=verify-full")
    password: SecretStr | None = Field(
        None, description="the password as it is, instead of one in the url, where @ : / % must be written as %40 ..."
    )
    timeouts: Timeouts = Timeouts()

    @field_validator("url")
    @classmethod
    def _is_an_address(cls, value: SecretStr) -> SecretStr:
        # The message must not hold the value: it has the password in it.
        if not urlsplit(value.get_secret_value()).scheme.startswith("postgres"):
            msg = "must be an address: postgresql://user@host:5432/database"
            raise ValueError(msg)
        return value


def open(settings: Settings, root: Path) -> Postgres:  # noqa: A001, ARG001 - the words that the registry asks for
    """A source that has not connected yet."""
    return Postgres(settings)


class Postgres:
    """A `ports.Source` on one PostgreSQL database. `adbc` chooses the driver; by default ADBC, if it is installed."""

    def __init__(self, settings: Settings, *, adbc: bool | None = None, pauses: tuple[float, ...] = PAUSES) -> None:
        """Keep how to log in; nothing is connected to before it is needed."""
        self._settings = settings
        self._adbc = is_installed(ADBC) if adbc is None else adbc
        self._results = Results(self._errors, pauses)
        self._limit_s = settings.timeouts.query_seconds

    def check(self) -> None:
        """Nothing, after logging in and asking for one row."""
        with self._connection("connector:check") as con:
            con.execute("select 1").fetchall()

    def columns(self, query: Query) -> pa.Schema:
        """The result's columns and types, as PostgreSQL describes them; no row is computed."""
        described = self._results.ask(lambda reading: self._describe(query, reading), self._broke_off)
        return _schema(described)

    @contextmanager
    def read(self, query: Query) -> Iterator[pa.RecordBatchReader]:
        """The result, streamed. Raises SourceError: at once for wrong SQL, at the end for what broke in between."""
        begin = self._read_adbc if self._adbc else self._read_psycopg
        with self._results.read(lambda reading: begin(query, reading), self._broke_off) as reader:
            yield reader

    def cancel(self) -> None:
        """Nothing, after asking PostgreSQL to stop every query that `read` is running. Safe from another thread."""
        self._results.cancel()

    def close(self) -> None:
        """Nothing: each query closes its own connection."""

    # --- reading -----------------------------------------------------------------------------------------------------

    @contextmanager
    def _read_adbc(self, query: Query, reading: Reading) -> Iterator[tuple[pa.Schema, Iterable[pa.RecordBatch]]]:
        described = self._describe(query, reading)
        schema = _schema(described)
        dbapi = driver(ADBC, extra=EXTRA, package="adbc-driver-postgresql")
        try:
            con = dbapi.connect(self.conninfo(query.tag))
        except dbapi.Error as error:
            raise errors.refused_login(error, self.secrets) from None
        try:
            cursor = con.cursor()
            try:
                reading.stops_with(lambda: _quietly(cursor.adbc_cancel, dbapi.Error))
                cursor.execute(self._session())
                cursor.fetchall()
                cursor.adbc_statement.set_options(**{"adbc.postgresql.batch_size_hint_bytes": str(BATCH_BYTES)})
                cursor.execute(_asked(query.sql, described))
                with cursor.fetch_record_batch() as reader:
                    yield schema, (batch_of(batch.columns, schema) for batch in reader)
            finally:
                _quietly(cursor.close, dbapi.Error)
        finally:
            _quietly(con.close, dbapi.Error)

    @contextmanager
    def _read_psycopg(self, query: Query, reading: Reading) -> Iterator[tuple[pa.Schema, Iterable[pa.RecordBatch]]]:
        described = self._describe(query, reading)
        schema = _schema(described)
        with self._connection(query.tag) as con:
            reading.stops_with(lambda: _quietly(con.cancel_safe, _psycopg().Error))
            with con.cursor(name="connector", binary=True) as cursor:
                _as_integers(cursor)
                cursor.execute(_asked(query.sql, described))
                yield schema, _batches(cursor, schema, min(query.batch_rows, FETCHED_ROWS))

    def _describe(self, query: Query, reading: Reading) -> list[Column]:
        with self._connection(query.tag) as con:
            reading.stops_with(lambda: _quietly(con.cancel_safe, _psycopg().Error))
            try:
                description = con.execute(_OPEN + query.sql + _CLOSE, prepare=False).description or ()
            except _psycopg().Error as error:
                reading.go_on()
                raise self._refused(con, error, query) from error
            return columns_of(con, description)

    def _refused(self, con: Any, error: Exception, query: Query) -> SourceError:
        failure = errors.refused_sql(error, query, len(_OPEN), self.secrets)
        if failure.problem.slug != "source-table-missing":
            return failure
        con.rollback()
        con.execute(self._session())
        tables = [name for (name,) in con.execute(_TABLES).fetchall()]
        named = failure.problem.message.split('"')
        hint = tables_hint(named[1] if len(named) > 1 else "", tables)
        return SourceError(failure.problem.message, slug=failure.problem.slug, at=failure.problem.at, hint=hint)

    # --- connecting --------------------------------------------------------------------------------------------------

    @contextmanager
    def _connection(self, tag: str) -> Iterator[Any]:
        psycopg = _psycopg()
        try:
            con = psycopg.connect(self.conninfo(tag), prepare_threshold=None)
        except psycopg.Error as error:
            raise errors.refused_login(error, self.secrets) from None
        try:
            con.execute(self._session())
            yield con
        finally:
            _quietly(con.close, psycopg.Error)

    def _session(self) -> str:
        """What holds for this transaction only."""
        limit_ms = 0 if self._limit_s is None else self._limit_s * 1000
        values = {"transaction_read_only": "on", "timezone": "UTC"}
        if limit_ms:
            values["statement_timeout"] = str(limit_ms)
        return "select " + ", ".join(f"set_config('{name}', '{value}', true)" for name, value in values.items())

    def conninfo(self, tag: str) -> str:
        """The address in libpq's own form. Raises SourceError without a word of it: the password is inside."""
        conninfo = _psycopg().conninfo
        scheme, _, rest = self._settings.url.get_secret_value().partition("://")
        try:
            parts = conninfo.conninfo_to_dict(f"{scheme.partition('+')[0]}://{rest}")
        except _psycopg().Error:
            raise SourceError(
                "the url of the source cannot be read",
                slug="source-settings",
                hint="postgresql://user@host:5432/database; write a password with special characters as `password:`",
            ) from None
        defaults = {"connect_timeout": self._settings.timeouts.connect_seconds, "keepalives_idle": 60}
        if self._settings.password is not None:
            parts["password"] = self._settings.password.get_secret_value()
        return str(conninfo.make_conninfo(**{**defaults, **parts, "application_name": application_name(tag)}))

    @property
    def secrets(self) -> tuple[str, ...]:
        """Texts that no message may hold."""
        password = urlsplit(self._settings.url.get_secret_value()).password or ""
        own = self._settings.password.get_secret_value() if self._settings.password is not None else ""
        return tuple({secret for secret in (password, unquote(password), own) if secret})

    def _broke_off(self, error: Exception) -> SourceError:
        return errors.broke_off(error, self._limit_s, self.secrets)

    def _errors(self) -> tuple[type[Exception], ...]:
        adbc = (driver(ADBC, extra=EXTRA, package="adbc-driver-postgresql").Error,) if self._adbc else ()
        return (_psycopg().Error, *adbc, OSError, pa.ArrowException)


def columns_of(con: Any, description: Iterable[Any]) -> list[Column]:
    """The columns of a result, with the types that they have in PostgreSQL's catalogue."""
    columns = list(description)
    oids = sorted({column.type_code for column in columns})
    types = {oid: named for oid, *named in con.execute(_TYPES, [oids]).fetchall()}
    described = []
    for column in columns:
        name, kind, element = types[column.type_code]
        described.append(Column(column.name, name, kind, element, column.precision, column.scale))
    return described


def application_name(tag: str) -> str:
    """The tag, cut in its middle to what PostgreSQL keeps: the run's id at its end is what is looked for."""
    text = tag.encode("ascii", "replace").decode()
    half = APPLICATION_NAME // 2 - 1
    return text if len(text) <= APPLICATION_NAME else f"{text[:half]}...{text[-half:]}"


def _psycopg() -> Any:
    return driver("psycopg", extra=EXTRA, package="psycopg[binary]")


def _schema(described: list[Column]) -> pa.Schema:
    return pa.schema([pa.field(column.name, type_of(column)[1]) for column in described])


def _asked(sql: str, described: list[Column]) -> str:
    """The SQL with the casts of its columns; by number, since two of them may have the same name."""
    columns = [f"c{number}" for number in range(len(described))]
    items = [type_of(column)[0].format(name) for column, name in zip(described, columns, strict=True)]
    return f"select {', '.join(items)} from (\n{sql}\n) as model({', '.join(columns)})"


def _batches(cursor: Any, schema: pa.Schema, batch_rows: int) -> Iterator[pa.RecordBatch]:
    while rows := cursor.fetchmany(batch_rows):
        yield batch_of(list(zip(*rows, strict=True)), schema)


def _quietly(action: Any, error: type[Exception]) -> None:
    """Nothing, after the action; that a connection is gone is no reason to hide the error that told so first."""
    with suppress(error, OSError):
        action()


def _as_integers(cursor: Any) -> None:
    """Nothing, after telling psycopg to leave dates and times as numbers, as Arrow has them.

    Python's own have no year 0, 10000 or infinity; one such row would end the run instead of being rejected.
    """
    from psycopg.adapt import Loader  # noqa: PLC0415 - only those with PostgreSQL have it
    from psycopg.pq import Format  # noqa: PLC0415

    class Micros(Loader):  # type: ignore[misc, unused-ignore]
        format = Format.BINARY

        def load(self, data: Any) -> int:
            return min(int.from_bytes(data, "big", signed=True) + 946_684_800_000_000, 2**63 - 1)

    class Days(Loader):  # type: ignore[misc, unused-ignore]
        format = Format.BINARY

        def load(self, data: Any) -> int:
            return min(int.from_bytes(data, "big", signed=True) + 10_957, 2**31 - 1)

    for name in ("timestamp", "timestamptz"):
        cursor.adapters.register_loader(name, Micros)
    cursor.adapters.register_loader("date", Days)
