"""What holds whatever happens. `World.deliver` checks most of it: see `World.check`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from connector.deliver import Policy
from connector.ports import Outcome

from .world import AGENT, CUSTOM, EVENTS, Vendor, World, outcomes

if TYPE_CHECKING:
    from connector.ports import Route

EFFECTS = ["ok", "503", "429", "429:3", "429:1000", "503:20", "refused", "lost before", "lost after", "400", "401"]
CALM = settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])

rows = st.integers(1, 60)
some_rows = st.frozensets(st.integers(0, 59), max_size=60)
routes = st.sampled_from([(EVENTS,), (CUSTOM,), (CUSTOM, AGENT)])
policies = st.builds(
    Policy,
    concurrency=st.sampled_from([1, 1, 3]),
    split_retries=st.booleans(),
    in_doubt=st.sampled_from(["resend", "hold"]),
    attempts=st.integers(1, 4),
    sample_rows=st.integers(1, 8),
    max_refused_batches=st.integers(1, 4),
    max_split_requests=st.none() | st.integers(0, 30),
)


vendors = st.builds(
    Vendor,
    routes=routes,
    poison=some_rows,
    unknown=some_rows,
    named=st.booleans(),
    single_only=st.booleans(),
    auto=st.booleans(),
    most=st.none() | st.integers(0, 60),
    script=st.lists(st.sampled_from(EFFECTS), max_size=40),
    then=st.sampled_from(EFFECTS),
)
worlds = st.builds(World, vendor=vendors, rows=rows, batch_rows=st.integers(1, 60), policy=policies, alone=some_rows)


@CALM
@given(world=worlds, cancel_after=st.none() | st.integers(0, 40))
def test_whatever_happens_every_row_has_one_outcome_that_is_true(world: World, cancel_after: int | None) -> None:
    if cancel_after is not None:
        world.vendor.on_send = lambda vendor: world.stop.set() if len(vendor.received) >= cancel_after else None

    delivered = world.deliver()

    if delivered.fault is None and not delivered.cancelled:
        assert world.work.at == world.rows


@CALM
@given(
    rows=rows,
    batch_rows=st.integers(1, 60),
    routes=routes,
    poison=some_rows,
    named=st.booleans(),
    auto=st.booleans(),
    most=st.none() | st.integers(1, 60),
    concurrency=st.sampled_from([1, 3]),
)
def test_splitting_delivers_every_good_row_once_and_rejects_every_bad_one(
    rows: int,
    batch_rows: int,
    routes: tuple[Route, ...],
    poison: frozenset[int],
    named: bool,
    auto: bool,
    most: int | None,
    concurrency: int,
) -> None:
    vendor = Vendor(routes=routes, poison=poison, named=named, most=most, auto=auto)
    # With every row of a batch in the sample, none is rejected without having been refused alone.
    policy = Policy(concurrency=concurrency, sample_rows=60, max_refused_batches=1000)

    delivered = World(vendor, rows, batch_rows, policy).deliver()

    bad = len([row for row in poison if row < rows])
    assert outcomes(delivered) == {name: n for name, n in (("succeeded", rows - bad), ("rejected", bad)) if n}
    assert vendor.applied == {(route.name, row): 1 for route in routes for row in range(rows) if row not in poison}


@CALM
@given(
    rows=rows,
    batch_rows=st.integers(1, 60),
    script=st.lists(st.sampled_from(["503", "429:3", "refused", "lost before", "lost after"]), max_size=10),
    concurrency=st.sampled_from([1, 3]),
)
def test_events_that_are_held_are_never_applied_twice(
    rows: int, batch_rows: int, script: list[str], concurrency: int
) -> None:
    vendor = Vendor(routes=(EVENTS,), script=script)
    policy = Policy(concurrency=concurrency, in_doubt="hold", attempts=100, max_retry_s=10_000, max_refused_batches=99)

    delivered = World(vendor, rows, batch_rows, policy).deliver()

    assert all(times == 1 for times in vendor.applied.values())
    assert sum(delivered.tally[Outcome.IN_DOUBT].values()) == len(vendor.doubts)
    assert set(outcomes(delivered)) <= {"succeeded", "in_doubt"}


@CALM
@given(
    rows=rows,
    batch_rows=st.integers(1, 60),
    routes=routes,
    script=st.lists(st.sampled_from(["503", "429:3", "refused", "lost before", "lost after"]), max_size=20),
    concurrency=st.sampled_from([1, 3]),
)
def test_events_that_are_sent_again_and_objects_all_arrive(
    rows: int, batch_rows: int, routes: tuple[Route, ...], script: list[str], concurrency: int
) -> None:
    vendor = Vendor(routes=routes, script=script)
    policy = Policy(concurrency=concurrency, attempts=100, max_retry_s=10_000)

    delivered = World(vendor, rows, batch_rows, policy).deliver()

    assert outcomes(delivered) == {"succeeded": rows}
    assert set(vendor.applied) == {(route.name, row) for route in routes for row in range(rows)}
