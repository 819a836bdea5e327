"""Any other database for which there is an SQLAlchemy dialect: MySQL, MariaDB, SQL Server, Oracle, SQLite, and so on.

A result is fetched in partitions of a fixed size: without one, SQLAlchemy would collect all rows first.
"""

from __future__ import annotations

from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import pyarrow as pa
from pydantic import Field, SecretStr, field_validator

from connector.errors import SourceError
from connector.ports import UNTYPED
from connector.project.settings import Settings as Section
from connector.systems.warehouse import sqlalchemy_errors as errors
from connector.systems.warehouse.driver import driver
from connector.systems.warehouse.fitting import batch_of, misfit
from connector.systems.warehouse.named import tables_hint
from connector.systems.warehouse.results import PAUSES, Results, nothing
from connector.systems.warehouse.sqlalchemy_types import described_type, sampled_type, texts
from connector.systems.warehouse.timeouts import Timeouts

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from connector.ports import Query
    from connector.systems.warehouse.stream import Reading

FETCHED_ROWS = 10_000  # at most, at a time: each cell is a Python object for a moment
SAMPLED_ROWS = 1_000
_EMPTY = ("select * from (\n", "\n) model where 1 = 0")


@dataclass(frozen=True, slots=True)
class Dialect:
    """What a dialect needs besides SQL: statements of a new session, and how a running query is stopped.

    `session_id` asks for the number that `stop` names in a second session; without them the driver's own way is used.
    """

    statements: tuple[str, ...] = ()
    session_id: str | None = None
    stop: str = ""


MYSQL = Dialect(
    ("set session transaction read only", "set time_zone = '+00:00'"), "select connection_id()", "kill query {}"
)
POSTGRES = Dialect(("set session characteristics as transaction read only", "set timezone = 'UTC'"))
DIALECTS = {
    "mysql": MYSQL,
    "mariadb": MYSQL,
    "postgresql": POSTGRES,
    "cockroachdb": POSTGRES,
    "sqlite": Dialect(("pragma query_only = on", "select count(*) from sqlite_master")),  # the second opens the file
    "oracle": Dialect(("alter session set time_zone = 'UTC'",)),
}
# The names under which drivers know how long to wait for a connection.
CONNECT_TIMEOUTS = {
    "pymysql": "connect_timeout",
    "mysqldb": "connect_timeout",
    "mariadbconnector": "connect_timeout",
    "mysqlconnector": "connection_timeout",
    "psycopg": "connect_timeout",
    "psycopg2": "connect_timeout",
    "pyodbc": "timeout",
    "pymssql": "login_timeout",
    "oracledb": "tcp_connect_timeout",
}


class Settings(Section):
    """A source that SQLAlchemy reaches."""

    type: Literal["sqlalchemy"]
    url: SecretStr = Field(description="SQLAlchemy's url: dialect+driver://user@host:port/database")
    password: SecretStr | None = Field(
        None, description="the password as it is, instead of one in the url, where @ : / % must be written as %40 ..."
    )
    connect_args: dict[str, Any] = Field(
        default_factory=dict, description="what the driver's own connect takes besides, such as ssl"
    )
    timeouts: Timeouts = Timeouts()

    @field_validator("url")
    @classmethod
    def _is_an_address(cls, value: SecretStr) -> SecretStr:
        # The message must not hold the value: it has the password in it.
        scheme, separator, _ = value.get_secret_value().partition("://")
        if not separator or not scheme:
            msg = "must be an SQLAlchemy url: dialect+driver://user@host:port/database"
            raise ValueError(msg)
        return value


def open(settings: Settings, root: Path) -> SqlAlchemy:  # noqa: A001 - the word that the registry asks for
    """A source that has not connected yet."""
    return SqlAlchemy(settings, root)


