"""Values that fit the type that was promised, and those that would be changed to fit."""

from __future__ import annotations

import datetime as dt
import math
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest

from connector.errors import SourceError
from connector.systems.warehouse.fitting import batch_of, fitted, type_name

NAIVE = dt.datetime(2026, 2, 28, 12, 30)  # noqa: DTZ001 - naive on purpose


@pytest.mark.parametrize(
    ("values", "kind", "expected"),
    [
        ([1, None], pa.int64(), [1, None]),
        ([Decimal("2.00"), 3.0], pa.int64(), [2, 3]),
        ([1, 2.5, Decimal("0.1"), None], pa.float64(), [1.0, 2.5, 0.1, None]),
        ([2**53, 2**60, 10**300], pa.float64(), [2.0**53, 2.0**60, 1e300]),
        ([math.inf, -math.inf], pa.float64(), [math.inf, -math.inf]),
        ([Decimal("12.3")], pa.decimal128(9, 2), [Decimal("12.30")]),
        ([2**64 - 1], pa.decimal128(20, 0), [Decimal(2**64 - 1)]),
        ([dt.datetime.combine(NAIVE.date(), dt.time.min), NAIVE.date()], pa.date32(), [NAIVE.date(), NAIVE.date()]),
        ([NAIVE], pa.timestamp("us", tz="UTC"), [NAIVE.replace(tzinfo=dt.UTC)]),
        ([["a", None], [["b"], ["c"]], None], pa.list_(pa.string()), [["a", None], ["b", "c"], None]),
        (pa.chunked_array([[1], [2]]), pa.int64(), [1, 2]),
        (pa.array([1, 2], pa.int8()), pa.int64(), [1, 2]),
        (pa.array(["1.50", None]), pa.decimal128(9, 2), [Decimal("1.50"), None]),
        (pa.array(["1.5", "nan"]), pa.float32(), [1.5, math.nan]),
    ],
)
def test_a_value_arrives_as_it_is(values: Any, kind: pa.DataType, expected: list[object]) -> None:
    array = fitted(values, pa.field("c", kind))

    assert array.type == kind
    assert repr(array.to_pylist()) == repr(expected) or array.to_pylist() == expected


@pytest.mark.parametrize(
    ("values", "kind", "message"),
    [
        ([2.5], pa.int64(), "not a 64-bit integer: 2.5"),
        ([Decimal("2.5")], pa.int64(), "not a 64-bit integer: Decimal('2.5')"),
        ([math.inf], pa.int64(), "not a 64-bit integer: cannot convert float infinity"),
        (["x"], pa.int64(), "not a 64-bit integer"),
        ([2**64], pa.int64(), "not a 64-bit integer"),
        ([2**53 + 1], pa.float64(), "not a 64-bit float: 9007199254740993 has more digits than it can hold"),
        ([Decimal(-9007199254740993)], pa.float64(), "-9007199254740993 has more digits"),
        (pa.array(["9007199254740993"]), pa.float64(), "9007199254740993 has more digits"),
        ([Decimal("1.555")], pa.decimal128(9, 2), "not a decimal(9,2)"),
        ([NAIVE], pa.date32(), "not a date: 2026-02-28 12:30:00 has a time of day"),
        ([[1]], pa.list_(pa.string()), "not a list of text"),
        (["x"], pa.timestamp("us"), "not a timestamp"),
    ],
)
def test_a_value_that_would_change_is_an_error(values: Any, kind: pa.DataType, message: str) -> None:
    with pytest.raises(SourceError) as caught:
        fitted(values, pa.field("c", kind))

    assert caught.value.problem.slug == "source-value"
    assert caught.value.problem.message.startswith("column 'c' holds a value that is not a")
    assert message in caught.value.problem.message


def test_two_columns_of_the_same_name_stay_two() -> None:
    schema = pa.schema([("a", pa.int64()), ("a", pa.string())])
    batch = batch_of([[1], ["x"]], schema)

    assert batch.schema.names == ["a", "a"]
    assert [column.to_pylist() for column in batch.columns] == [[1], ["x"]]


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        (pa.int16(), "16-bit integer"),
        (pa.float32(), "32-bit float"),
        (pa.decimal128(9, 2), "decimal(9,2)"),
        (pa.timestamp("us", tz="UTC"), "timestamp with time zone"),
        (pa.list_(pa.int64()), "list of 64-bit integer"),
        (pa.time64("us"), "time of day"),
        (pa.month_day_nano_interval(), "month_day_nano_interval"),
    ],
)
def test_a_type_has_a_name_for_people(kind: pa.DataType, name: str) -> None:
    assert type_name(kind) == name
