"""Rows that travel alone: many requests of one thread in flight. `World.check` looks at what must hold of each run."""

from __future__ import annotations

import threading
import time
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from connector.deliver import Policy
from connector.deliver.singles import travel_alone
from connector.errors import StateError
from connector.ports import Change, NoReply, Outcome

from .world import AGENT, CUSTOM, EVENTS, FakeFlight, FakeWork, MemoryJournal, Vendor, World, outcomes

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from connector.ports import Flight, Reply, Request, Route

EFFECTS = ["ok", "503", "429", "429:3", "429:1000", "503:20", "refused", "lost before", "lost after", "400", "401"]
TRANSIENT = ["503", "429:3", "refused", "lost before", "lost after"]
CALM = settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
ALONE = replace(EVENTS, max_rows=1)
EIGHT = Policy(concurrency=8)

rows = st.integers(1, 60)
some_rows = st.frozensets(st.integers(0, 59), max_size=60)
routes = st.sampled_from([(ALONE,), (replace(CUSTOM, max_rows=1),)])
several = st.sampled_from([1, 3, 8])


def flying(script: Sequence[str] = (), routes: tuple[Route, ...] = (ALONE,), then: str = "ok") -> Vendor:
    return Vendor(routes=routes, script=list(script), then=then, flies=True)


def assert_set(event: threading.Event) -> None:
    assert event.wait(10)


@CALM
@given(
    rows=rows,
    vendor=st.builds(
        Vendor,
        routes=routes,
        flies=st.just(True),
        poison=some_rows,
        unknown=some_rows,
        named=st.booleans(),
        most=st.none() | st.integers(0, 1),
        script=st.lists(st.sampled_from(EFFECTS), max_size=40),
        then=st.sampled_from(EFFECTS),
    ),
    policy=st.builds(
        Policy,
        concurrency=several,
        split_retries=st.booleans(),
        in_doubt=st.sampled_from(["resend", "hold"]),
        attempts=st.integers(1, 4),
        max_refused_batches=st.integers(1, 4),
    ),
    claims=st.lists(st.sampled_from([0.0, 0.001]), max_size=40),
    cancel_after=st.none() | st.integers(0, 40),
)
def test_whatever_happens_every_row_has_one_outcome_that_is_true(
    rows: int, vendor: Vendor, policy: Policy, claims: list[float], cancel_after: int | None
) -> None:
    world = World(vendor, rows, batch_rows=1, policy=policy)
    world.limiter.claims = claims
    if cancel_after is not None:
        vendor.on_send = lambda vendor: world.stop.set() if len(vendor.received) >= cancel_after else None

    delivered = world.deliver()

    if delivered.fault is None and not delivered.cancelled:
        assert world.work.at == world.rows


@CALM
@given(rows=rows, script=st.lists(st.sampled_from(TRANSIENT), max_size=10), concurrency=several)
def test_events_that_are_held_are_never_applied_twice(rows: int, script: list[str], concurrency: int) -> None:
    vendor = flying(script)
    policy = Policy(concurrency=concurrency, in_doubt="hold", attempts=100, max_retry_s=10_000, max_refused_batches=99)

    delivered = World(vendor, rows, 1, policy).deliver()

    assert all(times == 1 for times in vendor.applied.values())
    assert sum(delivered.tally[Outcome.IN_DOUBT].values()) == len(vendor.doubts)
    assert set(outcomes(delivered)) <= {"succeeded", "in_doubt"}


@CALM
@given(rows=rows, routes=routes, script=st.lists(st.sampled_from(TRANSIENT), max_size=20), concurrency=several)
def test_what_is_sent_again_all_arrives(
    rows: int, routes: tuple[Route, ...], script: list[str], concurrency: int
) -> None:
    vendor = flying(script, routes)
    policy = Policy(concurrency=concurrency, attempts=100, max_retry_s=10_000)

    delivered = World(vendor, rows, 1, policy).deliver()

    assert outcomes(delivered) == {"succeeded": rows}
    assert set(vendor.applied) == {(route.name, row) for route in routes for row in range(rows)}


def test_as_many_are_in_flight_as_may_be_and_those_that_begin_together_are_one_commit() -> None:
    world = World(flying(), rows=100, batch_rows=1, policy=EIGHT)

    delivered = world.deliver()

    assert outcomes(delivered) == {"succeeded": 100}
    assert world.vendor.in_the_air == 8
    assert world.journal.together[0] == 8
    assert sum(world.journal.together) == 100
    assert (delivered.sent, world.limiter.well, len(world.limiter.acquired)) == (100, 100, 100)


