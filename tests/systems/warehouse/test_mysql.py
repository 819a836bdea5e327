"""MariaDB, a real one, through SQLAlchemy and PyMySQL: `nox -s mysql`, or wherever both are installed."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import pytest

pytest.importorskip("pymysql", reason="PyMySQL is not installed: nox -s mysql")

from connector.errors import SourceError
from connector.ports import Query, Source
from connector.systems.warehouse.sqlalchemy import Settings, SqlAlchemy
from tests.systems.warehouse.contract import RemoteContract, read
from tests.systems.warehouse.mariadb_server import PASSWORD, Server, running_mariadb
from tests.systems.warehouse.wire import Wire, wire_to

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with running_mariadb() as server:
        server.run(
            f"create user reader@'127.0.0.1' identified by '{PASSWORD}'",
            "create table warehouse.accounts (account_id varchar(20), arr int)",
            "insert into warehouse.accounts values ('acct-0', 0), ('acct-1', 1)",
            "create database hidden",
            "create table hidden.secrets (a int)",
            "create table warehouse.everything (small tinyint, large bigint unsigned, amount decimal(9, 2), flt float, "
            "dbl double, txt text, day date, naive datetime(6), zoned timestamp null, clock time, year year, doc json, "
            "level enum('gold', 'iron'), flag boolean, bytes varbinary(4))",
            "insert into warehouse.everything values (7, 18446744073709551615, 12.30, 1.5, 1.5, 'Grüße, 世界 🌍', "
            "'2026-02-28', '2026-02-28 12:30:00.123456', from_unixtime(1772275800), '12:30', 2026, '{\"k\": 1}', "
            "'gold', true, 'x')",
            "grant select on warehouse.* to reader@'127.0.0.1'",
        )
        yield server


def source_of(server: Server, port: int | None = None, **settings: Any) -> SqlAlchemy:
    url = f"mysql+pymysql://reader@127.0.0.1:{port or server.port}/warehouse"
    given = {"type": "sqlalchemy", "url": url, "password": PASSWORD, **settings}
    return SqlAlchemy(Settings.model_validate(given), Path(), pauses=(0.0, 0.0))


@pytest.fixture
def source(server: Server) -> SqlAlchemy:
    return source_of(server)


@pytest.fixture
def wire(server: Server) -> Iterator[Wire]:
    with wire_to(server.port) as wire:
        yield wire


class TestMariaDb(RemoteContract):
    """The contract."""

    secret = "r3ader"
    series = (
        "select seq - 1 as n, concat(seq, ' ', repeat(md5(seq), 5)) as text from seq_1_to_2000000 where seq <= {rows}"
    )
    one_row = """
        select txt as text, null as nothing, small, large, amount, flt, dbl, flag, day, naive, zoned, clock, year, doc,
            level, '100% ? :colon' as marks from everything -- a comment at the end"""
    values: ClassVar[dict[str, object]] = {
        "text": "Grüße, 世界 🌍",
        "nothing": None,
        "small": 7,
        "large": 18446744073709551615,
        "amount": Decimal("12.30"),
        "flt": 1.5,
        "dbl": 1.5,
        "flag": 1,
        "day": date(2026, 2, 28),
        "naive": datetime(2026, 2, 28, 12, 30, 0, 123456),  # noqa: DTZ001 - naive on purpose
        "zoned": datetime(2026, 2, 28, 10, 50, tzinfo=UTC),
        "clock": "12:30:00",
        "year": 2026,
        "doc": '{"k": 1}',
        "level": "gold",
        "marks": "100% ? :colon",
    }
    same_name = "select 1 as plan, 'x' as plan"
    # A subquery with two rows where one may be: an error of the row.
    breaks_midway = """
        select seq - case when seq < 400000 then 1 else (select 1 union select 2) end as n, repeat('x', 500) as text
        from seq_1_to_500000"""
    endless = "select count(*) as n from seq_1_to_2000000 a, seq_1_to_2000000 b where md5(a.seq + b.seq) = 'x'"
    missing_table = "select * from acounts"
    large = (1_000_000, 100)

    @pytest.fixture
    def source(self, server: Server) -> SqlAlchemy:
        return source_of(server)

    @pytest.fixture
    def source_behind(self, server: Server, wire: Wire) -> SqlAlchemy:
        return source_of(server, port=wire.port)

    @pytest.fixture
    def stranger(self, server: Server) -> SqlAlchemy:
        return source_of(server, password="r3ader-wrong")

    @pytest.fixture
    def hasty(self, server: Server) -> SqlAlchemy:
        return source_of(server, timeouts={"query_seconds": 1})

    def opened_by(self, source: Source) -> str:
        """Python code that opens the same source."""
        assert isinstance(source, SqlAlchemy)
        url = source._settings.url.get_secret_value()  # noqa: SLF001 - only a test opens a source twice
        return f"""
from connector.systems.warehouse.sqlalchemy import Settings, SqlAlchemy
source = SqlAlchemy(Settings(type="sqlalchemy", url={url!r}, password={PASSWORD!r}), Path())
"""


def test_a_session_can_only_read_and_is_in_utc(source: SqlAlchemy) -> None:
    sql = "select @@session.tx_read_only as ro, @@session.time_zone as zone"

    assert read(source, sql).to_pydict() == {"ro": [1], "zone": ["+00:00"]}


def test_bytes_must_be_converted_in_the_model(source: SqlAlchemy) -> None:
    with pytest.raises(SourceError, match="column 'bytes' holds a value that is not a text: it is binary") as caught:
        read(source, "select bytes from everything")

    assert caught.value.problem.slug == "source-value"
    assert read(source, "select hex(bytes) as bytes from everything").to_pydict() == {"bytes": ["78"]}


@pytest.mark.parametrize(
    ("sql", "slug", "message", "hint"),
    [
        ("select * from acounts", "source-table-missing", "acounts' doesn't exist", "did you mean 'accounts'?"),
        ("select * from hidden.secrets", "source-denied", "SELECT command denied", "grant the login select"),
        ("selec 1", "source-query", "the warehouse refused the SQL: You have an error in your SQL syntax", None),
    ],
)
def test_wrong_sql_says_what_and_what_was_meant(
    source: SqlAlchemy, sql: str, slug: str, message: str, hint: str | None
) -> None:
    with pytest.raises(SourceError) as columns:
        source.columns(Query(sql))
    with pytest.raises(SourceError) as rows, source.read(Query(sql)):
        pass

    assert columns.value.problem == rows.value.problem
    assert columns.value.problem.slug == slug
    assert message in columns.value.problem.message
    assert (hint or "") in (columns.value.problem.hint or "")


def test_a_database_that_is_not_there_is_a_refused_login(server: Server) -> None:
    server.run("grant select on nowhere.* to reader@'127.0.0.1'")
    with pytest.raises(SourceError, match="Unknown database 'nowhere'") as caught:
        source_of(server, url=f"mysql+pymysql://reader@127.0.0.1:{server.port}/nowhere").check()

    assert caught.value.problem.slug == "source-login"
