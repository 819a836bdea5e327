from __future__ import annotations

import subprocess
import sys
from contextlib import contextmanager
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pydantic import ValidationError

from connector.errors import SourceError
from connector.ports import Query, Source
from connector.systems import SOURCES
from connector.systems.warehouse.duckdb import DuckDb, Settings
from connector.systems.warehouse.duckdb import open as open_source
from tests.systems.warehouse.contract import SourceContract, read

if TYPE_CHECKING:
    from collections.abc import Iterator

    from connector.errors import Problem


@pytest.fixture
def root(tmp_path: Path) -> Path:
    with duckdb.connect(str(tmp_path / "warehouse.duckdb")) as con:
        con.execute("create schema marts")
        con.execute("create table marts.accounts as select 'acct-' || range as account_id, range as arr from range(5)")
        con.execute("create table plans as select 'pro' as plan")
    return tmp_path


@pytest.fixture
def source(root: Path) -> DuckDb:
    return open_source(Settings(type="duckdb", path="warehouse.duckdb"), root)


class TestDuckDb(SourceContract):
    """The contract, on a file that another process may read at the same time."""

    series = "select range as n, range || ' ' || repeat(md5(range::varchar), 5) as text from range({rows})"
    one_row = """
        select 'Grüße, 世界 🌍' as text, null::varchar as nothing, 7::tinyint as small, 2::bigint ** 40 as large,
            9007199254740993::bigint as exact, 1.5::double as float, 12.30::decimal(9, 2) as amount, true as flag,
            date '2026-02-28' as day, timestamp '2026-02-28 12:30:00.123456' as naive,
            timestamptz '2026-02-28 12:30:00+02' as zoned, ['a', null] as list, {'k': 1} as struct,
            'b4c5b1fe-52a1-4ae2-8f0a-0f1f5a2d1c11'::uuid as uuid, '{"a": 1}'::json as json,
            'gold'::enum('gold', 'iron') as level, 'x'::blob as bytes; -- a comment after the end
    """
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
        "struct": {"k": 1},
        "uuid": "b4c5b1fe-52a1-4ae2-8f0a-0f1f5a2d1c11",
        "json": '{"a": 1}',
        "level": "gold",
        "bytes": b"x",
    }
    same_name = "select 1 as plan, 'x' as plan"
    breaks_midway = """
        select case when range < 400000 then range else error('disk on fire') end as n, repeat('x', 500) as text
        from range(500000)
    """
    endless = "select count(*) as n from range(200000000000) a where hash(range) % 7 = 3"
    missing_table = "select * from marts.acounts"

    def opened_by(self, source: Source) -> str:
        """Python code that opens the same file."""
        assert isinstance(source, DuckDb)
        return f"""
from connector.systems.warehouse.duckdb import DuckDb
source = DuckDb("warehouse.duckdb", Path({str(source.root)!r}))
"""


def problem_of(source: DuckDb, sql: str) -> Problem:
    """What is wrong with the SQL, found by both ways to use it."""
    query = Query(sql, file="models/m.sql", first_line=5)
    with pytest.raises(SourceError) as columns:
        source.columns(query)
    with pytest.raises(SourceError) as rows, source.read(query):
        pass
    assert columns.value.problem == rows.value.problem
    return columns.value.problem


@pytest.mark.parametrize(
    ("sql", "slug", "at", "message", "hint"),
    [
        (
            "select *\nfrom marts.acounts",
            "source-table-missing",
            "models/m.sql:6:6",
            "Table with name acounts does not exist",
            "did you mean 'marts.accounts'? tables: marts.accounts, plans",
        ),
        (
            "select 'ü' as u, arrr from marts.accounts",
            "source-query",
            "models/m.sql:5:18",
            'the warehouse refused the SQL: Referenced column "arrr" not found in FROM clause',
            "did you mean arr?",
        ),
        ("select *\n fro plans", "source-query", "models/m.sql:6:6", "syntax error at or near", None),
        ("select 1; select 2", "not-a-select", "models/m.sql:5:1", "this is 2 statements", None),
        ("-- nothing", "not-a-select", "models/m.sql:5:1", "this is empty", None),
        (
            "select plan\nfrom plans where plan = $1",
            "source-query",
            "models/m.sql:5:1",
            "following parameters: 1",
            None,
        ),
        ("drop table plans", "not-a-select", "models/m.sql:5:1", "this is one DROP", None),
        ("select * from read_csv('none.csv')", "source-query", "models/m.sql:5:15", "No files found", None),
    ],
)
def test_wrong_sql_says_what_where_and_what_was_meant(
    source: DuckDb, sql: str, slug: str, at: str, message: str, hint: str | None
) -> None:
    problem = problem_of(source, sql)

    assert (problem.slug, problem.at) == (slug, at)
    assert message in problem.message
    assert problem.hint == hint or (hint is None and "syntax" in problem.message)


