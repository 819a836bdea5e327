"""The connection to the history database: how it begins, waits, commits and fails."""

from __future__ import annotations

import sqlite3
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Any, Literal

from sqlalchemy import URL, QueuePool, create_engine, event
from sqlalchemy.exc import NoResultFound, SQLAlchemyError

from connector.state.sqlite_errors import state_error

if TYPE_CHECKING:
    import threading
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from sqlalchemy import Connection, Delete, Engine, Insert, Update
    from sqlalchemy.engine import ExceptionContext
    from sqlalchemy.engine.interfaces import DBAPIConnection
    from sqlalchemy.sql.compiler import SQLCompiler

Synchronous = Literal["FULL", "NORMAL"]


class Database:
    """One SQLite file, read by anyone at any time, written by one transaction at a time.

    Every error of the database leaves here as a StateError. `writer` is held while a transaction writes: threads of
    one process then wait for each other without polling SQLite's lock. With `synchronous="NORMAL"` a commit does not
    wait for the disk: for what may be lost in a power cut.
    """

    def __init__(
        self, file: Path, *, writer: threading.Lock, busy_timeout_s: float, synchronous: Synchronous = "FULL"
    ) -> None:
        self.file = file
        self._writer = writer
        self._engine = create_engine(URL.create("sqlite", database=str(file)), poolclass=QueuePool, max_overflow=-1)
        _listen(self._engine, file, busy_timeout_s, synchronous)
        self._writing = self._engine.execution_options(connector_begin="BEGIN IMMEDIATE")
        self._kept: Connection | None = None

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A connection that sees one moment of the database and locks nobody out."""
        with self._translated(), self._engine.begin() as connection:
            yield connection

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """A connection that alone may write; committed at the end, rolled back when an error passes through."""
        with self._translated(), self._writer:
            # Kept open: to take one out of the pool and give it back costs more than a small transaction itself.
            if self._kept is None or self._kept.closed or self._kept.invalidated:
                self._kept = self._writing.connect()
            with self._kept.begin():
                yield self._kept

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except (SQLAlchemyError, sqlite3.Error) as error:
            raise state_error(error, self.file) from error

    def use_wal(self) -> None:
        """Nothing, after switching the file to WAL: readers see a live run, and a commit is one write."""
        # Not through SQLAlchemy, which would begin a transaction: the mode cannot change within one.
        with (
            self._translated(),
            self._engine.connect() as connection,
            closing(connection.connection.cursor()) as cursor,
        ):
            # So that room can be given back to the disk later. It does nothing to a file that is there already.
            cursor.execute("PRAGMA auto_vacuum=INCREMENTAL")
            cursor.execute("PRAGMA journal_mode=WAL")

    def script(self, sql: str) -> None:
        """Nothing, after statements that must not stand in a transaction; they wait for writers of this process."""
        with (
            self._translated(),
            self._writer,
            self._engine.connect() as connection,
        ):
            raw: Any = connection.connection.driver_connection
            # Each to its end: a statement without rows is else stepped only once.
            raw.executescript(sql)

    def close(self) -> None:
        """Nothing, after closing the connections; the last one folds the WAL into the file."""
        with self._writer:
            if self._kept is not None:
                self._kept.close()
                self._kept = None
        self._engine.dispose()


class Prepared:
    """A statement for many rows at once, compiled once.

    For the few statements that every call runs: SQLAlchemy's execution costs 25 µs each, this one 3. The rows hold
    plain values, because nothing converts them on the way: JSON is text already.
    """

    def __init__(self, statement: Insert | Update | Delete, *columns: str) -> None:
        self._statement = statement
        self._columns = columns
        self._compiled: dict[str, SQLCompiler] = {}

    def run(self, connection: Connection, rows: Sequence[Mapping[str, Any]]) -> None:
        """Nothing, after running the statement for each row, when there are any."""
        if not rows:
            return
        compiled = self._for(connection)
        with closing(connection.connection.cursor()) as cursor:
            cursor.executemany(compiled.string, [_parameters(compiled, row) for row in rows])

    def value(self, connection: Connection, row: Mapping[str, Any]) -> Any:
        """The first value of the first row that the statement gives back. Raises NoResultFound."""
        compiled = self._for(connection)
        with closing(connection.connection.cursor()) as cursor:
            cursor.execute(compiled.string, _parameters(compiled, row))
            found = cursor.fetchone()
        if found is None:
            msg = "a row that must be there is not"
            raise NoResultFound(msg)
        return found[0]

    def _for(self, connection: Connection) -> SQLCompiler:
        found = self._compiled.get(connection.dialect.name)
        if found is None:
            compiled = self._statement.compile(dialect=connection.dialect, column_keys=list(self._columns))
            found = self._compiled[connection.dialect.name] = compiled
        return found


def _parameters(compiled: SQLCompiler, row: Mapping[str, Any]) -> Any:
    names = compiled.positiontup
    return row if names is None else [row[name] for name in names]


def _listen(engine: Engine, file: Path, busy_timeout_s: float, synchronous: Synchronous) -> None:
    """Nothing, after telling the engine how its connections behave."""

    @event.listens_for(engine, "connect")
    def connected(connection: DBAPIConnection, _record: Any) -> None:
        # Python's sqlite3 would begin transactions by itself, deferred: a reader that turns writer fails at once.
        connection.isolation_level = None
        cursor = connection.cursor()
        cursor.execute(f"PRAGMA busy_timeout={round(busy_timeout_s * 1000)}")
        cursor.execute(f"PRAGMA synchronous={synchronous}")
        # Large request bodies fill the default 4 MB of WAL every few calls; each checkpoint waits for the disk.
        cursor.execute("PRAGMA wal_autocheckpoint=4000")
        cursor.execute("PRAGMA journal_size_limit=67108864")
        cursor.close()

    @event.listens_for(engine, "begin")
    def begun(connection: Connection) -> None:
        connection.exec_driver_sql(connection.get_execution_options().get("connector_begin", "BEGIN"))

    @event.listens_for(engine, "handle_error")
    def failed(context: ExceptionContext) -> None:
        raise state_error(context.original_exception, file)
