"""How a warehouse value becomes what Pendo is sent, as DuckDB SQL: kinds of column, casts that never raise, JSON text.

A cast that fails gives NULL, so that one bad row never stops the good ones; the caller turns a NULL that was not NULL
before into a rejected row with a reason.
"""

from __future__ import annotations

import json
from enum import Enum
from typing import TYPE_CHECKING, assert_never

from connector.ports import ValueType

if TYPE_CHECKING:
    from collections.abc import Iterable


class Kind(Enum):
    """What a column holds, as far as sending it goes."""

    TEXT = "text"
    WHOLE = "whole number"
    DECIMAL = "decimal"
    REAL = "floating-point number"
    BOOLEAN = "boolean"
    DATE = "date"
    TIMESTAMP = "timestamp"
    INSTANT = "timestamp with time zone"
    LIST = "list"
    NESTED = "nested value"
    OTHER = "time of day or interval"
    BLOB = "binary value"

    @property
    def default(self) -> ValueType | None:
        """What a column of this kind is sent as when the mapping names no type."""
        return _DEFAULTS.get(self)


_DEFAULTS = {
    Kind.TEXT: ValueType.STRING,
    Kind.WHOLE: ValueType.INTEGER,
    Kind.DECIMAL: ValueType.FLOAT,
    Kind.REAL: ValueType.FLOAT,
    Kind.BOOLEAN: ValueType.BOOLEAN,
    Kind.DATE: ValueType.DATE,
    Kind.TIMESTAMP: ValueType.TIME,
    Kind.INSTANT: ValueType.TIME,
    Kind.LIST: ValueType.LIST,
    Kind.NESTED: ValueType.STRING,
    Kind.OTHER: ValueType.STRING,
}

_WHOLE = {"TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT", "BIGNUM"}
_WHOLE |= {"U" + name for name in _WHOLE}
_TIMES = {"TIMESTAMP", "TIMESTAMP_S", "TIMESTAMP_MS", "TIMESTAMP_NS"}
_EARLIEST, _LATEST = "TIMESTAMP '0001-01-01'", "TIMESTAMP '9999-12-31 23:59:59.999999'"
_JSON_TEXT, _LENIENT = r'"([^"\\]|\\.)*"', r"(?i)nan|inf|,[ \t\r\n]*[]}]"
_TRUE, _FALSE = "'true', 't', 'yes', 'y', 'on', '1'", "'false', 'f', 'no', 'n', 'off', '0'"


def kind_of(duckdb_type: str) -> Kind:
    """The kind of a DuckDB type, by its name as DESCRIBE prints it."""
    name = duckdb_type.upper()
    if name.endswith("]"):
        return Kind.LIST
    if name.startswith("DECIMAL"):
        return Kind.WHOLE if name.endswith(",0)") else Kind.DECIMAL
    if name.startswith(("STRUCT", "MAP", "UNION", "VARIANT")):
        return Kind.NESTED
    if name in _WHOLE:
        return Kind.WHOLE
    if name in _TIMES:
        return Kind.TIMESTAMP
    simple = {
        "FLOAT": Kind.REAL,
        "DOUBLE": Kind.REAL,
        "BOOLEAN": Kind.BOOLEAN,
        "DATE": Kind.DATE,
        "TIMESTAMP WITH TIME ZONE": Kind.INSTANT,
        "BLOB": Kind.BLOB,
        "TIME": Kind.OTHER,
        "TIME_NS": Kind.OTHER,
        "TIME WITH TIME ZONE": Kind.OTHER,
        "INTERVAL": Kind.OTHER,
    }
    return simple.get(name, Kind.TEXT)


def split_key(key: str) -> list[str] | None:
    """The parts of a composite key: a JSON array of texts, spaced as its writer likes. None for any other text."""
    if not key.lstrip().startswith("["):
        return None
    try:
        parts = json.loads(key)
    except (ValueError, RecursionError):
        return None
    return parts if isinstance(parts, list) and all(isinstance(part, str) for part in parts) else None


def joined_key(parts: Iterable[str]) -> str:
    """The composite key of these parts, written as it is kept everywhere: without spaces."""
    return json.dumps(list(parts), ensure_ascii=False, separators=(",", ":"))


def quoted(identifier: str) -> str:
    """The identifier in double quotes."""
    return '"' + identifier.replace('"', '""') + '"'


def quoted_text(text: str) -> str:
    """The text as an SQL literal."""
    return "'" + text.replace("'", "''") + "'"


