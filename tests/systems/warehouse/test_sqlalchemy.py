"""SQLite, which every Python has; MySQL and MariaDB are in test_mysql.py."""

from __future__ import annotations

import datetime as dt
import sqlite3
from decimal import Decimal
from typing import TYPE_CHECKING, Any, ClassVar

import pyarrow as pa
import pytest
from pydantic import SecretStr, ValidationError

from connector.errors import SourceError
from connector.ports import Query, Source
from connector.systems import SOURCES
from connector.systems.warehouse import sqlalchemy_errors as errors
from connector.systems.warehouse.sqlalchemy import Settings, SqlAlchemy
from connector.systems.warehouse.sqlalchemy_types import described_type, sampled_type, texts
from connector.systems.warehouse.timeouts import Timeouts
from tests.systems.warehouse.contract import SourceContract, everything_about, read

if TYPE_CHECKING:
    from pathlib import Path

    from connector.errors import Problem

SERIES = "with recursive numbers(n) as (select 0 union all select n + 1 from numbers where n + 1 < {rows}) "


@pytest.fixture
def root(tmp_path: Path) -> Path:
    con = sqlite3.connect(tmp_path / "warehouse.sqlite")
    con.executescript("""
        create table accounts (account_id text, arr integer);
        insert into accounts values ('acct-0', 0), ('acct-1', 1);
        create view plans as select 'pro' as plan;
    """)
    con.close()
    return tmp_path


def source_of(root: Path, **settings: Any) -> SqlAlchemy:
    given = {"type": "sqlalchemy", "url": "sqlite:///warehouse.sqlite", **settings}
    return SqlAlchemy(Settings.model_validate(given), root, pauses=(0.0, 0.0))


@pytest.fixture
def source(root: Path) -> SqlAlchemy:
    return source_of(root)


class TestSqlite(SourceContract):
    """The contract, on a database whose driver says nothing of types."""

    series = SERIES + "select n, n || ' ' || hex(zeroblob(80)) as text from numbers where {rows} > 0"
    one_row = """
        select 'Grüße, 世界 🌍 100%' as text, null as void, 7 as small, 9007199254740993 as exact, 1.5 as float,
            x'78' as bytes, '2026-02-28' as day, ':colon ?' as marks -- a comment at the end"""
    values: ClassVar[dict[str, object]] = {
        "text": "Grüße, 世界 🌍 100%",
        "void": None,
        "small": 7,
        "exact": 9007199254740993,
        "float": 1.5,
        "bytes": b"x",
        "day": "2026-02-28",
        "marks": ":colon ?",
    }
    same_name = "select 1 as plan, 'x' as plan"
    breaks_midway = (
        SERIES.format(rows=500_000)
        + "select case when n < 400000 then n else abs(-9223372036854775807 - 1) end as n, hex(zeroblob(250)) as text "
        + "from numbers"
    )
    endless = SERIES.format(rows=2_000_000_000_000) + "select count(*) as n from numbers where n % 7 = 3"
    missing_table = "select * from acounts"
    large = (1_000_000, 100)

    def opened_by(self, source: Source) -> str:
        """Python code that opens the same file."""
        assert isinstance(source, SqlAlchemy)
        return f"""
from connector.systems.warehouse.sqlalchemy import Settings, SqlAlchemy
source = SqlAlchemy(Settings(type="sqlalchemy", url="sqlite:///warehouse.sqlite"), Path({str(source._root)!r}))
"""  # noqa: SLF001 - only a test opens a source twice

    def test_a_query_may_not_take_longer_than_allowed(self, root: Path) -> None:
        """The limit is kept here, since not every database has one."""
        source = source_of(root, timeouts={"query_seconds": 1})
        with pytest.raises(SourceError, match="the query took longer than 1 s") as caught:
            read(source, self.endless)

        assert caught.value.problem.slug == "source-timeout"


# --- types -----------------------------------------------------------------------------------------------------------


def described(code: object, precision: int | None = None, scale: int | None = None) -> tuple[object, ...]:
    return ("c", code, None, None, precision, scale, True)