class SqlAlchemy:
    """A `ports.Source` on whatever the url names."""

    def __init__(self, settings: Settings, root: Path, *, pauses: tuple[float, ...] = PAUSES) -> None:
        """Keep how to log in; nothing is connected to before it is needed."""
        self._settings = settings
        self._root = root
        self._results = Results(self._errors, pauses)
        self._limit_s = settings.timeouts.query_seconds
        self._made: Any = None
        # Rows are read as the types that the columns were said to have, also where the driver says none.
        self._schemas: dict[str, pa.Schema] = {}

    def check(self) -> None:
        """Nothing, after logging in and asking for one row."""
        with self.connection() as con:
            con.exec_driver_sql("select 1 from dual" if self.engine.dialect.name == "oracle" else "select 1").fetchall()

    def columns(self, query: Query) -> pa.Schema:
        """The result's columns and types as the driver names them; for one that does not, by the first rows."""
        return self._results.ask(lambda reading: self._columns(query, reading), self._broke_off)

    @contextmanager
    def read(self, query: Query) -> Iterator[pa.RecordBatchReader]:
        """The result, streamed. Raises SourceError: at once for wrong SQL, at the end for what broke in between."""
        with self._results.read(lambda reading: self._begin(query, reading), self._broke_off, self._limit_s) as reader:
            yield reader

    def cancel(self) -> None:
        """Nothing, after asking the database to stop every query that `read` is running. Safe from another thread.

        A database that cannot be asked is read no further: its query ends with its connection.
        """
        self._results.cancel()

    def close(self) -> None:
        """Nothing: each query closes its own connection."""

    # --- asking ------------------------------------------------------------------------------------------------------

    def _columns(self, query: Query, reading: Reading) -> pa.Schema:
        schema = None
        with self.connection() as con, self._running(con, query, reading, *_EMPTY) as empty:
            if empty is not None:
                schema = _schema(empty, None)
        if schema is None:
            # The database does not take the query as a part of another one, or its driver tells no types.
            with self.connection() as con, self._running(con, query, reading) as running:
                schema = _schema(running, running.result.fetchmany(SAMPLED_ROWS))
        self._schemas[query.sql] = schema
        return schema

    @contextmanager
    def _begin(self, query: Query, reading: Reading) -> Iterator[tuple[pa.Schema, Iterable[pa.RecordBatch]]]:
        with self.connection() as con, self._running(con, query, reading) as running:
            first: Sequence[Any] = ()
            schema = self._schemas.get(query.sql) or _schema(running, None)
            if schema is None:
                first = running.result.fetchmany(SAMPLED_ROWS)
                schema = _schema(running, first)
            rest = running.result.partitions(min(query.batch_rows, FETCHED_ROWS))
            yield schema, _batches(chain((first,) if first else (), rest), schema)

    @contextmanager
    def _running(self, con: Any, query: Query, reading: Reading, before: str = "", after: str = "") -> Iterator[Any]:
        """The running query; with something around it, None when the database does not take it so."""
        stop = self._stopper(con)
        reading.stops_with(stop)
        tag = query.tag.replace("*/", "")
        try:
            result = con.exec_driver_sql(f"{before}{query.sql}{after}\n/* {tag} */")
        except self._errors() as error:
            reading.go_on()
            failure = self._refused(error, query)
            if not before or failure.problem.slug != "source-query":
                raise failure from error
            yield None
            return
        try:
            yield _Running(self.engine.dialect.name, result, tuple(result.cursor.description))
        finally:
            self._finish(con, result, stop)

    def _finish(self, con: Any, result: Any, stop: Callable[[], None]) -> None:
        """Nothing, after closing a result, wherever it is."""
        cursor = result.cursor
        if cursor is not None:
            if con.invalidated:
                _abandon(cursor)
            else:
                stop()  # closing a result that is not at its end, some drivers fetch all the rest first
            with suppress(*self._errors()):
                cursor.close()
        with suppress(*self._errors()):
            result.close()

    def _stopper(self, con: Any) -> Callable[[], None]:
        dialect = DIALECTS.get(self.engine.dialect.name, Dialect())
        if dialect.session_id is not None:
            statement = dialect.stop.format(con.exec_driver_sql(dialect.session_id).scalar())
            return lambda: self._tell(statement)
        session = con.connection.driver_connection
        ways = (getattr(session, name, None) for name in ("cancel_safe", "cancel", "interrupt"))
        stop = next((way for way in ways if callable(way)), nothing)
        return lambda: self._quietly(stop)

    def _tell(self, statement: str) -> None:
        """Nothing, after saying this in a session of its own; when nobody can be told, nothing runs there either."""
        with suppress(SourceError, *self._errors()), self.connection() as con:
            con.exec_driver_sql(statement)

    def _quietly(self, action: Callable[[], object]) -> None:
        with suppress(*self._errors()):
            action()

    def _refused(self, error: Exception, query: Query) -> SourceError:
        failure = errors.refused_sql(error, query, self._limit_s, self.secrets)
        problem = failure.problem
        if problem.slug != "source-table-missing":
            return failure
        tables: list[str] = []
        # A hint is not worth an error of its own.
        with suppress(SourceError, *self._errors()), self.connection() as con:
            inspector = _sqlalchemy().inspect(con)
            tables = [*inspector.get_table_names(), *inspector.get_view_names()]
        hint = tables_hint(errors.table_named(problem.message), tables)
        return SourceError(problem.message, slug=problem.slug, at=problem.at, hint=hint)

    def _broke_off(self, error: Exception) -> SourceError:
        return errors.broke_off(error, self._limit_s, self.secrets)

    # --- connecting --------------------------------------------------------------------------------------------------

    @contextmanager
    def connection(self) -> Iterator[Any]:
        """A session that can only read, where the database has such, until the end of the block. Raises SourceError."""
        engine = self.engine
        try:
            con = engine.connect()
        except self._errors() as error:
            raise errors.refused_login(error, self.secrets) from None
        try:
            try:
                for statement in DIALECTS.get(engine.dialect.name, Dialect()).statements:
                    con.exec_driver_sql(statement)
                con.commit()
            except self._errors() as error:
                raise errors.refused_login(error, self.secrets) from error
            # Without no_parameters, some drivers would take each % of the SQL for a place to put a value.
            yield con.execution_options(stream_results=True, no_parameters=True)
        finally:
            with suppress(*self._errors()):
                con.close()

    @property
    def engine(self) -> Any:
        """SQLAlchemy's engine, made on first use; it keeps no connection. Raises SourceError."""
        if self._made is None:
            self._made = self._make_engine()
        return self._made

    def _make_engine(self) -> Any:
        sqlalchemy = _sqlalchemy()
        try:
            url = self._url(sqlalchemy)
            return sqlalchemy.create_engine(
                url, poolclass=sqlalchemy.pool.NullPool, connect_args=self._connect_args(url)
            )
        except sqlalchemy.exc.NoSuchModuleError as error:
            name = str(error).rpartition(":")[2]
            raise SourceError(
                f"SQLAlchemy has no dialect or driver '{name}'",
                slug="source-driver-missing",
                hint="is the name right, and is the package that brings it installed?",
            ) from None
        except ModuleNotFoundError as error:
            raise SourceError(
                f"the Python package {error.name} is not installed",
                slug="source-driver-missing",
                hint=f"pip install {error.name}, or name another driver in the url: dialect+driver://",
            ) from None
        except (sqlalchemy.exc.ArgumentError, ValueError):
            raise SourceError(
                "the url of the source cannot be read",
                slug="source-settings",
                hint="dialect+driver://user@host/database; write a password with special characters as `password:`",
            ) from None

    def _url(self, sqlalchemy: Any) -> Any:
        url = sqlalchemy.make_url(self._settings.url.get_secret_value())
        if self._settings.password is not None:
            url = url.set(password=self._settings.password.get_secret_value())
        if url.get_backend_name() != "sqlite" or url.database in (None, "", ":memory:") or "file:" in url.database:
            return url
        file = self._root / Path(url.database)
        if not file.is_file():  # SQLite would make it
            hint = "the path is relative to connector.yml"
            raise SourceError(f"there is no SQLite file {file}", slug="source-file-missing", hint=hint)
        return url.set(database=str(file))

    def _connect_args(self, url: Any) -> dict[str, Any]:
        given = self._settings.connect_args
        if url.get_backend_name() == "sqlite":
            # Whoever pulls the rows may do so in threads of its own, one after the other.
            return {"check_same_thread": False, **given}
        name = CONNECT_TIMEOUTS.get(url.get_driver_name())
        return given if name is None else {name: self._settings.timeouts.connect_seconds, **given}

    @property
    def secrets(self) -> tuple[str, ...]:
        """Texts that no message may hold."""
        password = self.engine.url.password if self._made is not None else None
        return (str(password),) if password else ()

    def _errors(self) -> tuple[type[Exception], ...]:
        drivers = (self._made.dialect.dbapi.Error,) if self._made is not None else ()
        return (_sqlalchemy().exc.SQLAlchemyError, *drivers, OSError, pa.ArrowException)