def plain_text(sql: str, kind: Kind) -> str:
    """SQL for the value as text: numbers without `.0` or exponent, times in ISO 8601, nested values as JSON."""
    match kind:
        case Kind.DECIMAL:
            return f"rtrim(rtrim(({sql})::VARCHAR, '0'), '.')"
        case Kind.REAL:
            return (
                f"CASE WHEN NOT isfinite({sql}) THEN ({sql})::VARCHAR "
                f"WHEN abs({sql}) >= 1e18 THEN format('{{:.0f}}', ({sql})::DOUBLE) "
                f"WHEN ({sql}) = trunc({sql}) THEN ({sql})::BIGINT::VARCHAR "
                f"WHEN contains(({sql})::VARCHAR, 'e') THEN rtrim(({sql})::DECIMAL(38, 20)::VARCHAR, '0') "
                f"ELSE ({sql})::VARCHAR END"
            )
        case Kind.TIMESTAMP | Kind.INSTANT:
            return _iso(_utc(sql, kind))
        case Kind.LIST | Kind.NESTED:
            return f"to_json({sql})::VARCHAR"
        case Kind.TEXT | Kind.WHOLE | Kind.BOOLEAN | Kind.DATE | Kind.OTHER | Kind.BLOB:
            return f"({sql})::VARCHAR"
        case _:
            assert_never(kind)


def unfit_reason(kind: Kind, wanted: ValueType | None) -> str | None:
    """Why no value of this kind can be sent as that type, with what to do; None when some can."""
    if kind is Kind.BLOB:
        return "a binary column: convert it in the model or with `sql:` (hex, base64)"
    numbers = (Kind.WHOLE, Kind.DECIMAL, Kind.REAL)
    if wanted in (ValueType.TIME, ValueType.DATE, ValueType.EPOCH_MS):
        if kind in numbers:
            return "a number is not a time: say what it counts with `sql:`, such as to_timestamp(seconds)"
        if kind not in (Kind.DATE, Kind.TIMESTAMP, Kind.INSTANT, Kind.TEXT):
            return f"a {kind.value} is not a time"
    if wanted in (ValueType.INTEGER, ValueType.FLOAT) and kind not in (*numbers, Kind.TEXT, Kind.BOOLEAN):
        return f"a {kind.value} is not a number: convert it with `sql:`"
    if wanted is ValueType.BOOLEAN and kind not in (Kind.BOOLEAN, Kind.WHOLE, Kind.TEXT):
        return f"a {kind.value} is not a boolean: compare it with something in `sql:`"
    if wanted is ValueType.LIST and kind not in (Kind.LIST, Kind.TEXT):
        return f"a {kind.value} is not a list: make one with `sql:`, such as [column]"
    if wanted is ValueType.ID and kind in (Kind.LIST, Kind.NESTED):
        return f"a {kind.value} cannot be an id"
    return None


def always_fits(kind: Kind, wanted: ValueType) -> bool:
    """True when `typed` has a value for each that is not NULL; where it is False, it may well have one."""
    if wanted is ValueType.BOOLEAN:
        return kind is Kind.BOOLEAN
    return wanted in (ValueType.STRING, ValueType.ID) and kind in (Kind.TEXT, Kind.WHOLE, Kind.BOOLEAN)


def typed(sql: str, kind: Kind, wanted: ValueType) -> str:
    """SQL for the value as the type that is stored until it is rendered; NULL when this value cannot be."""
    match wanted:
        case ValueType.STRING | ValueType.ID:
            text = plain_text(sql, kind)
            return f"CASE WHEN isfinite({sql}) THEN {text} END" if kind is Kind.REAL else text
        case ValueType.INTEGER:
            return _integer(sql, kind)
        case ValueType.FLOAT:
            return _float(sql, kind)
        case ValueType.BOOLEAN:
            return _boolean(sql, kind)
        case ValueType.DATE:
            return f"date_trunc('day', {_within(_utc(sql, kind))})::TIMESTAMP"
        case ValueType.TIME:
            return _within(_utc(sql, kind))
        case ValueType.EPOCH_MS:
            return f"epoch_ms({_within(_utc(sql, kind))})"
        case ValueType.LIST:
            return _list(sql, kind)
        case _:
            assert_never(wanted)


def json_text(sql: str, of: ValueType) -> str:
    """SQL for a stored value as JSON text; NULL stays NULL."""
    match of:
        case ValueType.STRING | ValueType.ID:
            return f"to_json({sql})::VARCHAR"
        case ValueType.INTEGER | ValueType.FLOAT | ValueType.BOOLEAN | ValueType.EPOCH_MS:
            return f"{sql}::VARCHAR"
        case ValueType.DATE:
            return f"""strftime({sql}, '"%Y-%m-%dT00:00:00Z"')"""  # stored as midnight
        case ValueType.TIME:
            return "(" + _iso(sql, quote='"') + ")"
        case ValueType.LIST:
            return sql
        case _:
            assert_never(of)


def bare_text(sql: str, of: ValueType) -> str:
    """SQL for a stored value as the text that its JSON holds, without quotes; NULL stays NULL."""
    return _iso(sql) if of in (ValueType.DATE, ValueType.TIME) else f"({sql})::VARCHAR"


