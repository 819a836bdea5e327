from __future__ import annotations

import threading
import time
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from connector.ports import Judged, ProbeAnswer, Refused, Unknown

from .world import EVENTS, ONE, Vendor, World, outcomes

if TYPE_CHECKING:
    from collections.abc import Generator

    from connector.deliver import Policy
    from connector.ports import Batch, Request, Verdict


def auto(**rules: object) -> Vendor:
    """A vendor whose destination does not know yet whether it takes arrays."""
    return Vendor(routes=(EVENTS,), auto=True, **rules)  # type: ignore[arg-type]


@pytest.mark.parametrize("concurrency", [1, 8])
@pytest.mark.parametrize("batch_rows", [100, 1000])
@pytest.mark.parametrize("split_retries", [True, False])
def test_2000_events_cost_at_most_2030_requests_where_arrays_are_not_taken(
    concurrency: int, batch_rows: int, split_retries: bool
) -> None:
    vendor = auto(single_only=True)
    policy = replace(ONE, concurrency=concurrency, split_retries=split_retries)
    world = World(vendor, rows=2000, batch_rows=batch_rows, policy=policy)

    delivered = world.deliver()

    assert outcomes(delivered) == {"succeeded": 2000}
    assert delivered.sent <= 2030
    assert vendor.probes == 1
    assert delivered.learned == {"batching": "single"}
    assert world.work.asked[-1] == {"track": 1}
    assert max(vendor.applied.values()) == 1


def test_what_was_learned_before_is_used_from_the_first_request_on() -> None:
    vendor = auto(single_only=True, form="single")

    delivered = World(vendor, rows=50).deliver()

    assert (delivered.sent, delivered.split, delivered.learned) == (50, 0, {})


@pytest.mark.parametrize("bad", [0, 1, 500, 999])
@pytest.mark.parametrize("concurrency", [1, 4])
def test_a_bad_row_where_arrays_are_taken_costs_one_probe(bad: int, concurrency: int) -> None:
    vendor = auto(poison=frozenset({bad}))
    world = World(vendor, policy=replace(ONE, concurrency=concurrency))

    delivered = world.deliver()

    assert outcomes(delivered) == {"succeeded": 999, "rejected": 1}
    assert delivered.sent <= 22
    assert delivered.learned == {"batching": "array"}
    assert world.work.asked[-1] == {}


def test_a_bad_first_row_does_not_hide_that_arrays_are_not_taken() -> None:
    vendor = auto(single_only=True, poison=frozenset({0, 1}))

    delivered = World(vendor, rows=100).deliver()

    assert outcomes(delivered) == {"succeeded": 98, "rejected": 2}
    assert delivered.learned == {"batching": "single"}
    assert vendor.probes == 3


def test_a_batch_of_bad_rows_is_not_probed_for_ever() -> None:
    vendor = auto(poison=frozenset(range(1000)))

    delivered = World(vendor).deliver()

    assert outcomes(delivered) == {"rejected": 1000}
    assert vendor.probes == 3
    assert delivered.sent == 1 + 3 * 2 + 2 + 8
    assert delivered.learned == {}


def test_probing_may_leave_a_single_row() -> None:
    vendor = auto(poison=frozenset({0}), single_only=False)

    delivered = World(vendor, rows=2).deliver()

    assert outcomes(delivered) == {"succeeded": 1, "rejected": 1}


def test_without_split_retries_what_the_probe_did_not_settle_is_rejected() -> None:
    vendor = auto(poison=frozenset({5}))
    world = World(vendor, rows=10, policy=replace(ONE, split_retries=False))

    delivered = world.deliver()

    assert outcomes(delivered) == {"succeeded": 1, "rejected": 9}
    assert delivered.sent == 2


@pytest.mark.parametrize(
    ("script", "policy", "outcome"),
    [
        (["ok", "401"], ONE, {"not_attempted": 100}),
        (["ok", *["503"] * 5], ONE, {"succeeded": 99, "rejected": 1}),
        (["ok", "503", "429", "lost after"], ONE, {"succeeded": 100}),
        (["ok", "lost after"], replace(ONE, in_doubt="hold"), {"succeeded": 99, "in_doubt": 1}),
        (["ok", "ok", "lost after"], replace(ONE, in_doubt="hold"), {"succeeded": 99, "in_doubt": 1}),
    ],
)
def test_a_probe_that_gets_no_verdict_settles_its_row_and_the_next_refusal_asks_again(
    script: list[str], policy: Policy, outcome: dict[str, int]
) -> None:
    vendor = auto(single_only=True, script=script)

    delivered = World(vendor, rows=100, policy=policy).deliver()

    assert outcomes(delivered) == outcome


class Odd(Vendor):
    """A vendor whose destination probes in its own way."""

    answer = ProbeAnswer(Judged())
    calls = 1

    def _probe(self, row: Batch) -> Generator[Request, Verdict, ProbeAnswer]:
        self.probes += 1
        for _ in range(self.calls):
            yield self._request(row, as_object=False, purpose="probe")
        return self.answer


def test_a_probe_that_makes_no_call_changes_nothing() -> None:
    vendor = Odd(auto=True, poison=frozenset({5}))
    vendor.calls = 0

    delivered = World(vendor, rows=10).deliver()

    assert outcomes(delivered) == {"succeeded": 9, "rejected": 1}
    assert delivered.sent <= 9


def test_the_reply_counts_where_the_probe_has_no_verdict_on_its_row() -> None:
    vendor = Odd(auto=True, poison=frozenset({5}))
    vendor.answer = ProbeAnswer(Unknown("who knows"), {"batching": "array"})

    delivered = World(vendor, rows=10).deliver()

    assert outcomes(delivered) == {"succeeded": 9, "rejected": 1}
    assert delivered.learned == {"batching": "array"}


def test_the_verdict_of_the_probe_may_say_more_than_the_last_reply() -> None:
    vendor = Odd(auto=True, poison=frozenset({0}))
    vendor.answer = ProbeAnswer(Refused("neither as an array nor as an object"), {"batching": "array"})
    world = World(vendor, rows=10)

    delivered = world.deliver()

    assert outcomes(delivered) == {"succeeded": 9, "rejected": 1}
    assert world.journal.by_row("custom")[0].reason == "neither as an array nor as an object"


@pytest.mark.parametrize("at", [1, 2])
def test_a_run_that_is_cancelled_while_it_probes_leaves_the_row_for_the_next_one(at: int) -> None:
    vendor = auto(single_only=True)
    world = World(vendor, rows=10)
    vendor.on_send = lambda vendor: world.stop.set() if len(vendor.received) == at else None

    delivered = world.deliver()

    assert outcomes(delivered) == ({"not_attempted": 10} if at == 1 else {"succeeded": 1, "not_attempted": 9})
    assert delivered.cancelled


def test_workers_wait_for_a_probe_and_stop_waiting_when_the_run_ends() -> None:
    vendor = auto(single_only=True)
    world = World(vendor, rows=800, batch_rows=100, policy=replace(ONE, concurrency=8))

    def look(_: Vendor) -> None:
        probing = {call.thread for call in list(world.journal.calls.values()) if call.request.purpose == "probe"}
        if threading.get_ident() in probing:
            time.sleep(0.2)  # the others wait in real time
            world.stop.set()
            time.sleep(0.2)

    vendor.on_send = look

    delivered = world.deliver()

    assert delivered.cancelled
    assert vendor.probes == 1
    assert delivered.sent <= 9
