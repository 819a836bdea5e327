"""The warehouses that whole runs are tested with: a copy of the tables of a DuckDB file, in each its own types.

Tests write their SQL for the DuckDB file (`Scene.sql`); what they leave there is what the warehouse has afterwards.
Servers start when a test first needs them, one a process.
"""

from __future__ import annotations

import atexit
import io
import logging
import sqlite3
from contextlib import ExitStack, closing
from functools import cache
from itertools import count
from typing import TYPE_CHECKING, Any, Protocol

import duckdb
import pyarrow as pa
import pytest
from pyarrow import csv

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.systems.warehouse.postgres_server import Server
    from tests.systems.warehouse.snowflake_server import SnowflakeServer

NAMES = ("duckdb", "postgres", "snowflake", "sqlite")

_servers = ExitStack()
_numbers = count()
atexit.register(_servers.close)


class Warehouse(Protocol):
    """Where the models of a project read."""

    @property
    def entry(self) -> dict[str, Any]:
        """What stands under `sources: warehouse:`."""
        ...

    def fill(self, workbench: duckdb.DuckDBPyConnection) -> None:
        """Nothing; the warehouse has the tables of the DuckDB file now, and those that it had before."""
        ...

    def ask(self, sql: str) -> list[tuple[Any, ...]]:
        """The rows of a query in the warehouse itself."""
        ...

    def tell(self, sql: str) -> None:
        """Nothing, after running a statement in the warehouse itself."""
        ...


def warehouse(name: str, root: Path) -> Warehouse:
    """A new and empty warehouse of that kind for a project in `root`."""
    kinds: dict[str, Callable[[Path], Warehouse]] = {
        "duckdb": DuckDbFile,
        "postgres": PostgresSchema,
        "snowflake": SnowflakeSchema,
        "sqlite": SqliteFile,
    }
    return kinds[name](root)


