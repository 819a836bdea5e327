from __future__ import annotations

import threading
import time

import pytest

from connector.state.clock import SystemClock, pause, utc

from .fake_clock import FakeClock


def test_a_pause_ends_when_its_time_has_come() -> None:
    clock = FakeClock()

    assert pause(clock, clock.monotonic() + 3.02, lambda: False)
    assert sum(clock.slept) == pytest.approx(3.02)


def test_a_pause_that_is_given_up_ends_at_once() -> None:
    clock = FakeClock()

    assert not pause(clock, clock.monotonic() + 3, lambda: len(clock.slept) == 2)
    assert sum(clock.slept) == pytest.approx(0.1)


def test_a_real_pause_ends_within_a_tenth_of_a_second_after_it_was_given_up() -> None:
    stop = threading.Event()
    threading.Timer(0.1, stop.set).start()
    began = time.monotonic()

    assert not pause(SystemClock(), began + 60, stop.is_set)
    assert time.monotonic() - began < 1


def test_the_system_clock_is_the_time_of_this_machine() -> None:
    assert SystemClock().now() == pytest.approx(time.time(), abs=5)


@pytest.mark.parametrize(
    ("seconds", "text"), [(1_767_225_600.0, "2026-01-01T00:00:00Z"), (1_767_225_600.9, "2026-01-01T00:00:00Z")]
)
def test_a_moment_is_written_in_utc_with_z(seconds: float, text: str) -> None:
    assert utc(seconds) == text


def test_a_moment_may_have_milliseconds() -> None:
    assert utc(1_767_225_600.25, precision="milliseconds") == "2026-01-01T00:00:00.250Z"
