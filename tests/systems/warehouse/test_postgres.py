from __future__ import annotations

import json
import math
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import pyarrow as pa
import pytest

pytest.importorskip("psycopg", reason="the extra `postgres` is not installed")

import psycopg
from pydantic import SecretStr, ValidationError

from connector.errors import SourceError
from connector.ports import Query, Source
from connector.systems import SOURCES
from connector.systems.warehouse import postgres_errors as errors
from connector.systems.warehouse.driver import is_installed
from connector.systems.warehouse.postgres import ADBC, Postgres, Settings, application_name
from connector.systems.warehouse.postgres_types import ELEMENTS, SCALARS, Column, type_of
from tests.systems.warehouse.contract import RemoteContract, everything_about, read
from tests.systems.warehouse.wire import Wire, wire_to

if TYPE_CHECKING:
    from collections.abc import Iterator

    from connector.errors import Problem
    from tests.systems.warehouse.postgres_server import Server

PASSWORD = "r3ader:/%@!"
DRIVERS = pytest.mark.parametrize(
    "adbc",
    [
        pytest.param(
            True,
            id="adbc",
            marks=pytest.mark.skipif(not is_installed(ADBC), reason="adbc-driver-postgresql is missing"),
        ),
        pytest.param(False, id="psycopg"),
    ],
)


def reader_of(server: Server, *, adbc: bool, port: int | None = None, **settings: Any) -> Postgres:
    """The source for the login that may only read."""
    given = {"type": "postgres", "url": server.url("reader", port=port), "password": PASSWORD, **settings}
    return Postgres(Settings.model_validate(given), adbc=adbc, pauses=(0.0, 0.0))


@pytest.fixture
def wire(postgres_server: Server) -> Iterator[Wire]:
    with wire_to(postgres_server.port) as wire:
        yield wire


class PostgresContract(RemoteContract):
    """The contract, on a real server. The types are those that every driver brings in the same form."""

    adbc: ClassVar[bool]
    secret = "r3ader"
    series = "select i::int8 as n, i || ' ' || repeat(md5(i::text), 5) as text from generate_series(0, {rows} - 1) i"
    one_row = """
        select 'Grüße, 世界 🌍' as text, null as nothing, 7::smallint as small, 2::bigint ^ 40 as large,
            9007199254740993::bigint as exact, 1.5::real as "float", 12.30::numeric(9, 2) as amount, true as flag,
            date '2026-02-28' as "day", timestamp '2026-02-28 12:30:00.123456' as naive,
            timestamptz '2026-02-28 12:30:00+02' as zoned, array['a', null] as list, '{"k": 1}'::jsonb as json,
            'b4c5b1fe-52a1-4ae2-8f0a-0f1f5a2d1c11'::uuid as uuid, 'gold'::level as level, 'x'::bytea as bytes,
            sum(n)::numeric as total, array[1, 2]::numeric[] as numbers, array['gold']::level[] as levels,
            array[[1, 2], [3, 4]] as matrix, time '12:30' as clock, interval '90 min' as lasting,
            (1, 'a')::pair as pair, 5::positive as positive, 'x '::char(3) as padded, 12.5::money as price,
            4294967295::oid as oid,
            '{}'::bool[] as none, '10.0.0.1'::inet as address, int4range(1, 3) as span
        from (values (1.5), (2)) v(n) -- a comment at the end"""
    values: ClassVar[dict[str, object]] = {
        "text": "Grüße, 世界 🌍",
        "nothing": None,
        "small": 7,
        "large": float(2**40),
        "exact": 9007199254740993,
        "float": 1.5,
        "amount": Decimal("12.30"),
        "flag": True,
        "day": date(2026, 2, 28),
        "naive": datetime(2026, 2, 28, 12, 30, 0, 123456),  # noqa: DTZ001 - naive on purpose
        "zoned": datetime(2026, 2, 28, 10, 30, tzinfo=UTC),
        "list": ["a", None],
        "json": '{"k": 1}',
        "uuid": "b4c5b1fe-52a1-4ae2-8f0a-0f1f5a2d1c11",
        "level": "gold",
        "bytes": b"x",
        "total": 3.5,
        "numbers": [1.0, 2.0],
        "levels": ["gold"],
        "matrix": [1, 2, 3, 4],
        "clock": "12:30:00",
        "lasting": "01:30:00",
        "pair": '{"a": 1, "b": "a"}',
        "positive": 5,
        "padded": "x",
        "price": 12.5,
        "oid": 4294967295,
        "none": [],
        "address": "10.0.0.1/32",
        "span": "[1,3)",
    }
    same_name = "select 1 as plan, 'x' as plan"
    breaks_midway = """
        select case when i < 400000 then i else 1 / (i - i) end as n, repeat('x', 500) as text
        from generate_series(0, 499999) i
    """
    endless = "select count(*) as n from generate_series(1, 200000000000) a where hashint8(a) % 7 = 3"
    missing_table = "select * from marts.acounts"

    @pytest.fixture
    def source(self, postgres_server: Server) -> Postgres:
        return reader_of(postgres_server, adbc=self.adbc)

    @pytest.fixture
    def source_behind(self, postgres_server: Server, wire: Wire) -> Postgres:
        return reader_of(postgres_server, adbc=self.adbc, port=wire.port)

    @pytest.fixture
    def stranger(self, postgres_server: Server) -> Postgres:
        return reader_of(postgres_server, adbc=self.adbc, password="r3ader-wrong")

    @pytest.fixture
    def hasty(self, postgres_server: Server) -> Postgres:
        return reader_of(postgres_server, adbc=self.adbc, timeouts={"query_seconds": 1})

    def opened_by(self, source: Source) -> str:
        """Python code that opens the same source."""
        assert isinstance(source, Postgres)
        settings = source._settings.model_dump()  # noqa: SLF001 - only a test opens a source twice
        shown = {
            key: value.get_secret_value() if isinstance(value, SecretStr) else value for key, value in settings.items()
        }
        return f"""
from connector.systems.warehouse.postgres import Postgres, Settings
source = Postgres(Settings.model_validate({shown!r}), adbc={self.adbc})
"""