def test_a_missing_table_of_a_large_warehouse_lists_the_first_ones(tmp_path: Path) -> None:
    with duckdb.connect(str(tmp_path / "w.duckdb")) as con:
        for number in range(12):
            con.execute(f"create table t{number:02} (a int)")

    problem = problem_of(DuckDb("w.duckdb", tmp_path), "select * from nowhere.xyz")

    assert problem.hint == "tables: t00, t01, t02, t03, t04, t05, t06, t07 and 4 more"


def test_an_empty_warehouse_is_called_empty(tmp_path: Path) -> None:
    assert problem_of(DuckDb(":memory:", tmp_path), "from t").hint == "the database has no tables"


def test_a_variable_of_the_program_is_not_a_table(source: DuckDb) -> None:
    rows = pa.table({"a": [1]})

    assert problem_of(source, "select * from rows").slug == "source-table-missing", rows


@pytest.mark.parametrize(
    ("sql", "message", "at", "hint"),
    [
        (
            "select\n  cast(account_id as int) as n from marts.accounts",
            "the warehouse broke off: Could not convert string 'acct-0'",
            "models/m.sql:2:3",
            "try_cast() makes a value that cannot be cast NULL",
        ),
        ("select error('no luck') as n", "the warehouse broke off: no luck", "models/m.sql:1:1", None),
    ],
)
def test_sql_that_fails_on_a_value_says_where(
    source: DuckDb, sql: str, message: str, at: str | None, hint: str | None
) -> None:
    with pytest.raises(SourceError) as caught, source.read(Query(sql, file="models/m.sql")) as reader:
        reader.read_all()
    problem = caught.value.problem

    assert (problem.slug, problem.at, problem.hint) == ("source-read", at, hint)
    assert problem.message.startswith(message)


# --- the file --------------------------------------------------------------------------------------------------------


def test_a_query_that_needs_more_memory_says_where_to_give_it(tmp_path: Path) -> None:
    query = Query("select list(i) as every from range(5_000_000) t(i)", file="models/m.sql", first_line=1)
    source = DuckDb(":memory:", tmp_path, memory="10 MB")

    with pytest.raises(SourceError) as caught, source.read(query) as reader:
        reader.read_all()

    assert caught.value.problem.slug == "source-read"
    hint = "give the source more in connector.yml, such as `memory: 2GB` (256MB by default)"
    assert caught.value.problem.hint == hint


def problem_of_check(path: str, root: Path) -> Problem:
    with pytest.raises(SourceError) as caught:
        DuckDb(path, root, pauses=()).check()
    return caught.value.problem


def test_a_missing_file_is_named_with_the_nearest_one(root: Path) -> None:
    problem = problem_of_check("warehous.duckdb", root)

    assert problem.slug == "source-file-missing"
    assert str(root / "warehous.duckdb") in problem.message
    assert problem.hint == "did you mean 'warehouse.duckdb'? the path is relative to connector.yml"


@pytest.mark.parametrize("path", ["nowhere/warehouse.duckdb", "~nobody-here/warehouse.duckdb"])
def test_a_file_in_a_missing_folder_is_missing(root: Path, path: str) -> None:
    assert problem_of_check(path, root).hint == "the path is relative to connector.yml"


@pytest.mark.parametrize("content", [b"", b"id,name\n1,x\n" * 1000])
def test_a_file_of_another_kind_is_refused(root: Path, content: bytes) -> None:
    (root / "other.duckdb").write_bytes(content)
    problem = problem_of_check("other.duckdb", root)

    assert problem.slug == "source-file-invalid"


