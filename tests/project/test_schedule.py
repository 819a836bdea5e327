"""Whether the time of a schedule ever comes."""

from __future__ import annotations

import importlib.util
import zoneinfo
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
from cronsim import CronSim
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import ValidationError

from connector.project.lengths import seconds_of
from connector.project.load import load, survey
from connector.project.schedule import schedule_problem
from connector.project.schedule_settings import Schedule

from .tiny import ENVIRON, GOOD, systems, write

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    "schedule",
    [
        {"every": "30s"},
        {"every": "15 m"},
        {"every": "1d", "timezone": "Europe/Berlin"},
        {"cron": "0 6 * * *"},
        {"cron": "*/5 0-12/2 1,15 jan-MAR mon-fri"},
        {"cron": "0 0 L * 7"},
        {"cron": "0 0 LW * fri#2"},
        {"cron": "0 0 * * 5L"},
        {"cron": "@daily", "timezone": "America/New_York"},
    ],
)
def test_a_time_that_comes_is_fine(schedule: dict[str, Any]) -> None:
    assert schedule_problem(Schedule(**schedule)) is None


@pytest.mark.parametrize(
    ("schedule", "key", "message"),
    [
        ({"every": "0m"}, "every", "is no interval"),
        ({"cron": "@fortnightly"}, "cron", "is not a schedule"),
        ({"cron": ""}, "cron", "has 0 fields"),
        ({"cron": "* * * *"}, "cron", "has 4 fields"),
        ({"cron": "60 * * * *"}, "cron", "cannot have '60' as its minute"),
        ({"cron": "* 24 * * *"}, "cron", "cannot have '24' as its hour"),
        ({"cron": "* * 0 * *"}, "cron", "cannot have '0' as its day of the month"),
        ({"cron": "* * * 13 *"}, "cron", "cannot have '13' as its month"),
        ({"cron": "* * * * 8"}, "cron", "cannot have '8' as its day of the week"),
        ({"cron": "* * * * sunday"}, "cron", "cannot have 'sunday' as its day of the week"),
        ({"cron": "mon * * * *"}, "cron", "cannot have 'mon' as its minute"),
        ({"cron": "L * * * *"}, "cron", "cannot have 'L' as its minute"),
        ({"cron": "5-1 * * * *"}, "cron", "cannot have '5-1' as its minute"),
        ({"cron": "*/0 * * * *"}, "cron", "cannot have '*/0' as its minute"),
        ({"cron": "1,,2 * * * *"}, "cron", "cannot have '1,,2' as its minute"),
        ({"cron": "-1 * * * *"}, "cron", "cannot have '-1' as its minute"),
        ({"cron": "@daily", "timezone": "Europe/Berln"}, "timezone", "is not a time zone"),
        ({"cron": "@daily", "timezone": "../etc/passwd"}, "timezone", "is not a time zone"),
        ({"cron": "@daily", "timezone": "a\0b"}, "timezone", "is not a time zone"),
        ({"cron": "@daily", "timezone": "Europe"}, "timezone", "is not a time zone"),
        ({"cron": "@daily", "timezone": "x" * 5000}, "timezone", "is not a time zone"),
    ],
)
def test_a_time_that_never_comes_is_a_problem(schedule: dict[str, Any], key: str, message: str) -> None:
    found = schedule_problem(Schedule(**schedule))

    assert found is not None
    assert (found.key, found.message) == (key, message)


@pytest.mark.skipif(importlib.util.find_spec("tzdata") is not None, reason="there always is a database then")
def test_a_machine_without_time_zones_says_nothing_about_them() -> None:
    zoneinfo.reset_tzpath(to=[])
    try:
        found = schedule_problem(Schedule(cron="@daily", timezone="Europe/Berln"))
    finally:
        zoneinfo.reset_tzpath()

    assert found is None


def test_the_nearest_time_zone_is_named() -> None:
    found = schedule_problem(Schedule(cron="@daily", timezone="europe/berln"))

    assert found is not None
    assert found.hint == "did you mean 'Europe/Berlin'?"


# --- in step with cronsim ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cron", "message"),
    [
        ("0 0 30 2 *", "never comes"),
        ("0 0 31 2,4,jun,9,11 *", "never comes"),
        ("0 0 30 feb */2", "never comes"),
        ("0 0 * * monL", "cannot have 'monL' as its day of the week"),
        ("0 0 * * 1-3L", "cannot have '1-3L' as its day of the week"),
        ("0 0 * * 1-3#2", "cannot have '1-3#2' as its day of the week"),
        ("0 0 * * *L", "cannot have '*L' as its day of the week"),
    ],
)
def test_a_line_whose_fields_are_fine_may_still_be_wrong(cron: str, message: str) -> None:
    found = schedule_problem(Schedule(cron=cron))

    assert found is not None
    assert found.message == message


