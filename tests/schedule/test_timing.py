"""When schedules come: a whole year, both edges of daylight saving, several zones; nobody waits for it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connector.errors import ConfigError
from connector.project.schedule_settings import Schedule
from connector.schedule.timing import in_words, next_time, next_times, offset_s, signature, times

NEW_YEAR = datetime(2026, 1, 1, tzinfo=UTC).timestamp()
YEAR_S = 365 * 86_400.0


def stamp(text: str) -> float:
    """The moment that is written with its offset from UTC."""
    return datetime.fromisoformat(text).timestamp()


def shown(zone: str, moments: tuple[float, ...]) -> list[str]:
    """The moments on the wall clock of the zone, each with its offset."""
    return [datetime.fromtimestamp(at, ZoneInfo(zone)).strftime("%d.%m. %H:%M %z") for at in moments]


def coming(after: str, count: int, **schedule: Any) -> list[str]:
    """The next times, on the wall clock of the schedule's zone."""
    made = Schedule(**schedule)
    return shown(made.timezone, next_times(made, stamp(after), count, sync="any"))


# --- the two edges ----------------------------------------------------------------------------------------------------


def test_a_time_that_is_skipped_in_spring_comes_as_soon_as_the_clock_has_jumped() -> None:
    assert coming("2026-03-28T12:00+01:00", 3, cron="30 2 * * *", timezone="Europe/Berlin") == [
        "29.03. 03:00 +0200",
        "30.03. 02:30 +0200",
        "31.03. 02:30 +0200",
    ]


def test_a_time_that_comes_twice_in_autumn_counts_once() -> None:
    assert coming("2026-10-24T12:00+02:00", 3, cron="30 2 * * *", timezone="Europe/Berlin") == [
        "25.10. 02:30 +0200",
        "26.10. 02:30 +0100",
        "27.10. 02:30 +0100",
    ]


@pytest.mark.parametrize("now", ["2026-10-25T02:31+02:00", "2026-10-25T02:10+01:00", "2026-10-25T02:30+01:00"])
def test_whoever_looks_between_the_two_does_not_see_it_again(now: str) -> None:
    assert coming(now, 1, cron="30 2 * * *", timezone="Europe/Berlin") == ["26.10. 02:30 +0100"]


def test_two_times_that_fall_together_in_spring_are_one() -> None:
    assert coming("2026-03-28T23:00+01:00", 3, cron="0 2,3 * * *", timezone="Europe/Berlin") == [
        "29.03. 03:00 +0200",
        "30.03. 02:00 +0200",
        "30.03. 03:00 +0200",
    ]


def test_an_hourly_line_comes_every_hour_that_there_is() -> None:
    spring = coming("2026-03-29T00:30+01:00", 3, cron="0 * * * *", timezone="Europe/Berlin")
    autumn = coming("2026-10-25T01:30+02:00", 4, cron="@hourly", timezone="Europe/Berlin")

    assert spring == ["29.03. 01:00 +0100", "29.03. 03:00 +0200", "29.03. 04:00 +0200"]
    assert autumn == ["25.10. 02:00 +0200", "25.10. 02:00 +0100", "25.10. 03:00 +0100", "25.10. 04:00 +0100"]


def test_a_clock_that_jumps_by_half_an_hour_at_its_own_time() -> None:
    assert coming("2026-10-03T23:00+10:30", 2, cron="15 2 * * *", timezone="Australia/Lord_Howe") == [
        "04.10. 02:30 +1100",
        "05.10. 02:15 +1100",
    ]


def test_a_day_that_begins_at_one() -> None:
    assert coming("2026-04-23T12:00+02:00", 2, cron="@daily", timezone="Africa/Cairo") == [
        "24.04. 01:00 +0300",
        "25.04. 00:00 +0300",
    ]


def test_an_interval_does_not_know_of_clocks_on_walls() -> None:
    found = next_times(Schedule(every="1h"), stamp("2026-10-25T00:30+02:00"), 5, sync="any")

    assert {later - earlier for earlier, later in pairwise(found)} == {3600}


# --- a year against a slow and plain way to tell ----------------------------------------------------------------------


def daily(zone: str, hour: int, minute: int) -> list[float]:
    """When a wall clock shows that time first on each day of 2026, or has just jumped past it."""
    found = []
    for day in range(365):
        wall = datetime(2026, 1, 1, hour, minute) + timedelta(days=day)  # noqa: DTZ001 - a wall clock has no zone
        at = wall.replace(tzinfo=ZoneInfo(zone))
        while at.astimezone(UTC).astimezone(ZoneInfo(zone)).replace(tzinfo=None) != wall:
            wall += timedelta(minutes=1)
            at = wall.replace(tzinfo=ZoneInfo(zone))
        found.append(at.timestamp())
    return found


def beginning(zone: str) -> float:
    """The second before the year begins there."""
    return datetime(2026, 1, 1, tzinfo=ZoneInfo(zone)).timestamp() - 1


ZONES = ("UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Africa/Cairo", "Asia/Kolkata")


@pytest.mark.parametrize("zone", ZONES)
@pytest.mark.parametrize(("hour", "minute"), [(0, 0), (1, 30), (2, 30), (6, 0)])
def test_a_daily_time_comes_once_on_each_day_of_a_year(zone: str, hour: int, minute: int) -> None:
    schedule = Schedule(cron=f"{minute} {hour} * * *", timezone=zone)

    assert list(next_times(schedule, beginning(zone), 365, sync="any")) == daily(zone, hour, minute)


