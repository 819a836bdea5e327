"""Batches cut from rendered rows."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from hypothesis import given, settings
from hypothesis import strategies as st

from connector.ports import Change
from tests.core.ground import Ground, bodies, delete_route, route, table, values

if TYPE_CHECKING:
    from pathlib import Path

    import pyarrow as pa
    import pytest


def rows(count: int, start: int = 0) -> pa.Table:
    return values(*((f"k{at:05}", at) for at in range(start, start + count)))


def test_batches_hold_the_rows_in_order_and_their_ids(tmp_path: Path) -> None:
    ground = Ground(tmp_path, (route("custom", "v", rows=4),))
    with ground.open() as snapshot:
        work = ground.work(snapshot, ground.compare(snapshot, rows(10)))

        first = work.take({})
        rest = list(bodies(work))

    assert first is not None
    batch = first[0]
    assert (batch.first, batch.stop, len(batch)) == (0, 4, 4)
    assert batch.fragments.ids() == ["k00000", "k00001", "k00002", "k00003"]
    assert json.loads(f"[{batch.fragments.joined().decode()}]")[3] == {"visitorId": "k00003", "values": {"v": 3}}
    assert batch.part(1, 3).fragments.ids() == ["k00001", "k00002"]
    assert batch.part(1, 3).first == 1
    assert [len(json.loads(f"[{body}]")) for _, body in rest] == [4, 2]


def test_a_chunk_boundary_does_not_cut_a_batch(tmp_path: Path) -> None:
    ground = Ground(tmp_path, (route("custom", "v", rows=7_000),))
    with ground.open() as snapshot:
        work = ground.work(snapshot, ground.compare(snapshot, rows(50_000)))
        sizes = [len(json.loads(f"[{body}]")) for _, body in bodies(work)]

    assert sizes == [7_000] * 7 + [1_000]


def test_a_large_plan_with_rows_left_out_keeps_every_row_in_order(tmp_path: Path) -> None:
    ground = Ground(tmp_path, (route("custom", "v", rows=10_000),))
    model = table("SELECT 'k' || i AS id, i AS v FROM range(150000) t(i) UNION ALL SELECT NULL, 1")
    with ground.open() as snapshot:
        work = ground.work(snapshot, ground.compare(snapshot, model))
        found = [row["values"]["v"] for _, body in bodies(work) for row in json.loads(f"[{body}]")]

    assert found == list(range(150_000))


def test_added_and_changed_rows_share_a_batch_and_removed_ones_have_their_own(tmp_path: Path) -> None:
    ground = Ground(tmp_path, (route("custom", "v"), delete_route()))
    ground.run(rows(10))
    changed = values(*((f"k{at:05}", -1) for at in range(5)), *((f"n{at}", 1) for at in range(3)))
    with ground.open() as snapshot:
        work = ground.work(snapshot, ground.compare(snapshot, changed))
        taken = list(bodies(work))

        assert work.changes(0, 8) == {Change.ADDED: 3, Change.CHANGED: 5, Change.REMOVED: 0}
        assert work.changes(6, 10) == {Change.ADDED: 0, Change.CHANGED: 2, Change.REMOVED: 2}
    assert [name for name, _ in taken] == ["custom", "delete"]
    assert taken[1][1] == '"k00005","k00006","k00007","k00008","k00009"'


def test_a_lower_limit_and_a_total_limit_hold(tmp_path: Path) -> None:
    ground = Ground(tmp_path, (route("custom", "v", rows=10), route("agent", "v", rows=6)))
    with ground.open() as snapshot:
        work = ground.work(snapshot, ground.compare(snapshot, rows(20)), limit=9)

        sizes = []
        while (batches := work.take({"agent": 5})) is not None:
            sizes.append([len(batch) for batch in batches])

    assert sizes == [[5, 5], [4, 4]]


def test_rows_whose_batch_was_refused_come_after_everything_else(tmp_path: Path) -> None:
    ground = Ground(tmp_path, (route("custom", "v", rows=2), delete_route()))
    ground.run(
        values(("a", 1), ("b", 1), ("x", 1)), ("custom", 0, 2, "rejected", "no", "batch"), ("custom", 2, 3, "succeeded")
    )
    with ground.open() as snapshot:
        work = ground.work(snapshot, ground.compare(snapshot, values(("a", 1), ("b", 1), ("c", 1))))
        taken = []
        while (batches := work.take({})) is not None:
            taken.append(batches[0].fragments.ids())

    assert taken == [["c"], ["x"], ["a", "b"]]


@settings(max_examples=25, deadline=None)
@given(
    texts=st.lists(st.text(max_size=40), min_size=1, max_size=60),
    most=st.integers(1, 20),
    size=st.integers(60, 400),
)
def test_batches_lose_and_repeat_nothing_and_keep_both_limits(
    tmp_path_factory: pytest.TempPathFactory, texts: list[str], most: int, size: int
) -> None:
    ground = Ground(tmp_path_factory.mktemp("s"), (route("custom", "v", rows=most, size=size),))
    with ground.open() as snapshot:
        work = ground.work(
            snapshot, ground.compare(snapshot, values(*((f"k{at:03}", text) for at, text in enumerate(texts))))
        )
        found: list[Any] = []
        while (batches := work.take({})) is not None:
            body = b"[" + batches[0].fragments.joined() + b"]"
            found += json.loads(body)
            assert len(batches[0]) <= most
            assert len(body) <= size or len(batches[0]) == 1

    assert [row["values"]["v"] for row in found] == texts