@pytest.mark.skipif(not is_installed(ADBC), reason="adbc-driver-postgresql is missing")
class TestAdbc(PostgresContract):
    """Rows through ADBC."""

    adbc = True


class TestPsycopg(PostgresContract):
    """Rows through psycopg, where ADBC is not installed."""

    adbc = False
    large = (1_000_000, 100)


# --- types -----------------------------------------------------------------------------------------------------------


@DRIVERS
def test_every_type_of_the_table_arrives_as_it_says(postgres_server: Server, adbc: bool) -> None:
    scalars = [(name, kind) for kind in SCALARS for name in kind.names]
    elements = [(name, kind) for kind in ELEMENTS for name in kind.names]
    asked = ", ".join(
        [f'null::"{name}" as "{name}"' for name, _ in scalars]
        + [f'null::"{name}"[] as "{name}[]"' for name, _ in elements]
        + ['null::numeric(12, 3) as "numeric(12,3)"', 'null::uuid[] as "uuid[]"', 'null::uuid as "uuid"']
    )
    with reader_of(postgres_server, adbc=adbc).read(Query(f"select {asked}")) as reader:
        arrived = {field.name: field.type for field in reader.read_all().schema}

    assert arrived == {
        **{name: kind.arrow if kind.arrow is not None else pa.float64() for name, kind in scalars},
        **{f"{name}[]": pa.list_(kind.arrow) for name, kind in elements},
        "numeric(12,3)": pa.decimal128(12, 3),
        "uuid[]": pa.list_(pa.string()),
        "uuid": pa.string(),
    }


@DRIVERS
@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("9007199254740992::numeric", 9007199254740992.0),
        ("1e300::numeric", 1e300),
        ("0.1::numeric", 0.1),
        ("'Infinity'::numeric", math.inf),
        ("12345678901234567890123456789012345678::numeric(38)", Decimal(12345678901234567890123456789012345678)),
    ],
)
def test_a_number_keeps_its_value(postgres_server: Server, adbc: bool, value: str, expected: object) -> None:
    assert read(reader_of(postgres_server, adbc=adbc), f"select {value} as n").to_pydict() == {"n": [expected]}