@dataclass(frozen=True, slots=True)
class _Running:
    """A query that runs, with what its driver says of the columns."""

    dialect: str
    result: Any
    description: tuple[Any, ...]


def _abandon(cursor: Any) -> None:
    """Nothing, after telling PyMySQL that there is no more to read: it would try to, from a connection that is gone."""
    rest: Any = getattr(cursor, "_result", None)
    if getattr(rest, "unbuffered_active", False):
        rest.unbuffered_active = False


def _sqlalchemy() -> Any:
    module = driver("sqlalchemy", extra=None, package="sqlalchemy")
    driver("sqlalchemy.pool", extra=None, package="sqlalchemy")
    return module


def _schema(running: _Running, rows: Sequence[Any] | None) -> pa.Schema | None:
    """The columns; None when the driver does not say what some of them hold, and there are no rows to look at."""
    fields = []
    for number, described in enumerate(running.description):
        known, kind = described_type(running.dialect, described)
        if not known:
            if rows is None:
                return None
            values = [row[number] for row in rows]
            kind = sampled_type(values)
            if all(value is None for value in values):
                fields.append(pa.field(described[0], kind, metadata=UNTYPED))
                continue
        fields.append(pa.field(described[0], kind))
    return pa.schema(fields)


def _batches(partitions: Iterable[Sequence[Any]], schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    for rows in partitions:
        columns = zip(*rows, strict=True)
        yield batch_of([_column(values, field) for values, field in zip(columns, schema, strict=True)], schema)


def _column(values: Sequence[Any], field: pa.Field) -> Sequence[Any]:
    if not pa.types.is_string(field.type):
        return values
    try:
        return texts(values)
    except TypeError as error:
        raise misfit(field, str(error)) from None
