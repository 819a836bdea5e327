from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest

from .world import CUSTOM, EVENTS, ONE, Vendor, World, outcomes

if TYPE_CHECKING:
    from connector.deliver import Policy
    from connector.ports import Route, Settled

HOLD = replace(ONE, in_doubt="hold")


def settled(world: World) -> Settled:
    """The only thing that was settled."""
    (only,) = world.journal.settled
    return only


@pytest.mark.parametrize(
    ("script", "sent"),
    [
        (["503"], 2),
        (["429"], 2),
        (["refused"], 2),
        (["503", "429", "refused"], 4),
        (["503"] * 4, 5),
    ],
)
@pytest.mark.parametrize("route", [CUSTOM, EVENTS])
@pytest.mark.parametrize("policy", [ONE, HOLD])
def test_what_is_transient_is_tried_again(script: list[str], sent: int, route: Route, policy: Policy) -> None:
    world = World(Vendor(routes=(route,), script=list(script)), rows=10, policy=policy)

    delivered = world.deliver()

    assert outcomes(delivered) == {"succeeded": 10}
    assert (delivered.sent, delivered.retried, delivered.split) == (sent, sent - 1, 0)
    assert settled(world).attempts == sent


@pytest.mark.parametrize("lost", ["lost before", "lost after"])
@pytest.mark.parametrize(
    ("route", "policy", "outcome", "sent"),
    [
        (CUSTOM, ONE, "succeeded", 2),
        (CUSTOM, HOLD, "succeeded", 2),
        (EVENTS, ONE, "succeeded", 2),
        (EVENTS, HOLD, "in_doubt", 1),
    ],
)
def test_an_unknown_outcome_is_sent_again_only_where_that_is_safe_or_wanted(
    lost: str, route: Route, policy: Policy, outcome: str, sent: int
) -> None:
    world = World(Vendor(routes=(route,), script=[lost]), rows=10, policy=policy)

    delivered = world.deliver()

    assert outcomes(delivered) == {outcome: 10}
    assert delivered.sent == sent
    assert delivered.fault is None


@pytest.mark.parametrize(
    ("script", "then", "outcome", "cause", "reason", "fault"),
    [
        ([], "503", "rejected", "transient", "503 (given up after 3 attempts)", None),
        ([], "429", "rejected", "transient", "429 (given up after 3 attempts)", None),
        (["503"], "refused", "rejected", "transient", "connection refused (given up after 3 attempts)", None),
        (
            [],
            "refused",
            "not_attempted",
            "transient",
            "connection refused (given up after 3 attempts)",
            "destination-unavailable",
        ),
        ([], "lost after", "in_doubt", None, "connection reset (given up after 3 attempts)", None),
        (["lost before"], "503", "in_doubt", None, "503 (given up after 3 attempts)", None),
        (["503", "503"], "lost before", "in_doubt", None, "connection reset (given up after 3 attempts)", None),
        (["lost before"], "401", "in_doubt", None, "the key is gone", "key-refused"),
        (["503"], "401", "not_attempted", None, "the key is gone", "key-refused"),
        (["lost before"], "400", "in_doubt", "row", "400", None),
        (["503"], "400", "rejected", "row", "400", None),
    ],
)
@pytest.mark.parametrize("route", [CUSTOM, EVENTS])
def test_rows_whose_attempts_are_used_up_say_what_and_how_often(
    script: list[str], then: str, outcome: str, cause: str | None, reason: str, fault: str | None, route: Route
) -> None:
    vendor = Vendor(routes=(route,), script=list(script), then=then)
    world = World(vendor, rows=1, policy=replace(ONE, attempts=3))

    delivered = world.deliver()

    only = settled(world)
    assert outcomes(delivered) == {outcome: 1}
    assert (only.outcome.value, only.cause, only.reason) == (outcome, cause, reason)
    assert (delivered.fault.problem.slug if delivered.fault else None) == fault


def test_each_attempt_is_a_call_whose_parent_is_the_one_before() -> None:
    world = World(Vendor(script=["503", "503"]), rows=1)

    world.deliver()

    calls = [(call.attempt, call.parent, call.verdict) for call in world.journal.calls.values()]
    assert calls == [(1, None, "try_again"), (2, 1, "try_again"), (3, 2, "judged")]
    assert len({id(call.request) for call in world.journal.calls.values()}) == 1


class Waits:
    """How long the clock slept before each request but the first."""

    def __init__(self, world: World) -> None:
        self._at: list[float] = []
        world.vendor.on_send = lambda _: self._at.append(world.clock.time_s)

    @property
    def seconds(self) -> list[float]:
        return [after - before for before, after in pairwise(self._at)]