@DRIVERS
@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("9007199254740993::numeric", "column 'n' holds a value that is not a 64-bit float: 9007199254740993 has more"),
        ("'NaN'::numeric(9, 2)", "column 'n' holds a value that is not a decimal(9,2)"),
    ],
)
def test_a_number_that_would_change_is_an_error(postgres_server: Server, adbc: bool, value: str, message: str) -> None:
    with pytest.raises(SourceError) as caught:
        read(reader_of(postgres_server, adbc=adbc), f"select {value} as n")

    assert caught.value.problem.slug == "source-value"
    assert caught.value.problem.message.startswith(message)
    assert "cast the column" in str(caught.value.problem.hint)


@DRIVERS
@pytest.mark.parametrize(
    "value", ["timestamptz 'infinity'", "timestamp '-infinity'", "timestamp '12026-01-01'", "date '-infinity'"]
)
def test_a_time_beyond_the_calendar_does_not_end_the_run(postgres_server: Server, adbc: bool, value: str) -> None:
    (column,) = read(reader_of(postgres_server, adbc=adbc), f"select {value} as t").columns
    number = column.combine_chunks().view(pa.int32() if pa.types.is_date32(column.type) else pa.int64())[0].as_py()
    first, last = (
        (-719_162, 2_932_896) if pa.types.is_date32(column.type) else (-62_135_596_800_000_000, 253_402_300_799_999_999)
    )

    assert not first <= number <= last


# --- what a session is -----------------------------------------------------------------------------------------------


@DRIVERS
def test_a_session_can_only_read_is_in_utc_and_carries_the_tag(postgres_server: Server, adbc: bool) -> None:
    sql = """select current_setting('transaction_read_only') as read_only, current_setting('timezone') as zone,
        current_setting('application_name') as name, current_setting('statement_timeout') as slowest"""
    source = reader_of(postgres_server, adbc=adbc)
    with source.read(Query(sql, tag="connector:accounts:20260101T000000-abc")) as reader:
        (row,) = reader.read_all().to_pylist()

    assert row == {
        "read_only": "on",
        "zone": "UTC",
        "name": "connector:accounts:20260101T000000-abc",
        "slowest": "1h",
    }


@DRIVERS
def test_the_limit_can_be_left_to_the_server(postgres_server: Server, adbc: bool) -> None:
    source = reader_of(postgres_server, adbc=adbc, timeouts={"query_seconds": None})

    assert read(source, "select current_setting('statement_timeout') as t").to_pydict() == {"t": ["0"]}


@DRIVERS
def test_a_model_that_writes_is_refused(postgres_server: Server, adbc: bool) -> None:
    postgres_server.run("create sequence if not exists counter", "grant all on sequence counter to reader")
    with pytest.raises(SourceError, match=r"cannot execute nextval.* in a read-only transaction"):
        read(reader_of(postgres_server, adbc=adbc), "select nextval('counter') as n")


@DRIVERS
def test_no_connection_stays_open(postgres_server: Server, adbc: bool) -> None:
    source = reader_of(postgres_server, adbc=adbc)
    source.check()
    with source.read(Query("select generate_series(1, 1000000) as n", tag="leftover")) as reader:
        reader.read_next_batch()
    source.columns(Query("select 1 as n", tag="leftover"))
    source.close()

    counted = "select count(*) from pg_stat_activity where application_name = 'leftover'"
    assert any(postgres_server.ask(counted) == [(0,)] for _ in range(100))


@pytest.mark.parametrize(
    ("tag", "name"),
    [
        ("connector:a:b", "connector:a:b"),
        ("connector:ü:b", "connector:?:b"),
        (
            "connector:" + "s" * 80 + ":0123456789abcdef",
            "connector:" + "s" * 20 + "..." + "s" * 13 + ":0123456789abcdef",
        ),
    ],
)
def test_a_long_tag_keeps_its_end(tag: str, name: str) -> None:
    assert application_name(tag) == name
    assert len(application_name(tag)) <= 63


# --- errors ----------------------------------------------------------------------------------------------------------


