"""What every loader shares: the SQL that replaces rows by others, the note of versions, and what can be wrong."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa

from connector.errors import SourceError
from connector.ports import Stored, StoredColumn, StoredTable

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    from connector.ports import Into, Load

VERSIONS = StoredTable(
    "connector_schema", 1, (StoredColumn("table_name", Stored.TEXT), StoredColumn("schema_version", Stored.NUMBER))
)
ARROW = {
    Stored.TEXT: pa.string(),
    Stored.NUMBER: pa.int64(),
    Stored.TIME: pa.timestamp("us", tz="UTC"),
    Stored.JSON: pa.string(),
}


def schema_of(table: StoredTable) -> pa.Schema:
    """The Arrow types in which rows for this table arrive."""
    return pa.schema([pa.field(column.name, ARROW[column.holds]) for column in table.columns])


def tables_of(loads: Sequence[Load]) -> list[StoredTable]:
    """Every table that is written to, each once."""
    return list(dict.fromkeys(into.table for load in loads for into in load.into))


def columns_sql(table: StoredTable, types: Mapping[Stored, str], quote: Callable[[str], str]) -> str:
    """The columns of a table as its CREATE names them."""
    return ", ".join(f"{quote(column.name)} {types[column.holds]}" for column in table.columns)


def replacing_sql(
    into: Into, name: str, staged: str, quote: Callable[[str], str], values: Mapping[Stored, str]
) -> list[str]:
    """The statements that take out of the table `name` what the rows of `staged` replace, and add these.

    `values` is SQL by what a column holds, with {} for the staged column, where the staged value is of another type.
    """
    replaced = quote(into.replaces[0])
    # Rows of one value, such as a run's own, are found by an index or in few blocks; not so by a join.
    gone = f"{replaced} in (select distinct {replaced} from {staged})"
    if len(into.replaces) > 1:
        same = " and ".join(f"{staged}.{quote(column)} = {name}.{quote(column)}" for column in into.replaces)
        gone = f"exists (select 1 from {staged} where {same})"
    columns = into.table.columns
    names = ", ".join(quote(column.name) for column in columns)
    picked = ", ".join(values.get(column.holds, "{}").format(quote(column.name)) for column in columns)
    return [
        f"delete from {name} where {gone}",
        f"insert into {name} ({names}) select {picked} from {staged}",
    ]


def check_tables(
    wanted: Sequence[StoredTable], found: Mapping[str, Collection[str]], versions: Mapping[str, int], schema: str
) -> None:
    """Nothing, when the tables that are there can be written to. Raises SourceError `logs-schema`.

    `found` has the columns of each table by the table's name, in small letters; `versions` is what is noted of them.
    """
    for table in wanted:
        version = versions.get(table.name)
        if version is not None and version > table.version:
            raise SourceError(
                f"{schema}.{table.name} has schema version {version}; this connector knows {table.version}",
                slug="logs-schema",
                hint="use the newer connector, or name another `schema:` under `logs:`",
            )
        missing = [c.name for c in table.columns if c.name not in found.get(table.name, (c.name,))]
        if missing:
            raise SourceError(
                f"{schema}.{table.name} has no column {', '.join(missing)}",
                slug="logs-schema",
                hint="somebody else made this table: rename it, or name another `schema:` under `logs:`",
            )


def unnoted(wanted: Sequence[StoredTable], versions: Mapping[str, int]) -> list[StoredTable]:
    """The tables whose version is not noted yet."""
    return [table for table in wanted if table.name not in versions]


def denied(said: str, grants: Sequence[str]) -> SourceError:
    """The login may not write. `grants` are the statements that let it."""
    return SourceError(
        f"the login may not write the logs: {said}", slug="logs-denied", hint="; ".join(grants) if grants else None
    )
