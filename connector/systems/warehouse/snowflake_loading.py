"""Writing to Snowflake: rows travel as one Parquet file a load to a temporary stage, and move on in one transaction."""

from __future__ import annotations

import tempfile
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from connector.errors import SourceError
from connector.ports import Stored
from connector.systems.warehouse import snowflake_errors as errors
from connector.systems.warehouse.driver import driver
from connector.systems.warehouse.loading import (
    VERSIONS,
    check_tables,
    columns_sql,
    denied,
    replacing_sql,
    schema_of,
    tables_of,
    unnoted,
)
from connector.systems.warehouse.snowflake import EXTRA, Snowflake
from connector.values import quoted_text

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from connector.ports import Load, StoredTable
    from connector.systems.warehouse.snowflake import Settings

TYPES = {Stored.TEXT: "varchar", Stored.NUMBER: "number(38, 0)", Stored.TIME: "timestamp_tz", Stored.JSON: "variant"}
# A Parquet file has no VARIANT, and its timestamps depend on settings of the account: both travel as text.
STAGED = TYPES | {Stored.TIME: "varchar", Stored.JSON: "varchar"}
VALUES = {Stored.TIME: "{}::timestamp_tz", Stored.JSON: "parse_json({})"}


def open(settings: Settings, root: Path, schema: str) -> SnowflakeLoader:  # noqa: A001 - the registry's word
    """A loader that has not connected yet."""
    return SnowflakeLoader(settings, root, schema)


class SnowflakeLoader:
    """A `ports.Loader` on one schema of a Snowflake account."""

    def __init__(self, settings: Settings, root: Path, schema: str) -> None:
        """Keep how to log in; nothing is connected to before it is needed."""
        self._settings = settings
        self._source = Snowflake(settings, root)
        self._schema = schema.upper()
        self._needed: tuple[str, ...] = ()  # the grants that the statement needs which is on its way

    def load(self, loads: Sequence[Load]) -> None:
        """Nothing, after writing all of it in one transaction; what is made for it outside of that is temporary."""
        with self._source.connection("connector:logs") as con, tempfile.TemporaryDirectory() as folder:
            try:
                cursor = con.cursor()
                self._prepare(cursor, tables_of(loads))
                staged = [self._staged(cursor, load, at, Path(folder)) for at, load in enumerate(loads)]
                self._needed = self._grants("select, insert, delete on all tables in schema {schema}")
                cursor.execute("begin")
                try:
                    for load, name in zip(loads, staged, strict=True):
                        for into in load.into:
                            for statement in replacing_sql(into, self._name(into.table.name), name, quote, VALUES):
                                cursor.execute(statement)
                    cursor.execute("commit")
                except BaseException:
                    with suppress(self._error, OSError):
                        cursor.execute("rollback")
                    raise
            except (self._error, OSError, pa.ArrowException) as error:
                raise self._failed(error) from error

    def _prepare(self, cursor: Any, wanted: list[StoredTable]) -> None:
        self._needed = self._grants("create schema on database {database}", "ownership on schema {schema}")
        known = f"select 1 from information_schema.schemata where schema_name = {quoted_text(self._schema)}"
        if not cursor.execute(known).fetchall():
            cursor.execute(f"create schema {quote(self._schema)}")
        self._needed = self._grants("usage, create table, create stage on schema {schema}")
        cursor.execute(f"use schema {quote(self._schema)}")
        columns = "select table_name, column_name from information_schema.columns where table_schema = "
        found: dict[str, list[str]] = {}
        for table, column in cursor.execute(columns + quoted_text(self._schema)).fetchall():
            found.setdefault(table.lower(), []).append(column.lower())
        for table in (*wanted, VERSIONS):
            if table.name not in found:
                cursor.execute(f"create table {self._name(table.name)} ({columns_sql(table, TYPES, quote)})")
        self._needed = self._grants("select, insert, delete on all tables in schema {schema}")
        noted = cursor.execute(f"select table_name, schema_version from {self._name(VERSIONS.name)}").fetchall()
        versions = {name: int(version) for name, version in noted}
        check_tables(wanted, found, versions, self._schema)
        for table in unnoted(wanted, versions):
            values = f"({quoted_text(table.name)}, {table.version})"
            cursor.execute(f"insert into {self._name(VERSIONS.name)} values {values}")

    def _staged(self, cursor: Any, load: Load, at: int, folder: Path) -> str:
        """The temporary table with the rows, as it is named in SQL."""
        table = load.into[0].table
        self._needed = self._grants("usage, create table, create stage on schema {schema}")
        name, stage = quote(f"connector_staged_{at}"), quote(f"connector_stage_{at}")
        cursor.execute(f"create temporary table {name} ({columns_sql(table, STAGED, quote)})")
        file = folder / f"rows_{at}.parquet"
        if not _written(file, load):
            return name
        cursor.execute(f"create temporary stage {stage}")
        # Parquet is compressed already; the driver would send a gzip of it.
        cursor.execute(f"put {quoted_text(file.as_uri())} @{stage} auto_compress = false overwrite = true")
        cursor.execute(
            f"copy into {name} from @{stage} file_format = (type = parquet) match_by_column_name = case_insensitive"
        )
        return name

    def _name(self, table: str) -> str:
        return f"{quote(self._schema)}.{quote(table)}"

    def _grants(self, *what: str) -> tuple[str, ...]:
        database = self._settings.database or "DATABASE"
        schema, role = f"{database}.{self._schema}", self._settings.role or "ROLE"
        return tuple(f"grant {each.format(database=database, schema=schema)} to role {role}" for each in what)

    @property
    def _error(self) -> Any:
        return driver("snowflake.connector", extra=EXTRA, package="snowflake-connector-python").Error

    def _failed(self, error: Exception) -> SourceError:
        failure = errors.broke_off(error, self._settings.timeouts.query_seconds, self._source.secrets)
        said = failure.problem.message.removeprefix("the warehouse broke off: ")
        number = getattr(error, "errno", None)
        if number in (*errors.NO_PRIVILEGE, *errors.NO_SUCH_OBJECT):
            return denied(said, self._needed)
        if failure.problem.slug != "source-read":
            return failure
        return SourceError(f"the logs could not be written: {said}", slug="logs-broke-off")


def quote(name: str) -> str:
    """The name as Snowflake keeps names that are written without quotes, so that nobody needs them to read it."""
    return f'"{name.upper()}"'


def _written(file: Path, load: Load) -> int:
    """How many rows were written to the file."""
    table = load.into[0].table
    schema = pa.schema(
        [field.with_type(pa.string()) if pa.types.is_timestamp(field.type) else field for field in schema_of(table)]
    )
    rows = 0
    with pq.ParquetWriter(file, schema, compression="snappy") as writer:
        for batch in load.rows:
            writer.write_batch(pa.RecordBatch.from_arrays(list(_texts(batch)), schema=schema))
            rows += batch.num_rows
    return rows


def _texts(batch: pa.RecordBatch) -> Iterator[pa.Array]:
    for column in batch.columns:
        yield pc.strftime(column, "%Y-%m-%dT%H:%M:%SZ") if pa.types.is_timestamp(column.type) else column
