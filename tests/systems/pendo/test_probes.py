from __future__ import annotations

import json
from typing import Any

import pytest

from connector.ports import NoReply
from connector.systems.pendo.probes import BURST, Findings, Probe, probes
from tests.systems.pendo import given

OK = given.reply(200)
NO = given.reply(400, b"Error unmarshalling track event data", content_type="text/plain")
DOWN = NoReply("ConnectError: refused", maybe_applied=False, ms=1.0)


def probe(name: str) -> Probe:
    return next(each for each in probes(given.settings(), mark="t1", now_ms=1_000) if each.name == name)


def run(name: str, *answers: Any) -> tuple[Findings, list[Any]]:
    return given.drive(probe(name).steps(), answers)


def test_there_is_a_probe_for_each_question() -> None:
    every = probes(given.settings(), mark="t1", now_ms=1_000)

    assert [each.name for each in every] == [
        "track",
        "metadata",
        "parent-account",
        "schema",
        "bulk-delete",
        "rate",
    ]
    assert all(each.question.endswith("?") and each.leaves for each in every)
    assert {each.needs for each in every} == {"integration_key", "track_event_secret"}


@pytest.mark.parametrize(
    ("answers", "learned"),
    [
        ([OK, NO, OK, NO, given.reply(401)], {"track.arrays": "yes"}),
        ([NO, NO, OK, NO, given.reply(401)], {"track.arrays": "no"}),
        ([NO, NO, NO, NO, given.reply(401)], {}),
        ([given.reply(503), NO, OK, NO, OK], {}),
        ([DOWN, DOWN, DOWN, DOWN, DOWN], {}),
    ],
)
def test_the_track_probe_learns_whether_arrays_are_taken(answers: list[Any], learned: dict[str, str]) -> None:
    findings, asked = run("track", *answers)

    assert findings.learned == learned
    assert [each.auth for each in asked] == ["track_event_secret"] * 4 + ["no_secret"]
    assert [isinstance(json.loads(each.body), list) for each in asked] == [True, True, False, False, False]
    assert "visitorId" not in json.loads(asked[3].body)
    assert all(b"connector-probe-t1" in each.body for each in (asked[0], asked[1], asked[2], asked[4]))


def test_a_wrong_secret_that_is_taken_is_said_to_be() -> None:
    findings, _ = run("track", OK, OK, OK, OK, OK)

    assert findings.findings[-1].answer == "taken in silence"


def test_an_answer_is_shown_with_its_status_headers_and_body() -> None:
    findings, _ = run("track", NO, NO, OK, DOWN, NO)

    assert findings.findings[0].answer == "refused"
    assert findings.findings[0].evidence == "400 | content-type: text/plain | Error unmarshalling track event data"
    assert findings.findings[2].answer == "taken"
    assert findings.findings[3].answer == "no answer came"
    assert findings.findings[3].evidence == "ConnectError: refused"


def test_the_metadata_probe_asks_about_ids_fields_types_and_nulls() -> None:
    findings, asked = run("metadata", *[OK] * 8)

    assert [each.url.partition("/api/v1/")[2] for each in asked] == [
        "metadata/schema/visitor/custom",
        "metadata/visitor/custom/value?create=true",
        "metadata/visitor/custom/value",
        "metadata/visitor/agent/value",
        "metadata/visitor/custom/value",
        "metadata/visitor/custom/value",
        "metadata/visitor/custom/value",
        "visitor/connector-probe-t1",
    ]
    assert len(findings.findings) == 7


def test_what_may_be_someones_data_is_not_shown() -> None:
    body = [
        {"id": "bd-9", "status": "queued", "visitors": ["someone@example.com", "another@example.com"], "total": 2},
        {"id": "bd-8"},
    ]
    findings, asked = run("bulk-delete", OK, NO, given.reply(200, body))
    evidence = findings.findings[2].evidence

    assert [each.method for each in asked] == ["POST", "POST", "GET"]
    assert json.loads(asked[0].body) == {"visitors": ["connector-probe-t1-deleted"]}
    assert "someone" not in evidence
    assert "queued" in evidence
    assert "2 in all" in evidence


def test_the_probes_own_id_is_shown_and_secrets_are_not() -> None:
    body = {"missing": ["connector-probe-t1-unknown"], "message": f"key {given.KEY}", "errors": []}
    findings, _ = run("metadata", OK, OK, given.reply(200, body), *[OK] * 5)

    assert findings.findings[1].evidence == (
        '200 | {"missing": ["connector-probe-t1-unknown", "1 in all"], "message": "key [redacted]", "errors": []}'
    )


def test_the_parent_account_probe_reads_the_schema_and_writes_once() -> None:
    findings, asked = run("parent-account", given.reply(404), given.reply(404, b"404 page not found"))

    assert [each.url.partition("/api/v1/")[2] for each in asked] == [
        "metadata/schema/parentAccount",
        "metadata/parentAccount/custom/value",
    ]
    assert [each.answer for each in findings.findings] == ["refused", "refused"]


@pytest.mark.parametrize(
    ("read", "became"),
    [
        (given.reply(200, {"custom": {"connector_probe_t1_there": {"Type": "float"}}}), "float"),
        (given.reply(200, {"custom": {"connector_probe_t1_there": {"Type": ""}}}), "no type"),
        (given.reply(200, {"custom": {}}), "the field is not there (yet)"),
        (given.reply(200, []), "the field is not there (yet)"),
        (DOWN, "no answer came"),
    ],
)
def test_the_schema_probe_says_what_a_number_becomes(read: Any, became: str) -> None:
    findings, asked = run("schema", OK, given.reply(409), given.reply(207), read)

    assert findings.findings[3].answer == became
    assert [len(json.loads(each.body)) for each in asked[:3]] == [1, 1, 2]


@pytest.mark.parametrize(
    ("answers", "answer"),
    [
        ([OK] * BURST, "none was too fast"),
        ([OK, OK, given.reply(429, b"", retry_after="3")], "refused at call 3"),
        ([OK, DOWN], "no answer came"),
    ],
)
def test_the_rate_probe_stops_at_the_first_refusal(answers: list[Any], answer: str) -> None:
    findings, asked = run("rate", *answers)

    assert findings.findings[0].answer == answer
    assert len(asked) == len(answers)