def problem_of(source: Postgres, sql: str) -> Problem:
    """What is wrong with the SQL, found by both ways to use it."""
    query = Query(sql, file="models/m.sql", first_line=5)
    with pytest.raises(SourceError) as columns:
        source.columns(query)
    with pytest.raises(SourceError) as rows, source.read(query):
        pass
    assert columns.value.problem == rows.value.problem
    return columns.value.problem


@DRIVERS
@pytest.mark.parametrize(
    ("sql", "slug", "at", "message", "hint"),
    [
        (
            "select *\nfrom marts.acounts",
            "source-table-missing",
            "models/m.sql:6:6",
            'relation "marts.acounts" does not exist',
            "did you mean 'marts.accounts'? tables: marts.accounts, plans",
        ),
        (
            "select * from mart.accounts",
            "source-table-missing",
            "models/m.sql:5:15",
            'relation "mart.accounts" does not exist',
            "did you mean 'marts.accounts'? tables: marts.accounts, plans",
        ),
        (
            "select 'ü' as u, arrr from marts.accounts",
            "source-query",
            "models/m.sql:5:18",
            'the warehouse refused the SQL: column "arrr" does not exist',
            'Perhaps you meant to reference the column "accounts.arr".',
        ),
        ("select *\n fro plans", "source-query", "models/m.sql:6:2", "syntax error at or near", None),
        ("select 1; select 2", "source-query", "models/m.sql:5:9", "syntax error", None),
        ("select * from secrets", "source-denied", None, "permission denied for table secrets", "docs/warehouses/post"),
    ],
)
def test_wrong_sql_says_what_where_and_what_was_meant(
    postgres_server: Server, adbc: bool, sql: str, slug: str, at: str | None, message: str, hint: str | None
) -> None:
    problem = problem_of(reader_of(postgres_server, adbc=adbc), sql)

    assert (problem.slug, problem.at) == (slug, at)
    assert message in problem.message
    assert (hint or "") in (problem.hint or "")


@DRIVERS
def test_a_value_that_cannot_be_cast_is_named(postgres_server: Server, adbc: bool) -> None:
    with pytest.raises(SourceError) as caught:
        read(reader_of(postgres_server, adbc=adbc), "select account_id::int as n from marts.accounts")

    assert caught.value.problem.slug == "source-read"
    assert 'invalid input syntax for type integer: "acct-0"' in caught.value.problem.message


@DRIVERS
@pytest.mark.parametrize("password_in_url", [True, False])
def test_special_characters_of_a_password_need_no_escape_of_their_own(
    postgres_server: Server, adbc: bool, password_in_url: bool
) -> None:
    if password_in_url:
        url = postgres_server.url("reader", "r3ader%3A%2F%25%40%21").replace("postgresql:", "postgresql+psycopg:")
        source = Postgres(Settings(type="postgres", url=SecretStr(url)), adbc=adbc)
    else:
        source = reader_of(postgres_server, adbc=adbc)

    assert read(source, "select current_user as who").to_pydict() == {"who": ["reader"]}


def test_a_database_that_is_not_there_is_a_refused_login(postgres_server: Server) -> None:
    source = reader_of(postgres_server, adbc=False, url=postgres_server.url("reader")[:-8] + "nowhere")
    with pytest.raises(SourceError, match='database "nowhere" does not exist') as caught:
        source.check()

    assert caught.value.problem.slug == "source-login"


@pytest.mark.parametrize("url", ["postgresql://user:ge%zzheim@host/db", "postgresql://user:geheim@[host/db"])
def test_an_address_that_cannot_be_read_is_not_shown(url: str) -> None:
    try:
        source = Postgres(Settings(type="postgres", url=SecretStr(url)))
        source.check()
    except (SourceError, ValidationError) as error:
        shown = everything_about(error)
    else:
        pytest.fail("it was taken")

    assert "heim" not in shown


def test_an_address_of_another_kind_is_refused_without_its_password() -> None:
    with pytest.raises(ValidationError) as caught:
        SOURCES["postgres"].settings().model_validate({"type": "postgres", "url": "mysql://u:geheim@h/d"})

    assert "must be an address" in str(caught.value)
    assert "geheim" not in json.dumps(caught.value.errors(include_input=False, include_context=False))