def test_requests_of_several_rows_take_a_thread_each() -> None:
    world = World(flying(routes=(CUSTOM,)), rows=100, batch_rows=10, policy=EIGHT)

    world.deliver()

    assert (world.journal.together, world.vendor.in_the_air) == ([], 0)


def test_a_destination_that_cannot_have_them_in_flight_gets_them_from_threads() -> None:
    world = World(Vendor(routes=(ALONE,)), rows=100, batch_rows=1, policy=EIGHT)

    delivered = world.deliver()

    assert outcomes(delivered) == {"succeeded": 100}
    assert world.journal.together == []


def test_rows_that_need_two_requests_are_sent_by_threads() -> None:
    routes = (replace(CUSTOM, max_rows=1), replace(AGENT, max_rows=1))
    world = World(flying(routes=routes), rows=30, batch_rows=1)

    delivered = world.deliver()

    assert outcomes(delivered) == {"succeeded": 30}
    assert world.vendor.received == [(route, [row]) for row in range(30) for route in ("custom", "agent")]
    assert world.journal.together == []


def test_rows_that_need_one_request_each_may_take_several_routes() -> None:
    upserts = replace(CUSTOM, max_rows=1, changes=frozenset({Change.ADDED, Change.CHANGED}))
    clear = replace(upserts, name="clear", changes=frozenset({Change.REMOVED}))

    assert travel_alone(Vendor(routes=(upserts, clear)))
    assert not travel_alone(Vendor(routes=(upserts, replace(clear, max_rows=2))))


def test_a_route_that_keeps_a_distance_is_sent_by_threads() -> None:
    world = World(flying(routes=(replace(ALONE, min_interval_s=1.0),)), rows=3, batch_rows=1)

    world.deliver()

    assert (world.limiter.acquired, world.journal.together) == (["track"] * 3, [])


def test_a_request_that_waits_to_be_tried_again_holds_up_no_other() -> None:
    world = World(flying(["503"]), rows=50, batch_rows=1, policy=Policy(concurrency=4))
    others = threading.Event()
    world.clock.on_sleep = lambda: assert_set(others)
    world.vendor.on_send = lambda vendor: others.set() if len(vendor.received) >= 40 else None

    delivered = world.deliver()

    assert others.is_set()
    assert (outcomes(delivered), delivered.sent, delivered.retried) == ({"succeeded": 50}, 51, 1)
    again = world.journal.calls[max(world.journal.calls)]
    assert any(call.parent == 1 and call.attempt == 2 for call in world.journal.calls.values()), again


def test_requests_that_wait_keep_their_place_among_those_in_flight() -> None:
    world = World(flying(["503"] * 3), rows=50, batch_rows=1, policy=Policy(concurrency=4))
    may_go_on = threading.Event()
    world.clock.on_sleep = lambda: assert_set(may_go_on)
    most: list[int] = []

    def count(vendor: Vendor) -> None:
        if not may_go_on.is_set() and len(vendor.received) > 4:
            calls = world.journal.calls.values()
            most.append(sum(call.answer is None for call in calls))
            if len(most) == 20:
                may_go_on.set()

    world.vendor.on_send = count

    world.deliver()

    assert set(most) == {1}


def test_who_waits_for_a_turn_meanwhile_settles_what_is_answered() -> None:
    world = World(flying(), rows=6, batch_rows=1, policy=EIGHT)
    world.limiter.claims = [0.0, 0.0, 0.001, 0.001, 0.0, 0.001]

    delivered = world.deliver()

    assert outcomes(delivered) == {"succeeded": 6}
    assert world.journal.together[:2] == [2, 1]


def test_a_row_whose_turn_does_not_come_before_the_end_is_not_attempted() -> None:
    world = World(flying(), rows=6, batch_rows=1, policy=EIGHT)
    world.limiter.claims = [0.0, 0.0, *[0.001] * 10_000]
    world.vendor.on_send = lambda _: world.stop.set()

    delivered = world.deliver()

    assert (delivered.cancelled, delivered.sent, world.work.at) == (True, 2, 3)
    assert outcomes(delivered) == {"succeeded": 2, "not_attempted": 1}


