"""What is wrong with a sync, from its rules and its runs alone."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from connector.alerts.conditions import Finding, judge_refusal, judge_run, lasting, missed, slow
from connector.alerts.rules import Rules
from connector.errors import Problem
from connector.project.alert_settings import AlertRules
from connector.state.alerts import AlertState
from connector.state.runs import Run


def rules(**written: Any) -> Rules:
    """The rules that these words make, without anything that is not written."""
    off: dict[str, Any] = {name: "off" for name in AlertRules.model_fields if name not in ("to", "mean_of", *written)}
    found = AlertRules.model_validate(off | written)
    values: dict[str, Any] = {name: getattr(found, name) for name in AlertRules.model_fields}
    values |= {name: getattr(found, name).seconds() for name in ("slow_after", "missed")}
    return Rules(**values | {"to": ("team",)})


def run(number: int = 100, status: str = "success", *, queried: int = 100, seconds: float = 10, **more: Any) -> Run:
    """A finished run; runs with a higher number are later."""
    outcomes = {name: {"added": count} for name, count in more.pop("outcomes", {"succeeded": queried}).items()}
    return Run(
        run_id=f"run-{number:03}",
        sync="accounts",
        trigger="schedule",
        status=status,
        stage=None,
        pid=1,
        host="here",
        model="accounts",
        destination="pendo",
        object="account",
        config={},
        started_at=number * 1000.0,
        finished_at=number * 1000.0 + seconds,
        error=more.pop("error", None),
        rows={"queried": queried},
        outcomes=outcomes,
        requests=None,
        warnings=[],
        timings={},
        options=more.pop("options", {}),
    )


def before(condition: str, count: int) -> dict[str, AlertState]:
    return {condition: AlertState("accounts", condition, "ok", "ok", count, 0, 0, {})}


def levels(found: tuple[Finding, ...]) -> dict[str, str]:
    return {finding.condition: finding.level for finding in found}


EARLIER = [run(99 - at) for at in range(10)]


@pytest.mark.parametrize(
    ("statuses", "level", "times"),
    [
        ([], "ok", 1),
        (["success", "failed"], "ok", 1),
        (["failed"], "warning", 2),
        (["failed", "success", "failed"], "warning", 2),
        (["cancelled", "failed"], "warning", 2),
        (["held", "failed"], "warning", 2),
        (["interrupted", "failed", "success"], "critical", 3),
        (["failed", "failed", "failed"], "critical", 4),
    ],
)
def test_runs_that_fail_are_counted_in_a_row(statuses: list[str], level: str, times: int) -> None:
    earlier = [run(99 - at, status) for at, status in enumerate(statuses)]
    error = {"slug": "destination-login", "message": "the key is refused", "hint": "get another"}
    (found,) = judge_run(rules(failed={"warning": 2, "critical": 3}), run(status="failed", error=error), earlier, {})

    assert (found.condition, found.level, found.count) == ("failed", level, times)
    assert (found.reason, found.slug, found.hint) == ("the key is refused", "destination-login", "get another")
    assert found.next == "connector log run-100"


def test_runs_that_could_not_begin_are_counted_with_those_that_failed() -> None:
    problem = Problem("there is no table", "source-query", "models/accounts.sql:7:1", "make it")
    found = judge_refusal(rules(failed={"warning": 2}), problem, [], before("failed", 1)["failed"])

    assert (found.level, found.count, found.run_id) == ("warning", 2, None)
    assert found.reason == "models/accounts.sql:7:1: there is no table"
    assert levels(judge_run(rules(failed={"warning": 3}), run(status="failed"), [], before("failed", 2))) == {
        "failed": "warning"
    }


@pytest.mark.parametrize(
    ("status", "about"),
    [
        ("cancelled", set()),
        ("failed", {"failed"}),
        ("interrupted", {"failed"}),
        ("held", {"held"}),
        ("success", {"failed", "held", "rejected", "row_count", "slow"}),
        ("warning", {"failed", "held", "rejected", "row_count", "slow"}),
    ],
)
def test_a_run_says_only_what_it_knows(status: str, about: set[str]) -> None:
    assert set(levels(judge_run(rules(), run(status=status), EARLIER, {}))) == about


def test_a_run_of_a_few_rows_says_nothing_about_all_of_them() -> None:
    for options in ({"row": "acct-1"}, {"limit": 5}):
        found = judge_run(rules(row_count_percent=1), run(queried=1, options=options), EARLIER, {})

        assert set(levels(found)) == {"failed", "held"}


@pytest.mark.parametrize(
    ("outcomes", "level"),
    [
        ({"succeeded": 90, "rejected": 10}, "ok"),  # above the limit, not at it
        ({"succeeded": 89, "rejected": 11}, "warning"),
        ({"succeeded": 89, "rejected": 1, "quarantined": 10}, "warning"),
        ({"succeeded": 50, "rejected": 50}, "ok"),
        ({"succeeded": 49, "rejected": 51}, "critical"),
        ({"rejected": 1, "not_attempted": 1000}, "critical"),  # what was not tried does not count
        ({"succeeded": 10, "rejected": 2, "skipped": 8}, "ok"),
        ({}, "ok"),
    ],
)
def test_the_share_of_rejected_rows(outcomes: dict[str, int], level: str) -> None:
    limits = {"warning": 10, "critical": 50}
    if outcomes == {"succeeded": 50, "rejected": 50}:
        limits = {"critical": 50}
    found = judge_run(rules(rejected_percent=limits), run(outcomes=outcomes), EARLIER, {}, "3 rows: too long")

    assert levels(found)["rejected"] == level
    assert next(finding for finding in found if finding.condition == "rejected").reason == "3 rows: too long"


@pytest.mark.parametrize(
    ("counts", "now", "level"),
    [
        ([100] * 10, 100, "ok"),
        ([100] * 10, 121, "warning"),
        ([100] * 10, 79, "warning"),
        ([100] * 10, 0, "critical"),
        ([100] * 10, 300, "critical"),
        ([80, 120, 100], 100, "ok"),
        ([100, 100], 0, None),  # two runs make no mean
        ([0, 0, 0], 0, "ok"),
        ([0, 0, 0], 5, "critical"),
        # Only the last ten count.
        ([100] * 10 + [1] * 10, 100, "ok"),
    ],
)
def test_the_row_count_is_compared_with_the_mean(counts: list[int], now: int, level: str | None) -> None:
    earlier = [run(99 - at, queried=count) for at, count in enumerate(counts)]
    found = judge_run(rules(row_count_percent={"warning": 20, "critical": 90}), run(queried=now), earlier, {})

    assert levels(found).get("row_count") == level


def test_runs_that_failed_or_were_of_a_few_rows_make_no_mean() -> None:
    odd = [run(99, "failed", queried=0), run(98, queried=1, options={"row": "x"}), run(97, "held", queried=0)]
    usual = [run(96 - at, queried=100) for at in range(3)]
    found = judge_run(rules(row_count_percent=1), run(queried=100), [*odd, *usual], {})

    assert levels(found)["row_count"] == "ok"


@pytest.mark.parametrize(
    ("seconds", "level"), [(10, "ok"), (30, "ok"), (31, "warning"), (61, "critical"), (100_000, "critical")]
)
def test_a_run_is_slow_beside_the_mean(seconds: float, level: str) -> None:
    limits = rules(slow_factor={"warning": 3, "critical": 6})
    found = judge_run(limits, run(seconds=seconds), EARLIER, {})

    assert levels(found)["slow"] == level
    assert slow(limits, run(), seconds, EARLIER[:2]).level == "ok"


@pytest.mark.parametrize(("seconds", "level"), [(60, "ok"), (61, "warning"), (7201, "critical")])
def test_a_run_is_slow_by_the_clock_without_any_other_run(seconds: float, level: str) -> None:
    found = slow(rules(slow_after={"warning": "1m", "critical": "2h"}), run(), seconds, [])

    assert found.level == level


def test_a_run_that_goes_on_is_slow_as_soon_as_it_is() -> None:
    going = replace(run(status="running"), finished_at=None)
    found = slow(rules(slow_after="1m"), going, 90, [])

    assert (found.level, found.what) == ("warning", "the run has been going on for 1 min")
    assert found.next == "connector log run-100 --follow"


@pytest.mark.parametrize(
    ("late", "level"), [(0, "ok"), (599, "ok"), (600, "warning"), (3599, "warning"), (3600, "critical")]
)
def test_an_overdue_run_is_as_bad_as_it_is_late(late: float, level: str) -> None:
    found = missed(rules(missed={"warning": "10m", "critical": "1h"}), "accounts", 5000, 5000 + late, "it waits")

    assert (found.level, found.reason, found.next) == (level, "it waits", "connector runs accounts")
    assert missed(rules(missed="1s"), "accounts", None, 9e9).level == "ok"


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.42, "0.4 s"), (59, "59 s"), (60, "1 min"), (3599, "59 min"), (7800, "2 h 10 min"), (100_000, "1 d 3 h")],
)
def test_times_are_said_in_words(seconds: float, words: str) -> None:
    assert lasting(seconds) == words
