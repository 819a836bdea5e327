"""What a driver returns, made to fit the Arrow types that were promised. A value that does not fit is an error.

Nothing is rounded in silence: a whole number that a 64-bit float cannot hold could be somebody's id.
"""

from __future__ import annotations

from datetime import date, datetime, time
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from connector.errors import SourceError

if TYPE_CHECKING:
    from collections.abc import Sequence

EXACT = 2**53  # whole numbers up to here are all 64-bit floats
ID_DIGITS = 38  # a number of more digits is a quantity and nobody's id


def batch_of(columns: Sequence[Any], schema: pa.Schema) -> pa.RecordBatch:
    """The columns (Arrow arrays, or sequences of Python values) as one batch. Raises SourceError for a misfit."""
    return pa.RecordBatch.from_arrays(
        [fitted(column, field) for column, field in zip(columns, schema, strict=True)], schema=schema
    )


def fitted(column: Any, field: pa.Field) -> pa.Array:
    """The column as an array of the field's type. Raises SourceError with the column's name and one of its values."""
    try:
        array = _array(column, field.type)
        if isinstance(array.type, pa.BaseExtensionType):
            array = array.storage
        if pa.types.is_floating(field.type):
            return _float(array, field)
        return array if array.type.equals(field.type) else array.cast(field.type)
    except (pa.ArrowException, OverflowError, ValueError, TypeError) as error:
        raise misfit(field, str(error).split("\n", 1)[0]) from error


def misfit(field: pa.Field, reason: str) -> SourceError:
    """The error of a value that is not of its column's type."""
    return SourceError(
        f"column '{field.name}' holds a value that is not a {type_name(field.type)}: {reason[:200]}",
        slug="source-value",
        hint="cast the column in the model to the type that is meant; as text, every value fits",
    )


def type_name(kind: pa.DataType) -> str:
    """The Arrow type as the documentation calls it."""
    if pa.types.is_list(kind):
        return f"list of {type_name(kind.value_type)}"
    if pa.types.is_decimal(kind):
        return f"decimal({kind.precision},{kind.scale})"
    if pa.types.is_timestamp(kind):
        return "timestamp with time zone" if kind.tz else "timestamp"
    names = {
        pa.string(): "text",
        pa.binary(): "binary",
        pa.bool_(): "boolean",
        pa.date32(): "date",
        pa.float64(): "64-bit float",
        pa.float32(): "32-bit float",
        pa.time64("us"): "time of day",
    }
    if pa.types.is_integer(kind):
        return f"{kind.bit_width}-bit integer"
    return names.get(kind, str(kind))


def _array(column: Any, wanted: pa.DataType) -> pa.Array:
    if isinstance(column, pa.ChunkedArray):
        return column.combine_chunks()
    if isinstance(column, pa.Array):
        return column
    if pa.types.is_floating(wanted):
        if not any(isinstance(value, (Decimal, int)) for value in column):
            return pa.array(column, wanted)
        # Their digits are kept as text until they are compared with the float.
        return pa.array([value if value is None else str(value) for value in column], pa.string())
    if pa.types.is_integer(wanted):
        column = [value if value is None or isinstance(value, int) else _whole(value) for value in column]
    elif pa.types.is_date(wanted):
        column = [_day(value) if isinstance(value, datetime) else value for value in column]
    elif pa.types.is_list(wanted):
        column = [value if value is None else _flat(value) for value in column]
    return pa.array(column, wanted)


def _whole(value: Any) -> int:
    """The number without its decimals, which are all 0. Arrow would cut off any."""
    number = int(value)
    if number != value:
        msg = f"{value!r}"
        raise ValueError(msg)
    return number


def _day(value: datetime) -> date:
    """The day of a midnight. Arrow would cut off any time of day."""
    if value.time() != time.min:
        msg = f"{value} has a time of day"
        raise ValueError(msg)
    return value.date()


def _flat(value: Sequence[Any]) -> list[Any]:
    """A list without lists in it: arrays of several dimensions come as one list."""
    flat: list[Any] = []
    for inner in value:
        flat.extend(_flat(inner) if isinstance(inner, list) else [inner])
    return flat


def _float(array: pa.Array, field: pa.Field) -> pa.Array:
    numbers = array if array.type.equals(field.type) else array.cast(field.type)
    if pa.types.is_floating(array.type):
        return numbers
    size = pc.abs(numbers)
    large = pc.fill_null(pc.and_(pc.greater_equal(size, float(EXACT)), pc.less(size, 10.0**ID_DIGITS)), False)
    if pc.any(large).as_py():
        for exact, number in zip(array.filter(large).to_pylist(), numbers.filter(large).to_pylist(), strict=True):
            value = Decimal(exact)
            if value == value.to_integral_value() and value != Decimal(number):
                raise misfit(field, f"{exact} has more digits than it can hold")
    return numbers
