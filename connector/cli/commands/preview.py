"""`connector preview`."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import click

from connector.actions.figures import counted
from connector.cli.invocation import current, everywhere, option
from connector.cli.layout import Column, Styled, Table
from connector.cli.screen import DIM, compact

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pyarrow as pa

    from connector.cli.layout import Part
    from connector.cli.screen import Screen


@everywhere
@click.command()
@click.argument("model")
@option("--limit", metavar="N", type=click.IntRange(min=0), default=10, help="How many rows.")
def preview(model: str, *, limit: int) -> None:
    """The first rows of MODEL and the types of its columns, as the warehouse returns them."""
    invocation = current()
    from connector.actions.previewing import json_rows  # noqa: PLC0415 - start-up

    with invocation.project() as project:
        table = project.preview(model, limit=limit)
        keys = project.definition.models[model].settings.primary_key
    columns = [{"name": field.name, "type": str(field.type)} for field in table.schema]
    rows = json_rows(table)
    if invocation.screen.as_json:
        named = [dict(zip(table.column_names, row, strict=True)) for row in rows]
        invocation.screen.document({"model": model, "columns": columns, "rows": named})
        return
    _show(invocation.screen, table, rows, keys)


def _show(screen: Screen, table: pa.Table, rows: list[list[Any]], keys: Sequence[str]) -> None:
    shown = Table([Column(field.name, "right" if _is_number(field) else "left", "end") for field in table.schema])
    shown.add(*(Styled(_type_words(field.type), DIM) for field in table.schema))
    for row in rows:
        shown.add(*(_text(value) for value in row))
    screen.out.table(shown)
    returned = {name.lower(): name for name in table.column_names}
    named = [returned.get(key.lower(), f"{key}, which the model does not return") for key in keys]
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


def _text(value: Any) -> Part:
    if value is None:
        return Styled("null", DIM)
    return value if isinstance(value, str) else compact(value)
