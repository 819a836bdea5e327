"""Short cuts that large runs take: each must come to what the long way comes to."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from connector.ports import Change, Outcome
from connector.run.timings import Timings
from connector.state.snapshot import snapshot_path
from tests.core.ground import Ground, delete_route, event_route, route, table, values
from tests.state.fake_clock import FakeClock

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("before", "now", "expected"),
    [
        ([("a", 1), ("b", 2)], [("b", 2), ("a", 1)], {"unchanged": 2}),
        ([("a", 1), ("b", 2)], [("a", 1), ("c", 2)], {"unchanged": 1, "added": 1, "removed": 1}),
        ([("a", 1), ("b", 2)], [("a", 1), ("a", 1)], {"duplicate_key": 2, "removed": 1}),
        ([("a", 1), ("b", 2)], [("a", 1), (None, 2)], {"unchanged": 1, "null_key": 1, "removed": 1}),
        ([("a", 1), ("b", 2)], [("a", 1), ("b", 3)], {"unchanged": 1, "changed": 1}),
        ([("a", 1), ("b", None)], [("a", 1), ("b", 0)], {"unchanged": 1, "changed": 1}),
    ],
)
def test_as_many_rows_as_before_are_unchanged_only_when_each_is(
    tmp_path: Path,
    before: list[tuple[str, int | None]],
    now: list[tuple[str | None, int]],
    expected: dict[str, int],
) -> None:
    ground = Ground(tmp_path, (route("custom", "v"), delete_route()))
    ground.run(values(*before))
    plan, _ = ground.run(values(*now))

    found = {name: getattr(plan.counts, name) for name in plan.counts.__slots__ if getattr(plan.counts, name)}
    removed = expected.get("removed", 0)
    assert found == {"queried": 2} | {name: count for name, count in expected.items() if count}
    assert plan.counts.planned[Change.REMOVED] == removed


@pytest.mark.parametrize(
    ("one", "other"), [("''", "NULL"), ("'a'", "'A'"), ("' a'", "'a'"), ("chr(1)", "NULL"), ("chr(1)", "''")]
)
def test_texts_that_differ_have_different_fingerprints(tmp_path: Path, one: str, other: str) -> None:
    ground = Ground(tmp_path, (route("custom", "v"),))
    ground.run(table(f"SELECT 'k' AS id, {one}::VARCHAR AS v"))
    plan, _ = ground.run(table(f"SELECT 'k' AS id, {other}::VARCHAR AS v"))

    assert plan.counts.changed == 1


def test_a_value_that_moves_to_another_field_is_a_change(tmp_path: Path) -> None:
    ground = Ground(tmp_path, (route("custom", "v", "w"),))
    ground.run(table("SELECT 'k' AS id, 'x' AS v, NULL::VARCHAR AS w"))
    plan, _ = ground.run(table("SELECT 'k' AS id, NULL::VARCHAR AS v, 'x' AS w"))

    assert plan.counts.changed == 1


def test_rows_are_offered_again_when_the_form_of_their_json_changes(tmp_path: Path) -> None:
    rows = table("SELECT 'k' AS id, 1 AS v")
    ground = Ground(tmp_path, (route("custom", "v"),))
    ground.run(rows)
    ground.routes = (route("custom", "w"),)
    plan, _ = ground.run(table("SELECT 'k' AS id, 1 AS w"))

    assert plan.counts.changed == 1


def test_a_large_plan_leaves_no_large_file_behind(tmp_path: Path) -> None:
    rows = table("SELECT 'k' || i AS id, repeat(md5(i::VARCHAR), 8) AS v FROM range(200000) t(i)")
    ground = Ground(tmp_path, (event_route(),), events=True)
    with ground.open() as snapshot:
        ground.compare(snapshot, rows)
        snapshot.connection.execute("CHECKPOINT state")
        during = snapshot_path(tmp_path, "s").stat().st_size
        settlement = ground.succeed(snapshot)
    after = snapshot_path(tmp_path, "s").stat().st_size
    plan, _ = ground.run(rows)

    assert settlement.outcomes[Outcome.SUCCEEDED][Change.ADDED] == 200_000
    assert after < during / 3
    assert plan.counts.unchanged == 200_000


def test_time_is_counted_by_step_and_reading_not_twice() -> None:
    clock = FakeClock()
    timings = Timings(clock.monotonic)
    rows = values(("a", 1), ("b", 2)).to_reader()
    with timings.of("stage"), timings.reading(rows) as timed:
        clock.ticks += 2
        total = sum(batch.num_rows for batch in timed)
    timings.add("send", 0.5)
    timings.add("send", 0.25)

    assert total == 2
    assert timings.seconds == {"read": 0.0, "stage": 2.0, "send": 0.75}
