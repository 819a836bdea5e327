"""The comparison with the snapshot, the plan, and what settling leaves behind."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import duckdb
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connector.actions.rows import read_rows
from connector.errors import SourceError
from connector.plan import Counts
from connector.ports import Cell, Change, Members, Route, ValueType
from connector.state.snapshot import view_snapshot
from tests.core.ground import (
    NOW_MS,
    REMOVALS,
    Ground,
    bodies,
    delete_route,
    event_route,
    planning,
    route,
    tally,
    values,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def counted(counts: Counts) -> dict[str, int]:
    return {name: getattr(counts, name) for name in Counts.__slots__ if getattr(counts, name)}


@pytest.fixture(params=["local", "warehouse"], autouse=True)
def planner(request: pytest.FixtureRequest) -> Iterator[str]:
    """Whatever is said here holds for both planners."""
    if request.param == "warehouse" and getattr(request.function, "is_hypothesis_test", False):
        pytest.skip("tests/core/test_planners.py has the two planners side by side")
    with planning(request.param) as chosen:
        yield chosen


@pytest.fixture
def ground(tmp_path: Path) -> Ground:
    return Ground(tmp_path, (route("custom", "v"),))


@pytest.fixture
def events(tmp_path: Path) -> Ground:
    return Ground(tmp_path, (event_route(),), events=True)


@pytest.mark.parametrize(
    ("before", "now", "expected"),
    [
        ([], [("a", 1)], {"queried": 1, "added": 1}),
        ([("a", 1)], [("a", 1)], {"queried": 1, "unchanged": 1}),
        ([("a", 1)], [("a", 2)], {"queried": 1, "changed": 1}),
        ([("a", 1)], [("b", 1)], {"queried": 1, "added": 1, "removed": 1}),
        ([("a", 1)], [(None, 1), ("a", 1)], {"queried": 2, "null_key": 1, "unchanged": 1}),
        ([], [("a", 1), ("a", 2), ("b", 1)], {"queried": 3, "duplicate_key": 2, "added": 1}),
        ([("a", 1)], [("a", 1), ("a", 2)], {"queried": 2, "duplicate_key": 2}),
        ([("a", None)], [("a", 1)], {"queried": 1, "changed": 1}),
    ],
)
def test_a_row_is_compared_with_what_was_accepted(
    ground: Ground, before: list[Any], now: list[Any], expected: dict[str, int]
) -> None:
    if before:
        ground.run(values(*before))

    plan, _ = ground.run(values(*now))

    assert counted(plan.counts) == expected


def test_the_second_run_of_the_same_rows_plans_nothing(ground: Ground) -> None:
    rows = values(*((f"k{at}", at) for at in range(50)))
    ground.run(rows)

    plan, settlement = ground.run(rows)

    assert counted(plan.counts) == {"queried": 50, "unchanged": 50}
    assert plan.spans == ()
    assert tally(settlement) == {}


def test_a_rejected_row_is_offered_again_alone_and_a_changed_one_among_the_others(ground: Ground) -> None:
    rows = values(("a", 1), ("b", 2), ("c", 3))
    ground.run(rows, ("custom", 0, 1, "succeeded"), ("custom", 1, 3, "rejected", "no", "row", 7, 1))

    with ground.open() as snapshot:
        plan = ground.compare(snapshot, values(("a", 1), ("b", 2), ("c", 4)))
        cut = list(bodies(ground.work(snapshot, plan)))

    assert counted(plan.counts) == {"queried": 3, "unchanged": 1, "added": 2}
    assert [span.lane for span in plan.spans] == ["send", "alone"]
    assert len(cut) == 2


@pytest.mark.parametrize(
    ("outcome", "cause", "lanes"),
    [
        ("rejected", "batch", ["late"]),
        ("rejected", "transient", ["send"]),
        ("skipped", None, ["send"]),
        ("not_attempted", None, ["send"]),
        ("in_doubt", None, ["send"]),
        ("rejected", "row", ["alone"]),
    ],
)
def test_a_row_that_did_not_arrive_is_offered_by_the_next_run(
    ground: Ground, outcome: str, cause: str | None, lanes: list[str]
) -> None:
    ground.run(values(("a", 1)), ("custom", 0, 1, outcome, "why", cause, 1, 1))

    plan, settlement = ground.run(values(("a", 1)))

    assert [span.lane for span in plan.spans] == lanes
    assert tally(settlement) == {"succeeded": {"added": 1}}


def test_a_row_without_any_range_was_not_attempted_and_an_intent_is_in_doubt(ground: Ground) -> None:
    _, settlement = ground.run(
        values(("a", 1), ("b", 1), ("c", 1)), ("custom", 0, 1, "succeeded"), ("custom", 1, 2, None)
    )

    assert tally(settlement) == {"succeeded": {"added": 1}, "not_attempted": {"added": 1}, "in_doubt": {"added": 1}}


@pytest.mark.parametrize("outcome", ["in_doubt", "rejected"])
def test_a_changed_row_that_may_have_arrived_is_sent_even_when_it_goes_back(ground: Ground, outcome: str) -> None:
    ground.run(values(("a", "old")))
    ground.run(values(("a", "new")), ("custom", 0, 1, outcome, "no", None, 1, 1))

    plan, _ = ground.run(values(("a", "old")))

    assert counted(plan.counts) == {"queried": 1, "changed": 1}


def test_an_added_row_in_doubt_that_leaves_the_model_is_removed(tmp_path: Path) -> None:
    ground = Ground(tmp_path, (route("custom", "v"), delete_route()))
    ground.run(values(("a", 1), ("b", 1)), ("custom", 0, 1, None), ("custom", 1, 2, "succeeded"))

    plan, _ = ground.run(values(("b", 1)))

    assert counted(plan.counts) == {"queried": 1, "unchanged": 1, "removed": 1}


def test_a_row_on_two_routes_gets_its_worst_outcome(tmp_path: Path) -> None:
    ground = Ground(tmp_path, (route("custom", "v"), route("agent", "v")))

    _, settlement = ground.run(
        values(("a", 1), ("b", 1), ("c", 1), ("d", 1)),
        ("custom", 0, 4, "succeeded"),
        ("agent", 0, 1, "succeeded"),
        ("agent", 1, 2, "skipped", "not found", None, 9, 1),
        ("agent", 2, 3, "rejected", "bad", "row", 8, 1),
    )

    assert tally(settlement) == {
        "succeeded": {"added": 1},
        "skipped": {"added": 1},
        "rejected": {"added": 1},
        "not_attempted": {"added": 1},
    }


@pytest.mark.parametrize(
    ("removal", "outcome", "left"),
    [
        (None, None, 0),
        ("delete", "succeeded", 0),
        ("delete", "skipped", 0),
        ("delete", "rejected", 1),
        ("delete", None, 1),
    ],
)
def test_a_removed_row_leaves_the_snapshot_only_when_its_removal_is_done(
    tmp_path: Path, removal: str | None, outcome: str | None, left: int
) -> None:
    routes = (route("custom", "v"), *((delete_route(),) if removal else ()))
    ground = Ground(tmp_path, routes)
    ground.run(values(("a", 1), ("b", 1)))

    ranges = [("delete", 0, 1, outcome, None, None, 1, 1)] if removal else [("custom", 0, 0, "succeeded")]
    plan, _ = ground.run(values(("a", 1)), *ranges)
    after, _ = ground.run(values(("a", 1)))

    assert plan.counts.removed == 1
    assert after.counts.removed == left


def test_a_deleted_id_that_comes_back_is_rejected_with_what_to_do(tmp_path: Path) -> None:
    ground = Ground(tmp_path, (route("custom", "v"), delete_route()))
    ground.run(values(("a", 1), ("b", 1)))
    ground.run(values(("a", 1)))

    _, settlement = ground.run(values(("a", 1), ("b", 1)))

    assert tally(settlement) == {"rejected": {"added": 1}}
    with duckdb.connect(":memory:") as connection:
        path = str(tmp_path / "rows" / "run-3.parquet")
        reason = connection.execute("SELECT reason FROM read_parquet(?)", [path]).fetchall()[0][0]
    assert "donotprocess" in reason
    assert "connector release" in reason


def test_the_removed_row_goes_by_the_id_it_was_sent_with(tmp_path: Path) -> None:
    match = Cell("match", "who", type=ValueType.ID, required=True)
    delete = route("delete", changes=REMOVALS, match=match)
    ground = Ground(tmp_path, (route("custom", "v", match=match), delete))
    ground.run(values((1, "visitor-1", "x"), (2, "visitor-2", "x"), columns="id, who, v"))

    with ground.open() as snapshot:
        plan = ground.compare(snapshot, values((1, "visitor-1", "x"), columns="id, who, v"))
        cut = list(bodies(ground.work(snapshot, plan)))

    assert cut == [("delete", '{"visitorId":"visitor-2","values":{}}')]


def test_two_rows_with_one_id_are_both_rejected(tmp_path: Path) -> None:
    match = Cell("match", "who", type=ValueType.ID, required=True)
    ground = Ground(tmp_path, (route("custom", "v", match=match),))

    _, settlement = ground.run(
        values((1, "same", "x"), (2, "same", "y"), (3, "other", "z"), columns="id, who, v"),
        ("custom", 0, 1, "succeeded"),
    )

    assert tally(settlement) == {"succeeded": {"added": 1}, "rejected": {"added": 2}}


def test_a_value_that_cannot_be_cast_never_travels(tmp_path: Path) -> None:
    ground = Ground(tmp_path, (route("custom", "v"),))

    plan, settlement = ground.run(pa.table({"id": ["a", "b"], "v": [1.5, float("nan")]}), ("custom", 0, 1, "succeeded"))

    assert [(span.lane, span.stop - span.first) for span in plan.spans] == [("send", 1), ("settled", 1)]
    assert tally(settlement) == {"succeeded": {"added": 1}, "rejected": {"added": 1}}


def test_a_row_is_quarantined_after_its_attempts_and_leaves_when_it_changes(tmp_path: Path) -> None:
    ground = Ground(tmp_path, (route("custom", "v"),), max_attempts=2)
    refused = ("custom", 0, 1, "rejected", "no", "row", 1, 1)
    ground.run(values(("a", 1)), refused)
    ground.run(values(("a", 1)), refused)

    _, third = ground.run(values(("a", 1)))
    plan, fourth = ground.run(values(("a", 2)))

    assert tally(third) == {"quarantined": {"added": 1}}
    assert [span.lane for span in plan.spans] == ["send"]
    assert tally(fourth) == {"succeeded": {"added": 1}}


def test_what_was_not_the_rows_fault_does_not_count_against_it(tmp_path: Path) -> None:
    ground = Ground(tmp_path, (route("custom", "v"),), max_attempts=1)
    ground.run(values(("a", 1)), ("custom", 0, 1, "rejected", "503", "transient", 1, 5))

    _, settlement = ground.run(values(("a", 1)))

    assert tally(settlement) == {"succeeded": {"added": 1}}


def test_a_full_resync_offers_everything_and_still_sees_removals(ground: Ground) -> None:
    ground.run(values(("a", 1), ("b", 1)))

    plan, _ = ground.run(values(("a", 1), ("c", 1)), full_resync=True)

    assert counted(plan.counts) == {"queried": 2, "added": 1, "changed": 1, "removed": 1}


def test_one_chosen_row_is_compared_alone(ground: Ground) -> None:
    ground.run(values(("a", 1), ("b", 1)))

    plan, _ = ground.run(values(("a", 2), ("b", 2)), key="b")

    assert counted(plan.counts) == {"queried": 1, "changed": 1}


# --- events ----------------------------------------------------------------------------------------------------------


def test_an_event_is_sent_once_even_when_its_row_changes_or_comes_back(events: Ground) -> None:
    events.run(values(("a", 1), ("b", 1)))
    events.run(values(("a", 1)))

    plan, _ = events.run(values(("a", 9), ("b", 1)))

    assert counted(plan.counts) == {"queried": 2, "unchanged": 2}


def test_the_first_run_can_be_the_baseline(tmp_path: Path) -> None:
    ground = Ground(tmp_path, (event_route(),), events=True, skip_first=True)

    first, _ = ground.run(values(("a", 1)))
    second, _ = ground.run(values(("a", 1), ("b", 1)))

    assert counted(first.counts) == {"queried": 1, "unchanged": 1}
    assert counted(second.counts) == {"queried": 2, "unchanged": 1, "added": 1}


@pytest.mark.parametrize(
    ("outcome", "cause"), [("rejected", "row"), ("not_attempted", None), ("rejected", "transient")]
)
def test_an_event_whose_row_left_the_model_is_kept_and_offered_again(
    events: Ground, outcome: str, cause: str | None
) -> None:
    events.run(values(("a", 1)), ("track", 0, 1, outcome, "no", cause, 1, 1))

    with events.open() as snapshot:
        plan = events.compare(snapshot, values(("b", 2)))
        cut = "".join(body for _, body in bodies(events.work(snapshot, plan)))
        events.succeed(snapshot)
    after, _ = events.run(values(("b", 2)))

    assert counted(plan.counts) == {"queried": 2, "added": 2, "kept": 1}
    assert '"visitorId":"a"' in cut
    assert '"properties":{"v":1}' in cut
    assert counted(after.counts) == {"queried": 1, "unchanged": 1}


@pytest.mark.parametrize(
    ("hold", "expected"), [(True, {"in_doubt": {"added": 1}}), (False, {"succeeded": {"added": 1}})]
)
@pytest.mark.parametrize("present", [True, False])
def test_an_event_in_doubt_is_held_or_sent_again_whether_or_not_its_row_is_there(
    tmp_path: Path, *, hold: bool, present: bool, expected: dict[str, Any]
) -> None:
    ground = Ground(tmp_path, (event_route(),), events=True, hold=hold)
    ground.run(values(("a", 1)), ("track", 0, 1, None))

    _, settlement = ground.run(values(("a", 1)) if present else values((None, 1)))

    assert tally(settlement) == expected


def test_what_settling_writes_down_can_be_read_by_key(ground: Ground, tmp_path: Path) -> None:
    ground.run(
        values(("a", 1), ("b", 2)),
        ("custom", 0, 1, "succeeded", None, None, 5, 1),
        ("custom", 1, 2, "skipped", "gone", None, 6, 2),
    )

    rows = read_rows(tmp_path, None, "run-1", payloads=False)  # type: ignore[arg-type]

    assert [(row["key"], row["outcome"], row["call_id"], row["attempts"]) for row in rows] == [
        ("a", "succeeded", 5, 1),
        ("b", "skipped", 6, 2),
    ]
    assert read_rows(tmp_path, None, "run-1", key="b", payloads=False)[0]["reason"] == "gone"  # type: ignore[arg-type]


def test_a_result_that_breaks_off_is_an_error_of_the_source_and_changes_nothing(tmp_path: Path) -> None:
    ground = Ground(tmp_path, (route("custom", "v"),), planner="local")
    ground.run(values(("a", 1)))
    model = values(("a", 2))

    def broken() -> Any:
        yield from model.to_batches()
        msg = "connection lost"
        raise OSError(msg)

    reader = pa.RecordBatchReader.from_batches(model.schema, broken())
    with ground.open() as snapshot, pytest.raises(SourceError, match="broke off"):
        ground.compare(snapshot, _Reader(reader))
    plan, _ = ground.run(values(("a", 1)))

    assert counted(plan.counts) == {"queried": 1, "unchanged": 1}


class _Reader:
    """A table that can only be streamed."""

    def __init__(self, reader: pa.RecordBatchReader) -> None:
        self.schema = reader.schema
        self._reader = reader

    def to_reader(self) -> pa.RecordBatchReader:
        return self._reader


def test_a_view_of_the_state_changes_nothing(ground: Ground, tmp_path: Path) -> None:
    ground.run(values(("a", 1)))

    with view_snapshot(tmp_path, "s") as snapshot:
        first = ground.compare(snapshot, values(("a", 2), ("b", 1)))
    plan, _ = ground.run(values(("a", 2), ("b", 1)))

    assert counted(first.counts) == counted(plan.counts) == {"queried": 2, "added": 1, "changed": 1}


def test_old_and_large_rows_earn_a_caution_and_future_ones_are_rejected(tmp_path: Path) -> None:
    day_ms = 86_400_000
    at = Cell(
        "timestamp", sql="make_timestamp_ms(t)", type=ValueType.EPOCH_MS, required=True, ahead_s=300, age_s=7 * 86_400
    )
    properties = Members((("v", Cell("properties.v", "v")),), caution_bytes=20)
    ground = Ground(
        tmp_path,
        (Route("track", frozenset({Change.ADDED}), Members((("timestamp", at), ("properties", properties))), 9, 9999),),
        events=True,
    )
    rows = values(
        ("now", NOW_MS, "x"),
        ("old", NOW_MS - 8 * day_ms, "x"),
        ("new", NOW_MS + day_ms, "x"),
        ("big", NOW_MS, "x" * 30),
        columns="id, t, v",
    )

    plan, settlement = ground.run(rows, ("track", 0, 3, "succeeded"))

    assert [(caution.slug, caution.message) for caution in plan.cautions] == [
        ("old-times", "timestamp is more than 7 days ago in 1 of the first 3 rows"),
        ("large-objects", "properties is larger than 20 bytes in 1 of the first 3 rows"),
    ]
    assert tally(settlement) == {"succeeded": {"added": 3}, "rejected": {"added": 1}}


# --- properties ------------------------------------------------------------------------------------------------------

_KEYS = st.one_of(st.none(), st.sampled_from("abcdefgh"))
_ROWS = st.lists(st.tuples(_KEYS, st.integers(0, 3)), max_size=12)
_OUTCOMES = st.sampled_from(["succeeded", "rejected", "skipped", "in_doubt", "not_attempted"])


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(_ROWS, st.lists(_OUTCOMES, min_size=12, max_size=12)), min_size=1, max_size=4))
def test_whatever_happens_the_counts_add_up_and_only_accepted_values_are_not_offered_again(
    tmp_path_factory: pytest.TempPathFactory, story: list[tuple[list[tuple[str | None, int]], list[str]]]
) -> None:
    ground = Ground(tmp_path_factory.mktemp("s"), (route("custom", "v"),), max_attempts=100)
    accepted: dict[str, int | None] = {}
    for rows, fates in story:
        model = pa.table(
            {"id": pa.array([r[0] for r in rows], pa.string()), "v": pa.array([r[1] for r in rows], pa.int64())}
        )
        with ground.open() as snapshot:
            plan = ground.compare(snapshot, model)
            numbered = snapshot.connection.execute(
                "SELECT n, key, change, outcome FROM state.plan ORDER BY n"
            ).fetchall()
            sent = [(n, key, fates[n % 12]) for n, key, _, outcome in numbered if outcome is None]
            settlement = ground.finish(
                snapshot, *(("custom", n, n + 1, fate, "x", None, n + 1, 1) for n, _, fate in sent)
            )
        counts = plan.counts
        assert counts.queried == len(rows)
        assert (
            counts.queried == counts.null_key + counts.duplicate_key + counts.unchanged + counts.added + counts.changed
        )
        for change in Change:
            assert counts.planned[change] == sum(by[change] for by in settlement.outcomes.values())
        by_key: dict[str, list[int]] = {}
        for key, value in rows:
            if key is not None:
                by_key.setdefault(key, []).append(value)
        single = {key: found[0] for key, found in by_key.items() if len(found) == 1}
        assert counts.unchanged == sum(accepted.get(key) == value for key, value in single.items() if key in accepted)
        for _, key, fate in sent:
            if fate == "succeeded":
                accepted[key] = single[key]
            elif key in accepted and fate != "not_attempted":
                accepted[key] = None
        for _, key, change, outcome in numbered:
            if change == "removed" and outcome == "succeeded":
                accepted.pop(key, None)