@pytest.mark.parametrize(
    "cron", ["0 0 29 2 *", "0 0 29 2 1#5", "0 0 30 2 1", "0 0 31 4 mon", "0 0 L 2 *", "0 0 5-10/2 * *"]
)
def test_a_line_that_comes_seldom_comes(cron: str) -> None:
    assert schedule_problem(Schedule(cron=cron)) is None


_NUMBER = st.integers(0, 70).map(str)
_WORD = st.one_of(
    _NUMBER, st.sampled_from(["*", "L", "LW", "mon", "SUN", "jan", "DEC", "5L", "1#2", "mon#5", "7#6", "", "x"])
)
_PART = st.one_of(_WORD, st.builds("{}-{}".format, _WORD, _WORD), st.builds("{}/{}".format, _WORD, _NUMBER))
_FIELD = st.lists(_PART, min_size=1, max_size=2).map(",".join)


@given(st.tuples(_FIELD, _FIELD, _FIELD, _FIELD, _FIELD).map(" ".join))
@example("0 0 * * 0-7")
@example("*/70 * * * *")
def test_what_passes_the_check_has_a_next_time(cron: str) -> None:
    if schedule_problem(Schedule(cron=cron)) is None:
        assert next(CronSim(cron, datetime(2026, 1, 1, tzinfo=UTC))).year < 2100


# --- intervals, jitter, sequences -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("schedule", "key", "message"),
    [
        ({"every": "400d"}, "every", "is longer than a year"),
        ({"every": "5m", "jitter": "5m"}, "jitter", "is not shorter than the interval itself"),
        ({"cron": "@daily", "jitter": "1d"}, "jitter", "is not shorter than a day"),
    ],
)
def test_an_interval_or_a_jitter_can_be_too_long(schedule: dict[str, Any], key: str, message: str) -> None:
    found = schedule_problem(Schedule(**schedule))

    assert found is not None
    assert (found.key, found.message) == (key, message)


@pytest.mark.parametrize(
    ("schedule", "message"),
    [
        ({}, "exactly one of every, cron, after"),
        ({"every": "1m", "after": "accounts"}, "exactly one of every, cron, after"),
        ({"every": "1m", "if_failed": "go_on"}, "has if_failed, which belongs to after"),
        ({"after": "accounts", "jitter": "1m"}, "has jitter, which belongs to every or cron"),
        ({"after": "accounts", "timezone": "UTC"}, "has timezone, which belongs to cron"),
    ],
)
def test_keys_of_different_kinds_of_schedules_do_not_mix(schedule: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        Schedule(**schedule)


@pytest.mark.parametrize(("text", "seconds"), [("30s", 30), ("15 m", 900), ("2h", 7200), ("1d", 86_400)])
def test_a_length_of_time_has_seconds(text: str, seconds: int) -> None:
    assert seconds_of(text) == seconds


@pytest.mark.parametrize("text", ["", "5", "m", "5y", "-5m", "\N{ARABIC-INDIC DIGIT ONE}m"])
def test_anything_else_is_no_length_of_time(text: str) -> None:
    with pytest.raises(ValueError, match="is no length of time"):
        seconds_of(text)


def followed(folder: Path, **after: str | None) -> Path:
    """A project whose syncs follow each other as given."""
    text = str(GOOD["sync_configs/accounts.yml"])
    for name, before in after.items():
        schedule = f"schedule:\n  after: {before}\n" if before is not None else ""
        write(folder, {"sync_configs/accounts.yml": None, f"sync_configs/{name}.yml": text + schedule})
    return folder


def test_syncs_that_follow_each_other_in_a_row_are_fine(tmp_path: Path) -> None:
    definition = load(followed(tmp_path, a=None, b="a", c="b", d="b"), systems(), environ=ENVIRON)

    schedule = definition.syncs["d"].settings.schedule
    assert schedule is not None
    assert (schedule.after, schedule.if_failed) == ("b", "stop")


def test_a_sync_that_follows_an_unknown_one_is_told_the_nearest(tmp_path: Path) -> None:
    found = survey(followed(tmp_path, accounts=None, b="acounts"), systems(), environ=ENVIRON)

    (problem,) = found.problems
    assert (problem.message, problem.slug) == ("there is no sync 'acounts'", "unknown-sync")
    assert problem.at is not None
    assert problem.at.startswith("sync_configs/b.yml:")
    assert "did you mean 'accounts'?" in str(problem.hint)
    assert set(found.definition.syncs) == {"accounts", "upgrades"}


def test_a_ring_is_told_to_each_sync_in_it_and_to_no_other(tmp_path: Path) -> None:
    found = survey(followed(tmp_path, a="c", b="a", c="b", d="a", e="e"), systems(), environ=ENVIRON)

    assert {problem.slug for problem in found.problems} == {"sync-ring"}
    assert sorted(problem.message for problem in found.problems) == [
        "the sync would wait for itself: a after c after b after a",
        "the sync would wait for itself: b after a after c after b",
        "the sync would wait for itself: c after b after a after c",
        "the sync would wait for itself: e after e",
    ]
    assert set(found.definition.syncs) == {"d", "upgrades"}
