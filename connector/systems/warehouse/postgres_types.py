"""PostgreSQL's types: how each is asked for, and its Arrow type. docs/warehouses/postgres.md shows the tables.

What no driver reads well is cast by PostgreSQL itself, so that every driver returns the same.
"""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow as pa


@dataclass(frozen=True, slots=True)
class PostgresType:
    """Some types by their names in pg_type, with what they become.

    `arrow` is None for `numeric`, whose precision decides. `cast` is SQL with {} for the column, or empty.
    """

    names: tuple[str, ...]
    arrow: pa.DataType | None
    cast: str = ""
    note: str = ""


TEXT = "{}::text"
UTC = pa.timestamp("us", tz="UTC")

# In this order in the documentation.
SCALARS = (
    PostgresType(("int2",), pa.int16(), note="`smallint`"),
    PostgresType(("int4",), pa.int32(), note="`integer`"),
    PostgresType(("int8",), pa.int64(), note="`bigint`"),
    PostgresType(("oid",), pa.int64(), "{}::int8"),
    PostgresType(("float4",), pa.float32(), note="`real`"),
    PostgresType(("float8",), pa.float64(), note="`double precision`"),
    PostgresType(("numeric",), None, note="`numeric(p,s)` with p up to 38 is exact; any other is a 64-bit float"),
    PostgresType(("money",), pa.float64(), "{}::numeric"),
    PostgresType(("bool",), pa.bool_(), note="`boolean`"),
    PostgresType(("text", "varchar", "name"), pa.string()),
    PostgresType(("bpchar",), pa.string(), TEXT, note="`char(n)`, without the blanks at the end"),
    PostgresType(("date",), pa.date32()),
    PostgresType(("timestamp",), pa.timestamp("us"), note="taken as UTC"),
    PostgresType(("timestamptz",), UTC),
    PostgresType(("bytea",), pa.binary(), note="convert it in the model: `encode(c, 'hex')`"),
    PostgresType(("json", "jsonb"), pa.string(), TEXT, note="JSON text; with `type: list` an array is a list"),
)
# The elements of an array, by the name of the element's type. An array of anything else is a list of text.
ELEMENTS = (
    PostgresType(("int2", "int4", "int8"), pa.int64(), "{}::int8[]"),
    PostgresType(("float4", "float8"), pa.float64(), "{}::float8[]"),
    PostgresType(("numeric",), pa.float64(), "{}::float8[]"),
    PostgresType(("bool",), pa.bool_()),
    PostgresType(("text", "varchar"), pa.string(), "{}::text[]"),
)
OTHER = PostgresType((), pa.string(), TEXT, note="uuid, enums, time of day, interval, inet, xml, ranges, and so on")
OTHER_ARRAY = PostgresType((), pa.list_(pa.string()), "{}::text[]")
COMPOSITE = PostgresType((), pa.string(), "to_jsonb({})::text", note="rows and composite types: JSON text")

_SCALARS = {name: kind for kind in SCALARS for name in kind.names}
_ELEMENTS = {name: kind for kind in ELEMENTS for name in kind.names}

EXACT_DIGITS = 38


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a result as PostgreSQL describes it.

    `kind` is pg_type.typtype; `element` is the name of an array's element type.
    """

    name: str
    type: str
    kind: str = "b"
    element: str | None = None
    precision: int | None = None
    scale: int | None = None


def type_of(column: Column) -> tuple[str, pa.DataType]:
    """How the column is asked for (SQL with {} for it), and the Arrow type in which it arrives."""
    if column.element is not None:
        element = _ELEMENTS.get(column.element)
        found = OTHER_ARRAY if element is None else PostgresType((), pa.list_(element.arrow), element.cast)
    elif column.kind == "c" or column.type == "record":
        found = COMPOSITE
    else:
        found = _SCALARS.get(column.type, OTHER)
    arrow = found.arrow if found.arrow is not None else numeric(column.precision, column.scale)
    return found.cast or "{}", arrow


def numeric(precision: int | None, scale: int | None) -> pa.DataType:
    """The type of a decimal number: exact where Arrow and DuckDB have it, else a 64-bit float."""
    if precision is None or scale is None or not 0 <= scale <= precision or not 0 < precision <= EXACT_DIGITS:
        return pa.float64()
    return pa.decimal128(precision, scale)
