"""Whether the time of a schedule ever comes."""

from __future__ import annotations

import importlib.util
import zoneinfo
from typing import Any

import pytest

from connector.project.schedule import schedule_problem
from connector.project.settings import Schedule


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