@pytest.mark.parametrize("zone", ZONES)
def test_every_hour_of_a_year_comes_once(zone: str) -> None:
    found = next_times(Schedule(cron="0 * * * *", timezone=zone), beginning(zone), 365 * 24, sync="any")
    steps = {later - earlier for earlier, later in pairwise(found)}

    # A clock that jumps by half an hour, to or fro, needs that much longer to show the next full hour.
    assert steps == ({3600.0, 5400.0} if zone == "Australia/Lord_Howe" else {3600.0})


# --- asked one by one, as the scheduler does --------------------------------------------------------------------------


@pytest.mark.parametrize(
    "schedule",
    [
        Schedule(every="7m"),
        Schedule(every="6h", jitter="1h"),
        Schedule(cron="*/20 1-3 * * *", timezone="Europe/Berlin", jitter="3m"),
        Schedule(cron="0 2,3 25-31 3,10 *", timezone="Europe/Berlin"),
        Schedule(cron="30 0-4/2 * * sun", timezone="America/New_York"),
    ],
)
@pytest.mark.parametrize("after", ["2026-03-28T22:00:30+00:00", "2026-10-24T22:00:30+00:00"])
def test_asked_one_by_one_the_times_are_the_same(schedule: Schedule, after: str) -> None:
    one_by_one, at = [], stamp(after)
    for _ in range(60):
        found = next_time(schedule, at, sync="any")
        assert found is not None
        one_by_one.append(at := found)

    assert one_by_one == list(next_times(schedule, stamp(after), 60, sync="any"))


@given(
    st.floats(NEW_YEAR, NEW_YEAR + YEAR_S),
    st.sampled_from(["*/15 * * * *", "30 2 * * *", "0 1-3 * * 0", "59 23 L * *", "@weekly"]),
    st.sampled_from(ZONES),
)
def test_the_next_time_lies_ahead_and_nothing_lies_between(now: float, cron: str, zone: str) -> None:
    schedule = Schedule(cron=cron, timezone=zone)
    found = next_time(schedule, now, sync="any")

    assert found is not None
    assert found > now
    assert next_time(schedule, found - 1, sync="any") == found
    assert next_time(schedule, (now + found) / 2, sync="any") == found


# --- jitter -----------------------------------------------------------------------------------------------------------


def test_jitter_moves_all_times_of_a_sync_by_the_same_part_of_it() -> None:
    schedule = Schedule(every="1h", jitter="10m")
    moved = {name: next_times(schedule, NEW_YEAR, 3, sync=name) for name in map(str, range(40))}

    offsets = {name: {at % 3600 for at in found} for name, found in moved.items()}
    assert all(len(found) == 1 for found in offsets.values())
    spread = {offset for found in offsets.values() for offset in found}
    assert all(0 <= offset < 600 for offset in spread)
    assert len(spread) > 30


def test_jitter_follows_from_the_name_and_the_seed() -> None:
    assert offset_s(600, "accounts") == offset_s(600, "accounts")
    assert offset_s(600, "accounts") != offset_s(600, "accounts", seed="other")
    assert offset_s(0, "accounts") == 0


def test_a_moved_time_is_not_lost_between_its_plain_time_and_itself() -> None:
    schedule = Schedule(every="1h", jitter="30m")
    plain = NEW_YEAR + 3600
    moved = plain + offset_s(1800, "accounts")

    assert moved > plain
    assert next_time(schedule, plain + 1, sync="accounts") == moved
    assert next_time(schedule, moved, sync="accounts") == moved + 3600


# --- in words ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("schedule", "words"),
    [
        ({"every": "1h"}, "every 1 hour"),
        ({"every": "90m"}, "every 1 hour 30 minutes"),
        ({"cron": "0 6 * * 1-5", "timezone": "Europe/Berlin"}, "at 06:00 on Monday through Friday, Europe/Berlin time"),
        ({"cron": "@daily"}, "at 00:00 every day, UTC time"),
        ({"after": "accounts"}, "after each run of accounts that succeeded"),
        ({"after": "accounts", "if_failed": "go_on"}, "after each run of accounts, however it ended"),
    ],
)
def test_a_schedule_in_words(schedule: dict[str, Any], words: str) -> None:
    assert in_words(Schedule(**schedule), sync="any") == words


def test_jitter_in_words_says_how_much_it_is() -> None:
    said = in_words(Schedule(every="1d", jitter="1h"), sync="accounts")

    minutes, seconds = divmod(offset_s(3600, "accounts"), 60)
    assert said == f"every 1 day, {minutes} minutes {seconds} seconds later (jitter)"


def test_a_changed_schedule_has_another_signature() -> None:
    made = [Schedule(every="1h"), Schedule(every="60m"), Schedule(cron="@hourly"), Schedule(after="a")]
    made += [Schedule(every="1h", jitter="1m"), Schedule(cron="@hourly", timezone="Asia/Kolkata")]

    assert len({signature(each) for each in made}) == len(made)


def test_a_sync_that_follows_another_has_no_times() -> None:
    assert list(times(Schedule(after="accounts"), NEW_YEAR, sync="any")) == []


def test_a_time_zone_that_this_machine_does_not_know_is_an_error() -> None:
    with pytest.raises(ConfigError, match="not a time zone that this machine knows"):
        next_time(Schedule(cron="@daily", timezone="Mars/Olympus"), NEW_YEAR, sync="any")
