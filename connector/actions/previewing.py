"""`connector preview`: a model's first rows."""

from __future__ import annotations

import json
import math
from collections import Counter
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from connector.errors import ConfigError
from connector.ports import Query

if TYPE_CHECKING:
    from connector.ports import Source
    from connector.project.definition import Model


def preview_model(model: Model, source: Source, limit: int) -> pa.Table:
    """The model's first rows. Raises SourceError, ConfigError for two columns of one name."""
    tag = f"connector:preview:{model.name}"
    query = Query(model.sql, tag, batch_rows=max(limit, 1), file=model.file, first_line=model.sql_line)
    with source.read(query) as reader:
        _refuse_one_name_twice(model, query, reader.schema.names)
        batches, rows = [], 0
        for batch in reader:
            batches.append(batch)
            rows += batch.num_rows
            if rows >= limit:
                break
        return pa.Table.from_batches(batches, reader.schema).slice(0, limit)


def _refuse_one_name_twice(model: Model, query: Query, names: list[str]) -> None:
    twice = next((name for name, count in Counter(names).items() if count > 1), None)
    if twice is not None:
        raise ConfigError(
            f"model '{model.name}' returns two columns named '{twice}'",
            slug="duplicate-column",
            at=query.at(0),
            hint="give one of them another name in the model (... as other_name)",
        )


def json_rows(table: pa.Table) -> list[list[Any]]:
    """The rows as values that JSON has; what has no form in JSON is its text."""
    import duckdb  # noqa: PLC0415 - start-up

    # By place: DuckDB takes names for the same that differ in case only.
    numbered = table.rename_columns([f"c{place}" for place in range(table.num_columns)])
    with duckdb.connect(":memory:", config={"threads": 1}) as connection:
        connection.execute("SET TimeZone = 'UTC'")
        connection.register("preview", numbered)
        # DuckDB has a text for every value; Python has none for infinite dates, the year 20000 and nanoseconds.
        shown = ", ".join(_shown(field) for field in numbered.schema)
        rows = connection.execute(f"SELECT {shown} FROM preview").fetchall()
    nested = [pa.types.is_nested(kind) for kind in table.schema.types]
    return [[_plain(value, parse=parse) for value, parse in zip(row, nested, strict=True)] for row in rows]


def _shown(field: pa.Field) -> str:
    kind = field.type
    if pa.types.is_nested(kind):
        return f"to_json({field.name})::VARCHAR"
    if pa.types.is_binary(kind) or pa.types.is_large_binary(kind):
        return f"lower(hex({field.name}))"
    plain = (pa.types.is_null, pa.types.is_boolean, pa.types.is_integer, pa.types.is_floating)
    return field.name if any(is_plain(kind) for is_plain in plain) else f"{field.name}::VARCHAR"


def _plain(value: Any, *, parse: bool) -> Any:
    if parse and value is not None:
        return json.loads(value, parse_constant=str)
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value