@pytest.mark.parametrize("damage", [slice(0, 5000), slice(0, 0)])
def test_a_damaged_file_is_refused(root: Path, damage: slice) -> None:
    whole = (root / "warehouse.duckdb").read_bytes()
    flipped = bytearray(whole)
    flipped[4200] ^= 255
    flipped[8300] ^= 255
    (root / "damaged.duckdb").write_bytes(whole[damage] or bytes(flipped))

    assert problem_of_check("damaged.duckdb", root).slug == "source-file-invalid"


def test_a_folder_is_not_a_file(root: Path) -> None:
    (root / "folder.duckdb").mkdir()
    problem = problem_of_check("folder.duckdb", root)

    assert problem.slug == "source-file-unreadable"
    assert "Is a directory" in problem.message


@contextmanager
def writer(path: Path) -> Iterator[int]:
    """The id of another process that has the file open for writing."""
    program = f"import duckdb; con = duckdb.connect({str(path)!r}); print('open', flush=True); input()"
    with subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        yield process.pid
        process.communicate(b"\n")


def test_a_file_that_another_process_writes_names_that_process(root: Path, source: DuckDb) -> None:
    with writer(root / "warehouse.duckdb") as pid:
        problem = problem_of_check("warehouse.duckdb", root)

    assert problem.slug == "source-file-locked"
    assert f"open for writing in process {pid} (" in problem.message
    assert problem.hint is not None
    source.check()


def test_a_file_that_this_process_writes_is_not_read(root: Path) -> None:
    with duckdb.connect(str(root / "warehouse.duckdb")):
        problem = problem_of_check("warehouse.duckdb", root)

    assert problem.slug == "source-file-locked"
    assert "this very process" in problem.message


def test_other_readers_are_not_shut_out(root: Path, source: DuckDb) -> None:
    with (
        source.read(Query("from plans")),
        duckdb.connect(str(root / "warehouse.duckdb"), read_only=True) as other,
    ):
        assert other.execute("from plans").fetchall() == [("pro",)]
        assert other.execute("select current_setting('errors_as_json')").fetchone() == (False,)


# --- settings --------------------------------------------------------------------------------------------------------


def test_files_are_read_without_a_database_and_relative_to_the_project(tmp_path: Path) -> None:
    pq.write_table(pa.table({"plan": ["pro", "free"]}), tmp_path / "plans.parquet")

    assert read(DuckDb(":memory:", tmp_path), "from 'plans.parquet'").to_pydict() == {"plan": ["pro", "free"]}


def test_the_home_folder_is_expanded(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(root))
    DuckDb("~/warehouse.duckdb", Path("/nowhere")).check()


def test_the_warehouse_cannot_be_changed(root: Path) -> None:
    before = (root / "warehouse.duckdb").read_bytes()
    source = SOURCES["duckdb"].open(Settings(type="duckdb", path=str(root / "warehouse.duckdb")), Path("/nowhere"))
    source.check()
    source.close()

    assert (root / "warehouse.duckdb").read_bytes() == before


@pytest.mark.parametrize("wrong", [{"path": ""}, {}, {"path": "a.duckdb", "schema": "x"}])
def test_wrong_settings_are_refused(wrong: dict[str, str]) -> None:
    with pytest.raises(ValidationError):
        SOURCES["duckdb"].settings().model_validate({"type": "duckdb", **wrong})


def test_what_arrow_cannot_hold_arrives_as_text(source: DuckDb) -> None:
    """Arrow has no number of 128 bits without a sign, and no time with an offset."""
    sql = (
        'select -1 as x, 340282366920938463463374607431768211455::uhugeint as n, \'12:30:00+02\'::timetz as "a ""b",'
        " '0101'::bit as bits, 2 as x -- by position: two have one name"
    )
    rows = read(source, sql)

    assert [str(column.type) for column in rows.schema] == ["int32", "string", "string", "string", "int32"]
    assert [column.to_pylist() for column in rows.columns] == [
        [-1],
        ["340282366920938463463374607431768211455"],
        ["12:30:00+02"],
        ["0101"],
        [2],
    ]
    assert source.columns(Query(sql)).types == rows.schema.types


def test_an_error_keeps_its_place_where_columns_are_converted(source: DuckDb) -> None:
    sql = "select 1::uhugeint as \"größe\",\n  cast('x' || plan as int) from plans"
    query = Query(sql, file="models/m.sql", first_line=5)
    with pytest.raises(SourceError) as caught, source.read(query) as reader:
        reader.read_all()

    assert caught.value.problem.at == "models/m.sql:6:3"
