from __future__ import annotations

from typing import Any

import pytest

from connector.ports import Failure, Judged, Outcome, Refused, Unknown
from tests.systems.pendo import given

IDS = ("acct-0001", "acct-0002", "acct-0003")


def judged(body: Any, *identifiers: str) -> Any:
    destination = given.objects()
    request = destination.build(given.batch(destination.routes[0], *(identifiers or IDS)))
    return destination.judge(request, given.reply(200, body))


def skipped(*rows: int) -> dict[int, Failure]:
    return {row: Failure(Outcome.SKIPPED, "not found in Pendo") for row in rows}


def rejected(row: int, reason: str) -> dict[int, Failure]:
    return {row: Failure(Outcome.REJECTED, reason)}


@pytest.mark.parametrize(
    "body",
    [
        {"total": 3, "updated": 3, "failed": 0},
        {"total": 3, "updated": 3, "failed": 0, "missing": [], "errors": [], "kind": "account"},
        {"total": 3, "updated": 3, "failed": 0, "missing": None, "errors": None},
        {"updated": 3},
        {"missing": []},
        {"total": True, "failed": None},
    ],
)
def test_a_200_without_failures_settles_every_row(body: Any) -> None:
    assert judged(body) == Judged()


@pytest.mark.parametrize("missing", [["acct-0002"], [{"accountId": "acct-0002"}], ["ACCT-0002"], "acct-0002"])
def test_missing_ids_are_skipped(missing: Any) -> None:
    assert judged({"total": 3, "updated": 2, "failed": 1, "missing": missing}) == Judged(skipped(1))


def test_a_missing_number_is_the_id_of_that_text() -> None:
    assert judged({"total": 2, "failed": 1, "missing": [12]}, "12", "13") == Judged(skipped(0))


def test_two_rows_with_one_id_share_its_fate() -> None:
    verdict = judged({"failed": 1, "missing": ["acct-0001"]}, "acct-0001", "acct-0002", "acct-0001")

    assert verdict == Judged(skipped(0, 2))


@pytest.mark.parametrize(
    ("entry", "reason"),
    [
        ("acct-0002", "acct-0002"),
        ("acct-0002: wrong type for seats", "acct-0002: wrong type for seats"),
        ('account "acct-0002" is locked', 'account "acct-0002" is locked'),
        ("account 'acct-0002' is locked", "account 'acct-0002' is locked"),
        ("cannot write id=acct-0002.", "cannot write id=acct-0002."),
        ("cannot write (acct-0002)", "cannot write (acct-0002)"),
        ("failed for id:acct-0002, sorry", "failed for id:acct-0002, sorry"),
        ({"accountId": "acct-0002", "error": "bad"}, "bad"),
        ({"id": "acct-0002", "message": "bad"}, "bad"),
        ({"AccountID": "acct-0002", "reason": "bad"}, "bad"),
        ({"record": {"id": "acct-0002"}, "message": {"detail": "bad"}}, "bad"),
        ({"name": "acct-0002", "message": "bad"}, "bad"),
        ({"message": "acct-0002 is bad"}, "acct-0002 is bad"),
        (["acct-0002", "bad"], '["acct-0002", "bad"]'),
        ({"id": "acct-0002", "message": "line one\nline two"}, "line one line two"),
    ],
)
def test_an_error_is_pinned_on_the_row_it_names(entry: Any, reason: str) -> None:
    assert judged({"total": 3, "updated": 2, "failed": 1, "errors": [entry]}) == Judged(rejected(1, reason))


def test_errors_can_be_an_object_keyed_by_id() -> None:
    verdict = judged({"failed": 2, "errors": {"acct-0001": "bad", "acct-0003": {"message": "worse"}}})

    assert verdict == Judged({**rejected(0, "bad"), **rejected(2, "worse")})


def test_one_error_need_not_be_in_a_list() -> None:
    assert judged({"failed": 1, "errors": {"id": "acct-0001", "message": "bad"}}) == Judged(rejected(0, "bad"))


def test_missing_and_errors_come_together() -> None:
    body = {"total": 3, "updated": 1, "failed": 2, "missing": ["acct-0001"], "errors": ["acct-0003: bad"]}

    assert judged(body) == Judged({**skipped(0), **rejected(2, "acct-0003: bad")})