class Named:
    """A type as Oracle's driver has them."""

    name = "DB_TYPE_TIMESTAMP_LTZ"


@pytest.mark.parametrize(
    ("dialect", "column", "arrow"),
    [
        ("mysql", described(1), pa.int64()),
        ("mysql", described(8), pa.decimal128(20, 0)),
        ("mariadb", described(246, 11, 2), pa.decimal128(38, 2)),
        ("mysql", described(7), pa.timestamp("us", tz="UTC")),
        ("mysql", described(999), pa.string()),
        ("postgresql", described(20), pa.int64()),
        ("postgresql", described(1700, 9, 2), pa.decimal128(9, 2)),
        ("postgresql", described(1700, 65535, None), pa.float64()),
        ("redshift", described(2950), pa.string()),
        ("mssql", described(Decimal, 19, 4), pa.decimal128(19, 4)),
        ("mssql", described(dt.datetime), pa.timestamp("us")),
        ("mssql", described(bool), pa.bool_()),
        ("trino", described("varchar(10)"), pa.string()),
        ("trino", described("decimal(12,3)"), pa.decimal128(12, 3)),
        ("trino", described("timestamp(3) with time zone"), pa.timestamp("us", tz="UTC")),
        ("trino", described("timestamp(3)"), pa.timestamp("us")),
        ("trino", described("array(bigint)"), pa.string()),
        ("bigquery", described("INT64"), pa.int64()),
        ("bigquery", described("FLOAT64"), pa.float64()),
        ("bigquery", described("BOOL"), pa.bool_()),
        ("databricks", described("binary"), pa.binary()),
        ("oracle", described(Named()), pa.timestamp("us", tz="UTC")),
        ("oracle", described("DB_TYPE_NUMBER", 0, -127), pa.float64()),
        ("oracle", described("DB_TYPE_NUMBER", 10, 0), pa.decimal128(10, 0)),
        ("oracle", described("DB_TYPE_DATE"), pa.timestamp("us")),
    ],
)
def test_a_driver_says_what_a_column_holds(dialect: str, column: tuple[object, ...], arrow: pa.DataType) -> None:
    assert described_type(dialect, column) == (True, arrow)


@pytest.mark.parametrize("code", [None, 3, "", dict])
def test_a_driver_may_say_nothing(code: object) -> None:
    assert described_type("sqlite", described(code)) == (False, None)


@pytest.mark.parametrize(
    ("values", "arrow"),
    [
        ([], pa.string()),
        ([None, None], pa.string()),
        ([None, 1, 2], pa.int64()),
        ([2**63], pa.string()),
        ([True, False], pa.bool_()),
        ([1, 2.5], pa.float64()),
        ([Decimal("1.5"), 2], pa.float64()),
        ([1, "x"], pa.string()),
        ([True, 1], pa.string()),
        ([b"x"], pa.binary()),
        ([dt.date(2026, 1, 1)], pa.date32()),
        ([dt.datetime(2026, 1, 1)], pa.timestamp("us")),  # noqa: DTZ001 - naive on purpose
        ([None, dt.datetime(2026, 1, 1, tzinfo=dt.UTC)], pa.timestamp("us", tz="UTC")),
        ([dt.timedelta(minutes=1)], pa.string()),
    ],
)
def test_values_say_what_a_column_holds(values: list[object], arrow: pa.DataType) -> None:
    assert sampled_type(values) == arrow


def test_anything_but_bytes_has_a_text() -> None:
    values = [
        None,
        "x",
        7,
        True,
        Decimal("1.50"),
        dt.date(2026, 1, 2),
        dt.datetime(2026, 1, 2, 3),  # noqa: DTZ001 - naive on purpose
        dt.time(3, 4),
        dt.timedelta(hours=1),
        {"k": ["ü"]},
    ]

    assert texts(values) == [
        None,
        "x",
        "7",
        "true",
        "1.50",
        "2026-01-02",
        "2026-01-02 03:00:00",
        "03:04:00",
        "1:00:00",
        '{"k": ["ü"]}',
    ]


