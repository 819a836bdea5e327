"""Models: settings in the first comment, and one SELECT."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.project.tiny import aside, loaded, problems, said, texts, write

if TYPE_CHECKING:
    from pathlib import Path

    from connector.project.definition import Model

PROJECT = """\
sources:
  duck: { type: duckdb, path: x }
  pg: { type: postgres, url: "postgresql://h/d" }
  my: { type: sqlalchemy, url: "mysql+pymysql://h/d" }
  odd: { type: sqlalchemy, url: "firebird://h/d" }
"""


def project(root: Path, text: str) -> Path:
    files = {"connector.yml": PROJECT, "models/m.sql": text, "models/accounts.sql": None}
    return write(root, files | {"sync_configs/accounts.yml": None, "sync_configs/upgrades.yml": None})


def with_settings(sql: str, source: str = "duck") -> str:
    return f"/* source: {source}\n   primary_key: id */\n{sql}"


def model(root: Path, text: str) -> Model:
    return loaded(project(root, text)).models["m"]


@pytest.mark.parametrize(
    ("text", "sql", "line"),
    [
        ("/*\nsource: duck\nprimary_key: id\n*/\nselect 1;\n", "select 1", 5),
        ("-- owner: data\n\n/* source: duck\n   primary_key: id */ select 1", "select 1", 4),
        (with_settings("\n\n  select 'a;b' -- why\n  ;; -- done\n/* end */"), "select 'a;b'", 5),
        (with_settings("select\n  /* in the middle */ 1\r\n\t, 2"), "select\n  /* in the middle */ 1\r\n\t, 2", 3),
        (with_settings("select 'é' as \"ü\" -- last"), "select 'é' as \"ü\"", 3),
    ],
)
def test_the_sql_is_what_stands_behind_the_settings(tmp_path: Path, text: str, sql: str, line: int) -> None:
    found = model(tmp_path, text)

    assert (found.sql, found.sql_line) == (sql, line)
    assert found.settings.source == "duck"


@pytest.mark.parametrize("key", ["id", "[id]", "[id, day]", "\n  - id\n  - day"])
def test_a_primary_key_is_one_column_or_several(tmp_path: Path, key: str) -> None:
    found = model(tmp_path, f"/*\nsource: duck\nprimary_key: {key}\n*/ select 1")

    assert found.settings.primary_key in (("id",), ("id", "day"))
    assert found.places.at("primary_key").startswith("models/m.sql:3:")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ("1:1", "empty-file")),
        ("  \n-- only this\n", ("3:1", "empty-file")),
        ("select 1", ("1:1", "no-settings")),
        ("-- x\nselect 1 /* source: duck */", ("2:1", "no-settings")),
        ("/* source: duck", ("1:1", "no-settings")),
        ("\n/* */ select 1", ("2:1", "empty-file")),
        ("/* just a note */ select 1", ("1:4", "wrong-type")),
        ("/*\nsource: duck\nprimary_key: []\n*/ select 1", ("3:14", "wrong-value")),
        ("/*\nsource: duck\nprimary_key: ''\n*/ select 1", ("3:14", "wrong-value")),
        ("/*\nsource: duck\nprimary_key: 5\n*/ select 1", ("3:14", "wrong-type")),
        ("/*\nsource: duck\nprimary_key: [a, 5]\n*/ select 1", ("3:18", "wrong-type")),
        ("/*\nsource: duck\nprimary_key: [a, b, a]\n*/ select 1", ("3:21", "wrong-value")),
        ("/*\nsource: duck\nprimary_kye: a\nprimary_key: b\n*/ select 1", ("3:1", "unknown-key")),
        ("/*\nsource: dukc\nprimary_key: a\n*/ select 1", ("2:9", "unknown-source")),
        ("/*\nsource: 5\nprimary_key: a\n*/ select 1", ("2:9", "wrong-type")),
        ("/*\nsource: duck\n primary_key: a\n*/ select 1", ("3:13", "bad-yaml")),
    ],
)
def test_a_mistake_in_the_settings_has_its_place(tmp_path: Path, text: str, expected: tuple[str, str]) -> None:
    place, slug = expected

    assert said(problems(project(tmp_path, text))) == [(f"models/m.sql:{place}", slug)]


@pytest.mark.parametrize("source", ["duck", "pg", "my", "odd"])
@pytest.mark.parametrize(
    "sql",
    [
        "select 1",
        "SELECT a.b, count(*) FROM a GROUP BY 1 ORDER BY 2 LIMIT 3",
        "with x as (select 1 as a), y as (select * from x) select * from y",
        "with recursive x as (select 1 as a union all select a + 1 from x) select * from x",
        "select 1 union all select 2",
        "(select 1) except (select 2)",
        'select \'delete from x; drop table y\' as "insert", deleted, "update" from t',
        "select case when a then b end, (select max(c) from d) from e where exists (select 1 from f)",
        "select row_number() over (partition by a order by b) from t",
        'select updated_at, "set" from t where (deleted is null) and ("call", 1) in (select 1, 2)',
    ],
)
def test_one_select_is_taken_in_every_warehouse(tmp_path: Path, source: str, sql: str) -> None:
    found = loaded(project(tmp_path, with_settings(sql, source)))

    assert found.models["m"].sql == sql
    assert found.warnings == ()


@pytest.mark.parametrize(
    ("source", "sql"),
    [
        ("duck", "values (1, 'a'), (2, 'b')"),
        ("pg", "values (1, 'a'), (2, 'b')"),
        ("duck", "from t"),
        ("duck", "from t select a, b where c"),
        ("duck", "select * exclude (a) from read_parquet('x/*.parquet')"),
        ("duck", "select columns('a.*'), [x for x in l], {'a': 1}.a, 5 // 2 from t"),
        ("duck", "select * from t asof join u using (a, b) qualify row_number() over () = 1"),
        ("pg", "select distinct on (a) a::text, b->>'c' from t, lateral jsonb_array_elements(d) e"),
        ("pg", "select $tag$a;b$tag$, e'\\n', x at time zone 'UTC' from t"),
        ("my", "select `a b`, 'it\\'s' from `t`"),
    ],
)
def test_the_sql_of_the_warehouse_is_understood(tmp_path: Path, source: str, sql: str) -> None:
    found = loaded(project(tmp_path, with_settings(sql, source)))

    assert found.models["m"].sql == sql
    assert found.warnings == ()


@pytest.mark.parametrize("source", ["duck", "pg", "my", "odd"])
@pytest.mark.parametrize(
    ("sql", "place", "says"),
    [
        ("insert into x values (1)", "3:1", "INSERT"),
        ("update x set a = 1", "3:1", "UPDATE"),
        ("\n  delete from x", "4:3", "DELETE"),
        ("merge into x using y on a when matched then delete", "3:1", "MERGE"),
        ("create table x as select 1", "3:1", "CREATE"),
        ("drop table x", "3:1", "DROP"),
        ("truncate x", "3:1", "TRUNCATE"),
        ("copy x to 'y'", "3:1", "COPY"),
        ("set a = 1", "3:1", "SET"),
        ("attach 'x' as y", "3:1", "ATTACH"),
        ("call f()", "3:1", "CALL"),
        ("begin", "3:1", "BEGIN"),
        ("explain select 1", "3:1", "EXPLAIN"),
        ("'select 1'", "3:1", "SELECT"),
        ("selct a from b", "3:1", "did you mean SELECT?"),
        ("; select 1", "3:1", "starts with"),
        ("select 1; select 2", "3:11", "second statement"),
        ("select 1;\n\ndrop table x;", "5:1", "second statement"),
        ("with x as (delete from y returning *) select * from x", "3:12", "DELETE"),
        ("with x as (\n  insert into y select 1 returning a\n) select * from x", "4:3", "INSERT"),
        ("with x as (update y set a = 1 returning a) select * from x", "3:12", "UPDATE"),
        ("with x as (select 1) insert into y select * from x", "3:22", "INSERT"),
        ("with x as (select 1) delete from y", "3:22", "DELETE"),
        ("select 1 from (delete from x returning a) y", "3:16", "DELETE"),
        ("select (1", "3:8", "not closed"),
        ("select a from t where (b = 1 and (c = 2)", "3:23", "not closed"),
        ("select 1)", "3:9", "closes nothing"),
        ("", "3:1", "no SQL"),
        (" ;\n-- nothing\n", "4:11", "no SQL"),
    ],
)
def test_anything_but_one_select_is_refused_with_its_place(
    tmp_path: Path, source: str, sql: str, place: str, says: str
) -> None:
    found = problems(project(tmp_path, with_settings(sql, source)))

    assert [p.at for p in found] == [f"models/m.sql:{place}"]
    assert says in texts(found)


@pytest.mark.parametrize(
    ("source", "sql", "place", "says"),
    [
        ("pg", "select * into y from x", "3:10", "makes a table"),
        ("pg", "select * from x for update", "3:17", "lock rows"),
        ("pg", "select * from x for share", "3:17", "lock rows"),
        ("my", "select * from x lock in share mode", "3:17", "locks rows"),
        ("duck", "select a,, b from t", "3:10", "DuckDB cannot read this"),
        ("duck", "select a from", "3:10", "DuckDB cannot read this"),
        ("duck", "select 'é', a b c from t", "3:17", "DuckDB cannot read this"),
        ("duck", "select 'a\n, \"b", "3:8", "not closed"),
        ("pg", "select \"a''b\", 'x''y' -- '\n, $$it's$$, /* ' */ 'open", "4:21", "not closed"),
        ("pg", "select 1 /* open", "3:10", "not closed"),
        ("pg", "select $x$ open", "3:8", "not closed"),
    ],
)
def test_what_one_warehouse_would_not_take_is_refused(
    tmp_path: Path, source: str, sql: str, place: str, says: str
) -> None:
    found = problems(project(tmp_path, with_settings(sql, source)))

    assert [p.at for p in found] == [f"models/m.sql:{place}"]
    assert says in texts(found)


@pytest.mark.parametrize(
    ("source", "sql", "place"),
    [
        ("odd", "select first 5 skip 2 a b c from t", "3:14"),
        ("odd", "select `a` from b", "3:10"),
        ("odd", "select 'it\\'s' from t", "3:14"),
        ("pg", "select a from t match_recognize what is this", "3:33"),
        ("pg", "select " + "(" * 400 + "1" + ")" * 400, "3:1"),
        ("pg", "select " + "not " * 5000 + "true", "3:1"),
    ],
)
def test_sql_that_only_the_warehouse_may_know_is_a_warning(tmp_path: Path, source: str, sql: str, place: str) -> None:
    root = project(tmp_path, with_settings(sql, source))
    found = aside(lambda: loaded(root))

    assert found.models["m"].sql == sql
    assert said(found.warnings) == [(f"models/m.sql:{place}", "unchecked-sql")]


def test_duckdb_itself_has_the_last_word(tmp_path: Path) -> None:
    # sqlglot gives up at this depth, DuckDB does not.
    sql = "select " + "(" * 400 + "1" + ")" * 400

    root = project(tmp_path, with_settings(sql))

    assert aside(lambda: loaded(root)).warnings == ()


def test_sql_of_an_unknown_source_is_only_checked_for_what_is_wrong_everywhere(tmp_path: Path) -> None:
    found = problems(project(tmp_path, with_settings("select `a", "dukc")))
    again = problems(project(tmp_path, with_settings("delete from x", "dukc")))

    assert [p.slug for p in found] == ["unknown-source"]
    assert [p.slug for p in again] == ["unknown-source", "not-a-select"]


def test_checking_says_nothing_on_stderr(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    project(tmp_path, with_settings("with x as (call f()) select 1", "pg"))

    assert said(problems(tmp_path)) == [("models/m.sql:3:12", "not-a-select")]
    assert capfd.readouterr() == ("", "")
