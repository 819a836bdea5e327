"""The mapping as SQL, run over real rows."""

from __future__ import annotations

import json
from contextlib import closing
from typing import Any

import duckdb
import pyarrow as pa
import pytest

from connector.compile import compile_sync
from connector.errors import ConfigErrors
from connector.ports import Cell, Constant, Members, Nulls, Route, SendTime, ValueType
from tests.core.ground import MATCH, NOW_MS, UPSERTS, cell, compiled, event_route, route, table


def rendered(model: pa.Table, of: Route, *, key: tuple[str, ...] = ("id",)) -> list[dict[str, Any]]:
    """Key, id, problem, fingerprint and parsed JSON of each row."""
    projection = compiled([of], model, key=key)
    with closing(duckdb.connect(":memory:")) as connection:
        connection.execute("SET TimeZone = 'UTC'")
        connection.execute(f"SET VARIABLE send_time_ms = {NOW_MS}")
        connection.register("model", model)
        more = "" if projection.own_id else f", {projection.key} AS id"
        rows = connection.execute(
            f"SELECT key, id, problem, {projection.fingerprint} AS fp, {projection.fragments[of.name]} AS body "
            f"FROM ({projection.staged('model', more)})"
        ).fetchall()
    names = ("key", "id", "problem", "fp", "body")
    found = [dict(zip(names, row, strict=True)) for row in rows]
    for row in found:
        row["json"] = None if row["body"] is None else json.loads(row["body"])
    return found


def test_a_row_becomes_the_json_of_its_template_in_order() -> None:
    model = table("SELECT 7 AS id, 'pro' AS plan, 1.5::DOUBLE AS arr, TIMESTAMP '2026-01-02 03:04:05' AS at")

    row = rendered(model, route("custom", "plan", "arr", "at"))[0]

    assert row["body"] == '{"visitorId":"7","values":{"plan":"pro","arr":1.5,"at":"2026-01-02T03:04:05Z"}}'
    assert row["key"] == row["id"] == "7"
    assert row["problem"] is None


@pytest.mark.parametrize(
    ("nulls", "of", "body"),
    [
        (Nulls.OMIT, None, {}),
        (Nulls.EMPTY, None, {"v": ""}),
        (Nulls.NULL, None, {"v": None}),
        (Nulls.EMPTY, ValueType.LIST, {"v": []}),
    ],
)
def test_a_null_does_what_the_mapping_says(nulls: Nulls, of: ValueType | None, body: dict[str, Any]) -> None:
    model = table("SELECT 1 AS id, NULL::VARCHAR AS v")
    only = Route("r", UPSERTS, Members((("v", Cell("v", "v", type=of, nulls=nulls)),)), 1, 1000)

    assert rendered(model, only)[0]["json"] == body


def test_an_object_without_members_is_left_out_where_the_template_says_so() -> None:
    model = table("SELECT 1 AS id, NULL::VARCHAR AS v UNION ALL SELECT 2, 'x'")

    bodies = [row["json"] for row in rendered(model, event_route())]

    assert bodies[0] == {"type": "track", "visitorId": "1", "timestamp": NOW_MS}
    assert bodies[1]["properties"] == {"v": "x"}


def test_constants_and_names_are_escaped_for_json_and_for_sql() -> None:
    model = table("""SELECT 1 AS id, 'O''Brien "x"' AS "weird ""name'" """)
    members = (('it\'s "k"', Constant({"a": ["'", None, True, 1.5]})), ("c", Cell("c", "weird \"name'")))

    row = rendered(model, Route("r", UPSERTS, Members(members), 1, 1000))[0]

    assert row["json"] == {'it\'s "k"': {"a": ["'", None, True, 1.5]}, "c": 'O\'Brien "x"'}


def test_a_bad_value_gives_a_problem_and_leaves_the_other_rows_alone() -> None:
    model = table("SELECT * FROM (VALUES (1, 'x'), (2, '5')) t(id, v)")
    only = Route("r", UPSERTS, Members((("v", cell("v", type=ValueType.INTEGER)),)), 1, 1000)

    rows = rendered(model, only)

    assert rows[0]["problem"] == 'fields.custom.v: "x" cannot be read as an integer'
    assert rows[1]["problem"] is None
    assert rows[1]["json"] == {"v": 5}


@pytest.mark.parametrize(
    ("expression", "value", "expected", "problem"),
    [
        ("upper(v)", "ab", "AB", None),
        ("CAST(v AS INTEGER) + 1", "4", 5, None),
        ("CAST(v AS INTEGER) + 1", "four", None, "fields.custom.e: the expression failed on this row"),
        ("nullif(v, 'x')", "x", None, None),
        ("CASE WHEN v > 'm' THEN 'high' ELSE 'low' END", "z", "high", None),
        ("1 / 0.0", "a", None, 'fields.custom.e: "inf" cannot be read as a float'),
    ],
)
def test_an_expression_is_evaluated_row_by_row_and_its_failure_is_the_rows(
    expression: str, value: str, expected: object, problem: str | None
) -> None:
    model = pa.table({"id": [1, 2], "v": [value, "0"]})
    of = Cell("fields.custom.e", sql=expression)

    row = rendered(model, Route("r", UPSERTS, Members((("e", of),)), 1, 1000))[0]

    assert row["json"].get("e") == expected
    assert row["problem"] == problem


@pytest.mark.parametrize(
    ("column", "problem"),
    [
        ("NULL::VARCHAR", "match is empty (NULL)"),
        ("'  '", "match is blank"),
        ("'VISITOR-UNIQUE-ID'", 'match is "VISITOR-UNIQUE-ID"'),
        ("'ok'", None),
    ],
)
def test_an_id_that_the_destination_cannot_take_rejects_the_row(column: str, problem: str | None) -> None:
    model = table(f"SELECT 1 AS id, {column} AS who")
    match = Cell("match", "who", type=ValueType.ID, required=True, never=("VISITOR-UNIQUE-ID",))

    assert rendered(model, route("r", match=match))[0]["problem"] == problem


