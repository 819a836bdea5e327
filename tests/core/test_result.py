"""The journal's ranges laid over the plan: each row gets the outcome of the range that it is in."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING, Any

import duckdb
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from connector.ports import Change, Outcome
from tests.core.ground import Ground, event_route, tally, values

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

ROWS = 300
KNOWN = (Outcome.SUCCEEDED, Outcome.SKIPPED, Outcome.IN_DOUBT, Outcome.REJECTED)


def written(ground: Ground) -> list[tuple[int, str, int | None]]:
    path = ground.folder / "rows" / f"run-{ground.runs}.parquet"
    with closing(duckdb.connect(":memory:")) as connection:
        return connection.execute(f"SELECT n, outcome, call_id FROM read_parquet('{path}') ORDER BY n").fetchall()


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    sizes=st.lists(st.one_of(st.integers(1, 3), st.integers(50, 120)), max_size=20),
    outcomes=st.lists(st.sampled_from(KNOWN), min_size=20, max_size=20),
    gaps=st.lists(st.sampled_from([0, 0, 0, 5]), min_size=20, max_size=20),
)
def test_a_row_has_the_outcome_and_the_call_of_its_range(
    tmp_path_factory: pytest.TempPathFactory, sizes: list[int], outcomes: list[Outcome], gaps: list[int]
) -> None:
    ranges: list[tuple[Any, ...]] = []
    expected: list[tuple[str, int | None]] = [(Outcome.NOT_ATTEMPTED.value, None)] * ROWS
    first = 0
    for call, (size, outcome, gap) in enumerate(zip(sizes, outcomes, gaps, strict=False), 1):
        first += gap
        stop = min(first + size, ROWS)
        if first >= stop:
            break
        ranges.append(("track", first, stop, outcome.value, None, None, call, 1))
        expected[first:stop] = [(outcome.value, call)] * (stop - first)
        first = stop
    ground = Ground(tmp_path_factory.mktemp("ground"), (event_route(),), events=True)
    with ground.open() as snapshot:
        ground.compare(snapshot, values(*((f"k{at}", at) for at in range(ROWS))))
        settlement = ground.finish(snapshot, *ranges)

    assert [row[1:] for row in written(ground)] == expected
    counted = {outcome: sum(name == outcome for name, _ in expected) for outcome in Outcome}
    assert {outcome: settlement.outcomes[outcome][Change.ADDED] for outcome in Outcome} == counted


def test_a_later_range_cuts_an_earlier_one_short_and_a_later_call_wins(tmp_path: Path) -> None:
    ground = Ground(tmp_path, (event_route(),), events=True)
    with ground.open() as snapshot:
        ground.compare(snapshot, values(*((f"k{at}", at) for at in range(10))))
        settlement = ground.finish(
            snapshot,
            ("track", 0, 10, None, None, None, 1, 1),
            ("track", 5, 10, "succeeded", None, None, 2, 1),
            ("track", 0, 5, "succeeded", None, None, 3, 2),
        )

    assert tally(settlement) == {"succeeded": {"added": 10}}
    assert [call for _, _, call in written(ground)] == [3] * 5 + [2] * 5


def test_a_twin_in_the_place_of_a_missing_row_is_no_unchanged_model(tmp_path: Path) -> None:
    ground = Ground(tmp_path, (event_route(),), events=True)
    ground.run(values(("a", 1), ("b", 1)))
    plan, _ = ground.run(values(("a", 1), ("a", 1)))

    assert (plan.counts.queried, plan.counts.duplicate_key, plan.counts.unchanged) == (2, 2, 0)