def test_rows_are_read_as_the_columns_were_said_to_be(root: Path, source: SqlAlchemy) -> None:
    sql = "select arr from accounts"
    before = source.columns(Query(sql))
    con = sqlite3.connect(root / "warehouse.sqlite")
    con.execute("insert into accounts values ('acct-2', 2.5)")
    con.commit()
    con.close()
    with pytest.raises(SourceError, match="column 'arr' holds a value that is not a 64-bit integer") as caught:
        read(source, sql)

    assert before == pa.schema([("arr", pa.int64())])
    assert caught.value.problem.slug == "source-value"
    assert read(source_of(root), sql).to_pydict() == {"arr": [0.0, 1.0, 2.5]}


def test_a_later_value_of_another_type_is_an_error(source: SqlAlchemy) -> None:
    sql = SERIES.format(rows=1_500) + "select case when n < 1200 then n || '' else x'78' end as c from numbers"
    with pytest.raises(SourceError, match="column 'c' holds a value that is not a text: it is binary") as caught:
        read(source, sql)

    assert "cast the column" in str(caught.value.problem.hint)


# --- errors ----------------------------------------------------------------------------------------------------------


def problem_of(source: SqlAlchemy, sql: str) -> Problem:
    """What is wrong with the SQL, found by both ways to use it."""
    query = Query(sql, file="models/m.sql", first_line=5)
    with pytest.raises(SourceError) as columns:
        source.columns(query)
    with pytest.raises(SourceError) as rows, source.read(query):
        pass
    assert columns.value.problem == rows.value.problem
    return columns.value.problem


@pytest.mark.parametrize(
    ("sql", "slug", "message", "hint"),
    [
        (
            "select * from acounts",
            "source-table-missing",
            "no such table: acounts",
            "did you mean 'accounts'? tables: accounts, plans",
        ),
        ("select nope from accounts", "source-query", "the warehouse refused the SQL: no such column: nope", None),
        ("selec 1", "source-query", 'the warehouse refused the SQL: near "selec": syntax error', None),
    ],
)
def test_wrong_sql_says_what_and_what_was_meant(
    source: SqlAlchemy, sql: str, slug: str, message: str, hint: str | None
) -> None:
    problem = problem_of(source, sql)

    assert (problem.slug, problem.message, problem.at, problem.hint) == (slug, message, "models/m.sql:5:1", hint)


class DriverError(Exception):
    """An error as a driver raises it."""


@pytest.mark.parametrize(
    ("arguments", "login", "sql"),
    [
        ((1045, "Access denied for user 'u'@'h' (using password: YES)"), "source-login", "source-query"),
        (("ORA-01017: invalid username/password; logon denied",), "source-login", "source-query"),
        ((2003, "Can't connect to MySQL server on 'h'"), "source-unreachable", "source-lost"),
        ((2013, "Lost connection to MySQL server during query"), "source-unreachable", "source-lost"),
        (("08S01", "[08S01] Communication link failure"), "source-unreachable", "source-lost"),
        ((1146, "Table 'w.acounts' doesn't exist"), "source-unreachable", "source-table-missing"),
        (("42S02", "Invalid object name 'dbo.acounts'."), "source-unreachable", "source-table-missing"),
        ((1142, "SELECT command denied to user 'u'@'h' for table 't'"), "source-unreachable", "source-denied"),
        (("The SELECT permission was denied on the object 't'",), "source-unreachable", "source-denied"),
        (
            (1969, "Query execution was interrupted (max_statement_time exceeded)"),
            "source-unreachable",
            "source-timeout",
        ),
        ((), "source-unreachable", "source-query"),
    ],
)
def test_what_drivers_say_means(arguments: tuple[Any, ...], login: str, sql: str) -> None:
    error = DriverError(*arguments)

    assert errors.refused_login(error, ()).problem.slug == login
    assert errors.refused_sql(error, Query("select 1"), 7, ()).problem.slug == sql