def bare_texts(sql: str, of: ValueType) -> str:
    """SQL for the list of texts that a stored value's JSON holds: of a list, each of its elements."""
    if of is ValueType.LIST:
        return f"coalesce(json_extract_string({sql}, '$[*]'), [])"
    return f"[{bare_text(sql, of)}]"


def marked_text(sql: str, of: ValueType) -> str:
    """SQL for a stored value as some short text that differs when the value does and is not empty; NULL stays NULL."""
    match of:
        case ValueType.STRING | ValueType.ID | ValueType.LIST:
            return f"{sql} || chr(1)"
        case ValueType.DATE:
            return f"(epoch_us({sql}) // 86400000000)::VARCHAR"
        case ValueType.TIME:
            return f"epoch_us({sql})::VARCHAR"
        case ValueType.BOOLEAN:
            return f"{sql}::TINYINT::VARCHAR"
        case ValueType.INTEGER | ValueType.FLOAT | ValueType.EPOCH_MS:
            return f"{sql}::VARCHAR"
        case _:
            assert_never(of)


def _iso(sql: str, quote: str = "") -> str:
    """A naive UTC timestamp as ISO 8601 with Z, with microseconds only where there are any, between two quotes."""
    whole, finer = (quoted_text(f"{quote}%Y-%m-%dT%H:%M:%S{part}Z{quote}") for part in ("", ".%f"))
    return (
        f"CASE WHEN date_part('microsecond', {sql}) % 1000000 = 0 THEN strftime({sql}, {whole}) "
        f"ELSE strftime({sql}, {finer}) END"
    )


def _utc(sql: str, kind: Kind) -> str:
    """A naive timestamp in UTC; naive input is UTC by contract, and so is text without an offset (TimeZone is UTC)."""
    if kind is Kind.TEXT:
        return f"timezone('UTC', TRY_CAST(({sql})::VARCHAR AS TIMESTAMPTZ))"
    if kind is Kind.INSTANT:
        return f"timezone('UTC', {sql})"
    return f"TRY_CAST(({sql}) AS TIMESTAMP)"


def _within(sql: str) -> str:
    """NULL for infinity and for years that ISO 8601 cannot write in four digits."""
    return f"CASE WHEN {sql} BETWEEN {_EARLIEST} AND {_LATEST} THEN {sql} END"


def _integer(sql: str, kind: Kind) -> str:
    match kind:
        case Kind.TEXT:
            text = f"trim(({sql})::VARCHAR)"
            # TRY_CAST alone would round '1.5' to 2.
            return f"CASE WHEN regexp_full_match({text}, '[+-]?[0-9]+([.]0*)?') THEN TRY_CAST({text} AS BIGINT) END"
        case Kind.REAL:
            return f"CASE WHEN isfinite({sql}) AND ({sql}) = trunc({sql}) THEN TRY_CAST(({sql}) AS BIGINT) END"
        case Kind.DECIMAL:
            return f"CASE WHEN ({sql}) = trunc({sql}) THEN TRY_CAST(({sql}) AS BIGINT) END"
        case _:
            return f"TRY_CAST(({sql}) AS BIGINT)"


def _float(sql: str, kind: Kind) -> str:
    if kind is Kind.TEXT:
        number = f"TRY_CAST(trim(({sql})::VARCHAR) AS DOUBLE)"
        return f"CASE WHEN isfinite({number}) THEN {number} END"
    if kind is Kind.REAL:
        # A 32-bit float stays one: as a double, 0.1 would be sent as 0.10000000149011612.
        return f"CASE WHEN isfinite({sql}) THEN ({sql}) END"
    return f"TRY_CAST(({sql}) AS DOUBLE)"


def _boolean(sql: str, kind: Kind) -> str:
    if kind is Kind.TEXT:
        text = f"lower(trim(({sql})::VARCHAR))"
        return f"CASE WHEN {text} IN ({_TRUE}) THEN true WHEN {text} IN ({_FALSE}) THEN false END"
    if kind is Kind.WHOLE:
        return f"CASE WHEN ({sql}) = 1 THEN true WHEN ({sql}) = 0 THEN false END"
    return f"({sql})"


def _list(sql: str, kind: Kind) -> str:
    text = f"to_json({sql})::VARCHAR" if kind is Kind.LIST else f"({sql})::VARCHAR"
    # What is valid and begins with a bracket is an array; json_type would raise. DuckDB takes NaN, infinity and a comma
    # before a bracket for valid, and no other reader of JSON does.
    bare = f"regexp_replace({text}, '{_JSON_TEXT}', '0', 'g')"
    strict = f"json_valid({text}) AND NOT regexp_matches({bare}, '{_LENIENT}')"
    return f"CASE WHEN {strict} AND starts_with(ltrim({text}), '[') THEN {text} END"