class DuckDbFile:
    """The file itself."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.entry = {"type": "duckdb", "path": "warehouse.duckdb"}

    def fill(self, workbench: duckdb.DuckDBPyConnection) -> None:
        """Nothing: they are there."""

    def ask(self, sql: str) -> list[tuple[Any, ...]]:
        """The rows of a query."""
        with closing(duckdb.connect(str(self.root / "warehouse.duckdb"), read_only=True)) as con:
            return con.execute(sql).fetchall()

    def tell(self, sql: str) -> None:
        """Nothing, after running a statement."""
        with closing(duckdb.connect(str(self.root / "warehouse.duckdb"))) as con:
            con.execute(sql)


class PostgresSchema:
    """A schema of its own on a real PostgreSQL; the superuser reads it, unless a test says otherwise."""

    def __init__(self, _: Path) -> None:
        self.server = postgres()
        self.schema = f"scene_{next(_numbers)}"
        self.server.run(f"create schema {self.schema}")
        self.entry = self.entry_of("postgres")

    def entry_of(self, user: str, password: str = "") -> dict[str, Any]:
        """The source for this login."""
        return {"type": "postgres", "url": f"{self.server.url(user, password)}?options=-csearch_path%3D{self.schema}"}

    def fill(self, workbench: duckdb.DuckDBPyConnection) -> None:
        """Nothing, after copying the tables."""
        import psycopg  # noqa: PLC0415

        with psycopg.connect(self.server.url()) as con:
            con.execute(f"set search_path to {self.schema}")
            for name, table in _tables(workbench):
                columns = ", ".join(f'"{field.name}" {_postgres(field)}' for field in table.schema)
                con.execute(f"drop table if exists {name} cascade")
                con.execute(f"create table {name} ({columns})")
                text = io.BytesIO()
                csv.write_csv(table, text, csv.WriteOptions(include_header=False, quoting_style="needed"))
                with con.cursor().copy(f"copy {name} from stdin (format csv)") as copy:
                    copy.write(text.getvalue())

    def ask(self, sql: str) -> list[tuple[Any, ...]]:
        """The rows of a query, as the superuser."""
        return self.server.ask(sql)

    def tell(self, sql: str) -> None:
        """Nothing, after running a statement, as the superuser."""
        self.server.run(sql)


class SnowflakeSchema:
    """A schema of its own on the Snowflake of the tests, which the real driver reads."""

    def __init__(self, _: Path) -> None:
        self.server = snowflake()
        self.schema = f"scene_{next(_numbers)}"
        self.server.run(f"create schema {self.schema}")
        self.entry = {**self.server.settings, "schema": self.schema}

    def fill(self, workbench: duckdb.DuckDBPyConnection) -> None:
        """Nothing, after copying the tables."""
        with closing(self.server.engine.connect("warehouse", self.schema)) as con:
            duck = con._duck_conn  # noqa: SLF001 - a million rows by SQL text would take minutes
            for name, table in _tables(workbench):
                duck.register("arriving", table)
                columns = ", ".join(f'"{field.name}" as {field.name.upper()}' for field in table.schema)
                duck.execute(f"create or replace table {name.upper()} as select {columns} from arriving")
                duck.unregister("arriving")

    def ask(self, sql: str) -> list[tuple[Any, ...]]:
        """The rows of a query."""
        with closing(self.server.engine.connect("warehouse", self.schema)) as con:
            rows: list[tuple[Any, ...]] = con.cursor().execute(sql).fetchall()  # type: ignore[assignment]
            return rows

    def tell(self, sql: str) -> None:
        """Nothing, after running a statement."""
        self.server.run(sql, schema=self.schema)


class SqliteFile:
    """A SQLite file, read through SQLAlchemy."""

    def __init__(self, root: Path) -> None:
        self.file = root / "warehouse.sqlite"
        self.entry = {"type": "sqlalchemy", "url": "sqlite:///warehouse.sqlite"}

    def fill(self, workbench: duckdb.DuckDBPyConnection) -> None:
        """Nothing, after copying the tables."""
        with closing(sqlite3.connect(self.file)) as con, con:
            for name, table in _tables(workbench):
                columns = ", ".join(f'"{field.name}" {_SQLITE[_kind(field)]}' for field in table.schema)
                con.execute(f"drop table if exists {name}")
                con.execute(f"create table {name} ({columns})")
                rows = zip(*(_plain(column) for column in table.columns), strict=True)
                con.executemany(f"insert into {name} values ({', '.join('?' * table.num_columns)})", rows)

    def ask(self, sql: str) -> list[tuple[Any, ...]]:
        """The rows of a query."""
        with closing(sqlite3.connect(self.file)) as con:
            return con.execute(sql).fetchall()

    def tell(self, sql: str) -> None:
        """Nothing, after running a statement."""
        with closing(sqlite3.connect(self.file)) as con, con:
            con.execute(sql)


@cache
def postgres() -> Server:
    """The PostgreSQL of this process."""
    pytest.importorskip("psycopg", reason="the extra `postgres` is not installed")
    from tests.systems.warehouse.postgres_server import running_postgres  # noqa: PLC0415 - needs psycopg

    return _servers.enter_context(running_postgres())


@cache
def snowflake() -> SnowflakeServer:
    """The Snowflake of this process."""
    pytest.importorskip("snowflake.connector", reason="the extra `snowflake` is not installed")
    pytest.importorskip("fakesnow.instance", reason="fakesnow is not installed")
    from tests.systems.warehouse.snowflake_server import running_snowflake  # noqa: PLC0415 - needs both

    logging.getLogger("snowflake.connector").setLevel(logging.CRITICAL)
    server = _servers.enter_context(running_snowflake())
    server.run("create schema if not exists marts")
    return server


_POSTGRES = {
    "text": "text",
    "float": "double precision",
    "integer": "bigint",
    "timestamp": "timestamp",
    "boolean": "boolean",
    "date": "date",
}
_SQLITE = {
    "text": "text",
    "float": "real",
    "integer": "integer",
    "timestamp": "text",
    "boolean": "integer",
    "date": "text",
    "decimal": "real",
}


def _postgres(field: pa.Field) -> str:
    kind = _kind(field)
    return f"numeric({field.type.precision}, {field.type.scale})" if kind == "decimal" else _POSTGRES[kind]


def _tables(workbench: duckdb.DuckDBPyConnection) -> Iterator[tuple[str, pa.Table]]:
    names = "SELECT table_name FROM duckdb_tables() WHERE schema_name = 'main' ORDER BY table_name"
    for (name,) in workbench.execute(names).fetchall():
        yield name, workbench.table(name).to_arrow_table()


def _kind(field: pa.Field) -> str:
    tests = {
        "text": pa.types.is_string,
        "float": pa.types.is_floating,
        "integer": pa.types.is_integer,
        "timestamp": pa.types.is_timestamp,
        "boolean": pa.types.is_boolean,
        "date": pa.types.is_date,
        "decimal": pa.types.is_decimal,
    }
    return next(name for name, is_so in tests.items() if is_so(field.type))


def _plain(column: pa.ChunkedArray) -> list[Any]:
    """The values as SQLite's driver takes them."""
    if pa.types.is_timestamp(column.type) or pa.types.is_date(column.type):
        column = column.cast(pa.string())
    elif pa.types.is_decimal(column.type):
        column = column.cast(pa.float64())
    values: list[Any] = column.to_pylist()
    return values
