"""Writing to any database that SQLAlchemy knows: many rows a statement, all in one transaction.

SQLite has no schemas: the name of the schema stands before the name of each table there.
"""

from __future__ import annotations

import json
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from connector.errors import SourceError
from connector.ports import Stored
from connector.systems.warehouse import sqlalchemy_errors as errors
from connector.systems.warehouse.loading import VERSIONS, check_tables, denied, tables_of, unnoted
from connector.systems.warehouse.sqlalchemy import SqlAlchemy

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from connector.ports import Into, Load, StoredTable
    from connector.systems.warehouse.sqlalchemy import Settings

ROWS = 5_000  # a statement: each cell is a Python object for a moment
TEXT_LENGTH = 380  # of a text that rows are found by: MySQL indexes two of them, and none without a length


def open(settings: Settings, root: Path, schema: str) -> SqlAlchemyLoader:  # noqa: A001 - the registry's word
    """A loader that has not connected yet."""
    return SqlAlchemyLoader(settings, root, schema)


class SqlAlchemyLoader:
    """A `ports.Loader` on whatever the url names."""

    def __init__(self, settings: Settings, root: Path, schema: str) -> None:
        """Keep how to log in; nothing is connected to before it is needed."""
        self._source = SqlAlchemy(settings, root)
        self._limit_s = settings.timeouts.query_seconds
        self._schema = schema

    def load(self, loads: Sequence[Load]) -> None:
        """Nothing, after writing all of it in one transaction; making the tables is one of its own where it must be."""
        import sqlalchemy as sa  # noqa: PLC0415 - start-up

        engine = self._source.engine
        known = (sa.exc.SQLAlchemyError, engine.dialect.dbapi.Error, OSError, pa.ArrowException)
        try:
            con = engine.connect()
        except known as error:
            raise errors.refused_login(error, self._source.secrets) from None
        try:
            tables = self._tables(sa, con, loads)
            for load in loads:
                writers = [_Writer(sa, con, tables[into.table.name], into) for into in load.into]
                for batch in load.rows:
                    for start in range(0, batch.num_rows, ROWS):
                        rows = batch.slice(start, ROWS).to_pylist()
                        for writer in writers:
                            writer.write(rows)
            con.commit()
        except known as error:
            raise self._failed(error) from error
        finally:
            with suppress(*known):
                con.close()

    def _tables(self, sa: Any, con: Any, loads: Sequence[Load]) -> dict[str, Any]:
        """The tables by name, after making those that are missing. Raises SourceError."""
        wanted, metadata, prefix = tables_of(loads), sa.MetaData(), ""
        schema: str | None = self._schema
        if con.dialect.name == "sqlite":
            prefix, schema = f"{self._schema}_", None
        elif not con.dialect.has_schema(con, schema):
            con.execute(sa.schema.CreateSchema(schema))
        found_by = {into.table.name: into.replaces for load in loads for into in load.into}
        tables = {
            table.name: _table(sa, metadata, table, schema, prefix, found_by.get(table.name, ("table_name",)))
            for table in (*wanted, VERSIONS)
        }
        metadata.create_all(con)
        inspector = sa.inspect(con)
        found = {
            name: {column["name"].lower() for column in inspector.get_columns(table.name, schema)}
            for name, table in tables.items()
        }
        versions = {name: int(version) for name, version in con.execute(sa.select(tables[VERSIONS.name]))}
        check_tables(wanted, found, versions, self._schema)
        for table in unnoted(wanted, versions):
            con.execute(tables[VERSIONS.name].insert().values(table_name=table.name, schema_version=table.version))
        return tables

    def _failed(self, error: Exception) -> SourceError:
        failure = errors.broke_off(error, self._limit_s, self._source.secrets)
        said = failure.problem.message.removeprefix("the warehouse broke off: ")
        if errors.is_denied(error, said):
            name = self._schema
            return denied(
                said, (f"grant create, select, insert, delete on schema (MySQL: {name}.*) {name} to the login",)
            )
        if failure.problem.slug != "source-read":
            return failure
        return SourceError(f"the logs could not be written: {said}", slug="logs-broke-off")


def _table(
    sa: Any, metadata: Any, table: StoredTable, schema: str | None, prefix: str, found_by: tuple[str, ...]
) -> Any:
    types = {
        Stored.TEXT: sa.Text(),
        Stored.NUMBER: sa.BigInteger(),
        Stored.TIME: sa.DateTime(timezone=True),
        Stored.JSON: sa.JSON(none_as_null=True),
    }
    columns = [
        sa.Column(column.name, sa.String(TEXT_LENGTH) if column.name in found_by else types[column.holds])
        for column in table.columns
    ]
    name = prefix + table.name
    return sa.Table(name, metadata, *columns, sa.Index(f"{name}_key", *found_by), schema=schema)


class _Writer:
    """Puts rows into one table, in the place of those that they replace."""

    def __init__(self, sa: Any, con: Any, table: Any, into: Into) -> None:
        self._con = con
        self._insert = table.insert()
        self._delete = table.delete().where(
            *(table.c[column] == sa.bindparam(f"old_{column}") for column in into.replaces)
        )
        self._columns = into.replaces
        self._json = [column.name for column in into.table.columns if column.holds is Stored.JSON]
        self._last: tuple[Any, ...] | None = None

    def write(self, rows: list[dict[str, Any]]) -> None:
        """Nothing, after writing these rows; those that replace the same ones stand together, over calls, too."""
        keys = dict.fromkeys(tuple(row[column] for column in self._columns) for row in rows)
        last = next(reversed(keys))
        if self._last is not None:
            keys.pop(self._last, None)
        if keys:
            old = [{f"old_{name}": value for name, value in zip(self._columns, key, strict=True)} for key in keys]
            self._con.execute(self._delete, old)
        self._last = last
        self._con.execute(self._insert, [row | {name: _parsed(row[name]) for name in self._json} for row in rows])


def _parsed(text: str | None) -> Any:
    return None if text is None else json.loads(text)
