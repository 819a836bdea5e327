"""Snapshots in a DuckDB file. Comparing leaves the file open for other readers; only a write has it for itself."""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import duckdb

from connector.errors import SourceError
from connector.systems.warehouse.duckdb import AS_TEXT, MEMORY_LIMIT, DuckDb, bind, failed_reading, opened
from connector.systems.warehouse.snapshots import ModelColumn, StoredSnapshot, denied
from connector.systems.warehouse.stream import Reading
from connector.values import Kind, kind_of, plain_text, quoted, quoted_text

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    import pyarrow as pa

    from connector.ports import Query, WarehouseSnapshot
    from connector.systems.warehouse.duckdb import Settings
    from connector.systems.warehouse.snapshots import Session

# Seconds to wait for readers, each time the file is found open.
PAUSES = (0.1,) * 20 + (0.5,) * 16
BATCH_ROWS = 100_000


def open(settings: Settings, root: Path, sync: str) -> WarehouseSnapshot:  # noqa: A001 - the word of the registry
    """A sync's snapshot; nothing is opened before it is needed."""
    return StoredSnapshot(DuckDbPlace(settings.path, root, settings.state_schema, memory=settings.memory), sync)


class DuckDbPlace(DuckDb):
    """A `Place` in a DuckDB file."""

    text_type = "varchar"
    row_number = "row_number() over ()"

    def __init__(
        self,
        path: str,
        root: Path,
        schema: str,
        *,
        memory: str = MEMORY_LIMIT,
        write_pauses: tuple[float, ...] = PAUSES,
    ) -> None:
        super().__init__(path, root, memory=memory)
        self._schema = schema
        self._write_pauses = write_pauses

    @contextmanager
    def session(self, tag: str, *, write: bool) -> Iterator[DuckDbSession]:  # noqa: ARG002 - a file knows no tags
        """A session on the file."""
        with self._writing() if write else self._connection() as con:
            reading = Reading(con.interrupt, (duckdb.Error, OSError), self._failed)
            with self._lock:
                self._readings.add(reading)
            try:
                yield DuckDbSession(con, reading)
            finally:
                with self._lock:
                    self._readings.discard(reading)

    def describe(self, query: Query) -> list[ModelColumn]:
        """The model's columns."""
        with self._connection() as con:
            return [_column(name, kind) for name, kind in bind(con, query)]

    def model(self, query: Query, columns: Sequence[ModelColumn]) -> str:  # noqa: ARG002 - they keep their names
        """The model in parentheses."""
        return f"(\n{query.sql}\n) as model"

    def stage(self, session: Session, select: str) -> None:
        """Nothing, after making the temporary table `connector_staged`, empty, with the columns of this query."""
        session.run(f"create temporary table connector_staged as {select} limit 0")

    def table(self, name: str) -> str:
        """The full name of a table of the schema."""
        return f"{quoted(self._schema)}.{quoted(name)}"

    def tables(self, session: Session) -> set[str]:
        """The names of the schema's tables."""
        found = session.ask(
            "select table_name from duckdb_tables() where database_name = current_database() "
            f"and lower(schema_name) = lower({quoted_text(self._schema)})"
        )
        return {name for (name,) in found}

    def json_string(self, sql: str) -> str:
        """SQL for a text as a JSON string."""
        return f"cast(to_json({sql}) as varchar)"

    def by_bytes(self, sql: str) -> str:
        """SQL for a text that equals another only if their bytes do."""
        return sql

    def literal(self, text: str) -> str:
        """A text as SQL."""
        return quoted_text(text)

    def refuse_missing_grants(self, tables: Sequence[str]) -> bool:
        """Whether these tables are there; the file and its folder can be written to."""
        self._refuse_read_only()
        with self.session("", write=False) as session:
            return self.tables(session).issuperset(tables)

    def _refuse_read_only(self) -> None:
        file = self._path()
        if not file.exists():
            return
        for path, why in ((file, "the file"), (file.parent, "its folder, for the file's log,")):
            if not os.access(path, os.W_OK, effective_ids=os.access in os.supports_effective_ids):
                raise denied(str(file), f"{why} cannot be written to", [f"chmod u+w {path}"])

    def make_schema(self) -> None:
        """Nothing, after making the schema."""
        with self.session("", write=True) as session:
            session.run(f"create schema if not exists {quoted(self._schema)}")

    def _path(self) -> Path:
        if self._file is None:
            raise SourceError(
                "planner: warehouse needs a file that keeps the snapshot, and :memory: keeps nothing",
                slug="source-settings",
                hint="use planner: local",
            )
        return self._file

    @contextmanager
    def _writing(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """The file, open for writing. Others who read it get a moment to come to their end."""
        file = self._path()
        self._refuse_read_only()
        with opened(file, self._write_pauses) as con:
            con.execute("set session timezone = 'UTC'; set session enable_progress_bar = false")
            yield con

    def _failed(self, error: Exception) -> SourceError:
        return failed_reading(error, None)


class DuckDbSession:
    """A `Session` on one connection."""

    def __init__(self, con: duckdb.DuckDBPyConnection, reading: Reading) -> None:
        self._con = con
        self._reading = reading

    def run(self, sql: str) -> None:
        """Nothing, after running a statement."""
        self.ask(sql)

    def ask(self, sql: str) -> list[tuple[Any, ...]]:
        """The few rows of a query."""
        self._reading.go_on()
        try:
            return self._con.execute(sql).fetchall()
        except duckdb.Error as error:
            raise self._reading.explained(error) from error

    @contextmanager
    def read(self, sql: str) -> Iterator[pa.RecordBatchReader]:
        """The result of a query, streamed."""
        try:
            reader = self._con.sql(sql).to_arrow_reader(BATCH_ROWS)
        except duckdb.Error as error:
            raise self._reading.explained(error) from error
        with reader, self._reading.reader(reader.schema, reader) as guarded:
            yield guarded

    def upload(self, table: str, rows: pa.RecordBatchReader) -> None:
        """Nothing, after adding rows to a temporary table."""
        self._con.register("arriving", rows)
        self.run(f"insert into {table} select * from arriving")
        self._con.unregister("arriving")

    def begin(self) -> None:
        """Nothing; what follows is one transaction."""
        self.run("begin")

    def commit(self) -> None:
        """Nothing, after ending it well."""
        self.run("commit")

    def keep(self) -> None:
        """Nothing: it is."""

    def seal(self) -> None:
        """Nothing: the file was opened for reading."""


def _column(name: str, kind_name: str) -> ModelColumn:
    shown = ref = quoted(name)
    kind = kind_of(kind_name)
    if kind_name in AS_TEXT:
        ref, kind = f"cast({shown} as varchar)", Kind.TEXT
    key = None if kind in (Kind.BLOB, Kind.LIST, Kind.NESTED) else plain_text(ref, kind)
    if kind is Kind.REAL:
        key = f"case when isfinite({ref}) then {key} end"
    match kind:
        case Kind.BLOB:
            text = f"hex({ref})"
        case Kind.LIST | Kind.NESTED:
            # One of them alone may lose a type, or a quote.
            text = f"(cast(to_json({ref}) as varchar) || ' ' || cast({ref} as varchar))"
        case _:
            text = f"cast({ref} as varchar)"
    return ModelColumn(name, ref, shown, text, key)
