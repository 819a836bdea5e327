"""The types of a database that SQLAlchemy reaches: what its driver says of a column, or else what its first rows hold.

Each driver has its own words for types: numbers, classes, names. docs/warehouses/sqlalchemy.md shows the tables.
"""

from __future__ import annotations

import datetime as dt
import json
import re
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from connector.systems.warehouse.postgres_types import EXACT_DIGITS, numeric

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

INT, FLOAT, TEXT, BOOL, BYTES = pa.int64(), pa.float64(), pa.string(), pa.bool_(), pa.binary()
DATE, NAIVE, UTC = pa.date32(), pa.timestamp("us"), pa.timestamp("us", tz="UTC")
UNSIGNED = pa.decimal128(20, 0)  # MySQL does not tell BIGINT from BIGINT UNSIGNED
DECIMAL = None  # what precision and scale say

# https://dev.mysql.com/doc/dev/mysql-server/latest/field__types_8h.html
MYSQL: Mapping[int, pa.DataType | None] = {
    **dict.fromkeys((1, 2, 3, 9, 13), INT),  # TINYINT, SMALLINT, INT, MEDIUMINT, YEAR
    8: UNSIGNED,
    **dict.fromkeys((4, 5), FLOAT),
    **dict.fromkeys((0, 246), DECIMAL),
    7: UTC,  # TIMESTAMP, in a session whose time zone is UTC
    12: NAIVE,
    **dict.fromkeys((10, 14), DATE),
    16: BYTES,  # BIT
    255: BYTES,  # GEOMETRY
    **dict.fromkeys((6, 11, 15, 245, 247, 248, 249, 250, 251, 252, 253, 254), TEXT),  # NULL, TIME, JSON, ENUM, texts
}
# pg_type.oid of the types that never change theirs.
POSTGRES: Mapping[int, pa.DataType | None] = {
    16: BOOL,
    **dict.fromkeys((20, 21, 23, 26), INT),
    **dict.fromkeys((700, 701), FLOAT),
    1700: DECIMAL,
    1082: DATE,
    1114: NAIVE,
    1184: UTC,
    17: BYTES,
    **dict.fromkeys((1009, 1015), pa.list_(TEXT)),
    **dict.fromkeys((1005, 1007, 1016), pa.list_(INT)),
    **dict.fromkeys((1021, 1022), pa.list_(FLOAT)),
    1000: pa.list_(BOOL),
}
CLASSES: Mapping[type, pa.DataType | None] = {
    bool: BOOL,
    int: INT,
    float: FLOAT,
    Decimal: DECIMAL,
    str: TEXT,
    bytes: BYTES,
    bytearray: BYTES,
    dt.datetime: NAIVE,
    dt.date: DATE,
}
# Parts of names, the first that is found; for drivers that say a type in words (Oracle, Trino, Databricks, BigQuery).
NAMES: tuple[tuple[str, pa.DataType | None], ...] = (
    (r"array|list|map|struct|row|json|variant|record|interval|duration", TEXT),
    (r"timestamp.*(with.*time ?zone|tz)|timestamptz|timestamp_ltz", UTC),
    (r"timestamp|datetime|^DB_TYPE_DATE$", NAIVE),  # Oracle's DATE has a time of day
    (r"date", DATE),
    (r"bool", BOOL),
    (r"decimal|numeric|number|fixed", DECIMAL),
    (r"double|float|real|binary_double", FLOAT),
    (r"int|long|serial", INT),
    (r"binary|bytes|blob|raw|bytea", BYTES),
    (r".", TEXT),
)
BY_DIALECT = {"mysql": MYSQL, "mariadb": MYSQL, "postgresql": POSTGRES, "redshift": POSTGRES, "cockroachdb": POSTGRES}


def described_type(dialect: str, described: Sequence[Any]) -> tuple[bool, pa.DataType | None]:
    """Whether the driver says what a column holds, and its Arrow type.

    `described` is the column's entry in the cursor's description: name, type, ..., precision, scale, ...
    """
    code, precision, scale = described[1], described[4], described[5]
    known, found = _kind(dialect, code)
    if not known or found is not DECIMAL:
        return known, found
    if dialect in ("mysql", "mariadb"):  # their precision counts sign and point, too
        precision = EXACT_DIGITS
    parts = re.search(r"\((\d+),\s*(\d+)\)", str(getattr(code, "name", code)))
    if parts is not None:
        precision, scale = int(parts[1]), int(parts[2])
    return True, numeric(precision, scale)


def _kind(dialect: str, code: Any) -> tuple[bool, pa.DataType | None]:
    if isinstance(code, int) and dialect in BY_DIALECT:
        return True, BY_DIALECT[dialect].get(code, TEXT)
    if isinstance(code, type):
        return code in CLASSES, CLASSES.get(code)
    name = code if isinstance(code, str) else getattr(code, "name", None)
    if isinstance(name, str) and name:
        return True, next(kind for pattern, kind in NAMES if re.search(pattern, name, re.IGNORECASE | re.DOTALL))
    return False, None


def sampled_type(values: Sequence[Any]) -> pa.DataType:
    """The Arrow type of the first values of a column, of which the driver says nothing; text where nothing fits all."""
    kinds = {type(value) for value in values if value is not None}
    if not kinds:
        return TEXT
    if kinds == {bool}:
        return BOOL
    if kinds == {int}:
        return INT if all(-(2**63) <= value < 2**63 for value in values if value is not None) else TEXT
    if kinds <= {int, float, Decimal}:
        return FLOAT
    if kinds == {dt.datetime}:
        return UTC if any(value is not None and value.tzinfo is not None for value in values) else NAIVE
    if len(kinds) == 1 and (only := kinds.pop()) in (dt.date, bytes, bytearray):
        return DATE if only is dt.date else BYTES
    return TEXT


def texts(values: Sequence[Any]) -> list[str | None]:
    """The values as text, as a database would print them. Raises TypeError for bytes."""
    return [value if value is None or isinstance(value, str) else _text(value) for value in values]


def _text(value: Any) -> str:
    if isinstance(value, (bytes, bytearray, memoryview)):
        msg = "it is binary; convert it in the model, such as hex(column)"
        raise TypeError(msg)
    if isinstance(value, dt.datetime):
        return value.isoformat(sep=" ")
    if isinstance(value, dt.time):
        return value.isoformat()
    if isinstance(value, (dict, list, tuple)):
        return json.dumps(value, default=str, ensure_ascii=False)
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)
