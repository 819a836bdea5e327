from __future__ import annotations

import json
import sqlite3
import threading
import time
from contextlib import closing
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest

from connector.errors import StateError
from connector.ports import Change, Members, Route
from connector.state import open_history
from connector.state.clock import SystemClock

from .child import start_child, tell
from .fake_clock import NEW_YEAR, FakeClock

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from connector.ports import Limiter
    from connector.state.history import History
    from connector.state.rate import SharedRate

    Take = Callable[[SharedRate, int, FakeClock], list[float]]

DELETE = Route("delete", frozenset({Change.REMOVED}), Members(()), 500, 1_000_000, min_interval_s=1.0)
SEND = Route("custom", frozenset(Change), Members(()), 500, 1_000_000)


def rate(history: History, limit: float | None = 20, name: str = "pendo") -> SharedRate:
    """A limiter that nobody stops."""
    return history.rate(name, max_requests_per_second=limit, stop=threading.Event())


def take_waiting(limiter: SharedRate, count: int, clock: FakeClock, route: Route | None = None) -> list[float]:
    """When each of so many turns came, in seconds since New Year."""
    came = []
    for _ in range(count):
        assert limiter.acquire(route)
        came.append(clock.now() - NEW_YEAR)
    return came


def take_asking(limiter: SharedRate, count: int, clock: FakeClock) -> list[float]:
    """The same for somebody who asks again when he was told to."""
    came = []
    for _ in range(count):
        while (wait_s := limiter.claim()) > 0:
            clock.sleep(wait_s)
        came.append(clock.now() - NEW_YEAR)
    return came


@pytest.fixture(params=[take_waiting, take_asking], ids=["waiting", "asking"])
def take(request: pytest.FixtureRequest) -> Take:
    found: Take = request.param
    return found


def test_it_is_the_limiter_that_delivery_needs(history: History) -> None:
    limiter: Limiter = rate(history)

    assert limiter.acquire()


@pytest.mark.parametrize("limit", [0.5, 5, 20, 33, 200])
def test_turns_come_at_the_rate(take: Take, history: History, clock: FakeClock, limit: float) -> None:
    came = take(rate(history, limit), 100, clock)

    assert came[-1] == pytest.approx(99 / limit, rel=0.02)


def test_two_processes_share_the_rate(take: Take, history: History, state_dir: Path, clock: FakeClock) -> None:
    with open_history(state_dir, clock=clock) as other:
        limiters = [rate(history), rate(other)]
        came = [take(limiter, 1, clock) for _ in range(50) for limiter in limiters]

    assert came[-1][0] == pytest.approx(99 / 20, rel=0.02)


def test_destinations_do_not_share_a_rate(take: Take, history: History, clock: FakeClock) -> None:
    limiters = [rate(history), rate(history, name="pendo-eu")]
    came = [take(limiter, 1, clock) for _ in range(50) for limiter in limiters]

    assert came[-1][0] == pytest.approx(49 / 20, rel=0.05)


@pytest.mark.parametrize("limit", [None, 0, 100_000, 10_000_000])
def test_no_limit_costs_next_to_nothing(take: Take, history: History, clock: FakeClock, limit: float | None) -> None:
    limiter = rate(history, limit)
    began = time.perf_counter()
    took = take(limiter, 5000, clock)

    assert time.perf_counter() - began < 0.5
    assert took[-1] < 0.1


def test_slots_that_nobody_took_in_time_are_given_up(take: Take, history: History, clock: FakeClock) -> None:
    limiter = rate(history, 200)
    take(limiter, 1, clock)
    clock.sleep(10)
    came = take(limiter, 30, clock)

    assert sum(1 for moment in came if moment < 10.05) <= 12


def test_slots_that_are_a_little_late_are_still_good(take: Take, history: History, clock: FakeClock) -> None:
    limiter = rate(history, 200)
    take(limiter, 1, clock)
    clock.sleep(0.02)

    assert take(limiter, 4, clock) == pytest.approx([0.02] * 4, abs=0.006)


def test_too_many_requests_slow_every_process_down(
    take: Take, history: History, state_dir: Path, clock: FakeClock
) -> None:
    with open_history(state_dir, clock=clock) as other:
        ours, theirs = rate(history), rate(other)
        take(ours, 2, clock)
        theirs.slow_down()
        came = take(ours, 21, clock)

    assert (ours.present(), theirs.present()) == (10.0, 10.0)
    assert came[-1] - came[0] == pytest.approx(2.0, rel=0.05)


def test_a_wish_to_wait_parks_every_process(take: Take, history: History, state_dir: Path, clock: FakeClock) -> None:
    with open_history(state_dir, clock=clock) as other:
        ours, theirs = rate(history, 200), rate(other, 200)
        take(ours, 3, clock)
        ours.slow_down(60)

        assert take(theirs, 1, clock)[0] >= 60
        assert take(ours, 1, clock)[0] >= 60


