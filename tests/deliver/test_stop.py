from __future__ import annotations

import threading
import time
from dataclasses import replace

import pytest

from .world import AGENT, CUSTOM, EVENTS, ONE, Vendor, World, outcomes


@pytest.mark.parametrize("concurrency", [1, 4, 8])
@pytest.mark.parametrize("before", [0, 20])
def test_a_fault_of_the_sync_stops_it_after_at_most_concurrency_requests(concurrency: int, before: int) -> None:
    vendor = Vendor(script=["ok"] * before, then="401")
    world = World(vendor, batch_rows=10, policy=replace(ONE, concurrency=concurrency))

    delivered = world.deliver()

    assert delivered.fault is not None
    assert delivered.fault.problem.slug == "key-refused"
    assert delivered.fault.problem.message == "the key is gone"
    assert delivered.fault.problem.hint == "make a new one"
    assert before < delivered.sent <= before + concurrency
    counted = outcomes(delivered)
    assert counted.pop("succeeded", 0) == before * 10
    assert counted == {"not_attempted": (delivered.sent - before) * 10}


def test_a_fault_ends_a_search_for_bad_rows() -> None:
    world = World(Vendor(poison=frozenset({3}), script=["ok"] * 3, then="401"), rows=8)

    delivered = world.deliver()

    assert delivered.sent == 4
    assert outcomes(delivered) == {"succeeded": 4, "not_attempted": 4}


@pytest.mark.parametrize(
    ("first", "outcome"),
    [("503", {"not_attempted": 20}), ("lost before", {"in_doubt": 10, "not_attempted": 10})],
)
def test_a_fault_ends_the_waiting_of_the_other_workers(first: str, outcome: dict[str, int]) -> None:
    vendor = Vendor(routes=(EVENTS,), script=[first, "401"])
    world = World(vendor, batch_rows=10, policy=replace(ONE, concurrency=2))
    one_waits = threading.Event()

    def wait_for_the_fault() -> None:
        one_waits.set()
        while all(call.verdict != "fault" for call in world.journal.calls.values()):
            time.sleep(0.001)
        time.sleep(0.05)

    world.clock.on_sleep = wait_for_the_fault
    vendor.on_send = lambda vendor: vendor.received and one_waits.wait(5)

    delivered = world.deliver()

    assert delivered.fault is not None
    assert delivered.sent == 2
    assert outcomes(delivered) == outcome


@pytest.mark.parametrize("after", [0, 1, 5])
@pytest.mark.parametrize("concurrency", [1, 4])
def test_cancelling_lets_requests_in_flight_finish_and_takes_nothing_more(after: int, concurrency: int) -> None:
    vendor = Vendor()
    world = World(vendor, batch_rows=10, policy=replace(ONE, concurrency=concurrency))
    vendor.on_send = lambda vendor: world.stop.set() if len(vendor.received) >= after else None

    delivered = world.deliver()

    assert delivered.cancelled
    assert delivered.fault is None
    assert after < delivered.sent <= after + 2 * concurrency
    assert outcomes(delivered)["succeeded"] == delivered.sent * 10


def test_a_run_that_is_cancelled_before_it_begins_takes_nothing() -> None:
    world = World(Vendor())
    world.stop.set()

    delivered = world.deliver()

    assert (delivered.sent, world.work.at, delivered.cancelled) == (0, 0, True)


@pytest.mark.parametrize(
    ("script", "outcome"),
    [
        (["503"], "not_attempted"),
        (["429:200"], "not_attempted"),
        (["refused"], "not_attempted"),
        (["lost after"], "in_doubt"),
        (["lost before", "503"], "in_doubt"),
    ],
)
@pytest.mark.parametrize("route", [CUSTOM, EVENTS])
def test_cancelling_ends_a_wait(script: list[str], outcome: str, route: object) -> None:
    vendor = Vendor(routes=(route,), script=list(script), then="503")  # type: ignore[arg-type]
    world = World(vendor, rows=10)
    calls = len(script)
    world.clock.on_sleep = lambda: world.stop.set() if len(world.journal.calls) == calls else None

    delivered = world.deliver()

    assert outcomes(delivered) == {outcome: 10}
    assert delivered.sent == calls
    assert delivered.cancelled


def test_rows_whose_turn_never_came_are_not_attempted() -> None:
    world = World(Vendor(routes=(CUSTOM, AGENT)), rows=10)
    world.limiter.refuses_after = 1

    world.vendor.on_send = lambda _: world.stop.set()

    delivered = world.deliver()

    assert delivered.sent == 1
    assert outcomes(delivered) == {"not_attempted": 10}
    (agent,) = {each.reason for each in world.journal.by_row("agent").values()}
    assert agent == "the run ended before these rows were sent"


def test_a_turn_that_came_too_late_is_not_used() -> None:
    world = World(Vendor(), rows=10)
    acquire = world.limiter.acquired

    class Late(type(world.limiter)):  # type: ignore[misc]
        def acquire(self, route: object = None) -> bool:
            acquire.append(str(route))
            world.stop.set()
            return True

    world.limiter = Late()

    delivered = world.deliver()

    assert delivered.sent == 0
    assert outcomes(delivered) == {"not_attempted": 10}


def test_cancelling_ends_a_split_with_its_rows_for_the_next_run() -> None:
    vendor = Vendor(poison=frozenset({3}))
    world = World(vendor, rows=16)
    vendor.on_send = lambda vendor: world.stop.set() if len(vendor.received) == 2 else None

    delivered = world.deliver()

    assert delivered.sent == 3
    assert outcomes(delivered) == {"succeeded": 8, "not_attempted": 8}
