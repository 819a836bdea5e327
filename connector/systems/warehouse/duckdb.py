"""DuckDB: a database file, or Parquet and CSV files read without one.

Files are opened read-only, one connection a query, so that other readers are never shut out. A result streams:
`sql(...).to_arrow_reader()` holds a few batches, where `execute(...).to_arrow_reader()` would copy all of it first.
"""

from __future__ import annotations

import json
import os
import re
import tempfile
import time
from contextlib import contextmanager
from difflib import get_close_matches
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any, Literal, Self

import duckdb
import pyarrow as pa
from pydantic import Field, model_validator

from connector.errors import SourceError
from connector.process import limit_threads
from connector.project.planner_settings import PlannedSource
from connector.systems.warehouse.stream import Reading, stopped
from connector.values import quoted

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from connector.ports import Query

MEMORY = ":memory:"
MEMORY_LIMIT = "256MB"  # a file's blocks are kept up to this, although a run reads each but once
BATCH_ROWS = 20_480  # at most: DuckDB makes several batches ahead
PAUSES = (0.1,) * 20  # seconds to wait for a writer, each time the file is found locked
_DESCRIBE = "describe "
# What Arrow would hand over as another value: a wrong number, a time without its offset, the bits' own coding.
AS_TEXT = frozenset({"UHUGEINT", "TIME WITH TIME ZONE", "BIT"})
# What reading raises: DuckDB's own errors, and those that Arrow makes of them once batches flow.
_ERRORS = (duckdb.Error, OSError, pa.ArrowException)
_HINTS = {
    "Conversion": "try_cast() makes a value that cannot be cast NULL",
    "Out of Memory": f"give the source more in connector.yml, such as `memory: 2GB` ({MEMORY_LIMIT} by default)",
}
_DAMAGED = re.compile(r"not a valid DuckDB|not read enough bytes|corrupt|version number|serializ", re.IGNORECASE)


class Settings(PlannedSource):
    """A DuckDB source."""

    type: Literal["duckdb"]
    path: str = Field(
        min_length=1,
        description="the database file, relative to connector.yml; :memory: for models that only read other files",
    )
    memory: str = Field(
        MEMORY_LIMIT,
        pattern=r"^[1-9][0-9]* ?(MB|GB)$",
        description="what a model's own joins, sorts and aggregates may hold in memory; more goes to temporary files, "
        "and one thread works for each 64 MB",
    )

    @model_validator(mode="after")
    def _has_a_file_for_the_snapshot(self) -> Self:
        if self.planner == "warehouse" and self.path == MEMORY:
            msg = "planner: warehouse needs a file that keeps the snapshot, and :memory: keeps nothing"
            raise ValueError(msg)
        return self


def open(settings: Settings, root: Path) -> DuckDb:  # noqa: A001 - the word that the registry asks for
    """A source that has not connected yet."""
    return DuckDb(settings.path, root, memory=settings.memory)


