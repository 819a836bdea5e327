"""Writing to a DuckDB file: one transaction, while no other process has the file open."""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import TYPE_CHECKING

import duckdb
import pyarrow as pa

from connector.errors import SourceError
from connector.ports import Stored
from connector.systems.warehouse.duckdb import MEMORY, MEMORY_LIMIT, bound_memory, opened
from connector.systems.warehouse.loading import (
    VERSIONS,
    check_tables,
    columns_sql,
    replacing_sql,
    tables_of,
    unnoted,
)
from connector.values import quoted, quoted_text

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from connector.ports import Load, StoredTable
    from connector.systems.warehouse.duckdb import Settings

TYPES = {Stored.TEXT: "VARCHAR", Stored.NUMBER: "BIGINT", Stored.TIME: "TIMESTAMPTZ", Stored.JSON: "JSON"}
# Seconds to wait for readers, each time the file is found open: a model is read in moments, or in minutes.
PAUSES = (0.1,) * 20 + (0.5,) * 16


def open(settings: Settings, root: Path, schema: str) -> DuckDbLoader:  # noqa: A001 - the word that the registry asks for
    """A loader that has not opened the file yet."""
    return DuckDbLoader(settings.path, root, schema)


class DuckDbLoader:
    """A `ports.Loader` on one DuckDB file, which is made where it is missing."""

    def __init__(self, path: str, root: Path, schema: str, *, pauses: tuple[float, ...] = PAUSES) -> None:
        """Keep where the file is; nothing is opened before it is needed."""
        self._file = None if path == MEMORY else root.resolve() / os.path.expanduser(path)  # noqa: PTH111
        self._schema = schema
        self._pauses = pauses
        self._catalog = ""  # a schema may have the name of the file, and DuckDB then asks which of both is meant

    def load(self, loads: Sequence[Load]) -> None:
        """Nothing, after writing all of it in one transaction."""
        with self._connection() as con:
            try:
                con.begin()
                self._catalog = str(con.sql("select current_database()").fetchall()[0][0])
                self._prepare(con, tables_of(loads))
                for load in loads:
                    self._write(con, load)
                con.commit()
            except (duckdb.Error, pa.ArrowException) as error:
                said = str(error).strip().splitlines()[0]
                raise SourceError(f"{self._file} could not be written: {said}", slug="logs-broke-off") from error

    def _prepare(self, con: duckdb.DuckDBPyConnection, tables: list[StoredTable]) -> None:
        con.execute(f"create schema if not exists {quoted(self._catalog)}.{quoted(self._schema)}")
        for table in (*tables, VERSIONS):
            con.execute(f"create table if not exists {self._name(table)} ({columns_sql(table, TYPES, quoted)})")
        columns = con.execute(
            "select table_name, list(lower(column_name)) from duckdb_columns() "
            f"where database_name = current_database() and schema_name = {quoted_text(self._schema)} group by all"
        ).fetchall()
        versions = dict(con.execute(f"select table_name, schema_version from {self._name(VERSIONS)}").fetchall())
        check_tables(tables, dict(columns), versions, self._schema)
        for table in unnoted(tables, versions):
            con.execute(f"insert into {self._name(VERSIONS)} values (?, ?)", [table.name, table.version])

    def _write(self, con: duckdb.DuckDBPyConnection, load: Load) -> None:
        con.register("arriving", load.rows)
        con.execute("create or replace temp table staged as select * from arriving")
        con.unregister("arriving")
        for into in load.into:
            for statement in replacing_sql(into, self._name(into.table), "staged", quoted, {}):
                con.execute(statement)

    def _name(self, table: StoredTable) -> str:
        return f"{quoted(self._catalog)}.{quoted(self._schema)}.{quoted(table.name)}"

    @contextmanager
    def _connection(self) -> Iterator[duckdb.DuckDBPyConnection]:
        if self._file is None:
            raise SourceError(
                "logs cannot be written to :memory:",
                slug="source-settings",
                hint="give `logs:` a source with a file of its own: { type: duckdb, path: audit.duckdb }",
            )
        with opened(self._file, self._pauses) as con:
            con.execute(
                "set session timezone = 'UTC'; set session enable_progress_bar = false;"
                "set preserve_insertion_order = false"
            )
            bound_memory(con, MEMORY_LIMIT)
            yield con