@pytest.mark.parametrize("concurrency", [1, 4])
@pytest.mark.parametrize("before", [0, 3])
def test_a_defect_ends_the_run_and_what_was_begun_with_it_stays_unsent(before: int, concurrency: int) -> None:
    world = World(flying(["ok"] * before + ["raise"]), rows=1000, batch_rows=1, policy=Policy(concurrency=concurrency))

    with pytest.raises(ZeroDivisionError):
        world.deliver()

    calls = world.journal.calls.values()
    (broken,) = [call for call in calls if call.verdict is None]
    assert broken.answer == NoReply("ZeroDivisionError in the connector", maybe_applied=True, ms=0.0)
    unsent = [call for call in calls if call.verdict == "try_again"]
    assert len(world.vendor.received) == len(calls) - 1 - len(unsent) >= before
    assert {call.reason for call in unsent} <= {"the run ended before this was sent"}
    by_row = world.journal.by_row("track")
    assert {by_row[call.request.batch.first].outcome for call in unsent if call.request.batch} <= {
        Outcome.NOT_ATTEMPTED
    }
    assert world.journal.flushes == 1


def test_a_defect_of_a_second_attempt_reaches_the_caller() -> None:
    world = World(flying(["503", "raise"]), rows=1, batch_rows=1)

    with pytest.raises(ZeroDivisionError):
        world.deliver()

    assert len(world.journal.calls) == 2


def test_a_defect_of_the_flight_reaches_the_caller() -> None:
    class Falling(FakeFlight):
        def arrived(self, wait_s: float) -> list[tuple[int, Reply | NoReply]]:
            raise ZeroDivisionError(wait_s)

        def close(self) -> None:
            closed.append(True)

    class Bad(Vendor):
        def flight(self, most: int) -> Flight | None:
            return Falling(self, most)

    closed: list[bool] = []

    with pytest.raises(ZeroDivisionError):
        World(Bad(routes=(ALONE,)), rows=1, batch_rows=1).deliver()

    assert closed == [True]


def test_a_defect_of_the_flight_waits_for_the_requests_that_are_tried_again() -> None:
    class Falling(FakeFlight):
        def arrived(self, wait_s: float) -> list[tuple[int, Reply | NoReply]]:
            if any(call.verdict == "try_again" for call in self.vendor.journal.calls.values()):
                raise ZeroDivisionError
            return super().arrived(wait_s)

    class Bad(Vendor):
        def flight(self, most: int) -> Flight | None:
            return Falling(self, most)

    world = World(Bad(routes=(ALONE,), script=["503"]), rows=1, batch_rows=1)
    world.clock.on_sleep = lambda: time.sleep(0.2)

    with pytest.raises(ZeroDivisionError):
        world.deliver()

    assert world.journal.by_row("track")[0].outcome is Outcome.NOT_ATTEMPTED


class FullJournal(MemoryJournal):
    """A journal whose disk is full after some calls."""

    room: int = 0

    def begin_all(self, requests: Sequence[Request]) -> list[int]:
        if len(self.calls) + len(requests) > self.room:
            raise StateError("the disk is full", slug="state-disk-full")
        return super().begin_all(requests)


@pytest.mark.parametrize("room", [0, 20])
def test_nothing_is_sent_without_an_intent_that_is_written_down(room: int) -> None:
    vendor = flying()
    journal = vendor.journal = FullJournal()
    journal.room = room
    world = World(vendor, batch_rows=1, policy=Policy(concurrency=4))

    with pytest.raises(StateError, match="the disk is full"):
        world.deliver()

    assert len(vendor.received) == len(journal.calls) <= room
    assert all(call.verdict == "judged" for call in journal.calls.values())


def test_a_fault_of_the_sync_stops_it_after_at_most_concurrency_requests() -> None:
    world = World(flying(["ok"] * 20, then="401"), batch_rows=1, policy=EIGHT)

    delivered = world.deliver()

    assert delivered.fault is not None
    assert delivered.fault.problem.slug == "key-refused"
    assert 20 < delivered.sent <= 28
    assert outcomes(delivered)["succeeded"] == 20


def test_a_count_that_is_wrong_reaches_the_caller() -> None:
    class Bad(FakeWork):
        def changes(self, first: int, stop: int) -> Mapping[Change, int]:
            raise ZeroDivisionError(first, stop)

    world = World(flying(), rows=10, batch_rows=1)
    world.work = Bad(10, (ALONE,), 1)

    with pytest.raises(ZeroDivisionError):
        world.deliver()
