"""Snowflake's types, and the Arrow type in which each arrives here. docs/warehouses/snowflake.md shows the table."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pyarrow as pa

from connector.errors import SourceError

if TYPE_CHECKING:
    from collections.abc import Sequence

UTC = pa.timestamp("us", tz="UTC")
INT64_DIGITS = 18  # every number of so many digits fits into 64 bits


@dataclass(frozen=True, slots=True)
class SnowflakeType:
    """Some types by the names that the driver has for them. `arrow` is None for NUMBER, and for what cannot be read."""

    names: tuple[str, ...]
    arrow: pa.DataType | None
    note: str = ""
    readable: bool = True


# In this order in the documentation.
TYPES = (
    SnowflakeType(("FIXED",), None, "`NUMBER`, `INTEGER`: exact; 64-bit up to 18 digits without decimals"),
    SnowflakeType(("REAL",), pa.float64(), "`FLOAT`, `DOUBLE`"),
    SnowflakeType(("TEXT",), pa.string(), "`VARCHAR`, `STRING`, `CHAR`"),
    SnowflakeType(("BOOLEAN",), pa.bool_()),
    SnowflakeType(("DATE",), pa.date32()),
    SnowflakeType(("TIMESTAMP_NTZ", "TIMESTAMP"), pa.timestamp("us"), "taken as UTC; microseconds"),
    SnowflakeType(("TIMESTAMP_LTZ", "TIMESTAMP_TZ"), UTC, "the same moment in UTC; microseconds"),
    SnowflakeType(("TIME",), pa.time64("us")),
    SnowflakeType(
        ("VARIANT", "OBJECT", "MAP"), pa.string(), "JSON text; a text in a VARIANT keeps its quotes: `v::string`"
    ),
    SnowflakeType(("ARRAY",), pa.string(), "JSON text; with `type: list` it is sent as a list"),
    SnowflakeType(("BINARY",), pa.binary(), "convert it in the model: `hex_encode(c)`"),
    SnowflakeType(("GEOGRAPHY", "GEOMETRY"), pa.string(), "GeoJSON"),
    SnowflakeType(("FILE",), pa.string(), "JSON text"),
    SnowflakeType(
        ("VECTOR", "INTERVAL_YEAR_MONTH", "INTERVAL_DAY_TIME"),
        None,
        "not read: convert it in the model",
        readable=False,
    ),
)
_BY_NAME = {name: kind for kind in TYPES for name in kind.names}


def type_of(name: str, column: str, precision: int | None, scale: int | None) -> pa.DataType:
    """The Arrow type of a column. Raises SourceError for one that cannot be read."""
    known = _BY_NAME.get(name)
    if known is None or not known.readable:
        raise SourceError(
            f"column '{column}' is of Snowflake's type {name or 'unknown'}, which cannot be read",
            slug="source-type",
            hint="convert it in the model, such as to_varchar(...) or to_array(...)",
        )
    return known.arrow if known.arrow is not None else _number(precision, scale)


def folded(names: Sequence[str]) -> list[str]:
    """The columns' names as the user wrote them: Snowflake makes upper case of every name that is not quoted.

    A quoted name is kept, unless it could have been written without quotes.
    """
    return [name.lower() if name.upper() == name else name for name in names]


def _number(precision: int | None, scale: int | None) -> pa.DataType:
    digits, decimals = (precision or 38), (scale or 0)
    return pa.int64() if decimals == 0 and digits <= INT64_DIGITS else pa.decimal128(digits, decimals)
