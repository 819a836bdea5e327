from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connector.state.pace import BLOCK_S, UNLIMITED, Pace

NOW = 1_767_225_600.0
FULL = Pace(20.0, 20.0)


@pytest.mark.parametrize(("rate", "count"), [(0.5, 1), (20.0, 1), (60.0, 3), (200.0, 10), (UNLIMITED, 5000)])
def test_no_more_than_fifty_milliseconds_are_reserved_at_once(rate: float, count: int) -> None:
    _, slots = Pace(rate, rate).reserve(NOW)

    assert slots.count == count
    assert slots.interval_s == pytest.approx(1 / rate)


def test_a_turn_that_is_far_away_is_not_reserved() -> None:
    pace, slots = replace(FULL, next_at=NOW + 3).reserve(NOW)

    assert (pace.next_at, slots.count) == (NOW + 3, 0)
    assert slots.start == pytest.approx(NOW + 3 - BLOCK_S)


@given(st.floats(0.1, 500), st.lists(st.floats(0, 1), min_size=1, max_size=60))
def test_no_second_sees_more_turns_than_the_rate_and_a_moments_worth(rate: float, waits: list[float]) -> None:
    pace, now, turns = Pace(rate, rate), NOW, list[float]()
    for wait in waits:
        now += wait
        pace, slots = pace.reserve(now)
        turns += [max(now, slots.start + n * slots.interval_s) for n in range(slots.count)]

    most = rate * (1 + BLOCK_S) + 2
    assert all(sum(1 for turn in turns if start <= turn < start + 1) <= most for start in turns)


def test_too_many_requests_halve_the_rate_once_a_second() -> None:
    slower = FULL.slowed(NOW, None)
    at_once = slower.slowed(NOW + 0.9, None)
    later = slower.slowed(NOW + 1, None)

    assert [pace.rate for pace in (slower, at_once, later)] == [10.0, 10.0, 5.0]


def test_the_rate_never_stops() -> None:
    pace = FULL
    for second in range(20):
        pace = pace.slowed(NOW + second, None)

    assert pace.rate == 0.1


def test_a_wish_to_wait_parks_everybody_for_the_longest_time() -> None:
    pace = FULL.slowed(NOW, 30).slowed(NOW + 0.1, 5)

    _, slots = pace.reserve(NOW + 1)

    assert pace.not_before == NOW + 30
    assert slots.count == 0
    assert slots.start == pytest.approx(NOW + 30 - BLOCK_S)


@pytest.mark.parametrize("halvings", [1, 4])
def test_a_minute_of_success_brings_the_rate_back(halvings: int) -> None:
    pace, now = FULL, NOW
    for _ in range(halvings):
        now += 1
        pace = pace.slowed(now, None)
    began = now
    while pace.rate < pace.ceiling:
        now += 1 / pace.rate
        pace = pace.climbed(now)

    assert 25 < now - began < 70


def test_a_pause_is_no_success() -> None:
    slow = FULL.slowed(NOW, None)

    assert slow.climbed(NOW + 500).rate == pytest.approx(10 + 20 / 60)


def test_a_success_during_the_second_of_a_halving_climbs_for_the_rest_of_it_only() -> None:
    slow = FULL.slowed(NOW, None)

    assert slow.climbed(NOW).rate == 10.0


def test_what_slowed_us_down_long_ago_is_over() -> None:
    slow = replace(FULL.slowed(NOW, None), next_at=NOW)

    assert slow.at(NOW + 599, 20.0).rate == 10.0
    assert slow.at(NOW + 601, 20.0).rate == 20.0


@pytest.mark.parametrize(
    ("rate", "ceiling", "becomes"), [(20.0, 40.0, 40.0), (20.0, 5.0, 5.0), (10.0, 40.0, 10.0), (10.0, 5.0, 5.0)]
)
def test_a_new_setting_counts_at_once_but_does_not_undo_a_halving(rate: float, ceiling: float, becomes: float) -> None:
    pace = Pace(20.0, rate, next_at=NOW).at(NOW, ceiling)

    assert (pace.rate, pace.ceiling) == (becomes, ceiling)


def test_a_clock_that_is_set_back_parks_nobody() -> None:
    pace = Pace(20.0, 20.0, next_at=NOW).slowed(NOW, 30)

    back = pace.at(NOW - 3600, 20.0)

    assert back.next_at == NOW - 3600
    assert back.not_before == NOW - 3600 + 30
    assert back.slowed(NOW - 3600 + 1, None).rate == 5.0


def test_turns_that_are_due_are_left_as_they_are() -> None:
    pace = Pace(20.0, 20.0, next_at=NOW + 0.1, not_before=NOW + 600, parked_at=NOW - 1)

    assert pace.at(NOW, 20.0) == pace
