"""What each kind of warehouse value becomes, through DuckDB itself."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import duckdb
import pytest

from connector.ports import ValueType
from connector.values import Kind, always_fits, json_text, kind_of, plain_text, typed, unfit_reason

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="module")
def connection() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect(":memory:") as connection:
        connection.execute("SET TimeZone = 'UTC'")
        yield connection


def kind(connection: duckdb.DuckDBPyConnection, sql: str) -> Kind:
    return kind_of(str(connection.sql(f"SELECT {sql}").types[0]))


def first(connection: duckdb.DuckDBPyConnection, sql: str) -> Any:
    row = connection.execute(f"SELECT {sql}").fetchone()
    assert row is not None
    return row[0]


@pytest.mark.parametrize(
    ("sql", "text"),
    [
        ("42", "42"),
        ("170141183460469231731687303715884105727::HUGEINT", "170141183460469231731687303715884105727"),
        ("42.0::DOUBLE", "42"),
        ("-0.0::DOUBLE", "0"),
        ("1e15::DOUBLE", "1000000000000000"),
        ("1e22::DOUBLE", "10000000000000000000000"),
        ("-1e20::DOUBLE", "-100000000000000000000"),
        ("1e-7::DOUBLE", "0.0000001"),
        ("0.1::FLOAT", "0.1"),
        ("1.50::DECIMAL(10, 2)", "1.5"),
        ("100.00::DECIMAL(10, 2)", "100"),
        ("7::DECIMAL(38, 0)", "7"),
        ("true", "true"),
        ("DATE '2026-02-03'", "2026-02-03"),
        ("TIMESTAMP '2026-02-03 04:05:06'", "2026-02-03T04:05:06Z"),
        ("TIMESTAMPTZ '2026-02-03 04:05:06.5+02'", "2026-02-03T02:05:06.500000Z"),
        ("'0012'", "0012"),
        ("[1, 2]", "[1,2]"),
        ("{'a': 'x\"y'}", '{"a":"x\\"y"}'),
        ("TIME '10:00:00'", "10:00:00"),
        ("'3fa85f64-5717-4562-b3fc-2c963f66afa6'::UUID", "3fa85f64-5717-4562-b3fc-2c963f66afa6"),
    ],
)
def test_a_value_as_text_has_no_point_zero_and_no_exponent(
    connection: duckdb.DuckDBPyConnection, sql: str, text: str
) -> None:
    assert first(connection, plain_text(sql, kind(connection, sql))) == text


@pytest.mark.parametrize(
    ("sql", "wanted", "json"),
    [
        ("'12'", ValueType.INTEGER, "12"),
        ("' 12.00 '", ValueType.INTEGER, "12"),
        ("'1.5'", ValueType.INTEGER, None),
        ("'zwölf'", ValueType.INTEGER, None),
        ("1.5::DOUBLE", ValueType.INTEGER, None),
        ("2.0::DOUBLE", ValueType.INTEGER, "2"),
        ("2.50::DECIMAL(5, 2)", ValueType.INTEGER, None),
        ("9223372036854775808::HUGEINT", ValueType.INTEGER, None),
        ("'inf'::DOUBLE", ValueType.INTEGER, None),
        ("true", ValueType.INTEGER, "1"),
        ("'1e3'", ValueType.FLOAT, "1000.0"),
        ("'nan'", ValueType.FLOAT, None),
        ("'nan'::DOUBLE", ValueType.FLOAT, None),
        ("'-inf'::DOUBLE", ValueType.FLOAT, None),
        ("0.1::FLOAT", ValueType.FLOAT, "0.1"),
        ("3", ValueType.FLOAT, "3.0"),
        ("'nan'::DOUBLE", ValueType.STRING, None),
        ("'Yes'", ValueType.BOOLEAN, "true"),
        ("'0'", ValueType.BOOLEAN, "false"),
        ("'maybe'", ValueType.BOOLEAN, None),
        ("2", ValueType.BOOLEAN, None),
        ("1", ValueType.BOOLEAN, "true"),
        ("DATE '2026-02-03'", ValueType.DATE, '"2026-02-03T00:00:00Z"'),
        ("TIMESTAMPTZ '2026-02-03 00:30:00+02'", ValueType.DATE, '"2026-02-02T00:00:00Z"'),
        ("'2026-02-03'", ValueType.DATE, '"2026-02-03T00:00:00Z"'),
        ("'not a date'", ValueType.DATE, None),
        ("TIMESTAMP '2026-02-03 04:05:06'", ValueType.TIME, '"2026-02-03T04:05:06Z"'),
        ("TIMESTAMP_NS '2026-02-03 04:05:06.123456789'", ValueType.TIME, '"2026-02-03T04:05:06.123457Z"'),
        ("'2026-02-03T04:05:06+02:00'", ValueType.TIME, '"2026-02-03T02:05:06Z"'),
        ("'2026-02-03 04:05:06'", ValueType.TIME, '"2026-02-03T04:05:06Z"'),
        ("'infinity'::TIMESTAMP", ValueType.TIME, None),
        ("TIMESTAMP '12026-01-01 00:00:00'", ValueType.TIME, None),
        ("TIMESTAMP '2026-02-03 04:05:06.789'", ValueType.EPOCH_MS, "1770091506789"),
        ("DATE '1970-01-02'", ValueType.EPOCH_MS, "86400000"),
        ("['a', 'b\"c']", ValueType.LIST, '["a","b\\"c"]'),
        ("'[1, 2]'", ValueType.LIST, "[1, 2]"),
        ("'{}'", ValueType.LIST, None),
        ("'nonsense'", ValueType.LIST, None),
        ("'naïve \"q\" \\ 😀'", ValueType.STRING, '"naïve \\"q\\" \\\\ 😀"'),
        ("12.0::DOUBLE", ValueType.ID, '"12"'),
    ],
)
def test_a_value_is_sent_as_its_type_or_not_at_all(
    connection: duckdb.DuckDBPyConnection, sql: str, wanted: ValueType, json: str | None
) -> None:
    stored = typed(sql, kind(connection, sql), wanted)

    assert first(connection, json_text(f"({stored})", wanted)) == json


@pytest.mark.parametrize("wanted", list(ValueType))
@pytest.mark.parametrize(
    "column", ["NULL::VARCHAR", "NULL::BIGINT", "NULL::DOUBLE", "NULL::TIMESTAMP", "NULL::INTEGER[]"]
)
def test_null_stays_null(connection: duckdb.DuckDBPyConnection, column: str, wanted: ValueType) -> None:
    of = kind(connection, column)
    if unfit_reason(of, wanted) is None:
        assert first(connection, json_text(f"({typed(column, of, wanted)})", wanted)) is None


@pytest.mark.parametrize(
    ("of", "wanted", "part"),
    [
        (Kind.WHOLE, ValueType.TIME, "a number is not a time"),
        (Kind.BOOLEAN, ValueType.TIME, "not a time"),
        (Kind.BLOB, ValueType.STRING, "binary"),
        (Kind.DATE, ValueType.FLOAT, "not a number"),
        (Kind.REAL, ValueType.BOOLEAN, "not a boolean"),
        (Kind.WHOLE, ValueType.LIST, "not a list"),
        (Kind.LIST, ValueType.ID, "cannot be an id"),
    ],
)
def test_a_kind_that_can_never_fit_is_refused_with_a_reason(of: Kind, wanted: ValueType, part: str) -> None:
    reason = unfit_reason(of, wanted)

    assert reason is not None
    assert part in reason


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("DECIMAL(10,0)", Kind.WHOLE),
        ("STRUCT(a INTEGER)", Kind.NESTED),
        ("MAP(VARCHAR, INTEGER)", Kind.NESTED),
        ("INTEGER[3]", Kind.LIST),
        ("UHUGEINT", Kind.WHOLE),
        ("TIMESTAMP_MS", Kind.TIMESTAMP),
        ("INTERVAL", Kind.OTHER),
        ("ENUM('a', 'b')", Kind.TEXT),
        ("BLOB", Kind.BLOB),
    ],
)
def test_a_type_has_a_kind(name: str, expected: Kind) -> None:
    assert kind_of(name) is expected
    assert (expected.default is None) == (expected is Kind.BLOB)


_ODD = (
    "''", "' '", "'a' || chr(0) || 'b'", "'\u00e9'", "'nan'", "'3fa85f64-5717-4562-b3fc-2c963f66afa6'::UUID",
    "'1'::BIT", "'a'::ENUM ('a', 'b')", "'{}'::JSON", "0", "(-128)::TINYINT", "18446744073709551615::UBIGINT",
    "170141183460469231731687303715884105727::HUGEINT", "340282366920938463463374607431768211455::UHUGEINT",
    "1::DECIMAL(38, 0)", "true", "false",
)  # fmt: skip


@pytest.mark.parametrize("wanted", ValueType)
@pytest.mark.parametrize("sql", _ODD)
def test_what_always_fits_needs_no_check(connection: duckdb.DuckDBPyConnection, sql: str, wanted: ValueType) -> None:
    of = kind(connection, sql)
    if always_fits(of, wanted):
        assert first(connection, typed(f"({sql})", of, wanted)) is not None


@pytest.mark.parametrize(
    ("sql", "wanted"),
    [
        ("'infinity'::DOUBLE", ValueType.STRING), ("'nan'::FLOAT", ValueType.FLOAT), ("'x'", ValueType.INTEGER),
        ("'perhaps'", ValueType.BOOLEAN), ("'infinity'::DATE", ValueType.DATE), ("'x'", ValueType.TIME),
        ("170141183460469231731687303715884105727::HUGEINT", ValueType.INTEGER), ("['nan'::DOUBLE]", ValueType.LIST),
    ],
)  # fmt: skip
def test_what_may_not_fit_is_checked(connection: duckdb.DuckDBPyConnection, sql: str, wanted: ValueType) -> None:
    of = kind(connection, sql)

    assert first(connection, typed(f"({sql})", of, wanted)) is None
    assert not always_fits(of, wanted)


@pytest.mark.parametrize(
    ("sql", "text"),
    [
        ("[1.5, 'nan'::DOUBLE]", None),
        ("[{'a': '-infinity'::FLOAT}]", None),
        ("'[1, NaN]'", None),
        ("'[1,]'", None),
        ("'[{\"a\": 1, \n}]'", None),
        ("""['nan', 'a,]', 'q"x,}', 'back\\']""", """["nan","a,]","q\\"x,}","back\\\\"]"""),
        ("'[true, null, [], {}]'", "[true, null, [], {}]"),
    ],
)
def test_a_list_is_sent_only_when_every_reader_of_json_takes_it(
    connection: duckdb.DuckDBPyConnection, sql: str, text: str | None
) -> None:
    found = first(connection, typed(f"({sql})", kind(connection, sql), ValueType.LIST))

    assert found == text
    assert found is None or json.loads(found)
