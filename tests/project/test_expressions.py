"""Expressions of a mapping: one value, computed from one row."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connector.project.grammar import Grammar
from tests.project.tiny import aside

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="module")
def grammar() -> Iterator[Grammar]:
    with Grammar() as opened:
        yield opened


@pytest.mark.parametrize(
    "sql",
    [
        "arr",
        '"a column"',
        "case when arr > 100000 then 'high' else 'low' end",
        "first_name || ' ' || last_name",
        "UPPER(plan)",
        "coalesce(a, b, 0)",
        "nullif(a, '')",
        "split_part(email, '@', 2)",
        "try_cast(a as integer)",
        "a::date",
        "date_diff('day', created_at, current_date)",
        "now()",
        "a at time zone 'UTC'",
        "extract(year from a)",
        "a in (1, 2, 3)",
        "a between 1 and 2",
        "a is not null and not b",
        "list_sum(amounts)",
        "[x for x in tags if x <> '']",
        "list_transform(tags, lambda x: lower(x))",
        "{'a': a}.a",
        "data->>'$.a.b'",
        "tags[1]",
        "'; select 1 --'",
        "a -- the comment ends with the line",
        "a /* so does this */",
        "  a\n",
    ],
)
def test_a_value_of_one_row_is_taken(grammar: Grammar, sql: str) -> None:
    assert grammar.expression_problem(sql) is None


@pytest.mark.parametrize(
    ("sql", "reason"),
    [
        ("", "it is empty"),
        (" \n", "it is empty"),
        ("-- nothing", "more than one expression"),
        ("a\0b", "NUL"),
        ("sum(a)", "sum is an aggregate"),
        ("count(*)", "count_star is an aggregate"),
        ("1 + max(a) filter (where b)", "max is an aggregate"),
        ("geomean(a)", "geomean looks at more than one value"),
        ("wavg(a, b)", "wavg looks at more than one value"),
        ("row_number() over ()", "a window function"),
        ("sum(a) over (partition by b)", "a window function"),
        ("row_number()", "row_number is a window function"),
        ("(select max(a) from t)", "a query of its own"),
        ("exists (from t)", "a query of its own"),
        ("a in (select b from t)", "a query of its own"),
        ("unnest(tags)", "makes several rows"),
        ("generate_subscripts(a, 1)", "more than one value"),
        ("read_csv('x.csv')", "not a function of values"),
        ("query('select 1')", "not a function of values"),
        ("pragma_version()", "not a function of values"),
        ("random()", "another value each time"),
        ("uuid()", "another value each time"),
        ("*", "more than one value"),
        ("t.*", "more than one value"),
        ("columns('a')", "more than one value"),
        ("?", "parameter"),
        ("$1", "parameter"),
        ("#1", "by its position"),
        ("default", "DEFAULT"),
        ("a, b", "more than one expression"),
        ("a), (b", "more than one expression"),
        ("1) from t where (1", "more than one expression"),
        ("select a", "more than one expression"),
        ("a; drop table t", "cannot read it"),
        ("a as b", "cannot read it"),
        ("a from t", "cannot read it"),
        ("a order by a", "cannot read it"),
        ("distinct a", "cannot read it"),
        ("1 +", "cannot read it"),
        ("(", "cannot read it"),
        ("'a", "cannot read it"),
        ("/* a", "cannot read it"),
        ("drop table t", "cannot read it"),
        ("uper(a)", "no function 'uper'; did you mean 'upper'?"),
        ("qqqqqqqqq(a)", "no function 'qqqqqqqqq'"),
        ("not " * 3000 + "a", "Max expression depth"),
        ("{'a': " * 990 + "1" + "}" * 990, "nested too deeply"),
    ],
)
def test_anything_else_is_refused_with_its_reason(grammar: Grammar, sql: str, reason: str) -> None:
    assert reason in (aside(lambda: grammar.expression_problem(sql)) or "")


def test_half_a_character_is_refused(grammar: Grammar) -> None:
    assert "cannot read it" in (grammar.expression_problem("'\ud800'") or "")


def test_a_grammar_that_was_never_asked_closes() -> None:
    with Grammar():
        pass


words = st.sampled_from(
    [
        "a",
        "1",
        "'x'",
        "(",
        ")",
        ",",
        ";",
        "select",
        "from",
        "sum(a)",
        "over ()",
        "--",
        "/*",
        "*/",
        "\n",
        "?",
        "*",
        "::",
        "as",
    ]
)


@given(sql=st.lists(words, max_size=8).map(" ".join) | st.text(max_size=30))
def test_what_is_taken_is_one_expression_wherever_it_stands(grammar: Grammar, sql: str) -> None:
    if grammar.expression_problem(sql) is None:
        both = grammar._parsed(f"SELECT (\n{sql}\n) AS one, (\n{sql}\n) AS two")  # noqa: SLF001

        assert not both["error"]
        (statement,) = both["statements"]
        assert [item["alias"] for item in statement["node"]["select_list"]] == ["one", "two"]
        assert statement["node"]["from_table"]["type"] == "EMPTY"
