from __future__ import annotations

import signal
import time
from typing import TYPE_CHECKING

import pytest

from connector.deliver import Policy
from connector.errors import StateError
from connector.ports import Batch, Change, NoReply, Outcome

from .world import AGENT, CUSTOM, EVENTS, FakeWork, MemoryJournal, Vendor, World, outcomes

if TYPE_CHECKING:
    from collections.abc import Mapping

    from connector.ports import Request, Route


@pytest.mark.parametrize("concurrency", [1, 8])
@pytest.mark.parametrize("routes", [(EVENTS,), (CUSTOM,), (CUSTOM, AGENT)])
def test_every_row_of_a_healthy_run_succeeds(routes: tuple[Route, ...], concurrency: int) -> None:
    world = World(Vendor(routes=routes), rows=1050, batch_rows=100, policy=Policy(concurrency=concurrency))

    delivered = world.deliver()

    assert outcomes(delivered) == {"succeeded": 1050}
    assert delivered.tally[Outcome.SUCCEEDED] == world.work.changes(0, 1050)
    assert (delivered.sent, delivered.retried, delivered.split) == (11 * len(routes), 0, 0)
    assert (delivered.fault, delivered.cancelled, delivered.learned) == (None, False, {})
    assert world.limiter.well == delivered.sent


def test_a_run_without_rows_sends_nothing() -> None:
    delivered = World(Vendor(), rows=0).deliver()

    assert delivered.sent == 0
    assert delivered.tally == {outcome: dict.fromkeys(Change, 0) for outcome in Outcome}


def test_rows_that_the_reply_names_as_missing_are_skipped_and_the_others_succeed() -> None:
    world = World(Vendor(unknown=frozenset({0, 3, 4, 9})), rows=10)

    delivered = world.deliver()

    assert outcomes(delivered) == {"succeeded": 6, "skipped": 4}
    ranges = [(each.first, each.stop, each.outcome.value, each.reason) for each in world.journal.settled]
    assert ranges == [
        (0, 1, "skipped", "not found"),
        (1, 3, "succeeded", None),
        (3, 5, "skipped", "not found"),
        (5, 9, "succeeded", None),
        (9, 10, "skipped", "not found"),
    ]


def test_a_row_gets_the_worst_outcome_of_its_routes() -> None:
    vendor = Vendor(routes=(CUSTOM, AGENT), script=["ok", "400"])
    world = World(vendor, rows=1)

    delivered = world.deliver()

    assert outcomes(delivered) == {"rejected": 1}
    assert world.journal.by_row("custom")[0].outcome is Outcome.SUCCEEDED
    assert world.journal.by_row("agent")[0].outcome is Outcome.REJECTED


def test_the_second_route_is_still_sent_when_the_first_refused_a_row() -> None:
    world = World(Vendor(routes=(CUSTOM, AGENT), script=["400"]), rows=1)

    world.deliver()

    assert [route for route, _ in world.vendor.received] == ["custom", "agent"]


def test_the_limiter_is_asked_before_each_request_for_its_route() -> None:
    world = World(Vendor(routes=(CUSTOM, AGENT)), rows=20, batch_rows=10)

    world.deliver()

    assert world.limiter.acquired == ["custom", "agent", "custom", "agent"]


@pytest.mark.parametrize("concurrency", [1, 4])
@pytest.mark.parametrize("call", [0, 3])
def test_a_defect_ends_the_run_and_is_raised_again_with_its_call_logged(call: int, concurrency: int) -> None:
    vendor = Vendor(script=["ok"] * call + ["raise"])
    world = World(vendor, rows=1000, batch_rows=10, policy=Policy(concurrency=concurrency))

    with pytest.raises(ZeroDivisionError):
        world.deliver()

    broken = [each for each in world.journal.calls.values() if each.verdict is None]
    assert len(broken) == 1
    assert broken[0].answer == NoReply("ZeroDivisionError in the connector", maybe_applied=True, ms=0.0)
    assert len(world.journal.calls) < 100
    assert world.journal.flushes == 1


def test_a_defect_in_a_second_attempt_is_not_taken_for_another_retry() -> None:
    world = World(Vendor(script=["503", "raise"]), rows=1)

    with pytest.raises(ZeroDivisionError):
        world.deliver()

    assert len(world.journal.calls) == 2


class FullJournal(MemoryJournal):
    """A journal whose disk is full after some calls."""

    room: int = 0

    def begin(self, request: Request, *, attempt: int, parent: int | None = None) -> int:
        if len(self.calls) >= self.room:
            raise StateError("the disk is full", slug="state-disk-full")
        return super().begin(request, attempt=attempt, parent=parent)


@pytest.mark.parametrize("room", [0, 5])
def test_nothing_is_sent_without_an_intent_that_is_written_down(room: int) -> None:
    journal = FullJournal()
    journal.room = room
    world = World(Vendor(journal=journal), batch_rows=10, policy=Policy(concurrency=4))

    with pytest.raises(StateError, match="the disk is full"):
        world.deliver()

    assert len(world.vendor.received) == room
    assert all(call.verdict == "judged" for call in journal.calls.values())


def test_a_defect_of_the_work_reaches_the_caller() -> None:
    world = World(Vendor())
    world.work.alone = None  # type: ignore[assignment]

    with pytest.raises(TypeError):
        world.deliver()


def test_an_interrupted_caller_ends_the_run() -> None:
    world = World(Vendor())
    began: list[int] = []

    class Interrupted(FakeWork):
        def take(self, max_rows: Mapping[str, int]) -> tuple[Batch, ...] | None:
            began.append(1)
            signal.raise_signal(signal.SIGINT)
            time.sleep(0.01)
            return super().take(max_rows)

    world.work = Interrupted(1_000_000, (CUSTOM,), 1)

    with pytest.raises(KeyboardInterrupt):
        world.deliver()

    assert len(began) < 1000
