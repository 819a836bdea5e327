"""Both planners side by side: whatever happened before, they make the same plan, and leave the same behind."""

from __future__ import annotations

from dataclasses import replace
from itertools import chain
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from connector.ports import Cell, Members, ValueType
from tests.core.ground import MATCH, Ground, bodies, delete_route, event_route, route, values

if TYPE_CHECKING:
    from connector.plan import Plan
    from connector.plan.settle import Settlement

OWN_ID = Cell("match", "match", type=ValueType.ID, required=True)
KINDS: dict[str, dict[str, Any]] = {
    "objects": {"routes": (route("custom", "v", match=OWN_ID), replace(delete_route(), template=OWN_ID))},
    "objects on two routes": {"routes": (route("custom", "v"), route("agent", "v"))},
    "events": {"routes": (event_route(),), "events": True},
    "held events": {"routes": (event_route(),), "events": True, "hold": True, "skip_first": True},
}
_KEYS = st.one_of(st.none(), st.sampled_from("abcdef"))
_ROWS = st.lists(st.tuples(_KEYS, st.integers(0, 2), st.sampled_from("xyz")), max_size=10)
_FATES = st.lists(
    st.sampled_from(["succeeded", "rejected", "batch", "skipped", "in_doubt", "not_attempted"]), min_size=6, max_size=6
)
_ASKED = st.sampled_from([{}, {}, {}, {"full_resync": True}, {"key": "a"}])
_RUNS = st.lists(st.tuples(_ROWS, _FATES, _ASKED, st.booleans()), min_size=2, max_size=5)
Run = tuple[list[tuple[str | None, int, str]], list[str], dict[str, Any], bool]


def model_of(rows: list[tuple[str | None, int, str]]) -> pa.Table:
    columns = {"id": pa.string(), "v": pa.int64(), "match": pa.string()}
    return pa.table(
        {name: pa.array([row[at] for row in rows], kind) for at, (name, kind) in enumerate(columns.items())}
    )


def told(ground: Ground, run: Run) -> tuple[Plan, list[Any], list[Any], Settlement, list[Any]]:
    """One run: its plan, the plan's rows, its requests, its settlement, and the rows that are undelivered after it."""
    rows, fates, asked, stopped = run
    with ground.open() as snapshot:
        plan = ground.compare(snapshot, model_of(rows), **asked)
        planned = snapshot.connection.execute("SELECT * FROM state.plan ORDER BY n").fetchall()
        cut = list(bodies(ground.work(snapshot, plan)))
        ranges = [
            (one.name, n, n + 1, fate if fate != "batch" else "rejected", "why", "batch" if fate == "batch" else "row")
            for one in ground.routes
            for n, *_, outcome, _, _ in planned
            if outcome is None and (fate := fates[n % 6]) is not None
        ]
        settlement = ground.finish(snapshot, *((*each, at + 1, 1) for at, each in enumerate(ranges)), stopped=stopped)
        left = snapshot.connection.execute(
            "SELECT * EXCLUDE (fragment), fragment IS NULL FROM state.undelivered ORDER BY key"
        ).fetchall()
        left += snapshot.connection.execute("SELECT key, id, run_id FROM state.deleted ORDER BY key").fetchall()
    return plan, planned, cut, settlement, left


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("kind", KINDS)
def test_the_two_planners_plan_send_and_remember_the_same(tmp_path_factory: pytest.TempPathFactory, kind: str) -> None:
    # To find a smaller story takes longer than to read the one that was found.
    @settings(max_examples=12, deadline=None, phases=[Phase.explicit, Phase.reuse, Phase.generate])
    @given(_RUNS)
    def check(runs: list[Run]) -> None:
        folder = tmp_path_factory.mktemp("s")
        here = Ground(folder / "here", planner="local", **KINDS[kind])
        there = Ground(folder / "there", planner="warehouse", **KINDS[kind])
        there.folder.mkdir()
        for run in runs:
            one, other = told(here, run), told(there, run)
            assert replace(other[0], ready="") == replace(one[0], ready="")
            assert other[1:] == one[1:]

    check()


def test_only_rows_that_matter_leave_the_warehouse(tmp_path: Any) -> None:
    ground = Ground(tmp_path, (route("custom", "v"),), planner="warehouse")
    rows = [(f"k{at}", at) for at in range(1_000)]
    ground.run(values(*rows))
    rows[7] = ("k7", -1)
    del rows[500]
    with ground.open() as snapshot:
        plan = ground.compare(snapshot, values(*rows, ("twin", 1), ("twin", 1), (None, 1)))
        seen = snapshot.connection.execute("SELECT key FROM state.seen").fetchall()
        excerpt = snapshot.connection.execute("SELECT key FROM state.excerpt ORDER BY key").fetchall()

    assert (plan.counts.queried, plan.counts.unchanged) == (1_002, 998)
    assert (plan.counts.changed, plan.counts.removed) == (1, 1)
    assert (plan.counts.duplicate_key, plan.counts.null_key) == (2, 1)
    assert list(chain.from_iterable(excerpt)) == ["k500", "k7"]
    assert seen == [("k7",)]


def test_a_column_that_changes_and_means_the_same_is_unchanged_and_noted(tmp_path: Any) -> None:
    upper = Cell("fields.custom.v", sql="upper(v)")
    template = Members((("visitorId", MATCH), ("v", upper)))
    routes = (replace(route("custom"), template=template),)
    ground = Ground(tmp_path, routes, planner="warehouse")
    ground.run(values(("a", "x"), ("b", "y")))
    first, _ = ground.run(values(("a", "X"), ("b", "y")))
    with ground.open() as snapshot:
        again = ground.compare(snapshot, values(("a", "X"), ("b", "y")))
        seen = snapshot.one("SELECT count(*) FROM state.seen")

    assert (first.counts.unchanged, again.counts.unchanged) == (2, 2)
    assert seen == 0


def test_an_expression_that_looks_at_the_clock_is_computed_for_every_row(tmp_path: Any) -> None:
    age = Cell("fields.custom.v", sql="v + (epoch_ms(now()) * 0)::BIGINT", type=ValueType.INTEGER)
    template = Members((("visitorId", MATCH), ("v", age)))
    routes = (replace(route("custom"), template=template),)
    ground = Ground(tmp_path, routes, planner="warehouse")
    ground.run(values(("a", 1), ("b", 2)))
    with ground.open() as snapshot:
        plan = ground.compare(snapshot, values(("a", 1), ("b", 2)))
        seen = snapshot.one("SELECT count(*) FROM state.seen")

    assert (plan.counts.unchanged, seen) == (2, 2)


def test_unused_columns_do_not_matter(tmp_path: Any) -> None:
    ground = Ground(tmp_path, (route("custom", "v"),), planner="warehouse")
    ground.run(values(("a", 1, "monday"), columns="id, v, loaded"))
    with ground.open() as snapshot:
        plan = ground.compare(snapshot, values(("a", 1, "tuesday"), columns="id, v, loaded"))
        seen = snapshot.one("SELECT count(*) FROM state.seen")

    assert (plan.counts.unchanged, seen) == (1, 0)