def test_who_waits_for_a_slot_waits_longer_when_the_rate_is_halved_meanwhile(take: Take, state_dir: Path) -> None:
    class Slow(FakeClock):
        """During the first sleep, somebody is told to slow down."""

        def sleep(self, seconds: float) -> None:
            super().sleep(seconds)
            if len(self.slept) == 1:
                limiter.slow_down(5)

    clock = Slow()
    with open_history(state_dir, clock=clock) as history:
        limiter = rate(history)
        came = take(limiter, 3, clock)

    assert came[0] < 1
    assert came[2] >= 5


def test_success_brings_the_rate_back_in_about_a_minute(take: Take, history: History, clock: FakeClock) -> None:
    limiter = rate(history)
    take(limiter, 1, clock)
    limiter.slow_down()
    began = clock.now()
    while limiter.present() < 20:
        take(limiter, 1, clock)
        limiter.went_well()

    assert 25 < clock.now() - began < 40


def test_requests_that_do_not_succeed_do_not_raise_the_rate(take: Take, history: History, clock: FakeClock) -> None:
    limiter = rate(history)
    limiter.slow_down()
    take(limiter, 100, clock)

    assert limiter.present() == 10.0


def test_a_route_keeps_its_distance_over_all_processes(history: History, state_dir: Path, clock: FakeClock) -> None:
    with open_history(state_dir, clock=clock) as other:
        limiters = [rate(history), rate(other)]
        came = [take_waiting(limiter, 1, clock, DELETE)[0] for _ in range(5) for limiter in limiters]
        free = take_waiting(limiters[0], 3, clock, SEND)

    assert all(later - earlier >= 1.0 for earlier, later in pairwise(came))
    assert came[-1] == pytest.approx(9, abs=0.5)
    assert free[-1] - came[-1] < 0.3


def test_a_parked_route_keeps_its_distance_afterwards(history: History, clock: FakeClock) -> None:
    limiter = rate(history)
    take_waiting(limiter, 1, clock, DELETE)
    limiter.slow_down(10)
    came = take_waiting(limiter, 2, clock, DELETE)

    assert came[0] >= 10
    assert came[1] - came[0] >= 1.0


def test_a_route_that_waits_for_its_turn_is_parked_with_all_others(state_dir: Path) -> None:
    class Parked(FakeClock):
        """When the second request has waited for half a second, another process is told to wait."""

        def sleep(self, seconds: float) -> None:
            super().sleep(seconds)
            if self.now() - NEW_YEAR > 0.5 and other is not None and other.present() == 20:
                other.slow_down(30)

    clock, other = Parked(), None
    with open_history(state_dir, clock=clock) as history, open_history(state_dir, clock=clock) as second:
        other = rate(second)
        came = take_waiting(rate(history), 2, clock, DELETE)

    assert came[1] >= 30


def test_a_clock_that_is_set_back_does_not_stop_the_run(history: History, clock: FakeClock) -> None:
    limiter = rate(history, 5)
    take_waiting(limiter, 5, clock, DELETE)
    clock.time -= 86_400
    ticks = clock.monotonic()
    take_waiting(limiter, 5, clock, DELETE)

    assert clock.monotonic() - ticks < 8


@pytest.mark.parametrize("route", [None, DELETE])
def test_a_cancelled_run_gets_no_turn(history: History, route: Route | None) -> None:
    stop = threading.Event()
    limiter = history.rate("pendo", max_requests_per_second=20, stop=stop)
    stop.set()

    assert not limiter.acquire(route)


@pytest.mark.parametrize(("limit", "route"), [(0.1, SEND), (1000, DELETE)])
def test_who_waits_for_a_turn_gives_up_at_once_when_the_run_is_cancelled(
    state_dir: Path, limit: float, route: Route
) -> None:
    stop = threading.Event()
    answers: list[bool] = []
    with open_history(state_dir, clock=SystemClock()) as history:
        limiter = history.rate("pendo", max_requests_per_second=limit, stop=stop)
        limiter.acquire(route)
        waiting = threading.Thread(target=lambda: answers.append(limiter.acquire(route)))
        waiting.start()
        waiting.join(0.2)
        still_waits = waiting.is_alive()
        stop.set()
        began = time.monotonic()
        waiting.join()

    assert still_waits
    assert time.monotonic() - began < 0.5
    assert answers == [False]


def test_threads_and_processes_together_keep_the_rate(state_dir: Path) -> None:
    open_history(state_dir, clock=SystemClock()).close()
    children = [start_child("take_turns", state_dir, "60", "1.5") for _ in range(2)]
    for child in children:
        tell(child, "go")

    turns = sorted(moment for child in children for moment in json.loads(child.communicate()[0]))

    took_s = turns[-1] - turns[0]
    assert len(turns) <= 60 * took_s + 5
    assert len(turns) >= 60 * took_s * 0.6


def test_a_locked_store_is_an_error(history: History, state_dir: Path) -> None:
    limiter = rate(history)
    with closing(sqlite3.connect(state_dir / "history.db", isolation_level=None)) as outside:
        outside.execute("BEGIN IMMEDIATE")
        with pytest.raises(StateError) as refused:
            limiter.acquire()

    assert refused.value.problem.slug == "state-locked"
