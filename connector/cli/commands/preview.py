"""`connector preview`."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Any

import click

from connector.actions.figures import counted
from connector.cli.invocation import current, everywhere, option
from connector.cli.layout import Column, Styled, Table
from connector.cli.screen import DIM, compact

if TYPE_CHECKING:
    import pyarrow as pa

    from connector.cli.screen import Screen


@everywhere
@click.command()
@click.argument("model")
@option("--limit", metavar="N", type=click.IntRange(min=0), default=10, help="How many rows.")
def preview(model: str, *, limit: int) -> None:
    """The first rows of MODEL and the types of its columns, as the warehouse returns them."""
    invocation = current()
    with invocation.project() as project:
        table = project.preview(model, limit=limit)
        keys = project.definition.models[model].settings.primary_key
    columns = [{"name": field.name, "type": str(field.type)} for field in table.schema]
    if invocation.screen.as_json:
        rows = [{name: _json(value) for name, value in row.items()} for row in table.to_pylist()]
        invocation.screen.document({"model": model, "columns": columns, "rows": rows})
        return
    _show(invocation.screen, table, {key.lower() for key in keys})


def _show(screen: Screen, table: pa.Table, keys: set[str]) -> None:

    shown = Table([Column(field.name, "right" if _is_number(field) else "left", "end") for field in table.schema])
    shown.add(*(Styled(_type_words(field.type), DIM) for field in table.schema))
    for row in table.to_pylist():
        shown.add(*(_text(value) for value in row.values()))
    screen.out.table(shown)
    named = [field.name for field in table.schema if field.name.lower() in keys]
    screen.err.line(Styled(f"{counted(table.num_rows, 'row')}; primary key: {', '.join(named)}", DIM))


def _type_words(kind: pa.DataType) -> str:
    """The type without what nobody asks at this point, so that the table stays narrow."""
    return (
        re.sub(r"\[[a-z]+(?:, tz=([^\]]+))?\]", r" \1", str(kind))
        .strip()
        .replace("128(", "(")
        .replace("date32", "date")
    )


def _is_number(field: pa.Field) -> bool:
    import pyarrow as pa  # noqa: PLC0415 - start-up

    kind = field.type
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind))


def _text(value: Any) -> Any:

    if value is None:
        return Styled("null", DIM)
    return compact(_json(value)) if isinstance(value, (dict, list)) else str(_json(value))


def _json(value: Any) -> Any:
    """The value as JSON has it: what JSON does not know becomes its text."""
    if isinstance(value, dict):
        return {str(name): _json(inner) for name, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_json(inner) for inner in value]
    if isinstance(value, bytes):
        return value.hex()
    if value is None or isinstance(value, (bool, int, str)) or (isinstance(value, float) and math.isfinite(value)):
        return value
    return str(value)
