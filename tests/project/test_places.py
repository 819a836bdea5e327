"""YAML: what it says, where it says it, and what is wrong with it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from connector.errors import ConfigErrors
from connector.project.definition import Places
from connector.project.environment import Environment
from connector.project.findings import Findings
from connector.project.places import MAX_DEPTH, read_mapping

if TYPE_CHECKING:
    from connector.errors import Problem
    from connector.project.places import Document


def read(text: str, **variables: str) -> Document:
    findings = Findings()
    document = read_mapping(text, "f.yml", Environment(variables, findings), findings)
    findings.stop_if_any()
    assert document is not None
    return document


def wrong(text: str, **variables: str) -> tuple[Problem, ...]:
    with pytest.raises(ConfigErrors) as caught:
        read(text, **variables)
    return caught.value.problems


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("no", "no"),
        ("on", "on"),
        ("off", "off"),
        ("y", "y"),
        ("2024-01-31", "2024-01-31"),
        ("2024-01-31T10:00:00Z", "2024-01-31T10:00:00Z"),
        ("12:30:45", "12:30:45"),
        ("007", "007"),
        ("1_000", "1_000"),
        ("0", 0),
        ("-5", -5),
        ("0x1F", 31),
        ("0o17", 15),
        ("1.50", 1.5),
        (".5", 0.5),
        ("1e3", 1000.0),
        ("1.", 1.0),
        ("1" * 150, "1" * 150),
        ("0x", "0x"),
        (".", "."),
        ("e3", "e3"),
        ("true", True),
        ("False", False),
        ("null", None),
        ("~", None),
        ("", None),
        ("'5'", "5"),
        ('"true"', "true"),
        ("!!str 5", "5"),
        ("|\n  a\n  b", "a\nb\n"),
        ("[1, a, [true]]", [1, "a", [True]]),
        ("{ b: { c: 1 } }", {"b": {"c": 1}}),
    ],
)
def test_a_value_is_what_yaml_1_2_says_it_is(written: str, value: object) -> None:
    found = read(f"a: {written}\n").data["a"]

    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize("key", ["true", "5", "null", "2024-01-01", "no"])
def test_a_key_is_always_text(key: str) -> None:
    assert read(f"{key}: 1\n").data == {key: 1}


@pytest.mark.parametrize(
    ("path", "place", "key_place"),
    [
        ((), "2:1", "2:1"),
        (("a",), "2:4", "2:1"),
        (("b",), "3:1", "3:1"),
        (("b", "c"), "4:6", "4:3"),
        (("b", "d"), "5:6", "5:3"),
        (("b", "d", "e"), "5:11", "5:8"),
        (("b", "missing"), "3:1", "3:1"),
        (("l",), "6:1", "6:1"),
        (("l", 1), "8:5", "8:5"),
        (("l", 1, "x"), "8:8", "8:5"),
        (("z",), "9:1", "9:1"),
        (("t",), "10:4", "10:1"),
        (("é",), "12:4", "12:1"),
    ],
)
def test_each_key_and_value_has_its_place(path: tuple[str | int, ...], place: str, key_place: str) -> None:
    text = "# comment\na: 1\nb:\n  c: 'x'\n  d: { e: 2 }\nl:\n  - 1\n  - { x: 1 }\nz:\nt: |\n  text\né: 1\n".replace(
        "- { x: 1 }", "- x: 1"
    )
    document = read(text)

    assert document.places.at(*path) == f"f.yml:{place}"
    assert document.places.key_at(*path) == f"f.yml:{key_place}"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ["1:1 empty-file"]),
        ("# only a comment\n", ["1:1 empty-file"]),
        ("~\n", ["1:1 empty-file"]),
        ("- a\n", ["1:1 wrong-type"]),
        ("text\n", ["1:1 wrong-type"]),
        ("a: 1\na: 2\n", ["2:1 duplicate-key"]),
        ("a: 1\nb: { c: 1, c: { d: [1] } }\na: x\n", ["2:12 duplicate-key", "3:1 duplicate-key"]),
        ("a: 1\n'a': 2\n", ["2:1 duplicate-key"]),
        ("a:\n\t- b\n", ["2:1 bad-yaml"]),
        ("a: [1\n", ["2:1 bad-yaml"]),
        ("a: 'x\n", ["2:1 bad-yaml"]),
        ("a: b: c\n", ["1:5 bad-yaml"]),
        ("a: @x\n", ["1:4 bad-yaml"]),
        ("a: x\n  b: y\n", ["2:4 bad-yaml"]),
        ("a:\n  b: 1\n c: 2\n", ["3:2 bad-yaml"]),
        ("a: \x07\n", ["1:4 bad-yaml"]),
        ('a: "\\U99999999"\n', ["1:1 bad-yaml"]),
        ('a: "\\uD800"\n', ["1:4 bad-yaml"]),
        ('a: "\\uDE00\\uD83D"\n', ["1:4 bad-yaml"]),
        ('"\\uD800": 1\nb: 2\n', ["1:1 bad-yaml"]),
        ("a: &x 1\nb: *x\n", ["1:4 unsupported-yaml", "2:4 unsupported-yaml"]),
        ("a: &x { b: 1 }\n", ["1:4 unsupported-yaml"]),
        ("a: { <<: { b: 1 } }\n", ["1:6 unsupported-yaml"]),
        ("'<<': 1\na: [", ["2:5 bad-yaml"]),
        ("a: !secret x\n", ["1:4 unsupported-yaml"]),
        ("a: !!set { b }\n", ["1:4 unsupported-yaml"]),
        ("? [a, b]\n: 1\n", ["1:3 unsupported-yaml"]),
        ("a: 1\n---\nb: 2\n", ["2:1 unsupported-yaml"]),
        ("a: .nan\nb: -.INF\nc: 1e999\n", ["1:4 not-finite", "2:4 not-finite", "3:4 not-finite"]),
        ("a: " + "[" * 50 + "]" * 50, [f"1:{MAX_DEPTH + 4} unsupported-yaml"]),
        ("a: " + "[" * 3000, [f"1:{MAX_DEPTH + 4} unsupported-yaml"]),
    ],
)
def test_what_yaml_cannot_say_here_is_a_problem_with_a_place(text: str, expected: list[str]) -> None:
    assert [f"{p.at} {p.slug}" for p in wrong(text)] == [f"f.yml:{each}" for each in expected]


def test_two_escapes_of_surrogates_are_one_character_as_in_json() -> None:
    assert read(r'{"\ud83d\ude00": "a\ud83d\ude00"}').data == {"😀": "a😀"}


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("a:\n\t- b\n", "use spaces"),
        ("a: b: c\n", "needs quotes"),
        ("a: @x\n", "needs quotes"),
        ("a:\n  b: 1\n c: 2\n", "indented like its neighbours"),
        ("a: 'x\n", "is not closed"),
    ],
)
def test_a_slip_in_yaml_comes_with_advice(text: str, hint: str) -> None:
    (problem,) = wrong(text)

    assert hint in (problem.hint or "")


def test_without_any_mark_a_place_is_the_file() -> None:
    assert Places("f.yml", {}).at("a", "b") == "f.yml"


# --- ${NAME} ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("${A}", "first"),
        ("'${A}'", "first"),
        ("x-${A}-${B}", "x-first-2"),
        ("${MISSING:-other}", "other"),
        ("${MISSING:-}", ""),
        ("${EMPTY:-other}", "other"),
        ("${EMPTY}", ""),
        ("${A:-other}", "first"),
        ("$${A}", "${A}"),
        ("$$${A}", "$${A}"),
        ("$A", "$A"),
        ("${B}", "2"),
        ("|\n  ${A}\n", "first\n"),
        ("[${A}, '${B}']", ["first", "2"]),
        ("{ x: ${A}, y: a${B}b }", {"x": "first", "y": "a2b"}),
        ('{ x: "${A}" }', {"x": "first"}),
        ("${NESTED}", "${A}"),
    ],
)
def test_a_reference_is_replaced_by_the_variable(written: str, value: Any) -> None:
    document = read(f"k: {written}\n", A="first", B="2", EMPTY="", NESTED="${A}")

    assert document.data["k"] == value


def test_a_key_is_not_filled_in() -> None:
    assert read("${A}: 1\n", A="x").data == {"${A}": 1}


def test_a_text_with_the_reserved_characters_is_read_as_it_stands() -> None:
    assert read("a: '\uf8f0'\nb: '${A}'\n", A="x").data == {"a": "\uf8f0", "b": "x"}


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("${MISSING}", ["missing-variable"]),
        ("${ONE} ${TWO}", ["missing-variable", "missing-variable"]),
        ("'${'", ["bad-variable"]),
        ("'${}'", ["bad-variable"]),
        ("'${A B}'", ["bad-variable"]),
        ("'${A'", ["bad-variable"]),
        ("'${A:x}'", ["bad-variable"]),
    ],
)
def test_a_reference_to_nothing_is_a_problem(written: str, expected: list[str]) -> None:
    found = wrong(f"a: 1\nk: {written}\n", A="x")

    assert [p.slug for p in found] == expected
    assert {p.at for p in found} == {"f.yml:2:4"}


def test_a_missing_variable_is_named() -> None:
    (problem,) = wrong("k: ${CRM_KEY}\n")

    assert problem.message == "the environment variable CRM_KEY is not set"


def test_what_came_from_the_environment_is_shown_as_it_is_written() -> None:
    document = read("a: ${A}\nb: 1\nc: [1]\nd: { e: 1 }\nf: ${X:-y}\n", A="secret")

    assert [document.shown(key) for key in "abcdf"] == ["${A}", "1", "[...]", "{...}", "y"]
    assert [document.guessable(key) for key in "abcdf"] == [None, None, None, None, "y"]
    assert "secret" not in repr(document)
    assert document.get("c", 5) is document.get("b", "x") is None
