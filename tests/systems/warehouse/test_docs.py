"""The pages about warehouses say what the code does."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pytest

from connector.systems import SOURCES
from connector.systems.warehouse.fitting import type_name
from connector.systems.warehouse.postgres_types import COMPOSITE, ELEMENTS, OTHER, SCALARS, PostgresType
from connector.systems.warehouse.snowflake_types import TYPES
from connector.systems.warehouse.timeouts import Timeouts
from connector.values import Kind, kind_of

if TYPE_CHECKING:
    from collections.abc import Iterator

DOCS = Path(__file__).parents[3] / "docs"
DUCKDB = {
    pa.string(): "VARCHAR",
    pa.bool_(): "BOOLEAN",
    pa.date32(): "DATE",
    pa.binary(): "BLOB",
    pa.float32(): "FLOAT",
    pa.float64(): "DOUBLE",
    pa.timestamp("us"): "TIMESTAMP",
    pa.timestamp("us", tz="UTC"): "TIMESTAMP WITH TIME ZONE",
    pa.time64("us"): "TIME",
}


def sent_as(arrow: pa.DataType) -> str:
    """What a column of this type is sent as when the mapping names no type."""
    name = "BIGINT" if pa.types.is_integer(arrow) else "VARCHAR[]" if pa.types.is_list(arrow) else DUCKDB[arrow]
    default = kind_of(name).default
    return str(default) if default is not None else "-"


def snowflake_table() -> Iterator[str]:
    yield "| Snowflake | arrives as | sent as, by default | |"
    yield "|---|---|---|---|"
    for kind in TYPES:
        names = ", ".join(f"`{name}`" for name in kind.names)
        if kind.names == ("FIXED",):
            yield f"| `NUMBER(p,0)` | 64-bit integer or decimal(p,0) | {Kind.WHOLE.default} | {kind.note} |"
            yield f"| `NUMBER(p,s)` | decimal(p,s) | {Kind.DECIMAL.default} | exact |"
        elif kind.arrow is None:
            yield f"| {names} | - | - | {kind.note} |"
        else:
            yield f"| {names} | {type_name(kind.arrow)} | {sent_as(kind.arrow)} | {kind.note} |"


def postgres_table() -> Iterator[str]:
    yield "| PostgreSQL | asked for as | arrives as | sent as, by default | |"
    yield "|---|---|---|---|---|"
    for kind in SCALARS:
        names = ", ".join(f"`{name}`" for name in kind.names)
        if kind.arrow is None:
            yield f"| `numeric(p,s)` | | decimal(p,s) | {Kind.DECIMAL.default} | {kind.note} |"
        else:
            yield f"| {names} | {asked(kind)} | {type_name(kind.arrow)} | {sent_as(kind.arrow)} | {kind.note} |"
    for kind in ELEMENTS:
        assert kind.arrow is not None
        names = ", ".join(f"`{name}[]`" for name in kind.names)
        arrow = pa.list_(kind.arrow)
        yield f"| {names} | {asked(kind)} | {type_name(arrow)} | {sent_as(arrow)} | of any number of dimensions |"
    for kind, name in ((COMPOSITE, "rows"), (OTHER, "any other")):
        assert kind.arrow is not None
        yield f"| {name} | {asked(kind)} | {type_name(kind.arrow)} | {sent_as(kind.arrow)} | {kind.note} |"
    yield "| any other array | `c::text[]` | list of text | list | |"


def asked(kind: PostgresType) -> str:
    return f"`{kind.cast.format('c')}`" if kind.cast else ""


def written(page: str) -> list[str]:
    text = (DOCS / f"warehouses/{page}.md").read_text(encoding="utf-8")
    return text.partition("<!-- types -->\n")[2].partition("<!-- end of types -->")[0].splitlines()


@pytest.mark.parametrize(("page", "table"), [("snowflake", snowflake_table), ("postgres", postgres_table)])
def test_the_table_of_types_is_the_codes_own(page: str, table: object) -> None:
    assert callable(table)
    assert written(page) == list(table())


@pytest.mark.parametrize("page", ["snowflake", "postgres", "sqlalchemy", "duckdb"])
def test_every_setting_is_on_the_page_and_no_other(page: str) -> None:
    text = (DOCS / f"warehouses/{page}.md").read_text(encoding="utf-8")
    model = SOURCES[page].settings()
    known = {field.alias or name for name, field in model.model_fields.items()} - {"type", "timeouts"}
    known |= {f"timeouts.{name}" for name in Timeouts.model_fields} if page != "duckdb" else set()
    table = text.partition("| setting | default | means |\n|---|---|---|\n")[2].partition("\n\n")[0]
    listed = {name for row in table.splitlines() for name in re.findall(r"`([a-z_.]+)`", row.split("|")[1])}

    assert listed == known
    assert f"type: {page}" in text


@pytest.mark.parametrize("page", ["snowflake", "postgres", "sqlalchemy", "duckdb"])
def test_a_page_has_what_every_page_has(page: str) -> None:
    text = (DOCS / f"warehouses/{page}.md").read_text(encoding="utf-8")
    headings = re.findall(r"^## (.+)$", text, re.MULTILINE)

    assert {"Network", "Types"} <= set(headings)
    assert "can only read" in text or "read-only" in text


@pytest.mark.parametrize(
    ("seconds", "name"), [(Timeouts().connect_seconds, "connect_seconds"), (Timeouts().query_seconds, "query_seconds")]
)
def test_the_pages_know_the_defaults(seconds: int, name: str) -> None:
    for page in ("snowflake", "postgres", "sqlalchemy"):
        text = (DOCS / f"warehouses/{page}.md").read_text(encoding="utf-8")
        assert f"| `timeouts.{name}` | {seconds} |" in text