class DuckDb:
    """A `ports.Source` on one DuckDB file, or on none."""

    def __init__(
        self, path: str, root: Path, *, memory: str = MEMORY_LIMIT, pauses: tuple[float, ...] = PAUSES
    ) -> None:
        """Keep where the file is; nothing is opened before it is needed."""
        self._memory = memory
        self._pauses = pauses
        self.root = root.resolve()
        # Unlike Path.expanduser, this leaves the unknown user of "~nobody/x" as it is, and the file is just missing.
        self._file = None if path == MEMORY else self.root / os.path.expanduser(path)  # noqa: PTH111
        self._readings: set[Reading] = set()
        self._lock = Lock()

    def check(self) -> None:
        """Nothing, after opening the file and asking for one row."""
        with self._connection() as con:
            con.execute("select 1").fetchall()

    @contextmanager
    def kept_open(self) -> Iterator[None]:
        """Nothing; inside it each query costs a fraction, because the file is open already (15 ms of CPU a time)."""
        with self._connection():
            yield

    def columns(self, query: Query) -> pa.Schema:
        """The result's columns and types, from binding the SQL; duplicate names stay as they are."""
        with self._connection() as con:
            described = bind(con, query)
            # Typed NULLs, because the empty result of the query itself would come with duplicate names made unique.
            kinds = ["varchar" if kind in AS_TEXT else kind for _, kind in described]
            typed = ", ".join(f"null::{kind} as c{index}" for index, kind in enumerate(kinds))
            schema = con.sql(f"select {typed} limit 0").to_arrow_reader(1).schema
        return pa.schema([column.with_name(name) for column, (name, _) in zip(schema, described, strict=True)])

    @contextmanager
    def read(self, query: Query) -> Iterator[pa.RecordBatchReader]:
        """The result, streamed. Raises SourceError: at once for wrong SQL, at the end for what broke in between."""
        with self._connection() as con:
            prefix = ""

            def translated(error: Exception) -> SourceError:
                return failed_reading(error, query, prefix=len(prefix.encode()))

            reading = Reading(con.interrupt, _ERRORS, translated)
            with self._lock:
                self._readings.add(reading)
            try:
                prefix = _conversion(bind(con, query))
                sql = f"{prefix}{query.sql}\n)" if prefix else query.sql
                try:
                    reader = con.sql(sql).to_arrow_reader(min(query.batch_rows, BATCH_ROWS))
                except _ERRORS as error:
                    raise translated(error) from error
                with reader, reading.reader(reader.schema, reader) as guarded:
                    yield guarded
            finally:
                with self._lock:
                    self._readings.discard(reading)

    def cancel(self) -> None:
        """Nothing, after interrupting every query that `read` is running. Safe from another thread."""
        with self._lock:
            for reading in self._readings:
                reading.cancel()

    def close(self) -> None:
        """Nothing: each query closes its own connection."""

    @contextmanager
    def _connection(self) -> Iterator[duckdb.DuckDBPyConnection]:
        if self._file is not None and not self._file.exists():
            raise _missing_file(self._file)
        with opened(self._file, self._pauses, read_only=self._file is not None) as con:
            root = str(self.root).replace("'", "''")
            con.execute(
                "set session timezone = 'UTC';"
                "set session enable_progress_bar = false;"
                # Errors with the place in the SQL, as data and not as a drawing.
                "set session errors_as_json = true;"
                # A table that is missing must not be found among the variables of this program.
                "set session python_enable_replacements = false;"
                f"set session file_search_path = '{root}'"
            )
            bound_memory(con, self._memory)
            self._spill_elsewhere(con)
            yield con

    def _spill_elsewhere(self, con: duckdb.DuckDBPyConnection) -> None:
        """Nothing, after choosing a folder for what does not fit into memory.

        Beside the file, as DuckDB would have it, this login may not be allowed to write.
        """
        folder = str(Path(tempfile.gettempdir()) / f"connector-duckdb-{os.getpid()}")
        # Connections to one file share it, and DuckDB refuses to set it once it is in use.
        if con.execute("select current_setting('temp_directory')").fetchall() != [(folder,)]:
            con.execute("set temp_directory = '" + folder.replace("'", "''") + "'")


def bound_memory(con: duckdb.DuckDBPyConnection, memory: str) -> None:
    """Nothing, after limiting the database to this much, such as 256MB, and to the threads that this is enough for."""
    con.execute(f"set memory_limit = '{memory}'")
    amount = int(memory.removesuffix("MB").removesuffix("GB"))
    limit_threads(con, amount * (10**9 if memory.endswith("GB") else 10**6))


def bind(con: duckdb.DuckDBPyConnection, query: Query) -> list[tuple[str, str]]:
    """The names and DuckDB types of the columns, without running the query."""
    try:
        statements = con.extract_statements(query.sql)
        if len(statements) != 1 or statements[0].type != duckdb.StatementType.SELECT:
            raise SourceError(
                f"a model is one SELECT; this is {_named(statements)}", slug="not-a-select", at=query.at(0)
            )
    except duckdb.Error as error:
        raise _refused(con, error, query, prefix=0) from error
    try:
        rows = con.execute(_DESCRIBE + query.sql).fetchall()
    except duckdb.Error as error:
        raise _refused(con, error, query, prefix=len(_DESCRIBE)) from error
    return [(row[0], row[1]) for row in rows]


def _conversion(described: list[tuple[str, str]]) -> str:
    """What to put before the query, in parentheses, so that Arrow changes no value; empty when none needs it."""
    if not any(kind in AS_TEXT for _, kind in described):
        return ""
    # By position: names may be there twice.
    columns = [
        f"#{place}::varchar as {quoted(name)}" if kind in AS_TEXT else f"#{place}"
        for place, (name, kind) in enumerate(described, 1)
    ]
    return f"select {', '.join(columns)} from ("


def _named(statements: list[duckdb.Statement]) -> str:
    if len(statements) == 1:
        return f"one {statements[0].type.name}"
    return f"{len(statements)} statements" if statements else "empty"


# --- what DuckDB's errors mean ---------------------------------------------------------------------------------------