def test_a_composite_key_is_a_json_array_of_texts_and_null_when_a_part_is() -> None:
    model = table("SELECT * FROM (VALUES (1, 'a\"b', 2.0::DOUBLE), (2, NULL, 3.0)) t(id, b, c)")

    rows = rendered(model, route("r", "id"), key=("id", "b", "c"))

    assert rows[0]["key"] == '["1","a\\"b","2"]'
    assert rows[1]["key"] is None


def test_a_key_that_is_not_a_number_is_no_key() -> None:
    model = table("SELECT * FROM (VALUES ('nan'::DOUBLE), (5.0)) t(id)")

    assert [row["key"] for row in rendered(model, route("r"))] == [None, "5"]


def test_column_names_are_found_whatever_their_case() -> None:
    model = pa.table({"ID": [1], "Plan": ["pro"]})

    assert rendered(model, route("r", "plan"))[0]["json"]["values"] == {"plan": "pro"}


def test_the_fingerprint_follows_what_would_be_sent_and_nothing_else() -> None:
    model = table("SELECT * FROM (VALUES (1, 'a', 1), (1, 'a', 2), (1, 'b', 1)) t(id, v, unused)")

    first, same, other = (row["fp"] for row in rendered(model, route("r", "v")))

    assert first == same
    assert first != other


def test_the_order_in_which_fields_are_written_is_no_difference_but_which_has_which_value_is() -> None:
    model = table("SELECT * FROM (VALUES (1, 'a', 'b'), (1, 'b', 'a')) t(id, v, w)")

    written, exchanged = (row["fp"] for row in rendered(model, route("r", "v", "w")))
    turned, _ = (row["fp"] for row in rendered(model, route("r", "w", "v")))

    assert written == turned
    assert written != exchanged


def test_every_mistake_of_the_mapping_is_reported_at_once_with_the_nearest_name() -> None:
    model = table("SELECT 1 AS account_id, 'x' AS health, 1 AS seats, 'ab'::BLOB AS raw")
    members = (
        ("a", Cell("fields.custom.a", "helth", at="s.yml:3:1")),
        ("b", Cell("fields.custom.b", "seats", type=ValueType.TIME, at="s.yml:4:1")),
        ("c", Cell("fields.custom.c", sql="nope(health)", at="s.yml:5:1")),
        ("d", Cell("fields.custom.d", "raw", at="s.yml:6:1")),
    )

    with pytest.raises(ConfigErrors) as caught:
        compiled([Route("r", UPSERTS, Members(members), 1, 1000)], model, key=("account_i",))

    problems = caught.value.problems
    assert [problem.slug for problem in problems] == [
        "unknown-column",
        "unknown-column",
        "unfit-type",
        "bad-expression",
        "unfit-type",
    ]
    assert problems[1].at == "s.yml:3:1"
    assert problems[1].hint == "did you mean 'health'? columns: account_id, health, seats, raw"
    assert "to_timestamp" in str(problems[2].hint)


def test_two_columns_of_one_name_are_refused() -> None:
    schema = pa.schema([("id", pa.int64()), ("V", pa.string()), ("v", pa.string())])

    with pytest.raises(ConfigErrors, match="two columns named 'v'") as caught:
        compile_sync([route("r", "v")], ("id",), schema, at=lambda *_: "s.yml:1:1", key_at="m.sql:1:1", model="m")

    assert [problem.slug for problem in caught.value.problems] == ["duplicate-column"]


def test_a_list_or_a_binary_value_cannot_be_a_key() -> None:
    with pytest.raises(ConfigErrors, match="cannot be a key"):
        compiled([route("r", match=Cell("match", "n", type=ValueType.ID))], table("SELECT [1] AS id, 1 AS n"))


def test_the_types_say_what_each_field_becomes() -> None:
    model = table("SELECT 1 AS id, 1.5::DECIMAL(3, 1) AS d, DATE '2026-01-01' AS day, [1] AS l, {'a': 1} AS s")

    types = compiled([route("r", "d", "day", "l", "s")], model).types

    assert types == {
        "match": ValueType.ID,
        "fields.custom.d": ValueType.FLOAT,
        "fields.custom.day": ValueType.DATE,
        "fields.custom.l": ValueType.LIST,
        "fields.custom.s": ValueType.STRING,
    }


def test_the_time_of_sending_is_written_when_the_row_is_rendered() -> None:
    only = Route("r", UPSERTS, Members((("timestamp", SendTime()),)), 1, 1000)

    assert rendered(table("SELECT 1 AS id"), only)[0]["json"] == {"timestamp": NOW_MS}


def test_an_id_of_its_own_is_told_from_the_key() -> None:
    model = table("SELECT 1 AS row_id, 'v-1' AS id")

    assert compiled([route("r")], model, key=("row_id",)).own_id
    assert not compiled([route("r")], model, key=("id",)).own_id
    assert MATCH.label == "match"


def test_a_model_may_have_columns_that_are_named_like_staged_ones() -> None:
    model = table("SELECT 1 AS id, 'a' AS v0, 'b' AS v1, 7 AS v_0, 'k' AS key, 'p' AS problem")

    row = rendered(model, route("custom", "v0", "v1", "v_0", "key", "problem"))[0]

    assert row["json"]["values"] == {"v0": "a", "v1": "b", "v_0": 7, "key": "k", "problem": "p"}
    assert row["problem"] is None