def test_a_backend_that_is_ended_is_a_lost_connection(postgres_server: Server) -> None:
    source = reader_of(postgres_server, adbc=False)
    sql = "select i, repeat('x', 1000) as text from generate_series(1, 1000000) i"
    kill = "select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'victim'"
    with pytest.raises(SourceError) as caught, source.read(Query(sql, tag="victim", batch_rows=1000)) as reader:
        _ = reader.read_next_batch(), postgres_server.run(kill), reader.read_all()  # type: ignore[func-returns-value]

    assert caught.value.problem.slug == "source-lost"
    assert psycopg.errors.AdminShutdown("x").sqlstate == "57P01"


class DriverError(Exception):
    """An error as a driver raises it: ADBC's later ones have no SQLSTATE of their own."""

    def __init__(self, said: str, sqlstate: str | None = None) -> None:
        super().__init__(said)
        if sqlstate is not None:
            self.sqlstate = sqlstate


@pytest.mark.parametrize(
    ("error", "slug", "message"),
    [
        (DriverError("canceling statement due to statement timeout", "57014"), "source-timeout", "longer than 7 s"),
        (
            DriverError("[libpq] ERROR:  canceling statement due to statement timeout"),
            "source-timeout",
            "longer than 7 s",
        ),
        (
            DriverError("IO: [libpq] PQgetCopyData() failed: server closed the connection"),
            "source-lost",
            "server closed",
        ),
        (DriverError("terminating connection", "57P01"), "source-lost", "was lost: terminating connection"),
        (DriverError("ERROR:  permission denied for table t. SQLSTATE: 42501"), "source-denied", "permission denied"),
        (DriverError("canceling statement due to conflict with recovery", "40001"), "source-read", "conflict with rec"),
        (DriverError("[libpq] Execution error: ERROR:  division by zero\n\nQuery was: x"), "source-read", "by zero"),
        (DriverError("could not connect to geheim"), "source-read", "could not connect to ***"),
    ],
)
def test_what_ends_a_result_means(error: DriverError, slug: str, message: str) -> None:
    problem = errors.broke_off(error, 7, ("geheim",)).problem

    assert problem.slug == slug
    assert message in problem.message
    assert "Query was" not in problem.message


@pytest.mark.parametrize(
    ("error", "slug"),
    [
        (DriverError("sorry, too many clients already", "53300"), "source-lost"),
        (DriverError("connection failure", "08006"), "source-lost"),
        (DriverError("no such function", "42883"), "source-query"),
        (DriverError("cannot do that", "0A000"), "source-query"),
    ],
)
def test_what_refuses_a_query_means(error: DriverError, slug: str) -> None:
    assert errors.refused_sql(error, Query("select 1"), 0, ()).problem.slug == slug


def test_a_place_outside_of_the_sql_is_its_beginning(postgres_server: Server) -> None:
    with psycopg.connect(postgres_server.url()) as con, pytest.raises(psycopg.Error) as caught:
        con.execute("select 1, nope")

    assert errors.refused_sql(caught.value, Query("x"), 0, ()).problem.at == "query:1:1"
    assert errors.refused_sql(caught.value, Query("x"), 10, ()).problem.at == "query:1:1"


def test_the_registry_opens_it(postgres_server: Server) -> None:
    system = SOURCES["postgres"]
    source = system.open(system.settings().model_validate({"type": "postgres", "url": postgres_server.url()}), Path())
    source.check()
    source.cancel()
    source.close()


@pytest.mark.parametrize(("precision", "scale"), [(None, None), (39, 0), (5, 6), (5, -2), (0, 0)])
def test_a_numeric_that_arrow_cannot_hold_is_a_float(precision: int | None, scale: int | None) -> None:
    assert type_of(Column("n", "numeric", precision=precision, scale=scale)) == ("{}", pa.float64())


def test_a_row_is_json_text() -> None:
    assert type_of(Column("r", "record", "p")) == ("to_jsonb({})::text", pa.string())