@pytest.mark.parametrize(
    ("message", "name"),
    [
        ("no such table: marts.acounts", "marts.acounts"),
        ("Table 'w.acounts' doesn't exist", "w.acounts"),
        ("Invalid object name 'dbo.acounts'.", "dbo.acounts"),
        ("ORA-00942", ""),
    ],
)
def test_the_missing_table_is_found_in_the_message(message: str, name: str) -> None:
    assert errors.table_named(message) == name


@pytest.mark.parametrize(
    ("url", "slug", "message"),
    [
        ("nope://u:geheim@h/d", "source-driver-missing", "SQLAlchemy has no dialect or driver 'nope'"),
        ("mysql+nope://u:geheim@h/d", "source-driver-missing", "SQLAlchemy has no dialect or driver 'mysql.nope'"),
        ("postgresql+pg8000://u:geheim@h/d", "source-driver-missing", "the Python package pg8000 is not installed"),
        ("sqlite://u:geheim@h:x/d", "source-settings", "the url of the source cannot be read"),
        ("sqlite:///nowhere.sqlite", "source-file-missing", "there is no SQLite file"),
        ("sqlite:///folder", "source-file-missing", "there is no SQLite file"),
    ],
)
def test_an_address_that_leads_nowhere_says_why_without_its_password(
    root: Path, url: str, slug: str, message: str
) -> None:
    (root / "folder").mkdir()
    with pytest.raises(SourceError) as caught:
        source_of(root, url=url).check()

    assert caught.value.problem.slug == slug
    assert caught.value.problem.message.startswith(message)
    assert "geheim" not in everything_about(caught.value)


def test_a_file_of_another_kind_is_refused(root: Path) -> None:
    (root / "other.sqlite").write_bytes(b"id,name\n" * 1000)
    with pytest.raises(SourceError, match="the database cannot be reached: file is not a database") as caught:
        source_of(root, url="sqlite:///other.sqlite").check()

    assert caught.value.problem.slug == "source-unreachable"


# --- settings --------------------------------------------------------------------------------------------------------


def test_the_warehouse_cannot_be_changed(root: Path, source: SqlAlchemy) -> None:
    before = (root / "warehouse.sqlite").read_bytes()
    with pytest.raises(SourceError, match="readonly database"):
        read(source, "insert into accounts values ('acct-9', 9) returning arr")
    source.check()
    source.close()

    assert (root / "warehouse.sqlite").read_bytes() == before


@pytest.mark.parametrize("url", ["sqlite://", "sqlite:///:memory:", "sqlite:///file:w.sqlite?mode=memory&uri=true"])
def test_a_database_may_be_in_memory(root: Path, url: str) -> None:
    assert read(source_of(root, url=url), "select 1 as n").to_pydict() == {"n": [1]}


def test_a_password_of_its_own_and_a_time_limit_reach_the_driver(root: Path) -> None:
    pytest.importorskip("pymysql", reason="PyMySQL is not installed")
    settings = Settings(
        type="sqlalchemy",
        url=SecretStr("mysql+pymysql://u@h/d"),
        password=SecretStr("a/b:c%@"),
        connect_args={"charset": "utf8mb4"},
        timeouts=Timeouts(connect_seconds=7),
    )
    source = SqlAlchemy(settings, root)

    assert source.engine.url.password == "a/b:c%@"
    assert source._connect_args(source.engine.url) == {"connect_timeout": 7, "charset": "utf8mb4"}  # noqa: SLF001 - not seen outside


@pytest.mark.parametrize("wrong", [{"url": "nothing"}, {"url": "://u:geheim@h"}, {}, {"url": "sqlite://", "path": "x"}])
def test_wrong_settings_are_refused_without_their_secrets(wrong: dict[str, str]) -> None:
    with pytest.raises(ValidationError) as caught:
        SOURCES["sqlalchemy"].settings().model_validate({"type": "sqlalchemy", **wrong})

    assert "geheim" not in str([error["msg"] for error in caught.value.errors()])


def test_the_registry_opens_it(root: Path) -> None:
    system = SOURCES["sqlalchemy"]
    settings = system.settings().model_validate({"type": "sqlalchemy", "url": "sqlite:///warehouse.sqlite"})
    source = system.open(settings, root)
    source.check()
    source.close()
