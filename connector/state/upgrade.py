"""The tables of an older state directory, completed: what came later is added, nothing is changed or taken away."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import inspect, text
from sqlalchemy.schema import CreateColumn

from connector.state.tables import metadata, state_version

if TYPE_CHECKING:
    from sqlalchemy import Column, Connection


def is_complete(connection: Connection) -> bool:
    """Whether every table, column and index that this connector knows is there."""
    found = inspect(connection)
    tables = set(found.get_table_names())
    return all(
        name in tables
        and {column.name for column in table.columns} <= {column["name"] for column in found.get_columns(name)}
        and {index.name for index in table.indexes} <= {index["name"] for index in found.get_indexes(name)}
        for name, table in metadata.tables.items()
    )


def complete(connection: Connection) -> None:
    """Nothing, after making the tables, columns and indexes that are missing. A column that comes later is nullable."""
    ours = inspect(connection).has_table(state_version.name)
    metadata.create_all(connection)
    if not ours:
        return  # a new file, or somebody else's, whose tables stay as they are
    found = inspect(connection)
    for name, table in metadata.tables.items():
        known = {column["name"] for column in found.get_columns(name)}
        for column in table.columns:
            if column.name not in known:
                connection.execute(text(f'ALTER TABLE "{name}" ADD COLUMN {_definition(connection, column)}'))
        for index in table.indexes:
            index.create(connection, checkfirst=True)


def _definition(connection: Connection, column: Column[Any]) -> str:
    return str(CreateColumn(column).compile(dialect=connection.dialect))