def _refused(con: duckdb.DuckDBPyConnection, error: duckdb.Error, query: Query, *, prefix: int) -> SourceError:
    """What is wrong with the SQL, and where. `prefix` bytes were put before it."""
    facts = _facts(error)
    message = str(facts["exception_message"]).split("\n", 1)[0].rstrip("!")
    at = _place(facts, query, prefix)
    table = re.match(r'Table with name "?([^"\s]+)', message)
    if table:
        return SourceError(message, slug="source-table-missing", at=at, hint=_nearest(con, table[1]))
    candidates = facts.get("candidates")
    hint = f"did you mean {candidates}?" if candidates else None
    return SourceError(f"the warehouse refused the SQL: {message}", slug="source-query", at=at, hint=hint)


def _nearest(con: duckdb.DuckDBPyConnection, name: str) -> str:
    """The table that was probably meant, and those that are there."""
    rows = con.execute(
        "select table_schema, table_name from information_schema.tables where table_catalog = current_database()"
    ).fetchall()
    tables = sorted(table if schema == "main" else f"{schema}.{table}" for schema, table in rows)
    if not tables:
        return "the database has no tables"
    spellings = {spelling: table for table in tables for spelling in (table, table.rpartition(".")[2])}
    close = get_close_matches(name, spellings, n=1)
    shown = ", ".join(tables[:8]) + (f" and {len(tables) - 8} more" if len(tables) > 8 else "")  # noqa: PLR2004
    return (f"did you mean '{spellings[close[0]]}'? " if close else "") + f"tables: {shown}"


def failed_reading(error: Exception, query: Query | None, *, prefix: int = 0) -> SourceError:
    """What broke while the query ran; without one, while something was asked beside it. `prefix` as in `_refused`."""
    facts = _facts(error)
    if facts.get("exception_type") == "INTERRUPT":
        return stopped()
    message = str(facts["exception_message"]).split("\n", 1)[0]
    hint = _HINTS.get(facts.get("exception_type", ""))
    at = None if query is None else _place(facts, query, prefix)
    return SourceError(f"the warehouse broke off: {message}", slug="source-read", at=at, hint=hint)


def _place(facts: dict[str, Any], query: Query, prefix: int = 0) -> str:
    """Where in the SQL; its beginning where DuckDB names no place.

    DuckDB counts bytes from the start of what it was given, which had `prefix` more of them.
    """
    if "position" not in facts:
        return query.at(0)
    return query.at(len(query.sql.encode()[: int(facts["position"]) - prefix].decode(errors="ignore")))


def _facts(error: Exception) -> dict[str, Any]:
    """The parts of a DuckDB error. `exception_message` is always there."""
    text = str(error)
    kind, _, rest = text.partition(" Error: ")
    if rest.startswith('{"exception_type"'):
        return dict(json.loads(rest))
    return {"exception_type": kind, "exception_message": rest or text}


def _missing_file(file: Path) -> SourceError:
    beside = sorted(path.name for path in file.parent.glob("*.duckdb")) if file.parent.is_dir() else []
    close = get_close_matches(file.name, beside, n=1, cutoff=0.5)
    return SourceError(
        f"there is no DuckDB file {file}",
        slug="source-file-missing",
        hint=(f"did you mean '{close[0]}'? " if close else "") + "the path is relative to connector.yml",
    )


def opened(file: Path | None, pauses: Sequence[float], *, read_only: bool = False) -> duckdb.DuckDBPyConnection:
    """The database. While another process has the file open in a way that shuts this one out, each pause is waited.

    Raises SourceError.
    """
    for pause in (*pauses, None):
        try:
            return duckdb.connect(MEMORY if file is None else str(file), read_only=read_only)
        except duckdb.Error as error:
            failure = failed_opening(error, file)
            if pause is None or failure.problem.slug != "source-file-locked":
                raise failure from error
        time.sleep(pause)
    raise AssertionError


def failed_opening(error: duckdb.Error, file: Path | None) -> SourceError:
    """Why the file cannot be opened. Another process holds it, it is not a DuckDB file, or the system says no."""
    message = str(_facts(error)["exception_message"]).split("\n", 1)[0]
    holder = re.search(r"(?:held in|open in)\s+(?P<program>.+?)\s+\(PID (?P<pid>\d+)\)", str(error))
    own = "different configuration" in message
    if holder or own or "lock on file" in message:
        who = f"process {holder['pid']} ({holder['program']})" if holder else "another process"
        return SourceError(
            f"{file} is open for writing in {'this very process' if own else who}",
            slug="source-file-locked",
            hint="DuckDB lets one process write or several read: run again when it is closed, or read a copy",
        )
    if _DAMAGED.search(message):
        return SourceError(
            f"{file} is not a DuckDB database that can be read: {message}",
            slug="source-file-invalid",
            hint="was it made by a newer DuckDB, or is it still being copied?",
        )
    return SourceError(f"{file} cannot be opened: {message}", slug="source-file-unreadable")