def test_waits_grow_with_full_jitter_and_are_never_shorter_than_the_least_wait() -> None:
    least, most = [100.0] * 6, [0.0] * 6
    for rows in range(100):
        world = World(Vendor(then="503"), rows=1, policy=replace(ONE, attempts=7, max_wait_s=20, max_retry_s=1000))
        waits = Waits(world)
        world.random_seed = rows
        world.deliver()
        least = [min(pair) for pair in zip(least, waits.seconds, strict=True)]
        most = [max(pair) for pair in zip(most, waits.seconds, strict=True)]

    assert all(1.0 <= seconds < 2.5 for seconds in least)
    for seconds, ceiling in zip(most, [2, 4, 8, 16, 20, 20], strict=True):
        assert ceiling * 0.8 < seconds <= ceiling + 1e-6


@pytest.mark.parametrize(
    ("effect", "at_least", "at_most", "slowed"),
    [
        ("429:30", 30, 30, [30.0]),
        ("429:0", 1, 2, [0.0]),
        ("429", 1, 2, [None]),
        ("503:120", 120, 120, []),
        ("503:0.5", 1, 2, []),
    ],
)
def test_retry_after_is_honoured_where_it_is_longer(
    effect: str, at_least: float, at_most: float, slowed: list[float | None]
) -> None:
    world = World(Vendor(script=[effect]), rows=1)
    waits = Waits(world)

    world.deliver()

    assert at_least - 1e-6 <= waits.seconds[0] <= at_most + 1e-6
    assert world.limiter.slowed == slowed


@pytest.mark.parametrize("effect", ["429:301", "503:301"])
def test_a_retry_after_beyond_the_cap_ends_the_attempts_at_once_and_parks_nobody(effect: str) -> None:
    world = World(Vendor(then=effect), rows=1)

    delivered = world.deliver()

    assert outcomes(delivered) == {"rejected": 1}
    assert delivered.sent == 1
    assert world.clock.passed_s == 0
    assert world.limiter.slowed == ([None] if effect.startswith("429") else [])
    assert (settled(world).reason or "").endswith("(given up after 1 attempt)")


def test_no_attempt_starts_after_the_cap_in_time() -> None:
    world = World(Vendor(then="503:4"), rows=1, policy=replace(ONE, attempts=100, max_retry_s=10))

    delivered = world.deliver()

    assert delivered.sent == 3
    assert 8 <= world.clock.passed_s <= 10


def test_what_is_certain_is_durable_before_a_wait_and_a_doubt_stays_one() -> None:
    world = World(Vendor(script=["503", "lost before", "429"]), rows=1)
    seen: list[tuple[str | None, ...]] = []

    def look() -> None:
        verdicts = tuple(call.verdict for call in world.journal.calls.values())
        assert world.journal.flushes == len(verdicts)
        if verdicts not in seen:
            seen.append(verdicts)

    world.clock.on_sleep = look
    world.deliver()

    assert seen == [("try_again",), ("try_again", None), ("try_again", "unknown", None)]


@pytest.mark.parametrize(
    ("then", "slug", "outcome"),
    [
        ("503", "destination-unavailable", {"rejected": 30, "not_attempted": 970}),
        ("refused", "destination-unavailable", {"not_attempted": 1000}),
        ("lost before", "destination-unavailable", {"in_doubt": 30, "not_attempted": 970}),
    ],
)
def test_requests_given_up_in_a_row_stop_the_run(then: str, slug: str, outcome: dict[str, int]) -> None:
    world = World(Vendor(then=then), batch_rows=10, policy=replace(ONE, attempts=2))

    delivered = world.deliver()

    taken = world.work.at
    assert taken == 30
    assert delivered.fault is not None
    assert delivered.fault.problem.slug == slug
    assert "3 requests in a row" in delivered.fault.problem.message
    counted = outcomes(delivered)
    counted["not_attempted"] = counted.get("not_attempted", 0) + 1000 - taken
    assert counted == outcome


def test_something_accepted_in_between_starts_the_count_again() -> None:
    script = ["503"] * 4 + ["ok"]
    world = World(Vendor(script=script * 5), rows=150, batch_rows=10, policy=replace(ONE, attempts=2))

    delivered = world.deliver()

    assert delivered.fault is None
    assert outcomes(delivered) == {"rejected": 100, "succeeded": 50}


def test_a_connection_that_breaks_under_all_requests_in_flight_does_not_stop_a_run_that_holds() -> None:
    vendor = Vendor(routes=(EVENTS,), script=["lost after"] * 10)

    delivered = World(vendor, batch_rows=10, policy=replace(HOLD, concurrency=8)).deliver()

    assert delivered.fault is None
    assert outcomes(delivered) == {"in_doubt": 100, "succeeded": 900}


def test_a_run_that_holds_stops_before_everything_is_in_doubt() -> None:
    vendor = Vendor(routes=(EVENTS,), then="lost before")

    delivered = World(vendor, batch_rows=10, policy=replace(HOLD, concurrency=8)).deliver()

    assert delivered.fault is not None
    assert delivered.fault.problem.slug == "destination-unavailable"
    assert 110 <= outcomes(delivered)["in_doubt"] <= 180
