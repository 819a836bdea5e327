"""What one sync says, and what is wrong with it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.project.tiny import ENVIRON, GOOD, loaded, problems, said, texts, write

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("change", "place", "slug"),
    [
        (("    plan: plan", "    plan: 5"), "7:11", "wrong-type"),
        (("    plan: plan", "    plan:"), "7:5", "wrong-type"),
        (("    plan: plan", "    plan: {}"), "7:11", "wrong-value"),
        (("    plan: plan", "    plan: ''"), "7:11", "wrong-value"),
        (("    plan: plan", "    plan: { column: }"), "7:11", "wrong-value"),
        (("    plan: plan", "    plan: { column: a, sql: b }"), "7:11", "wrong-value"),
        (("    plan: plan", "    plan: { column: a, type: strng }"), "7:30", "wrong-choice"),
        (("    plan: plan", "    plan: { column: a, nulls: null }"), "7:31", "wrong-choice"),
        (("    plan: plan", "    plan: { column: 1 }"), "7:21", "wrong-type"),
        (("    plan: plan", "    plan: { sql: 'sum(a)' }"), "7:18", "bad-expression"),
        (("    plan: plan", "    plan: { sql: '(' }"), "7:18", "bad-expression"),
        (("  custom:\n    plan: plan", "  costum: {}"), "6:3", "unknown-key"),
        (("fields:\n  custom:\n    plan: plan", "x-fields: 1"), "1:1", "missing-key"),
        (("match: account_id", "match: ''"), "4:8", "wrong-value"),
        (("match: account_id", "match: 5"), "4:8", "wrong-type"),
        (("match: account_id", "match: yes\nbatch: { rows: 0 }"), "5:16", "out-of-range"),
        (("match: account_id", "match: yes\nbatch: { rows: many }"), "5:16", "wrong-type"),
        (("match: account_id", "match: yes\nmax_attempts: 1.5"), "5:15", "wrong-type"),
        (("match: account_id", "match: yes\nsplit_retries: maybe"), "5:16", "wrong-type"),
        (("match: account_id", "match: yes\nschedule: 1h"), "5:11", "wrong-type"),
        (("match: account_id", "match: yes\nschedule: { every: 1x }"), "5:20", "wrong-form"),
        (("match: account_id", "match: yes\nschedule: { every: 0m }"), "5:20", "bad-schedule"),
        (("match: account_id", "match: yes\nschedule: {}"), "5:11", "wrong-value"),
        (("match: account_id", "match: yes\nmode: insert"), "5:7", "wrong-choice"),
        (("model: accounts", "model: [accounts]"), "1:8", "wrong-type"),
        (("object: account\n", ""), "1:1", "missing-key"),
        (("object: account", "object: 5"), "3:9", "wrong-choice"),
        (("object: account", "object: [a]"), "3:9", "wrong-choice"),
        (("destination: crm", "destination: crn"), "2:14", "unknown-destination"),
        (("    plan: plan", "    bad: { value: 1 }"), "7:10", "bad-field"),
    ],
)
def test_a_mistake_in_a_sync_has_its_place(tmp_path: Path, change: tuple[str, str], place: str, slug: str) -> None:
    text = str(GOOD["sync_configs/accounts.yml"])
    assert change[0] in text
    write(tmp_path, {"sync_configs/accounts.yml": text.replace(*change)})

    found = problems(tmp_path)

    assert (f"sync_configs/accounts.yml:{place}", slug) in said(found)
    assert len(found) == (2 if "x-fields" in change[1] else 1), texts(found)


def test_a_key_without_a_value_is_named_with_what_it_is_for(tmp_path: Path) -> None:
    write(tmp_path, {"sync_configs/accounts.yml": "model:\ndestination: crm\nobject:\nmatch: id\nfields: {}\n"})

    said_of = {p.at: (p.message, p.hint) for p in problems(tmp_path)}

    assert said_of["sync_configs/accounts.yml:1:1"] == (
        "'model' is empty, and must be text",
        "model: a model: models/NAME.sql, or { dbt: name of a dbt model }",
    )
    assert said_of["sync_configs/accounts.yml:3:1"][0] == "'object' is empty"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("object: track_evnt\nvisitor_id: 5\n", {"visitor_id"}),
        ("object: thing\nevent: { columns: x }\n", {"columns"}),
        ("object: thing\nmatch: 5\n", {"match"}),
        ("object: ${THING}\nmatch: 5\n", {"match"}),
        ("object: ${UNSET}\nmatch: 5\n", {"match", "UNSET"}),
        ("object: thing\nsplit_retries: maybe\n", set()),
    ],
)
def test_an_object_that_cannot_be_does_not_hide_the_rest(tmp_path: Path, text: str, expected: set[str]) -> None:
    write(tmp_path, {"sync_configs/accounts.yml": "model: accounts\ndestination: crm\n" + text})

    found = problems(tmp_path, ENVIRON | {"THING": "something-else"})

    assert "sync_configs/accounts.yml:3:9" in [p.at for p in found]
    told = texts(tuple(p for p in found if p.slug not in ("missing-key", "wrong-choice")))
    assert all(word in told for word in expected)
    assert bool(told) == bool(expected)


def test_a_warning_of_the_destination_stands_beside_the_others(tmp_path: Path) -> None:
    text = str(GOOD["sync_configs/accounts.yml"]).replace("plan: plan", "odd: plan")
    write(tmp_path, {"sync_configs/accounts.yml": text})

    assert said(loaded(tmp_path).warnings) == [("sync_configs/accounts.yml:1:1", "odd-field")]


def test_every_expression_of_an_event_is_checked(tmp_path: Path) -> None:
    text = """\
model: accounts
destination: crm
object: track_event
event: { sql: "sum(a)" }
visitor_id: { sql: "sum(a)" }
account_id: { sql: "upper(a)" }
timestamp: { sql: "sum(a)" }
properties: { p: { sql: "sum(a)" }, q: { value: { sql: "sum(a)" } }, sql: plan }
context: { ip: { sql: "sum(a)" } }
"""
    write(tmp_path, {"sync_configs/upgrades.yml": text})

    expected = ["4:15", "5:20", "7:19", "8:25", "9:23"]
    assert [p.at for p in problems(tmp_path)] == [f"sync_configs/upgrades.yml:{place}" for place in expected]