@pytest.mark.parametrize(
    ("missing", "errors", "failure"),
    [
        (["acct-0001"], ["acct-0001: bad"], rejected(0, "acct-0001: bad")),
        ([], ["acct-0001: bad", "acct-0001: worse"], rejected(0, "acct-0001: bad; acct-0001: worse")),
        (["acct-0001", "acct-0001"], [], skipped(0)),
    ],
)
def test_a_row_with_several_failures_gets_the_worst(missing: Any, errors: Any, failure: dict[int, Failure]) -> None:
    verdict = judged({"missing": missing, "errors": errors})

    assert isinstance(verdict, Judged)
    assert verdict.failures == failure


@pytest.mark.parametrize(
    "entry",
    [
        "something is bad",
        "acct-0001 and acct-0002 are alike",
        "acct-00011 is bad",
        {"code": 7},
        {"a": "acct-0001", "b": "acct-0002"},
        7,
        None,
        True,
    ],
)
def test_a_failure_that_names_no_row_for_certain_refuses_the_batch(entry: Any) -> None:
    verdict = judged({"total": 3, "updated": 2, "failed": 1, "errors": [entry]})

    assert isinstance(verdict, Refused)
    assert verdict.reason
    assert verdict.culprits == {}


@pytest.mark.parametrize(
    ("identifiers", "entry"),
    [
        (("12", "13"), "12 is not a number"),  # 12 may be the value as well as the id
        (("400", "401"), "400: bad request"),
        (("plan", "tier"), "plan has the wrong type"),
        (("plan", "tier"), "plan: has the wrong type"),
        (("a-1", "a-2"), "no a-1 here"),
    ],
)
def test_an_id_that_could_be_any_word_is_not_pinned_by_text(identifiers: tuple[str, ...], entry: str) -> None:
    assert isinstance(judged({"failed": 1, "errors": [entry]}, *identifiers), Refused)


def test_a_short_id_in_front_of_its_reason_is_pinned() -> None:
    assert judged({"failed": 1, "errors": ["v-1: bad"]}, "v-1", "v-2") == Judged(rejected(0, "v-1: bad"))


def test_failures_without_a_name_refuse_the_batch() -> None:
    verdict = judged({"total": 3, "updated": 1, "failed": 2, "missing": ["acct-0001"]})

    assert verdict == Refused("Pendo counts 2 failed rows and names 1")


def test_a_missing_id_that_was_not_sent_refuses_the_batch() -> None:
    assert isinstance(judged({"failed": 1, "missing": ["acct-9999"]}), Refused)


def test_rows_with_a_name_are_culprits_beside_a_failure_without_one() -> None:
    verdict = judged({"failed": 3, "missing": ["acct-0003"], "errors": ["acct-0001: bad", "something is bad"]})

    assert verdict == Refused("something is bad", culprits={0: "acct-0001: bad"})


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ({"failed": 1, "errors": ["something is bad"]}, "something is bad"),
        ({"failed": 1}, "Pendo counts 1 failed rows and names 0"),
        ({"failed": 1, "errors": [{}]}, "Pendo names no reason"),
    ],
)
def test_of_a_single_row_every_failure_is_its_own(body: Any, reason: str) -> None:
    assert judged(body, "acct-0001") == Judged(rejected(0, reason))


def test_a_single_missing_row_is_skipped_whatever_its_id_is_called() -> None:
    assert judged({"total": 1, "failed": 1, "missing": ["another spelling"]}, "acct-0001") == Judged(skipped(0))


@pytest.mark.parametrize(
    ("body", "note"),
    [
        (
            {"total": 2, "updated": 2, "failed": 0},
            "Pendo counts total 2, failed 0; 3 rows were sent and 0 failures listed",
        ),
        (
            {"total": 3, "failed": 0, "missing": ["acct-0001"]},
            "Pendo counts total 3, failed 0; 3 rows were sent and 1 failures listed",
        ),
    ],
)
def test_totals_that_differ_are_noted(body: Any, note: str) -> None:
    assert judged(body).note == note


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>log in</html>",
        b'{"total": 3, "upd',
        b"[]",
        b"{}",
        b'"ok"',
        b'{"status": "ok"}',
        b"null",
    ],
)
def test_a_200_that_says_nothing_of_the_rows_leaves_them_unknown(body: bytes) -> None:
    assert isinstance(judged(body), Unknown)


def test_many_errors_in_a_large_batch_are_read_in_no_time() -> None:
    identifiers = [f"acct-{number:06d}" for number in range(20_000)]
    errors = [f"{identifier} is bad" for identifier in identifiers[::2]]

    verdict = judged({"total": 20_000, "failed": 10_000, "errors": errors}, *identifiers)

    assert isinstance(verdict, Judged)
    assert len(verdict.failures) == 10_000
